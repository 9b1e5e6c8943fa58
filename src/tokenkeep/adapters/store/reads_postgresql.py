"""Token reads on PostgreSQL.

Owns: the connection that tells whether anything was committed, and validates cached entries, all that are wanted at a
time in one question. Does not own: the cache (`reads`).

A request that arrives while a question is under way waits for the next one, so no answer is older than its request:
the reads are linearizable, with any number of other processes writing. LISTEN/NOTIFY was rejected: poolers break it, and
a lost notification would be a revoked key that still opens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg
from sqlalchemy import ARRAY, Text, and_, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import asyncpg as postgresql
from sqlalchemy.engine import URL

from tokenkeep.adapters.store.clients import client_of
from tokenkeep.adapters.store.credentials import WITH_GRANT
from tokenkeep.adapters.store.reads import (
    BareStatement,
    Cache,
    Entry,
    Stamp,
    credential_entry,
    service_key_entry,
)
from tokenkeep.adapters.tables import clients, credentials, service_keys
from tokenkeep.core.errors import Unavailable
from tokenkeep.core.model import Client, Credential, ServiceKey

TIMEOUT_S = 10.0

Name = tuple[str | None, str]
"""(workspace, credential), or (None, service key)."""
ClientName = tuple[str, str, str]
"""("client", workspace, client)"""

_DIALECT: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
_TEXTS = ARRAY(Text)
_WANTED = (
    func.unnest(bindparam("workspace_ids", type_=_TEXTS), bindparam("ids", type_=_TEXTS))
    .table_valued("workspace_id", "id", name="wanted")
    .render_derived()
)
_CREDENTIALS = BareStatement(
    WITH_GRANT.join(
        _WANTED, and_(credentials.c.workspace_id == _WANTED.c.workspace_id, credentials.c.id == _WANTED.c.id)
    ),
    _DIALECT,
)
_SERVICE_KEYS = BareStatement(
    select(service_keys).where(service_keys.c.id == any_(bindparam("ids", type_=_TEXTS))), _DIALECT
)
_CLIENTS = BareStatement(
    select(clients).join_from(
        clients, _WANTED, and_(clients.c.workspace_id == _WANTED.c.workspace_id, clients.c.id == _WANTED.c.id)
    ),
    _DIALECT,
)
_STAMPS = """
SELECT NULL AS workspace_id, id, revision, NULL AS grant_id, NULL AS grant_revision
  FROM service_keys WHERE id = ANY($1::text[])
UNION ALL
SELECT c.workspace_id, c.id, c.version, g.grant_id, g.revision
  FROM unnest($2::text[], $3::text[]) AS wanted(workspace_id, id)
  JOIN credentials c ON c.workspace_id = wanted.workspace_id AND c.id = wanted.id
  LEFT JOIN grants g ON g.workspace_id = c.workspace_id AND g.credential_id = c.id
"""
_SNAPSHOT = "SELECT pg_current_snapshot()::text"
"""Which transactions are over. It changes with every commit that wrote something, in any database of the server."""
_POOLER = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
"""What a transaction pooler answers to a prepared statement that lives on another of its connections."""
# The internal one: the server has just ended the session, and the driver has read that but not yet let go.
_FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class PostgresqlReads:
    """The port `Reads`."""

    def __init__(self, url: URL) -> None:
        self._options = _options(url)
        self._connection: asyncpg.Connection[Any] | None = None
        self._pooled = False
        self._snapshot, self._epoch = "", 0
        self._waiting: list[tuple[Name | ClientName | None, asyncio.Future[Any]]] = []
        self._serving: asyncio.Task[None] | None = None
        self._cache: Cache[Any] = Cache()

    async def epoch(self) -> int:
        """Changes with every commit. Raises Unavailable when the database cannot be read."""
        epoch: int = await self._ask(None)
        return epoch

    async def service_key(self, key_id: str) -> ServiceKey | None:
        """None: unknown. Raises Unavailable when the database cannot be read."""
        key: ServiceKey | None = await self._ask((None, key_id))
        return key

    async def credential(self, workspace_id: str, credential_id: str) -> Credential | None:
        """None: not in this workspace. Raises Unavailable when the database cannot be read."""
        credential: Credential | None = await self._ask((workspace_id, credential_id))
        return credential

    async def both(
        self, key_id: str, workspace_id: str, credential_id: str
    ) -> tuple[ServiceKey | None, Credential | None]:
        """As `service_key` and `credential`, in one question."""
        key, credential = await asyncio.gather(self._asked((None, key_id)), self._asked((workspace_id, credential_id)))
        return key, credential

    async def client(self, workspace_id: str, client_id: str) -> Client | None:
        """None: not in this workspace. Raises Unavailable when the database cannot be read."""
        client: Client | None = await self._ask(("client", workspace_id, client_id))
        return client

    async def close(self) -> None:
        """Answer who waits, then close the connection."""
        if self._serving is not None:
            await self._serving
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close(timeout=TIMEOUT_S)

    async def _ask(self, name: Name | ClientName | None) -> Any:
        return await self._asked(name)

    def _asked(self, name: Name | ClientName | None) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        self._waiting.append((name, answer))
        if self._serving is None:
            self._serving = loop.create_task(self._serve())  # not the caller's own: others wait for it too
        return answer

    async def _serve(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._serve_batch(batch)
        finally:
            self._serving = None

    async def _serve_batch(self, batch: Sequence[tuple[Name | ClientName | None, asyncio.Future[Any]]]) -> None:
        names = {name for name, _ in batch}
        try:
            epoch = await self._now() if None in names else 0
            rows = await self._answer([name for name in names if name is not None and len(name) == 2])
            found: Mapping[Any, Any] = {
                **rows,
                **await self._clients([name for name in names if name is not None and len(name) == 3]),
            }
        except Exception as failure:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(_unreadable(failure))
            return
        for name, answer in batch:
            if not answer.done():  # done: its caller hung up
                answer.set_result(epoch if name is None else found.get(name))

    async def _now(self) -> int:
        ((snapshot,),) = await self._fetch(_SNAPSHOT)
        if snapshot != self._snapshot:
            self._snapshot = snapshot
            self._epoch += 1
        return self._epoch

    async def _answer(self, names: Iterable[Name]) -> Mapping[Name, Any]:
        cached = {name: entry for name in names if (entry := self._cache.get(name)) is not None}
        stamps = await self._stamps(cached) if cached else {}
        true = {name: entry.noun for name, entry in cached.items() if stamps.get(name) == entry.stamp}
        unsure = [name for name in names if name not in true]
        if not unsure:
            return true
        loaded = await self._load(unsure)
        for name in unsure:
            if name in loaded:
                self._cache.put(name, loaded[name])
            else:
                self._cache.drop(name)
        return true | {name: entry.noun for name, entry in loaded.items()}

    async def _clients(self, names: Sequence[ClientName]) -> Mapping[ClientName, Client]:
        if not names:
            return {}
        wanted = _CLIENTS.arguments(workspace_ids=[name[1] for name in names], ids=[name[2] for name in names])
        rows = [client_of(_CLIENTS.row(raw)) for raw in await self._fetch(_CLIENTS.sql, *wanted)]
        return {("client", client.workspace_id, client.id): client for client in rows}

    async def _stamps(self, names: Iterable[Name]) -> Mapping[Name, Stamp]:
        keys, workspaces, ids = _split(names)
        rows = await self._fetch(_STAMPS, keys, workspaces, ids)
        return {(row[0], row[1]): (row[2],) if row[0] is None else (row[2], row[3], row[4]) for row in rows}

    async def _load(self, names: Iterable[Name]) -> Mapping[Name, Entry[Any]]:
        keys, workspaces, ids = _split(names)
        loaded: dict[Name, Entry[Any]] = {}
        if keys:
            for raw in await self._fetch(_SERVICE_KEYS.sql, *_SERVICE_KEYS.arguments(ids=keys)):
                key = service_key_entry(_SERVICE_KEYS.row(raw))
                loaded[None, key.noun.id] = key
        if ids:
            wanted = _CREDENTIALS.arguments(workspace_ids=workspaces, ids=ids)
            for raw in await self._fetch(_CREDENTIALS.sql, *wanted):
                credential = credential_entry(_CREDENTIALS.row(raw))
                loaded[credential.noun.workspace_id, credential.noun.id] = credential
        return loaded

    async def _fetch(self, sql: str, *arguments: Any) -> Sequence[Any]:
        """Once more on a fresh connection when the present one turns out to be lost."""
        if self._connection is not None:
            try:
                return await self._fetch_once(self._connection, sql, arguments)
            except _FAILURES as failure:
                self._pooled = self._pooled or isinstance(failure, _POOLER)
                self._drop()
        options = self._options | ({"statement_cache_size": 0} if self._pooled else {})
        self._connection = await asyncpg.connect(**options)
        self._snapshot = ""  # it means something to the server it came from only
        try:
            return await self._fetch_once(self._connection, sql, arguments)
        except _FAILURES:
            self._drop()
            raise

    async def _fetch_once(
        self, connection: asyncpg.Connection[Any], sql: str, arguments: Sequence[Any]
    ) -> Sequence[Any]:
        if not self._pooled:
            return await connection.fetch(sql, *arguments)
        async with connection.transaction(readonly=True):  # holds the pooler to one server connection meanwhile
            return await connection.fetch(sql, *arguments)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def _options(url: URL) -> dict[str, Any]:
    """What `asyncpg.connect` is to be given for the URL that SQLAlchemy is given."""
    _, options = _DIALECT.create_connect_args(url)
    ours = {"prepared_statement_cache_size", "prepared_statement_name_func", "statement_cache_size", "async_creator_fn"}
    kept = {name: value for name, value in options.items() if name not in ours}
    # A standby's snapshot does not name the transactions that run, so it would not tell of their commits.
    return {"timeout": TIMEOUT_S, "command_timeout": TIMEOUT_S, "target_session_attrs": "primary"} | kept


def _split(names: Iterable[Name]) -> tuple[list[str], list[str], list[str]]:
    keys: list[str] = []
    workspaces: list[str] = []
    ids: list[str] = []
    for workspace_id, name in names:
        if workspace_id is None:
            keys.append(name)
        else:
            workspaces.append(workspace_id)
            ids.append(name)
    return keys, workspaces, ids


def _unreadable(failure: Exception) -> Exception:
    if not isinstance(failure, _FAILURES):
        return failure
    unreadable = Unavailable()
    unreadable.__cause__ = failure
    return unreadable
