"""OutboxStore: what is still to be told, to endpoints and to people."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.kit.builders import OTHER_WORKSPACE, WORKSPACE
from tests.kit.stored import AnyDatabase, event
from tests.kit.told import delivery, endpoint
from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.webhooks import Delivery, DeliveryState
from tokenkeep.services.ports import Notice

MINUTE = timedelta(minutes=1)
HERE = (WORKSPACE, "endpoint-1")


def notice(**changes: object) -> Notice:
    defaults = {
        "id": "notice-1",
        "workspace_id": WORKSPACE,
        "type": "credential.reauthorization_required",
        "at": datetime.fromisoformat("2026-11-24T12:00:00Z"),
        "name": "Team drive",
        "path": "/credentials/credential-1",
    }
    return Notice(**defaults | changes)  # type: ignore[arg-type]


async def keep(database: AnyDatabase, *deliveries: Delivery) -> None:
    if await database.endpoints.get(*HERE) is None:
        await database.endpoints.add(endpoint())
    await database.outbox.tell([], deliveries=deliveries, notices=[])


async def due(database: AnyDatabase) -> list[tuple[str, str]]:
    return list(await database.outbox.due(limit=9))


async def claim(database: AnyDatabase, *, limit: int = 9, lease_s: int = 60) -> list[str]:
    return [each.id for each in await database.outbox.claim(*HERE, limit=limit, lease_s=lease_s)]


async def stored(database: AnyDatabase) -> Delivery:
    found = await database.outbox.get(*HERE, "msg_1")
    assert found is not None
    return found


# --- history that was not told -------------------------------------------------------------------------------------


async def test_lines_are_untold_until_they_are_marked(database: AnyDatabase) -> None:
    for number in range(4):
        await database.events.add(event(id=str(number)))
    lines = await database.outbox.untold(limit=3)
    assert [line.event.id for line in lines] == ["0", "1", "2"]
    await database.outbox.tell([lines[0].seq, lines[2].seq], deliveries=[], notices=[])
    await database.outbox.tell([lines[0].seq], deliveries=[], notices=[])
    assert [line.event.id for line in await database.outbox.untold(limit=9)] == ["1", "3"]


async def test_a_line_comes_back_whole(database: AnyDatabase, now: datetime) -> None:
    told = event(at=now, kind="refresh_failed", actor="system", detail={"kind": "transient", "uncertain": False})
    await database.events.add(told)
    (line,) = await database.outbox.untold(limit=9)
    assert (line.event, line.before) == (told, "")


async def test_each_line_knows_the_outcome_before_it(database: AnyDatabase, now: datetime) -> None:
    kinds = ["connected", "edited", "refresh_failed", "tested", "refresh_failed", "refreshed"]
    for number, kind in enumerate(kinds):
        await database.events.add(event(id=f"{number}", kind=kind, at=now + MINUTE * (number // 2)))
        await database.events.add(event(id=f"o{number}", kind="refreshed", credential_id="other", at=now))
        await database.events.add(event(id=f"t{number}", kind="refreshed", workspace_id=OTHER_WORKSPACE, at=now))
    lines = [line for line in await database.outbox.untold(limit=99) if line.event.id.isdigit()]
    before = ["", "connected", "connected", "refresh_failed", "refresh_failed", "refresh_failed"]
    assert [line.before for line in lines] == before


# --- deliveries -----------------------------------------------------------------------------------------------------


async def test_a_delivery_is_kept_once_and_only_for_an_endpoint_that_is_there(
    database: AnyDatabase, now: datetime
) -> None:
    kept = delivery(created_at=now, next_attempt_at=now, body='{"name":"Grün"}')
    stray = delivery(endpoint_id="gone")
    theirs = delivery(workspace_id=OTHER_WORKSPACE)
    await keep(database, kept, stray, theirs)
    await keep(database, replace(kept, body="{}"))
    assert await stored(database) == kept
    assert await database.outbox.get(WORKSPACE, "gone", "msg_1") is None
    assert await database.outbox.get(OTHER_WORKSPACE, "endpoint-1", "msg_1") is None


async def test_endpoints_with_something_due_the_longest_waiting_first(database: AnyDatabase, now: datetime) -> None:
    await database.endpoints.add(endpoint(id="b"))
    await database.endpoints.add(endpoint(id="c", workspace_id=OTHER_WORKSPACE))
    await keep(
        database,
        delivery(id="1", next_attempt_at=now - MINUTE),
        delivery(id="2", next_attempt_at=now - 3 * MINUTE, endpoint_id="b"),
        delivery(id="3", next_attempt_at=now - 2 * MINUTE, endpoint_id="c", workspace_id=OTHER_WORKSPACE),
        delivery(id="4", next_attempt_at=now),
        delivery(id="5", next_attempt_at=now + MINUTE),
    )
    assert await due(database) == [(WORKSPACE, "b"), (OTHER_WORKSPACE, "c"), HERE]
    assert await database.outbox.due(limit=1) == [(WORKSPACE, "b")]


async def test_a_claim_counts_an_attempt_and_keeps_others_away(database: AnyDatabase, now: datetime) -> None:
    await keep(
        database,
        delivery(id="later", created_at=now, next_attempt_at=now + MINUTE),
        delivery(id="b", created_at=now, next_attempt_at=now),
        delivery(id="a", created_at=now - MINUTE, next_attempt_at=now - MINUTE),
    )
    (first,) = await database.outbox.claim(*HERE, limit=1, lease_s=60)
    assert (first.id, first.attempts) == ("a", 1)
    assert first.next_attempt_at is not None
    assert timedelta(seconds=50) < first.next_attempt_at - now < timedelta(seconds=90)
    assert await claim(database) == ["b"]
    assert await claim(database) == []
    assert await due(database) == []


async def test_what_a_dead_process_had_claimed_is_due_when_its_lease_ends(database: AnyDatabase, now: datetime) -> None:
    await keep(database, delivery(next_attempt_at=now))
    assert await claim(database, lease_s=0) == ["msg_1"]
    assert await claim(database) == ["msg_1"]
    assert (await stored(database)).attempts == 2


async def test_two_who_claim_at_once_get_different_ones(
    another: Callable[[], AnyDatabase], database: AnyDatabase, now: datetime
) -> None:
    await keep(database, *(delivery(id=str(number), next_attempt_at=now) for number in range(8)))
    batches = await asyncio.gather(*(claim(each, limit=4) for each in (another(), another(), another())))
    assert sorted(name for batch in batches for name in batch) == [str(number) for number in range(8)]


async def test_the_outcome_of_an_attempt(database: AnyDatabase, now: datetime) -> None:
    await keep(database, delivery(next_attempt_at=now))
    (mine,) = await database.outbox.claim(*HERE, limit=1, lease_s=0)
    again = replace(mine, next_attempt_at=now + MINUTE, last_attempt_at=now, last_result="503")
    assert await database.outbox.settle(again, attempts=1)
    assert await stored(database) == again
    over = replace(mine, state=DeliveryState.FAILED, next_attempt_at=None, last_attempt_at=now, last_result="lost")
    assert not await database.outbox.settle(over, attempts=2)
    assert await database.outbox.settle(over, attempts=1)
    assert await stored(database) == over
    assert not await database.outbox.settle(again, attempts=1)


async def test_a_late_success_counts_a_late_failure_does_not(database: AnyDatabase, now: datetime) -> None:
    await keep(database, delivery(next_attempt_at=now))
    (first,) = await database.outbox.claim(*HERE, limit=1, lease_s=0)
    (second,) = await database.outbox.claim(*HERE, limit=1, lease_s=60)
    assert not await database.outbox.settle(replace(first, last_result="503"), attempts=first.attempts)
    done = replace(first, state=DeliveryState.DELIVERED, next_attempt_at=None, last_attempt_at=now, last_result="200")
    assert await database.outbox.settle(done, attempts=first.attempts)
    assert await stored(database) == replace(done, attempts=second.attempts)


async def put_over(database: AnyDatabase, id_: str, state: DeliveryState, at: datetime) -> None:
    await keep(database, delivery(id=id_, state=state, next_attempt_at=None, last_attempt_at=at, attempts=3))


async def test_replaying_makes_what_is_over_due_again(database: AnyDatabase, now: datetime) -> None:
    await put_over(database, "msg_1", DeliveryState.FAILED, now)
    assert not await database.outbox.replay(OTHER_WORKSPACE, "endpoint-1", "msg_1", now)
    assert not await database.outbox.replay(*HERE, "unknown", now)
    assert await database.outbox.replay(*HERE, "msg_1", now)
    found = await stored(database)
    assert (found.state, found.attempts, found.next_attempt_at) == (DeliveryState.PENDING, 0, now)
    assert not await database.outbox.replay(*HERE, "msg_1", now)


async def test_replaying_every_failed_one(database: AnyDatabase, now: datetime) -> None:
    await put_over(database, "failed", DeliveryState.FAILED, now)
    await put_over(database, "delivered", DeliveryState.DELIVERED, now)
    await keep(database, delivery(id="waiting", next_attempt_at=now + MINUTE))
    assert await database.outbox.replay_failed(OTHER_WORKSPACE, "endpoint-1", now) == 0
    assert await database.outbox.replay_failed(*HERE, now) == 1
    assert await claim(database) == ["failed"]


async def test_lists_are_newest_first_by_state_and_in_pages(database: AnyDatabase, now: datetime) -> None:
    for number in range(5):
        await keep(database, delivery(id=str(number), created_at=now + MINUTE * (number // 2)))
    await put_over(database, "failed", DeliveryState.FAILED, now)
    listed = database.outbox.list
    first = await listed(*HERE, state=DeliveryState.PENDING, limit=2, cursor="")
    second = await listed(*HERE, state=DeliveryState.PENDING, limit=2, cursor=first.next_cursor)
    third = await listed(*HERE, state=DeliveryState.PENDING, limit=2, cursor=second.next_cursor)
    assert [each.id for page in (first, second, third) for each in page.items] == ["4", "3", "2", "1", "0"]
    assert third.next_cursor == ""
    assert [each.id for each in (await listed(*HERE, state=DeliveryState.FAILED, limit=9, cursor="")).items] == [
        "failed"
    ]
    assert len((await listed(*HERE, state=None, limit=9, cursor="")).items) == 6
    assert list((await listed(OTHER_WORKSPACE, "endpoint-1", state=None, limit=9, cursor="")).items) == []
    with pytest.raises(InvalidInput):
        await listed(*HERE, state=None, limit=9, cursor="not one of ours")


async def test_what_is_over_long_enough_is_forgotten(database: AnyDatabase, now: datetime) -> None:
    day = timedelta(days=1)
    for id_, state, at in (
        ("old success", DeliveryState.DELIVERED, now - 8 * day),
        ("success", DeliveryState.DELIVERED, now - 6 * day),
        ("old failure", DeliveryState.FAILED, now - 31 * day),
        ("failure", DeliveryState.FAILED, now - 8 * day),
    ):
        await put_over(database, id_, state, at)
    await keep(database, delivery(id="waiting", created_at=now - 40 * day, next_attempt_at=now))
    await database.outbox.tell([], deliveries=[], notices=[notice(at=now - 31 * day), notice(id="new", at=now)])
    purged = database.outbox.purge
    assert await purged(delivered_before=now - 7 * day, failed_before=now - 30 * day) == 2
    assert await purged(delivered_before=now - 7 * day, failed_before=now - 30 * day) == 0
    left = await database.outbox.list(*HERE, state=None, limit=9, cursor="")
    assert {each.id for each in left.items} == {"success", "failure", "waiting"}
    assert [each.id for each in await database.outbox.notices(WORKSPACE, limit=9)] == ["new"]


# --- mail -----------------------------------------------------------------------------------------------------------


async def test_notices_wait_per_workspace_until_they_are_mailed(database: AnyDatabase, now: datetime) -> None:
    later, first = notice(id="later", at=now + MINUTE), notice(id="first", at=now)
    theirs = notice(id="first", workspace_id=OTHER_WORKSPACE, at=now)
    await database.outbox.tell([], deliveries=[], notices=[later, first, theirs])
    await database.outbox.tell([], deliveries=[], notices=[replace(first, name="again")])
    assert sorted(await database.outbox.waiting()) == sorted([WORKSPACE, OTHER_WORKSPACE])
    assert list(await database.outbox.notices(WORKSPACE, limit=9)) == [first, later]
    assert list(await database.outbox.notices(WORKSPACE, limit=1)) == [first]
    await database.outbox.noticed(WORKSPACE, ["first", "later"])
    assert list(await database.outbox.waiting()) == [OTHER_WORKSPACE]


async def test_one_turn_in_a_while_whoever_asks(another: Callable[[], AnyDatabase], database: AnyDatabase) -> None:
    turns = await asyncio.gather(*(each.outbox.take_turn(WORKSPACE, every_s=60) for each in (another(), another())))
    assert sorted(turns) == [False, True]
    assert not await database.outbox.take_turn(WORKSPACE, every_s=60)
    assert await database.outbox.take_turn(OTHER_WORKSPACE, every_s=0)
    assert await database.outbox.take_turn(OTHER_WORKSPACE, every_s=0)
