"""Registrations at providers: changed by administrators, never shown with their secrets."""

from __future__ import annotations

import pytest

from tests.kit import builders
from tests.kit.authorization_server import CLIENT_SECRET
from tests.kit.house import make_house
from tokenkeep.core.errors import ClientMissing, InvalidInput, NotFound, ScopeMissing
from tokenkeep.core.model import ClientAuth, HostFormat, Variable
from tokenkeep.core.permissions import Scope
from tokenkeep.core.secret import Secret

TENANT = Variable(name="tenant", label="Tenant", format=HostFormat.TENANT, default="common")
TEAM = Variable(name="team", label="Team", format=HostFormat.LABEL)
OWN = Variable(name="shop", label="Shop", format=HostFormat.LABEL, asked_of="credential")


async def opened(house):
    return await house.cases.clients.for_provider(house.owner.workspace_id, "acme")


async def test_a_client_is_registered_and_shown_without_its_secret():
    house = await make_house()
    view = await house.cases.clients.get(house.person, "acme")
    assert view.redirect_uri == f"https://keep.test/oauth/callback/{view.client.id}"
    assert CLIENT_SECRET not in repr(view)
    assert [each.client.id for each in await house.cases.clients.list(house.person)] == [view.client.id]
    assert (await opened(house)).secret == Secret(CLIENT_SECRET)


async def test_what_is_not_sent_stays_and_so_does_the_handle():
    house = await make_house()
    before = await house.cases.clients.get(house.person, "acme")
    await house.cases.clients.put(house.person, "acme", client_id="a", client_secret=None, scopes=["x", "x"])
    view = await house.cases.clients.put(house.person, "acme", client_id=" b ", client_secret=Secret(""))
    assert view.client.id == before.client.id, "an address that was pasted at the provider stays good"
    assert (view.client.client_id, view.client.scopes, view.client.version) == ("b", ("x",), 3)
    assert (await opened(house)).secret == Secret(CLIENT_SECRET)
    cleared = await house.cases.clients.put(house.person, "acme", client_id="b", client_secret=None, scopes=[])
    assert cleared.client.scopes == ()


async def test_a_public_client_needs_no_secret():
    house = await make_house(registered=False, provider={"client_auth": ClientAuth.NONE})
    await house.cases.clients.put(house.person, "acme", client_id="a", client_secret=None)
    assert (await opened(house)).secret is None


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"client_secret": None}, "client_secret"),
        ({"client_id": " "}, "client_id"),
        ({"client_id": "a\nb"}, "client_id"),
        ({"client_id": "a" * 1001}, "client_id"),
        ({"scopes": ["a b"]}, "scopes"),
        ({"scopes": [""]}, "scopes"),
        ({"scopes": ['"']}, "scopes"),
        ({"variables": {"nothing": "x"}}, "variables.nothing"),
    ],
)
async def test_what_is_refused(given, field):
    house = await make_house(registered=False)
    given = {"client_id": "a", "client_secret": Secret("s")} | given
    with pytest.raises(InvalidInput) as refused:
        await house.cases.clients.put(house.person, "acme", **given)
    assert set(refused.value.fields) == {field}
    with pytest.raises(NotFound):
        await house.cases.clients.get(house.person, "acme")


async def test_variables_are_kept_in_the_shape_of_a_host():
    house = await make_house(registered=False, provider={"variables": (TENANT, TEAM, OWN)})
    put, secret = house.cases.clients.put, Secret("s")
    with pytest.raises(InvalidInput) as missing:
        await put(house.person, "acme", client_id="a", client_secret=secret)
    assert set(missing.value.fields) == {"variables.team"}
    with pytest.raises(InvalidInput):
        await put(house.person, "acme", client_id="a", client_secret=secret, variables={"team": "evil.test/"})
    with pytest.raises(InvalidInput):
        await put(house.person, "acme", client_id="a", client_secret=secret, variables={"team": "a", "shop": "b"})
    view = await put(house.person, "acme", client_id="a", client_secret=secret, variables={"team": " My-Team "})
    assert view.client.variables == {"tenant": "common", "team": "my-team"}
    view = await put(house.person, "acme", client_id="a", client_secret=None, variables={"tenant": "t"})
    assert view.client.variables == {"tenant": "t", "team": "my-team"}


async def test_a_provider_without_a_browser_flow_takes_no_client():
    house = await make_house(further=[builders.provider(id="static", name="Static", authorization_endpoint="")])
    with pytest.raises(InvalidInput):
        await house.cases.clients.put(house.person, "static", client_id="a", client_secret=Secret("s"))
    with pytest.raises(NotFound):
        await house.cases.clients.put(house.person, "nothing", client_id="a", client_secret=Secret("s"))


async def test_a_client_that_is_taken_away_keeps_its_grants():
    house = await make_house()
    id_ = (await house.connect()).credential.id
    await house.cases.clients.delete(house.person, "acme")
    assert house.grant(id_).version == 1
    with pytest.raises(ClientMissing) as missing:
        await opened(house)
    assert missing.value.fix
    with pytest.raises(NotFound):
        await house.cases.clients.delete(house.person, "acme")


async def test_a_client_whose_provider_file_is_gone_is_left_out_of_the_list():
    house = await make_house()
    house.catalog.held.clear()
    assert await house.cases.clients.list(house.person) == []


async def test_clients_are_changed_by_administrators_of_their_own_workspace():
    house = await make_house()
    reader = house.caller(Scope.CREDENTIALS_READ)
    with pytest.raises(ScopeMissing):
        await house.cases.clients.put(reader, "acme", client_id="a", client_secret=None)
    with pytest.raises(ScopeMissing):
        await house.cases.clients.delete(reader, "acme")
    with pytest.raises(ScopeMissing):
        await house.cases.clients.list(house.node)
    stranger = builders.caller(workspace_id="workspace-2")
    assert await house.cases.clients.list(stranger) == []
    with pytest.raises(NotFound):
        await house.cases.clients.get(stranger, "acme")
    with pytest.raises(NotFound):
        await house.cases.clients.delete(stranger, "acme")


class Registry:
    def __init__(self):
        self.known = []

    def ensure_client(self, client_id, client_secret, *, redirect_uri):
        self.known.append((client_id, client_secret, redirect_uri))


async def test_the_demo_registers_itself_once():
    house, registry = await make_house(registered=False), Registry()
    for _ in range(2):
        await house.cases.clients.ensure_demo(house.owner.workspace_id, "acme", registry)
    registration = await opened(house)
    assert set(registry.known) == {
        (registration.client.client_id, registration.secret, registration.redirect_uri),
    }


@pytest.mark.parametrize("given", [None, Secret("a word"), Secret("-----BEGIN PUBLIC KEY-----")])
async def test_a_client_that_signs_needs_a_private_key(given):
    house = await make_house(provider={"client_auth": ClientAuth.PRIVATE_KEY_JWT}, registered=False)
    with pytest.raises(InvalidInput) as caught:
        await house.cases.clients.put(house.person, "acme", client_id="a", client_secret=given)
    assert "private key" in caught.value.fields["client_secret"]
