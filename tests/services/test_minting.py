"""Credentials whose tokens we obtain ourselves: the one refresher, without a person."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kit import builders
from tests.kit.house import House, make_house
from tokenkeep.core.errors import NotConnected, ReauthorizationRequired, RefreshFailing
from tokenkeep.core.model import FieldKind, Injection, Mint, State
from tokenkeep.core.policy import PROBE_S
from tokenkeep.core.secret import Secret

SECRET = {"clientId": "robot", "clientSecret": "s3cret-of-robot"}
MINT = Mint(
    url="https://issuer.test/token",
    client_auth="client_secret_basic",
    client_id="{clientId}",
    client_secret="{clientSecret}",
    params={"grant_type": "client_credentials", "scope": "{scope}"},
)
TYPE = builders.static_type(
    name="acmeRobot",
    label="Acme robot",
    fields=(
        builders.field(name="clientId", label="Client ID"),
        builders.field(name="clientSecret", label="Client secret", kind=FieldKind.SECRET, secret=True),
        builders.field(name="scope", label="Scopes", required=False),
    ),
    mint=MINT,
    injection=Injection(headers={"Authorization": "Bearer {access_token}", "Client-Id": "{clientId}"}),
)
REFUSED = (401, {"error": "invalid_client"})
NOT_OAUTH = (403, {"message": "wrong key"})


async def minting(**changes: object) -> House:
    return await make_house(types=[replace(TYPE, mint=replace(MINT, **changes))])  # type: ignore[arg-type]


async def made(house: House, **values: str) -> str:
    view = await house.cases.credentials.create(house.person, type="acmeRobot", name="Robot", values=SECRET | values)
    return view.credential.id


async def token(house: House, id_: str) -> str:
    return (await house.cases.tokens.token(house.node, id_)).access_token.reveal()


async def test_it_is_connected_as_soon_as_it_is_saved() -> None:
    house = await minting()
    view = await house.cases.credentials.create(house.person, type="acmeRobot", name="Robot", values=SECRET)
    assert view.state is State.CONNECTED
    assert house.events(view.credential.id) == ["created", "token_wanted", "connected"]
    (asked,) = house.issuer.journal
    assert (asked.method, asked.url) == ("POST", "https://issuer.test/token")
    assert asked.params == {"grant_type": "client_credentials"}, "an empty scope is left out"
    assert asked.headers["authorization"].startswith("Basic ")
    assert await token(house, view.credential.id) == "minted-1"
    assert len(house.issuer.journal) == 1


async def test_it_is_renewed_by_the_sweep_before_it_ends() -> None:
    house = await minting()
    id_ = await made(house, scope="read write")
    await house.next_try(id_)
    assert await token(house, id_) == "minted-2"
    assert house.issuer.journal[-1].params["scope"] == "read write"
    assert house.events(id_)[-1] == "refreshed"
    assert house.grant(id_).standing.needs_person_at is None


async def test_an_expired_token_is_never_handed_out() -> None:
    house = await minting()
    id_ = await made(house)
    house.expire()
    assert await token(house, id_) == "minted-2"


async def test_a_rejected_token_is_replaced_once() -> None:
    house = await minting()
    id_ = await made(house)
    live = await house.cases.tokens.token(house.node, id_)
    house.clock.advance(60)
    fresh = await house.cases.tokens.refresh(house.node, id_, rejected=live.facts.fingerprint)
    assert fresh.access_token.reveal() == "minted-2"
    again = await house.cases.tokens.refresh(house.node, id_, rejected=live.facts.fingerprint)
    assert again.access_token.reveal() == "minted-2"


async def test_authorization_carries_token_and_fields() -> None:
    house = await minting()
    id_ = await made(house)
    authorization = await house.cases.tokens.authorization(house.node, id_)
    assert {name: text.reveal() for name, text in authorization.headers.items()} == {
        "Authorization": "Bearer minted-1",
        "Client-Id": "robot",
    }
    assert (await house.cases.tokens.values(house.node, id_))[1] == SECRET


@pytest.mark.parametrize("refusal", [REFUSED, NOT_OAUTH])
async def test_a_refusal_is_believed_the_third_time(refusal) -> None:
    house = await minting()
    house.issuer.instead = [refusal] * 3
    id_ = await made(house)
    assert house.state(id_) is State.FAILING
    with pytest.raises(RefreshFailing):
        await token(house, id_)
    assert len(house.issuer.journal) == 1, "nobody hammers a service that refuses"
    house.clock.advance(PROBE_S)
    await house.sweep()
    assert house.state(id_) is State.FAILING
    house.clock.advance(PROBE_S)
    await house.sweep()
    assert house.state(id_) is State.REAUTHORIZATION_REQUIRED
    with pytest.raises(ReauthorizationRequired, match="values") as needed:
        await token(house, id_)
    assert "Mend its values" in needed.value.fix
    house.clock.advance(10 * PROBE_S)
    await house.sweep()
    assert len(house.issuer.journal) == 3


async def test_mended_values_are_tried_at_once() -> None:
    house = await minting()
    house.issuer.instead = [REFUSED]
    id_ = await made(house)
    view = await house.cases.credentials.edit(house.person, id_, values={"clientSecret": "better"})
    assert view.state is State.CONNECTED
    assert await token(house, id_) == "minted-1"
    assert house.issuer.journal[0].headers["authorization"] != house.issuer.journal[1].headers["authorization"]


async def test_another_name_asks_for_no_token() -> None:
    house = await minting()
    id_ = await made(house)
    await house.cases.credentials.edit(house.person, id_, name="Android")
    assert len(house.issuer.journal) == 1


async def test_a_service_that_is_down_is_asked_again_and_nothing_is_believed() -> None:
    house = await minting()
    house.issuer.instead = [(503, {})] * 5
    id_ = await made(house)
    for _ in range(4):
        assert house.state(id_) is State.FAILING
        await house.next_try(id_)
    await house.next_try(id_)
    assert house.state(id_) is State.CONNECTED


async def test_a_process_that_dies_while_it_asks_loses_nothing() -> None:
    house = await minting()
    id_ = await made(house)
    lease = await house.database.grants.claim(house.grant(id_), owner="gone", lease_s=90, intent_fingerprint="")
    assert lease is not None
    house = await house.dies()
    house.clock.advance(91)
    await house.sweep()
    assert house.state(id_) is State.CONNECTED
    assert await token(house, id_) == "minted-2"


async def test_a_refresh_token_that_comes_along_is_not_kept() -> None:
    house = await minting()
    house.issuer.instead = [(200, {"access_token": "first", "refresh_token": "never", "expires_in": 60})]
    id_ = await made(house)
    assert await house.stored_refresh_token(id_) == ""


async def test_disconnecting_forgets_the_token_and_saving_begins_anew() -> None:
    house = await minting()
    id_ = await made(house)
    view, removal = await house.cases.credentials.disconnect(house.person, id_)
    assert (view.state, removal.revoked) == (State.UNCONNECTED, None)
    with pytest.raises(NotConnected) as refused:
        await token(house, id_)
    assert "Save its values again" in refused.value.fix
    await house.cases.credentials.edit(house.person, id_, values={})
    assert await token(house, id_) == "minted-2"


async def test_a_type_that_mints_no_more_fails_and_kills_nothing() -> None:
    house = await minting()
    id_ = await made(house)
    house.catalog.known["acmeRobot"] = replace(TYPE, mint=None)
    await house.next_try(id_)
    assert (house.state(id_), house.failure_code(id_)) == (State.FAILING, "provider_file_missing")


async def test_a_value_that_is_missing_by_now_is_named() -> None:
    """The file was changed, and asks for more than is kept."""
    house = await minting()
    id_ = await made(house)
    house.catalog.known["acmeRobot"] = replace(TYPE, mint=replace(MINT, url="https://{region}.issuer.test/token"))
    await house.next_try(id_)
    assert (house.state(id_), house.failure_code(id_)) == (State.FAILING, "incomplete")


async def test_many_readers_ask_once() -> None:
    import asyncio

    house = await minting()
    id_ = await made(house)
    house.expire()
    tokens = await asyncio.gather(*(token(house, id_) for _ in range(50)))
    assert set(tokens) == {"minted-2"}
    assert len(house.issuer.journal) == 2


async def test_the_secret_is_in_no_record() -> None:
    house = await minting()
    house.issuer.instead = [REFUSED]
    id_ = await made(house)
    assert "s3cret-of-robot" not in repr(house.journal.facts("refresh_failed"))
    assert Secret("s3cret-of-robot").reveal() not in repr([house.grant(id_), house.database.rows.events])
