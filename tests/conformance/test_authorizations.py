"""AuthorizationStore: a request is taken once, a session moves as it may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.kit import builders
from tests.kit.builders import HOUR, OTHER_WORKSPACE, WORKSPACE
from tests.kit.stored import AnyDatabase, put_grant
from tokenkeep.core.model import SessionState

DAY = timedelta(days=1)


async def test_a_request_comes_back_whole_and_once(database: AnyDatabase) -> None:
    request = builders.authorization_request(popup=True, issuer="https://acme.example", scopes=("a", "b"))
    await database.authorizations.add_request(request)
    assert await database.authorizations.take_request("unknown") is None
    assert await database.authorizations.take_request(request.state_digest) == request
    assert await database.authorizations.take_request(request.state_digest) is None


async def test_an_expired_request_is_taken_too(database: AnyDatabase, now: datetime) -> None:
    request = builders.authorization_request(expires_at=now - HOUR)
    await database.authorizations.add_request(request)
    assert await database.authorizations.take_request(request.state_digest) == request


async def test_of_twenty_takes_at_once_one_gets_it(another: Callable[[], AnyDatabase]) -> None:
    one, two = another(), another()
    request = builders.authorization_request()
    await one.authorizations.add_request(request)
    taken = await asyncio.gather(
        *((one, two)[number % 2].authorizations.take_request(request.state_digest) for number in range(20))
    )
    assert [each for each in taken if each is not None] == [request]


async def test_pending_requests_are_counted_per_workspace_and_user(database: AnyDatabase, now: datetime) -> None:
    rows = [
        {},
        {},
        {"expires_at": now - HOUR},
        {"user_id": "user-2"},
        {"workspace_id": OTHER_WORKSPACE},
    ]
    for number, changes in enumerate(rows):
        defaults = {"id": f"r{number}", "state_digest": f"s{number}", "expires_at": now + HOUR}
        await database.authorizations.add_request(builders.authorization_request(**defaults | changes))
    assert await database.authorizations.pending_requests(WORKSPACE, "user-1") == 2
    assert await database.authorizations.pending_requests(OTHER_WORKSPACE, "user-2") == 0


async def test_a_session_comes_back_whole(database: AnyDatabase) -> None:
    session = builders.connect_session(scopes=("a",), values_sealed=b"v", pending_sealed=b"p", confirm_digest="d")
    await database.authorizations.add_session(session)
    assert await database.authorizations.session(WORKSPACE, "session-1") == session
    assert await database.authorizations.session_by_secret(session.secret_digest) == session


async def test_sessions_of_other_workspaces_and_unknown_ones_are_none(database: AnyDatabase) -> None:
    await database.authorizations.add_session(builders.connect_session())
    assert await database.authorizations.session(OTHER_WORKSPACE, "session-1") is None
    assert await database.authorizations.session(WORKSPACE, "nobody") is None
    assert await database.authorizations.session_by_secret("unknown") is None


async def test_a_session_moves_from_the_states_it_may(database: AnyDatabase) -> None:
    session = builders.connect_session()
    await database.authorizations.add_session(session)
    moved = replace(
        session,
        state=SessionState.AWAITING_CONFIRMATION,
        credential_id="credential-1",
        pending_sealed=b"pending",
        confirm_digest="digest",
        problem_code="code",
        problem_detail="detail",
    )
    assert await database.authorizations.move_session(moved, from_states=[SessionState.PENDING])
    assert await database.authorizations.session(WORKSPACE, "session-1") == moved


@pytest.mark.parametrize(
    ("changes", "from_states"),
    [
        ({}, [SessionState.AWAITING_CONFIRMATION, SessionState.FAILED]),
        ({}, []),
        ({"workspace_id": OTHER_WORKSPACE}, list(SessionState)),
        ({"id": "nobody"}, list(SessionState)),
    ],
)
async def test_a_session_that_may_not_move_stays(
    database: AnyDatabase, changes: dict[str, str], from_states: list[SessionState]
) -> None:
    session = builders.connect_session()
    await database.authorizations.add_session(session)
    moved = replace(session, state=SessionState.CONNECTED, **changes)
    assert not await database.authorizations.move_session(moved, from_states=from_states)
    assert await database.authorizations.session(WORKSPACE, "session-1") == session


async def test_of_many_moves_at_once_one_wins(database: AnyDatabase) -> None:
    session = builders.connect_session()
    await database.authorizations.add_session(session)
    moved = replace(session, state=SessionState.CONNECTED)
    won = await asyncio.gather(
        *(database.authorizations.move_session(moved, from_states=[SessionState.PENDING]) for _ in range(10))
    )
    assert sum(won) == 1


async def test_purging_forgets_what_is_over_and_nothing_else(database: AnyDatabase, now: datetime) -> None:
    over, young = now - timedelta(minutes=1), now + HOUR
    for name, at in (("over", over), ("young", young)):
        await database.authorizations.add_request(
            builders.authorization_request(id=name, state_digest=name, expires_at=at)
        )
        await database.accounts.add_link(name, expires_at=at)
    for name, at in (("over", now - DAY - HOUR), ("asked for yet", now - HOUR), ("young", young)):
        await database.authorizations.add_session(builders.connect_session(id=name, secret_digest=name, expires_at=at))
    await database.accounts.add_workspace(WORKSPACE, "One", now)
    await database.accounts.add_user(builders.user(), workspace_id=WORKSPACE, role="owner")
    await database.accounts.add_session(builders.user_session(digest="over", expires_at=over))
    await database.accounts.add_session(builders.user_session(digest="young", expires_at=young))
    grant = await put_grant(database)
    lease = await database.grants.claim(grant, owner="me", lease_s=90, intent_fingerprint="f")
    assert lease is not None
    await database.grants.shelve(lease, b"over", version=2, until=over)
    await database.grants.shelve(lease, b"young", version=3, until=young)

    assert await database.authorizations.purge(now) == 5

    assert await database.authorizations.take_request("over") is None
    assert await database.authorizations.take_request("young") is not None
    assert await database.accounts.link_expiry("over") is None
    assert await database.accounts.link_expiry("young") == young
    assert await database.authorizations.session(WORKSPACE, "over") is None
    assert await database.authorizations.session(WORKSPACE, "asked for yet") is not None
    assert [session.digest for session in await database.accounts.sessions("user-1")] == ["young"]
    assert list(await database.grants.orphans(WORKSPACE, "credential-1", "grant-1")) == [(3, b"young")]
    assert await database.authorizations.purge(now) == 0
