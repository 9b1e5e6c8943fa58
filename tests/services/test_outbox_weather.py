"""Whatever the weather: with failures, crashes and replicas in any order, everything that happened is told in the end."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tests.kit.builders import event
from tests.kit.told import Told, make_told
from tokenkeep.core.webhooks import DeliveryState

STEPS = ("happens", "tell", "send", "send elsewhere", "wait", "down", "up", "no tell", "no settle", "works")


async def step(told: Told, other: Told, name: str, happened: list[str]) -> None:
    broken = told.house.database.broken
    if name == "happens":
        happened.append(str(len(happened)))
        await told.house.database.events.add(
            event(id=happened[-1], kind="created", workspace_id=told.house.owner.workspace_id)
        )
    elif name in ("send", "send elsewhere"):
        await (told if name == "send" else other).send()
    elif name == "wait":
        told.house.clock.advance(150)
    elif name in ("down", "up"):
        told.receiver.status = 500 if name == "down" else 200
    elif name in ("no tell", "no settle"):
        broken.add("outbox." + name.removeprefix("no "))
    elif name == "works":
        broken.clear()
    else:
        try:
            await told.outsiders.tell()
        except ConnectionError:
            assert "outbox.tell" in broken


async def live(steps: list[str]) -> None:
    told = await make_told(mailing=False)
    other, happened = told.replica(), []
    for name in steps:
        await step(told, other, name, happened)
    told.house.database.broken.clear()
    told.receiver.status = 200
    await told.outsiders.tell()
    for _ in range(3):
        told.house.clock.advance(86_400 * 1.2)
        await told.send()
    assert sorted(each.id for each in await told.deliveries()) == sorted(f"msg_{name}_created" for name in happened)
    assert set(await told.states()) <= {DeliveryState.DELIVERED}
    bodies = {(request.id, request.body) for request in told.receiver.received}
    assert len(bodies) == len({request.id for request in told.receiver.received}) == len(happened)


@given(steps=st.lists(st.sampled_from(STEPS), max_size=25))
def test_everything_is_told_in_the_end_and_each_message_stays_the_same(steps: list[str]) -> None:
    asyncio.run(live(steps))
