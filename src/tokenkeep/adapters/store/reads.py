"""The fast path's memory.

Owns: the bounded cache of what token reads need, the stamp that tells whether an entry is still true, and statements
for bare drivers that answer the very nouns that the other stores answer. Does not own: asking whether something was
committed since: `reads_sqlite`, `reads_postgresql`.

Entries hold sealed octets, never plain ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Dialect, Select, and_, bindparam, select

from tokenkeep.adapters.store.credentials import WITH_GRANT, credential_of
from tokenkeep.adapters.store.service_keys import service_key_of
from tokenkeep.adapters.tables import clients, credentials, service_keys
from tokenkeep.core.model import Credential, ServiceKey

T = TypeVar("T")

CACHED = 10_000
"""How many entries of a kind are kept; the oldest go first."""

Stamp = tuple[Any, ...]
"""Grows or changes with every UPDATE of a row, and with a new grant in place of an old one."""


@dataclass(slots=True)
class Entry(Generic[T]):
    """What was read, and the moment up to which that is known to be true."""

    noun: T
    stamp: Stamp
    epoch: int = 0


class Cache(Generic[T]):
    """Entries by name; the oldest make room."""

    def __init__(self, limit: int = CACHED) -> None:
        self._limit = limit
        self._entries: dict[Any, Entry[T]] = {}
        self.get = self._entries.get

    def put(self, name: object, entry: Entry[T]) -> None:
        """Keep as the newest."""
        self._entries.pop(name, None)
        while len(self._entries) >= self._limit:
            del self._entries[next(iter(self._entries))]
        self._entries[name] = entry

    def drop(self, name: object) -> None:
        """Silent when it is not there."""
        self._entries.pop(name, None)

    def __len__(self) -> int:
        return len(self._entries)


class BareStatement:
    """A SELECT written out for a driver that is used without SQLAlchemy, with the types' own decoding of its rows."""

    def __init__(self, statement: Select[Any], dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        self.sql = str(compiled)
        self._order: Sequence[str] = compiled.positiontup or ()
        self._columns = [
            (column.name, column.type.dialect_impl(dialect).result_processor(dialect, None))
            for column in statement.selected_columns
        ]

    def arguments(self, **values: Any) -> tuple[Any, ...]:
        """In the order of the statement's placeholders."""
        return tuple(values[name] for name in self._order)

    def row(self, raw: Sequence[Any]) -> Mapping[str, Any]:
        """The columns by name, decoded."""
        return {
            name: decode(value) if decode is not None else value
            for (name, decode), value in zip(self._columns, raw, strict=True)
        }


SERVICE_KEY = select(service_keys).where(service_keys.c.id == bindparam("id"))
CREDENTIAL = WITH_GRANT.where(
    and_(credentials.c.workspace_id == bindparam("workspace_id"), credentials.c.id == bindparam("id"))
)


CLIENT = select(clients).where(
    and_(clients.c.workspace_id == bindparam("workspace_id"), clients.c.id == bindparam("id"))
)


def service_key_entry(row: Mapping[Any, Any], *, epoch: int = 0) -> Entry[ServiceKey]:
    """From a row of `service_keys`."""
    return Entry(service_key_of(row), (row["revision"],), epoch)


def credential_entry(row: Mapping[Any, Any], *, epoch: int = 0) -> Entry[Credential]:
    """From a row of `WITH_GRANT`."""
    return Entry(credential_of(row), (row["version"], row["grant__grant_id"], row["grant__revision"]), epoch)
