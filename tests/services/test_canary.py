"""One walk through the whole house with marked secrets: no mark may appear where anybody looks."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.kit import builders
from tests.kit.house import House, make_house
from tokenkeep.core.errors import TokenkeepError
from tokenkeep.core.permissions import Scope
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import CredentialFilter

FIXED = [
    "mark-password-of-ada",
    "ak-mark-api-key-0123456789",
    "mark-database-password",
    "mark-client-secret",
    "mark-in-a-body",
    "mark-in-an-error",
    "mark-in-the-wrong-field",
    "mark-code",
    "mark-account-token",
]


class Walk:
    """Remembers everything that anybody was shown, and every secret there was."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.shown: list[str] = []
        self.marks = list(FIXED)
        draw = house.entropy.token

        def token(octets: int = 32) -> str:
            drawn = draw(octets)
            self.marks.append(drawn)
            return drawn

        house.entropy.token = token

    async def see(self, awaited):
        """What came of it, remembered as its `repr` and, where it is an error, as all that is told of it."""
        try:
            found = await awaited
        except TokenkeepError as error:
            self.shown.append(f"{error!r} {error} {error.fix} {error.extra} {getattr(error, 'session', '')!r}")
            return None
        self.shown.append(repr(found))
        return found

    def secrets(self) -> set[str]:
        """Every mark there is."""
        families = list(self.house.server.consents)
        tokens = {
            token for family in families for token in (*family.access_tokens, family.refresh_token, *family.spent)
        }
        return {mark for mark in {*self.marks, *tokens} if mark}


async def the_walk() -> Walk:
    house = await make_house(registered=False)
    walk = Walk(house)
    await people(walk)
    await clients(walk)
    await static(walk)
    await connecting(walk)
    await refreshing(walk)
    await watching(walk)
    return walk


async def people(walk: Walk) -> None:
    house, accounts = walk.house, walk.house.cases.accounts
    link = await accounts.mint_link()
    walk.shown.append(repr(link))
    password = Secret("mark-password-of-ada")
    await walk.see(accounts.redeem(link.reveal(), email="", name="", password=Secret("mark"), browser="x"))
    await walk.see(accounts.redeem(link.reveal(), email="", name="", password=password, browser="x"))
    await walk.see(accounts.redeem(link.reveal(), email="", name="", password=password, browser="x"))
    for attempt in ("mark-password-of-ada", "mark-in-the-wrong-field"):
        await walk.see(accounts.sign_in(email="ada@example.org", password=Secret(attempt), address="a", browser="x"))
    await walk.see(accounts.authenticate("mark-in-the-wrong-field"))
    await walk.see(accounts.sessions(house.owner))
    key = await walk.see(house.cases.service_keys.create(house.person, name="n", scopes=["tokens:read"]))
    walk.marks.append(key[1].reveal())
    await walk.see(house.cases.service_keys.authenticate(key[1].reveal()))
    await walk.see(house.cases.service_keys.authenticate(key[1].reveal()[:-1] + "!"))
    await walk.see(house.cases.service_keys.revoke(house.person, key[0].id))
    await walk.see(house.cases.service_keys.authenticate(key[1].reveal()))
    await walk.see(house.cases.service_keys.list(house.person))


async def clients(walk: Walk) -> None:
    house, secret = walk.house, "mark-client-secret"
    house.server.clients["client-1"] = secret
    await walk.see(
        house.cases.clients.put(
            house.person, "acme", client_id="client-1", client_secret=Secret(secret), scopes=["a b"]
        )
    )
    await house.register(secret)
    await walk.see(house.cases.clients.get(house.person, "acme"))
    await walk.see(house.cases.clients.list(house.person))
    await walk.see(house.cases.clients.for_provider(house.owner.workspace_id, "acme"))


async def static(walk: Walk) -> None:
    house, keep = walk.house, walk.house.cases.credentials
    api = await walk.see(
        keep.create(house.person, type="acmeApi", name="a", values={"apiKey": "ak-mark-api-key-0123456789"})
    )
    values = {"user": "ada", "password": "mark-database-password"}
    database = await walk.see(keep.create(house.person, type="acmeDatabase", name="d", values=values))
    wrong = {"apikey": "mark-in-the-wrong-field", "a mark-in-the-wrong-field": 1, "apiKey": ["mark-in-the-wrong-field"]}
    await walk.see(keep.create(house.person, type="acmeApi", name="a", values=wrong))
    await walk.see(keep.create(house.person, type="acmeApi", name="a", values={"apiKey": "mark-in-the-wrong-field"}))
    id_ = api.credential.id
    await walk.see(keep.edit(house.person, id_, values=dict(api.credential.masked)))
    await walk.see(keep.edit(house.person, id_, values=wrong))
    house.wire.instead = [builders.answer('{"error": "mark-in-a-body"}', status=401)]
    await walk.see(house.cases.verification.test(house.person, id_))
    await walk.see(house.cases.tokens.authorization(house.node, id_))
    await walk.see(house.cases.tokens.token(house.node, id_))
    await walk.see(house.cases.tokens.authorization(house.node, database.credential.id))
    await walk.see(keep.get(house.person, id_))
    await walk.see(keep.delete(house.person, database.credential.id, force=False))


async def connecting(walk: Walk) -> None:
    house, connect = walk.house, walk.house.cases.connect
    for caller, user in ((house.person, house.owner), (house.caller(Scope.CONNECT), None)):
        session, url = await house.cases.connect_sessions.create(caller, type="acmeOAuth2")
        walk.shown.append(repr(session))
        secret = url.rpartition("/")[2]
        await walk.see(connect.open(secret))
        for change in (
            {"error": "mark-in-an-error", "error_description": "mark-in-a-body"},
            {"iss": "mark-in-an-error"},
        ):
            begun = await connect.begin(secret, user=user, popup=False)
            await walk.see(house.finish(begun, await house.browse(begun) | change, user=user))
        for body in ('{"error": "mark-in-a-body"}', "mark-in-a-body", '{"error": "invalid_grant"}'):
            begun = await connect.begin(secret, user=user, popup=False)
            query = await house.browse(begun) | {"code": "mark-code"}
            house.wire.instead = [builders.answer(body, status=400)]
            await walk.see(house.finish(begun, query, user=user))
        begun = await connect.begin(secret, user=user, popup=False)
        outcome = await house.finish(begun, user=user)
        walk.shown += [repr(outcome.session), repr(outcome.account)]
        walk.marks.append(outcome.code)
        await walk.see(connect.confirm(caller, session.id, "mark-code"))
        await walk.see(connect.confirm(caller, session.id, outcome.code))


async def refreshing(walk: Walk) -> None:
    house = walk.house
    ids = await house.connect_many(4)
    token = await walk.see(house.cases.tokens.token(house.node, ids[0]))
    await walk.see(house.cases.tokens.authorization(house.node, ids[0]))
    house.clock.advance(60)
    await walk.see(house.cases.tokens.refresh(house.node, ids[0], rejected=token.facts.fingerprint))
    house.expire()
    for body, status in (
        ('{"error": "mark-in-a-body", "error_description": "mark-in-a-body"}', 400),
        ("mark-in-a-body", 502),
        ('{"access_token": ["mark-account-token"]}', 200),
        ('{"error": "invalid_client", "error_uri": "mark-in-a-body"}', 401),
    ):
        house.wire.instead = [builders.answer(body, status=status)]
        with suppress(TokenkeepError):
            await house.refresh_now(ids[1])
        await walk.see(house.cases.tokens.token(house.node, ids[1]))
        house.clock.advance(1000)
    await broken_database(walk, ids[2])
    house.database.rows.grants[house.owner.workspace_id, ids[3]] = replace(house.grant(ids[3]), sealed=b"spoiled")
    await house.sweep()
    await walk.see(house.cases.tokens.token(house.node, ids[3]))
    await walk.see(house.cases.credentials.disconnect(house.person, ids[3]))
    house.server.revoke_all()
    await house.refresh_now(ids[0])
    await walk.see(house.cases.tokens.token(house.node, ids[0]))
    await walk.see(house.cases.credentials.delete(house.person, ids[0], force=True))


async def broken_database(walk: Walk, id_: str) -> None:
    """Errors of a database may quote what was to be written."""
    house = walk.house
    store, failed = house.database.grants.store, []

    async def quoting(lease, grant, event):
        if not failed:
            failed.append(1)
            raise ConnectionError("INSERT … mark-in-an-error")
        return await store(lease, grant, event)

    house.database.grants.store = quoting
    await house.refresh_now(id_)
    assert failed

    async def never(*_, **__):
        raise ConnectionError("UPDATE … mark-in-an-error")

    claim, house.database.grants.claim = house.database.grants.claim, never
    house.expire()
    await walk.see(house.cases.tokens.token(house.node, id_))
    house.database.grants.claim = claim


async def watching(walk: Walk) -> None:
    house = walk.house
    await walk.see(house.cases.status.overview(house.person))
    await walk.see(house.cases.status.ready())
    page = await walk.see(house.cases.credentials.list(house.person, CredentialFilter()))
    for view in page.items:
        await walk.see(house.cases.credentials.get(house.person, view.credential.id))
        await walk.see(house.cases.credentials.history(house.person, view.credential.id, limit=50, cursor=""))
    walk.shown += [repr(record) for record in house.journal.records]
    walk.shown += [repr(event) for event in house.database.rows.events]


async def test_no_marked_secret_is_ever_shown(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, logger="tokenkeep")
    walk = await the_walk()
    shown = [*walk.shown, *(record.getMessage() for record in caplog.records if record.name.startswith("tokenkeep"))]
    told = {mark: text[:300] for mark in walk.secrets() for text in shown if mark in text}
    assert not told
    assert len(walk.secrets()) > 70
    assert len(walk.shown) > 100
    assert any("refreshed" in text for text in walk.shown)
