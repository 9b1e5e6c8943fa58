"""ReferenceStore: declared and seen uses."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.kit.builders import OTHER_WORKSPACE, WORKSPACE
from tests.kit.stored import AnyDatabase, put_credential
from tokenkeep.core.errors import NotFound
from tokenkeep.core.model import Reference

MINUTE = timedelta(minutes=1)


def use(consumer: str = "flow/1", **changes: str) -> tuple[str, str, str]:
    place = {"workspace_id": WORKSPACE, "credential_id": "credential-1"} | changes
    return place["workspace_id"], place["credential_id"], consumer


async def test_a_declared_use_is_listed(database: AnyDatabase, now: datetime) -> None:
    await put_credential(database)
    await database.references.declare(*use("node/2"), now)
    await database.references.declare(*use("flow/1"), now)
    assert list(await database.references.list(WORKSPACE, "credential-1")) == [
        Reference(consumer="flow/1", declared=True, created_at=now, last_used_at=None),
        Reference(consumer="node/2", declared=True, created_at=now, last_used_at=None),
    ]


async def test_declaring_again_keeps_the_first_day(database: AnyDatabase, now: datetime) -> None:
    await put_credential(database)
    await database.references.declare(*use(), now)
    await database.references.declare(*use(), now + MINUTE)
    (reference,) = await database.references.list(WORKSPACE, "credential-1")
    assert reference.created_at == now


async def test_declaring_a_use_of_nothing_is_not_found(database: AnyDatabase, now: datetime) -> None:
    await put_credential(database)
    for place in (use(credential_id="nobody"), use(workspace_id=OTHER_WORKSPACE)):
        with pytest.raises(NotFound):
            await database.references.declare(*place, now)


async def test_seen_uses_are_added_and_move_forward_only(database: AnyDatabase, now: datetime) -> None:
    await put_credential(database)
    await database.references.seen({use("a"): now, use("b"): now})
    await database.references.seen({use("a"): now + MINUTE, use("b"): now - MINUTE})
    assert list(await database.references.list(WORKSPACE, "credential-1")) == [
        Reference(consumer="a", declared=False, created_at=now, last_used_at=now + MINUTE),
        Reference(consumer="b", declared=False, created_at=now, last_used_at=now),
    ]


async def test_a_declared_use_is_seen_and_stays_declared(database: AnyDatabase, now: datetime) -> None:
    await put_credential(database)
    await database.references.declare(*use(), now)
    await database.references.seen({use(): now})
    (reference,) = await database.references.list(WORKSPACE, "credential-1")
    assert (reference.declared, reference.last_used_at) == (True, now)


async def test_a_seen_use_becomes_declared(database: AnyDatabase, now: datetime) -> None:
    await put_credential(database)
    await database.references.seen({use(): now})
    await database.references.declare(*use(), now + MINUTE)
    (reference,) = await database.references.list(WORKSPACE, "credential-1")
    assert (reference.declared, reference.last_used_at) == (True, now)


async def test_seen_uses_of_deleted_and_foreign_credentials_are_skipped(database: AnyDatabase, now: datetime) -> None:
    await put_credential(database)
    uses = {use(credential_id="deleted"): now, use(workspace_id=OTHER_WORKSPACE): now, use("a"): now}
    await database.references.seen(uses)
    await database.references.seen({})
    assert len(await database.references.list(WORKSPACE, "credential-1")) == 1
    assert list(await database.references.list(OTHER_WORKSPACE, "credential-1")) == []
    assert list(await database.references.list(WORKSPACE, "deleted")) == []


async def test_removing(database: AnyDatabase, now: datetime) -> None:
    await put_credential(database)
    await database.references.declare(*use(), now)
    assert not await database.references.remove(*use(workspace_id=OTHER_WORKSPACE))
    assert not await database.references.remove(*use("flow/2"))
    assert await database.references.remove(*use())
    assert not await database.references.remove(*use())
