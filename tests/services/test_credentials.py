"""Credentials as people keep them, and the one cheap call that proves one."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from tests.kit import builders
from tests.kit.house import House, make_house
from tokenkeep.core.errors import (
    InUse,
    InvalidInput,
    NotFound,
    NotTestable,
    Quarantined,
    ScopeMissing,
    UnknownType,
    VersionMismatch,
)
from tokenkeep.core.model import Account, Call, Injection, State
from tokenkeep.core.permissions import Scope
from tokenkeep.services.ports import CredentialFilter

KEY = "ak-0123456789-abcdefghij-SECRET"


async def stored(house: House, type_: str = "acmeApi", name: str = "one", **values: object) -> str:
    values = values or ({} if type_ == "acmeOAuth2" else {"apiKey": KEY})
    return (await house.cases.credentials.create(house.person, type=type_, name=name, values=values)).credential.id


async def in_clear(house: House, id_: str) -> dict[str, object]:
    return (await house.cases.tokens.values(house.node, id_))[1]


# --- create and edit -------------------------------------------------------------------------------------------------


async def test_a_static_credential_is_stored_sealed_and_shown_masked():
    house = await make_house()
    view = await house.cases.credentials.create(house.person, type="acmeApi", name=" Mine ", values={"apiKey": KEY})
    assert (view.state, view.credential.name, view.credential.version) == (State.STORED, "Mine", 1)
    assert view.warnings == ()
    assert KEY not in repr(view)
    assert set(view.credential.masked) == {"apiKey"}
    assert await in_clear(house, view.credential.id) == {"apiKey": KEY}
    assert house.events(view.credential.id) == ["created"]


async def test_an_oauth_credential_starts_unconnected():
    house = await make_house()
    view = await house.cases.credentials.get(house.person, await stored(house, "acmeOAuth2"))
    assert (view.state, view.account, view.missing_scopes) == (State.UNCONNECTED, None, ())


async def test_a_key_that_begins_otherwise_is_stored_with_a_warning():
    house = await make_house()
    view = await house.cases.credentials.create(house.person, type="acmeApi", name="one", values={"apiKey": "sk-other"})
    assert len(view.warnings) == 1
    assert "sk-other" not in view.warnings[0]


@pytest.mark.parametrize("name", ["", "   ", "a" * 201, "a\x00b", "a\nb"])
async def test_a_name_that_cannot_be_shown_is_refused(name):
    house = await make_house()
    with pytest.raises(InvalidInput) as refused:
        await house.cases.credentials.create(house.person, type="acmeApi", name=name, values={"apiKey": KEY})
    assert set(refused.value.fields) == {"name"}


async def test_wrong_values_and_types_are_refused():
    house = await make_house()
    with pytest.raises(InvalidInput) as refused:
        await house.cases.credentials.create(house.person, type="acmeApi", name="one", values={})
    assert set(refused.value.fields) == {"apiKey"}
    with pytest.raises(UnknownType):
        await house.cases.credentials.create(house.person, type="nothing", name="one", values={})
    assert house.database.rows.credentials == {}


async def test_a_mask_sent_back_means_unchanged():
    house = await make_house()
    id_ = await stored(house, "acmeBasic", user="ada", password="a long and secret password")
    shown = (await house.cases.credentials.get(house.person, id_)).credential.masked
    view = await house.cases.credentials.edit(house.person, id_, values={**shown, "user": "bob"})
    assert view.credential.masked["password"] == shown["password"]
    assert await in_clear(house, id_) == {"user": "bob", "password": "a long and secret password"}
    assert house.events(id_) == ["created", "edited"]


async def test_what_is_not_sent_stays():
    house = await make_house()
    id_ = await stored(house)
    view = await house.cases.credentials.edit(house.person, id_, name="two")
    assert (view.credential.name, view.credential.version, view.credential.values_version) == ("two", 2, 1)
    assert await in_clear(house, id_) == {"apiKey": KEY}
    view = await house.cases.credentials.edit(house.person, id_, values={"apiKey": "ak-new"})
    assert (view.credential.name, view.credential.version, view.credential.values_version) == ("two", 3, 2)
    assert await in_clear(house, id_) == {"apiKey": "ak-new"}


async def test_an_edit_of_an_older_version_is_refused():
    house = await make_house()
    id_ = await stored(house)
    await house.cases.credentials.edit(house.person, id_, name="two", expected_version=1)
    with pytest.raises(VersionMismatch):
        await house.cases.credentials.edit(house.person, id_, name="three", expected_version=1)
    assert (await house.cases.credentials.get(house.person, id_)).credential.name == "two"


async def test_of_two_edits_side_by_side_one_is_refused():
    house = await make_house()
    id_ = await stored(house)
    get = house.database.credentials.get

    async def both_read_first(*place):
        found = await get(*place)
        await asyncio.sleep(0)
        return found

    house.database.credentials.get = both_read_first
    edits = [house.cases.credentials.edit(house.person, id_, name=name) for name in ("two", "three")]
    outcomes = await asyncio.gather(*edits, return_exceptions=True)
    assert sum(isinstance(outcome, VersionMismatch) for outcome in outcomes) == 1


async def test_values_that_cannot_be_opened_are_never_overwritten():
    house = await make_house()
    id_ = await stored(house)
    before = house.database.rows.credentials[house.owner.workspace_id, id_]
    house.envelope.broken = True
    with pytest.raises(Quarantined):
        await house.cases.credentials.edit(house.person, id_, values={"apiKey": "new"})
    assert house.database.rows.credentials[house.owner.workspace_id, id_] == before


# --- lists -------------------------------------------------------------------------------------------------------------


async def everything() -> tuple[House, dict[str, str]]:
    house = await make_house()
    ids = {
        "static": await stored(house, name="a static one"),
        "unconnected": await stored(house, "acmeOAuth2", name="b unconnected"),
        "connected": (await house.connect(name="c connected")).credential.id,
        "dead": (await house.connect(name="d dead")).credential.id,
    }
    grant = house.grant(ids["dead"])
    dead = replace(grant.standing, state=State.REAUTHORIZATION_REQUIRED)
    await house.database.grants.restand(grant, dead, None)
    return house, ids


async def listed(house: House, caller=None, **wanted: object) -> list[str]:
    page = await house.cases.credentials.list(caller or house.person, CredentialFilter(**wanted))
    return [view.credential.id for view in page.items]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["static", "unconnected", "connected", "dead"]),
        ({"state": "stored"}, ["static"]),
        ({"state": "unconnected"}, ["unconnected"]),
        ({"state": "connected"}, ["connected"]),
        ({"state": "reauthorization_required"}, ["dead"]),
        ({"state": "quarantined"}, []),
        ({"types": ("acmeOAuth2",)}, ["unconnected", "connected", "dead"]),
        ({"types": ("acmeOAuth2",), "state": "stored"}, []),
        ({"types": ("acmeApi",), "state": "stored"}, ["static"]),
        ({"types": ("acmeApi", "acmeOAuth2"), "state": "unconnected"}, ["unconnected"]),
        ({"query": "CONNECTED"}, ["unconnected", "connected"]),
        ({"query": "nothing"}, []),
    ],
)
async def test_what_a_list_holds(wanted, found):
    house, ids = await everything()
    assert await listed(house, **wanted) == [ids[name] for name in found]


async def test_a_list_opens_nothing():
    house, ids = await everything()
    house.envelope.broken = True
    page = await house.cases.credentials.list(house.person, CredentialFilter())
    assert len(page.items) == len(ids)
    assert {view.account for view in page.items} == {None}
    states = {view.credential.id: view.state for view in page.items}
    assert states[ids["static"]] is State.STORED
    assert states[ids["connected"]] is State.CONNECTED


async def test_a_list_goes_on_where_the_page_before_ended():
    house, ids = await everything()
    seen, cursor = [], ""
    for _ in range(4):
        page = await house.cases.credentials.list(house.person, CredentialFilter(limit=1, cursor=cursor))
        seen += [view.credential.id for view in page.items]
        cursor = page.next_cursor
    assert (seen, cursor) == (list(ids.values()), "")


async def test_a_state_that_does_not_exist_is_refused():
    house = await make_house()
    with pytest.raises(InvalidInput) as refused:
        await listed(house, state="lost")
    assert set(refused.value.fields) == {"state"}
    with pytest.raises(UnknownType):
        await listed(house, types=("nothing",))


async def test_a_limited_key_lists_only_its_own():
    house, ids = await everything()
    limited = house.caller(Scope.CREDENTIALS_READ, credential_ids=frozenset({ids["static"]}))
    assert await listed(house, limited) == [ids["static"]]
    assert await listed(house, limited, ids=frozenset(ids.values())) == [ids["static"]]


# --- who may ---------------------------------------------------------------------------------------------------------------


CALLS = {
    "get": (Scope.CREDENTIALS_READ, {}),
    "edit": (Scope.CREDENTIALS_WRITE, {"name": "x"}),
    "disconnect": (Scope.CREDENTIALS_WRITE, {}),
    "delete": (Scope.CREDENTIALS_WRITE, {"force": True}),
    "history": (Scope.CREDENTIALS_READ, {"limit": 5, "cursor": ""}),
    "references": (Scope.CREDENTIALS_READ, {}),
    "declare_reference": (Scope.CREDENTIALS_WRITE, {"consumer": "flow/1"}),
    "remove_reference": (Scope.CREDENTIALS_WRITE, {"consumer": "flow/1"}),
}


@pytest.mark.parametrize("name", CALLS)
async def test_every_use_case_keeps_to_its_workspace_scope_and_limit(name):
    house = await make_house()
    id_ = await stored(house)
    scope, named = CALLS[name]
    call = getattr(house.cases.credentials, name)
    for scopes in (set(Scope) - {scope, Scope.ADMIN}, set()):
        with pytest.raises(ScopeMissing):
            await call(replace(house.person, scopes=frozenset(scopes)), id_, **named)
    for stranger in (
        builders.caller(workspace_id="workspace-2"),
        house.caller(scope, credential_ids=frozenset({"another"})),
    ):
        with pytest.raises(NotFound):
            await call(stranger, id_, **named)
    assert await listed(house) == [id_]


async def test_a_limited_key_creates_nothing():
    house = await make_house()
    limited = house.caller(credential_ids=frozenset({"x"}))
    with pytest.raises(NotFound):
        await house.cases.credentials.create(limited, type="acmeApi", name="one", values={"apiKey": KEY})


# --- references and deleting ---------------------------------------------------------------------------------------------------


async def test_a_credential_in_use_is_deleted_only_by_force():
    house = await make_house()
    id_ = await stored(house)
    await house.cases.credentials.declare_reference(house.person, id_, "flow/7")
    with pytest.raises(InUse) as used:
        await house.cases.credentials.delete(house.person, id_, force=False)
    assert used.value.extra["references"] == ["flow/7"]
    assert await listed(house) == [id_]
    await house.cases.credentials.delete(house.person, id_, force=True)
    assert await listed(house) == []


async def test_a_reference_that_was_removed_does_not_count():
    house = await make_house()
    id_ = await stored(house)
    await house.cases.credentials.declare_reference(house.person, id_, "flow/7")
    await house.cases.credentials.remove_reference(house.person, id_, "flow/7")
    with pytest.raises(NotFound):
        await house.cases.credentials.remove_reference(house.person, id_, "flow/7")
    removal = await house.cases.credentials.delete(house.person, id_, force=False)
    assert removal.revoked is None
    with pytest.raises(NotFound):
        await house.cases.credentials.delete(house.person, id_, force=False)


async def ended(house: House, how: str, id_: str):
    if how == "delete":
        return await house.cases.credentials.delete(house.person, id_, force=False)
    return (await house.cases.credentials.disconnect(house.person, id_))[1]


@pytest.mark.parametrize("how", ["delete", "disconnect"])
async def test_ending_a_grant_revokes_it_and_says_so(how):
    house = await make_house()
    id_ = (await house.connect()).credential.id
    removal = await ended(house, how, id_)
    assert removal.revoked is True
    assert [token.reveal() for token in house.wire.revoked] == ["rt-1-1"]
    assert not house.server.consents.is_alive("at-1-1")
    assert house.database.rows.grants == {}


@pytest.mark.parametrize("how", ["delete", "disconnect"])
async def test_a_revocation_that_fails_is_told_and_stops_nothing(how):
    house = await make_house()
    id_ = (await house.connect()).credential.id
    house.server.clients.clear()
    removal = await ended(house, how, id_)
    assert removal.revoked is False
    assert "Acme" in removal.detail
    assert house.database.rows.grants == {}


@pytest.mark.parametrize("how", ["delete", "disconnect"])
async def test_a_provider_without_revocation_is_told(how):
    house = await make_house(provider={"revocation_endpoint": ""})
    id_ = (await house.connect()).credential.id
    removal = await ended(house, how, id_)
    assert removal.revoked is None
    assert "Acme" in removal.detail


@pytest.mark.parametrize("how", ["delete", "disconnect"])
@pytest.mark.parametrize("trouble", ["client", "envelope", "file"])
async def test_what_cannot_be_opened_can_still_be_forgotten(how, trouble):
    house = await make_house()
    id_ = (await house.connect()).credential.id
    if trouble == "client":
        await house.cases.clients.delete(house.person, "acme")
    elif trouble == "envelope":
        house.envelope.broken = True
    else:
        house.catalog.held.clear()
        house.catalog.known.clear()
    assert (await ended(house, how, id_)).revoked is False
    assert house.wire.revoked == []
    assert house.database.rows.grants == {}


async def test_disconnecting_keeps_the_credential():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    view, _ = await house.cases.credentials.disconnect(house.person, id_)
    assert (view.state, view.credential.grant) == (State.UNCONNECTED, None)
    assert house.events(id_)[-2:] == ["disconnected", "surplus_revoked"]
    _, removal = await house.cases.credentials.disconnect(house.person, id_)
    assert removal.revoked is None
    assert house.events(id_).count("disconnected") == 1


async def test_a_credential_whose_type_is_gone_is_still_shown():
    house = await make_house()
    id_ = await stored(house)
    house.catalog.known.clear()
    view = await house.cases.credentials.get(house.person, id_)
    assert (view.type.name, view.provider.name) == ("acmeApi", "Unknown provider")
    assert await listed(house) == [id_]


async def test_history_is_newest_first_and_holds_no_secret():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    await house.next_try(id_)
    page = await house.cases.credentials.history(house.person, id_, limit=2, cursor="")
    assert [event.kind for event in page.items] == ["refreshed", "connected"]
    rest = await house.cases.credentials.history(house.person, id_, limit=2, cursor=page.next_cursor)
    assert [event.kind for event in rest.items] == ["created"]


# --- the test button --------------------------------------------------------------------------------------------------------------


async def test_a_working_oauth_credential():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    verdict = await house.cases.verification.test(house.person, id_)
    assert (verdict.ok, verdict.problem, verdict.account) == (True, "", Account(id="acc-1", name="Ada Lovelace"))
    assert verdict.checked_at == house.clock.now()
    assert house.events(id_)[-1] == "tested"


async def test_a_test_refreshes_first_where_that_is_needed():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    house.expire()
    assert (await house.cases.verification.test(house.person, id_)).ok
    assert len(house.server.refreshes()) == 1


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (builders.answer(status=200), ""),
        (builders.answer(status=401), "wrong_credential"),
        (builders.answer(status=403), "missing_permission"),
        (builders.answer(status=402), "missing_permission"),
        (builders.answer(status=404), "wrong_credential"),
        (builders.answer(status=429), "rate_limited"),
        (builders.answer(status=500), "unreachable"),
        (builders.answer(status=302), "unreachable"),
        (builders.answer(status=0, fault="lost"), "unreachable"),
        (builders.answer(status=0, fault="refused"), "outbound_refused"),
    ],
)
async def test_what_a_services_answer_says_about_a_credential(answer, problem):
    house = await make_house()
    id_ = await stored(house)
    house.wire.instead = [answer]
    verdict = await house.cases.verification.test(house.person, id_)
    assert (verdict.ok, verdict.problem) == (not problem, problem)
    assert bool(verdict.detail) is bool(problem)
    (_, headers, _), *_ = house.wire.calls
    assert headers == {"X-Api-Key": KEY}


async def test_the_call_carries_the_credential_wherever_it_belongs():
    house = await make_house()
    type_ = house.catalog.known["acmeApi"]
    rule = Injection(query={"v": "{apiKey}"}, body={"key": "{apiKey}"}, path="/bot{apiKey}")
    call = Call(method="POST", url="https://provider.test/userinfo", body='{"a": 1}')
    house.catalog.known["acmeApi"] = replace(type_, injection=rule, test=call)
    id_ = await stored(house)
    house.wire.instead = [builders.answer(status=200)]
    assert (await house.cases.verification.test(house.person, id_)).ok
    ((sent, headers, query),) = house.wire.calls
    assert (sent.url, headers, query) == (f"https://provider.test/bot{KEY}/userinfo", {}, {"v": KEY})
    assert json.loads(sent.body) == {"a": 1, "key": KEY}
    assert KEY not in repr(sent)
    assert KEY not in repr(house.journal.records)


async def test_a_member_that_must_be_true():
    house = await make_house()
    type_ = house.catalog.known["acmeApi"]
    house.catalog.known["acmeApi"] = replace(type_, test=replace(type_.test, ok="ok", account_name=("who.name",)))
    id_ = await stored(house)
    house.wire.instead = [
        builders.answer('{"ok": false, "error": "MARK"}'),
        builders.answer('{"ok": true, "who": {"name": "Ada\\n"}}'),
        builders.answer("no json"),
    ]
    verdicts = [await house.cases.verification.test(house.person, id_) for _ in range(3)]
    assert [verdict.problem for verdict in verdicts] == ["wrong_credential", "", "wrong_credential"]
    assert verdicts[1].account == Account(name="Ada"), "what a service sends is shown without control characters"
    assert "MARK" not in repr(verdicts)


async def test_a_dead_grant_fails_its_test_in_words():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    house.server.revoke_all()
    house.expire()
    verdict = await house.cases.verification.test(house.person, id_)
    assert (verdict.ok, verdict.problem) == (False, "reauthorization_required")


async def test_what_offers_no_call_cannot_be_tested():
    house = await make_house()
    id_ = await stored(house, "acmeQuery")
    with pytest.raises(NotTestable):
        await house.cases.verification.test(house.person, id_)


async def test_a_test_keeps_to_workspace_scope_and_limit():
    house = await make_house()
    id_ = await stored(house)
    with pytest.raises(ScopeMissing):
        await house.cases.verification.test(house.node, id_)
    with pytest.raises(NotFound):
        await house.cases.verification.test(builders.caller(workspace_id="workspace-2"), id_)
    with pytest.raises(NotFound):
        await house.cases.verification.test(house.caller(credential_ids=frozenset({"x"})), id_)
    assert house.wire.calls == []
