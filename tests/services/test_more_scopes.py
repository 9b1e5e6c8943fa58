"""Asking for more later: the credential stays, nothing is lost on the way, and what differs is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kit import builders
from tests.kit.house import House, make_house
from tokenkeep.core.errors import ConsentDenied, InvalidInput, NotFound, ProviderRefused
from tokenkeep.core.model import SessionState
from tokenkeep.core.permissions import Scope
from tokenkeep.services.invitation import Outcome
from tokenkeep.services.ports import CredentialFilter

EMAIL = "https://www.googleapis.com/auth/userinfo.email"


async def more(house: House, id_: str, *scopes: str, granted: str | None = None, **asked: object) -> Outcome:
    """The owner asks for more. `granted`: by the provider, in place of what was asked for."""
    _, secret = await house.invite(credential_id=id_, more_scopes=scopes, **asked)
    begun = await house.cases.connect.begin(secret, user=house.owner, popup=False)
    house.server.switches.scope = granted
    return await house.finish(begun, user=house.owner)


async def scope_told(house: House, id_: str) -> tuple[str, ...]:
    return (await house.cases.tokens.token(house.node, id_)).facts.scope


def last_detail(house: House, id_: str) -> dict[str, object]:
    events = [event for event in house.database.rows.events if event.credential_id == id_]
    return dict(events[-1].detail)


async def client_asks_for(house: House, *scopes: str) -> None:
    await house.cases.clients.put(house.person, "acme", client_id="client-1", client_secret=None, scopes=scopes)


# --- more is asked for and granted ----------------------------------------------------------------------------------


async def test_the_credential_stays_and_its_tokens_can_do_more():
    house = await make_house()
    before = (await house.connect(name="Mine")).credential
    await house.cases.credentials.declare_reference(house.person, before.id, "flow/42")
    outcome = await more(house, before.id, "files")
    assert (outcome.credential_id, outcome.missing_scopes, outcome.lost_scopes) == (before.id, (), ())
    view = await house.cases.credentials.get(house.person, before.id)
    assert (view.credential.id, view.credential.name, view.missing_scopes) == (before.id, "Mine", ())
    assert house.grant(before.id).scopes_requested == ("read", "write", "files")
    assert await scope_told(house, before.id) == ("read", "write", "files")
    assert [each.consumer for each in await house.cases.credentials.references(house.person, before.id)] == ["flow/42"]
    assert house.events(before.id) == ["created", "connected", "reconnected"]
    assert last_detail(house, before.id) == {"scopes_added": ["files"]}


async def test_a_program_asks_for_more_and_confirms():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    program = house.caller(Scope.CONNECT)
    session_id, secret = await house.invite(program, credential_id=id_, more_scopes=["files"])
    begun = await house.cases.connect.begin(secret, user=None, popup=False)
    outcome = await house.finish(begun, user=None)
    assert await scope_told(house, id_) == ("read", "write"), "a consent that is not confirmed changes nothing"
    await house.cases.connect.confirm(program, session_id, outcome.code)
    assert await scope_told(house, id_) == ("read", "write", "files")
    assert last_detail(house, id_) == {"scopes_added": ["files"]}


@pytest.mark.parametrize(
    ("requested", "granted", "further", "asked"),
    [
        (("read",), ("read",), ("files",), ("read", "files")),
        (("read", "write"), ("read",), ("files",), ("read", "files")),  # what was declined is not asked for by the way
        (("read", "write"), ("read",), ("write",), ("read", "write")),
        (("read",), None, ("files",), ("read", "files")),
        (("offline_access", "Mail.Read"), ("Mail.Read",), ("Mail.Send",), ("offline_access", "Mail.Read", "Mail.Send")),
        (("email",), (EMAIL,), ("files",), ("email", "files")),
        (("read",), ("read", "extra"), ("files",), ("read", "extra", "files")),
        (("read",), ("read",), ("read", "read"), ("read",)),
    ],
)
async def test_what_is_asked_for_is_what_it_has_and_what_is_new(requested, granted, further, asked):
    house = await make_house()
    id_ = (await house.connect()).credential.id
    key = house.owner.workspace_id, id_
    house.database.rows.grants[key] = replace(house.grant(id_), scopes_requested=requested, scopes_granted=granted)
    _, secret = await house.invite(credential_id=id_, more_scopes=further)
    seen = await house.cases.connect.open(secret)
    assert seen.scopes == asked
    assert set(seen.further_scopes) == set(asked) - set(granted or requested) - {"offline_access", "email"}
    begun = await house.cases.connect.begin(secret, user=house.owner, popup=False)
    await house.finish(begun, user=house.owner)
    assert house.grant(id_).scopes_requested == asked


async def test_reconnecting_keeps_what_was_added_and_takes_up_what_is_usual_today():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    await more(house, id_, "files")
    await client_asks_for(house, "read", "mail")
    _, secret = await house.invite(credential_id=id_)
    seen = await house.cases.connect.open(secret)
    assert seen.scopes == ("read", "write", "files", "mail")
    assert seen.further_scopes == ("mail",)


async def test_scopes_named_exactly_take_the_place_of_what_it_has():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    _, secret = await house.invite(credential_id=id_, scopes=["read"])
    begun = await house.cases.connect.begin(secret, user=house.owner, popup=False)
    outcome = await house.finish(begun, user=house.owner)
    assert (outcome.missing_scopes, outcome.lost_scopes) == ((), ("write",))
    assert last_detail(house, id_) == {"scopes_removed": ["write"]}


# --- it does not come to it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "raised"),
    [
        ({"error": "access_denied"}, ConsentDenied),
        ({"error": "invalid_scope"}, ProviderRefused),
        ({"error": "server_error"}, ProviderRefused),
        ({"code": "no such code"}, ProviderRefused),
    ],
)
async def test_who_declines_or_fails_loses_nothing(query, raised):
    house = await make_house()
    id_ = (await house.connect()).credential.id
    before, history = house.grant(id_), house.events(id_)
    session_id, secret = await house.invite(credential_id=id_, more_scopes=["files"])
    begun = await house.cases.connect.begin(secret, user=house.owner, popup=False)
    back = {**await house.browse(begun)}
    back.pop("code")
    with pytest.raises(raised):
        await house.finish(begun, {**back, **query}, user=house.owner)
    assert house.grant(id_) == before
    assert house.events(id_) == history
    await house.refresh_now(id_)
    assert await scope_told(house, id_) == ("read", "write")
    session = await house.cases.connect_sessions.get(house.person, session_id)
    assert (session.state, session.credential_id) == (SessionState.FAILED, id_)


async def test_less_than_before_is_taken_over_and_told():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    outcome = await more(house, id_, "files", granted="read files")
    assert outcome.lost_scopes == outcome.missing_scopes == ("write",)
    view = await house.cases.credentials.get(house.person, id_)
    assert (view.missing_scopes, view.extra_scopes, view.unasked_scopes) == (("write",), (), ())
    assert await scope_told(house, id_) == ("read", "files")
    assert last_detail(house, id_) == {"scopes_added": ["files"], "scopes_removed": ["write"]}


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"more_scopes": ["files"], "scopes": ["read"]}, "not both"),
        ({"more_scopes": ["a b"]}, "`a b` is not"),
        ({"more_scopes": ["files", "ü"]}, "visible ASCII"),
        ({"more_scopes": [f"scope-{number}" for number in range(300)]}, "At most"),
        ({"more_scopes": ["files"], "credential_id": "", "type": "acmeOAuth2"}, "Only with `credential_id`"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused_with_a_way_out(asked, said):
    house = await make_house()
    id_ = (await house.connect()).credential.id
    with pytest.raises(InvalidInput) as refused:
        await house.invite(**{"credential_id": id_, **asked})
    assert said in refused.value.fields["more_scopes"]


async def test_what_is_not_connected_has_nothing_to_add_to():
    house = await make_house()
    view = await house.cases.credentials.create(house.person, type="acmeOAuth2", name="Mine", values={})
    with pytest.raises(InvalidInput) as refused:
        await house.invite(credential_id=view.credential.id, more_scopes=["files"])
    assert "not connected" in refused.value.fields["more_scopes"]


@pytest.mark.parametrize("field", ["scopes", "more_scopes"])
async def test_a_provider_without_scopes_is_asked_for_none(field):
    house = await make_house(provider={"quirks": frozenset({"no_scopes"})})
    id_ = (await house.connect()).credential.id
    with pytest.raises(InvalidInput) as refused:
        await house.invite(credential_id=id_, **{field: ["files"]})
    assert refused.value.fields == {field: "Acme has no scopes; leave this out."}


async def test_nobody_asks_for_more_of_what_is_out_of_reach():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    strangers = [
        builders.caller(workspace_id="workspace-2"),
        house.caller(Scope.CONNECT, credential_ids=frozenset({"another"})),
    ]
    for stranger in strangers:
        with pytest.raises(NotFound):
            await house.invite(stranger, credential_id=id_, more_scopes=["files"])


# --- drift -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answered", "changed"),
    [
        ("read write", {}),
        ("write read", {}),
        ("read", {"scopes_removed": ["write"]}),
        ("read write files", {"scopes_added": ["files"]}),
        ("", {}),  # says nothing: as before
    ],
)
async def test_a_refresh_that_is_answered_with_other_scopes_says_so_in_history(answered, changed):
    house = await make_house()
    id_ = (await house.connect()).credential.id
    for family in house.server.consents:
        family.scope = answered
    await house.refresh_now(id_)
    assert house.events(id_)[-1] == "refreshed"
    detail = last_detail(house, id_)
    detail.pop("duration_ms")
    assert detail == changed
    await house.refresh_now(id_)
    assert set(last_detail(house, id_)) == {"duration_ms"}, "once is enough"
    view = await house.cases.credentials.get(house.person, id_)
    assert view.missing_scopes == tuple(changed.get("scopes_removed", ()))
    assert view.extra_scopes == tuple(changed.get("scopes_added", ()))


async def test_what_the_client_asks_for_today_is_unasked_until_it_is_asked_for():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    await client_asks_for(house, "read", "mail")
    view = await house.cases.credentials.get(house.person, id_)
    assert (view.missing_scopes, view.unasked_scopes) == ((), ("mail",))
    listed = await house.cases.credentials.list(house.person, CredentialFilter())
    assert [each.unasked_scopes for each in listed.items] == [("mail",)]
    await more(house, id_, *view.unasked_scopes)
    assert (await house.cases.credentials.get(house.person, id_)).unasked_scopes == ()
    assert house.grant(id_).scopes_requested == ("read", "write", "mail")
