"""The same read again: what is remembered, and what ends it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from tests.kit.house import House, make_house
from tokenkeep.core.errors import NotFound, Quarantined, Unauthenticated
from tokenkeep.core.permissions import Scope
from tokenkeep.services import token_reads as module
from tokenkeep.services.token_reads import TokenRead


class Reader:
    """A node with a key, in a house where nobody commits anything unless a test says so."""

    def __init__(self, house: House, credential_id: str, key: str, key_id: str) -> None:
        self.house, self.credential_id, self.key, self.key_id = house, credential_id, key, key_id
        self.looked: Counter[str] = Counter()
        self.reads = house.database.reads
        self.reads.still = True
        self._look = self.reads.service_key
        self.reads.service_key = self._watched

    async def _watched(self, key_id: str):
        self.looked[key_id] += 1
        return await self._look(key_id)

    def commit(self) -> None:
        self.reads.still = False

    async def read(self, **asked) -> TokenRead:
        question = {"key": self.key, "credential_id": self.credential_id, "min_ttl": 60, "consumer": ""} | asked
        return await self.house.cases.token_reads.read(question.pop("key").encode(), **question)


async def reader(*, lives_s: float | None = None, **switches) -> Reader:
    house = await make_house(**switches)
    credential_id = (await house.connect()).credential.id
    expires_at = house.clock.now() + timedelta(seconds=lives_s) if lives_s else None
    key, text = await house.cases.service_keys.create(
        house.person, name="node", scopes=[Scope.TOKENS_READ], expires_at=expires_at
    )
    return Reader(house, credential_id, text.reveal(), key.id)


async def test_the_same_question_is_looked_up_once():
    node = await reader()
    first = await node.read()
    assert first.live.access_token.reveal() == "at-1-1"
    assert first.actor == f"key/{node.key_id}"
    assert all([await node.read() is first for _ in range(5)])
    assert node.looked == {node.key_id: 1}


@pytest.mark.parametrize("other", [{"min_ttl": 61}, {"consumer": "flow/1"}])
async def test_another_question_is_another_look(other):
    node = await reader()
    assert await node.read() is not await node.read(**other)
    assert node.looked == {node.key_id: 2}


async def test_another_key_gets_nothing_from_what_is_remembered():
    node = await reader()
    await node.read()
    for wrong in (node.key[:-1] + "!", "", "tk_"):
        with pytest.raises(Unauthenticated):
            await node.read(key=wrong)
    with pytest.raises(NotFound):
        await node.read(credential_id="another")


async def test_a_commit_ends_what_is_remembered():
    node = await reader()
    await node.read()
    node.commit()
    await node.house.cases.service_keys.revoke(node.house.person, node.key_id)
    with pytest.raises(Unauthenticated):
        await node.read()
    node.reads.still = True  # what was refused is not remembered either
    with pytest.raises(Unauthenticated):
        await node.read()


async def test_a_token_too_old_for_the_question_is_refreshed_without_any_commit_in_between():
    node = await reader(expires_in=62)
    assert (await node.read()).live.access_token.reveal() == "at-1-1"
    node.house.clock.advance(1.9)
    assert (await node.read()).live.access_token.reveal() == "at-1-1"
    node.house.clock.advance(60)
    node.commit()
    assert (await node.read()).live.access_token.reveal() == "at-1-2"


async def test_a_key_ends_on_time_while_nothing_is_committed():
    node = await reader(lives_s=3)
    first = await node.read()
    node.house.clock.advance(2.9)
    assert await node.read() is first
    node.house.clock.advance(0.2)
    with pytest.raises(Unauthenticated):
        await node.read()


async def test_uses_are_noted_again_after_a_while():
    node = await reader()
    await node.read(consumer="flow/1")
    await node.house.cases.usage.flush()
    node.house.clock.advance(module.REPEAT_S + 0.1)
    used_at = node.house.clock.now()
    await node.read(consumer="flow/1")
    await node.house.cases.usage.flush()
    key = await node.house.database.service_keys.list(node.house.person.workspace_id)
    assert key[0].last_used_at == used_at


async def test_a_token_that_does_not_open_any_more_says_so():
    node = await reader()
    node.house.envelope.broken = True
    with pytest.raises(Quarantined):
        await node.read()


async def test_not_more_than_so_many_are_remembered(monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 3)
    node = await reader()
    for number in range(10):
        await node.read(consumer=f"flow/{number}")
    assert len(node.house.cases.token_reads._answered) == 3
    newest = await node.read(consumer="flow/9")
    assert await node.read(consumer="flow/9") is newest


async def test_no_key_is_remembered():
    node = await reader()
    await node.read()
    assert node.key not in repr(node.house.cases.token_reads._answered)
    assert node.key.encode() not in repr(node.house.cases.token_reads._answered).encode()
