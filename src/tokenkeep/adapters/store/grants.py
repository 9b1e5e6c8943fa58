"""Grants and their leases.

Owns: reading and writing rows of `grants` and `orphans`, each change with its line of history. Does not own: under which
conditions a row may change (`grant_statements`), when to refresh and what an answer means.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, delete, literal, or_, select, tuple_
from sqlalchemy.sql.dml import Update

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.store.events import INSERT, event_row, insert_event
from tokenkeep.adapters.store.grant_rows import generation_row, grant_of, standing_row
from tokenkeep.adapters.store.grant_statements import (
    AT_REST,
    CLAIM,
    DUE,
    EXTEND,
    FREE,
    GET,
    NO_INTENT,
    SETTLED,
    change,
    place_of,
    row_at,
    write_where,
)
from tokenkeep.adapters.store.rows import lease_free
from tokenkeep.adapters.tables import credentials, grants, orphans
from tokenkeep.adapters.tables.columns import UtcTime, clock_after, clock_now
from tokenkeep.core.errors import NotFound
from tokenkeep.core.model import Event, FailureKind, Grant, Standing
from tokenkeep.services.ports import Due, Lane, Lease


class Grants:
    """The port `GrantStore`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def get(self, workspace_id: str, credential_id: str) -> Grant | None:
        """None: not connected, or not in this workspace."""
        async with self._engines.read() as connection:
            place = {"at_workspace_id": workspace_id, "at_credential_id": credential_id}
            row = (await connection.execute(GET, place)).mappings().first()
        return grant_of(row) if row is not None else None

    async def connect(self, grant: Grant, event: Event) -> None:
        """Put a new consent in place. Raises NotFound when the credential is gone."""
        new = generation_row(grant) | SETTLED
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
        statement = delete(grants).where(row_at(workspace_id, credential_id)).returning(*grants.c)
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
        given = {
            "at_state": grant.standing.state,
            "owner": owner,
            "lease_s": lease_s,
            "fingerprint": intent_fingerprint,
        }
        given |= place_of(grant)
        row = await self._engines.grouped(lambda connection: connection.execute(CLAIM, given).mappings().first())
        return _lease_of(row) if row is not None else None

    async def extend(self, lease: Lease, *, lease_s: int) -> bool:
        """False: the lease is no longer ours."""
        return await self._write(
            EXTEND, place_of(lease.grant) | {"owner": lease.grant.lease_owner, "lease_s": lease_s}, None
        )

    async def store(self, lease: Lease, grant: Grant, event: Event, *, unsettled: bool = False) -> bool:
        """W2. False: fence, version or grant is no longer the lease's, and nothing was written."""
        traces = _traces(lease) if unsettled else SETTLED
        return await self._set("held", lease.grant, generation_row(grant) | FREE | traces, event)

    async def settle(
        self,
        lease: Lease,
        standing: Standing,
        event: Event | None,
        *,
        keep_intent: bool = False,
        refused: Sequence[str] = (),
    ) -> bool:
        """End a refresh that changed no token. False: as for `store`."""
        new = standing_row(standing) | FREE | ({} if keep_intent else NO_INTENT) | {"refused": list(refused) or None}
        return await self._set("mine", lease.grant, new, event)

    async def restand(self, grant: Grant, standing: Standing, event: Event | None) -> bool:
        """What was refused may be tried again. False: somebody leases the grant, or it has changed."""
        return await self._set("free", grant, standing_row(standing) | {"refused": None}, event)

    async def _set(self, condition: str, at: Grant, new: Mapping[str, Any], event: Event | None) -> bool:
        statement = write_where(condition, tuple(new))
        return await self._write(statement, place_of(at) | {f"new_{name}": value for name, value in new.items()}, event)

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
        statement = change(grants.c.workspace_id == workspace_id, grants.c.client == client, waiting, lease_free())
        async with self._engines.write() as connection:
            return (await connection.execute(statement.values(next_refresh_at=clock_now()))).rowcount

    async def hasten_future(self) -> int:
        """How many were made due."""
        statement = change(
            grants.c.last_refresh_at > clock_after(60), grants.c.next_refresh_at.is_not(None), lease_free()
        )
        async with self._engines.write() as connection:
            return (await connection.execute(statement.values(next_refresh_at=clock_now()))).rowcount

    async def release_all(self, *, owners: str) -> int:
        """How many leases ended. Their grants are due at once; the traces of unfinished refreshes stay."""
        theirs = grants.c.lease_owner.startswith(owners, autoescape=True)
        statement = change(grants.c.lease_owner != "", theirs).values(FREE)
        async with self._engines.write() as connection:
            return (await connection.execute(statement.values(next_refresh_at=clock_now()))).rowcount

    async def purge(self) -> int:
        """Forget what may not be tried any more: orphans, and spent refresh tokens (reliability 4.5). Answers how many.

        Leases that ended over a grant at rest go as well: nobody claims that, so nobody would release it.
        """
        spent = change(grants.c.prev_sealed.is_not(None), grants.c.prev_until <= clock_now())
        resting = change(grants.c.state.in_(AT_REST), grants.c.lease_until <= clock_now())
        async with self._engines.write() as connection:
            shelved = await connection.execute(delete(orphans).where(orphans.c.until <= clock_now()))
            kept = await connection.execute(spent.values(prev_sealed=None, prev_until=None))
            await connection.execute(resting.values(SETTLED | {"next_refresh_at": None}))
            return shelved.rowcount + kept.rowcount

    async def now(self) -> datetime:
        """The database's clock."""
        async with self._engines.read() as connection:
            moment: datetime = (await connection.execute(select(clock_now()))).scalar_one()
        return moment


def _traces(lease: Lease) -> dict[str, Any]:
    """To be written where refreshes before this lease may be unfinished: no intent but theirs."""
    return NO_INTENT if lease.previous_intent_at is None else {}


def _lease_of(row: Mapping[Any, Any]) -> Lease:
    grant = grant_of(row)
    as_found = replace(grant.standing, next_refresh_at=row["prior_next_refresh_at"])
    return Lease(
        grant=replace(grant, standing=as_found),
        previous_intent_at=row["prior_intent_at"],
        previous_intent_fingerprint=row["prior_intent_fingerprint"],
    )
