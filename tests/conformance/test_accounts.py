"""AccountStore: people, workspaces, sessions and sign-in links."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.kit import builders
from tests.kit.builders import HOUR, OTHER_WORKSPACE, WORKSPACE
from tests.kit.stored import AnyDatabase
from tokenkeep.core.errors import Conflict, NotFound
from tokenkeep.core.model import INSTANCE, User

MINUTE = timedelta(minutes=1)


async def add_user(database: AnyDatabase, *, role: str = "owner", **changes: object) -> User:
    user = builders.user(**changes)
    await database.accounts.add_workspace(WORKSPACE, "One", builders.NOON)
    await database.accounts.add_user(user, workspace_id=WORKSPACE, role=role)
    return user


async def test_workspaces_oldest_first_without_the_instance(database: AnyDatabase, now: datetime) -> None:
    await database.accounts.add_workspace(OTHER_WORKSPACE, "Two", now)
    await database.accounts.add_workspace(WORKSPACE, "One", now - MINUTE)
    await database.accounts.add_workspace(INSTANCE, "Instance", now - HOUR)
    assert list(await database.accounts.workspaces()) == [(WORKSPACE, "One"), (OTHER_WORKSPACE, "Two")]


async def test_adding_a_workspace_again_changes_nothing(database: AnyDatabase, now: datetime) -> None:
    await database.accounts.add_workspace(WORKSPACE, "One", now)
    await database.accounts.add_workspace(WORKSPACE, "Another", now)
    assert list(await database.accounts.workspaces()) == [(WORKSPACE, "One")]


async def test_a_user_is_found_by_email_without_regard_to_case(database: AnyDatabase) -> None:
    user = await add_user(database, email="Ada@Example.org")
    assert await database.accounts.user_by_email("ada@example.ORG") == user
    assert await database.accounts.user_by_email("nobody@example.org") is None
    assert await database.accounts.membership(user.id) == (WORKSPACE, "owner")
    assert await database.accounts.membership("nobody") is None


async def test_an_address_is_taken_once(database: AnyDatabase) -> None:
    await add_user(database)
    with pytest.raises(Conflict):
        await add_user(database, id="user-2", email="ADA@example.org")
    assert await database.accounts.membership("user-2") is None


async def test_a_user_needs_a_workspace(database: AnyDatabase) -> None:
    with pytest.raises(NotFound):
        await database.accounts.add_user(builders.user(), workspace_id="nowhere", role="owner")
    assert await database.accounts.user_by_email("ada@example.org") is None


async def test_the_first_admin_is_the_oldest_owner_or_admin(database: AnyDatabase, now: datetime) -> None:
    assert await database.accounts.first_admin() is None
    await add_user(database, id="viewer", email="v@example.org", role="viewer", created_at=now - HOUR)
    assert await database.accounts.first_admin() is None
    await add_user(database, id="owner", email="o@example.org", created_at=now)
    admin = await add_user(database, id="admin", email="a@example.org", role="admin", created_at=now - MINUTE)
    assert await database.accounts.first_admin() == admin


async def test_a_password_is_replaced(database: AnyDatabase) -> None:
    user = await add_user(database)
    await database.accounts.set_password(user.id, "new hash")
    await database.accounts.set_password("nobody", "new hash")
    assert await database.accounts.user_by_email(user.email) == replace(user, password_hash="new hash")


async def test_a_session_is_joined_with_name_and_role(database: AnyDatabase) -> None:
    await add_user(database, name="Ada Lovelace", role="viewer")
    session = builders.user_session(browser="Firefox")
    await database.accounts.add_session(session)
    joined = replace(session, role="viewer", user_name="Ada Lovelace")
    assert await database.accounts.session(session.digest) == joined
    assert list(await database.accounts.sessions("user-1")) == [joined]
    assert await database.accounts.session("unknown") is None


async def test_a_session_in_a_workspace_one_is_no_member_of_is_none(database: AnyDatabase) -> None:
    await add_user(database)
    session = builders.user_session(workspace_id=OTHER_WORKSPACE)
    await database.accounts.add_session(session)
    assert await database.accounts.session(session.digest) is None


async def test_sessions_are_newest_first_seen_and_ended(database: AnyDatabase, now: datetime) -> None:
    await add_user(database)
    await add_user(database, id="user-2", email="b@example.org")
    for name, at in (("old", now - HOUR), ("new", now), ("newer", now + MINUTE)):
        await database.accounts.add_session(builders.user_session(digest=name, created_at=at))
    await database.accounts.add_session(builders.user_session(digest="theirs", user_id="user-2"))
    await database.accounts.touch_session("old", now)
    found = await database.accounts.sessions("user-1")
    assert [session.digest for session in found] == ["newer", "new", "old"]
    assert found[-1].seen_at == now
    assert await database.accounts.end_session("new")
    assert not await database.accounts.end_session("new")
    assert await database.accounts.end_sessions("user-1") == 2
    assert await database.accounts.session("theirs") is not None


async def test_a_link_is_looked_at_often_and_taken_once(database: AnyDatabase, now: datetime) -> None:
    await database.accounts.add_link("link", expires_at=now)
    assert await database.accounts.link_expiry("link") == now
    assert await database.accounts.link_expiry("link") == now
    taken = await asyncio.gather(*(database.accounts.take_link("link") for _ in range(20)))
    assert [at for at in taken if at is not None] == [now]
    assert await database.accounts.link_expiry("link") is None
