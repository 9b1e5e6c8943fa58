"""What a provider gave us is kept, whatever the database and this process do."""

from __future__ import annotations

import asyncio

import pytest

from tests.kit.house import PUBLIC_URL, House, make_house, until
from tokenkeep.assembly import Place
from tokenkeep.core import lifecycle
from tokenkeep.core.model import FailureKind, State
from tokenkeep.services.sealing import open_tokens


async def connected() -> tuple[House, str]:
    house = await make_house()
    return house, (await house.connect()).credential.id


async def spilled(house: House, id_: str) -> asyncio.Task:
    """A refresh whose result the database does not take, as far as the spill shelf."""
    house.database.broken.add("grants.store")
    refresh = asyncio.create_task(house.refresh_now(id_))
    await until(lambda: house.spill.shelf)
    return refresh


async def test_the_spill_is_written_before_anything_else_and_dropped_at_the_end():
    house, id_ = await connected()
    seen, put = [], house.spill.put

    async def watched(name, sealed):
        seen.append((list(house.clock.slept), house.grant(id_).version))
        await put(name, sealed)

    house.spill.put = watched
    refresh = await spilled(house, id_)
    assert seen == [([], 1)], "no waiting before it"
    await until(lambda: len(house.clock.slept) > 3)
    house.database.broken.clear()
    await refresh
    assert house.spill.shelf == {}
    assert house.grant(id_).version == 2
    assert await house.stored_refresh_token(id_) == "rt-1-2"
    assert len(house.server.refreshes()) == 1


async def test_the_waits_between_two_tries_grow_to_ten_seconds():
    house, id_ = await connected()
    refresh = await spilled(house, id_)
    await until(lambda: len(house.clock.slept) > 9)
    house.database.broken.clear()
    await refresh
    assert house.clock.slept[:7] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0]


async def test_the_lease_is_kept_while_the_database_is_away_for_ten_minutes():
    house, id_ = await connected()
    refresh = await spilled(house, id_)
    began = house.clock.monotonic()
    await until(lambda: house.clock.monotonic() - began > 600)
    assert house.grant(id_).lease_until > house.clock.now(), "nobody else may claim what we still hold"
    house.database.broken.clear()
    await refresh
    assert await house.stored_refresh_token(id_) == "rt-1-2"


async def test_a_full_disk_as_well_leaves_it_in_memory():
    house, id_ = await connected()
    house.spill.full = True
    house.database.broken.add("grants.store")
    refresh = asyncio.create_task(house.refresh_now(id_))
    await until(lambda: "spill_failed" in house.journal.actions)
    house.database.broken.clear()
    await refresh
    assert await house.stored_refresh_token(id_) == "rt-1-2"


async def test_a_commit_that_reported_an_error_but_happened_is_noticed():
    house, id_ = await connected()
    store = house.database.grants.store

    async def commits_and_fails(lease, grant, event):
        house.database.grants.store = store
        await store(lease, grant, event)
        raise ConnectionError

    house.database.grants.store = commits_and_fails
    await house.refresh_now(id_)
    assert house.grant(id_).version == 2
    assert len(house.server.refreshes()) == 1
    assert house.spill.shelf == {}
    assert "orphan_shelved" not in house.journal.actions
    assert house.events(id_).count("refreshed") == 1
    assert house.journal.actions.count("refreshed") == 1


async def test_a_key_that_cannot_seal_for_a_while_costs_nothing():
    """Sealing may need the database, for a new block of a data key."""
    house, id_ = await connected()
    seal, failed = house.envelope.seal, []

    async def seal_later(plain, place):
        if place.kind == "oauth_token" and len(failed) < 3:
            failed.append(place)
            raise ConnectionError
        return await seal(plain, place)

    house.envelope.seal = seal_later
    await house.refresh_now(id_)
    assert len(failed) == 3
    assert await house.stored_refresh_token(id_) == "rt-1-2"
    assert house.state(id_) is State.CONNECTED


async def test_what_spilled_is_stored_by_the_next_process():
    house, id_ = await connected()
    refresh = await spilled(house, id_)
    after = await house.dies()
    await asyncio.gather(refresh, return_exceptions=True)
    house.database.broken.clear()
    assert house.grant(id_).version == 1
    assert await after.cases.keeping.replay() == 1
    assert await after.stored_refresh_token(id_) == "rt-1-2"
    assert house.grant(id_).lease_owner == ""
    assert house.grant(id_).intent_at is None
    assert house.state(id_) is State.CONNECTED
    assert after.spill.shelf == {}
    assert after.events(id_)[-1] == "refreshed"
    await after.next_try(id_)
    assert after.state(id_) is State.CONNECTED
    assert [entry.outcome for entry in house.server.refreshes()] == ["granted", "granted"]


async def test_what_was_spilled_comes_back_whole():
    house, id_ = await connected()
    twin = await make_house()
    twin_id = (await twin.connect()).credential.id
    await twin.refresh_now(twin_id)
    refresh = await spilled(house, id_)
    after = await house.dies()
    await asyncio.gather(refresh, return_exceptions=True)
    house.database.broken.clear()
    await after.cases.keeping.replay()
    replayed, stored = house.grant(id_), twin.grant(twin_id)
    assert replayed.standing == stored.standing
    assert replayed.scopes_granted == stored.scopes_granted
    assert replayed.prev_until == stored.prev_until
    assert replayed.prev_sealed is not None
    assert await open_tokens(house.envelope, replayed) == await open_tokens(twin.envelope, stored)


async def test_a_spill_waits_while_somebody_refreshes_and_is_put_in_place_afterwards():
    house, id_ = await connected()
    refresh = await spilled(house, id_)
    after = await house.dies()
    await asyncio.gather(refresh, return_exceptions=True)
    house.database.broken.clear()
    house.clock.advance(91)
    lease = await house.database.grants.claim(house.grant(id_), owner="other", lease_s=90, intent_fingerprint="")
    assert lease is not None
    assert await after.cases.keeping.replay() == 0
    assert house.grant(id_).version == 1
    assert house.grant(id_).lease_owner == "other"
    assert len(after.spill.shelf) == 1, "it stays until it is known what came of that"
    failed = lifecycle.Failed(kind=FailureKind.GRANT, code="lost_response", retry_at=None)
    refused = lifecycle.apply(lease.grant.standing, failed, now=house.clock.now())
    await house.database.grants.settle(lease, refused, None)
    assert await after.cases.keeping.replay() == 1
    assert after.spill.shelf == {}
    assert after.state(id_) is State.CONNECTED, "our token set was the one that lived"


async def test_a_spill_older_than_what_is_stored_is_discarded():
    house, id_ = await connected()
    refresh = await spilled(house, id_)
    octets = dict(house.spill.shelf)
    house.database.broken.clear()
    await refresh
    house.spill.shelf = octets
    before = house.grant(id_)
    assert await house.replica().cases.keeping.replay() == 0
    assert house.grant(id_) == before
    assert house.spill.shelf == {}
    assert house.database.rows.orphans == {}


@pytest.mark.parametrize("change", ["deleted", "reconnected"])
async def test_a_spill_of_a_grant_that_is_gone_is_discarded(change):
    house, id_ = await connected()
    refresh = await spilled(house, id_)
    after = await house.dies()
    await asyncio.gather(refresh, return_exceptions=True)
    house.database.broken.clear()
    if change == "deleted":
        await house.database.credentials.delete(house.owner.workspace_id, id_)
    else:
        await after.connect(credential_id=id_)
    assert await after.cases.keeping.replay() == 0
    assert after.spill.shelf == {}
    if change == "reconnected":
        assert await after.stored_refresh_token(id_) == "rt-2-1"


@pytest.mark.parametrize("junk", [b"", b"junk", b"[1, 2]\nx", b"\xff\xfe\n", b'["a", "b", "c", 1]'])
async def test_an_unreadable_spill_stays_and_does_not_keep_the_others_waiting(junk):
    house, id_ = await connected()
    refresh = await spilled(house, id_)
    after = await house.dies()
    await asyncio.gather(refresh, return_exceptions=True)
    house.database.broken.clear()
    house.spill.shelf = {"aaa.1": junk, **house.spill.shelf}
    assert await after.cases.keeping.replay() == 1
    assert set(after.spill.shelf) <= {"aaa.1"}
    assert await after.stored_refresh_token(id_) == "rt-1-2"


async def test_a_spill_that_does_not_open_stays():
    house, id_ = await connected()
    refresh = await spilled(house, id_)
    after = await house.dies()
    await asyncio.gather(refresh, return_exceptions=True)
    house.envelope.broken = True
    assert await after.cases.keeping.replay() == 0
    assert len(after.spill.shelf) == 1
    assert "spill_unreadable" in after.journal.actions


async def test_the_orphan_shelf_takes_its_time_when_the_database_is_away_again():
    """Fence lost, and the row cannot even be looked at: what we hold must not be dropped meanwhile."""
    house, id_ = await connected()
    house.expire()
    shelve, failed = house.database.grants.shelve, []

    async def somebody_claims() -> None:
        house.clock.advance(91)
        lease = await house.database.grants.claim(house.grant(id_), owner="o", lease_s=90, intent_fingerprint="x")
        await house.database.grants.settle(lease, lease.grant.standing, None, keep_intent=True)

    async def shelve_later(*args, **named):
        if len(failed) < 2:
            failed.append(1)
            raise ConnectionError
        await shelve(*args, **named)

    house.database.grants.shelve = shelve_later
    house.wire.after_refresh.append(somebody_claims)
    await house.refresh_now(id_)
    assert len(failed) == 2
    assert len(house.database.rows.orphans) == 1


# --- each answer spilled first --------------------------------------------------------------------------------------


async def spilling_first() -> tuple[House, str]:
    house = await make_house(place=Place(public_url=PUBLIC_URL, spill_first=True))
    return house, (await house.connect()).credential.id


async def test_each_answer_may_go_to_the_shelf_before_the_database():
    house, id_ = await spilling_first()
    store, shelf_at_store = house.database.grants.store, []

    async def watched(*arguments):
        shelf_at_store.append(list(house.spill.shelf))
        return await store(*arguments)

    house.database.grants.store = watched
    await house.refresh_now(id_)
    assert len(shelf_at_store) == 1
    assert len(shelf_at_store[0]) == 1
    assert house.spill.shelf == {}, "dropped when it is stored"


async def test_fi10_a_process_that_ends_between_its_answer_and_the_database_loses_nothing():
    house, id_ = await spilling_first()
    house.database.grants.store = never
    refresh = asyncio.create_task(house.refresh_now(id_))
    await until(lambda: house.spill.shelf)
    after = await house.dies()
    refresh.cancel()
    del house.database.grants.store
    assert await after.cases.keeping.replay() == 1
    assert await after.stored_refresh_token(id_) == "rt-1-2"
    assert after.state(id_) is State.CONNECTED
    assert len(house.server.refreshes()) == 1


async def test_a_shelf_that_takes_nothing_does_not_keep_an_answer_from_the_database():
    house, id_ = await spilling_first()
    house.spill.full = True
    await house.refresh_now(id_)
    assert await house.stored_refresh_token(id_) == "rt-1-2"
    assert "spill_failed" in house.journal.actions


async def never(*_: object) -> bool:
    await asyncio.Event().wait()
    return False
