"""People: the first account, one-time links, guesses, and sessions that end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tests.kit.builders import WORKSPACE
from tests.kit.house import PASSWORD, House, make_house
from tokenkeep.core.errors import InvalidInput, NotFound, Throttled, Unauthenticated
from tokenkeep.core.permissions import ROLES
from tokenkeep.core.secret import Secret
from tokenkeep.services.throttle import REMEMBERED, TRIES, Throttle

WRONG = Secret("not the password at all")


async def empty() -> House:
    """Nobody has signed up."""
    house = await make_house(registered=False)
    for table in (house.database.accounts._users, house.database.accounts._members):
        table.clear()
    house.database.accounts.user_sessions.clear()
    return house


async def redeem(house: House, link: Secret, **given):
    given = {"email": "Ada@Example.org ", "name": " Ada ", "password": PASSWORD, "browser": "Firefox"} | given
    return await house.cases.accounts.redeem(link.reveal(), **given)


async def sign_in(house: House, email="ada@example.org", password=PASSWORD, address="192.0.2.1"):
    return await house.cases.accounts.sign_in(email=email, password=password, address=address, browser="Firefox")


# --- links -------------------------------------------------------------------------------------------------------------


async def test_the_first_link_makes_the_first_account():
    house = await empty()
    accounts = house.cases.accounts
    assert not await accounts.has_accounts()
    link = await accounts.mint_link()
    for _ in range(3):
        assert await accounts.link_purpose(link.reveal()) == "first_admin"
    session, cookie = await redeem(house, link)
    assert (session.role, session.workspace_id, session.user_name) == ("owner", WORKSPACE, "Ada")
    assert (await accounts.authenticate(cookie.reveal())).user_id == session.user_id
    assert accounts.caller(session).scopes == ROLES["owner"]
    assert await accounts.has_accounts()
    assert (await sign_in(house))[0].user_id == session.user_id
    with pytest.raises(NotFound):
        await accounts.link_purpose(link.reveal())
    with pytest.raises(NotFound):
        await redeem(house, link)


async def test_a_later_link_signs_in_as_the_first_administrator():
    house = await make_house()
    link = await house.cases.accounts.mint_link()
    assert await house.cases.accounts.link_purpose(link.reveal()) == "sign_in"
    session, _ = await redeem(house, link, email="", name="", password=Secret(""))
    assert session.user_id == house.owner.user_id
    await sign_in(house)


async def test_a_later_link_may_set_a_new_password():
    house = await make_house()
    new = Secret("an entirely different phrase")
    await redeem(house, await house.cases.accounts.mint_link(), password=new)
    await sign_in(house, password=new)
    with pytest.raises(Unauthenticated):
        await sign_in(house)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"password": Secret("too short")}, "password"),
        ({"password": Secret("")}, "password"),
        ({"password": Secret("x" * 257)}, "password"),
        ({"email": "ada"}, "email"),
        ({"email": "@example.org"}, "email"),
        ({"email": "ada@"}, "email"),
        ({"email": "a da@example.org"}, "email"),
        ({"email": "ada@example.org\n.evil"}, "email"),
        ({"email": "a" * 250 + "@example.org"}, "email"),
        ({"name": " "}, "name"),
        ({"name": "a\x00"}, "name"),
    ],
)
async def test_a_wrong_field_is_told_before_the_link_is_used_up(given, field):
    house = await empty()
    link = await house.cases.accounts.mint_link()
    with pytest.raises(InvalidInput) as refused:
        await redeem(house, link, **given)
    assert set(refused.value.fields) == {field}
    assert (await redeem(house, link))[0].role == "owner"


async def test_a_weak_new_password_does_not_use_up_the_link():
    house = await make_house()
    link = await house.cases.accounts.mint_link()
    with pytest.raises(InvalidInput):
        await redeem(house, link, password=Secret("short"))
    await redeem(house, link)


async def test_a_link_lives_an_hour():
    house = await make_house()
    link = await house.cases.accounts.mint_link()
    house.clock.advance(3599)
    await house.cases.accounts.link_purpose(link.reveal())
    house.clock.advance(1)
    with pytest.raises(NotFound):
        await house.cases.accounts.link_purpose(link.reveal())
    with pytest.raises(NotFound):
        await redeem(house, link)


async def test_of_two_who_use_a_link_at_once_one_gets_in():
    house = await make_house()
    link = await house.cases.accounts.mint_link()
    look = house.database.accounts.link_expiry

    async def both_look_first(digest):
        found = await look(digest)
        await asyncio.sleep(0)
        return found

    house.database.accounts.link_expiry = both_look_first
    outcomes = await asyncio.gather(redeem(house, link), redeem(house, link), return_exceptions=True)
    assert sum(isinstance(outcome, NotFound) for outcome in outcomes) == 1


async def test_a_link_is_stored_as_a_digest():
    house = await make_house()
    link = await house.cases.accounts.mint_link()
    assert link.reveal() not in repr(house.database.accounts.links)


# --- signing in --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("email", ["ada@example.org", "ADA@example.org", "  ada@example.org "])
async def test_an_address_is_the_same_in_any_writing(email):
    house = await make_house()
    assert (await sign_in(house, email))[0].user_id == house.owner.user_id


async def test_an_unknown_address_and_a_wrong_password_are_the_same():
    house = await make_house()
    told = []
    for email, password in (("ada@example.org", WRONG), ("eve@example.org", PASSWORD)):
        with pytest.raises(Unauthenticated) as refused:
            await sign_in(house, email, password)
        told.append((refused.value.message, refused.value.fix))
    assert len(set(told)) == 1
    assert house.passwords.verified[-1] == "", "an unknown address costs the same work"
    assert house.journal.facts("sign_in_failed") == [{}, {}], "nothing about whom"


async def fail(house: House, count: int, email="ada@example.org", address="192.0.2.1") -> None:
    for _ in range(count):
        with pytest.raises(Unauthenticated):
            await sign_in(house, email, WRONG, address)


async def test_ten_guesses_at_an_account_are_enough():
    house = await make_house()
    for number in range(10):
        await fail(house, 1, address=f"192.0.2.{number}")
    for email in ("ada@example.org", "ADA@EXAMPLE.ORG", " ada@example.org"):
        with pytest.raises(Throttled) as throttled:
            await sign_in(house, email, address="198.51.100.1")
        assert throttled.value.retry_after == 900
    house.clock.advance(901)
    await sign_in(house, address="198.51.100.1")


async def test_blanks_around_an_address_give_no_further_guesses():
    house = await make_house()
    for number in range(10):
        await fail(house, 1, " " * number + "ada@example.org", f"192.0.2.{number}")
    with pytest.raises(Throttled):
        await sign_in(house, address="198.51.100.1")


async def test_a_hundred_guesses_from_an_address_are_enough():
    house = await make_house()
    for number in range(100):
        await fail(house, 1, f"user-{number}@example.org")
    with pytest.raises(Throttled):
        await sign_in(house)
    await sign_in(house, address="198.51.100.1")


async def test_guesses_made_side_by_side_are_counted():
    house = await make_house()
    verify = house.passwords.verify

    async def slowly(password_hash, password):
        await asyncio.sleep(0)
        return await verify(password_hash, password)

    house.passwords.verify = slowly
    guesses = [sign_in(house, password=WRONG) for _ in range(50)]
    outcomes = await asyncio.gather(*guesses, return_exceptions=True)
    assert sum(isinstance(outcome, Unauthenticated) for outcome in outcomes) == 10
    assert len(house.passwords.verified) == 10


async def test_a_right_password_begins_the_count_anew():
    house = await make_house()
    for _ in range(3):
        await fail(house, 9, address="192.0.2.9") if _ == 0 else await fail(house, 9, address=f"192.0.2.{_}")
        await sign_in(house, address="198.51.100.1")
    for _ in range(30):
        await sign_in(house, address="198.51.100.1")


async def test_a_right_password_does_not_forgive_the_addresses_other_guesses():
    house = await make_house()
    for number in range(99):
        await fail(house, 1, f"user-{number}@example.org")
    await sign_in(house)
    await fail(house, 1, "user-99@example.org")
    with pytest.raises(Throttled):
        await sign_in(house)


def test_a_throttle_forgets_the_oldest_subjects_and_not_the_newest():
    throttle = Throttle(clock=_Still())
    for number in range(REMEMBERED + 1):
        throttle.fail(f"subject {number}")
    assert len(throttle._failures) == REMEMBERED
    for _ in range(TRIES - 1):
        throttle.fail(f"subject {REMEMBERED}")
    with pytest.raises(Throttled):
        throttle.check(f"subject {REMEMBERED}")
    throttle.check("subject 0")


class _Still:
    def monotonic(self) -> float:
        return 0.0


# --- sessions ---------------------------------------------------------------------------------------------------------------------


async def alive(house: House, cookie: Secret) -> bool:
    try:
        await house.cases.accounts.authenticate(cookie.reveal())
    except Unauthenticated:
        return False
    return True


async def test_an_idle_session_ends_after_two_days():
    house = await make_house()
    _, cookie = await sign_in(house)
    house.clock.advance(timedelta(days=2).total_seconds() - 1)
    assert await alive(house, cookie)
    house.clock.advance(timedelta(days=2).total_seconds() - 1)
    assert await alive(house, cookie), "it was used in between"
    house.clock.advance(timedelta(days=2).total_seconds())
    assert not await alive(house, cookie)


async def test_a_session_in_use_ends_after_a_fortnight():
    house = await make_house()
    _, cookie = await sign_in(house)
    for _ in range(13):
        house.clock.advance(timedelta(days=1).total_seconds())
        assert await alive(house, cookie)
    house.clock.advance(timedelta(days=1).total_seconds())
    assert not await alive(house, cookie)


async def test_an_ended_session_is_dead_at_once():
    house = await make_house()
    accounts = house.cases.accounts
    (first, first_cookie), (second, second_cookie), (_, third_cookie) = [await sign_in(house) for _ in range(3)]
    await accounts.sign_out(first)
    assert not await alive(house, first_cookie)
    assert {each.digest for each in await accounts.sessions(second)} >= {second.digest}
    assert await accounts.end_other_sessions(second) == 2  # the third, and the one of the first day
    assert not await alive(house, third_cookie)
    assert not await alive(house, house.cookie)
    assert await alive(house, second_cookie)
    await accounts.end_session(second, second.digest)
    assert not await alive(house, second_cookie)


async def test_nobody_ends_somebody_elses_session():
    house = await make_house()
    bob = await house.member("admin")
    with pytest.raises(NotFound):
        await house.cases.accounts.end_session(bob, house.owner.digest)
    assert await house.cases.accounts.end_other_sessions(bob) == 0
    assert await alive(house, house.cookie)


@pytest.mark.parametrize("cookie", ["", "x", "x" * 43, "x" * 5000, "\udcff" * 30, "ü" * 43])
async def test_a_cookie_that_is_none(cookie):
    house = await make_house()
    assert not await alive(house, Secret(cookie))


async def test_a_cookie_is_stored_as_a_digest():
    house = await make_house()
    assert house.cookie.reveal() not in repr(house.database.accounts.user_sessions)


async def test_a_changed_role_counts_at_the_next_request():
    house = await make_house()
    bob = await house.member("editor")
    house.database.accounts._members[bob.user_id] = type(house.database.accounts._members[bob.user_id])(
        bob.workspace_id, "viewer"
    )
    found = await house.database.accounts.session(bob.digest)
    assert house.cases.accounts.caller(found).scopes == ROLES["viewer"]


async def test_a_role_nobody_knows_may_nothing():
    from dataclasses import replace

    house = await make_house()
    assert house.cases.accounts.caller(replace(house.owner, role="emperor")).scopes == frozenset()


async def test_there_is_one_workspace_after_any_number_of_starts():
    house = await make_house()
    assert await house.cases.accounts.ensure_workspace() == await house.cases.accounts.ensure_workspace() == WORKSPACE
