"""Rules over the addresses in a provider file.

Owns: which holes an address may have, and that no value put into one can lead to another owner's host (T40).
Does not own: filling them (`core/injection`), nor the other rules (`provider_rules`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from tokenkeep.adapters.provider_file import CallTable, ProviderFile, TypeTable
from tokenkeep.adapters.toml_lines import Path
from tokenkeep.core.injection import holes
from tokenkeep.core.model import FieldKind, HostFormat

PUBLIC_URL = "public_url"
"""The hole that only the demo provider has: our own address."""

_ENDPOINTS = (
    "authorization_endpoint",
    "pushed_authorization_endpoint",
    "token_endpoint",
    "refresh_endpoint",
    "revocation_endpoint",
    "issuer",
)
_TWO_LABELS = re.compile(r"(?:\.[a-z0-9-]+){2,}(?::[0-9]+)?")
_SHARED_SUFFIX = re.compile(r"\.(?:ac|co|com|edu|gov|net|org)\.[a-z]{2}(?::[0-9]+)?")
"""`.co.uk` and the like: under them anybody can register, so two labels are not enough."""


class Finding(Struct, frozen=True):
    """Something wrong at a key path, and how to mend it."""

    path: Path
    message: str
    hint: str


def check(file: ProviderFile) -> Iterator[Finding]:
    """Everything wrong with the file's addresses."""
    shared = {variable.name for variable in file.variables} | ({PUBLIC_URL} if file.demo else set())
    for path, template in _endpoints(file):
        allowed = shared | ({"client_id"} if path[-1] == "revocation_endpoint" else set())
        yield from _address(file, path, template, allowed=allowed)
    for index, table in enumerate(file.types):
        fields = {field.name for field in table.fields}
        for path, template in _type_addresses(index, table):
            yield from _address(file, path, template, allowed=shared | fields, table=table)
    for path, template, table in _mint_addresses(file):
        fields = {field.name for field in table.fields}
        yield from _address(file, path, template, allowed=fields, table=table)
    yield from _hosts(file, shared)


def _endpoints(file: ProviderFile) -> Iterator[tuple[Path, str]]:
    if file.oauth is not None:
        for name in _ENDPOINTS:
            if template := getattr(file.oauth, name):
                yield ("oauth", name), template
    if file.account is not None:
        yield ("account", "url"), file.account.url
    if file.base_url:
        yield ("base_url",), file.base_url


def _type_addresses(index: int, table: TypeTable) -> Iterator[tuple[Path, str]]:
    if table.base_url:
        yield ("types", index, "base_url"), table.base_url
    if table.test is not None:
        yield ("types", index, "test", "url"), table.test.url


def _mint_addresses(file: ProviderFile) -> Iterator[tuple[Path, str, TypeTable]]:
    """Where tokens are asked for: not among `hosts`, which are where tokens are used."""
    for index, table in enumerate(file.types):
        if table.mint is not None and table.mint.url:
            yield ("types", index, "mint", "url"), table.mint.url, table


def _address(
    file: ProviderFile, path: Path, template: str, *, allowed: set[str], table: TypeTable | None = None
) -> Iterator[Finding]:
    yield from unknown_holes(path, template, allowed=allowed)
    kinds = {field.name: field.kind for field in table.fields} if table else {}
    for name in holes(template):
        if kinds.get(name) in {FieldKind.SECRET, FieldKind.MULTILINE, FieldKind.JSON}:
            yield Finding(path, f"`{{{name}}}` would put a secret into an address.", "Send it in a header instead.")
    if template.startswith("{"):
        first = holes(template)[0]
        whole = first in _addresses(file) or kinds.get(first) is FieldKind.URL
        if first in allowed and first != PUBLIC_URL and not whole:
            hint = "Write `https://` and the literal host before it, or make it a field of kind `url`."
            yield Finding(path, f"`{{{first}}}` cannot be the beginning of an address.", hint)
        return
    host = urlsplit(re.sub(r"\{[^}]*\}", "x", template)).netloc
    if "@" in host or "#" in template:
        yield Finding(
            path, "An address must hold no user name and no fragment.", "Remove the part before `@` or from `#` on."
        )
    yield from _suffix(file, path, template.removeprefix("https://").partition("/")[0].partition("?")[0])


def _addresses(file: ProviderFile) -> set[str]:
    """Variables that an administrator fills with a whole address."""
    return {variable.name for variable in file.variables if variable.format is HostFormat.ADDRESS}


def unknown_holes(path: Path, template: str, *, allowed: set[str]) -> Iterator[Finding]:
    """Holes that nothing fills."""
    for name in holes(template):
        if name in allowed:
            continue
        near = difflib.get_close_matches(name, sorted(allowed), n=1)
        known = ", ".join(f"`{{{one}}}`" for one in sorted(allowed)) or "none"
        hint = f"Did you mean `{{{near[0]}}}`?" if near else f"Known here: {known}. Declare it under [[variables]]."
        yield Finding(path, f"`{{{name}}}` is filled by nothing.", hint)


def _suffix(file: ProviderFile, path: Path, host: str) -> Iterator[Finding]:
    """A host with a hole must end in a name that its owner has registered, unless an administrator names the host."""
    whole = {variable.name for variable in file.variables if variable.format is HostFormat.HOST}
    names = holes(host)
    if not names or names[-1] in whole or PUBLIC_URL in names:
        return
    literal = host.rpartition("}")[2]
    if not _TWO_LABELS.fullmatch(literal) or _SHARED_SUFFIX.fullmatch(literal):
        hint = 'End the host in the provider\'s own domain, such as `.example.com`, or give the variable `format = "host"`.'
        yield Finding(path, f"The value of `{{{names[-1]}}}` could lead to anybody's host.", hint)


def _hosts(file: ProviderFile, shared: set[str]) -> Iterator[Finding]:
    fields = [field for table in file.types for field in table.fields]
    addresses = {field.name for field in fields if field.kind is FieldKind.URL} | _addresses(file)
    texts = {field.name for field in fields if field.kind in {FieldKind.TEXT, FieldKind.CHOICE}}
    for index, template in enumerate(file.hosts):
        yield from unknown_holes(("hosts", index), template, allowed=shared | addresses | texts)
        if not (template.startswith("{") and template[1:-1] in addresses):
            yield from _suffix(file, ("hosts", index), template)
    for path, template in _carrying(file):
        host = _host(template)
        if host not in file.hosts:
            hint = f'Add "{host}" to `hosts` if the provider\'s credentials belong there.'
            yield Finding(path, f"The credential would be sent to `{host}`, which `hosts` does not list.", hint)


def _carrying(file: ProviderFile) -> Iterator[tuple[Path, str]]:
    """Addresses that get the credential."""
    if file.account is not None:
        yield ("account", "url"), file.account.url
    if file.base_url:
        yield ("base_url",), file.base_url
    for index, table in enumerate(file.types):
        yield from _type_addresses(index, table)


def _host(template: str) -> str:
    if template.startswith("{"):
        return template[: template.index("}") + 1]
    return re.split(r"[/?#]", template.removeprefix("https://"))[0]


def header_problems(path: Path, headers: Mapping[str, str]) -> Iterator[Finding]:
    """Literal headers that could not be sent."""
    for name, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9_{}-]+", name) or not value.isprintable() or not value.isascii():
            yield Finding(
                (*path, name), f"The header `{name}` cannot be sent.", "Use letters and hyphens, on one line."
            )


def call_problems(path: Path, call: CallTable | None) -> Iterator[Finding]:
    """What is wrong with a test or account call beside its address."""
    if call is not None:
        yield from header_problems((*path, "headers"), call.headers)
