"""A burst of refusals is an outage until it is confirmed; a single one is believed at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.kit.house import House, make_house, until
from tokenkeep.core.errors import RefreshFailing
from tokenkeep.core.model import FailureKind, State
from tokenkeep.services.sealing import open_tokens

DEAD, FAILING, WELL = State.REAUTHORIZATION_REQUIRED, State.FAILING, State.CONNECTED


async def with_many(count: int, **switches: object) -> tuple[House, list[str]]:
    """Connected long enough ago that only their refreshes count."""
    house = await make_house(**switches)
    ids = await house.connect_many(count)
    house.expire()
    return house, ids


async def refuse(house: House, ids: list[str]) -> None:
    """The provider refuses each of them once, one after the other."""
    house.server.switches.spurious_invalid_grant = len(ids)
    for id_ in ids:
        await house.refresh_now(id_)
    assert house.server.switches.spurious_invalid_grant == 0


def states(house: House, ids: list[str]) -> list[State]:
    return [house.state(id_) for id_ in ids]


async def confirmed(house: House, ids: list[str]) -> None:
    """The pause is over: each is asked about again."""
    house.clock.advance(1201)
    await house.sweep()


def database_takes_turns(house: House) -> None:
    """Its answers to the brake take their time, so that several questions are under way at once."""

    def slowly(ask):
        async def asked(*place, **named):
            for _ in range(20):
                await asyncio.sleep(0)
            return await ask(*place, **named)

        return asked

    refusals, grants = house.database.refusals, house.database.grants
    refusals.burst, refusals.believed, grants.restand = map(slowly, (refusals.burst, refusals.believed, grants.restand))


# --- when it goes on ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 4])
async def test_a_few_refusals_are_believed_at_once(count):
    house, ids = await with_many(count)
    await refuse(house, ids)
    assert states(house, ids) == [DEAD] * count
    assert {house.failure_code(id_) for id_ in ids} == {"invalid_grant"}
    assert "mass_refusal_begun" not in house.journal.actions


async def test_the_fifth_refusal_within_five_minutes_puts_all_of_them_back():
    house, ids = await with_many(5)
    await refuse(house, ids[:4])
    assert states(house, ids[:4]) == [DEAD] * 4
    house.clock.advance(290)
    await refuse(house, ids[4:])
    assert states(house, ids) == [FAILING] * 5
    assert {house.failure_code(id_) for id_ in ids} == {"mass_refusal"}
    assert {house.grant(id_).standing.failure.kind for id_ in ids} == {FailureKind.TRANSIENT}
    assert [house.events(id_)[-2:] for id_ in ids] == [["reauthorization_required", "refusal_doubted"]] * 5
    assert house.journal.facts("mass_refusal_begun") == [
        {"provider": "acme", "client": house.grant(ids[0]).client, "refused": 5}
    ]
    for id_ in ids:
        assert house.server.accepts(await house.stored_refresh_token(id_)), "what was kept still works"


async def test_refusals_further_apart_are_people_who_left():
    house, ids = await with_many(8)
    for id_ in ids:
        await refuse(house, [id_])
        house.clock.advance(76)
    assert states(house, ids) == [DEAD] * 8


async def test_five_of_thirty_are_not_yet_many():
    house, ids = await with_many(30)
    for id_ in ids[:24]:
        await house.refresh_now(id_)
    await refuse(house, ids[24:29])
    assert states(house, ids[24:29]) == [DEAD] * 5, "five of twenty-nine"
    await refuse(house, ids[29:])
    assert states(house, ids[24:]) == [FAILING] * 6, "a fifth of thirty"


async def test_refusals_at_the_same_moment_are_counted_as_well():
    """All are judged before the first of them is stored."""
    house, ids = await with_many(6)
    house.server.switches.spurious_invalid_grant = 6
    house.hold_answers()
    database_takes_turns(house)
    running = [asyncio.create_task(house.refresh_now(id_)) for id_ in ids]
    await until(lambda: len(house.server.refreshes()) == 6)
    house.server.gate.set()
    await asyncio.gather(*running)
    assert states(house, ids) == [FAILING] * 6
    assert house.journal.actions.count("mass_refusal_begun") == 1
    assert max(house.events(id_).count("refusal_doubted") for id_ in ids) == 1


async def test_our_own_losses_do_not_count():
    house, ids = await with_many(6)
    for id_ in ids:
        house.server.switches.loses_answers = 1
        await house.refresh_now(id_)
        await house.refresh_now(id_)
    assert states(house, ids) == [DEAD] * 6
    assert {house.failure_code(id_) for id_ in ids} == {"lost_response"}


async def test_refusals_of_another_client_do_not_count():
    """Workspaces have clients of their own: one's trouble is not the other's."""
    house, ids = await with_many(5)
    elsewhere, others = await with_many(4)
    await refuse(house, ids[:4])
    await refuse(elsewhere, others)
    assert states(house, ids[:4]) == [DEAD] * 4


# --- while it is on -------------------------------------------------------------------------------------------------


async def test_while_it_is_on_a_further_refusal_is_doubted_at_once():
    house, ids = await with_many(7)
    await refuse(house, ids[:5])
    house.clock.advance(600)
    await refuse(house, ids[5:6])
    assert (house.state(ids[5]), house.failure_code(ids[5])) == (FAILING, "mass_refusal")
    assert "reauthorization_required" not in house.events(ids[5]), "nobody was told in vain"
    planned = house.grant(ids[5]).standing.next_refresh_at - house.clock.now()
    assert timedelta(minutes=15) <= planned <= timedelta(minutes=20)


async def test_a_restart_does_not_let_go_of_it():
    house, ids = await with_many(6)
    await refuse(house, ids[:5])
    after = await house.dies()
    await refuse(after, ids[5:])
    assert (after.state(ids[5]), after.failure_code(ids[5])) == (FAILING, "mass_refusal")


async def test_another_process_knows_of_it():
    house, ids = await with_many(6)
    other = house.replica()
    for number, id_ in enumerate(ids[:5]):
        await refuse((house, other)[number % 2], [id_])
    assert states(house, ids[:5]) == [FAILING] * 5
    await refuse(house, ids[5:])
    await refuse(other, ids[5:])
    assert house.failure_code(ids[5]) == "mass_refusal"


async def test_they_do_not_come_back_together():
    house, ids = await with_many(5)
    fractions = iter([0.0, 0.25, 0.5, 0.75, 0.99] * 20)
    house.entropy.fraction = lambda: next(fractions)
    await refuse(house, ids)
    planned = [house.grant(id_).standing.next_refresh_at - house.clock.now() for id_ in ids]
    assert len(set(planned)) == 5
    assert all(timedelta(minutes=15) <= wait < timedelta(minutes=20) for wait in planned)


async def test_asking_sooner_confirms_nothing():
    house, ids = await with_many(5)
    await refuse(house, ids)
    planned = house.grant(ids[0]).standing.next_refresh_at
    await refuse(house, ids[:1])
    assert (house.state(ids[0]), house.failure_code(ids[0])) == (FAILING, "mass_refusal")
    assert house.grant(ids[0]).standing.next_refresh_at == planned


async def test_readers_are_told_to_come_back_and_ask_nobody():
    house, ids = await with_many(5)
    await refuse(house, ids)
    asked = len(house.server.refreshes())
    with pytest.raises(RefreshFailing) as failing:
        await house.cases.tokens.token(house.node, ids[0])
    assert 900 <= failing.value.retry_after <= 1200
    assert len(house.server.refreshes()) == asked


async def test_a_token_that_still_lives_is_served():
    house = await make_house()
    ids = await house.connect_many(5)
    house.clock.advance(301)
    await refuse(house, ids)
    assert states(house, ids) == [FAILING] * 5
    token = await house.cases.tokens.token(house.node, ids[0])
    assert token.access_token == (await open_tokens(house.envelope, house.grant(ids[0]))).access_token


async def test_what_was_connected_anew_is_left_alone():
    house, ids = await with_many(6)
    await refuse(house, ids[:4])
    await house.connect(credential_id=ids[0])
    before = house.grant(ids[0])
    await refuse(house, ids[4:])
    assert house.grant(ids[0]) == before


async def test_what_is_connected_anew_while_others_are_put_back_is_left_alone():
    house, ids = await with_many(5)
    await refuse(house, ids[:4])
    believed = house.database.refusals.believed

    async def meanwhile(*place, **named):
        found = await believed(*place, **named)
        await house.connect(credential_id=ids[0])
        return found

    house.database.refusals.believed = meanwhile
    await refuse(house, ids[4:])
    assert house.journal.facts("brake_failed") == []
    assert states(house, ids) == [WELL, *[FAILING] * 4]
    assert house.journal.facts("mass_refusal_begun")[0]["refused"] == 4


async def test_our_own_losses_are_told_as_such_meanwhile():
    house, ids = await with_many(6)
    await refuse(house, ids[:5])
    house.server.switches.loses_answers = 1
    await house.refresh_now(ids[5])
    await house.refresh_now(ids[5])
    assert (house.state(ids[5]), house.failure_code(ids[5])) == (DEAD, "lost_response")


# --- how it ends ----------------------------------------------------------------------------------------------------


async def test_an_outage_costs_nobody_their_consent():
    house, ids = await with_many(8)
    await refuse(house, ids)
    await confirmed(house, ids)
    assert states(house, ids) == [WELL] * 8
    assert house.journal.actions.count("mass_refusal_ended") == 1
    await refuse(house, ids[:1])
    assert house.state(ids[0]) is DEAD, "afterwards a single refusal is believed again"


async def test_consents_that_are_really_gone_are_believed_at_the_second_refusal():
    house, ids = await with_many(8)
    house.server.revoke_all()
    for id_ in ids:
        await house.refresh_now(id_)
    assert states(house, ids) == [FAILING] * 8
    asked = len(house.server.refreshes())
    await confirmed(house, ids)
    assert states(house, ids) == [DEAD] * 8, "and not doubted once more, although they are many again"
    assert {house.failure_code(id_) for id_ in ids} == {"invalid_grant"}
    assert len(house.server.refreshes()) == asked + 8
    assert (house.journal.actions.count("mass_refusal_begun"), house.journal.actions.count("mass_refusal_ended")) == (
        1,
        1,
    )


async def test_a_provider_that_is_down_at_the_second_time_confirms_nothing():
    house, ids = await with_many(5)
    await refuse(house, ids)
    house.server.switches.down = True
    await confirmed(house, ids)
    assert states(house, ids) == [FAILING] * 5
    house.server.switches.down = False
    for _ in range(3):
        house.clock.advance(1200)
        await house.sweep()
    assert states(house, ids) == [WELL] * 5


async def test_a_provider_known_for_false_refusals_is_doubted_after_the_second_one():
    house, ids = await with_many(6)
    house.catalog.held["acme"] = house.server.provider(
        id="acme", name="Acme", quirks=frozenset({"invalid_grant_spurious"})
    )
    house.server.revoke_all()
    for _ in range(2):
        for id_ in ids:
            await house.refresh_now(id_)
    assert {house.failure_code(id_) for id_ in ids} == {"mass_refusal"}
    await confirmed(house, ids)
    assert states(house, ids) == [DEAD] * 6


# --- trouble of its own, and what is shown ------------------------------------------------------------------------


async def test_a_database_that_does_not_answer_the_brake_changes_no_verdict():
    house, ids = await with_many(1)
    house.server.revoke_all()
    burst, asked = house.database.refusals.burst, []

    async def away_at_the_second_time(*place, since):
        asked.append(place)
        if len(asked) > 1:
            raise ConnectionError
        return await burst(*place, since=since)

    house.database.refusals.burst = away_at_the_second_time
    await house.refresh_now(ids[0])
    assert (house.state(ids[0]), house.failure_code(ids[0])) == (DEAD, "invalid_grant")
    assert house.journal.facts("brake_failed")[0]["error"] == "ConnectionError"


async def test_a_database_that_is_away_before_the_verdict_kills_nothing():
    house, ids = await with_many(1)
    house.server.revoke_all()
    house.database.broken.add("refusals.burst")
    await house.refresh_now(ids[0])
    assert house.state(ids[0]) is FAILING
    house.database.broken.clear()
    await house.next_try(ids[0])
    assert house.state(ids[0]) is DEAD


async def test_a_refresh_that_worked_is_kept_although_the_brake_cannot_look():
    house, ids = await with_many(1)
    house.database.broken.add("refusals.burst")
    await house.refresh_now(ids[0])
    assert house.state(ids[0]) is WELL
    assert "brake_failed" in house.journal.actions


async def test_the_status_shows_it_until_it_is_over():
    house, ids = await with_many(5)
    await refuse(house, ids)
    for each in (house, house.replica()):
        assert (await each.cases.status.overview(each.person)).doubted == {"acme": 5}
    await confirmed(house, ids)
    assert (await house.cases.status.overview(house.person)).doubted == {}
