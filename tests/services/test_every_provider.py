"""Every shipped provider file, walked from consent to disconnection against a service that is exactly what the file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from joserfc.jwk import ECKey

from tests.kit.house import House, make_house
from tests.kit.vendor import CLIENT_ID, CLIENT_SECRET, Refusal, Vendor, filling
from tokenkeep.adapters.catalog import Catalog
from tokenkeep.adapters.data_files import data_directory
from tokenkeep.core.errors import ProviderRefused, ReauthorizationRequired, RefreshFailing
from tokenkeep.core.model import (
    Answer,
    ClientAuth,
    CredentialType,
    Field,
    FieldKind,
    Provider,
    ResponseMap,
    Rotation,
    State,
)
from tokenkeep.core.policy import LATE_MARGIN_S
from tokenkeep.core.protocol import QUIRKS
from tokenkeep.core.secret import Secret
from tokenkeep.services.credentials import CredentialView
from tokenkeep.services.live_token import LiveToken
from tokenkeep.services.ports import Registration

CATALOG = Catalog.load([data_directory("providers")], demo_public_url="https://keep.example.com")
TYPES = {one.provider: one for one in reversed(CATALOG.types()) if one.oauth}
SHIPPED = {provider.id: provider for provider in CATALOG.providers() if provider.token_endpoint}
SCOPES = ("sample.read", "sample:write")
"""What an administrator names where the file leaves it open."""

LONG_S = 86_400


def also(name: str, *quirks: str, **changes: Any) -> Provider:
    """A shipped file with something that no shipped file declares."""
    provider = SHIPPED[name]
    return replace(provider, quirks=provider.quirks | set(quirks), **changes)


RENAMED = ResponseMap(
    access_token=("data.token", "access_token"),
    refresh_token=("data.renewal", "refresh_token"),
    scope=("data.rights",),
    expires_in=("data.life",),
    refresh_expires_in=("data.renewal_life",),
    keep=("data.shard",),
)
PAR = "https://sample.example/par?tenant=7"
INVENTED = {
    "believed the second time": also("gitlab", "invalid_grant_spurious"),
    "milliseconds": also("google", "expires_in_milliseconds"),
    "clock time": also("google", "epoch_in_expires_in"),
    "life told by the file": also("google", "expires_in_missing"),
    "scopes on refresh": also("google", "scope_on_refresh"),
    "scope list": also("google", "scope_list_in_response"),
    "unencoded basic": also("notion", "secret_in_basic_unencoded"),
    "signed assertion": also("google", client_auth=ClientAuth.PRIVATE_KEY_JWT),
    "signed assertion for an issuer": also("demo", client_auth=ClientAuth.PRIVATE_KEY_JWT),
    "pushed ahead, basic": also("demo", pushed_authorization_endpoint=PAR),
    "pushed ahead, post": also("google", pushed_authorization_endpoint=PAR),
    "pushed ahead, public client": also("google", pushed_authorization_endpoint=PAR, client_auth=ClientAuth.NONE),
    "pushed ahead, signed": also("google", pushed_authorization_endpoint=PAR, client_auth=ClientAuth.PRIVATE_KEY_JWT),
    "pushed ahead, JSON and headers": also("notion", pushed_authorization_endpoint=PAR),
    "renamed parts": also("bungie", response=RENAMED),
    "grace and one end": also("gitlab", rotation=Rotation.GRACE, grace_s=30, kills_old_access_token=True),
}
"""So that the emulation of what only further files declare is walked through as well."""

CASES = SHIPPED | INVENTED
KEY = ECKey.generate_key("P-256").as_pem(private=True).decode()


@dataclass
class World:
    """A house, the service it is connected to, and the one credential that lives in it."""

    house: House
    vendor: Vendor
    type: CredentialType
    id: str = ""

    @property
    def provider(self) -> Provider:
        return self.vendor.noun

    # --- connecting ----------------------------------------------------------------------------------------------

    async def connect(self, *, checked: bool = True, whole: bool = True) -> CredentialView:
        """For the first time, or again."""
        house = self.house
        new = {"type": self.type.name, "values": {one.name: sample(one) for one in self.type.fields}}
        asked = {"credential_id": self.id} if self.id else new
        _, secret = await house.invite(**asked)
        begun = await house.cases.connect.begin(secret, user=house.owner, popup=False)
        if checked:
            self.check_address(begun.url)
        handle = (await house.cases.clients.get(house.person, self.provider.id)).client.id
        outcome = await house.finish(begun, user=house.owner, handle=handle)
        self.id = outcome.credential_id
        assert not (whole and outcome.missing_scopes)
        assert await house.tasks.drain(20) == 0
        return await house.cases.credentials.get(house.person, self.id)

    def check_address(self, url: str) -> None:
        """What the browser is sent to, read without the vendor."""
        asked, provider = dict(parse_qsl(urlsplit(url).query)), self.provider
        if provider.pushed_authorization_endpoint:
            own = dict(parse_qsl(urlsplit(provider.authorization_endpoint).query))
            assert asked.keys() == {"client_id", "request_uri"} | own.keys()
            asked = self.vendor.pushed[asked["request_uri"]] | own
        assert url.partition("?")[0] == provider.authorization_endpoint.partition("?")[0]
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT_ID)
        assert asked["redirect_uri"].startswith("https://keep.test/oauth/callback/")
        assert (asked.get("code_challenge_method") == "S256") is provider.pkce
        assert len(asked.get("code_challenge", "")) == (43 if provider.pkce else 0)
        scope, other = ("user_scope", "scope") if "user_scope_param" in provider.quirks else ("scope", "user_scope")
        assert asked.get(scope, "") == provider.scope_separator.join(self.vendor.scopes)
        assert other not in asked
        assert asked.items() >= {**provider.authorize_params, **self.type.authorize_params}.items()

    # --- looking -------------------------------------------------------------------------------------------------

    async def check_stored(self) -> None:
        """Connected, and everything that the service told is kept."""
        house, vendor, newest = self.house, self.vendor, self.vendor.newest
        assert vendor.misfits == []
        assert house.state(self.id) is State.CONNECTED
        grant, now = house.grant(self.id), house.clock.now()
        assert set(grant.scopes_granted or ()) == set(vendor.scopes)
        assert await house.stored_refresh_token(self.id) == newest.refresh_token
        end = None if vendor.life_s is None else now + timedelta(seconds=vendor.life_s)
        assert_near(grant.standing.expires_at, end)
        assert grant.standing.endless is (
            self.provider.access_expires is False or "expires_in_zero_means_never" in self.provider.quirks
        )
        planned = grant.standing.next_refresh_at
        if self.provider.kills_old_access_token and end is not None and planned is not None:
            assert end - planned <= timedelta(seconds=LATE_MARGIN_S * 1.25)
        await self.check_handed_out()
        _, values = await house.cases.tokens.values(house.node, self.id)
        assert values.items() >= vendor.kept().items()

    async def check_handed_out(self) -> None:
        """The newest token, alive, and put on requests."""
        live, newest = await self.read(), self.vendor.newest
        assert live.access_token.reveal() == newest.access_token
        assert self.vendor.is_alive(newest.access_token)
        authorized = await self.house.cases.tokens.authorization(self.house.node, self.id)
        carried = [secret.reveal() for secret in (*authorized.headers.values(), *authorized.query.values())]
        assert any(newest.access_token in value for value in carried)
        assert "{" not in authorized.base_url.reveal()

    async def read(self) -> LiveToken:
        return await self.house.cases.tokens.token(self.house.node, self.id)

    # --- refreshing ----------------------------------------------------------------------------------------------

    async def outlive(self) -> LiveToken:
        """A node asks when the access token is over; where nobody knew its end, it was rejected."""
        house = self.house
        end = house.grant(self.id).standing.expires_at
        if end is not None:
            house.wait_until(end)
            return await self.read()
        house.clock.advance(LONG_S)
        fingerprint = (await self.read()).facts.fingerprint
        self.vendor.end_access_tokens()
        return await house.cases.tokens.refresh(house.node, self.id, rejected=fingerprint)

    async def refresh_as_planned(self) -> None:
        """The sweep does it, where one is planned."""
        if self.house.grant(self.id).standing.next_refresh_at is None:
            await self.outlive()
        else:
            await self.house.next_try(self.id)

    async def die(self, refusal: Refusal) -> None:
        """The grant ends at the service, and that is found out."""
        house, vendor = self.house, self.vendor
        vendor.end(vendor.newest, refusal)
        if "invalid_grant_spurious" in self.provider.quirks:
            with pytest.raises(RefreshFailing):
                await self.outlive()
            assert house.state(self.id) is State.FAILING
            await house.next_try(self.id)
        else:
            with pytest.raises(ReauthorizationRequired):
                await self.outlive()
        assert house.state(self.id) is State.REAUTHORIZATION_REQUIRED
        assert house.failure_code(self.id) == refusal.code
        with pytest.raises(ReauthorizationRequired):
            await self.read()


def sample(field: Field) -> Any:
    """What somebody enters who connects."""
    if field.options:
        return field.options[0]
    further = {
        FieldKind.NUMBER: 1,
        FieldKind.BOOLEAN: True,
        FieldKind.JSON: {},
        FieldKind.URL: "https://sample.example",
    }
    return further.get(field.kind, "sample")


def assert_near(one: datetime | None, other: datetime | None) -> None:
    """The same, up to the second that a whole number of seconds leaves out."""
    assert (one is None) is (other is None)
    if one is not None and other is not None:
        assert abs(one - other) <= timedelta(seconds=1)


async def world(
    provider: Provider,
    *,
    named: tuple[str, ...] = SCOPES,
    refresh_tokens: bool = True,
    own_params: Mapping[str, str] | None = None,
    **changes: Any,
) -> World:
    """A house whose catalogue holds this file; `changes`: how its noun differs from what the service goes by.

    `named`: the scopes that the administrator names, where the type has none. `own_params`: the type's, for authorization.
    """
    type_ = replace(TYPES[provider.id], authorize_params=own_params or TYPES[provider.id].authorize_params)
    secret = KEY if provider.client_auth is ClientAuth.PRIVATE_KEY_JWT else CLIENT_SECRET
    named = () if type_.scopes or "no_scopes" in provider.quirks else named
    vendor = Vendor(
        provider,
        scopes=type_.scopes or named,
        authorize_params=type_.authorize_params,
        secret=secret,
        refresh_tokens=refresh_tokens,
    )
    house = await make_house(server=vendor, types=[type_], registered=False)
    vendor.now = house.clock.now
    house.catalog.held[provider.id] = replace(vendor.noun, **changes)
    await house.cases.clients.put(
        house.person,
        provider.id,
        client_id=CLIENT_ID,
        client_secret=None if provider.client_auth is ClientAuth.NONE else Secret(secret),
        scopes=named,
        variables={one.name: filling(one) for one in provider.variables if one.asked_of == "client"},
    )
    return World(house, vendor, type_)


# --- the whole way ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
async def test_from_consent_to_disconnection(name: str) -> None:
    walked = await world(CASES[name])
    house, vendor, provider = walked.house, walked.vendor, walked.provider
    view = await walked.connect()
    assert view.state is State.CONNECTED
    if provider.account_from_token:
        assert view.account is not None
        assert (view.account.id, view.account.name, view.account.workspace) == vendor.account()
    await walked.check_stored()

    for refresh in (walked.outlive, walked.refresh_as_planned):
        before = await house.stored_refresh_token(walked.id)
        generation = vendor.newest.generation
        await refresh()
        assert vendor.newest.generation == generation + 1
        await walked.check_stored()
        assert (await house.stored_refresh_token(walked.id) == before) is (provider.rotation is Rotation.NONE)

    for refusal in vendor.refusals():
        revoked, old = len(vendor.revoked), vendor.newest
        await walked.die(refusal)
        assert vendor.misfits == []
        await walked.connect()
        await walked.check_stored()
        surplus = "surplus_revoked" if provider.revoke_on_reconnect else "surplus_kept"
        assert house.events(walked.id)[-2:] == ["reconnected", surplus]
        expected = [named(provider, old.access_token, old.refresh_token)] if provider.revoke_on_reconnect else []
        assert vendor.revoked[revoked:] == expected

    _, removal = await house.cases.credentials.disconnect(house.person, walked.id)
    assert removal.revoked is (True if provider.revocation_endpoint else None)
    if provider.revocation_endpoint:
        assert vendor.revoked[-1] == named(provider, vendor.newest.access_token, vendor.newest.refresh_token)
        assert not vendor.is_alive(vendor.newest.access_token)
    assert vendor.misfits == []


def named(provider: Provider, access_token: str, refresh_token: str) -> str:
    """The token that a revocation names: only RFC 7009 knows refresh tokens."""
    return refresh_token if provider.revocation_style == "rfc7009" else access_token


async def test_a_types_own_parameters_win() -> None:
    walked = await world(SHIPPED["google"], own_params={"prompt": "select_account", "hd": "example.org"})
    await walked.connect()
    await walked.check_stored()


# --- an answer that is lost ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
async def test_an_answer_that_is_lost(name: str) -> None:
    walked = await world(CASES[name])
    await walked.connect()
    walked.vendor.loses = 1
    with pytest.raises(RefreshFailing):
        await walked.outlive()
    await walked.house.next_try(walked.id)
    if walked.provider.rotation in {Rotation.NONE, Rotation.GRACE}:
        await walked.check_stored()
        return
    assert set(walked.vendor.misfits) == {"a spent refresh token"}
    if "invalid_grant_spurious" in walked.provider.quirks:
        assert walked.house.state(walked.id) is State.FAILING
        await walked.house.next_try(walked.id)
    assert walked.house.state(walked.id) is State.REAUTHORIZATION_REQUIRED
    assert walked.house.failure_code(walked.id) == "lost_response"


# --- scopes that nobody named --------------------------------------------------------------------------------------------

UNNAMED = [provider.id for provider in SHIPPED.values() if not TYPES[provider.id].scopes]


@pytest.mark.parametrize("name", UNNAMED)
async def test_without_scopes_none_are_asked_for(name: str) -> None:
    walked = await world(SHIPPED[name], named=())
    await walked.connect()
    await walked.check_stored()
    assert (walked.house.grant(walked.id).scopes_requested, walked.vendor.scopes) == ((), ())
    await walked.outlive()
    await walked.check_stored()


# --- tokens that do not end ---------------------------------------------------------------------------------------------

ENDLESS = [provider.id for provider in SHIPPED.values() if provider.access_expires is False]


@pytest.mark.parametrize("name", ENDLESS)
async def test_a_token_without_an_end_needs_no_refresh_token(name: str) -> None:
    walked = await world(SHIPPED[name], refresh_tokens=False)
    await walked.connect()
    await walked.check_stored()
    walked.house.clock.advance(400 * LONG_S)
    await walked.house.sweep()
    await walked.check_stored()
    with pytest.raises(ReauthorizationRequired):
        await walked.outlive()
    assert walked.vendor.misfits == []


# --- the emulation is strict --------------------------------------------------------------------------------------------


def without(name: str, *quirks: str) -> frozenset[str]:
    return SHIPPED[name].quirks - set(quirks)


def with_(name: str, *quirks: str) -> frozenset[str]:
    return SHIPPED[name].quirks | set(quirks)


AUTHENTICATION = "the client's authentication"
DEVIATIONS: list[tuple[str, Mapping[str, Any], str]] = [
    ("github", {"client_auth": ClientAuth.BASIC}, AUTHENTICATION),
    ("google", {"client_auth": ClientAuth.BASIC}, AUTHENTICATION),
    ("slack-bot", {"client_auth": ClientAuth.NONE}, AUTHENTICATION),
    ("notion", {"client_auth": ClientAuth.POST}, AUTHENTICATION),
    ("xero", {"client_auth": ClientAuth.POST}, AUTHENTICATION),
    ("quickbooks", {"quirks": with_("quickbooks", "secret_in_basic_unencoded")}, AUTHENTICATION),
    ("google", {"pkce": False}, "authorization: code_challenge"),
    ("slack", {"pkce": True}, "authorization: code_challenge"),
    ("slack", {"scope_separator": " "}, "authorization: user_scope"),
    ("slack", {"quirks": without("slack", "user_scope_param")}, "authorization: scope"),
    ("google", {"quirks": with_("google", "no_scopes")}, "authorization: scope"),
    ("notion", {"authorize_params": {}}, "authorization: owner"),
    ("notion", {"body_format": "form"}, "the format of a body"),
    ("google", {"body_format": "json"}, "the format of a body"),
    ("notion", {"token_headers": {}}, "token header: Notion-Version"),
    ("zendesk", {"token_params": {}}, "exchange: expires_in"),
    ("google", {"token_params": {"further": "1"}}, "exchange: further"),
    ("zendesk", {"refresh_params": {}}, "refresh: expires_in"),
    ("google", {"refresh_params": {"further": "1"}}, "refresh: further"),
    ("gitlab", {"quirks": without("gitlab", "redirect_uri_on_refresh")}, "refresh: redirect_uri"),
    ("google", {"quirks": with_("google", "redirect_uri_on_refresh")}, "refresh: redirect_uri"),
    ("google", {"quirks": with_("google", "scope_on_refresh")}, "refresh: scope"),
    ("figma", {"refresh_endpoint": ""}, "the address of a token request"),
]
PUSHED = also("google", pushed_authorization_endpoint=PAR)


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"pushed_authorization_endpoint": ""}, "authorization: not pushed"),
        ({"client_auth": ClientAuth.NONE}, AUTHENTICATION),
        ({"pkce": False}, "authorization: code_challenge"),
        ({"authorize_params": {}}, "authorization: access_type"),
    ],
)
async def test_what_is_pushed_otherwise_than_the_file_says_is_refused(changes: Mapping[str, Any], finding: str) -> None:
    walked = await world(PUSHED, **changes)
    with pytest.raises(ProviderRefused):
        await walked.connect(checked=False)
    assert walked.vendor.misfits == [finding]


@pytest.mark.parametrize(("name", "changes", "finding"), DEVIATIONS)
async def test_what_differs_from_the_file_is_refused(name: str, changes: Mapping[str, Any], finding: str) -> None:
    walked = await world(SHIPPED[name], **changes)
    refreshes = finding.startswith("refresh:") or "refresh_endpoint" in changes
    if refreshes:
        await walked.connect()
        assert walked.vendor.misfits == []
    with pytest.raises(RefreshFailing if refreshes else ProviderRefused):
        await (walked.outlive() if refreshes else walked.connect(checked=False))
    assert walked.vendor.misfits == [finding]


async def test_a_form_encoded_answer_is_noticed_although_it_is_understood() -> None:
    walked = await world(SHIPPED["bitly"], quirks=without("bitly", "send_accept_json"))
    assert (await walked.connect()).state is State.CONNECTED
    assert walked.vendor.misfits == ["JSON was not asked for"]


async def test_a_verifier_of_another_challenge_is_refused() -> None:
    walked = await world(SHIPPED["google"])
    exchange = walked.house.wire.exchange

    async def other(registration: Registration, *, code: str, verifier: str, endpoint: str) -> Answer:
        return await exchange(registration, code=code, verifier=verifier[::-1], endpoint=endpoint)

    walked.house.wire.exchange = other
    with pytest.raises(ProviderRefused):
        await walked.connect()
    assert walked.vendor.misfits == ["exchange: code_verifier"]


async def test_the_bots_token_is_not_taken_for_the_users() -> None:
    walked = await world(SHIPPED["slack"], quirks=without("slack", "nested_user_token"))
    await walked.connect(checked=False, whole=False)
    assert (await walked.read()).access_token.reveal() == "of-the-bot"
    with pytest.raises(AssertionError):
        await walked.check_stored()


def test_every_quirk_is_walked_through() -> None:
    walked = frozenset().union(*(provider.quirks for provider in CASES.values()))
    assert walked == QUIRKS.keys()
