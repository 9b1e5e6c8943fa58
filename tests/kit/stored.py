"""Rows for store tests: a credential, and one that is connected, by way of the ports."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from tests.kit import builders
from tests.kit.memory_store import MemoryDatabase
from tokenkeep.adapters.store import Database
from tokenkeep.core.model import Credential, Event, Grant

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
