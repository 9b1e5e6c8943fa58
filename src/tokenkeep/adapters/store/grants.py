"""Grants and their leases.

Owns: rows of `grants` and `orphans`; the conditional statements that keep one refresh at a time and no older
generation over a newer one (reliability 4.4). Does not own: when to refresh and what an answer means.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    and_,
    bindparam,
    delete,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.dml import Update

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.store.events import INSERT, event_row, insert_event
from tokenkeep.adapters.store.grant_rows import generation_row, grant_of, standing_row
from tokenkeep.adapters.store.rows import lease_free
from tokenkeep.adapters.tables import credentials, grants, orphans
from tokenkeep.adapters.tables.columns import UtcTime, clock_after, clock_at_start, clock_now
from tokenkeep.core.errors import NotFound
from tokenkeep.core.model import Event, FailureKind, Grant, Standing, State
from tokenkeep.services.ports import Due, Lane, Lease

_FREE: dict[str, Any] = {"lease_owner": "", "lease_until": None}
_NO_INTENT: dict[str, Any] = {
    "intent_at": None,
    "intent_fingerprint": "",
    "prior_intent_at": None,
    "prior_intent_fingerprint": "",
    "prior_next_refresh_at": None,
}


def _at(workspace_id: str, credential_id: str) -> ColumnElement[bool]:
    return and_(grants.c.workspace_id == workspace_id, grants.c.credential_id == credential_id)


def _change(*conditions: ColumnElement[bool]) -> Update:
    return update(grants).where(*conditions).values(revision=grants.c.revision + 1)


# What a refresh writes is built once: building a statement costs several times what executing it does.
_LEASE_S = bindparam("lease_s", type_=Float)
_SAME = and_(*(grants.c[name] == bindparam(f"at_{name}") for name in ("workspace_id", "credential_id")))
_SAME_GENERATION = and_(_SAME, *(grants.c[name] == bindparam(f"at_{name}") for name in ("grant_id", "version")))
_HELD = and_(_SAME_GENERATION, grants.c.fence == bindparam("at_fence"))
"""The row is still what the lease was taken on: nobody claimed it since, stored into it or connected anew."""
_GET = select(grants).where(_SAME)
# Read before somebody else's lease began and ended, it is not held: then it is read again. Several claims share a
# transaction, and replicas lock the same rows in any order: who finds one locked passes it over instead of waiting.
_UNCLAIMED = (
    select(grants.c.workspace_id, grants.c.credential_id).where(_HELD, lease_free()).with_for_update(skip_locked=True)
)
_CLAIM = (
    _change(tuple_(grants.c.workspace_id, grants.c.credential_id).in_(_UNCLAIMED), _HELD)
    .values(
        lease_owner=bindparam("owner"),
        lease_until=clock_after(_LEASE_S),
        next_refresh_at=clock_after(_LEASE_S),
        intent_at=clock_now(),
        intent_fingerprint=bindparam("fingerprint"),
        fence=grants.c.fence + 1,
        prior_intent_at=grants.c.intent_at,
        prior_intent_fingerprint=grants.c.intent_fingerprint,
        prior_next_refresh_at=grants.c.next_refresh_at,
    )
    .returning(*grants.c)
)
_EXTEND = (
    _change(_HELD, grants.c.lease_owner == bindparam("owner"))
    .values(lease_until=clock_after(_LEASE_S), next_refresh_at=clock_after(_LEASE_S))
    .returning(grants.c.fence)
)


@functools.cache
def _write_where(condition: str, columns: tuple[str, ...]) -> Update:
    """UPDATE of these columns where the row is `held`, still leased as `mine`, or of the same generation and `free`."""
    mine = grants.c.lease_owner == bindparam("at_lease_owner")
    conditions = {"held": (_HELD,), "mine": (_HELD, mine), "free": (_SAME_GENERATION, lease_free())}[condition]
    new = {name: bindparam(f"new_{name}", type_=grants.c[name].type) for name in columns}
    return _change(*conditions).values(new).returning(grants.c.fence)


def _place(grant: Grant) -> dict[str, Any]:
    """The parameters of `_HELD` and what it is made of."""
    names = ("workspace_id", "credential_id", "grant_id", "version", "fence", "lease_owner")
    return {f"at_{name}": getattr(grant, name) for name in names}


DUE = (
    select(grants.c.workspace_id, grants.c.credential_id, grants.c.provider)
    .where(grants.c.next_refresh_at.is_not(None), grants.c.next_refresh_at <= clock_at_start())
    .where(grants.c.state.not_in([State.REAUTHORIZATION_REQUIRED, State.QUARANTINED]))
    .order_by(grants.c.next_refresh_at)
    .limit(bindparam("limit", type_=Integer))
)
"""Walks the partial index from its oldest end, so its cost is that of its answer."""


class Grants:
    """The port `GrantStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def get(self, workspace_id: str, credential_id: str) -> Grant | None:
        """None: not connected, or not in this workspace."""
        async with self._engines.read() as connection:
            place = {"at_workspace_id": workspace_id, "at_credential_id": credential_id}
            row = (await connection.execute(_GET, place)).mappings().first()
        return grant_of(row) if row is not None else None

    async def connect(self, grant: Grant, event: Event) -> None:
        """Put a new consent in place. Raises NotFound when the credential is gone."""
        new = generation_row(grant) | _FREE | _NO_INTENT
        new |= {
            "grant_id": grant.grant_id,
            "client": grant.client,
            "provider": grant.provider,
            "connected_at": grant.connected_at,
        }
        place = {"workspace_id": grant.workspace_id, "credential_id": grant.credential_id, "fence": grant.fence}
        one_above = {"fence": grants.c.fence + 1, "revision": grants.c.revision + 1}
        statement = (
            self._engines.upsert(grants)
            .values(new | place)
            .on_conflict_do_update(index_elements=["workspace_id", "credential_id"], set_=new | one_above)
        )
        credential = (
            select(credentials.c.id)
            .where(credentials.c.workspace_id == grant.workspace_id, credentials.c.id == grant.credential_id)
            .with_for_update(read=True, key_share=True)
        )
        async with self._engines.write() as connection:
            if (await connection.execute(credential)).first() is None:
                raise NotFound
            await connection.execute(statement)
            await insert_event(connection, event)

    async def disconnect(self, workspace_id: str, credential_id: str, event: Event) -> Grant | None:
        """Remove the grant. None: there was none."""
        statement = delete(grants).where(_at(workspace_id, credential_id)).returning(*grants.c)
        async with self._engines.write() as connection:
            row = (await connection.execute(statement)).mappings().first()
            if row is None:
                return None
            await insert_event(connection, event)
        return grant_of(row)

    async def due(self, *, limit: int, beside: Collection[Lane] = ()) -> Sequence[Due]:
        """Oldest first."""
        lanes = tuple_(grants.c.workspace_id, grants.c.provider)
        statement = DUE.where(lanes.not_in(list(beside))) if beside else DUE
        async with self._engines.read() as connection:
            rows = (await connection.execute(statement, {"limit": limit})).all()
        return [Due(*row) for row in rows]

    async def claim(self, grant: Grant, *, owner: str, lease_s: int, intent_fingerprint: str) -> Lease | None:
        """W1. None: somebody else has it, or the row has changed."""
        given = _place(grant) | {"owner": owner, "lease_s": lease_s, "fingerprint": intent_fingerprint}
        row = await self._engines.grouped(lambda connection: connection.execute(_CLAIM, given).mappings().first())
        return _lease_of(row) if row is not None else None

    async def extend(self, lease: Lease, *, lease_s: int) -> bool:
        """False: the lease is no longer ours."""
        return await self._write(
            _EXTEND, _place(lease.grant) | {"owner": lease.grant.lease_owner, "lease_s": lease_s}, None
        )

    async def store(self, lease: Lease, grant: Grant, event: Event) -> bool:
        """W2. False: fence, version or grant is no longer the lease's, and nothing was written."""
        return await self._set("held", lease.grant, generation_row(grant) | _FREE | _NO_INTENT, event)

    async def settle(self, lease: Lease, standing: Standing, event: Event | None, *, keep_intent: bool = False) -> bool:
        """End a refresh that changed no token. False: as for `store`."""
        new = standing_row(standing) | _FREE | ({} if keep_intent else _NO_INTENT)
        return await self._set("mine", lease.grant, new, event)

    async def restand(self, grant: Grant, standing: Standing, event: Event | None) -> bool:
        """False: somebody leases the grant, or it has changed."""
        return await self._set("free", grant, standing_row(standing), event)

    async def _set(self, condition: str, at: Grant, new: Mapping[str, Any], event: Event | None) -> bool:
        statement = _write_where(condition, tuple(new))
        return await self._write(statement, _place(at) | {f"new_{name}": value for name, value in new.items()}, event)

    async def _write(self, statement: Update, given: Mapping[str, Any], event: Event | None) -> bool:
        """Whether a row was written, and the line of history with it."""

        def work(connection: Connection) -> bool:
            if connection.execute(statement, given).first() is None:
                return False
            if event is not None:
                connection.execute(INSERT, event_row(event))
            return True

        return await self._engines.grouped(work, urgent=True)

    async def shelve(self, lease: Lease, sealed: bytes, *, version: int, until: datetime) -> None:
        """Keep what lost its fence. Nothing is kept for a credential that is gone."""
        lost = lease.grant
        kept = {
            "workspace_id": credentials.c.workspace_id,
            "credential_id": credentials.c.id,
            "grant_id": literal(lost.grant_id),
            "version": literal(version, orphans.c.version.type),
            "fence": literal(lost.fence, orphans.c.fence.type),
            "sealed": literal(sealed, orphans.c.sealed.type),
            "until": literal(until, UtcTime()),
        }
        living = select(*kept.values()).where(
            credentials.c.workspace_id == lost.workspace_id, credentials.c.id == lost.credential_id
        )
        statement = (
            self._engines.upsert(orphans)
            .from_select(list(kept), living)
            .on_conflict_do_update(
                index_elements=["workspace_id", "credential_id", "grant_id", "version", "fence"],
                set_={"sealed": sealed, "until": until},
            )
        )
        async with self._engines.write() as connection:
            await connection.execute(statement)

    async def orphans(self, workspace_id: str, credential_id: str, grant_id: str) -> Sequence[tuple[int, bytes]]:
        """(version, sealed), newest first."""
        statement = (
            select(orphans.c.version, orphans.c.sealed)
            .where(orphans.c.workspace_id == workspace_id, orphans.c.credential_id == credential_id)
            .where(orphans.c.grant_id == grant_id, orphans.c.until > clock_now())
            .order_by(orphans.c.version.desc(), orphans.c.fence.desc())
        )
        async with self._engines.read() as connection:
            return [(row.version, row.sealed) for row in await connection.execute(statement)]

    async def hasten(self, workspace_id: str, client: str, *, within_s: int = 0) -> int:
        """How many were made due."""
        soon = and_(grants.c.next_refresh_at > clock_now(), grants.c.next_refresh_at <= clock_after(within_s))
        waiting = or_(grants.c.failure_kind == str(FailureKind.CLIENT), soon)
        statement = _change(grants.c.workspace_id == workspace_id, grants.c.client == client, waiting, lease_free())
        async with self._engines.write() as connection:
            return (await connection.execute(statement.values(next_refresh_at=clock_now()))).rowcount

    async def hasten_future(self) -> int:
        """How many were made due."""
        statement = _change(
            grants.c.last_refresh_at > clock_after(60), grants.c.next_refresh_at.is_not(None), lease_free()
        )
        async with self._engines.write() as connection:
            return (await connection.execute(statement.values(next_refresh_at=clock_now()))).rowcount

    async def release_all(self, *, owners: str) -> int:
        """How many leases ended. Their grants are due at once; the traces of unfinished refreshes stay."""
        theirs = grants.c.lease_owner.startswith(owners, autoescape=True)
        statement = _change(grants.c.lease_owner != "", theirs).values(_FREE)
        async with self._engines.write() as connection:
            return (await connection.execute(statement.values(next_refresh_at=clock_now()))).rowcount

    async def purge(self) -> int:
        """Forget what may not be tried any more: orphans, and spent refresh tokens (reliability 4.5). Answers how many."""
        spent = _change(grants.c.prev_sealed.is_not(None), grants.c.prev_until <= clock_now())
        async with self._engines.write() as connection:
            shelved = await connection.execute(delete(orphans).where(orphans.c.until <= clock_now()))
            kept = await connection.execute(spent.values(prev_sealed=None, prev_until=None))
            return shelved.rowcount + kept.rowcount

    async def now(self) -> datetime:
        """The database's clock."""
        async with self._engines.read() as connection:
            moment: datetime = (await connection.execute(select(clock_now()))).scalar_one()
        return moment


def _lease_of(row: Mapping[Any, Any]) -> Lease:
    grant = grant_of(row)
    as_found = replace(grant.standing, next_refresh_at=row["prior_next_refresh_at"])
    return Lease(
        grant=replace(grant, standing=as_found),
        previous_intent_at=row["prior_intent_at"],
        previous_intent_fingerprint=row["prior_intent_fingerprint"],
    )
