"""Programs' keys: their shape, and that a wrong one says nothing about why."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit import builders
from tests.kit.house import House, make_house
from tokenkeep.core.errors import InvalidInput, NotFound, ScopeMissing, Unauthenticated
from tokenkeep.core.permissions import Scope
from tokenkeep.services import service_keys as module


async def minted(house: House, **asked):
    asked = {"name": "nodes", "scopes": ["tokens:read"]} | asked
    key, text = await house.cases.service_keys.create(house.person, **asked)
    return key, text.reveal()


async def refusal(house: House, text: str) -> tuple[str, str, dict]:
    with pytest.raises(Unauthenticated) as refused:
        await house.cases.service_keys.authenticate(text)
    return refused.value.message, refused.value.fix, dict(refused.value.extra)


async def test_a_key_is_a_caller_of_its_workspace_with_its_scopes():
    house = await make_house()
    key, text = await minted(house, scopes=["tokens:read", "connect"], credential_ids=["a", "b"])
    for _ in range(2):
        caller = await house.cases.service_keys.authenticate(text)
        assert (caller.kind, caller.id, caller.workspace_id) == ("key", key.id, house.owner.workspace_id)
        assert caller.scopes == {"tokens:read", "connect"}
        assert caller.credential_ids == {"a", "b"}


async def test_the_text_of_a_key_is_one_word_with_a_checksum_and_is_not_stored():
    house = await make_house()
    key, text = await minted(house)
    assert re.fullmatch(r"tk_[0-9a-z]{8}_[0-9A-Za-z]{43}_[0-9a-z]{6}", text)
    assert text.startswith(f"tk_{key.id}_")
    body, _, checksum = text.rpartition("_")
    digits, number = "0123456789abcdefghijklmnopqrstuvwxyz", zlib.crc32(body.encode())
    assert checksum == "".join(digits[number // 36**place % 36] for place in range(6))
    assert text.split("_")[2] not in repr(house.database.rows.service_keys)
    _, other = await minted(house)
    assert other != text


async def test_every_wrong_key_gets_the_same_answer():
    house = await make_house()
    _, good = await minted(house)
    (revoked, revoked_text), (_, expired_text) = (
        await minted(house),
        await minted(house, expires_at=house.clock.now() + timedelta(minutes=1)),
    )
    await house.cases.service_keys.authenticate(revoked_text)
    await house.cases.service_keys.authenticate(expired_text)
    await house.cases.service_keys.revoke(house.person, revoked.id)
    house.clock.advance(60)
    body = good.rpartition("_")[0]
    wrong_secret = body[:-1] + ("a" if body[-1] != "a" else "b")
    unknown = "tk_00000000" + good[11:].rpartition("_")[0]
    wrong = [
        revoked_text,
        expired_text,
        f"{wrong_secret}_{module._checksum(wrong_secret)}",
        f"{unknown}_{module._checksum(unknown)}",
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        good + "x",
        good[:-1],
        good.upper(),
        "",
        "tk_",
        "ü" * module.TEXT_LENGTH,
    ]
    assert len({str(await refusal(house, text)) for text in wrong}) == 1
    await house.cases.service_keys.authenticate(good)


async def test_a_typing_error_is_refused_without_a_look_up():
    house = await make_house()
    _, text = await minted(house)
    asked, look = [], house.database.reads.service_key

    async def watched(key_id):
        asked.append(key_id)
        return await look(key_id)

    house.database.reads.service_key = watched
    for place in (4, 20, 50, len(text) - 1):
        mistyped = text[:place] + ("x" if text[place] != "x" else "y") + text[place + 1 :]
        await refusal(house, mistyped)
    assert asked == []


@given(st.text(max_size=80))
def test_no_text_does_more_than_be_refused(text):
    assert module._claimed_id(text) == "" or len(text) == module.TEXT_LENGTH


async def test_a_revoked_key_is_dead_at_once_even_after_use():
    house = await make_house()
    key, text = await minted(house)
    await house.cases.service_keys.authenticate(text)
    await house.cases.service_keys.revoke(house.person, key.id)
    await refusal(house, text)
    with pytest.raises(NotFound):
        await house.cases.service_keys.revoke(house.person, key.id)
    assert [each.revoked_at is not None for each in await house.cases.service_keys.list(house.person)] == [True]


async def test_a_key_whose_row_changed_is_read_anew():
    house = await make_house()
    key, text = await minted(house)
    await house.cases.service_keys.authenticate(text)
    house.database.rows.service_keys[key.id] = replace(key, scopes=frozenset({"connect"}))
    assert (await house.cases.service_keys.authenticate(text)).scopes == {"connect"}
    house.database.rows.service_keys[key.id] = replace(key, digest="0" * 64)
    await refusal(house, text)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a" * 201}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"scopes": ["tokens:read", "TOKENS:READ"]}, "scopes"),
        ({"expires_at": builders.NOON}, "expires_at"),
    ],
)
async def test_what_cannot_be_made_a_key(asked, field):
    house = await make_house()
    with pytest.raises(InvalidInput) as refused:
        await minted(house, **asked)
    assert set(refused.value.fields) == {field}


async def test_only_an_administrator_handles_keys_and_only_of_the_own_workspace():
    house = await make_house()
    key, _ = await minted(house)
    editor = house.cases.accounts.caller(await house.member("editor"))
    for call in (
        lambda: house.cases.service_keys.create(editor, name="x", scopes=["connect"]),
        lambda: house.cases.service_keys.list(editor),
        lambda: house.cases.service_keys.revoke(editor, key.id),
    ):
        with pytest.raises(ScopeMissing):
            await call()
    stranger = builders.caller(workspace_id="workspace-2")
    assert await house.cases.service_keys.list(stranger) == []
    with pytest.raises(NotFound):
        await house.cases.service_keys.revoke(stranger, key.id)


async def test_a_key_limited_to_named_credentials_makes_no_unlimited_one():
    house = await make_house()
    limited = house.caller(Scope.ADMIN, credential_ids=frozenset({"one"}))
    with pytest.raises(NotFound):
        await house.cases.service_keys.create(limited, name="all", scopes=["tokens:read"])
    assert await house.cases.service_keys.list(house.person) == []


async def test_the_last_use_is_written_at_the_next_flush():
    house = await make_house()
    key, text = await minted(house)
    house.clock.advance(5)
    await house.cases.service_keys.authenticate(text)
    assert house.database.rows.service_keys[key.id].last_used_at is None
    await house.cases.usage.flush()
    assert house.database.rows.service_keys[key.id].last_used_at == house.clock.now()


async def test_a_flush_that_fails_is_made_up_for_by_the_next():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    key, text = await minted(house)
    await house.cases.service_keys.authenticate(text)
    await house.cases.tokens.token(house.node, id_, consumer="flow/1")
    seen = house.database.references.seen

    async def away(uses):
        raise ConnectionError

    house.database.references.seen = away
    with pytest.raises(ConnectionError):
        await house.cases.usage.flush()
    house.database.references.seen = seen
    house.clock.advance(5)
    await house.cases.usage.flush()
    assert house.database.rows.service_keys[key.id].last_used_at == house.clock.now()
    assert [each.consumer for each in await house.cases.credentials.references(house.person, id_)] == ["flow/1"]
    wrote = []

    async def count(uses):
        wrote.append(uses)

    house.database.service_keys.used = house.database.references.seen = count
    await house.cases.usage.flush()
    assert wrote == [], "nothing is written twice"
