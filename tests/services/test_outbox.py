"""Sending: retries on the timetable, crashes, replicas, endpoints that are gone, secrets that turn over."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.kit.builders import event
from tests.kit.house import _assembled
from tests.kit.receiver import Received, Receiver, signed_by
from tests.kit.told import Told, make_told
from tokenkeep.core.model import Answer
from tokenkeep.core.webhooks import GIVE_UP_S, OVERLAP_S, RETRIES_S, DeliveryState
from tokenkeep.services.outbox import AT_ONCE_PER_ENDPOINT

PENDING, DELIVERED, FAILED = DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.FAILED


async def happened(told: Told, *names: str, kind: str = "created") -> None:
    """So many events wait to be told."""
    for name in names or ("1",):
        await told.house.database.events.add(
            event(id=name, kind=kind, workspace_id=told.house.owner.workspace_id, at=told.house.clock.now())
        )
    await told.outsiders.tell()


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_what_is_taken_is_over(status: int) -> None:
    told = await make_told()
    told.receiver.status = status
    await happened(told)
    await told.send()
    await told.send()
    found = await told.only()
    assert (found.state, found.attempts, found.last_result) == (DELIVERED, 1, str(status))
    assert (found.next_attempt_at, found.last_attempt_at) == (None, told.house.clock.now())
    assert len(told.receiver.received) == 1


@pytest.mark.parametrize("status", [0, 301, 302, 400, 404, 429, 500, 503])
async def test_what_is_not_taken_is_sent_again_after_five_seconds(status: int) -> None:
    told = await make_told()
    told.receiver.status = status
    await happened(told)
    await told.send()
    found = await told.only()
    assert (found.state, found.last_result) == (PENDING, str(status) if status else "lost")
    assert found.next_attempt_at is not None
    assert 5 <= (found.next_attempt_at - told.house.clock.now()).total_seconds() <= 5.5


async def test_ten_attempts_on_the_timetable_and_then_it_has_failed() -> None:
    told = await make_told()
    told.receiver.status = 500
    await happened(told)
    sent_at = []
    while (await told.states()) == [PENDING]:
        told.wait_until((await told.only()).next_attempt_at)
        sent_at.append(told.house.clock.now())
        await told.send()
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(sent_at)]
    assert len(waits) == len(RETRIES_S)
    assert all(wait <= waited <= wait * 1.1 + 1 for wait, waited in zip(RETRIES_S, waits, strict=True))
    assert await told.states() == [FAILED]
    assert len({request.id for request in told.receiver.received}) == 1
    assert len({request.headers["webhook-timestamp"] for request in told.receiver.received}) == 10
    assert all(signed_by(told.secret, request) for request in told.receiver.received)


async def test_a_failed_one_is_kept_and_replayed_with_the_same_id() -> None:
    told = await make_told()
    told.receiver.status = 500
    await happened(told)
    while (await told.states()) == [PENDING]:
        told.wait_until((await told.only()).next_attempt_at)
        await told.send()
    told.receiver.status = 200
    await told.outsiders.webhooks.replay(told.house.person, told.endpoint.id, (await told.only()).id)
    await told.send()
    assert await told.states() == [DELIVERED]
    assert {(request.id, request.body) for request in told.receiver.received} == {
        ("msg_1_created", told.receiver.received[0].body)
    }


async def test_a_process_that_dies_between_sending_and_writing_sends_it_again_with_the_same_id() -> None:
    told = await make_told()
    await happened(told)
    told.house.database.broken.add("outbox.settle")
    await told.send()
    told.house.database.broken.clear()
    assert told.house.journal.facts("webhook_left") == [{"webhook": told.endpoint.id, "error": "ConnectionError"}]
    other = told.replica()
    await other.send()
    assert len(told.receiver.received) == 1  # its lease still stands
    other.wait_until((await told.only()).next_attempt_at)
    await other.send()
    first, second = told.receiver.received
    assert (first.id, first.body) == (second.id, second.body)
    assert second.headers["webhook-timestamp"] > first.headers["webhook-timestamp"]
    assert ((await told.only()).state, (await told.only()).attempts) == (DELIVERED, 2)


async def test_replicas_that_deliver_at_once_send_each_message_once() -> None:
    told = await make_told()
    await happened(told, *(str(number) for number in range(40)))
    replicas = [told, told.replica(), told.replica()]
    await asyncio.gather(*(each.send() for each in replicas))
    assert len(told.receiver.received) == len({request.id for request in told.receiver.received}) == 40
    assert set(await told.states()) == {DELIVERED}


async def test_an_endpoint_that_is_gone_is_disabled_at_once() -> None:
    told = await make_told()
    told.receiver.status = 410
    await happened(told, "1", "2")
    await told.send()
    stored = await told.stored_endpoint()
    assert (stored.disabled_at, stored.disabled_reason) == (told.house.clock.now(), "gone")
    assert set(await told.states()) == {FAILED}
    (line,) = [each for each in told.house.database.rows.events if each.kind == "webhook_disabled"]
    assert line.detail == {"webhook_id": told.endpoint.id, "reason": "gone"}
    assert told.house.journal.actions.count("webhook_disabled") == 1
    await happened(told, "3")
    await told.send()
    assert len(told.receiver.received) == 2


async def test_an_endpoint_that_took_nothing_for_five_days_is_disabled_and_others_are_told() -> None:
    told = await make_told(types=["credential.created"])
    other, _ = await told.outsiders.webhooks.create(
        told.house.person, url="https://other.example", types=["webhook.disabled"]
    )
    told.receiver.status = lambda request: 200 if request.url == other.url else 500
    began = told.house.clock.now()
    for day in range(10):
        await happened(told, f"of day {day}")
        await told.send()
        if (await told.stored_endpoint()).disabled_at is not None:
            break
        told.house.clock.advance(86_400)
    stored = await told.stored_endpoint()
    assert stored.disabled_reason == "failing"
    assert stored.disabled_at == began + timedelta(seconds=GIVE_UP_S)
    await told.pass_on()
    (told_other,) = [request for request in told.receiver.received if request.url == other.url]
    assert told_other.payload["data"]["detail"] == {"webhook_id": told.endpoint.id, "reason": "failing"}


async def test_one_success_starts_the_five_days_anew() -> None:
    told = await make_told()
    for day in range(12):
        told.receiver.status = 200 if day == 4 else 500
        await happened(told, f"of day {day}")
        await told.send()
        assert ((await told.stored_endpoint()).disabled_at is None) == (day < 10)
        if day == 10:
            break
        told.house.clock.advance(86_400)


async def test_while_a_secret_turns_over_both_sign_and_then_only_the_new_one() -> None:
    told = await make_told()
    _, fresh = await told.outsiders.webhooks.rotate(told.house.person, told.endpoint.id)
    await happened(told, "1")
    await told.send()
    told.house.clock.advance(OVERLAP_S)
    await happened(told, "2")
    await told.send()
    during, after = told.receiver.received
    assert (signed_by(told.secret, during), signed_by(fresh.reveal(), during)) == (True, True)
    assert (signed_by(told.secret, after), signed_by(fresh.reveal(), after)) == (False, True)


async def test_a_secret_that_does_not_open_is_a_failed_attempt_and_nothing_is_sent() -> None:
    told = await make_told()
    await happened(told)
    told.house.envelope.broken = True
    await told.send()
    assert ((await told.only()).last_result, (await told.only()).state) == ("undecryptable", PENDING)
    assert told.receiver.received == []


class Hanging(Receiver):
    """One address that does not answer until it is let go."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.let_go = asyncio.Event()

    async def post(self, url: str, *, headers: dict[str, str], body: str) -> Answer:
        if url == self.url:
            await self.let_go.wait()
        return await super().post(url, headers=headers, body=body)


async def test_an_endpoint_that_hangs_holds_up_no_other_and_no_refresh() -> None:
    hanging = Hanging("https://hooks.example/tokenkeep")
    told = (await make_told()).replica(hanging)
    credential_id = (await told.house.connect()).credential.id
    await told.outsiders.webhooks.create(told.house.person, url="https://quick.example")
    await happened(told, *(str(number) for number in range(20)))
    await told.outbox.deliver()
    for _ in range(200):
        await asyncio.sleep(0)
    assert {request.url for request in hanging.received} == {"https://quick.example"}
    told.house.expire()
    await told.house.refresh_now(credential_id)
    assert told.house.events(credential_id)[-1] == "refreshed"
    hanging.let_go.set()
    assert await told.house.tasks.drain(20) == 0


async def test_one_that_hangs_gives_its_place_up_after_one_attempt_whatever_waits_for_it() -> None:
    told = await make_told()
    attempts = 0

    def hangs(_: Received) -> int:
        nonlocal attempts
        attempts += 1
        told.house.clock.advance(15 if attempts % AT_ONCE_PER_ENDPOINT == 0 else 0)
        return 0

    told.receiver.status = hangs
    await happened(told, *(str(number) for number in range(40)))
    await told.send()
    assert len(told.receiver.received) == AT_ONCE_PER_ENDPOINT


async def test_a_service_that_stops_begins_nothing_more() -> None:
    told = await make_told()
    await happened(told)
    told.outsiders.drain()
    await told.send()
    assert (told.receiver.received, await told.states()) == ([], [PENDING])


async def test_what_was_claimed_for_an_endpoint_disabled_meanwhile_is_not_sent() -> None:
    told = await make_told()
    await happened(told)
    off = await told.outsiders.webhooks.edit(told.house.person, told.endpoint.id, disabled=True)
    (late,) = await told.deliveries()
    await told.outbox._attempt(off, late)
    assert (told.receiver.received, await told.states()) == ([], [FAILED])


async def test_old_deliveries_are_forgotten() -> None:
    told = await make_told()
    await happened(told)
    await told.send()
    told.house.clock.advance(7 * 86_400 - 1)
    assert await told.outbox.purge() == 0
    told.house.clock.advance(2)
    assert await told.outbox.purge() == 1


async def test_the_journal_counts_what_was_sent_and_what_was_not() -> None:
    told = await make_told()

    def first_fails(request: Received) -> int:
        return 500 if len(told.receiver.received) == 1 else 200

    told.receiver.status = first_fails
    await happened(told, "1", "2")
    await told.send()
    assert told.house.journal.actions.count("webhook_failed") == 1
    assert told.house.journal.actions.count("webhook_delivered") == 1


async def test_a_process_without_a_way_out_still_fills_the_outbox() -> None:
    told = await make_told()
    silent = _assembled(replace(told.house.parts, poster=None, mail=None), told.house)
    assert [name for _, name, _ in silent.cases.outsiders.ticks()] == ["telling"]
    assert [name for _, name, _ in told.outsiders.ticks()] == ["telling", "outbox", "outbox purge", "mail"]
    await silent.connect()
    await silent.cases.outsiders.tell()
    silent.cases.outsiders.drain()
    await silent.cases.outsiders.close()
    await told.send()
    assert sorted(told.receiver.types) == ["credential.connected", "credential.created"]
