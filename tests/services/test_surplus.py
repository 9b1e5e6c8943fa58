"""Tokens that nothing needs any more: revoked where that is safe, kept where it is not, and the history tells which."""

from __future__ import annotations

import asyncio

import pytest

from tests.kit import builders
from tests.kit.house import House, make_house, until
from tokenkeep.core.errors import NotFound, SessionSpent
from tokenkeep.core.model import State
from tokenkeep.core.permissions import Scope
from tokenkeep.services import spilling

SAFE = {"revoke_on_reconnect": True}
BUSY = builders.answer(status=503, headers={"retry-after": "60"})


async def connected(**provider: object) -> tuple[House, str]:
    house = await make_house(provider=provider)
    return house, (await house.connect()).credential.id


async def settled(house: House) -> None:
    assert await house.tasks.drain(5) == 0


def told(house: House, id_: str) -> list[tuple[str, str, str]]:
    """(kind, why, code) of what the history says about tokens to be rid of."""
    events = [event for event in house.database.rows.events if event.credential_id == id_ and "surplus" in event.kind]
    return [(event.kind, event.detail["why"], event.detail.get("code", "")) for event in events]


def revoked(house: House) -> list[str]:
    return [token.reveal() for token in house.wire.revoked]


def busy(house: House, times: int) -> None:
    """The provider answers so many revocations with 503."""
    revoke, left = house.wire.inner.revoke, [BUSY] * times

    async def perhaps(registration, *, token, hint):
        return left.pop() if left else await revoke(registration, token=token, hint=hint)

    house.wire.inner.revoke = perhaps


# --- connecting anew ------------------------------------------------------------------------------------------------


async def test_the_replaced_grant_is_revoked_where_that_is_safe():
    house, id_ = await connected(**SAFE)
    await house.connect(credential_id=id_)
    await settled(house)
    assert revoked(house) == ["rt-1-1"]
    assert not house.server.accepts("rt-1-1")
    assert house.server.accepts(await house.stored_refresh_token(id_)), "the newer consent lives"
    assert told(house, id_) == [("surplus_revoked", "reconnected", "")]


async def test_it_is_left_alone_where_nobody_knows():
    house, id_ = await connected()
    await house.connect(credential_id=id_)
    await settled(house)
    assert revoked(house) == []
    assert house.server.accepts("rt-1-1")
    assert told(house, id_) == [("surplus_kept", "reconnected", "shared_grant")]


async def test_a_provider_that_gives_the_same_token_again_keeps_it():
    house, id_ = await connected(**SAFE)
    house.wire.instead = [builders.answer('{"access_token": "at-1-1", "expires_in": 3600}')]
    await house.connect(credential_id=id_)
    await settled(house)
    assert revoked(house) == []
    assert told(house, id_) == [("surplus_kept", "reconnected", "shared_grant")]


async def test_a_grant_that_does_not_open_cannot_be_revoked():
    house, id_ = await connected(**SAFE)
    key = house.owner.workspace_id, id_
    grant = house.database.rows.grants[key]
    from dataclasses import replace

    house.database.rows.grants[key] = replace(grant, sealed=b"spoiled")
    await house.connect(credential_id=id_)
    await settled(house)
    assert house.state(id_) is State.CONNECTED
    assert told(house, id_) == [("surplus_kept", "reconnected", "undecryptable")]


async def test_the_first_connection_leaves_nothing_over():
    house, id_ = await connected(**SAFE)
    await settled(house)
    assert told(house, id_) == []


async def test_the_user_does_not_wait_for_it():
    house, id_ = await connected(**SAFE)
    never = asyncio.Event()

    async def for_ever(*_, **__):
        await never.wait()

    house.wire.inner.revoke = for_ever
    view = await asyncio.wait_for(house.connect(credential_id=id_), 5)
    assert view.state is State.CONNECTED
    await house.dies()


# --- the tab that came second ---------------------------------------------------------------------------------------


async def second_tab(**provider: object) -> House:
    """Nobody of ours opens one link in two tabs; both agree, and the second comes too late."""
    house = await make_house(provider=provider)
    _, secret = await house.invite(house.caller(Scope.CONNECT))
    first, second = [await house.cases.connect.begin(secret, user=None, popup=False) for _ in range(2)]
    await house.finish(first, user=None)
    with pytest.raises(SessionSpent):
        await house.finish(second, user=None)
    return house


async def test_the_token_of_the_second_tab_is_revoked_where_that_is_safe():
    house = await second_tab(**SAFE)
    assert revoked(house) == ["rt-2-1"]
    assert house.server.accepts("rt-1-1"), "the first tab's consent waits for its confirmation"
    assert [facts["why"] for facts in house.journal.facts("surplus_revoked")] == ["second_tab"]


async def test_the_token_of_the_second_tab_is_left_alone_where_nobody_knows():
    house = await second_tab()
    assert revoked(house) == []
    assert [facts["code"] for facts in house.journal.facts("surplus_kept")] == ["shared_grant"]


# --- disconnecting and deleting -------------------------------------------------------------------------------------


async def test_disconnecting_tells_what_became_of_it():
    house, id_ = await connected()
    _, removal = await house.cases.credentials.disconnect(house.person, id_)
    assert removal.revoked is True
    assert not house.server.accepts("rt-1-1")
    assert told(house, id_) == [("surplus_revoked", "disconnected", "")]


@pytest.mark.parametrize(
    ("provider", "code", "answered"),
    [
        ({"revocation_endpoint": ""}, "unsupported", None),
        ({"revocation_endpoint": "https://{hole}.test/r"}, "misconfigured", False),
    ],
)
async def test_disconnecting_tells_why_it_may_still_be_alive(provider, code, answered):
    house, id_ = await connected(**provider)
    _, removal = await house.cases.credentials.disconnect(house.person, id_)
    assert removal.revoked is answered
    assert told(house, id_) == [("surplus_kept", "disconnected", code)]


async def test_what_cannot_be_opened_is_told_as_well():
    house, id_ = await connected()
    await house.cases.clients.delete(house.person, "acme")
    _, removal = await house.cases.credentials.disconnect(house.person, id_)
    assert removal.revoked is False
    assert told(house, id_) == [("surplus_kept", "disconnected", "client_missing")]


async def test_a_deleted_credential_has_no_history_to_tell_it_in():
    house, id_ = await connected()
    removal = await house.cases.credentials.delete(house.person, id_, force=False)
    assert removal.revoked is True
    assert told(house, id_) == []
    assert house.journal.facts("surplus_revoked") == [{"credential": id_, "why": "deleted"}]


async def test_where_only_access_tokens_are_known_the_access_token_is_named():
    """GitHub answers a refresh token at that endpoint with an error."""
    house, id_ = await connected(revocation_style="bearer")
    await house.cases.credentials.disconnect(house.person, id_)
    assert revoked(house) == ["at-1-1"]


# --- a provider that is busy ----------------------------------------------------------------------------------------


async def test_a_busy_provider_is_asked_again():
    house, id_ = await connected()
    busy(house, 2)
    _, removal = await house.cases.credentials.disconnect(house.person, id_)
    assert removal.revoked is False
    assert "asked again" in removal.detail
    assert house.server.accepts("rt-1-1"), "503 means: still alive"
    assert told(house, id_) == [], "nothing is settled yet"
    surplus = house.cases.surplus
    house.clock.advance(59)
    assert await surplus.again() == 0, "not before the time it asked for"
    house.clock.advance(1)
    assert await surplus.again() == 1
    house.clock.advance(119)
    assert await surplus.again() == 0
    house.clock.advance(1)
    assert await surplus.again() == 1
    assert not house.server.accepts("rt-1-1")
    assert told(house, id_) == [("surplus_revoked", "disconnected", "")]
    assert await surplus.again() == 0


async def test_a_provider_that_stays_busy_is_given_up_and_that_is_told():
    house, id_ = await connected()
    busy(house, 99)
    await house.cases.credentials.disconnect(house.person, id_)
    asked = 0
    for _ in range(20):
        house.clock.advance(3600)
        asked += await house.cases.surplus.again()
    assert asked == 4
    assert told(house, id_) == [("surplus_kept", "disconnected", "busy")]


async def test_a_client_that_is_taken_away_meanwhile_ends_the_tries():
    house, id_ = await connected()
    busy(house, 1)
    await house.cases.credentials.disconnect(house.person, id_)
    await house.cases.clients.delete(house.person, "acme")
    house.clock.advance(60)
    assert await house.cases.surplus.again() == 1
    assert told(house, id_) == [("surplus_kept", "disconnected", "client_missing")]
    assert await house.cases.surplus.again() == 0


async def test_a_history_that_cannot_be_written_undoes_nothing():
    house, id_ = await connected()

    async def away(event):
        raise ConnectionError

    house.database.events.add = away
    _, removal = await house.cases.credentials.disconnect(house.person, id_)
    assert removal.revoked is True
    assert "history_failed" in house.journal.actions


# --- a refresh that ends too late -----------------------------------------------------------------------------------


async def overtaken(house: House, id_: str, act) -> None:
    """A refresh under way while somebody does that."""
    house.expire()

    async def meanwhile() -> None:
        house.wire.after_refresh.clear()
        await act()

    house.wire.after_refresh.append(meanwhile)
    await house.refresh_now(id_)
    await settled(house)


async def test_after_a_disconnection_its_token_is_revoked():
    house, id_ = await connected()
    await overtaken(house, id_, lambda: house.cases.credentials.disconnect(house.person, id_))
    assert not house.server.accepts("rt-1-2")
    assert told(house, id_) == [("surplus_revoked", "disconnected", "")] * 2, "the stored one and the late one"


async def test_after_a_deletion_its_token_is_revoked():
    house, id_ = await connected()
    await overtaken(house, id_, lambda: house.cases.credentials.delete(house.person, id_, force=True))
    assert not house.server.accepts("rt-1-2")
    with pytest.raises(NotFound):
        await house.cases.credentials.get(house.person, id_)


@pytest.mark.parametrize("safe", [True, False])
async def test_after_a_newer_consent_its_token_is_revoked_only_where_that_is_safe(safe):
    house, id_ = await connected(revoke_on_reconnect=safe)
    await overtaken(house, id_, lambda: house.connect(credential_id=id_))
    assert await house.stored_refresh_token(id_) == "rt-2-1", "the newer grant wins"
    assert house.server.accepts("rt-2-1")
    assert house.server.accepts("rt-1-2") is not safe
    kind, code = ("surplus_revoked", "") if safe else ("surplus_kept", "shared_grant")
    assert set(told(house, id_)) == {(kind, "reconnected", code)}


async def test_a_busy_provider_is_asked_again_for_the_late_one_too():
    house, id_ = await connected()
    busy(house, 2)
    await overtaken(house, id_, lambda: house.cases.credentials.disconnect(house.person, id_))
    assert house.server.accepts("rt-1-2")
    house.clock.advance(60)
    assert await house.cases.surplus.again() == 2
    assert not house.server.accepts("rt-1-2")


# --- what spilled before that -----------------------------------------------------------------------------------------


async def died_with_a_spill(house: House, id_: str) -> House:
    """The database did not take a refresh's result, and the process ended."""
    house.database.broken.add("grants.store")
    refresh = asyncio.create_task(house.refresh_now(id_))
    await until(lambda: house.spill.shelf)
    after = await house.dies()
    await asyncio.gather(refresh, return_exceptions=True)
    house.database.broken.clear()
    return after


async def test_a_spill_of_a_disconnected_grant_is_revoked_by_the_next_process():
    house, id_ = await connected()
    after = await died_with_a_spill(house, id_)
    await house.database.grants.disconnect(house.owner.workspace_id, id_, builders.event(credential_id=id_))
    assert house.server.accepts("rt-1-2")
    assert await after.cases.keeping.replay() == 0
    assert not house.server.accepts("rt-1-2")
    assert told(house, id_) == [("surplus_revoked", "disconnected", "")]
    assert after.spill.shelf == {}


async def test_a_copy_that_is_not_adopted_revokes_nothing_that_lies_on_its_shelf():
    """A backup from before the connection, beside the shelf of now: what it takes for left over is what lives."""
    house, id_ = await connected()
    await house.connect(name="another")
    assert await house.cases.adoption.mark()
    after = await died_with_a_spill(house, id_)
    await house.database.grants.disconnect(house.owner.workspace_id, id_, builders.event(credential_id=id_))
    house.database.instance.here = "file-2/machine-1"
    assert await after.cases.keeping.replay() == 0
    assert revoked(house) == []
    assert told(house, id_) == [("surplus_kept", "disconnected", "not_adopted")]


@pytest.mark.parametrize("safe", [True, False])
async def test_a_spill_of_a_replaced_grant_is_revoked_only_where_that_is_safe(safe):
    house, id_ = await connected(revoke_on_reconnect=safe)
    after = await died_with_a_spill(house, id_)
    await after.connect(credential_id=id_)
    await settled(after)
    house.wire.revoked.clear()
    assert await after.cases.keeping.replay() == 0
    assert revoked(house) == (["rt-1-2"] if safe else [])
    assert house.server.accepts("rt-2-1")
    assert after.spill.shelf == {}


@pytest.mark.parametrize("change", ["no client in it", "does not open"])
async def test_a_spill_that_says_too_little_is_dropped(change, monkeypatch):
    """A version before this one did not say through which client it came."""
    plain = spilling.plain
    if change == "no client in it":
        monkeypatch.setattr(spilling, "plain", lambda grant: {**plain(grant), "client": None})
    house, id_ = await connected()
    after = await died_with_a_spill(house, id_)
    await house.cases.credentials.disconnect(house.person, id_)
    house.wire.revoked.clear()
    house.envelope.broken = change == "does not open"
    assert await after.cases.keeping.replay() == 0
    assert revoked(house) == []
    assert after.spill.shelf == {}
