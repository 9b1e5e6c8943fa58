"""From history to the outside: who is told what, once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kit.authorization_server import CLIENT_ID, CLIENT_SECRET
from tests.kit.builders import OTHER_WORKSPACE, event
from tests.kit.receiver import signed_by
from tests.kit.told import Told, make_told
from tokenkeep.core import policy
from tokenkeep.core.permissions import system
from tokenkeep.core.turns import SUBSCRIBABLE


async def told_types(told: Told) -> list[str]:
    await told.pass_on()
    return sorted(told.receiver.types)


async def test_a_connection_is_told_signed_and_whole() -> None:
    told = await make_told(types=["credential.connected"])
    view = await told.house.connect(name="Team drive")
    await told.pass_on()
    (request,) = told.receiver.received
    (line,) = [one for one in told.house.database.rows.events if one.kind == "connected"]
    assert signed_by(told.secret, request)
    assert request.headers["content-type"] == "application/json"
    assert request.payload == {
        "type": "credential.connected",
        "timestamp": "2026-11-24T12:01:00Z",
        "data": {
            "workspace_id": told.house.owner.workspace_id,
            "event_id": line.id,
            "actor": told.house.person.actor,
            "credential_id": view.credential.id,
            "credential_type": "acmeOAuth2",
            "name": "Team drive",
            "provider": "acme",
            "detail": {},
        },
    }


async def test_failing_and_recovered_are_told_when_it_turns_and_not_at_every_failure() -> None:
    told = await make_told(types=["credential.failing", "credential.recovered"])
    credential_id = (await told.house.connect()).credential.id
    for broken in (True, True, True, False, False, True):
        told.house.server.switches.down = broken
        told.house.expire()
        await told.house.refresh_now(credential_id)
        await told.pass_on()
    assert told.receiver.types == ["credential.failing", "credential.recovered", "credential.failing"]
    failure = told.receiver.received[0].payload["data"]["failure"]
    assert failure["kind"] == "transient"
    actions = told.house.journal.actions
    assert (actions.count("credential_failing"), actions.count("credential_recovered")) == (2, 1)


async def test_a_turn_is_found_however_many_lines_one_pass_reads() -> None:
    told = await make_told(types=["credential.failing", "credential.recovered"])
    for number, kind in enumerate(["connected", *["refresh_failed"] * 250, "refreshed"]):
        await told.house.database.events.add(
            event(id=str(number), kind=kind, workspace_id=told.house.owner.workspace_id)
        )
    assert await told_types(told) == ["credential.failing", "credential.recovered"]


async def test_one_line_can_be_two_turns_each_with_an_id_of_its_own() -> None:
    told = await make_told(types=["credential.refreshed", "credential.recovered"])
    for number, kind in enumerate(["refresh_failed", "refreshed"]):
        await told.house.database.events.add(
            event(id=str(number), kind=kind, workspace_id=told.house.owner.workspace_id)
        )
    await told.pass_on()
    assert {request.id for request in told.receiver.received} == {"msg_1_refreshed", "msg_1_recovered"}


async def test_nothing_is_told_twice_by_several_processes() -> None:
    told = await make_told()
    await told.house.connect()
    other = told.replica()
    lines = await told.house.database.outbox.untold(limit=99)
    await told.outsiders.tell()
    await other.outsiders.telling._tell(lines)  # it had read them before they were marked
    await told.send()
    assert sorted(told.receiver.types) == ["credential.connected", "credential.created"]


async def test_a_pass_that_breaks_off_is_done_again() -> None:
    told = await make_told()
    await told.house.connect()
    told.house.database.broken.add("outbox.tell")
    with pytest.raises(ConnectionError):
        await told.outsiders.tell()
    told.house.database.broken.clear()
    assert await told_types(told) == ["credential.connected", "credential.created"]


async def test_an_endpoint_gets_what_it_wants_and_only_of_its_workspace() -> None:
    told = await make_told(types=["credential.created"])
    webhooks = told.outsiders.webhooks
    theirs, _ = await webhooks.create(system(OTHER_WORKSPACE), url="https://theirs.example")
    off, _ = await webhooks.create(told.house.person, url="https://off.example")
    await webhooks.edit(told.house.person, off.id, disabled=True)
    await told.house.connect()
    await told.house.database.events.add(event(id="theirs", kind="created", workspace_id=OTHER_WORKSPACE))
    await told.pass_on()
    got = {(request.url, request.payload["data"]["workspace_id"]) for request in told.receiver.received}
    assert got == {(told.endpoint.url, told.house.owner.workspace_id), (theirs.url, OTHER_WORKSPACE)}
    assert told.receiver.types == ["credential.created"] * 2


async def test_what_happened_before_an_endpoint_was_made_is_not_told_to_it() -> None:
    told = await make_told()
    await told.outsiders.webhooks.delete(told.house.person, told.endpoint.id)
    await told.house.connect()
    await told.outsiders.tell()
    await told.outsiders.webhooks.create(told.house.person, url="https://new.example")
    await told.pass_on()
    assert told.receiver.received == []


async def test_what_is_told_about_a_credential_that_is_gone_has_no_name() -> None:
    told = await make_told(types=["credential.disconnected"])
    await told.house.database.events.add(
        event(kind="disconnected", workspace_id=told.house.owner.workspace_id, credential_id="gone")
    )
    await told.pass_on()
    data = told.receiver.received[0].payload["data"]
    assert (data["credential_id"], data["name"], data["provider"]) == ("gone", None, None)


async def test_no_secret_is_ever_sent() -> None:
    told = await make_told()
    view = await told.house.connect()
    told.house.expire()
    await told.house.refresh_now(view.credential.id)
    stored = await told.house.stored_refresh_token(view.credential.id)
    await told.pass_on()
    sent = " ".join(request.body + str(dict(request.headers)) for request in told.receiver.received)
    assert len(told.receiver.received) == 3
    assert stored not in sent
    assert told.secret not in sent


# --- what concerns no credential -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mended", ["here", "at the provider"])
async def test_a_clients_incident_is_told_when_it_begins_and_when_it_ends(mended: str) -> None:
    told = await make_told(types=[name for name in SUBSCRIBABLE if name.startswith("client.")])
    credential_id = (await told.house.connect()).credential.id
    await told.house.register("wrong secret")
    told.house.expire()
    await told.house.refresh_now(credential_id)
    told = replace(told, house=await told.house.dies())  # at once, so that nothing of it was in memory only
    await told.pass_on()
    if mended == "here":
        await told.house.register(CLIENT_SECRET)
    else:
        told.house.server.clients[CLIENT_ID] = "wrong secret"
        told.house.clock.advance(policy.PROBE_S)
        await told.house.refresh_now(credential_id)
    await told.pass_on()
    assert told.receiver.types == ["client.incident_began", "client.incident_ended"]
    data = told.receiver.received[0].payload["data"]
    assert data["detail"] == {"provider": "acme", "code": "invalid_client"}
    assert "credential_id" not in data


async def test_a_breaker_is_told_to_the_workspaces_that_use_its_host() -> None:
    told = await make_told(types=["provider.breaker_opened", "provider.breaker_closed"])
    await told.outsiders.webhooks.create(system(OTHER_WORKSPACE), url="https://theirs.example")
    told.house.cases.pulse.record("breaker_opened", host="elsewhere.test")
    told.house.cases.pulse.record("breaker_opened", host="provider.test")
    told.house.clock.advance(60)
    told.house.cases.pulse.record("breaker_closed", host="provider.test")
    await told.pass_on()
    assert told.receiver.types == ["provider.breaker_opened", "provider.breaker_closed"]
    assert {request.url for request in told.receiver.received} == {told.endpoint.url}
    assert [request.payload["timestamp"][11:16] for request in told.receiver.received] == ["12:01", "12:02"]


async def test_incidents_reach_the_journal_at_once_and_history_when_the_database_is_back() -> None:
    told = await make_told()
    told.house.cases.pulse.record("breaker_opened", host="provider.test")
    assert told.house.journal.facts("breaker_opened") == [{"host": "provider.test"}]
    events, added = told.house.database.events, told.house.database.events.add

    async def away(_: object) -> None:
        raise ConnectionError

    events.add = away  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        await told.outsiders.tell()
    events.add = added  # type: ignore[method-assign]
    assert await told_types(told) == ["provider.breaker_opened"]
    assert await told_types(told) == ["provider.breaker_opened"]


async def test_what_is_only_in_memory_is_written_at_the_end() -> None:
    told = await make_told()
    told.house.cases.pulse.record("breaker_opened", host="provider.test")
    await told.outsiders.close()
    assert told.receiver.closed
    assert [line.kind for line in told.house.database.rows.events][-1] == "breaker_opened"


async def test_a_mass_refusal_is_told_to_its_workspace() -> None:
    told = await make_told(types=["client.mass_refusal_began", "client.mass_refusal_ended"])
    client = await told.house.handle()
    told.house.cases.pulse.record("mass_refusal_begun", provider="acme", client=client, refused=12)
    told.house.cases.pulse.record("mass_refusal_ended", provider="acme", client=client)
    told.house.cases.pulse.record("mass_refusal_ended", provider="acme", client="gone")
    await told.pass_on()
    assert told.receiver.types == ["client.mass_refusal_began", "client.mass_refusal_ended"]
    assert told.receiver.received[0].payload["data"]["detail"] == {"provider": "acme", "refused": 12}


async def test_what_concerns_no_credential_is_in_history_for_the_status_page() -> None:
    told = await make_told()
    told.house.cases.pulse.record("breaker_opened", host="provider.test")
    await told.outsiders.tell()
    recent = (await told.house.cases.status.overview(told.house.person)).recent
    assert (recent[0].kind, recent[0].detail["provider"]) == ("breaker_opened", "acme")
