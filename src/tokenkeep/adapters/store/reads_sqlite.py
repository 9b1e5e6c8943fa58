"""Token reads on SQLite.

Owns: the read-only connection whose `PRAGMA data_version` tells in a few microseconds whether any other connection, of
this process or another, has committed. Does not own: the cache (`reads`).

The connection is used on the event loop, without a thread: a hop to one costs more than the question itself, and
readers of a WAL wait for nobody.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy.dialects.sqlite import aiosqlite

from tokenkeep.adapters.store.clients import client_of
from tokenkeep.adapters.store.reads import (
    CLIENT,
    CREDENTIAL,
    SERVICE_KEY,
    BareStatement,
    Cache,
    Entry,
    Stamp,
    credential_entry,
    service_key_entry,
)
from tokenkeep.core.errors import Unavailable
from tokenkeep.core.model import Client, Credential, ServiceKey

T = TypeVar("T")

_DIALECT = aiosqlite.dialect()
_CREDENTIAL = BareStatement(CREDENTIAL, _DIALECT)
_SERVICE_KEY = BareStatement(SERVICE_KEY, _DIALECT)
_CLIENT = BareStatement(CLIENT, _DIALECT)
_CREDENTIAL_STAMP = (
    "SELECT c.version, g.grant_id, g.revision FROM credentials c"
    " LEFT JOIN grants g ON g.workspace_id = c.workspace_id AND g.credential_id = c.id"
    " WHERE c.workspace_id = ? AND c.id = ?"
)
_SERVICE_KEY_STAMP = "SELECT revision FROM service_keys WHERE id = ?"


class SqliteReads:
    """The port `Reads`. An entry is true as long as its epoch lasts: from one foreign commit to the next."""

    def __init__(self, path: Path, *, heard: Callable[[Exception], object] | None = None) -> None:
        self._path = path
        self._heard = heard  # is told every error
        self._connection: sqlite3.Connection | None = None
        self._data_version = -1
        self._epoch = 0
        self._asked = False
        self._credentials: Cache[Credential] = Cache()
        self._service_keys: Cache[ServiceKey] = Cache()
        self._clients: Cache[Client | None] = Cache()

    async def epoch(self) -> int:
        """Changes with every commit of another connection. Raises Unavailable when the database cannot be read."""
        try:
            return self._now()
        except sqlite3.Error as failure:
            raise self._lost(failure) from failure

    async def service_key(self, key_id: str) -> ServiceKey | None:
        """None: unknown. Raises Unavailable when the database cannot be read."""
        try:
            epoch = self._now()
            entry = self._service_keys.get(key_id)
            if entry is not None and entry.epoch == epoch:
                return entry.noun
            return self._renew(
                self._service_keys,
                key_id,
                stamp=self._one(_SERVICE_KEY_STAMP, (key_id,)),
                load=lambda: self._load_service_key(key_id),
            )
        except sqlite3.Error as failure:
            raise self._lost(failure) from failure

    async def credential(self, workspace_id: str, credential_id: str) -> Credential | None:
        """None: not in this workspace. Raises Unavailable when the database cannot be read."""
        name = (workspace_id, credential_id)
        try:
            epoch = self._now()
            entry = self._credentials.get(name)
            if entry is not None and entry.epoch == epoch:
                return entry.noun
            return self._renew(
                self._credentials,
                name,
                stamp=self._one(_CREDENTIAL_STAMP, name),
                load=lambda: self._load_credential(workspace_id, credential_id),
            )
        except sqlite3.Error as failure:
            raise self._lost(failure) from failure

    async def both(
        self, key_id: str, workspace_id: str, credential_id: str
    ) -> tuple[ServiceKey | None, Credential | None]:
        """As `service_key` and `credential`."""
        return await self.service_key(key_id), await self.credential(workspace_id, credential_id)

    async def client(self, workspace_id: str, client_id: str) -> Client | None:
        """None: not in this workspace. Raises Unavailable when the database cannot be read."""
        name = (workspace_id, client_id)
        try:
            epoch = self._now()
            entry = self._clients.get(name)
            if entry is None or entry.epoch != epoch:
                raw = self._one(_CLIENT.sql, _CLIENT.arguments(workspace_id=workspace_id, id=client_id))
                entry = Entry(client_of(_CLIENT.row(raw)) if raw is not None else None, (), epoch)
                self._clients.put(name, entry)
        except sqlite3.Error as failure:
            raise self._lost(failure) from failure
        return entry.noun

    async def close(self) -> None:
        """Close the connection. A later read would open a new one."""
        self._asked = False
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _renew(
        self, cache: Cache[T], name: object, *, stamp: Stamp | None, load: Callable[[], Entry[T] | None]
    ) -> T | None:
        """Believe the entry once more when its stamp is unchanged, else read anew."""
        entry = cache.get(name)
        if entry is not None and entry.stamp == stamp:
            entry.epoch = self._epoch
            return entry.noun
        loaded = load() if stamp is not None else None
        if loaded is None:
            cache.drop(name)
            return None
        cache.put(name, loaded)
        return loaded.noun

    def _load_service_key(self, key_id: str) -> Entry[ServiceKey] | None:
        raw = self._one(_SERVICE_KEY.sql, _SERVICE_KEY.arguments(id=key_id))
        return service_key_entry(_SERVICE_KEY.row(raw), epoch=self._epoch) if raw is not None else None

    def _load_credential(self, workspace_id: str, credential_id: str) -> Entry[Credential] | None:
        raw = self._one(_CREDENTIAL.sql, _CREDENTIAL.arguments(workspace_id=workspace_id, id=credential_id))
        return credential_entry(_CREDENTIAL.row(raw), epoch=self._epoch) if raw is not None else None

    def _now(self) -> int:
        """The present epoch. Asked before reading: what is read is then at least as new as the epoch says.

        One question serves all callbacks that the event loop has ready now: each was made ready by something that
        happened before the question. The mark is taken off by a callback queued before asking, so whatever becomes
        ready later, such as the next request or the end of a write of our own, asks anew.
        """
        if self._asked:
            return self._epoch
        asyncio.get_running_loop().call_soon(self._forget)
        if self._connection is None:
            self._connection = self._open()
            self._data_version = -1  # its numbers mean something within one connection only
        (data_version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if data_version != self._data_version:
            self._data_version = data_version
            self._epoch += 1
        self._asked = True
        return self._epoch

    def _forget(self) -> None:
        self._asked = False

    def _one(self, sql: str, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self._connection is None:
            raise sqlite3.ProgrammingError("the connection is closed")
        row: tuple[Any, ...] | None = self._connection.execute(sql, arguments).fetchone()
        return row

    def _open(self) -> sqlite3.Connection:
        uri = f"file:{quote(str(self._path))}?mode=rw"  # never creates; `query_only` keeps it from writing
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=1.0, check_same_thread=False)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _lost(self, failure: Exception) -> Unavailable:
        self._asked = False
        if self._heard is not None:
            self._heard(failure)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return Unavailable()
