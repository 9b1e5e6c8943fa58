"""Connect sessions: what may be asked for, and where a browser may be sent back to."""

from __future__ import annotations

import pytest

from tests.kit import builders
from tests.kit.house import APP, make_house
from tokenkeep.assembly import Place
from tokenkeep.core.errors import InvalidInput, NotFound, ScopeMissing, UnknownType
from tokenkeep.core.model import SessionState
from tokenkeep.core.permissions import Scope

GOOD_RETURNS = [
    "https://app.example",
    "https://app.example/",
    "https://app.example/back?a=b#c",
    "https://app.example:443/back",
    "https://APP.example/back",
    "https://keep.test/credentials",
    "https://app.example/ü",
]
HOSTILE_RETURNS = [
    "http://app.example/",
    "https://app.example:8443/",
    "https://app.example:80/",
    "https://app.example.evil.test/",
    "https://evil.test/app.example",
    "https://evil.test/https://app.example",
    "https://evil.test?https://app.example",
    "https://evil.test#https://app.example",
    "https://app.example@evil.test/",
    "https://app.example:x@evil.test/",
    "https://user@app.example/",
    "https://user:password@app.example/",
    "https://@app.example/",
    "https://app.example\\@evil.test/",
    "https://app.example\\.evil.test/",
    "https://evil.test\\app.example/",
    "https:\\\\app.example/",
    "\\\\app.example/",
    "//app.example/",
    "///app.example/",
    "https:/app.example/",
    "https:app.example/",
    "https:///app.example/",
    "https://",
    "https://:443/",
    "/back",
    "back",
    "?back",
    "app.example",
    "app.example/back",
    "javascript:alert(1)",
    "javascript://app.example/%0aalert(1)",
    "data:text/html,app.example",
    "ftp://app.example/",
    "file://app.example/",
    "blob:https://app.example/x",
    "view-source:https://app.example/",
    "https://app.example\t/",
    "https://app\t.example/",
    "\thttps://app.example/",
    "https://app.example/\nback",
    "https://app.example/\r\nSet-Cookie: a=b",
    " https://app.example/",
    "https://app.example /",
    "https://app.example/a b",
    "https://app.example/\x00",
    "https://app.example\x00.evil.test/",
    "https://app.example%00.evil.test/",
    "https://app.example%2f@evil.test/",
    "https://app%2eexample/",
    "https://app.example./",
    "https://app\u3002example/",
    "https://app.ex\u0430mple/",
    "https://\uff41pp.example/",
    "https://app.example:\u0664\u0664\u0663/",
    "https://app.example:99999/",
    "https://app.example:-443/",
    "https://app.example:443x/",
    "https://[app.example]/",
    "https://[::1/",
    "https://.app.example/",
    "https://*.example/",
    "https://localhost/",
    "http://127.0.0.1:3000/",
]
HOSTILE_ORIGINS = [
    "https://app.example/",
    "https://app.example/back",
    "https://app.example?",
    "https://app.example#",
    "https://APP.example",
    "https://app.example:443",
    "HTTPS://app.example",
    "https://app.example\n",
    "https://app.example\\",
    "https://app.example@evil.test",
    "https://user@app.example",
    "http://app.example",
    "https://evil.test",
    "*",
    "null",
    "https://*",
    "//app.example",
    "app.example",
    "http://localhost:3000",
]


@pytest.mark.parametrize("address", GOOD_RETURNS)
async def test_where_a_browser_may_be_sent_back_to(address):
    house = await make_house()
    session, _ = await house.cases.connect_sessions.create(house.person, type="acmeOAuth2", return_url=address)
    assert session.return_url == address


@pytest.mark.parametrize("address", HOSTILE_RETURNS)
async def test_where_no_browser_is_sent_back_to(address):
    house = await make_house()
    with pytest.raises(InvalidInput) as refused:
        await house.cases.connect_sessions.create(house.person, type="acmeOAuth2", return_url=address)
    assert set(refused.value.fields) == {"return_url"}


def test_there_are_enough_hostile_addresses():
    assert len(HOSTILE_RETURNS) + len(HOSTILE_ORIGINS) >= 60


@pytest.mark.parametrize("origin", [APP, "https://keep.test"])
async def test_which_opener_gets_a_message(origin):
    house = await make_house()
    session, _ = await house.cases.connect_sessions.create(house.person, type="acmeOAuth2", opener_origin=origin)
    assert session.opener_origin == origin


@pytest.mark.parametrize("origin", HOSTILE_ORIGINS)
async def test_which_opener_gets_none(origin):
    house = await make_house()
    with pytest.raises(InvalidInput) as refused:
        await house.cases.connect_sessions.create(house.person, type="acmeOAuth2", opener_origin=origin)
    assert set(refused.value.fields) == {"opener_origin"}


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("http://localhost:3000/back", True),
        ("http://127.0.0.1:3000/back", True),
        ("http://[::1]:3000/back", True),
        ("http://localhost.evil.test/", False),
        ("http://127.0.0.1.evil.test/", False),
        ("http://localhost:3000@evil.test/", False),
        ("http://localhost\\@evil.test/", False),
        ("http://127.0.0.2/", False),
        ("http://0.0.0.0/", False),
        ("http://[::ffff:127.0.0.1]/", False),
    ],
)
async def test_a_demo_may_send_back_to_this_machine(address, good):
    house = await make_house(place=Place(public_url="http://127.0.0.1:8420", allow_loopback_return=True))
    try:
        await house.cases.connect_sessions.create(house.person, type="acmeOAuth2", return_url=address)
    except InvalidInput:
        assert not good
    else:
        assert good


# --- what may be asked for ------------------------------------------------------------------------------------------


async def test_a_session_begins_pending_and_its_link_holds_what_is_not_stored():
    house = await make_house()
    session, url = await house.cases.connect_sessions.create(house.person, type="acmeOAuth2", name=" Mine ")
    assert url.startswith("https://keep.test/connect/")
    assert url.rpartition("/")[2] not in str(session)
    assert (session.state, session.name, session.minted_by) == (SessionState.PENDING, "Mine", house.person.actor)
    assert await house.cases.connect_sessions.get(house.person, session.id) == session


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "type"),
        ({"type": "acmeApi"}, "type"),
        ({"type": "acmeOAuth2", "name": "\x00"}, "name"),
        ({"type": "acmeOAuth2", "scopes": ("a b",)}, "scopes"),
        ({"type": "acmeOAuth2", "scopes": ("",)}, "scopes"),
        ({"type": "acmeOAuth2", "scopes": ("ü",)}, "scopes"),
        ({"type": "acmeOAuth2", "scopes": ("a\n",)}, "scopes"),
        ({"type": "acmeOAuth2", "values": {"unknown": 1}}, "unknown"),
    ],
)
async def test_what_is_refused(asked, field):
    house = await make_house()
    with pytest.raises(InvalidInput) as refused:
        await house.cases.connect_sessions.create(house.person, **asked)
    assert field in refused.value.fields


async def test_an_unknown_type_is_refused():
    house = await make_house()
    with pytest.raises(UnknownType):
        await house.cases.connect_sessions.create(house.person, type="nothing")


async def test_a_field_that_is_needed_is_missed_before_the_consent():
    house = await make_house(
        types=[builders.credential_type(name="acmeTeam", fields=(builders.field(name="team", label="Team"),))]
    )
    with pytest.raises(InvalidInput) as refused:
        await house.cases.connect_sessions.create(house.person, type="acmeTeam")
    assert "team" in refused.value.fields


async def test_reconnecting_needs_a_credential_of_that_type_in_this_workspace():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    create = house.cases.connect_sessions.create
    session, _ = await create(house.person, credential_id=id_)
    assert (session.type, session.credential_id) == ("acmeOAuth2", id_)
    with pytest.raises(InvalidInput):
        await create(house.person, credential_id=id_, type="acmeApi")
    with pytest.raises(InvalidInput):
        await create(house.person, credential_id=id_, values={"a": 1})
    with pytest.raises(NotFound):
        await create(builders.caller(workspace_id="workspace-2"), credential_id=id_)
    with pytest.raises(NotFound):
        await create(house.person, credential_id="nothing")


async def test_a_key_for_named_credentials_reconnects_only_those():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    limited = house.caller(Scope.CONNECT, credential_ids=frozenset({id_}))
    session, _ = await house.cases.connect_sessions.create(limited, credential_id=id_)
    other, _ = await house.cases.connect_sessions.create(house.person, type="acmeOAuth2")
    assert (await house.cases.connect_sessions.get(limited, session.id)).id == session.id
    with pytest.raises(NotFound):
        await house.cases.connect_sessions.create(limited, type="acmeOAuth2")
    with pytest.raises(NotFound):
        await house.cases.connect_sessions.get(limited, other.id)


async def test_sessions_are_seen_in_their_workspace_by_who_may_connect():
    house = await make_house()
    session_id, _ = await house.invite()
    with pytest.raises(NotFound):
        await house.cases.connect_sessions.get(builders.caller(workspace_id="workspace-2"), session_id)
    with pytest.raises(ScopeMissing):
        await house.cases.connect_sessions.get(house.caller(Scope.CREDENTIALS_READ), session_id)
    with pytest.raises(ScopeMissing):
        await house.cases.connect_sessions.create(house.caller(Scope.CREDENTIALS_READ), type="acmeOAuth2")
