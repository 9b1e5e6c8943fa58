"""What a node may read, and what it is told when there is nothing to read."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace

import pytest

from tests.kit import builders
from tests.kit.house import House, make_house
from tokenkeep.core.errors import (
    NotConnected,
    NotFound,
    NotOAuth,
    Quarantined,
    ReauthorizationRequired,
    RefreshFailing,
    ScopeMissing,
    Throttled,
)
from tokenkeep.core.model import Injection, ResponseMap, Rotation, State
from tokenkeep.core.permissions import Scope


async def connected(**switches: object) -> tuple[House, str]:
    house = await make_house(**switches)
    return house, (await house.connect()).credential.id


async def stored(house: House, type_: str, **values: str) -> str:
    return (await house.cases.credentials.create(house.person, type=type_, name="one", values=values)).credential.id


# --- a live token ------------------------------------------------------------------------------------------------


async def test_a_fresh_token_is_served_without_any_call():
    house, id_ = await connected()
    house.server.journal.clear()
    token = await house.cases.tokens.token(house.node, id_)
    assert token.access_token.reveal() == "at-1-1"
    assert token.facts.scope == ("read", "write")
    assert token.facts.state is State.CONNECTED
    assert (token.facts.expires_at - house.clock.now()).total_seconds() == 3600
    assert house.server.journal == []
    assert house.wire.refreshed == []


@pytest.mark.parametrize(
    ("life", "age", "min_ttl", "refreshes"),
    [
        (3600, 3539, 60, 0),  # sixty-one seconds left
        (3600, 3541, 60, 1),
        (3600, 3599, 0, 0),
        (3600, 3600, 0, 1),
        (3600, 1801, 1800, 1),
        (3600, 1799, 1800, 0),
        (60, 44, 60, 0),  # cannot give sixty: a quarter of its life is asked for
        (60, 46, 60, 1),
        (3600, 2699, 7200, 0),
        (3600, 2701, 7200, 1),
        (3600, 30, 3599, 0),  # just obtained: this is as good as it gets
        (3600, 61, 3599, 1),
    ],
)
async def test_how_much_life_is_asked_for(life, age, min_ttl, refreshes):
    house, id_ = await connected(expires_in=life)
    house.clock.advance(age)
    token = await house.cases.tokens.token(house.node, id_, min_ttl=min_ttl)
    assert len(house.server.refreshes()) == refreshes
    assert token.access_token.reveal() == f"at-1-{1 + refreshes}"


async def test_a_token_whose_end_is_unknown_is_served_as_it_is():
    house, id_ = await connected(omits_expires_in=True)
    house.clock.advance(10**7)
    token = await house.cases.tokens.token(house.node, id_)
    assert (token.access_token.reveal(), token.facts.expires_at) == ("at-1-1", None)
    assert house.wire.refreshed == []


async def test_a_transient_failure_serves_the_token_that_still_lives():
    house, id_ = await connected(down=False)
    house.clock.advance(3570)
    house.server.switches.down = True
    token = await house.cases.tokens.token(house.node, id_)
    assert token.access_token.reveal() == "at-1-1"
    assert token.facts.state is State.FAILING, "the node may know"
    for _ in range(20):
        await house.cases.tokens.token(house.node, id_)
    assert len(house.server.refreshes()) == 1, "readers do not hammer a provider that is down"


async def test_a_transient_failure_with_a_dead_token_says_when_to_come_back():
    house, id_ = await connected()
    house.expire()
    house.server.switches.down = True
    for _ in range(5):
        with pytest.raises(RefreshFailing) as failing:
            await house.cases.tokens.token(house.node, id_)
    planned = house.grant(id_).standing.next_refresh_at
    assert failing.value.retry_after == round((planned - house.clock.now()).total_seconds())
    assert failing.value.extra["retry_after"] == failing.value.retry_after
    assert len(house.server.refreshes()) == 1


async def test_the_scope_is_what_was_asked_for_where_the_provider_does_not_say():
    house = await make_house()
    house.wire.instead = [builders.answer('{"access_token": "at", "refresh_token": "rt", "expires_in": 3600}')]
    id_ = (await house.connect()).credential.id
    assert (await house.cases.tokens.token(house.node, id_)).facts.scope == ("read", "write")


# --- a token that was rejected -------------------------------------------------------------------------------------


async def test_many_who_report_the_same_rejected_token_cause_one_refresh():
    house, id_ = await connected()
    old = await house.cases.tokens.token(house.node, id_)
    house.clock.advance(60)
    asked = [house.cases.tokens.refresh(house.node, id_, rejected=old.facts.fingerprint) for _ in range(50)]
    tokens = await asyncio.gather(*asked)
    assert {token.access_token.reveal() for token in tokens} == {"at-1-2"}
    assert len(house.server.refreshes()) == 1


async def test_who_reports_an_older_token_is_answered_at_once():
    house, id_ = await connected()
    house.clock.advance(60)
    token = await house.cases.tokens.refresh(house.node, id_, rejected="0123456789abcdef")
    assert token.access_token.reveal() == "at-1-1"
    assert house.wire.refreshed == []


async def test_a_token_rejected_within_seconds_is_not_refreshed_again():
    house, id_ = await connected()
    old = await house.cases.tokens.token(house.node, id_)
    house.clock.advance(60)
    new = await house.cases.tokens.refresh(house.node, id_, rejected=old.facts.fingerprint)
    house.clock.advance(9)
    with pytest.raises(RefreshFailing):
        await house.cases.tokens.refresh(house.node, id_, rejected=new.facts.fingerprint)
    assert len(house.server.refreshes()) == 1
    house.clock.advance(2)
    await house.cases.tokens.refresh(house.node, id_, rejected=new.facts.fingerprint)
    assert len(house.server.refreshes()) == 2


async def test_a_rejected_token_that_cannot_be_refreshed_just_now():
    house, id_ = await connected()
    old = await house.cases.tokens.token(house.node, id_)
    house.clock.advance(60)
    house.server.switches.down = True
    for _ in range(3):
        with pytest.raises(RefreshFailing):
            await house.cases.tokens.refresh(house.node, id_, rejected=old.facts.fingerprint)
    assert len(house.server.refreshes()) == 1


async def test_a_rejected_token_without_a_refresh_token_needs_a_person():
    house = await make_house()
    house.wire.instead = [builders.answer('{"access_token": "at", "scope": "read"}')]
    id_ = (await house.connect()).credential.id
    token = await house.cases.tokens.token(house.node, id_)
    house.clock.advance(60)
    with pytest.raises(ReauthorizationRequired) as gone:
        await house.cases.tokens.refresh(house.node, id_, rejected=token.facts.fingerprint)
    assert f"https://keep.test/credentials/{id_}" in gone.value.fix


async def test_a_rejected_token_of_a_withdrawn_consent_needs_a_person():
    house, id_ = await connected()
    old = await house.cases.tokens.token(house.node, id_)
    house.clock.advance(60)
    house.server.revoke_all()
    with pytest.raises(ReauthorizationRequired):
        await house.cases.tokens.refresh(house.node, id_, rejected=old.facts.fingerprint)
    assert house.state(id_) is State.REAUTHORIZATION_REQUIRED


async def test_where_a_refresh_kills_the_old_token_the_late_reporter_gets_the_new_one():
    house, id_ = await connected(kills_old_access_token=True)
    old = await house.cases.tokens.token(house.node, id_)
    await house.next_try(id_)
    token = await house.cases.tokens.refresh(house.node, id_, rejected=old.facts.fingerprint)
    assert house.server.consents.is_alive(token.access_token.reveal())
    assert len(house.server.refreshes()) == 1


# --- problems ---------------------------------------------------------------------------------------------------------


async def test_a_static_credential_has_no_token():
    house = await make_house()
    id_ = await stored(house, "acmeApi", apiKey="ak-1")
    with pytest.raises(NotOAuth) as problem:
        await house.cases.tokens.token(house.node, id_)
    assert f"/v1/credentials/{id_}/values" in problem.value.fix


async def test_an_unconnected_credential_says_where_to_connect():
    house = await make_house()
    id_ = await stored(house, "acmeOAuth2")
    for call in (house.cases.tokens.token, house.cases.tokens.authorization, house.cases.tokens.values):
        with pytest.raises(NotConnected) as problem:
            await call(house.node, id_)
        assert f"https://keep.test/credentials/{id_}" in problem.value.fix


async def test_a_dead_grant_says_where_to_connect_again_and_why():
    house, id_ = await connected()
    house.server.revoke_all()
    house.expire()
    for _ in range(3):
        with pytest.raises(ReauthorizationRequired) as problem:
            await house.cases.tokens.token(house.node, id_)
    assert f"https://keep.test/credentials/{id_}" in problem.value.fix
    assert problem.value.extra["cause"] == "invalid_grant"
    assert len(house.server.refreshes()) == 1


async def test_a_quarantined_grant_hands_nothing_out():
    house, id_ = await connected()
    key = house.owner.workspace_id, id_
    house.database.rows.grants[key] = replace(house.database.rows.grants[key], sealed=b"spoiled")
    house.expire()
    for _ in range(2):
        with pytest.raises(Quarantined) as problem:
            await house.cases.tokens.token(house.node, id_)
    assert problem.value.fix
    assert house.state(id_) is State.QUARANTINED


async def test_an_unreadable_fresh_token_hands_nothing_out():
    house, id_ = await connected()
    house.envelope.broken = True
    with pytest.raises(Quarantined):
        await house.cases.tokens.token(house.node, id_)


CALLS = ["token", "authorization", "values", "refresh"]


async def called(house: House, name: str, caller, id_: str):
    named = {"rejected": "x"} if name == "refresh" else {}
    return await getattr(house.cases.tokens, name)(caller, id_, **named)


@pytest.mark.parametrize("name", CALLS)
async def test_another_workspaces_credential_is_not_there(name):
    house, id_ = await connected()
    stranger = replace(house.node, workspace_id="somebody else's")
    with pytest.raises(NotFound) as theirs:
        await called(house, name, stranger, id_)
    with pytest.raises(NotFound) as nothing:
        await called(house, name, stranger, "no such id")
    assert (theirs.value.message, theirs.value.fix) == (nothing.value.message, nothing.value.fix)


@pytest.mark.parametrize("name", CALLS)
async def test_a_key_for_named_credentials_reaches_no_others(name):
    house, id_ = await connected()
    limited = replace(house.node, credential_ids=frozenset({"another"}))
    with pytest.raises(NotFound):
        await called(house, name, limited, id_)
    await called(house, name, replace(house.node, credential_ids=frozenset({id_})), id_)


@pytest.mark.parametrize("name", CALLS)
async def test_every_read_needs_its_scope(name):
    house, id_ = await connected()
    for scopes in ({Scope.ADMIN}, {Scope.CREDENTIALS_READ, Scope.CREDENTIALS_WRITE, Scope.CONNECT}, set()):
        with pytest.raises(ScopeMissing):
            await called(house, name, replace(house.node, scopes=frozenset(scopes)), id_)


# --- on a request -----------------------------------------------------------------------------------------------------


async def test_the_authorization_of_an_oauth_credential():
    house, id_ = await connected()
    found = await house.cases.tokens.authorization(house.node, id_)
    assert {name: value.reveal() for name, value in found.headers.items()} == {"Authorization": "Bearer at-1-1"}
    token = await house.cases.tokens.token(house.node, id_)
    assert (found.query, found.body, found.base_url.reveal()) == ({}, {}, "https://api.provider.test")
    assert found.secret_in_url is False
    assert (found.fingerprint, found.expires_at) == (token.facts.fingerprint, token.facts.expires_at)


async def test_the_authorization_of_an_expired_oauth_credential_is_refreshed():
    house, id_ = await connected()
    house.expire()
    found = await house.cases.tokens.authorization(house.node, id_)
    assert found.headers["Authorization"].reveal() == "Bearer at-1-2"


async def test_an_oauth_type_that_says_nothing_is_a_bearer():
    house, id_ = await connected()
    house.catalog.known["acmeOAuth2"] = replace(house.catalog.known["acmeOAuth2"], injection=None)
    found = await house.cases.tokens.authorization(house.node, id_)
    assert found.headers["Authorization"].reveal() == "Bearer at-1-1"


async def test_the_authorization_of_a_key_in_a_header():
    house = await make_house()
    id_ = await stored(house, "acmeApi", apiKey="ak-1")
    found = await house.cases.tokens.authorization(house.node, id_)
    assert {name: value.reveal() for name, value in found.headers.items()} == {"X-Api-Key": "ak-1"}
    assert (found.base_url.reveal(), found.expires_at, found.fingerprint) == ("https://api.provider.test", None, "")


async def test_the_authorization_of_a_key_in_the_path_is_an_address_that_does_not_print():
    house = await make_house()
    known = house.catalog.known
    known["acmeApi"] = replace(known["acmeApi"], injection=Injection(path="/bot{apiKey}"))
    id_ = await stored(house, "acmeApi", apiKey="ak-1:canary/x")
    found = await house.cases.tokens.authorization(house.node, id_)
    assert found.base_url.reveal() == "https://api.provider.test/botak-1:canary%2Fx"
    assert (found.headers, found.query, found.body, found.secret_in_url) == ({}, {}, {}, True)
    assert "canary" not in repr(found)


async def test_the_authorization_of_a_key_in_the_body():
    house = await make_house()
    rule = Injection(body={"key": "{apiKey}"}, query={"v": "2"})
    house.catalog.known["acmeApi"] = replace(house.catalog.known["acmeApi"], injection=rule)
    id_ = await stored(house, "acmeApi", apiKey="ak-1")
    found = await house.cases.tokens.authorization(house.node, id_)
    assert {name: value.reveal() for name, value in found.body.items()} == {"key": "ak-1"}
    assert found.secret_in_url is False


async def test_the_authorization_of_a_key_in_the_query_says_that_the_address_is_a_secret():
    house = await make_house()
    id_ = await stored(house, "acmeQuery", apiKey="ak-1")
    assert (await house.cases.tokens.authorization(house.node, id_)).secret_in_url is True


async def test_the_authorization_of_a_user_and_a_password():
    house = await make_house()
    id_ = await stored(house, "acmeBasic", user="ada", password="hunter2")
    found = await house.cases.tokens.authorization(house.node, id_)
    expected = "Basic " + base64.b64encode(b"ada:hunter2").decode()
    assert {name: value.reveal() for name, value in found.headers.items()} == {"Authorization": expected}


async def test_the_authorization_of_a_key_in_the_query():
    house = await make_house()
    id_ = await stored(house, "acmeQuery", apiKey="ak-1")
    found = await house.cases.tokens.authorization(house.node, id_)
    assert {name: value.reveal() for name, value in found.query.items()} == {"key": "ak-1"}
    assert found.headers == {}


async def test_what_does_not_speak_http_has_no_authorization():
    house = await make_house()
    id_ = await stored(house, "acmeDatabase", user="ada", password="hunter2")
    with pytest.raises(NotFound) as problem:
        await house.cases.tokens.authorization(house.node, id_)
    assert f"/v1/credentials/{id_}/values" in problem.value.fix


# --- values in clear ------------------------------------------------------------------------------------------------------


async def test_the_values_of_a_static_credential():
    house = await make_house()
    id_ = await stored(house, "acmeDatabase", user="ada", password="hunter2")
    assert await house.cases.tokens.values(house.node, id_) == (
        "acmeDatabase",
        {"user": "ada", "password": "hunter2"},
    )


async def test_the_values_of_an_oauth_credential_hold_the_living_token_and_never_the_refresh_token():
    house, id_ = await connected()
    house.expire()
    type_, values = await house.cases.tokens.values(house.node, id_)
    assert type_ == "acmeOAuth2"
    assert values == {
        "access_token": "at-1-2",
        "token_type": "Bearer",
        "expires_at": "2026-11-24T14:01:01Z",
        "scope": "read write",
    }
    assert "rt-" not in str(values)


async def test_the_values_of_an_oauth_credential_hold_what_the_file_keeps():
    house = await make_house(provider={"response": ResponseMap(keep=("instance_url", "refresh_token"))})
    body = '{"access_token": "at", "refresh_token": "rt-x", "expires_in": 3600, "instance_url": "https://i.test"}'
    house.wire.instead = [builders.answer(body)]
    id_ = (await house.connect()).credential.id
    _, values = await house.cases.tokens.values(house.node, id_)
    assert values["instance_url"] == "https://i.test"


async def test_who_consumes_a_credential_is_noted():
    house, id_ = await connected()
    await house.cases.tokens.token(house.node, id_, consumer="flow/7")
    await house.cases.tokens.values(house.node, id_, consumer="node/8")
    await house.cases.usage.flush()
    found = await house.cases.credentials.references(house.person, id_)
    assert [(each.consumer, each.declared) for each in found] == [("flow/7", False), ("node/8", False)]


async def test_reads_of_a_provider_without_rotation_never_end():
    house, id_ = await connected(rotation=Rotation.NONE, omits_refresh_token=True)
    for generation in range(2, 12):
        house.expire()
        token = await house.cases.tokens.token(house.node, id_)
        assert token.access_token.reveal() == f"at-1-{generation}"


def test_a_throttle_and_a_failing_refresh_both_say_when():
    assert Throttled(retry_after=3).extra["retry_after"] == 3
    assert RefreshFailing(retry_after=3).extra["retry_after"] == 3


async def test_a_header_of_a_type_may_be_anything():
    house, id_ = await connected()
    rule = Injection(headers={"X-Token": "{access_token}", "X-Missing": "{nothing}"})
    house.catalog.known["acmeOAuth2"] = replace(house.catalog.known["acmeOAuth2"], injection=rule)
    found = await house.cases.tokens.authorization(house.node, id_)
    assert {name: value.reveal() for name, value in found.headers.items()} == {"X-Token": "at-1-1"}
