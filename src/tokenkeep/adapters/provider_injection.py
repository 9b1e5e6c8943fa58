"""Rules over how a credential is put on requests.

Owns: what `[types.injection]` may hold, and what a test call needs to carry it. Does not own: putting it there
(`core/injection`), the other rules of a type (`provider_rules`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from tokenkeep.adapters.provider_addresses import Finding, header_problems, unknown_holes
from tokenkeep.adapters.provider_file import CallTable, InjectionTable, ProviderFile, TypeTable
from tokenkeep.adapters.toml_lines import Path
from tokenkeep.core.injection import holes
from tokenkeep.core.model import FieldKind

SECRET_KINDS = frozenset({FieldKind.SECRET, FieldKind.MULTILINE, FieldKind.JSON})
_FORM_TYPE = "application/x-www-form-urlencoded"


def check(file: ProviderFile, path: Path, table: TypeTable) -> Iterator[Finding]:
    """Everything wrong with the injection of the type at `path`."""
    injection = table.injection
    if injection is None:
        return
    here: Path = (*path, "injection")
    fields = {field.name: field.kind for field in table.fields}
    allowed = set(fields) | ({"access_token"} if table.oauth or table.mint is not None else set())
    for place, template in _templates(here, injection):
        yield from unknown_holes(place, template, allowed=allowed)
    yield from header_problems((*here, "headers"), injection.headers)
    secrets = {name for name, kind in fields.items() if kind in SECRET_KINDS} | {"access_token"}
    yield from _exposed(here, injection, secrets)
    if not (injection.headers or injection.query or injection.basic or injection.body or injection.path):
        hint = "Give `headers`, `query`, `basic`, `body` or `path`."
        yield Finding(here, "The injection puts nothing on a request.", hint)
    if injection.path:
        yield from _path(file, here, table)
    if injection.body:
        yield from _test_with_body(file, path, table)


def _templates(here: Path, injection: InjectionTable) -> Iterator[tuple[Path, str]]:
    for part in ("headers", "query", "body"):
        for name, template in getattr(injection, part).items():
            yield (*here, part, name), f"{name} {template}"
    for template in injection.basic or ():
        yield (*here, "basic"), template
    if injection.path:
        yield (*here, "path"), injection.path


def _exposed(here: Path, injection: InjectionTable, secrets: set[str]) -> Iterator[Finding]:
    shown = [name for name, template in injection.query.items() if secrets & set(holes(template))]
    if shown and not injection.secret_in_query_because:
        hint = "Use a header. If the provider accepts nothing else, say so in `secret_in_query_because`."
        yield Finding((*here, "query", shown[0]), "A secret in a query ends up in logs.", hint)
    if injection.path and secrets & set(holes(injection.path)) and not injection.secret_in_path_because:
        hint = "Use a header. If the provider accepts nothing else, say so in `secret_in_path_because`."
        yield Finding((*here, "path"), "A secret in a path ends up in logs.", hint)


def _path(file: ProviderFile, here: Path, table: TypeTable) -> Iterator[Finding]:
    template = table.injection.path if table.injection else None
    if template and not holes(template):
        yield Finding((*here, "path"), "The path carries nothing.", "Name a field in it, or move it into `base_url`.")
    if template and not {".", ".."}.isdisjoint(template.split("/")):
        yield Finding((*here, "path"), "A path must not climb.", "Remove the parts `.` and `..`.")
    if not (table.base_url or file.base_url):
        hint = "Add `base_url`: nodes get it with the path filled in."
        yield Finding((*here, "path"), "Nobody could tell where this path begins.", hint)


def _test_with_body(file: ProviderFile, path: Path, table: TypeTable) -> Iterator[Finding]:
    """The call that proves the credential must have a body to carry it in."""
    call, place = table.test, (*path, "test")
    if call is None and table.oauth:
        call, place = file.account, ("account",)
    if call is None:
        return
    if call.method == "GET":
        hint = 'Give it `method = "POST"`, if the provider takes that.'
        yield Finding((*place, "method"), "A GET has no body to carry the credential in.", hint)
    elif not _takes_members(call):
        hint = "Write a JSON object, or the header `Content-Type` of a form."
        yield Finding((*place, "body"), "The credential cannot be added to this body.", hint)


def _takes_members(call: CallTable) -> bool:
    types = [value for name, value in call.headers.items() if name.lower() == "content-type"]
    if types and types[0].startswith(_FORM_TYPE):
        return True
    try:
        return isinstance(json.loads(call.body or "{}"), dict)
    except (ValueError, RecursionError):
        return False
