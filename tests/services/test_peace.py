"""Leaving providers in peace: paused clients, pauses that were asked for, breakers."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.kit import builders
from tests.kit.authorization_server import CLIENT_ID, CLIENT_SECRET
from tests.kit.house import House, make_house
from tokenkeep.core.errors import RefreshFailing
from tokenkeep.core.model import FailureKind, State
from tokenkeep.core.secret import Secret

QUARTER = timedelta(minutes=15)


async def with_three(**switches: object) -> tuple[House, list[str]]:
    house = await make_house(**switches)
    ids = await house.connect_many(3)
    house.expire()
    return house, ids


async def the_client(house: House):
    return (await house.cases.clients.get(house.person, "acme")).client


# --- a client whose secret is refused -------------------------------------------------------------------------------


async def test_a_refused_client_is_paused_once_and_every_grant_is_kept():
    house, ids = await with_three(invalid_client=False)
    house.server.switches.invalid_client = True
    await house.refresh_now(ids[0])
    client = await the_client(house)
    assert client.incident_code == "invalid_client"
    assert client.probe_at == house.clock.now() + QUARTER
    for _ in range(3):
        await house.sweep()
    assert len(house.server.refreshes()) == 1, "the others are postponed without a call"
    assert house.journal.actions.count("client_paused") == 1
    for id_ in ids:
        assert house.server.consents.accepts(await house.stored_refresh_token(id_))
        assert house.state(id_) in {State.FAILING, State.CONNECTED}
    assert house.grant(ids[1]).standing.next_refresh_at >= client.probe_at


async def test_a_paused_client_is_tried_once_every_quarter_of_an_hour():
    house, ids = await with_three()
    house.server.switches.invalid_client = True
    await house.refresh_now(ids[0])
    house.clock.advance(14 * 60)
    for id_ in ids:
        await house.refresh_now(id_)
    assert len(house.server.refreshes()) == 1
    house.clock.advance(61)
    for id_ in ids:
        await house.refresh_now(id_)
    assert len(house.server.refreshes()) == 2
    assert house.journal.actions.count("client_paused") == 1


async def test_a_probe_that_works_ends_the_pause():
    house, ids = await with_three()
    house.server.switches.invalid_client = True
    await house.refresh_now(ids[0])
    house.server.switches.invalid_client = False
    house.clock.advance(901)
    await house.refresh_now(ids[1])
    assert (await the_client(house)).incident_code == ""
    assert house.journal.actions.count("client_resumed") == 1
    house.clock.advance(10)
    await house.sweep()
    assert {house.state(id_) for id_ in ids} == {State.CONNECTED}
    assert {house.grant(id_).version for id_ in ids} == {2}


async def test_mending_the_secret_resumes_at_once():
    house, ids = await with_three()
    house.server.clients[CLIENT_ID] = "a new secret at the provider"
    await house.refresh_now(ids[0])
    assert house.state(ids[0]) is State.FAILING
    await house.register("a new secret at the provider")
    assert (await the_client(house)).incident_code == ""
    assert house.grant(ids[0]).standing.next_refresh_at == house.clock.now()
    await house.sweep()
    assert house.state(ids[0]) is State.CONNECTED
    token = await house.cases.tokens.token(house.node, ids[1])
    assert token.facts.expires_at > house.clock.now(), "a grant that was only postponed is served at once as well"


async def test_a_refusal_of_the_old_secret_does_not_pause_the_new_one():
    """The secret is mended while a refresh with the old one is under way."""
    house, ids = await with_three()
    house.server.switches.invalid_client = True

    async def mend() -> None:
        house.server.switches.invalid_client = False
        await house.register()

    house.wire.after_refresh.append(mend)
    await house.refresh_now(ids[0])
    assert (await the_client(house)).incident_code == ""


async def test_one_workspaces_paused_client_does_not_touch_other_providers():
    house = await make_house(further=[builders.provider(id="other", name="Other", token_endpoint="https://o.test/t")])
    await house.cases.clients.put(house.person, "other", client_id=CLIENT_ID, client_secret=Secret(CLIENT_SECRET))
    id_ = (await house.connect()).credential.id
    house.server.switches.invalid_client = True
    await house.refresh_now(id_)
    assert (await house.cases.clients.get(house.person, "other")).client.incident_code == ""


async def test_the_probe_is_not_wasted_while_a_pause_was_asked_for():
    house, ids = await with_three()
    house.server.switches.invalid_client = True
    await house.refresh_now(ids[0])
    registration = await house.cases.clients.for_provider(house.owner.workspace_id, "acme")
    house.clock.advance(901)
    house.cases.peace._asked_to_wait[registration.client.id] = house.clock.now() + timedelta(seconds=60)
    await house.refresh_now(ids[1])
    assert len(house.server.refreshes()) == 1
    house.clock.advance(66)
    await house.refresh_now(ids[1])
    assert len(house.server.refreshes()) == 2


async def test_a_token_is_kept_although_the_pause_cannot_be_ended():
    """What the provider gave is stored first; noting that the client is well again comes after, and may fail."""
    house, ids = await with_three()
    house.server.switches.invalid_client = True
    await house.refresh_now(ids[0])
    house.server.switches.invalid_client = False
    house.clock.advance(901)

    async def away(client):
        raise ConnectionError

    resume, house.database.clients.resume = house.database.clients.resume, away
    await house.refresh_now(ids[0])
    house.database.clients.resume = resume
    assert house.server.consents.accepts(await house.stored_refresh_token(ids[0]))
    assert house.state(ids[0]) is State.CONNECTED


async def broken_secret(count: int = 6) -> tuple[House, list[str]]:
    """The provider does not know our secret any more, and everybody has noticed who could."""
    house = await make_house()
    ids = await house.connect_many(count)
    house.expire()
    house.server.clients[CLIENT_ID] = "another secret"
    for _ in range(3):
        await house.sweep()
        house.clock.advance(5)
    return house, ids


def is_well(house: House, ids: list[str]) -> bool:
    return {house.state(id_) for id_ in ids} == {State.CONNECTED} and {house.grant(id_).version for id_ in ids} == {2}


async def test_a_broken_secret_is_one_alert_and_nobody_dies():
    house, ids = await broken_secret()
    assert house.journal.actions.count("client_paused") == 1
    for _ in range(24):
        house.clock.advance(900)
        await house.sweep()
    assert house.journal.actions.count("client_paused") == 1
    assert not {"reauthorization_required", "refusal_doubted"} & {kind for id_ in ids for kind in house.events(id_)}
    failures = [failure for id_ in ids if (failure := house.grant(id_).standing.failure) is not None]
    assert {failure.kind for failure in failures} == {FailureKind.CLIENT}
    for id_ in ids:
        assert house.server.accepts(await house.stored_refresh_token(id_))


async def test_a_secret_that_an_administrator_mends_brings_all_of_them_back_within_two_sweeps():
    house, ids = await broken_secret()
    await house.register("another secret")
    for _ in range(2):
        await house.sweep()
        house.clock.advance(5)
    assert is_well(house, ids)


@pytest.mark.parametrize("hours", [0, 12])
@pytest.mark.parametrize("count", [1, 6])
async def test_a_secret_that_is_mended_at_the_provider_is_found_within_a_quarter_of_an_hour(count, hours):
    """Also after a night, and also where one credential is the only one that could notice."""
    house, ids = await broken_secret(count)
    house.entropy.next_fraction = 0.99
    for _ in range(hours * 60):
        house.clock.advance(60)
        await house.sweep()
    asked = len(house.server.refreshes())
    while len(house.server.refreshes()) == asked:
        house.clock.advance(15)
        await house.sweep()
    house.server.clients[CLIENT_ID] = CLIENT_SECRET  # just after a probe: the longest wait
    mended = house.clock.now()
    while not is_well(house, ids):
        house.clock.advance(15)
        await house.sweep()
        assert house.clock.now() - mended <= QUARTER + timedelta(seconds=60)
    assert house.journal.actions.count("client_resumed") == 1


async def test_several_processes_send_one_probe():
    house, _ = await broken_secret()
    processes = [house, house.replica(), house.replica()]
    house.clock.advance(900)
    asked = len(house.server.refreshes())
    for _ in range(3):
        await asyncio.gather(*(process.cases.sweeper.sweep() for process in processes))
        for process in processes:
            assert await process.tasks.drain(5) == 0
        house.clock.advance(6)
    assert len(house.server.refreshes()) == asked + 1
    assert house.journal.actions.count("client_paused") == 1


# --- pauses that were asked for -------------------------------------------------------------------------------------


async def test_retry_after_holds_for_every_credential_of_the_client():
    house, ids = await with_three()
    house.server.switches.down, house.server.switches.down_status = True, 429
    house.server.switches.retry_after = "300"
    await house.refresh_now(ids[0])
    for id_ in ids:
        await house.refresh_now(id_)
    assert len(house.server.refreshes()) == 1
    assert house.grant(ids[1]).standing.next_refresh_at >= house.clock.now() + timedelta(seconds=300)
    assert house.grant(ids[1]).standing.failure is None, "nothing was tried, so nothing failed"
    house.server.switches.down = False
    house.clock.advance(306)
    await house.refresh_now(ids[1])
    assert house.grant(ids[1]).version == 2


async def test_retry_after_is_never_longer_than_an_hour():
    house, ids = await with_three(retry_after="")
    house.server.switches.down, house.server.switches.retry_after = True, "999999"
    await house.refresh_now(ids[0])
    assert house.grant(ids[0]).standing.next_refresh_at <= house.clock.now() + timedelta(seconds=3600 + 30)


async def test_those_who_waited_do_not_come_back_together():
    house, ids = await with_three()
    house.server.switches.down, house.server.switches.retry_after = True, "60"
    await house.refresh_now(ids[0])
    plans = set()
    for id_, fraction in zip(ids[1:], (0.1, 0.9), strict=True):
        house.entropy.next_fraction = fraction
        await house.refresh_now(id_)
        plans.add(house.grant(id_).standing.next_refresh_at)
    assert len(plans) == 2


async def test_a_reader_is_told_when_to_come_back():
    house, ids = await with_three()
    house.server.switches.down, house.server.switches.retry_after = True, "120"
    with pytest.raises(RefreshFailing) as failing:
        await house.cases.tokens.token(house.node, ids[0])
    assert 120 <= failing.value.retry_after <= 180
    with pytest.raises(RefreshFailing) as failing:
        await house.cases.tokens.token(house.node, ids[1])
    assert 120 <= failing.value.retry_after <= 130


# --- breakers ----------------------------------------------------------------------------------------------------------


async def down_after_five(house: House, ids: list[str]) -> None:
    house.server.switches.down = True
    for _ in range(5):
        await house.refresh_now(ids[0])


async def test_five_faults_in_a_row_open_the_breaker_for_all_credentials_of_the_host():
    house, ids = await with_three()
    await down_after_five(house, ids)
    assert house.journal.facts("breaker_opened") == [{"host": "provider.test"}]
    await house.refresh_now(ids[1])
    assert len(house.server.refreshes()) == 5
    view = await house.cases.status.overview(house.person)
    assert list(view.breakers) == ["provider.test"]
    assert house.grant(ids[1]).standing.next_refresh_at >= house.clock.now() + timedelta(seconds=15)


async def test_four_faults_do_not_open_it_and_an_answer_begins_the_count_anew():
    house, ids = await with_three()
    for _ in range(2):
        house.server.switches.down = True
        for _ in range(4):
            await house.refresh_now(ids[0])
        house.server.switches.down = False
        await house.refresh_now(ids[0])
    assert len(house.server.refreshes()) == 10
    assert "breaker_opened" not in house.journal.actions


async def test_after_a_while_one_probe_is_let_through():
    house, ids = await with_three()
    await down_after_five(house, ids)
    house.clock.advance(16)
    for id_ in ids:
        await house.refresh_now(id_)
    assert len(house.server.refreshes()) == 6
    house.clock.advance(16)
    await house.refresh_now(ids[1])
    assert len(house.server.refreshes()) == 6, "it stays closed to all for twice as long"
    house.clock.advance(20)
    house.server.switches.down = False
    await house.refresh_now(ids[1])
    assert len(house.server.refreshes()) == 7
    assert "breaker_closed" in house.journal.actions
    await house.refresh_now(ids[2])
    assert house.grant(ids[2]).version == 2


async def test_while_the_probe_is_under_way_nobody_else_is_let_through():
    house, ids = await with_three()
    await down_after_five(house, ids)
    house.clock.advance(16)
    house.server.switches.down = False
    house.hold_answers()
    probe = asyncio.create_task(house.refresh_now(ids[0]))
    await house.server.entered.wait()
    await house.refresh_now(ids[1])
    assert len(house.server.refreshes()) == 6
    house.server.gate.set()
    await probe
    await house.refresh_now(ids[1])
    assert len(house.server.refreshes()) == 7


@pytest.mark.parametrize("answer", ['{"error": "invalid_grant"}', '{"error": "invalid_client"}'])
async def test_refused_credentials_never_open_the_breaker(answer):
    house = await make_house()
    ids = await house.connect_many(6)
    for id_ in ids:
        house.wire.instead = [builders.answer(answer, status=400)]
        await house.refresh_now(id_)
    assert "breaker_opened" not in house.journal.actions


async def test_the_failure_kind_of_a_paused_client_is_the_administrators():
    house, ids = await with_three()
    house.server.switches.invalid_client = True
    await house.refresh_now(ids[0])
    assert house.grant(ids[0]).standing.failure.kind is FailureKind.CLIENT
    view = await house.cases.status.overview(house.person)
    assert [client.incident_code for client in view.clients_paused] == ["invalid_client"]
