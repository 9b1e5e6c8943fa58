"""The browser's round: single use, bound to browser, person, client and issuer, and truthful about what came of it."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from tests.kit import builders
from tests.kit.builders import WORKSPACE
from tests.kit.house import House, make_house
from tokenkeep.core.errors import (
    BrowserMismatch,
    ClientMissing,
    ConsentDenied,
    IssuerMismatch,
    NotFound,
    ProviderRefused,
    ScopeMissing,
    SessionSpent,
    StateInvalid,
    Throttled,
    Unauthenticated,
)
from tokenkeep.core.judgement import Granted
from tokenkeep.core.model import Account, FieldKind, Injection, SessionState, State
from tokenkeep.core.permissions import Scope
from tokenkeep.services import callback
from tokenkeep.services.invitation import Begun


async def begun(house: House, **asked: object) -> tuple[str, Begun]:
    """(session id, what the browser got) for the owner."""
    session_id, secret = await house.invite(**asked)
    return session_id, await house.cases.connect.begin(secret, user=house.owner, popup=False)


async def session_of(house: House, session_id: str):
    return await house.cases.connect_sessions.get(house.person, session_id)


def exchanges(house: House) -> int:
    return sum(entry.grant_type == "authorization_code" for entry in house.server.journal)


# --- all goes well ------------------------------------------------------------------------------------------------------


async def test_a_person_connects_and_the_token_is_there():
    house = await make_house()
    session_id, start = await begun(house, name="Mine")
    outcome = await house.finish(start, user=house.owner)
    assert outcome.session.state is SessionState.CONNECTED
    assert (outcome.code, outcome.missing_scopes) == ("", ())
    assert outcome.account == Account(id="acc-1", name="Ada Lovelace")
    assert outcome.cookie == start.cookie
    assert (await session_of(house, session_id)).credential_id == outcome.credential_id
    view = await house.cases.credentials.get(house.person, outcome.credential_id)
    assert (view.credential.name, view.state, view.account.name) == ("Mine", State.CONNECTED, "Ada Lovelace")
    assert view.credential.created_by == f"user/{house.owner.user_id}"
    assert house.events(outcome.credential_id) == ["created", "connected"]
    assert (await house.cases.tokens.token(house.node, outcome.credential_id)).access_token.reveal() == "at-1-1"


async def test_a_credential_without_a_name_is_named_after_its_account():
    house = await make_house()
    assert (await house.connect()).credential.name == "Acme (Ada Lovelace)"


async def test_what_the_page_before_the_button_shows():
    house = await make_house()
    _, secret = await house.invite(scopes=("read",))
    seen = await house.cases.connect.open(secret)
    assert (seen.workspace_name, seen.scopes, seen.reconnects, seen.ready) == ("Home", ("read",), "", True)
    await house.cases.connect.open(secret)
    assert (await house.cases.connect.begin(secret, user=house.owner, popup=False)).url, "looking consumes nothing"


async def test_an_unknown_link_is_not_there():
    house = await make_house()
    with pytest.raises(NotFound):
        await house.cases.connect.open("nothing")


async def test_without_a_client_nothing_can_begin():
    house = await make_house(registered=False)
    _, secret = await house.invite()
    assert (await house.cases.connect.open(secret)).ready is False
    with pytest.raises(ClientMissing) as missing:
        await house.cases.connect.begin(secret, user=house.owner, popup=False)
    assert missing.value.fix


@pytest.mark.parametrize(
    ("asked", "client", "expected"),
    [
        ((), (), ("read", "write")),
        ((), ("files",), ("files",)),
        (("one",), ("files",), ("one",)),
    ],
)
async def test_whose_scopes_are_asked_for(asked, client, expected):
    house = await make_house()
    await house.cases.clients.put(
        house.person, "acme", client_id="client-1", client_secret=None, scopes=client, variables=None
    )
    _, start = await begun(house, scopes=asked)
    assert f"scope={'+'.join(expected)}" in start.url or f"scope={'%20'.join(expected)}" in start.url


async def test_what_was_asked_for_and_not_granted_is_told():
    house = await make_house(scope="read")
    _, start = await begun(house)
    outcome = await house.finish(start, user=house.owner)
    assert outcome.missing_scopes == ("write",)
    view = await house.cases.credentials.get(house.person, outcome.credential_id)
    assert view.missing_scopes == ("write",)
    assert (await house.cases.tokens.token(house.node, outcome.credential_id)).facts.scope == ("read",)


@pytest.mark.parametrize("status", [0, 401, 403, 500])
async def test_an_account_call_that_fails_costs_only_the_name(status):
    house = await make_house()

    async def fails(call, **_):
        return builders.answer(status=status, fault="lost" if status == 0 else "")

    house.wire.call = fails
    view = await house.connect()
    assert (view.state, view.account, view.credential.name) == (State.CONNECTED, None, "Acme")


async def test_an_account_call_that_needs_more_than_the_token_costs_only_the_name():
    house = await make_house()
    rule = Injection(headers={"X-Other": "{other}"})
    house.catalog.known["acmeOAuth2"] = replace(house.catalog.known["acmeOAuth2"], injection=rule)
    assert (await house.connect()).account is None


# --- the state is used once -----------------------------------------------------------------------------------------------


async def test_a_state_is_used_once():
    house = await make_house()
    _, start = await begun(house)
    query = await house.browse(start)
    await house.finish(start, query, user=house.owner)
    with pytest.raises(StateInvalid):
        await house.finish(start, query, user=house.owner)
    assert exchanges(house) == 1


@pytest.mark.parametrize("wrong", ["cookie", "handle", "iss", "error", "person"])
async def test_a_state_is_used_up_by_an_error_too(wrong):
    house = await make_house()
    _, start = await begun(house)
    query = await house.browse(start)
    first = {
        "cookie": lambda: house.finish(replace(start, nonce="wrong"), query, user=house.owner),
        "handle": lambda: house.finish(start, query, user=house.owner, handle="wrong"),
        "iss": lambda: house.finish(start, query | {"iss": "https://evil.test"}, user=house.owner),
        "error": lambda: house.finish(start, query | {"error": "access_denied"}, user=house.owner),
        "person": lambda: house.finish(start, query, user=None),
    }[wrong]
    with pytest.raises((BrowserMismatch, IssuerMismatch, ConsentDenied)):
        await first()
    with pytest.raises(StateInvalid):
        await house.finish(start, query, user=house.owner)
    assert exchanges(house) == 0


@pytest.mark.parametrize("state", ["", "unknown", "x" * 5000])
async def test_an_unknown_state_is_refused(state):
    house = await make_house()
    _, start = await begun(house)
    with pytest.raises(StateInvalid) as refused:
        await house.finish(start, {"state": state, "code": "x", "iss": house.server.url}, user=house.owner)
    assert (refused.value.session, refused.value.cookie) == (None, "")


async def test_a_state_older_than_ten_minutes_is_refused():
    house = await make_house()
    _, start = await begun(house)
    query = await house.browse(start)
    house.clock.advance(600)
    with pytest.raises(StateInvalid):
        await house.finish(start, query, user=house.owner)
    assert exchanges(house) == 0


async def test_a_state_just_younger_than_ten_minutes_is_good():
    house = await make_house()
    _, start = await begun(house)
    query = await house.browse(start)
    house.clock.advance(599)
    assert (await house.finish(start, query, user=house.owner)).session.state is SessionState.CONNECTED


# --- bindings ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cookies", [{}, {"tokenkeep-connect-000000000000": "x"}, "wrong value"])
async def test_another_browser_is_refused(cookies):
    house = await make_house()
    session_id, start = await begun(house)
    query = await house.browse(start)
    sent = {start.cookie: "x" * 43} if cookies == "wrong value" else cookies
    with pytest.raises(BrowserMismatch) as refused:
        await house.cases.connect.complete(await house.handle(), query=query, cookies=sent, user=house.owner)
    assert refused.value.session.id == session_id
    assert refused.value.cookie == start.cookie
    assert exchanges(house) == 0
    assert (await session_of(house, session_id)).problem_code == "browser_mismatch"


async def test_the_nonce_of_another_attempt_is_refused():
    house = await make_house()
    _, mine = await begun(house)
    _, other = await begun(house)
    with pytest.raises(BrowserMismatch):
        await house.finish(replace(mine, nonce=other.nonce), await house.browse(mine), user=house.owner)


async def test_another_person_is_refused():
    house = await make_house()
    _, start = await begun(house)
    bob = await house.member("owner")
    with pytest.raises(BrowserMismatch):
        await house.finish(start, user=bob)
    assert exchanges(house) == 0


async def test_somebody_who_signed_out_meanwhile_is_refused():
    house = await make_house()
    _, start = await begun(house)
    with pytest.raises(BrowserMismatch):
        await house.finish(start, user=None)


async def test_somebody_who_may_not_connect_any_more_is_refused():
    house = await make_house()
    _, start = await begun(house)
    with pytest.raises(ScopeMissing) as refused:
        await house.finish(start, user=replace(house.owner, role="viewer"))
    assert refused.value.cookie == start.cookie
    assert exchanges(house) == 0


async def test_somebody_who_may_not_connect_cannot_begin():
    house = await make_house()
    _, secret = await house.invite()
    with pytest.raises(ScopeMissing):
        await house.cases.connect.begin(secret, user=await house.member("viewer"), popup=False)


async def test_another_clients_path_is_refused():
    """Two providers share one service: an answer of one is never taken for the other's (mix-up)."""
    house = await make_house()
    _, start = await begun(house)
    with pytest.raises(IssuerMismatch):
        await house.finish(start, user=house.owner, handle="another-client")
    assert exchanges(house) == 0


@pytest.mark.parametrize("iss", [None, "", "https://evil.test", "https://provider.test/", "HTTPS://provider.test"])
async def test_a_promised_issuer_must_come_back_right(iss):
    house = await make_house()
    _, start = await begun(house)
    query = await house.browse(start)
    assert query["iss"] == house.server.url
    changed = {name: value for name, value in query.items() if name != "iss"} | ({} if iss is None else {"iss": iss})
    with pytest.raises(IssuerMismatch):
        await house.finish(start, changed, user=house.owner)
    assert exchanges(house) == 0


async def test_a_promised_issuer_must_come_back_with_an_error_too():
    house = await make_house()
    _, start = await begun(house)
    query = await house.browse(start)
    with pytest.raises(IssuerMismatch):
        await house.finish(start, {"state": query["state"], "error": "access_denied"}, user=house.owner)


async def test_where_no_issuer_is_promised_none_is_needed():
    house = await make_house(sends_iss=False)
    assert (await house.connect()).state is State.CONNECTED


async def test_the_token_endpoint_is_the_one_of_the_beginning():
    """A provider file that is changed between begin and callback cannot send the code elsewhere."""
    house = await make_house()
    _, start = await begun(house)
    query = await house.browse(start)
    house.catalog.held["acme"] = replace(house.catalog.held["acme"], token_endpoint="https://evil.test/token")
    asked, exchange = [], house.wire.exchange

    async def watched(registration, *, code, verifier, endpoint):
        asked.append(endpoint)
        return await exchange(registration, code=code, verifier=verifier, endpoint=endpoint)

    house.wire.exchange = watched
    await house.finish(start, query, user=house.owner)
    assert asked == ["https://provider.test/token"]


# --- the provider says no --------------------------------------------------------------------------------------------------------


async def test_a_consent_that_was_denied_can_be_tried_again():
    house = await make_house(denies_consent=True)
    session_id, secret = await house.invite(return_url="https://app.example/back")
    start = await house.cases.connect.begin(secret, user=house.owner, popup=False)
    with pytest.raises(ConsentDenied) as denied:
        await house.finish(start, user=house.owner)
    assert denied.value.session.state is SessionState.FAILED
    assert denied.value.session.return_url == "https://app.example/back"
    assert denied.value.cookie == start.cookie
    assert (await session_of(house, session_id)).problem_code == "consent_denied"
    house.server.switches.denies_consent = False
    again = await house.cases.connect.begin(secret, user=house.owner, popup=False)
    outcome = await house.finish(again, user=house.owner)
    assert outcome.session.state is SessionState.CONNECTED
    assert (await session_of(house, session_id)).problem_code == ""


@pytest.mark.parametrize(
    "error", ["invalid_scope", "server_error", "unauthorized_client", "<script>alert(1)</script>", "unheard_of"]
)
async def test_nothing_that_the_provider_wrote_is_repeated(error):
    house = await make_house()
    session_id, start = await begun(house)
    query = await house.browse(start) | {
        "error": error,
        "error_description": "MARK-description <b>",
        "error_uri": "https://evil.test/MARK-uri",
    }
    with pytest.raises(ProviderRefused) as refused:
        await house.finish(start, query, user=house.owner)
    session = await session_of(house, session_id)
    told = f"{refused.value.message} {refused.value.fix} {refused.value.extra} {session} {house.journal.records}"
    assert "MARK" not in told
    assert "evil" not in told
    assert "<" not in refused.value.message + refused.value.fix
    assert refused.value.fix
    assert exchanges(house) == 0


async def test_an_answer_without_a_code_is_refused():
    house = await make_house()
    _, start = await begun(house)
    query = await house.browse(start)
    with pytest.raises(ProviderRefused):
        await house.finish(start, query | {"code": ""}, user=house.owner)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (builders.answer('{"error": "invalid_client"}', status=401), "client id, secret"),
        (builders.answer('{"error": "invalid_grant", "error_description": "MARK"}', status=400), "Try again"),
        (builders.answer("<html>MARK</html>", status=502), "Try again"),
        (builders.answer(status=0, fault="lost"), "Try again"),
        (builders.answer("{}"), "Try again"),
    ],
)
async def test_an_exchange_that_is_refused(answer, hint):
    house = await make_house()
    session_id, start = await begun(house)
    house.wire.instead = [answer]
    with pytest.raises(ProviderRefused) as refused:
        await house.finish(start, user=house.owner)
    assert hint in refused.value.fix
    assert "MARK" not in refused.value.message + refused.value.fix
    assert (await session_of(house, session_id)).state is SessionState.FAILED
    assert house.database.rows.grants == {}
    assert house.database.rows.credentials == {}


async def test_a_code_for_another_verifier_is_refused():
    house = await make_house()
    _, mine = await begun(house)
    _, other = await begun(house)
    query = await house.browse(mine) | {"code": (await house.browse(other))["code"]}
    with pytest.raises(ProviderRefused):
        await house.finish(mine, query, user=house.owner)


# --- pushed ahead (RFC 9126) --------------------------------------------------------------------------------------------


async def test_where_the_provider_wants_it_the_browser_carries_a_request_uri_only():
    house = await make_house(requires_par=True)
    _, start = await begun(house)
    assert dict(parse_qsl(urlsplit(start.url).query)).keys() == {"client_id", "request_uri"}
    (pushed,) = house.server.pushed
    assert pushed["redirect_uri"].startswith("https://keep.test/oauth/callback/")
    assert (pushed["scope"], len(pushed["code_challenge"])) == ("read write", 43)
    outcome = await house.finish(start, user=house.owner)
    assert outcome.session.state is SessionState.CONNECTED


async def test_every_attempt_pushes_a_request_of_its_own():
    house = await make_house(requires_par=True)
    _, secret = await house.invite()
    for _ in range(2):
        start = await house.cases.connect.begin(secret, user=house.owner, popup=False)
    first, second = house.server.pushed
    assert first["state"] != second["state"]
    query = await house.browse(start)
    assert query["state"] == second["state"]
    async with httpx2.AsyncClient(transport=house.server.transport()) as browser:
        assert (await browser.get(start.url)).status_code == 400, "it is good for one browser"


async def test_nothing_is_held_open_while_the_provider_is_asked():
    house = await make_house(requires_par=True)
    stored = []
    push = house.wire.push

    async def watched(registration, **asked):
        stored.append(await house.database.authorizations.pending_requests(WORKSPACE, house.owner.user_id))
        return await push(registration, **asked)

    house.wire.push = watched
    await begun(house)
    assert stored == [1], "the request is already stored: an attempt that fails counts against the limit (T72)"


@pytest.mark.parametrize(
    ("answer", "code", "hint"),
    [
        (builders.answer('{"error": "invalid_client"}', status=401), "invalid_client", "administrator checks"),
        (
            builders.answer('{"error": "invalid_request", "error_description": "MARK"}', status=400),
            "invalid_request",
            "administrator checks",
        ),
        (
            builders.answer('{"error": "unauthorized_client"}', status=403),
            "unauthorized_client",
            "administrator checks",
        ),
        (builders.answer(status=0, fault="refused"), "outbound_refused", "administrator checks"),
        (builders.answer(status=0, fault="lost"), "answer_lost", "Try again"),
        (builders.answer(status=0, fault="not_sent"), "not_sent", "Try again"),
        (builders.answer("<html>MARK</html>", status=502), "http_502", "Try again"),
        (builders.answer('{"error": "temporarily_unavailable"}', status=503), "http_503", "Try again"),
        (builders.answer("{}", status=201), "unreadable_answer", "Try again"),
        (builders.answer('{"access_token": "MARK", "token_type": "bearer"}'), "unreadable_answer", "Try again"),
    ],
)
async def test_a_pushed_request_that_is_not_taken(answer, code, hint):
    house = await make_house(requires_par=True)
    session_id, secret = await house.invite()
    house.wire.instead = [answer]
    with pytest.raises(ProviderRefused) as refused:
        await house.cases.connect.begin(secret, user=house.owner, popup=False)
    assert f"({code})" in refused.value.message
    assert hint in refused.value.fix
    assert "MARK" not in refused.value.message + refused.value.fix
    session = await session_of(house, session_id)
    assert (session.state, session.problem_code) == (SessionState.FAILED, "provider_refused")
    assert session.problem_detail == f"{refused.value.message} {refused.value.fix}"
    start = await house.cases.connect.begin(secret, user=house.owner, popup=False)  # the same link, once it is mended
    assert (await house.finish(start, user=house.owner)).session.state is SessionState.CONNECTED


async def test_a_client_taken_away_meanwhile():
    house = await make_house()
    _, start = await begun(house)
    query, handle = await house.browse(start), await house.handle()
    await house.cases.clients.delete(house.person, "acme")
    with pytest.raises(ClientMissing) as missing:
        await house.finish(start, query, user=house.owner, handle=handle)
    assert missing.value.cookie == start.cookie


# --- reconnecting ------------------------------------------------------------------------------------------------------------------


async def test_reconnecting_keeps_the_credential_and_ends_its_failure():
    house = await make_house()
    id_ = (await house.connect(name="Mine")).credential.id
    house.server.revoke_all()
    house.expire()
    await house.sweep()
    assert house.state(id_) is State.REAUTHORIZATION_REQUIRED
    _, secret = await house.invite(credential_id=id_)
    assert (await house.cases.connect.open(secret)).reconnects == "Mine"
    view = await house.connect(credential_id=id_)
    assert (view.credential.id, view.credential.name, view.state) == (id_, "Mine", State.CONNECTED)
    assert house.grant(id_).standing.failure is None
    assert house.events(id_)[-1] == "reconnected"
    assert len(house.database.rows.credentials) == 1
    assert (await house.cases.tokens.token(house.node, id_)).access_token.reveal() == "at-2-1"


@pytest.mark.parametrize("switched", [False, True])
async def test_another_account_in_place_of_the_first_is_flagged(switched):
    house = await make_house()
    id_ = (await house.connect()).credential.id
    if switched:
        house.server.switches.account = {"id": "acc-2", "name": "Eve"}
    await house.connect(credential_id=id_)
    detail = next(event.detail for event in house.database.rows.events if event.kind == "reconnected")
    assert detail.get("account_switched", False) is switched


async def test_reconnecting_what_was_deleted_meanwhile_makes_nothing_new():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    _, start = await begun(house, credential_id=id_)
    await house.database.credentials.delete(WORKSPACE, id_)
    with pytest.raises(NotFound):
        await house.finish(start, user=house.owner)
    assert house.database.rows.credentials == {}


async def test_two_tabs_of_one_link_make_one_credential():
    house = await make_house()
    session_id, secret = await house.invite()
    tabs = [await house.cases.connect.begin(secret, user=house.owner, popup=False) for _ in range(2)]
    assert tabs[0].cookie != tabs[1].cookie, "the second does not overwrite the first's cookie"
    queries = [await house.browse(tab) for tab in tabs]
    outcomes = [await house.finish(tab, query, user=house.owner) for tab, query in zip(tabs, queries, strict=True)]
    assert outcomes[0].credential_id == outcomes[1].credential_id
    assert len(house.database.rows.credentials) == 1
    assert (await session_of(house, session_id)).state is SessionState.CONNECTED


async def test_a_link_that_has_connected_cannot_begin_again():
    house = await make_house()
    _, secret = await house.invite()
    start = await house.cases.connect.begin(secret, user=house.owner, popup=False)
    await house.finish(start, user=house.owner)
    with pytest.raises(SessionSpent):
        await house.cases.connect.begin(secret, user=house.owner, popup=False)
    assert (await house.cases.connect.open(secret)).session.state is SessionState.CONNECTED


async def test_a_denial_in_a_second_tab_does_not_undo_a_connection():
    house = await make_house()
    session_id, secret = await house.invite()
    first, second = [await house.cases.connect.begin(secret, user=house.owner, popup=False) for _ in range(2)]
    await house.finish(first, user=house.owner)
    house.server.switches.denies_consent = True
    with pytest.raises(ConsentDenied):
        await house.finish(second, user=house.owner)
    assert (await session_of(house, session_id)).state is SessionState.CONNECTED


# --- who may use a link -------------------------------------------------------------------------------------------------------------


async def test_a_persons_link_needs_a_signed_in_browser():
    house = await make_house()
    _, secret = await house.invite()
    with pytest.raises(Unauthenticated):
        await house.cases.connect.begin(secret, user=None, popup=False)
    stranger = builders.user_session(user_id="eve", workspace_id="workspace-2")
    with pytest.raises(Unauthenticated):
        await house.cases.connect.begin(secret, user=stranger, popup=False)


async def test_twenty_open_attempts_are_enough():
    house = await make_house()
    _, secret = await house.invite()
    for _ in range(20):
        await house.cases.connect.begin(secret, user=house.owner, popup=False)
    with pytest.raises(Throttled) as throttled:
        await house.cases.connect.begin(secret, user=house.owner, popup=False)
    assert throttled.value.retry_after == 600
    bob = await house.member("editor")
    await house.cases.connect.begin(secret, user=bob, popup=False)
    house.clock.advance(601)
    await house.cases.connect.begin(secret, user=house.owner, popup=False)


# --- links that a program made -----------------------------------------------------------------------------------------------------------


async def by_program(house: House, user=None, **asked):
    """(session id, outcome) of a link that key-1 made, finished by this browser."""
    session_id, secret = await house.invite(house.caller(Scope.CONNECT), **asked)
    start = await house.cases.connect.begin(secret, user=user, popup=False)
    return session_id, await house.finish(start, user=user)


async def test_a_programs_link_waits_for_its_confirmation():
    house = await make_house()
    key = house.caller(Scope.CONNECT)
    session_id, outcome = await by_program(house)
    assert outcome.session.state is SessionState.AWAITING_CONFIRMATION
    assert outcome.code
    assert outcome.credential_id == ""
    assert house.database.rows.grants == {}
    assert house.database.rows.credentials == {}, "nobody can use it before"
    for code in ("", "wrong", outcome.code[:-1]):
        with pytest.raises(StateInvalid):
            await house.cases.connect.confirm(key, session_id, code)
    confirmed = await house.cases.connect.confirm(key, session_id, outcome.code)
    assert confirmed.state is SessionState.CONNECTED
    view = await house.cases.credentials.get(house.person, confirmed.credential_id)
    assert (view.state, view.account.name, view.credential.created_by) == (
        State.CONNECTED,
        "Ada Lovelace",
        "key/key-1",
    )
    assert (await house.cases.tokens.token(house.node, confirmed.credential_id)).access_token.reveal() == "at-1-1"
    with pytest.raises(SessionSpent):
        await house.cases.connect.confirm(key, session_id, outcome.code)


async def test_only_the_program_that_made_the_link_confirms_it():
    house = await make_house()
    session_id, outcome = await by_program(house)
    with pytest.raises(SessionSpent):
        await house.cases.connect.confirm(house.caller(Scope.CONNECT, id="key-2"), session_id, outcome.code)
    with pytest.raises(ScopeMissing):
        await house.cases.connect.confirm(house.caller(Scope.TOKENS_READ), session_id, outcome.code)
    stranger = builders.caller(Scope.CONNECT, workspace_id="workspace-2")
    with pytest.raises(NotFound):
        await house.cases.connect.confirm(stranger, session_id, outcome.code)
    assert house.database.rows.grants == {}
    admin = house.caller(Scope.ADMIN, id="key-3")
    assert (await house.cases.connect.confirm(admin, session_id, outcome.code)).state is SessionState.CONNECTED


async def test_a_confirmation_comes_too_late():
    house = await make_house()
    session_id, outcome = await by_program(house)
    house.clock.advance(1800)
    with pytest.raises(SessionSpent):
        await house.cases.connect.confirm(house.caller(Scope.CONNECT), session_id, outcome.code)


async def test_a_session_that_holds_nothing_cannot_be_confirmed():
    house = await make_house()
    key = house.caller(Scope.CONNECT)
    session_id, _ = await house.invite(key)
    with pytest.raises(SessionSpent):
        await house.cases.connect.confirm(key, session_id, "")


async def test_a_signed_in_member_on_a_programs_link_is_connected_at_once():
    house = await make_house()
    bob = await house.member("user")
    _, outcome = await by_program(house, bob)
    assert outcome.session.state is SessionState.CONNECTED
    assert outcome.code == ""
    assert house.database.rows.events[-1].actor == f"user/{bob.user_id}"


async def test_somebody_of_another_workspace_on_a_programs_link_is_nobody():
    house = await make_house()
    _, outcome = await by_program(house, builders.user_session(user_id="eve", workspace_id="workspace-2"))
    assert outcome.session.state is SessionState.AWAITING_CONFIRMATION


async def test_a_programs_link_in_two_tabs_holds_the_first():
    house = await make_house()
    key = house.caller(Scope.CONNECT)
    session_id, secret = await house.invite(key)
    first, second = [await house.cases.connect.begin(secret, user=None, popup=False) for _ in range(2)]
    outcome = await house.finish(first, user=None)
    with pytest.raises(SessionSpent):
        await house.finish(second, user=None)
    assert (await house.cases.connect.confirm(key, session_id, outcome.code)).state is SessionState.CONNECTED
    assert house.grant(session_id).version == 1
    assert await house.stored_refresh_token(session_id) == "rt-1-1"


# --- what a session carries ------------------------------------------------------------------------------------------------------------------


async def test_values_of_a_session_become_the_credentials_own():
    house = await make_house()
    secret = builders.field(name="hook", label="Hook", kind=FieldKind.SECRET, secret=True)
    house.catalog.known["acmeOAuth2"] = replace(house.catalog.known["acmeOAuth2"], fields=(secret,))
    view = await house.connect(values={"hook": "a long hook secret"})
    assert "a long hook secret" not in str(view.credential.masked)
    _, values = await house.cases.tokens.values(house.node, view.credential.id)
    assert values["hook"] == "a long hook secret"


async def test_a_session_lives_half_an_hour():
    house = await make_house()
    session_id, secret = await house.invite()
    house.clock.advance(1799)
    await house.cases.connect.begin(secret, user=house.owner, popup=False)
    house.clock.advance(1)
    assert (await session_of(house, session_id)).state is SessionState.EXPIRED
    assert (await house.cases.connect.open(secret)).session.state is SessionState.EXPIRED
    with pytest.raises(SessionSpent):
        await house.cases.connect.begin(secret, user=house.owner, popup=False)


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ({"realmId": "123", "code": "c", "other": "x"}, {"realmId": "123"}),
        ({"realmId": ""}, {}),
        ({"realmId": "x" * 1001}, {}),
        ({}, {}),
    ],
)
def test_of_the_callback_only_what_the_file_names_is_kept_and_nothing_endless(query, kept):
    provider = builders.provider(callback_keep=("realmId",))
    granted = Granted(token_set=builders.token_set(), account=None)
    assert callback.kept(granted, query, provider).token_set.extra == {**granted.token_set.extra, **kept}
