"""Rules over `[types.probe]` that its shape alone cannot say.

Owns: that a probe leads somewhere, by values of the type alone. Does not own: the other rules of a file
(`provider_rules`), where values lead (`core/probing`).
"""

from __future__ import annotations

from collections.abc import Iterator

from tokenkeep.adapters.provider_addresses import Finding, unknown_holes
from tokenkeep.adapters.provider_file import ProbeTable, TypeTable
from tokenkeep.adapters.toml_lines import Path
from tokenkeep.core.injection import holes
from tokenkeep.core.probing import TLS_WORDS

_TEMPLATES = ("url", "host", "port", "user", "password", "database", "tls")


def check(path: Path, table: TypeTable) -> Iterator[Finding]:
    """Everything wrong with how a type is tried at its database."""
    probe = table.probe
    if probe is None:
        return
    if table.test is not None or table.oauth or table.mint is not None:
        hint = "Keep [types.test] for what speaks HTTP, and [types.probe] for databases."
        yield Finding(path, "This type is proved in another way already.", hint)
    fields = {field.name for field in table.fields}
    for name in _TEMPLATES:
        yield from unknown_holes((*path, name), getattr(probe, name), allowed=fields)
    yield from _together(path, probe)


def _together(path: Path, probe: ProbeTable) -> Iterator[Finding]:
    if bool(probe.url) == bool(probe.host):
        hint = "Give `url` for a connection string, else `host`."
        yield Finding((*path, "host" if probe.host else "driver"), "A probe needs one way to its database.", hint)
    if probe.password and not holes(probe.password):
        yield Finding((*path, "password"), "A file holds no secrets.", "Name the field that holds it: `{password}`.")
    if probe.tls and not holes(probe.tls) and probe.tls not in TLS_WORDS:
        known = ", ".join(f"`{word}`" for word in ("off", "prefer", "require", "verify"))
        yield Finding((*path, "tls"), "This is no word for TLS.", f"Known: {known}, or the field that says it.")
