"""Faults of the provider, the line, the database and the people, one test for each case of the catalogue."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import httpx2
import pytest

from tests.kit import builders
from tests.kit.house import House, make_house, until
from tokenkeep.adapters.outbound import Outbound
from tokenkeep.adapters.token_endpoint import TokenEndpointAdapter
from tokenkeep.core.errors import RefreshFailing
from tokenkeep.core.model import FailureKind, Rotation, State
from tokenkeep.services import refresh


async def due(**switches: object) -> tuple[House, str]:
    """Connected, refreshed once so that there is a token before, and due again."""
    house = await make_house(**switches)
    id_ = (await house.connect()).credential.id
    await house.next_try(id_)
    house.server.journal.clear()
    house.wire.refreshed.clear()
    house.expire()
    return house, id_


async def never_answers(house: House, id_: str) -> None:
    """The provider commits, and its answer does not come within the thirty seconds of a call."""

    async def thirty_seconds() -> None:
        house.clock.advance(30)
        house.wire.after_refresh.clear()

    house.server.switches.loses_answers = 1
    house.wire.after_refresh.append(thirty_seconds)


def is_uncertain(house: House, id_: str) -> bool:
    grant = house.grant(id_)
    return grant.intent_at is not None and not grant.lease_owner


# --- the answer does not come -------------------------------------------------------------------------------------


async def test_fi15_an_answer_that_takes_longer_than_a_call_may_is_recovered_within_the_grace():
    house, id_ = await due(rotation=Rotation.GRACE, grace_s=60)
    await never_answers(house, id_)
    await house.refresh_now(id_)
    assert is_uncertain(house, id_)
    await house.next_try(id_)
    assert house.state(id_) is State.CONNECTED
    assert house.server.accepts(await house.stored_refresh_token(id_))
    assert len(house.server.refreshes()) == 2


async def test_fi15_where_the_old_token_is_dead_at_once_the_true_cause_is_told():
    house, id_ = await due(rotation=Rotation.STRICT)
    began = house.clock.now()
    await never_answers(house, id_)
    await house.refresh_now(id_)
    assert is_uncertain(house, id_)
    await house.next_try(id_)
    assert (house.state(id_), house.failure_code(id_)) == (State.REAUTHORIZATION_REQUIRED, "lost_response")
    assert house.clock.now() - began <= timedelta(seconds=60)


async def test_fi15_readers_are_told_to_come_back_while_it_goes_on():
    house, id_ = await due(rotation=Rotation.GRACE)
    house.cases.refresher.wait_s = 0.05
    house.hold_answers()
    outcomes = await asyncio.gather(
        *(house.cases.tokens.token(house.node, id_) for _ in range(20)), return_exceptions=True
    )
    assert all(isinstance(outcome, RefreshFailing) and outcome.retry_after for outcome in outcomes)
    house.server.gate.set()
    assert await house.tasks.drain(5) == 0
    assert house.state(id_) is State.CONNECTED
    assert len(house.server.refreshes()) == 1


class Breaking(httpx2.AsyncBaseTransport):
    """The line to the provider. Breaks so many times before anything is sent, each after some seconds."""

    def __init__(self, house: House, times: int, after_s: float) -> None:
        self.inner, self.clock, self.left, self.after_s = house.server.transport(), house.clock, times, after_s

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.left:
            self.left -= 1
            self.clock.advance(self.after_s)
            raise httpx2.ConnectError("reset", request=request)
        return await self.inner.handle_async_request(request)


def breaks(house: House, times: int, after_s: float = 0.0) -> None:
    line = Breaking(house, times, after_s)
    house.wire.inner = TokenEndpointAdapter(Outbound(house.clock, transport=line), house.clock)


async def test_fi16_a_connection_that_breaks_before_the_first_octet_is_tried_again_in_the_same_flight():
    house, id_ = await due(rotation=Rotation.FAMILY)
    breaks(house, 1)
    token = await house.cases.tokens.token(house.node, id_)
    assert token.access_token.reveal() == "at-1-3"
    assert [entry.outcome for entry in house.server.refreshes()] == ["granted"]
    assert "refresh_failed" not in house.events(id_)


@pytest.mark.parametrize(("times", "after_s"), [(2, 0.0), (1, 5.0)])
async def test_fi16_a_line_that_stays_broken_or_takes_its_time_spends_nothing(times, after_s):
    """Another try after a slow one could end after the lease."""
    house, id_ = await due(rotation=Rotation.FAMILY)
    breaks(house, times, after_s)
    await house.refresh_now(id_)
    assert house.grant(id_).intent_at is None, "the provider has seen nothing"
    assert house.grant(id_).standing.next_refresh_at <= house.clock.now() + timedelta(seconds=30)
    await house.next_try(id_)
    assert house.state(id_) is State.CONNECTED
    assert [entry.outcome for entry in house.server.refreshes()] == ["granted"]


@pytest.mark.parametrize("rotation", Rotation)
async def test_fi17_a_connection_that_breaks_after_the_request_is_uncertain_and_no_refusal(rotation):
    house, id_ = await due(rotation=rotation)
    house.server.switches.loses_answers = 1
    await house.refresh_now(id_)
    assert is_uncertain(house, id_)
    assert house.state(id_) is State.FAILING
    assert house.grant(id_).standing.failure.kind is FailureKind.TRANSIENT


async def test_fi18_a_truncated_answer_is_uncertain_and_its_refusal_tells_the_true_cause():
    house, id_ = await due(rotation=Rotation.STRICT)
    house.server.switches.truncates_answers = 1
    await house.refresh_now(id_)
    assert is_uncertain(house, id_)
    await house.next_try(id_)
    assert (house.state(id_), house.failure_code(id_)) == (State.REAUTHORIZATION_REQUIRED, "lost_response")


# --- the database ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [ConnectionError, TimeoutError])
async def test_fi22_a_commit_that_reports_an_error_and_happened_is_found_and_not_repeated(fault):
    house, id_ = await due()
    store = house.database.grants.store

    async def commits_and_fails(lease, grant, event):
        house.database.grants.store = store
        assert await store(lease, grant, event)
        raise fault

    house.database.grants.store = commits_and_fails
    token = await house.cases.tokens.token(house.node, id_)
    assert token.access_token.reveal() == "at-1-3"
    assert len(house.server.refreshes()) == 1
    assert house.grant(id_).version == 3
    assert house.database.rows.orphans == {}


# --- people ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("rotation", Rotation)
async def test_fi32_a_new_consent_wins_over_a_refresh_in_flight(rotation, safe):
    house, id_ = await due(rotation=rotation, provider={"revoke_on_reconnect": safe})
    house.hold_answers()
    reader = asyncio.create_task(house.cases.tokens.token(house.node, id_))
    await house.server.entered.wait()
    house.wire.instead = [builders.answer('{"access_token": "at-new", "refresh_token": "rt-new", "expires_in": 3600}')]
    await house.connect(credential_id=id_)
    house.server.gate.set()
    assert (await reader).access_token.reveal() == "at-new"
    assert await house.tasks.drain(5) == 0
    assert await house.stored_refresh_token(id_) == "rt-new"
    assert house.state(id_) is State.CONNECTED
    kind = "surplus_revoked" if safe else "surplus_kept"
    assert house.events(id_).count(kind) == 2, "the generation that was stored, and the one that came too late"


# --- a long outage ----------------------------------------------------------------------------------------------------


async def test_fi36_six_hours_of_503_cost_nobody_their_consent():
    house = await make_house()
    ids = await house.connect_many(12)
    house.expire()
    house.server.switches.down = True
    for _ in range(6 * 30):
        house.clock.advance(120)
        await house.sweep()
    assert {house.state(id_) for id_ in ids} == {State.FAILING}
    assert "reauthorization_required" not in {kind for id_ in ids for kind in house.events(id_)}
    assert len(house.server.refreshes()) < 12 * 6 * 4, "left in peace by backoff and breaker"
    house.server.switches.down = False
    back = house.clock.now()
    while any(house.state(id_) is not State.CONNECTED for id_ in ids):
        house.clock.advance(60)
        await house.sweep()
        assert house.clock.now() - back <= timedelta(hours=1, minutes=2)


# --- poison -----------------------------------------------------------------------------------------------------------


async def test_fi37_poison_at_the_head_of_the_batch_is_put_aside_and_the_rest_is_on_time():
    house = await make_house()
    ids = await house.connect_many(6)
    key = house.owner.workspace_id, ids[0]
    grant = house.database.rows.grants[key]
    first = replace(grant.standing, next_refresh_at=house.clock.now())
    house.database.rows.grants[key] = replace(grant, sealed=b"poison", standing=first)
    house.expire()
    await house.sweep()
    assert house.state(ids[0]) is State.QUARANTINED
    assert {house.state(id_) for id_ in ids[1:]} == {State.CONNECTED}
    assert {house.grant(id_).version for id_ in ids[1:]} == {2}


async def test_fi37_an_answer_that_breaks_the_code_counts_against_its_own_grant_only(monkeypatch):
    house = await make_house(rotation=Rotation.NONE)
    ids = await house.connect_many(3)
    house.expire()
    judge = refresh.judge

    def poisoned(answer, provider, **times):
        if "at-1-" in answer.body.reveal():
            raise ZeroDivisionError
        return judge(answer, provider, **times)

    monkeypatch.setattr(refresh, "judge", poisoned)
    for _ in range(3):
        await house.sweep()
        house.clock.advance(3601)
    await house.sweep()
    assert house.state(ids[0]) is State.QUARANTINED
    assert {house.state(id_) for id_ in ids[1:]} == {State.CONNECTED}


# --- callers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["hangs up", "waits too long"])
async def test_fi39_a_refresh_goes_on_and_is_stored_without_its_caller(how):
    house, id_ = await due()
    house.hold_answers()
    if how == "waits too long":
        house.cases.refresher.wait_s = 0.05
    reader = asyncio.create_task(house.cases.tokens.token(house.node, id_))
    await house.server.entered.wait()
    if how == "hangs up":
        reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    assert house.grant(id_).lease_owner, "it still runs"
    house.server.gate.set()
    await until(lambda: not house.grant(id_).lease_owner)
    assert await house.tasks.drain(5) == 0
    assert house.grant(id_).version == 3
    assert house.server.accepts(await house.stored_refresh_token(id_))
    house.cases.refresher.wait_s = 15
    assert (await house.cases.tokens.token(house.node, id_)).access_token.reveal() == "at-1-3"
    assert len(house.server.refreshes()) == 1
