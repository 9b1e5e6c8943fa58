"""ServiceKeyStore: programs' keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from tests.kit import builders
from tests.kit.builders import OTHER_WORKSPACE, WORKSPACE
from tests.kit.stored import AnyDatabase

MINUTE = timedelta(minutes=1)


async def test_keys_come_back_whole(database: AnyDatabase, now: datetime) -> None:
    limited = builders.service_key(
        id="limited", scopes=frozenset({"tokens:read", "connect"}), credential_ids=frozenset({"a", "b"}), expires_at=now
    )
    nothing = builders.service_key(id="nothing", credential_ids=frozenset(), scopes=frozenset())
    everything = builders.service_key(id="everything", created_at=now)
    for key in (everything, limited, nothing):
        await database.service_keys.add(key)
        assert await database.service_keys.get(key.id) == key
    assert sorted(key.id for key in await database.service_keys.list(WORKSPACE)) == ["everything", "limited", "nothing"]


async def test_lists_are_of_one_workspace_and_oldest_first(database: AnyDatabase, now: datetime) -> None:
    await database.service_keys.add(builders.service_key(id="new", created_at=now))
    await database.service_keys.add(builders.service_key(id="old", created_at=now - MINUTE))
    await database.service_keys.add(builders.service_key(id="theirs", workspace_id=OTHER_WORKSPACE))
    assert [key.id for key in await database.service_keys.list(WORKSPACE)] == ["old", "new"]
    assert await database.service_keys.get("unknown") is None


async def test_a_key_is_revoked_once_and_in_its_workspace(database: AnyDatabase, now: datetime) -> None:
    key = builders.service_key()
    await database.service_keys.add(key)
    assert not await database.service_keys.revoke(OTHER_WORKSPACE, key.id, now)
    assert not await database.service_keys.revoke(WORKSPACE, "unknown", now)
    assert await database.service_keys.get(key.id) == key
    assert await database.service_keys.revoke(WORKSPACE, key.id, now)
    assert not await database.service_keys.revoke(WORKSPACE, key.id, now + MINUTE)
    assert await database.service_keys.get(key.id) == replace(key, revoked_at=now)


async def test_uses_move_forward_only(database: AnyDatabase, now: datetime) -> None:
    for name in ("a", "b"):
        await database.service_keys.add(builders.service_key(id=name))
    await database.service_keys.used({"a": now, "b": now, "unknown": now})
    await database.service_keys.used({"a": now + MINUTE, "b": now - MINUTE})
    await database.service_keys.used({})
    keys = {key.id: key.last_used_at for key in await database.service_keys.list(WORKSPACE)}
    assert keys == {"a": now + MINUTE, "b": now}
