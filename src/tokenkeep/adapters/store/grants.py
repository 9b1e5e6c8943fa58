"""Grants and their leases.

Owns: rows of `grants` and `orphans`; the conditional statements that keep one refresh at a time and no older
generation over a newer one (reliability 4.4). Does not own: when to refresh and what an answer means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Integer, and_, bindparam, delete, literal, or_, select, update
from sqlalchemy.sql.dml import Update

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.store.events import insert_event
from tokenkeep.adapters.store.grant_rows import generation_row, grant_of, standing_row
from tokenkeep.adapters.store.rows import grant_at, lease_free
from tokenkeep.adapters.tables import credentials, grants, orphans
from tokenkeep.adapters.tables.columns import UtcTime, clock_after, clock_at_start, clock_now
from tokenkeep.core.errors import NotFound
from tokenkeep.core.model import Event, FailureKind, Grant, Standing
from tokenkeep.services.ports import Lease

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


def _held(lease: Lease) -> ColumnElement[bool]:
    """The row is still what the lease was taken on: nobody claimed it since, stored into it or connected anew."""
    held = lease.grant
    at = grant_at(held.workspace_id, held.credential_id, grant_id=held.grant_id, version=held.version)
    return and_(at, grants.c.fence == held.fence)


DUE = (
    select(grants.c.workspace_id, grants.c.credential_id)
    .where(grants.c.next_refresh_at.is_not(None), grants.c.next_refresh_at <= clock_at_start())
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
            found = await connection.execute(select(grants).where(_at(workspace_id, credential_id)))
            row = found.mappings().first()
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

    async def due(self, *, limit: int) -> Sequence[tuple[str, str]]:
        """(workspace, credential), oldest first."""
        async with self._engines.read() as connection:
            rows = (await connection.execute(DUE, {"limit": limit})).all()
        return [(row.workspace_id, row.credential_id) for row in rows]

    async def claim(self, grant: Grant, *, owner: str, lease_s: int, intent_fingerprint: str) -> Lease | None:
        """W1. None: somebody else has it, or the row has changed."""
        at = grant_at(grant.workspace_id, grant.credential_id, grant_id=grant.grant_id, version=grant.version)
        statement = (
            _change(at, lease_free())
            .values(
                lease_owner=owner,
                lease_until=clock_after(lease_s),
                next_refresh_at=clock_after(lease_s),
                intent_at=clock_now(),
                intent_fingerprint=intent_fingerprint,
                fence=grants.c.fence + 1,
                prior_intent_at=grants.c.intent_at,
                prior_intent_fingerprint=grants.c.intent_fingerprint,
                prior_next_refresh_at=grants.c.next_refresh_at,
            )
            .returning(*grants.c)
        )
        async with self._engines.write() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return _lease_of(row) if row is not None else None

    async def extend(self, lease: Lease, *, lease_s: int) -> bool:
        """False: the lease is no longer ours."""
        statement = (
            _change(_held(lease), grants.c.lease_owner == lease.grant.lease_owner)
            .values(lease_until=clock_after(lease_s), next_refresh_at=clock_after(lease_s))
            .returning(grants.c.fence)
        )
        return await self._write(statement, None)

    async def store(self, lease: Lease, grant: Grant, event: Event) -> bool:
        """W2. False: fence, version or grant is no longer the lease's, and nothing was written."""
        new = generation_row(grant) | _FREE | _NO_INTENT
        return await self._write(_change(_held(lease)).values(new).returning(grants.c.fence), event)

    async def settle(self, lease: Lease, standing: Standing, event: Event | None, *, keep_intent: bool = False) -> bool:
        """End a refresh that changed no token. False: as for `store`."""
        new = standing_row(standing) | _FREE | ({} if keep_intent else _NO_INTENT)
        return await self._write(_change(_held(lease)).values(new).returning(grants.c.fence), event)

    async def restand(self, grant: Grant, standing: Standing, event: Event | None) -> bool:
        """False: somebody leases the grant, or it has changed."""
        at = grant_at(grant.workspace_id, grant.credential_id, grant_id=grant.grant_id, version=grant.version)
        statement = _change(at, lease_free()).values(standing_row(standing)).returning(grants.c.fence)
        return await self._write(statement, event)

    async def _write(self, statement: Any, event: Event | None) -> bool:
        async with self._engines.write() as connection:
            if (await connection.execute(statement)).first() is None:
                return False
            await insert_event(connection, event)
            return True

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

    async def release_all(self, *, owners: str) -> int:
        """How many leases ended. Their grants are due at once; the traces of unfinished refreshes stay."""
        theirs = grants.c.lease_owner.startswith(owners, autoescape=True)
        statement = _change(grants.c.lease_owner != "", theirs).values(_FREE)
        async with self._engines.write() as connection:
            return (await connection.execute(statement.values(next_refresh_at=clock_now()))).rowcount

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
