"""ClientStore: registrations, and the one try a paused client is allowed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.kit import builders
from tests.kit.builders import OTHER_WORKSPACE, WORKSPACE
from tests.kit.stored import AnyDatabase, event
from tokenkeep.core.errors import Conflict
from tokenkeep.core.model import Client

MINUTE = timedelta(minutes=1)


async def put(database: AnyDatabase, **changes: object) -> Client:
    client = builders.client(**changes)
    await database.clients.put(client)
    return client


async def stored(database: AnyDatabase) -> Client:
    client = await database.clients.get(WORKSPACE, "client-1")
    assert client is not None
    return client


async def test_a_client_comes_back_whole(database: AnyDatabase) -> None:
    client = await put(database, scopes=("a", "b"), variables={"subdomain": "acme"}, secret_sealed=b"\x00\xff")
    assert await database.clients.get(WORKSPACE, "client-1") == client
    assert await database.clients.for_provider(WORKSPACE, "acme") == client
    assert await database.clients.by_handle("client-1") == client
    assert list(await database.clients.list(WORKSPACE)) == [client]


async def test_a_public_client_has_no_secret(database: AnyDatabase) -> None:
    await put(database, secret_sealed=None)
    assert (await stored(database)).secret_sealed is None


async def test_other_workspaces_see_and_touch_nothing(database: AnyDatabase, now: datetime) -> None:
    client = await put(database, incident_code="invalid_client", incident_since=now, probe_at=now)
    theirs = replace(client, workspace_id=OTHER_WORKSPACE)
    assert await database.clients.get(OTHER_WORKSPACE, "client-1") is None
    assert await database.clients.for_provider(OTHER_WORKSPACE, "acme") is None
    assert list(await database.clients.list(OTHER_WORKSPACE)) == []
    assert not await database.clients.pause(theirs, code="x", probe_at=now + MINUTE)
    assert not await database.clients.probe(theirs, next_probe_at=now + MINUTE)
    assert not await database.clients.resume(theirs)
    assert not await database.clients.delete(OTHER_WORKSPACE, "acme")
    assert await stored(database) == client


async def test_putting_again_replaces_and_ends_the_incident(database: AnyDatabase, now: datetime) -> None:
    await database.clients.pause(await put(database), code="invalid_client", probe_at=now)
    mended = await put(database, version=2, secret_sealed=b"new")
    assert await stored(database) == mended


async def test_one_client_per_provider_and_workspace(database: AnyDatabase) -> None:
    await put(database)
    with pytest.raises(Conflict):
        await put(database, id="client-2")
    await put(database, id="client-2", provider="other")
    await put(database, id="client-3", workspace_id=OTHER_WORKSPACE)
    assert [client.id for client in await database.clients.list(WORKSPACE)] == ["client-1", "client-2"]


async def test_a_handle_belongs_to_one_workspace(database: AnyDatabase) -> None:
    client = await put(database)
    with pytest.raises(Conflict):
        await put(database, workspace_id=OTHER_WORKSPACE)
    assert await database.clients.by_handle("client-1") == client


async def test_an_incident_begins_once_and_is_prolonged(database: AnyDatabase, now: datetime) -> None:
    client = await put(database)
    assert await database.clients.pause(client, code="invalid_client", probe_at=now + MINUTE)
    begun = await stored(database)
    assert not await database.clients.pause(client, code="unauthorized_client", probe_at=now + 2 * MINUTE)
    prolonged = await stored(database)
    assert (begun.incident_code, begun.probe_at) == ("invalid_client", now + MINUTE)
    assert begun.incident_since is not None
    assert abs(begun.incident_since - now) < MINUTE
    assert prolonged == replace(begun, incident_code="unauthorized_client", probe_at=now + 2 * MINUTE)


async def test_of_many_who_see_an_incident_begin_one_alerts(database: AnyDatabase, now: datetime) -> None:
    client = await put(database)
    alerts = await asyncio.gather(*(database.clients.pause(client, code="x", probe_at=now) for _ in range(10)))
    assert sum(alerts) == 1


async def test_a_client_mended_meanwhile_is_not_paused(database: AnyDatabase, now: datetime) -> None:
    old = await put(database)
    await put(database, version=2)
    assert not await database.clients.pause(old, code="invalid_client", probe_at=now)
    assert (await stored(database)).incident_code == ""


async def test_one_of_many_takes_the_try(database: AnyDatabase, now: datetime) -> None:
    await database.clients.pause(await put(database), code="invalid_client", probe_at=now)
    paused = await stored(database)
    taken = await asyncio.gather(*(database.clients.probe(paused, next_probe_at=now + MINUTE) for _ in range(10)))
    assert sum(taken) == 1
    assert (await stored(database)).probe_at == now + MINUTE


async def test_there_is_no_try_without_an_incident(database: AnyDatabase, now: datetime) -> None:
    assert not await database.clients.probe(await put(database), next_probe_at=now)


async def test_resuming_ends_the_incident_once(database: AnyDatabase, now: datetime) -> None:
    client = await put(database)
    assert not await database.clients.resume(client)
    await database.clients.pause(client, code="invalid_client", probe_at=now)
    assert await database.clients.resume(client)
    assert await stored(database) == client
    assert not await database.clients.resume(client)


async def test_an_incidents_begin_and_end_are_told_once_each_together_with_it(
    database: AnyDatabase, now: datetime
) -> None:
    client = await put(database)
    for number in range(2):
        told = event(id=f"begun-{number}", kind="client_paused", credential_id="")
        await database.clients.pause(client, code="invalid_client", probe_at=now, event=told)
    for number in range(2):
        told = event(id=f"ended-{number}", kind="client_resumed", credential_id="")
        await database.clients.resume(client, told)
    await database.clients.put(client, event(id="anew", kind="client_resumed", credential_id=""))
    refused = event(id="refused", kind="client_resumed", credential_id="")
    with pytest.raises(Conflict):
        await database.clients.put(replace(client, id="client-2"), refused)
    lines = await database.events.recent(WORKSPACE, kinds=[], limit=9)
    assert sorted(line.id for line in lines) == ["anew", "begun-0", "ended-0"]


async def test_deleting(database: AnyDatabase) -> None:
    await put(database)
    assert await database.clients.delete(WORKSPACE, "acme")
    assert not await database.clients.delete(WORKSPACE, "acme")
    assert await database.clients.get(WORKSPACE, "client-1") is None
