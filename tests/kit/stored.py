"""Rows for store tests: a credential, and one that is connected, by way of the ports."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from tests.kit import builders
from tests.kit.builders import WORKSPACE
from tests.kit.memory_store import MemoryDatabase
from tokenkeep.adapters.store import Database
from tokenkeep.core.model import Credential, Event, Grant
from tokenkeep.services.ports import Lease

AnyDatabase = Database | MemoryDatabase

_numbers = count(1)


def event(**changes: Any) -> Event:
    """With an id of its own."""
    return builders.event(**{"id": f"event-{next(_numbers)}"} | changes)


async def put_credential(database: AnyDatabase, **changes: Any) -> Credential:
    credential = builders.credential(**changes)
    told = event(workspace_id=credential.workspace_id, credential_id=credential.id)
    await database.credentials.add(credential, told)
    return credential


async def put_grant(database: AnyDatabase, *, due: datetime | None = None, **changes: Any) -> Grant:
    """A new credential with a grant whose next refresh is `due`, or in an hour."""
    at = due or await database.grants.now() + timedelta(hours=1)
    grant = builders.grant(**changes)
    grant = replace(grant, standing=replace(grant.standing, next_refresh_at=at))
    if await database.credentials.get(grant.workspace_id, grant.credential_id) is None:
        await put_credential(database, workspace_id=grant.workspace_id, id=grant.credential_id)
    await database.grants.connect(grant, event(workspace_id=grant.workspace_id, credential_id=grant.credential_id))
    stored = await database.grants.get(grant.workspace_id, grant.credential_id)
    assert stored is not None
    return stored


async def claimed(database: AnyDatabase, grant: Grant, *, owner: str = "me", lease_s: int = 90) -> Lease:
    """Claim it as it is now, or fail."""
    grant = await database.grants.get(grant.workspace_id, grant.credential_id) or grant
    lease = await database.grants.claim(grant, owner=owner, lease_s=lease_s, intent_fingerprint=f"of {owner}")
    assert lease is not None
    return lease


async def stored(database: AnyDatabase) -> Grant:
    """The grant of `credential-1` as it is now."""
    grant = await database.grants.get(WORKSPACE, "credential-1")
    assert grant is not None
    return grant


def at_once(one: datetime | None, other: datetime | None) -> bool:
    """Within one statement: PostgreSQL's clock goes on meanwhile."""
    return one is not None and other is not None and abs(one - other) < timedelta(milliseconds=100)


def next_generation(lease: Lease, **changes: Any) -> Grant:
    """What a refresh under that lease would store."""
    return replace(lease.grant, version=lease.grant.version + 1, sealed=b"new", prev_sealed=b"old", **changes)


async def history(database: AnyDatabase) -> list[str]:
    """The kinds of the lines about `credential-1`, newest first."""
    page = await database.events.list(WORKSPACE, "credential-1", limit=50, cursor="")
    return [line.kind for line in page.items]
