"""Rules over `[types.mint]` that its shape alone cannot say.

Owns: what a way to obtain tokens without a person needs. Does not own: the shape (`provider_file`), addresses
(`provider_addresses`), the other rules (`provider_rules`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from tokenkeep.adapters.provider_addresses import Finding, header_problems
from tokenkeep.adapters.provider_file import MintTable, TypeTable
from tokenkeep.adapters.toml_lines import Path
from tokenkeep.core.minting import LATER, holes
from tokenkeep.core.model import ClientAuth, FieldKind

_JSON_KINDS = frozenset({FieldKind.JSON, FieldKind.MULTILINE})
_METHODS = frozenset(ClientAuth)


def check(path: Path, table: TypeTable) -> Iterator[Finding]:
    """Everything wrong with how this type's tokens are minted."""
    mint = table.mint
    if mint is None:
        return
    if table.oauth:
        hint = "Make two types of it: one for each way."
        yield Finding(path, "A type is authorised in a browser or without a person, not both.", hint)
    for name in {field.name for field in table.fields} & LATER:
        yield Finding(path, f"A field named `{name}` would be taken for what signing makes.", "Choose another name.")
    for place, template in _templates(path, mint):
        yield from _unknown(place, template, table)
    yield from header_problems((*path, "headers"), mint.headers)
    yield from _authentication(path, table, mint)
    yield from _request(path, mint)


def _request(path: Path, mint: MintTable) -> Iterator[Finding]:
    used = {name for _, template in _templates(path, mint) for name in holes(template)}
    if mint.assertion is None and not mint.url:
        yield Finding(path, "Nothing says where a token comes from.", "Add `url`, or [types.mint.assertion].")
    if mint.assertion is None and "assertion" in used:
        yield Finding(path, "`{assertion}` is filled by nothing.", "Add [types.mint.assertion].")
    if mint.assertion is not None and mint.url and "assertion" not in used:
        yield Finding(
            (*path, "assertion"), "The assertion is never sent.", "Put `{assertion}` into `params` or `headers`."
        )
    if not mint.url and (mint.params or mint.headers or mint.client_id):
        yield Finding(path, "Without `url` nothing is sent.", "Add `url`, or remove what would be sent.")
    if mint.method == "GET" and (mint.params or mint.client_auth != ClientAuth.NONE.value):
        hint = 'Use `method = "POST"`, or put what is needed into `headers`.'
        yield Finding((*path, "method"), "A GET carries neither parameters nor client authentication.", hint)


def _authentication(path: Path, table: TypeTable, mint: MintTable) -> Iterator[Finding]:
    place, known = (*path, "client_auth"), ", ".join(sorted(_METHODS))
    chosen = holes(mint.client_auth)
    fields = {field.name: field for field in table.fields}
    options = fields[chosen[0]].options if chosen and chosen[0] in fields else ()
    if chosen and (mint.client_auth != f"{{{chosen[0]}}}" or not options or not set(options) <= _METHODS):
        yield Finding(place, "This field does not choose among ways to authenticate.", f"Its options: {known}.")
    if not chosen and mint.client_auth not in _METHODS:
        yield Finding(place, f"`{mint.client_auth}` is no way to authenticate a client.", f"One of: {known}.")
    if mint.client_auth != ClientAuth.NONE.value and not (mint.client_id and mint.client_secret):
        hint = "Give both, as templates over the fields."
        yield Finding(place, "Client authentication needs `client_id` and `client_secret`.", hint)


def _unknown(path: Path, template: str, table: TypeTable) -> Iterator[Finding]:
    kinds = {field.name: field.kind for field in table.fields}
    for name in holes(template):
        base, _, member = name.partition(".")
        if name in LATER or (base in kinds and (not member or kinds[base] in _JSON_KINDS)):
            continue
        near = difflib.get_close_matches(base, [*kinds, *LATER], n=1)
        known = ", ".join(f"`{{{one}}}`" for one in sorted({*kinds, *LATER}))
        hint = f"Did you mean `{{{near[0]}}}`?" if near and near[0] != base else f"Known here: {known}."
        yield Finding(path, f"`{{{name}}}` is filled by nothing.", hint)


def _templates(path: Path, mint: MintTable) -> Iterator[tuple[Path, str]]:
    yield (*path, "client_id"), mint.client_id
    yield (*path, "client_secret"), mint.client_secret
    parts: dict[str, Mapping[str, str]] = {"params": mint.params, "headers": mint.headers}
    for part, templates in parts.items():
        for name, template in templates.items():
            yield (*path, part, name), template
    if mint.aws is not None:
        for name in mint.aws.__struct_fields__:
            yield (*path, "aws", name), getattr(mint.aws, name)
    if mint.assertion is not None:
        yield (*path, "assertion", "key"), mint.assertion.key
        for part in ("header", "claims"):
            for name, template in getattr(mint.assertion, part).items():
                yield (*path, "assertion", part, name), template
