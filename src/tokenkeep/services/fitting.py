"""Which credential types a question means.

Owns: names and aliases turned into types, in the order of the question, and what to do with names nobody knows here.
Does not own: the types (`Catalog`), what is stored of them (`credentials`).

A node may be newer than this service and ask for types that it does not know: they must not spoil the others.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from tokenkeep.core.errors import UnknownType
from tokenkeep.services.ports import Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """What was understood of a question."""

    types: tuple[str, ...]  # each once, by its own name; empty: no type was asked for, or none is known
    unknown: tuple[str, ...]  # as they were asked for


def fitting(catalog: Catalog, asked: Sequence[str]) -> Fitting:
    """The types that these names and aliases mean."""
    types, unknown = list[str](), list[str]()
    for name in asked:
        try:
            types.append(catalog.type(name).name)
        except UnknownType:
            unknown.append(name)
    return Fitting(types=tuple(dict.fromkeys(types)), unknown=tuple(dict.fromkeys(unknown)))


def known(catalog: Catalog, asked: Sequence[str]) -> tuple[str, ...]:
    """The same, for a question that has no answer without any type. Raises UnknownType when none of them is known."""
    found = fitting(catalog, asked)
    if found.unknown and not found.types:
        raise UnknownType(fix=f"{_near(catalog, found.unknown)}GET /v1/credential-types lists them.")
    return found.types


def _near(catalog: Catalog, unknown: Sequence[str]) -> str:
    """Names that may have been meant. What was asked for is not repeated: it may be anything."""
    names = {name.lower(): type_.name for type_ in catalog.types() for name in (type_.name, *type_.aliases)}
    near = [
        f"`{names[match]}`"
        for name in unknown
        for match in difflib.get_close_matches(name.lower()[:64], list(names), n=1)
    ]
    return f"Did you mean {', '.join(dict.fromkeys(near))}? " if near else ""
