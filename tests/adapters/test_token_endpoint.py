"""Requests to the authorization server, as they arrive there."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx2
import pytest
import respx
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from tests.adapters import httpcore2_mocker  # noqa: F401 - registers itself
from tests.kit import builders
from tests.kit.authorization_server import CLIENT_ID, CLIENT_SECRET, AuthorizationServer, serve
from tests.kit.clock import NOON, FakeClock
from tokenkeep.adapters.outbound import Outbound
from tokenkeep.adapters.token_endpoint import TokenEndpointAdapter
from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.judgement import Granted, Refused, judge
from tokenkeep.core.model import Call, ClientAuth, FailureKind, HostFormat, Rotation, Variable
from tokenkeep.core.protocol import fingerprint
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import Registration

CALLBACK = "https://keep.test/callback/client-1"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
NOTHING = {"variables": {}, "headers": {}, "query": {}}


class Wire(httpx2.AsyncBaseTransport):
    """Notes what is sent and answers with an empty object."""

    def __init__(self):
        self.requests = []

    async def handle_async_request(self, request):
        await request.aread()
        self.requests.append(request)
        return httpx2.Response(200, content=b"{}")

    @property
    def last(self):
        return self.requests[-1]

    @property
    def form(self):
        return {name: values[0] for name, values in parse_qs(self.last.content.decode()).items()}


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
def endpoint(wire):
    return TokenEndpointAdapter(Outbound(FakeClock(), transport=wire), FakeClock())


def registration(provider=None, *, secret="s3cret", client_id="id-1", variables=None):
    return Registration(
        client=builders.client(client_id=client_id, variables=variables or {}),
        provider=provider or builders.provider(),
        secret=Secret(secret) if secret else None,
        redirect_uri=CALLBACK,
    )


async def refresh(endpoint, registered, scopes=("a", "b")):
    return await endpoint.refresh(registered, refresh_token=Secret("RT-1"), scopes=scopes)


def url(endpoint, provider, **extra):
    registered = registration(provider)
    address = endpoint.authorization_url(registered, state="st", verifier=VERIFIER, scopes=("a", "b c"), extra=extra)
    return address, {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


# --- authorization ------------------------------------------------------------------------------------------


def test_an_authorization_url_holds_the_challenge_and_not_the_verifier(endpoint):
    address, query = url(endpoint, builders.provider(authorize_params={"prompt": "consent"}))
    assert address.startswith("https://acme.example/authorize?")
    assert query == {
        "response_type": "code",
        "client_id": "id-1",
        "redirect_uri": CALLBACK,
        "scope": "a b c",
        "state": "st",
        "prompt": "consent",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    assert VERIFIER not in address


def test_pkce_is_left_out_only_where_the_file_says_so(endpoint):
    _, query = url(endpoint, builders.provider(pkce=False))
    assert not any(name.startswith("code_challenge") for name in query)


def test_a_query_of_the_endpoint_is_kept(endpoint):
    _, query = url(endpoint, builders.provider(authorization_endpoint="https://acme.example/a?tenant=7"))
    assert (query["tenant"], query["state"]) == ("7", "st")


TENANT = Variable(name="tenant", label="Tenant", format=HostFormat.TENANT, default="common")


@pytest.mark.parametrize(("variables", "path"), [({}, "/common/a"), ({"tenant": "acme"}, "/acme/a")])
def test_holes_are_filled_by_the_client_else_by_the_default(endpoint, variables, path):
    provider = builders.provider(authorization_endpoint="https://acme.example/{tenant}/a", variables=(TENANT,))
    address = endpoint.authorization_url(
        registration(provider, variables=variables), state="st", verifier=VERIFIER, scopes=(), extra={}
    )
    assert urlsplit(address).path == path


def test_a_missing_variable_is_the_callers_to_explain(endpoint):
    with pytest.raises(InvalidInput):
        url(endpoint, builders.provider(authorization_endpoint="https://{sub}.acme.example/a"))


# --- pushed ahead (RFC 9126) ---------------------------------------------------------------------------------------

PAR = "https://acme.example/{tenant}/par"
ASKED = {"state": "st", "verifier": VERIFIER, "scopes": ("a", "b c"), "extra": {"prompt": "consent"}}


def pushing(**changes):
    return builders.provider(pushed_authorization_endpoint=PAR, variables=(TENANT,), **changes)


@pytest.mark.parametrize("method", [ClientAuth.BASIC, ClientAuth.POST, ClientAuth.NONE])
async def test_a_pushed_request_holds_what_the_address_would(endpoint, wire, method):
    provider = pushing(client_auth=method)
    _, query = url(endpoint, provider, prompt="consent")
    answer = await endpoint.push(registration(provider, secret="" if method is ClientAuth.NONE else "s3cret"), **ASKED)
    assert answer.status == 200
    assert (wire.last.method, str(wire.last.url)) == ("POST", "https://acme.example/common/par")
    sent = parse_qsl(wire.last.content.decode(), strict_parsing=True)
    assert len(dict(sent)) == len(sent), "a parameter stands once"
    proof = {"client_secret": "s3cret"} if method is ClientAuth.POST else {}
    assert dict(sent) == query | proof
    assert ("authorization" in wire.last.headers) is (method is ClientAuth.BASIC)
    assert VERIFIER not in wire.last.content.decode()


async def test_a_pushed_request_is_signed_for_the_issuer(endpoint, wire):
    provider = pushing(client_auth=ClientAuth.PRIVATE_KEY_JWT, issuer="https://acme.example")
    key = ECKey.generate_key("P-256")
    await endpoint.push(registration(provider, secret=key.as_pem(private=True).decode()), **ASKED)
    claims = jwt.decode(wire.form["client_assertion"], key, algorithms=["ES256"]).claims
    assert (claims["aud"], wire.form["client_id"]) == ("https://acme.example", "id-1")


def test_the_browser_carries_a_request_uri_and_the_endpoints_own_query(endpoint):
    provider = pushing(authorization_endpoint="https://acme.example/{tenant}/a?tenant=7")
    address = endpoint.pushed_url(registration(provider), request_uri="urn:x:a&b=c")
    assert address.partition("?")[0] == "https://acme.example/common/a"
    assert parse_qs(urlsplit(address).query) == {
        "tenant": ["7"],
        "client_id": ["id-1"],
        "request_uri": ["urn:x:a&b=c"],
    }


@pytest.mark.parametrize(
    ("changes", "secret"),
    [
        ({"pushed_authorization_endpoint": "https://{sub}.acme.example/par"}, "s3cret"),
        ({"client_auth": ClientAuth.PRIVATE_KEY_JWT}, "no key"),
        ({"authorize_params": {"odd": "\udc80"}}, "s3cret"),
    ],
)
async def test_what_cannot_be_pushed_is_answered_and_not_raised(endpoint, wire, changes, secret):
    provider = replace(pushing(), **changes)
    assert (await endpoint.push(registration(provider, secret=secret), **ASKED)).fault == "misconfigured"
    assert wire.requests == []


# --- token requests ----------------------------------------------------------------------------------------------


async def test_a_code_is_exchanged_at_the_frozen_endpoint(endpoint, wire):
    await endpoint.exchange(registration(), code="C&1", verifier=VERIFIER, endpoint="https://frozen.example/token")
    assert str(wire.last.url) == "https://frozen.example/token"
    assert wire.form == {
        "grant_type": "authorization_code",
        "code": "C&1",
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    assert wire.last.headers["content-type"] == "application/x-www-form-urlencoded"
    assert wire.last.headers["connection"] == "close"


async def test_without_pkce_no_verifier_is_sent(endpoint, wire):
    await endpoint.exchange(
        registration(builders.provider(pkce=False)), code="C", verifier=VERIFIER, endpoint="https://acme.example/token"
    )
    assert "code_verifier" not in wire.form


async def test_a_refresh_sends_no_scope_and_takes_a_fresh_connection(endpoint, wire):
    await refresh(endpoint, registration())
    assert wire.form == {"grant_type": "refresh_token", "refresh_token": "RT-1"}
    assert wire.last.method == "POST"
    assert wire.last.headers["connection"] == "close"


async def test_a_refresh_sends_the_scope_only_where_the_file_demands_it(endpoint, wire):
    await refresh(endpoint, registration(builders.provider(quirks=frozenset({"scope_on_refresh"}))))
    assert wire.form["scope"] == "a b"


async def test_accept_is_json_alone_where_the_file_demands_it(endpoint, wire):
    await refresh(endpoint, registration())
    assert wire.last.headers["accept"] == "application/json, */*;q=0.1"
    await refresh(endpoint, registration(builders.provider(quirks=frozenset({"send_accept_json"}))))
    assert wire.last.headers["accept"] == "application/json"


async def test_headers_of_the_file_are_sent(endpoint, wire):
    await refresh(endpoint, registration(builders.provider(token_headers={"Notion-Version": "2022-06-28"})))
    assert wire.last.headers["notion-version"] == "2022-06-28"


async def test_a_json_body_holds_the_same_parameters(endpoint, wire):
    await refresh(endpoint, registration(builders.provider(body_format="json", client_auth=ClientAuth.POST)))
    assert json.loads(wire.last.content) == {
        "grant_type": "refresh_token",
        "refresh_token": "RT-1",
        "client_id": "id-1",
        "client_secret": "s3cret",
    }
    assert wire.last.headers["content-type"] == "application/json"


async def test_a_parameter_without_a_value_is_not_sent(endpoint, wire):
    await refresh(endpoint, registration(builders.provider(refresh_params={"audience": ""})))
    assert "audience" not in wire.form


# --- client authentication -----------------------------------------------------------------------------------


def basic(wire):
    return base64.b64decode(wire.last.headers["authorization"].removeprefix("Basic ")).decode()


@pytest.mark.parametrize(
    ("quirks", "expected"),
    [((), "id%3A1:p%C3%A4ss+%2Bw%25%E2%82%AC"), (("secret_in_basic_unencoded",), "id:1:päss +w%€")],
)
async def test_basic_is_form_encoded_first_unless_the_file_says_otherwise(endpoint, wire, quirks, expected):
    provider = builders.provider(quirks=frozenset(quirks))
    await refresh(endpoint, registration(provider, client_id="id:1", secret="päss +w%€"))
    assert basic(wire) == expected
    assert "client_id" not in wire.form


async def test_post_puts_the_secret_into_the_body_and_nowhere_else(endpoint, wire):
    await refresh(endpoint, registration(builders.provider(client_auth=ClientAuth.POST), secret="a+b&c"))
    assert (wire.form["client_id"], wire.form["client_secret"]) == ("id-1", "a+b&c")
    assert "authorization" not in wire.last.headers
    assert "a+b" not in str(wire.last.url)


@pytest.mark.parametrize("method", list(ClientAuth))
async def test_a_client_without_a_secret_only_names_itself(endpoint, wire, method):
    await refresh(endpoint, registration(builders.provider(client_auth=method), secret=""))
    assert wire.form["client_id"] == "id-1"
    assert not {"client_secret", "client_assertion"} & set(wire.form)
    assert "authorization" not in wire.last.headers


KEYS = {
    "RS256": RSAKey.generate_key(2048),
    "ES256": ECKey.generate_key("P-256"),
    "ES384": ECKey.generate_key("P-384"),
    "EdDSA": OKPKey.generate_key("Ed25519"),
}


def keyed(secret, **provider):
    return registration(builders.provider(client_auth=ClientAuth.PRIVATE_KEY_JWT, **provider), secret=secret)


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("form", ["pem", "jwk"])
async def test_an_assertion_is_signed_with_the_clients_key(endpoint, wire, algorithm, form):
    key = KEYS[algorithm]
    secret = (
        key.as_pem(private=True).decode() if form == "pem" else json.dumps(key.as_dict(private=True) | {"kid": "k1"})
    )
    await refresh(endpoint, keyed(secret, issuer="https://acme.example"))
    token = jwt.decode(wire.form["client_assertion"], key, algorithms=[algorithm])
    assert token.header["alg"] == algorithm
    assert token.header.get("kid") == ("k1" if form == "jwk" else None)
    assert token.claims["aud"] == "https://acme.example"
    assert (token.claims["iss"], token.claims["sub"]) == ("id-1", "id-1")
    assert token.claims["iat"] == int(NOON.timestamp())
    assert token.claims["exp"] - token.claims["iat"] == 60
    assert wire.form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert wire.form["client_id"] == "id-1"
    assert "client_secret" not in wire.form


async def test_each_assertion_is_new_and_meant_for_the_endpoint_when_no_issuer_is_known(endpoint, wire):
    claims = []
    for _ in range(2):
        await refresh(endpoint, keyed(KEYS["ES256"].as_pem(private=True).decode()))
        claims.append(jwt.decode(wire.form["client_assertion"], KEYS["ES256"], algorithms=["ES256"]).claims)
    assert claims[0]["jti"] != claims[1]["jti"]
    assert claims[0]["aud"] == "https://acme.example/token"


@pytest.mark.parametrize(
    "secret",
    [
        "not a key",
        "{broken",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        json.dumps(OctKey.generate_key(256).as_dict(private=True)),
        json.dumps(KEYS["ES256"].as_dict(private=False)),
        KEYS["RS256"].as_pem(private=False).decode(),
    ],
    ids=["text", "broken JSON", "broken PEM", "symmetric", "public JWK", "public PEM"],
)
async def test_an_unusable_key_is_the_administrators_to_mend(endpoint, wire, secret):
    answer = await refresh(endpoint, keyed(secret))
    assert (answer.status, answer.fault, wire.requests) == (0, "misconfigured", [])
    verdict = judge(answer, builders.provider(), now=NOON)
    assert isinstance(verdict, Refused)
    assert (verdict.kind, verdict.code) == (FailureKind.CLIENT, "client_misconfigured")


@pytest.mark.parametrize(
    "flattened", [" ", "\\n", ""], ids=["a field of one line", "an environment file", "nothing left"]
)
def test_a_key_that_lost_its_line_breaks_is_still_a_key(endpoint, flattened):
    pem = KEYS["ES256"].as_pem(private=True).decode().strip().replace("\n", flattened)
    assert endpoint.signs_with(Secret(pem))


@pytest.mark.parametrize("secret", ["not a key", "{broken", KEYS["RS256"].as_pem(private=False).decode()])
def test_what_cannot_sign_is_told_apart(endpoint, secret):
    assert not endpoint.signs_with(Secret(secret))


async def test_an_address_with_an_unfilled_hole_is_the_administrators_to_mend(endpoint, wire):
    answer = await refresh(endpoint, registration(builders.provider(token_endpoint="https://{sub}.acme.example/t")))
    assert (answer.fault, wire.requests) == ("misconfigured", [])


# --- revocation and calls ---------------------------------------------------------------------------------------


async def revoke(endpoint, hint="refresh_token", **provider):
    return await endpoint.revoke(registration(builders.provider(**provider)), token=Secret("T-1"), hint=hint)


async def test_revocation_by_rfc_7009(endpoint, wire):
    await revoke(endpoint)
    assert str(wire.last.url) == "https://acme.example/revoke"
    assert wire.form == {"token": "T-1", "token_type_hint": "refresh_token"}
    assert basic(wire) == "id-1:s3cret"


async def test_revocation_at_github_deletes_the_token(endpoint, wire):
    where = "https://api.github.com/applications/{client_id}/token"
    await revoke(endpoint, "access_token", revocation_style="github", revocation_endpoint=where)
    assert (wire.last.method, str(wire.last.url)) == ("DELETE", "https://api.github.com/applications/id-1/token")
    assert json.loads(wire.last.content) == {"access_token": "T-1"}
    assert basic(wire) == "id-1:s3cret"
    refused = await revoke(endpoint, "refresh_token", revocation_style="github", revocation_endpoint=where)
    assert refused.fault == "unsupported"


async def test_revocation_by_the_token_itself(endpoint, wire):
    await revoke(endpoint, "access_token", revocation_style="bearer")
    assert (wire.last.method, wire.last.headers["authorization"]) == ("POST", "Bearer T-1")
    assert wire.last.content == b""


async def test_without_an_endpoint_revocation_is_unsupported(endpoint, wire):
    assert (await revoke(endpoint, revocation_endpoint="")).fault == "unsupported"
    assert wire.requests == []


async def test_a_call_carries_what_it_was_given(endpoint, wire):
    call = Call(url="https://{sub}.acme.example/me?x=1", headers={"Notion-Version": "1"})
    await endpoint.call(call, variables={"sub": "eu"}, headers={"Authorization": "Bearer AT"}, query={"key": "a b"})
    assert str(wire.last.url) == "https://eu.acme.example/me?x=1&key=a+b"
    assert (wire.last.method, wire.last.headers["authorization"]) == ("GET", "Bearer AT")
    assert wire.last.headers["notion-version"] == "1"
    assert wire.last.headers["accept"] == "application/json"


async def test_a_call_with_a_body_sends_it_as_it_is(endpoint, wire):
    body = '{"query": "{ viewer { id } }"}'
    await endpoint.call(Call(method="POST", url="https://acme.example/graphql", body=body), **NOTHING)
    assert wire.last.content.decode() == body
    assert wire.last.headers["content-type"] == "application/json"


async def test_a_call_with_an_unfilled_hole_is_not_made(endpoint, wire):
    assert (await endpoint.call(Call(url="https://{sub}.acme.example/"), **NOTHING)).fault == "misconfigured"
    assert wire.requests == []


# --- with a provider ------------------------------------------------------------------------------------------------


def against(server, **outbound):
    parts = outbound or {"transport": server.transport()}
    clock = FakeClock()
    adapter = TokenEndpointAdapter(Outbound(clock, **parts), clock)
    registered = registration(server.provider(), client_id=CLIENT_ID, secret=CLIENT_SECRET)
    return adapter, registered


async def test_the_whole_conversation():
    server = AuthorizationServer(rotation=Rotation.STRICT)
    adapter, registered = against(server)
    address = adapter.authorization_url(registered, state="st", verifier=VERIFIER, scopes=("read",), extra={})
    async with httpx2.AsyncClient(transport=server.transport()) as browser:
        back = parse_qs(urlsplit((await browser.get(address)).headers["location"]).query)
    assert (back["state"], back["iss"]) == (["st"], [server.url])
    exchanged = await adapter.exchange(
        registered, code=back["code"][0], verifier=VERIFIER, endpoint=registered.provider.token_endpoint
    )
    granted = judge(exchanged, registered.provider, now=NOON)
    assert isinstance(granted, Granted)
    assert granted.token_set.expires_at == NOON + timedelta(hours=1)
    first = granted.token_set.refresh_token
    renewed = judge(await adapter.refresh(registered, refresh_token=first, scopes=()), registered.provider, now=NOON)
    assert isinstance(renewed, Granted)
    replayed = judge(await adapter.refresh(registered, refresh_token=first, scopes=()), registered.provider, now=NOON)
    assert isinstance(replayed, Refused)
    assert (replayed.kind, replayed.code) == (FailureKind.GRANT, "invalid_grant")
    assert [entry.fingerprint for entry in server.refreshes()] == [fingerprint(first)] * 2
    await adapter.revoke(registered, token=renewed.token_set.refresh_token, hint="refresh_token")
    assert not server.accepts(renewed.token_set.refresh_token.reveal())


async def test_a_wrong_verifier_gets_nothing():
    server = AuthorizationServer()
    adapter, registered = against(server)
    code = server.authorize(redirect_uri=CALLBACK, challenge="E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
    endpoint = registered.provider.token_endpoint
    answer = await adapter.exchange(registered, code=code, verifier="w" * 43, endpoint=endpoint)
    assert answer.status == 400


@pytest.mark.parametrize(
    ("switches", "fault"), [({"loses_answers": 1}, "lost"), ({"drops_requests": 1}, "lost"), ({"down": True}, "")]
)
async def test_troubles_look_alike_in_process_and_over_a_socket(switches, fault):
    with serve(**switches) as distant:
        near = AuthorizationServer(**switches)
        for server, parts in ((near, {}), (distant, {"allow": ("127.0.0.1",)})):
            adapter, registered = against(server, **parts)
            token = server.issue()["refresh_token"]
            answer = await adapter.refresh(registered, refresh_token=Secret(token), scopes=())
            assert answer.fault == fault
            assert answer.status == (503 if not fault else 0)
            assert server.accepts(token) is (not switches.get("loses_answers"))


async def test_an_odd_answer_over_respx():
    with respx.mock(using="httpcore2") as router:
        router.post("https://acme.example/token").respond(429, headers={"Retry-After": "9"}, text="slow down")
        clock = FakeClock()
        adapter = TokenEndpointAdapter(Outbound(clock, allow=("127.0.0.1",)), clock)
        verdict = judge(await refresh(adapter, registration()), builders.provider(), now=NOON)
    assert isinstance(verdict, Refused)
    assert (verdict.code, verdict.retry_after) == ("http_429", 9)
