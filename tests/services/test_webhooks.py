"""Endpoints as administrators keep them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.builders import OTHER_WORKSPACE, event
from tests.kit.envelope import place_of
from tests.kit.told import URL, Told, make_told
from tokenkeep.core.errors import Conflict, InvalidInput, NotFound, ScopeMissing
from tokenkeep.core.permissions import ROLES, Scope, system
from tokenkeep.services.webhooks import MOST_ENDPOINTS, Webhooks


@pytest.fixture
async def told() -> Told:
    return await make_told()


@pytest.fixture
def webhooks(told: Told) -> Webhooks:
    return told.outsiders.webhooks


CALLS: dict[str, dict[str, Any]] = {
    "create": {"url": URL},
    "list": {},
    "get": {},
    "edit": {"description": "new"},
    "rotate": {},
    "delete": {},
    "test": {},
    "deliveries": {"limit": 9, "cursor": ""},
    "replay": {"delivery_id": "msg_1"},
    "replay_failed": {},
}


def call(told: Told, name: str, caller: Any) -> Any:
    endpoint = () if name in {"create", "list"} else (told.endpoint.id,)
    return getattr(told.outsiders.webhooks, name)(caller, *endpoint, **CALLS[name])


@pytest.mark.parametrize("name", CALLS)
async def test_only_administrators(told: Told, name: str) -> None:
    for role in ("editor", "user", "viewer"):
        with pytest.raises(ScopeMissing):
            await call(told, name, told.house.caller(*ROLES[role]))
    with pytest.raises(ScopeMissing):
        await call(told, name, told.house.caller(*(scope for scope in Scope if scope is not Scope.ADMIN)))


@pytest.mark.parametrize("name", CALLS)
async def test_not_with_a_key_limited_to_some_credentials(told: Told, name: str) -> None:
    with pytest.raises(NotFound):
        await call(told, name, told.house.caller(Scope.ADMIN, credential_ids=frozenset({"credential-1"})))


@pytest.mark.parametrize("name", [name for name in CALLS if name not in {"create", "list"}])
async def test_another_workspaces_endpoint_is_not_there(told: Told, name: str) -> None:
    with pytest.raises(NotFound):
        await call(told, name, system(OTHER_WORKSPACE))
    assert list(await told.outsiders.webhooks.list(system(OTHER_WORKSPACE))) == []


async def test_the_secret_is_sealed_at_its_own_place_and_seen_once(told: Told, webhooks: Webhooks) -> None:
    endpoint, secret = await webhooks.create(
        told.house.person, url=URL, description=" Alerts ", types=["webhook.disabled"]
    )
    assert secret.reveal().startswith("whsec_")
    assert (endpoint.description, endpoint.types) == ("Alerts", ("webhook.disabled",))
    stored = await webhooks.get(told.house.person, endpoint.id)
    assert secret.reveal().encode() not in stored.secret_sealed
    place = place_of(stored.secret_sealed)
    assert (place.kind, place.record_id, place.version) == ("webhook_secret", endpoint.id, 1)
    assert secret.reveal() not in str(told.house.journal.records)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": "http://app.example.org"}, "url"),
        ({"description": "two\nlines"}, "description"),
        ({"description": "x" * 201}, "description"),
        ({"types": ["credential.exploded"]}, "types"),
        ({"types": ["webhook.test"]}, "types"),
    ],
)
async def test_what_makes_no_sense_is_named(told: Told, webhooks: Webhooks, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await webhooks.create(told.house.person, **{"url": URL} | given)
    assert set(refused.value.fields) == {field}
    with pytest.raises(InvalidInput):
        await webhooks.edit(told.house.person, told.endpoint.id, **given)


async def test_a_workspace_has_only_so_many(told: Told, webhooks: Webhooks) -> None:
    for _ in range(MOST_ENDPOINTS - 1):
        await webhooks.create(told.house.person, url=URL)
    with pytest.raises(Conflict):
        await webhooks.create(told.house.person, url=URL)
    await webhooks.create(system(OTHER_WORKSPACE), url=URL)


async def test_an_edit_changes_what_is_sent_and_keeps_the_rest(told: Told, webhooks: Webhooks) -> None:
    person, endpoint_id = told.house.person, told.endpoint.id
    edited = await webhooks.edit(person, endpoint_id, types=["credential.recovered", "credential.failing"])
    assert edited.types == ("credential.failing", "credential.recovered")
    edited = await webhooks.edit(person, endpoint_id, url="https://new.example", description="New")
    assert (edited.url, edited.description, len(edited.types)) == ("https://new.example", "New", 2)
    edited = await webhooks.edit(person, endpoint_id, types=[])
    assert edited.wants("credential.created")


async def test_disabling_and_enabling(told: Told, webhooks: Webhooks) -> None:
    person, endpoint_id = told.house.person, told.endpoint.id
    off = await webhooks.edit(person, endpoint_id, disabled=True)
    assert (off.disabled_at, off.disabled_reason) == (told.house.clock.now(), "asked")
    told.house.clock.advance(60)
    again = await webhooks.edit(person, endpoint_id, disabled=True)
    assert again == off
    for refused in (webhooks.test(person, endpoint_id), webhooks.replay_failed(person, endpoint_id)):
        with pytest.raises(Conflict):
            await refused
    on = await webhooks.edit(person, endpoint_id, disabled=False)
    assert (on.disabled_at, on.disabled_reason) == (None, "")


async def test_two_who_turn_the_secret_over_at_once_do_not_lose_one(told: Told, webhooks: Webhooks) -> None:
    stored = await webhooks.get(told.house.person, told.endpoint.id)
    await webhooks.rotate(told.house.person, told.endpoint.id)
    with pytest.raises(Conflict):
        await webhooks._save(stored, stored)


async def test_a_test_is_sent_whatever_the_endpoint_subscribes_to(told: Told, webhooks: Webhooks) -> None:
    await webhooks.edit(told.house.person, told.endpoint.id, types=["credential.failing"])
    delivery = await webhooks.test(told.house.person, told.endpoint.id)
    await told.send()
    (request,) = told.receiver.received
    assert (request.id, request.payload["type"]) == (delivery.id, "webhook.test")
    assert request.payload["data"]["webhook_id"] == told.endpoint.id


async def test_deliveries_are_listed_by_state(told: Told, webhooks: Webhooks) -> None:
    await webhooks.test(told.house.person, told.endpoint.id)
    await told.send()
    await webhooks.test(told.house.person, told.endpoint.id)
    listed = webhooks.deliveries
    for state, count in (("", 2), ("pending", 1), ("delivered", 1), ("failed", 0)):
        page = await listed(told.house.person, told.endpoint.id, state=state, limit=9, cursor="")
        assert len(page.items) == count
    with pytest.raises(InvalidInput):
        await listed(told.house.person, told.endpoint.id, state="lost", limit=9, cursor="")


async def test_only_what_is_over_is_replayed(told: Told, webhooks: Webhooks) -> None:
    person, endpoint_id = told.house.person, told.endpoint.id
    delivery = await webhooks.test(person, endpoint_id)
    with pytest.raises(Conflict):
        await webhooks.replay(person, endpoint_id, delivery.id)
    with pytest.raises(NotFound):
        await webhooks.replay(person, endpoint_id, "unknown")
    await told.send()
    replayed = await webhooks.replay(person, endpoint_id, delivery.id)
    assert (replayed.id, replayed.state, replayed.attempts) == (delivery.id, "pending", 0)
    await told.send()
    assert [request.id for request in told.receiver.received] == [delivery.id] * 2


async def test_every_failed_one_is_replayed(told: Told, webhooks: Webhooks) -> None:
    told.receiver.status = 410
    await told.house.database.events.add(event(kind="created", workspace_id=told.house.owner.workspace_id))
    await told.pass_on()
    await webhooks.edit(told.house.person, told.endpoint.id, disabled=False)
    told.receiver.status = 200
    assert await webhooks.replay_failed(told.house.person, told.endpoint.id) == 1
    await told.send()
    assert await told.states() == ["delivered"]
    assert await webhooks.replay_failed(told.house.person, told.endpoint.id) == 0


async def test_a_deleted_endpoint_gets_nothing_more(told: Told, webhooks: Webhooks) -> None:
    await webhooks.test(told.house.person, told.endpoint.id)
    await webhooks.delete(told.house.person, told.endpoint.id)
    await told.send()
    assert told.receiver.received == []
    with pytest.raises(NotFound):
        await webhooks.delete(told.house.person, told.endpoint.id)
