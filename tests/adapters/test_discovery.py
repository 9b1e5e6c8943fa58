"""Asking an authorization server what it says of itself: where, within which limits, and whom to believe."""

from __future__ import annotations

import json
from datetime import date

import httpx2
import pytest

from tests.kit.authorization_server import AuthorizationServer
from tests.kit.clock import FakeClock
from tokenkeep.adapters.discovery import discover, well_known
from tokenkeep.adapters.outbound import Limits, Outbound
from tokenkeep.adapters.provider_draft import draft
from tokenkeep.core.errors import InvalidInput

ISSUER = "https://issuer.example.com"
OAUTH = f"{ISSUER}/.well-known/oauth-authorization-server"
OPENID = f"{ISSUER}/.well-known/openid-configuration"


def told(**members):
    return {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token"} | members


class Pages(httpx2.AsyncBaseTransport):
    """Answers by address: (status, body), or an exception; 404 where there is nothing."""

    def __init__(self, pages):
        self.pages, self.asked = pages, []

    async def handle_async_request(self, request):
        self.asked.append(str(request.url))
        page = self.pages.get(str(request.url), (404, "not here"))
        if isinstance(page, Exception):
            raise page
        status, body = page
        return httpx2.Response(status, content=(body if isinstance(body, str) else json.dumps(body)).encode())


async def discovered(pages, issuer=ISSUER, **limits):
    return await discover(Outbound(FakeClock(), transport=Pages(pages), limits=Limits(**limits)), issuer)


# --- where ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("issuer", "oauth", "openid"),
    [
        (ISSUER, OAUTH, OPENID),
        (f"{ISSUER}/", OAUTH, OPENID),
        (f"{ISSUER}:8443", f"{ISSUER}:8443/.well-known/oauth-authorization-server", None),
        (f"{ISSUER}/realms/a", f"{OAUTH}/realms/a", f"{ISSUER}/realms/a/.well-known/openid-configuration"),
        (f"{ISSUER}/realms/a/", f"{OAUTH}/realms/a", f"{ISSUER}/realms/a/.well-known/openid-configuration"),
    ],
)
def test_the_addresses_that_are_asked(issuer, oauth, openid):
    assert well_known(issuer)[0] == oauth
    assert openid is None or well_known(issuer)[1] == openid


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "issuer.example.com",
        "http://issuer.example.com",
        "https://",
        "https:///path",
        "https://user@issuer.example.com",
        f"{ISSUER}?tenant=7",
        f"{ISSUER}#part",
        f"{ISSUER}/two words",
        f"{ISSUER}/{{tenant}}",
        f"{ISSUER}\n",
        f"{ISSUER}/{'x' * 500}",
        "https://[::1]",
        "https://ïssuer.example.com",
    ],
)
async def test_what_is_no_issuers_address_is_not_asked(issuer):
    with pytest.raises(InvalidInput) as invalid:
        await discovered({}, issuer)
    assert "https://" in invalid.value.fields["issuer"]


# --- what is taken ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [OAUTH, OPENID])
async def test_either_address_will_do(address):
    found = await discovered({address: (200, told())})
    assert (found.issuer, found.source, found.document) == (ISSUER, address, told())


async def test_where_both_answer_rfc_8414_counts_and_openid_connect_adds():
    further = told(token_endpoint=f"{ISSUER}/other", userinfo_endpoint=f"{ISSUER}/userinfo")
    found = await discovered({OAUTH: (200, told()), OPENID: (200, further)})
    assert found.source == OAUTH
    assert found.document == told(userinfo_endpoint=f"{ISSUER}/userinfo")


async def test_null_is_as_good_as_nothing():
    pages = {OAUTH: (200, told(userinfo_endpoint=None)), OPENID: (200, told(userinfo_endpoint=f"{ISSUER}/me"))}
    assert (await discovered(pages)).document["userinfo_endpoint"] == f"{ISSUER}/me"


@pytest.mark.parametrize(("asked", "named"), [(ISSUER, f"{ISSUER}/"), (f"{ISSUER}/", ISSUER)])
async def test_a_slash_at_the_end_is_no_other_issuer(asked, named):
    found = await discovered({OAUTH: (200, told(issuer=named))}, asked)
    assert found.issuer == named


async def test_a_page_for_every_address_does_not_hide_the_right_one():
    assert (await discovered({OAUTH: (200, "<html>"), OPENID: (200, told())})).source == OPENID


# --- what is not ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "part"),
    [
        ((404, ""), "answers 404"),
        ((301, ""), "answers 301"),
        ((500, told()), "answers 500"),
        ((200, ""), "answers with something that is no JSON object"),
        ((200, "<html>MARK"), "answers with something that is no JSON object"),
        ((200, [told()]), "answers with something that is no JSON object"),
        ((200, '"MARK"'), "answers with something that is no JSON object"),
        ((200, "[" * 100_000), "answers with something that is no JSON object"),
    ],
)
async def test_where_nothing_is_found_both_addresses_are_told(page, part):
    with pytest.raises(InvalidInput) as invalid:
        await discovered({OAUTH: page, OPENID: page})
    assert invalid.value.message == f"Nothing was found: {OAUTH} {part}, and {OPENID} {part}."
    assert invalid.value.fix
    assert "MARK" not in invalid.value.message


@pytest.mark.parametrize(
    ("named", "part"),
    [
        ("https://other.example.com", "It names https://other.example.com"),
        (f"{ISSUER}/realms/a", "discover it instead"),
        ("https://login.example.com/{tenantid}/v2.0", "none that is usable"),
        ("http://issuer.example.com", "none that is usable"),
        ("\u202ehttps://x", "none that is usable"),
        (None, "none that is usable"),
        (7, "none that is usable"),
        ([ISSUER], "none that is usable"),
    ],
)
@pytest.mark.parametrize("address", [OAUTH, OPENID])
async def test_a_server_speaks_for_itself_only(address, named, part):
    with pytest.raises(InvalidInput) as invalid:
        await discovered({OAUTH: (200, told()), OPENID: (200, told())} | {address: (200, told(issuer=named))})
    assert address in invalid.value.message
    assert "another issuer" in invalid.value.message
    assert part in invalid.value.fix


@pytest.mark.parametrize(
    ("trouble", "limits", "part"),
    [
        (httpx2.ConnectError("gone"), {}, "gave no answer"),
        (httpx2.ReadError("cut"), {}, "gave no answer"),
        ((200, told(padding="x" * 2000)), {"body": 1000}, "gave no answer"),
    ],
)
async def test_trouble_on_the_way_is_told_with_what_to_do(trouble, limits, part):
    with pytest.raises(InvalidInput) as invalid:
        await discovered({OAUTH: trouble}, **limits)
    assert OAUTH in invalid.value.message
    assert part in invalid.value.message
    assert invalid.value.fix


@pytest.mark.parametrize("issuer", ["https://127.0.0.1", "https://169.254.169.254/latest", "https://10.0.0.1:8443"])
async def test_private_addresses_are_guarded(issuer):
    outbound = Outbound(FakeClock())
    try:
        with pytest.raises(InvalidInput) as invalid:
            await discover(outbound, issuer)
    finally:
        await outbound.close()
    assert "private network" in invalid.value.message
    assert "TOKENKEEP_OUTBOUND_ALLOW" in invalid.value.fix


# --- a whole server -----------------------------------------------------------------------------------------------


async def test_what_is_drafted_of_the_kits_server_is_how_it_is_spoken_to():
    server = AuthorizationServer(requires_par=True)
    found = await discover(Outbound(FakeClock(), transport=server.transport()), server.url)
    oauth, expected = draft(found, checked=date(2026, 11, 24)).file.oauth, server.provider()
    for name in ("authorization_endpoint", "pushed_authorization_endpoint", "token_endpoint", "revocation_endpoint"):
        assert getattr(oauth, name) == getattr(expected, name)
    assert (oauth.issuer, oauth.client_auth, oauth.pkce) == (expected.issuer, expected.client_auth, expected.pkce)
