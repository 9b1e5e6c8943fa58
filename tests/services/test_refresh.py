"""One refresh: its order of writes, one call for all who wait, and what every provider class makes of every fault."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.kit import builders
from tests.kit.house import House, make_house, until
from tokenkeep.core import lifecycle
from tokenkeep.core.errors import NotConnected, NotFound, ReauthorizationRequired, RefreshFailing, Unavailable
from tokenkeep.core.model import FailureKind, Rotation, State
from tokenkeep.core.protocol import fingerprint
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import Lease
from tokenkeep.services.sealing import seal_tokens

LOST = builders.answer(status=0, fault="lost")
INVALID_GRANT = builders.answer('{"error": "invalid_grant"}', status=400)
GRANTED = builders.answer('{"access_token": "at-new", "expires_in": 3600}')
BUSY = builders.answer(status=503)


async def connected(**switches: object) -> tuple[House, str]:
    house = await make_house(**switches)
    return house, (await house.connect()).credential.id


async def renewed(**switches: object) -> tuple[House, str]:
    """Connected and refreshed once, so that there is a previous refresh token."""
    house, id_ = await connected(**switches)
    await house.next_try(id_)
    assert house.state(id_) is State.CONNECTED
    house.wire.refreshed.clear()
    house.server.journal.clear()
    return house, id_


def sent_by(house: House) -> list[str]:
    """The refresh tokens that the provider got, in order."""
    names = {fingerprint(Secret(name)): name for name in ("rt-1-1", "rt-1-2", "rt-1-3", "rt-orphan")}
    return [names[sent] for _, sent in house.wire.refreshed]


# --- one for all -----------------------------------------------------------------------------------------------


async def test_two_hundred_readers_of_an_expired_token_cause_one_request():
    house, id_ = await connected()
    house.expire()
    tokens = await asyncio.gather(*(house.cases.tokens.token(house.node, id_) for _ in range(200)))
    assert {token.access_token.reveal() for token in tokens} == {"at-1-2"}
    assert len(house.server.refreshes()) == 1


@pytest.mark.parametrize(("losses", "served"), [(1, True), (9, False)])
async def test_two_hundred_readers_of_a_provider_that_loses_its_answers_cause_two_requests(losses, served):
    """The first one, and the recovery that is at once; after that all of them wait."""
    house, id_ = await connected(rotation=Rotation.NONE)
    house.server.switches.loses_answers = losses
    house.expire()
    asked = [house.cases.tokens.token(house.node, id_) for _ in range(200)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert len(house.server.refreshes()) == 2
    assert sum(isinstance(outcome, RefreshFailing) for outcome in outcomes) == (1 if served else 200)


async def test_readers_of_several_tokens_do_not_share_a_flight():
    house = await make_house()
    ids = await house.connect_many(3)
    house.expire()
    tokens = await asyncio.gather(*(house.cases.tokens.token(house.node, id_) for id_ in ids * 10))
    assert len({token.access_token.reveal() for token in tokens}) == 3
    assert len(house.server.refreshes()) == 3


async def test_two_replicas_over_one_database_make_one_call():
    house, id_ = await connected()
    house.expire()
    other = house.replica()
    house.hold_answers()
    readers = [asyncio.create_task(each.cases.tokens.token(each.node, id_)) for each in (house, other) * 5]
    await house.server.entered.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    house.server.gate.set()
    assert {token.access_token.reveal() for token in await asyncio.gather(*readers)} == {"at-1-2"}
    assert len(house.server.refreshes()) == 1
    assert await other.tasks.drain(1) == 0


async def test_a_reader_whose_wish_differs_from_the_flight_it_joined_flies_itself():
    """A sweep that finds nothing due must not answer a reader who needs a new token."""
    house, id_ = await connected()
    grant = house.grant(id_)
    never, always = (lambda *_: False), (lambda stored, _: stored.version == grant.version)
    refresher = house.cases.refresher
    await asyncio.gather(
        house.tasks.run(("refresh", grant.workspace_id, id_), lambda: refresher.fly(grant.workspace_id, id_, never)),
        refresher.refresh(grant.workspace_id, id_, always),
    )
    assert len(house.server.refreshes()) == 1


async def test_a_caller_who_hangs_up_loses_nothing():
    house, id_ = await connected()
    house.expire()
    house.hold_answers()
    reader = asyncio.create_task(house.cases.tokens.token(house.node, id_))
    await house.server.entered.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    house.server.gate.set()
    assert await house.tasks.drain(5) == 0
    assert await house.stored_refresh_token(id_) == "rt-1-2"
    assert house.state(id_) is State.CONNECTED


async def test_a_caller_waits_so_long_and_the_refresh_goes_on():
    house, id_ = await connected()
    assert house.cases.refresher.wait_s == 15
    house.cases.refresher.wait_s = 0.05
    house.expire()
    house.hold_answers()
    with pytest.raises(RefreshFailing) as failing:
        await house.cases.tokens.token(house.node, id_)
    assert failing.value.retry_after == 5
    house.server.gate.set()
    assert await house.tasks.drain(5) == 0
    assert await house.stored_refresh_token(id_) == "rt-1-2"
    assert len(house.server.refreshes()) == 1


async def test_another_process_that_takes_too_long_is_not_waited_for_for_ever():
    house, id_ = await connected()
    house.expire()
    grant = house.grant(id_)
    await house.database.grants.claim(grant, owner="somebody", lease_s=90, intent_fingerprint="")
    with pytest.raises(RefreshFailing):
        await house.cases.tokens.token(house.node, id_)
    assert sum(house.clock.slept) == pytest.approx(15, abs=0.2)
    assert house.server.refreshes() == []


async def test_no_refresh_starts_while_the_service_stops():
    house, id_ = await connected()
    house.expire()
    house.cases.refresher.drain()
    with pytest.raises(RefreshFailing):
        await house.cases.tokens.token(house.node, id_)
    assert house.server.refreshes() == []


async def test_what_runs_when_the_service_stops_may_finish():
    house, id_ = await connected()
    house.expire()
    house.hold_answers()
    reader = asyncio.create_task(house.cases.tokens.token(house.node, id_))
    await house.server.entered.wait()
    house.cases.refresher.drain()
    house.server.gate.set()
    assert (await reader).access_token.reveal() == "at-1-2"


async def test_a_grant_that_is_not_there_cannot_be_refreshed():
    house = await make_house()
    with pytest.raises(NotConnected):
        await house.refresh_now("nothing")


# --- the order of writes -------------------------------------------------------------------------------------------


async def test_the_intent_is_durable_before_the_call_and_the_result_before_the_answer():
    house, id_ = await connected()
    house.expire()
    seen = []

    async def watch() -> None:
        seen.append(house.grant(id_))

    house.wire.before_refresh.append(watch)
    house.wire.after_refresh.append(watch)
    token = await house.cases.tokens.token(house.node, id_)
    before, after = seen
    assert before.lease_owner == house.cases.refresher.owner
    assert before.lease_until == house.clock.now() + timedelta(seconds=90)
    assert before.intent_fingerprint == fingerprint(Secret("rt-1-1"))
    assert before.intent_at is not None
    assert after.version == 1, "nothing is stored before the answer was judged"
    stored = house.grant(id_)
    assert (stored.version, stored.lease_owner, stored.intent_at) == (2, "", None)
    assert await house.stored_refresh_token(id_) == "rt-1-2"
    assert token.access_token.reveal() == "at-1-2"


async def test_no_caller_is_answered_before_the_result_is_durable():
    house, id_ = await connected()
    house.expire()
    house.database.broken.add("grants.store")
    reader = asyncio.create_task(house.cases.tokens.token(house.node, id_))
    await until(lambda: house.spill.shelf)
    for _ in range(50):
        await asyncio.sleep(0)
    assert not reader.done()
    house.database.broken.clear()
    assert (await reader).access_token.reveal() == "at-1-2"
    assert house.grant(id_).version == 2


async def test_where_the_intent_cannot_be_written_the_provider_is_never_called():
    house, id_ = await connected()
    house.expire()
    house.database.broken.add("grants.claim")
    with pytest.raises(RefreshFailing):
        await house.cases.tokens.token(house.node, id_)
    assert house.wire.refreshed == []
    house.database.broken.clear()
    assert (await house.cases.tokens.token(house.node, id_)).access_token.reveal() == "at-1-2"


async def test_a_living_token_is_served_while_the_database_takes_no_intent():
    house, id_ = await connected()
    house.database.broken.add("grants.claim")
    house.clock.advance(3570)
    token = await house.cases.tokens.token(house.node, id_)
    assert "refresh_broken" in house.journal.actions
    assert token.access_token.reveal() == "at-1-1"


async def test_a_database_that_goes_away_before_the_call_is_not_the_grants_fault():
    house, id_ = await connected()
    get = house.database.clients.get

    async def away(*_):
        raise Unavailable

    house.database.clients.get = away
    for _ in range(4):
        await house.next_try(id_)
    assert (house.state(id_), house.failure_code(id_)) == (State.FAILING, "unavailable")
    assert house.grant(id_).intent_at is None, "nothing was sent"
    house.database.clients.get = get
    await house.next_try(id_)
    assert house.state(id_) is State.CONNECTED


@pytest.mark.parametrize("fault", [Unavailable, ConnectionError])
async def test_a_living_token_is_served_while_the_database_is_away(fault):
    house, id_ = await connected()

    tried = []

    async def away(*_, **__):
        tried.append(1)
        raise fault

    house.database.grants.claim = away
    house.clock.advance(3570)
    token = await house.cases.tokens.token(house.node, id_)
    assert tried
    assert token.access_token.reveal() == "at-1-1"


async def test_an_owner_who_was_suspended_does_not_send():
    """A minute passes between claim and send, as when a laptop is closed: the lease may end under the answer."""
    house, id_ = await connected()
    house.expire()
    opening, slept = house.envelope.open, []

    async def open_after_a_minute(sealed, place):
        if place.kind == "client_secret" and not slept:
            slept.append(house.clock.advance(60))
        return await opening(sealed, place)

    house.envelope.open = open_after_a_minute
    with pytest.raises(RefreshFailing):
        await house.cases.tokens.token(house.node, id_)
    assert slept
    assert house.wire.refreshed == []
    assert house.grant(id_).lease_owner == ""
    house.clock.advance(2)
    assert (await house.cases.tokens.token(house.node, id_)).access_token.reveal() == "at-1-2"


async def test_the_history_and_journal_tell_of_a_refresh():
    house, id_ = await connected()
    await house.next_try(id_)
    assert house.events(id_)[-1] == "refreshed"
    assert [facts["credential"] for facts in house.journal.facts("refreshed")] == [id_]


# --- every provider class and every fault ---------------------------------------------------------------------------


@pytest.mark.parametrize("rotation", Rotation)
@pytest.mark.parametrize("kills", [False, True])
async def test_a_provider_that_is_down_costs_nothing(rotation, kills):
    house, id_ = await renewed(rotation=rotation, kills_old_access_token=kills)
    house.server.switches.down = True
    for _ in range(4):
        await house.next_try(id_)
    assert house.state(id_) is State.FAILING
    assert house.failure_code(id_) == "http_503"
    assert house.grant(id_).intent_at is None, "503 says that nothing was spent"
    house.server.switches.down = False
    await house.next_try(id_)
    assert house.state(id_) is State.CONNECTED
    assert house.server.consents.accepts(await house.stored_refresh_token(id_))


@pytest.mark.parametrize("rotation", Rotation)
@pytest.mark.parametrize("kills", [False, True])
async def test_a_withdrawn_consent_is_believed_at_once(rotation, kills):
    house, id_ = await renewed(rotation=rotation, kills_old_access_token=kills)
    house.server.revoke_all()
    await house.next_try(id_)
    assert house.state(id_) is State.REAUTHORIZATION_REQUIRED
    assert house.failure_code(id_) == "invalid_grant"
    assert house.grant(id_).standing.next_refresh_at is None
    assert len(house.server.refreshes()) == 1, "no fallback: nothing was lost, so nothing else explains it"
    assert house.events(id_)[-1] == "reauthorization_required"


@pytest.mark.parametrize("rotation", Rotation)
@pytest.mark.parametrize("kills", [False, True])
async def test_a_refused_client_keeps_every_grant(rotation, kills):
    house, id_ = await renewed(rotation=rotation, kills_old_access_token=kills)
    house.server.switches.invalid_client = True
    await house.next_try(id_)
    failure = house.grant(id_).standing.failure
    assert (house.state(id_), failure.kind, failure.code) == (State.FAILING, FailureKind.CLIENT, "invalid_client")
    assert house.server.consents.accepts(await house.stored_refresh_token(id_))


# After the loss: does the credential come back, how many further requests, and whether the first of them is at once.
LOSSES = [
    (Rotation.NONE, False, True, 1, True),
    (Rotation.NONE, True, True, 1, True),
    (Rotation.GRACE, False, True, 1, True),
    (Rotation.GRACE, True, True, 1, True),
    (Rotation.STRICT, False, False, 2, True),  # the refresh token, and the one before it
    (Rotation.STRICT, True, False, 2, True),
    (Rotation.UNKNOWN, False, False, 2, True),
    (Rotation.UNKNOWN, True, False, 2, True),
    (Rotation.FAMILY, False, False, 1, False),  # one try, as late as the access token serves
    (Rotation.FAMILY, True, False, 1, True),
]


@pytest.mark.parametrize(("rotation", "kills", "comes_back", "further", "at_once"), LOSSES)
@pytest.mark.parametrize("how", ["loses_answers", "truncates_answers"])
async def test_an_answer_that_is_lost_after_the_provider_committed(rotation, kills, comes_back, further, at_once, how):
    house, id_ = await renewed(rotation=rotation, kills_old_access_token=kills)
    house.entropy.next_fraction = 0.99
    setattr(house.server.switches, how, 1)
    await house.next_try(id_)
    lost = house.grant(id_)
    assert lost.standing.state is State.FAILING
    assert lost.standing.failure.kind is FailureKind.TRANSIENT
    assert lost.intent_at is not None, "the trace of the loss is kept"
    assert house.database.rows.events[-1].detail["uncertain"] is True
    assert (lost.standing.next_refresh_at <= house.clock.now() + timedelta(seconds=1)) is at_once
    if not at_once:
        assert lost.standing.next_refresh_at == lost.standing.expires_at - timedelta(seconds=30)
        token = await house.cases.tokens.token(house.node, id_)
        assert token.access_token.reveal() == "at-1-2", "what still lives is served"
    await house.next_try(id_)
    assert len(house.server.refreshes()) == 1 + further
    if comes_back:
        assert house.state(id_) is State.CONNECTED
        assert house.grant(id_).intent_at is None
        assert house.server.consents.accepts(await house.stored_refresh_token(id_))
        return
    assert house.state(id_) is State.REAUTHORIZATION_REQUIRED
    assert house.failure_code(id_) == "lost_response"
    with pytest.raises(ReauthorizationRequired) as gone:
        await house.cases.tokens.token(house.node, id_)
    assert gone.value.extra["cause"] == "lost_response"


@pytest.mark.parametrize("rotation", Rotation)
async def test_after_a_second_loss_there_is_a_pause(rotation):
    """Only the first recovery is at once: a line that drops everything must not be hammered."""
    house, id_ = await renewed(rotation=rotation, kills_old_access_token=True)
    house.server.switches.loses_answers = 2
    await house.next_try(id_)
    await house.next_try(id_)
    if house.state(id_) is State.FAILING:
        assert house.grant(id_).standing.next_refresh_at > house.clock.now() + timedelta(seconds=5)


async def test_a_pause_that_was_asked_for_counts_for_a_lost_answer_too():
    house, id_ = await renewed()
    house.wire.instead = [builders.answer(status=504, headers={"retry-after": "120"})]
    await house.next_try(id_)
    assert house.grant(id_).intent_at is not None
    assert house.grant(id_).standing.next_refresh_at >= house.clock.now() + timedelta(seconds=120)


@pytest.mark.parametrize("then", [BUSY, builders.answer('{"error": "invalid_client"}', status=401)])
async def test_the_trace_of_a_loss_survives_other_failures(then):
    house, id_ = await renewed()
    house.wire.instead = [LOST, then]
    await house.next_try(id_)
    await house.next_try(id_)
    assert house.grant(id_).intent_at is not None
    house.wire.instead = [INVALID_GRANT, INVALID_GRANT]
    house.clock.advance(1000)
    await house.next_try(id_)
    assert house.failure_code(id_) == "lost_response"


async def test_the_trace_of_a_loss_survives_a_pause():
    house, id_ = await renewed()
    house.wire.instead = [LOST]
    await house.next_try(id_)
    client = house.grant(id_).client
    house.cases.peace._asked_to_wait[client] = house.clock.now() + timedelta(seconds=60)
    await house.refresh_now(id_)
    assert len(house.wire.refreshed) == 1
    assert house.grant(id_).intent_at is not None


async def test_where_reuse_revokes_everything_nobody_tries_before_the_planned_time():
    house, id_ = await renewed(rotation=Rotation.FAMILY)
    house.wire.instead = [LOST]
    await house.next_try(id_)
    for _ in range(3):
        await house.refresh_now(id_)
    assert len(house.wire.refreshed) == 1
    grant = house.grant(id_)
    assert grant.intent_at is not None
    assert grant.standing.next_refresh_at == grant.standing.expires_at - timedelta(seconds=30)


async def test_the_trace_of_a_loss_survives_a_client_that_is_taken_away():
    house, id_ = await renewed()
    house.wire.instead = [LOST]
    await house.next_try(id_)
    await house.cases.clients.delete(house.person, "acme")
    await house.next_try(id_)
    assert house.failure_code(id_) == "client_missing"
    assert house.grant(id_).standing.failure.kind is FailureKind.CLIENT
    assert house.grant(id_).intent_at is not None


async def test_a_provider_file_that_is_gone_is_the_administrators_matter():
    house, id_ = await connected()
    del house.catalog.held["acme"]
    await house.next_try(id_)
    assert house.failure_code(id_) == "provider_file_missing"
    assert house.grant(id_).standing.failure.kind is FailureKind.CLIENT


async def test_an_address_with_an_empty_hole_is_the_administrators_matter():
    house, id_ = await connected()
    house.catalog.held["acme"] = replace(house.catalog.held["acme"], token_endpoint="https://{tenant}.test/token")
    for _ in range(4):
        await house.next_try(id_)
    assert house.failure_code(id_) == "client_misconfigured"
    assert house.state(id_) is State.FAILING, "never put aside for what an administrator can mend"


# --- believing a refusal --------------------------------------------------------------------------------------------


async def test_a_refusal_is_believed_only_after_the_token_before_it_was_tried():
    house, id_ = await renewed()
    house.wire.instead = [LOST, INVALID_GRANT, GRANTED]
    await house.next_try(id_)
    await house.next_try(id_)
    sent = [sent for _, sent in house.wire.refreshed]
    assert sent == [fingerprint(Secret(token)) for token in ("rt-1-2", "rt-1-2", "rt-1-1")]
    assert house.state(id_) is State.CONNECTED
    assert await house.stored_refresh_token(id_) == "rt-1-1", "the one that was accepted, not the one that was refused"


async def test_the_token_before_is_not_tried_where_reuse_revokes_everything():
    house, id_ = await renewed(rotation=Rotation.FAMILY, kills_old_access_token=True)
    house.wire.instead = [LOST, INVALID_GRANT]
    await house.next_try(id_)
    await house.next_try(id_)
    assert {sent for _, sent in house.wire.refreshed} == {fingerprint(Secret("rt-1-2"))}
    assert house.failure_code(id_) == "lost_response"


async def test_the_token_before_is_not_tried_when_its_time_is_over():
    house, id_ = await renewed()
    house.wire.instead = [LOST, INVALID_GRANT]
    await house.next_try(id_)
    house.clock.advance(25 * 3600)
    await house.sweep()
    assert len(house.wire.refreshed) == 2
    assert house.failure_code(id_) == "lost_response"


async def with_orphan(version: int) -> tuple[House, str]:
    """Somebody else's answer, a generation above the first one as stored or beside it, on the orphan shelf."""
    house, id_ = await connected()
    grant = house.grant(id_)
    orphan = await seal_tokens(
        house.envelope, replace(grant, version=version), builders.token_set(refresh_token=Secret("rt-orphan"))
    )
    lease = await house.database.grants.claim(grant, owner="other", lease_s=90, intent_fingerprint="")
    until = house.clock.now() + timedelta(days=1)
    await house.database.grants.shelve(lease, orphan.sealed, version=version, until=until)
    await house.database.grants.settle(lease, grant.standing, None, keep_intent=version > grant.version)
    return house, id_


async def test_an_orphan_is_tried_before_a_refusal_is_believed():
    house, id_ = await with_orphan(version=1)
    house.wire.instead = [INVALID_GRANT, GRANTED]
    await house.next_try(id_)
    assert sent_by(house) == ["rt-1-1", "rt-orphan"]
    assert house.state(id_) is State.CONNECTED
    assert await house.stored_refresh_token(id_) == "rt-orphan"


async def test_an_orphan_of_a_later_generation_comes_before_the_token_it_replaced():
    house, id_ = await with_orphan(version=2)
    house.wire.instead = [GRANTED]
    await house.next_try(id_)
    assert sent_by(house) == ["rt-orphan"]
    assert await house.stored_refresh_token(id_) == "rt-orphan"


@pytest.mark.parametrize("between", [BUSY, LOST])
async def test_what_was_refused_is_not_sent_again_while_others_are_still_to_be_tried(between):
    house, id_ = await renewed()
    house.wire.instead = [LOST, INVALID_GRANT, between, GRANTED]
    await house.next_try(id_)
    await house.next_try(id_)
    assert sent_by(house) == ["rt-1-2", "rt-1-2", "rt-1-1"], "once in vain, once for recovery, then the one before"
    assert house.grant(id_).refused == (fingerprint(Secret("rt-1-2")),)
    await house.next_try(id_)
    assert sent_by(house)[3:] == ["rt-1-1"]
    assert house.state(id_) is State.CONNECTED
    assert house.grant(id_).refused == ()


async def test_when_nothing_is_left_to_try_the_refusal_stands():
    house, id_ = await renewed()
    house.wire.instead = [LOST, INVALID_GRANT, BUSY]
    await house.next_try(id_)
    await house.next_try(id_)
    house.clock.advance(25 * 3600)  # the token before is not kept for longer
    await house.sweep()
    assert len(house.wire.refreshed) == 3
    assert (house.state(id_), house.failure_code(id_)) == (State.REAUTHORIZATION_REQUIRED, "lost_response")


async def test_a_refusal_that_stands_is_remembered_until_that_is_written(monkeypatch):
    """Nothing is left to be tried, which the database does not take: the next try may not begin anew."""
    house, id_ = await renewed()
    house.wire.instead = [LOST, INVALID_GRANT, BUSY]
    await house.next_try(id_)
    await house.next_try(id_)
    house.clock.advance(25 * 3600)
    fails_once(monkeypatch, house.database.grants, "settle")
    await house.sweep()
    assert house.state(id_) is State.FAILING
    await house.next_try(id_)
    assert len(house.wire.refreshed) == 3
    assert house.failure_code(id_) == "lost_response"


async def test_a_refusal_is_remembered_where_it_could_not_be_judged(monkeypatch):
    """The provider refused; whether many others were refused too could not be looked up."""
    house, id_ = await connected()
    house.wire.instead = [INVALID_GRANT]
    fails_once(monkeypatch, house.database.refusals, "burst")
    await house.next_try(id_)
    assert house.failure_code(id_) == "unavailable"
    assert house.grant(id_).refused == (fingerprint(Secret("rt-1-1")),)
    assert house.grant(id_).intent_at is None, "an answer came, so nothing is uncertain"
    await house.next_try(id_)
    assert sent_by(house) == ["rt-1-1"]
    assert (house.state(id_), house.failure_code(id_)) == (State.REAUTHORIZATION_REQUIRED, "invalid_grant")


def fails_once(monkeypatch: pytest.MonkeyPatch, store: object, name: str) -> None:
    """The next call of it finds the database away."""
    real = getattr(store, name)

    async def away(*_: object, **__: object) -> object:
        monkeypatch.setattr(store, name, real)
        raise Unavailable

    monkeypatch.setattr(store, name, away)


async def test_a_refusal_that_stands_is_told_by_its_own_name():
    house, id_ = await with_orphan(version=1)
    house.wire.instead = [INVALID_GRANT, BUSY]
    await house.next_try(id_)
    assert house.state(id_) is State.FAILING
    house.clock.advance(25 * 3600)  # the orphan is not kept for longer
    await house.sweep()
    assert sent_by(house) == ["rt-1-1", "rt-orphan"]
    assert (house.state(id_), house.failure_code(id_)) == (State.REAUTHORIZATION_REQUIRED, "invalid_grant")


async def test_a_refusal_is_written_as_soon_as_the_database_is_back():
    """Else the next owner of the lease would ask the provider for what was answered already."""
    house, id_ = await connected()
    house.wire.instead = [INVALID_GRANT]
    house.database.broken.add("grants.settle")
    refresh = asyncio.create_task(house.next_try(id_))
    await until(lambda: len(house.clock.slept) > 3)
    house.database.broken.clear()
    await refresh
    assert house.state(id_) is State.REAUTHORIZATION_REQUIRED
    assert len(house.wire.refreshed) == 1


async def test_a_refusal_that_no_database_takes_is_left_to_the_next_owner_of_the_lease():
    house, id_ = await connected()
    house.wire.instead = [INVALID_GRANT]
    house.database.broken.add("grants.settle")
    house.expire()
    began = house.clock.monotonic()
    await house.sweep()
    assert 60 < house.clock.monotonic() - began <= 90, "for as long as the lease"
    assert house.grant(id_).intent_at is not None


async def test_a_provider_known_for_false_refusals_must_say_it_twice():
    house = await make_house(provider={"quirks": frozenset({"invalid_grant_spurious"})})
    id_ = (await house.connect()).credential.id
    house.server.switches.spurious_invalid_grant = 1
    await house.next_try(id_)
    assert (house.state(id_), house.failure_code(id_)) == (State.FAILING, "unconfirmed_refusal")
    assert house.grant(id_).standing.next_refresh_at == house.clock.now() + timedelta(seconds=60)
    await house.next_try(id_)
    assert house.state(id_) is State.CONNECTED
    house.server.switches.spurious_invalid_grant = 2
    await house.next_try(id_)
    await house.next_try(id_)
    assert (house.state(id_), house.failure_code(id_)) == (State.REAUTHORIZATION_REQUIRED, "invalid_grant")


async def test_without_that_habit_one_refusal_is_enough():
    house, id_ = await connected()
    house.server.switches.spurious_invalid_grant = 1
    await house.next_try(id_)
    assert house.state(id_) is State.REAUTHORIZATION_REQUIRED


async def test_an_answer_without_a_refresh_token_means_keep_yours():
    house, id_ = await connected(rotation=Rotation.NONE, omits_refresh_token=True)
    await house.next_try(id_)
    assert await house.stored_refresh_token(id_) == "rt-1-1"
    assert house.grant(id_).prev_sealed is None
    await house.next_try(id_)
    assert house.state(id_) is State.CONNECTED


@pytest.mark.parametrize("state", [State.REAUTHORIZATION_REQUIRED, State.QUARANTINED])
async def test_a_grant_that_needs_a_person_is_never_tried(state):
    house, id_ = await connected()
    grant = house.grant(id_)
    due = replace(grant.standing, state=state, next_refresh_at=house.clock.now())
    await house.database.grants.restand(grant, due, None)
    await house.sweep()
    await house.refresh_now(id_)
    assert house.wire.refreshed == []
    assert house.state(id_) is state
    assert house.grant(id_).fence == grant.fence, "not even claimed"


async def test_a_grant_without_a_refresh_token_ends_when_its_access_token_does():
    house = await make_house()
    house.wire.instead = [builders.answer('{"access_token": "at-only", "expires_in": 3600, "scope": "read"}')]
    id_ = (await house.connect()).credential.id
    token = await house.cases.tokens.token(house.node, id_, min_ttl=3000)
    house.clock.advance(1800)
    token = await house.cases.tokens.token(house.node, id_, min_ttl=3000)
    assert token.access_token.reveal() == "at-only", "it still lives, and nothing better is to be had"
    assert house.state(id_) is State.CONNECTED
    house.clock.advance(1801)
    await house.sweep()
    assert (house.state(id_), house.failure_code(id_)) == (State.REAUTHORIZATION_REQUIRED, "no_refresh_token")
    assert house.wire.refreshed == []


# --- rows that cannot be handled --------------------------------------------------------------------------------------


async def test_an_unreadable_row_is_put_aside_at_once_and_the_rest_goes_on():
    house = await make_house()
    good, bad = await house.connect_many(2)
    key = house.owner.workspace_id, bad
    spoiled = replace(house.database.rows.grants[key], sealed=b"spoiled")
    house.database.rows.grants[key] = spoiled
    house.expire()
    await house.sweep()
    assert (house.state(bad), house.failure_code(bad)) == (State.QUARANTINED, "undecryptable")
    assert house.grant(bad).sealed == b"spoiled", "never overwritten"
    assert house.state(good) is State.CONNECTED
    assert house.grant(good).version == 2
    assert len(house.wire.refreshed) == 1


@pytest.mark.parametrize("document", [b"no json", b"{}", b"[]", b"\xff"])
async def test_a_poisonous_row_is_put_aside_after_three_tries(document):
    house = await make_house()
    good, bad = await house.connect_many(2)
    from tokenkeep.services.sealing import token_place

    key = house.owner.workspace_id, bad
    grant = house.database.rows.grants[key]
    sealed = await house.envelope.seal(document, token_place(grant))
    house.database.rows.grants[key] = replace(grant, sealed=sealed)
    for count in (1, 2):
        await house.next_try(bad)
        assert house.state(bad) is State.FAILING
        assert house.grant(bad).standing.failure.count == count
    await house.next_try(bad)
    assert house.state(bad) is State.QUARANTINED
    assert house.grant(bad).standing.failure.kind is FailureKind.INTERNAL
    assert house.grant(bad).standing.next_refresh_at is None
    house.clock.advance(7200)
    await house.sweep()
    assert house.state(good) is State.CONNECTED
    assert house.grant(good).version > 1


async def test_reconnecting_ends_a_quarantine():
    house, id_ = await connected()
    key = house.owner.workspace_id, id_
    house.database.rows.grants[key] = replace(house.database.rows.grants[key], sealed=b"spoiled")
    house.expire()
    await house.sweep()
    assert house.state(id_) is State.QUARANTINED
    await house.connect(credential_id=id_)
    assert (await house.cases.tokens.token(house.node, id_)).access_token.reveal() == "at-2-1"


# --- things that happen meanwhile ----------------------------------------------------------------------------------------


async def test_a_credential_deleted_meanwhile_leaves_no_living_token_behind():
    house, id_ = await connected()
    house.expire()

    async def delete() -> None:
        await house.database.credentials.delete(house.owner.workspace_id, id_)

    house.wire.after_refresh.append(delete)
    with pytest.raises((NotFound, NotConnected)):
        await house.cases.tokens.token(house.node, id_)
    assert [token.reveal() for token in house.wire.revoked] == ["rt-1-2"]
    assert not house.server.consents.is_alive("at-1-2")
    assert "surplus_revoked" in house.journal.actions
    assert "refreshed" not in house.journal.actions, "nothing was refreshed that anybody still has"


async def test_a_newer_consent_wins_over_a_refresh_under_way():
    house, id_ = await connected()
    house.expire()

    async def reconnect() -> None:
        house.wire.after_refresh.clear()
        await house.connect(credential_id=id_)

    house.wire.after_refresh.append(reconnect)
    token = await house.cases.tokens.token(house.node, id_)
    assert token.access_token.reveal() == "at-2-1"
    assert await house.stored_refresh_token(id_) == "rt-2-1"
    assert house.journal.facts("surplus_kept")[-1]["code"] == "shared_grant"
    assert house.state(id_) is State.CONNECTED


def lapsed(house: House, id_: str, ending: Callable[[Lease], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
    """Our lease ends under the call, another process claims, and ends its own attempt in that way."""

    async def happen() -> None:
        house.clock.advance(91)
        claimed = await house.database.grants.claim(house.grant(id_), owner="other", lease_s=90, intent_fingerprint="x")
        assert claimed is not None
        await ending(claimed)

    return happen


@pytest.mark.parametrize("outcome", ["uncertain", "refused"])
async def test_what_lost_its_fence_is_put_in_place_where_nothing_newer_is(outcome):
    house, id_ = await connected()
    house.expire()

    async def ends(lease: Lease) -> None:
        standing = lease.grant.standing
        if outcome == "refused":  # by the provider, which had given the living token set to us
            failed = lifecycle.Failed(kind=FailureKind.GRANT, code="lost_response", retry_at=None)
            standing = lifecycle.apply(standing, failed, now=house.clock.now())
        await house.database.grants.settle(lease, standing, None, keep_intent=outcome == "uncertain")

    house.wire.after_refresh.append(lapsed(house, id_, ends))
    token = await house.cases.tokens.token(house.node, id_)
    assert "orphan_shelved" in house.journal.actions
    assert token.access_token.reveal() == "at-1-2"
    assert await house.stored_refresh_token(id_) == "rt-1-2"
    assert house.state(id_) is State.CONNECTED
    # The other may have tried what was put in place, and heard nothing: a refusal will be told as a loss.
    planned = house.grant(id_).standing.next_refresh_at
    assert planned is not None
    assert (planned <= house.clock.now()) == (outcome == "uncertain"), "that is found out at once"
    house.wire.after_refresh.clear()
    house.wire.instead = [INVALID_GRANT, INVALID_GRANT]
    await house.next_try(id_)
    assert house.failure_code(id_) == ("lost_response" if outcome == "uncertain" else "invalid_grant")


async def test_it_is_put_in_place_however_long_the_database_does_not_take_it(monkeypatch):
    house, id_ = await connected()
    house.expire()

    async def ends(lease: Lease) -> None:
        failed = lifecycle.Failed(kind=FailureKind.GRANT, code="lost_response", retry_at=None)
        await house.database.grants.settle(
            lease, lifecycle.apply(lease.grant.standing, failed, now=house.clock.now()), None
        )

    tries, store = [], house.database.grants.store

    async def reluctant(*given: object, **named: object) -> bool:
        if named:  # an adoption, each of which waits for the lease of the one before
            tries.append(house.clock.monotonic())
            if len(tries) < 6:
                raise Unavailable
        return await store(*given, **named)

    monkeypatch.setattr(house.database.grants, "store", reluctant)
    house.wire.after_refresh.append(lapsed(house, id_, ends))
    await house.cases.tokens.token(house.node, id_)
    assert tries[-1] - tries[0] > 400
    assert house.state(id_) is State.CONNECTED
    assert await house.stored_refresh_token(id_) == "rt-1-2"


async def test_what_was_tried_and_refused_as_an_orphan_is_not_put_in_place():
    house, id_ = await connected()
    house.expire()

    async def ends(lease: Lease) -> None:
        failed = lifecycle.Failed(kind=FailureKind.GRANT, code="lost_response", retry_at=None)
        standing = lifecycle.apply(lease.grant.standing, failed, now=house.clock.now())
        refused = [fingerprint(Secret(token)) for token in ("rt-1-1", "rt-1-2")]
        await house.database.grants.settle(lease, standing, None, refused=refused)

    house.wire.after_refresh.append(lapsed(house, id_, ends))
    with pytest.raises(ReauthorizationRequired):
        await house.cases.tokens.token(house.node, id_)
    assert house.grant(id_).version == 1


async def test_what_lost_its_fence_never_replaces_something_newer():
    house, id_ = await connected()
    house.expire()

    async def stores(lease: Lease) -> None:
        standing = replace(lease.grant.standing, expires_at=house.clock.now() + timedelta(hours=1))
        newer = replace(lease.grant, version=2, standing=standing)
        newer = await seal_tokens(house.envelope, newer, builders.token_set())
        assert await house.database.grants.store(lease, newer, builders.event(credential_id=id_))

    house.wire.after_refresh.append(lapsed(house, id_, stores))
    await house.cases.tokens.token(house.node, id_)
    assert await house.stored_refresh_token(id_) == "refresh-1"


async def test_a_process_that_dies_with_the_answer_unread_leaves_a_trace():
    house, id_ = await connected()
    house.expire()
    never = asyncio.Event()
    house.wire.after_refresh.append(never.wait)
    reader = asyncio.create_task(house.cases.tokens.token(house.node, id_))
    await until(lambda: house.server.refreshes() and house.server.refreshes()[-1].outcome == "granted")
    for _ in range(20):
        await asyncio.sleep(0)
    after = await house.dies()
    await asyncio.gather(reader, return_exceptions=True)
    left = house.grant(id_)
    assert left.lease_owner
    assert left.intent_at is not None
    house.wire.after_refresh.clear()
    await after.sweep()
    assert len(house.server.refreshes()) == 1, "the lease still stands"
    await after.next_try(id_)
    assert after.failure_code(id_) == "lost_response"


async def test_a_process_that_dies_before_the_call_loses_nothing():
    house, id_ = await connected()
    house.expire()
    never = asyncio.Event()
    house.wire.before_refresh.append(never.wait)
    reader = asyncio.create_task(house.cases.tokens.token(house.node, id_))
    await until(lambda: house.wire.refreshed)
    after = await house.dies()
    await asyncio.gather(reader, return_exceptions=True)
    house.wire.before_refresh.clear()
    await after.next_try(id_)
    assert after.state(id_) is State.CONNECTED
    assert await after.stored_refresh_token(id_) == "rt-1-2"


async def test_a_late_answer_to_the_claim_counts_against_the_lease():
    """The lease runs since the claim was made, so time lost on the way back is time that may not be used for sending."""
    house, id_ = await connected()
    house.expire()
    claim = house.database.grants.claim

    async def slowly(*arguments, **more):
        lease = await claim(*arguments, **more)
        house.clock.advance(60)
        return lease

    house.database.grants.claim = slowly
    with pytest.raises(RefreshFailing):
        await house.cases.tokens.token(house.node, id_)
    assert house.server.refreshes() == []


async def test_a_client_secret_that_does_not_open_is_the_administrators_to_mend():
    house, id_ = await connected()
    house.expire()
    client = await house.database.clients.for_provider(house.node.workspace_id, "acme")
    assert client is not None
    await house.database.clients.put(replace(client, secret_sealed=b"rubbish"))
    with pytest.raises(RefreshFailing):
        await house.cases.tokens.token(house.node, id_)
    assert house.state(id_) is State.FAILING
    assert house.grant(id_).standing.failure.kind is FailureKind.CLIENT
    await house.register()
    assert (await house.cases.tokens.token(house.node, id_)).access_token.reveal() == "at-1-2"


async def test_a_rejection_of_an_older_consents_token_refreshes_nothing():
    house, id_ = await connected()
    house.clock.advance(60)
    old = await house.cases.tokens.token(house.node, id_)
    await house.connect(credential_id=id_)
    new = await house.cases.tokens.refresh(house.node, id_, rejected=old.facts.fingerprint)
    assert new.access_token.reveal() == "at-2-1"
    assert house.server.refreshes() == []
