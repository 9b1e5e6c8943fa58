"""Authlib's authorization server without a framework: plain parameters in, plain answers out.

Owns: reading requests for Authlib, saving what it issues, and `iss` on every redirect back to a client (RFC 9207).
Does not own: the rules of each grant (`grants`), HTTP (`endpoints`, `consent`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Error, OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.authenticate_client import authenticate_client_secret_basic  # type: ignore[attr-defined]
from authlib.oauth2.rfc6750 import BearerTokenGenerator

from tokenkeep.core.secret import STARS
from tokenkeep.demo.grants import CodeGrant, RequiredS256, Revocation, RotatingRefreshGrant
from tokenkeep.demo.machine import Clock, Entropy
from tokenkeep.demo.people import Person
from tokenkeep.demo.records import SCOPES, Grant, Token, digest
from tokenkeep.demo.store import DemoStore

NOMINAL_URI = "https://demo.invalid/"
"""Authlib refuses plain http beyond loopback by looking at the URI and uses it for nothing else here. Whether the demo
may run where it runs is the assembly's decision, so Authlib is not asked."""

Pairs = Sequence[tuple[str, str]]


class Parameters(OAuth2Payload):
    """Decoded names and values, in order; a name may come twice."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = tuple(pairs)

    @property
    def data(self) -> dict[str, str]:
        """The first value of each name."""
        return dict(reversed(self.pairs))

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        """All values of each name; a fresh one each time, because looking a name up adds it."""
        lists: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in self.pairs:
            lists[name].append(value)
        return lists


class ProtocolRequest(OAuth2Request):
    """An authorization, token or revocation request, already read from the wire."""

    def __init__(self, method: str, parameters: Parameters, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(method, NOMINAL_URI, headers=headers)
        self.payload: Parameters = parameters

    @property
    def args(self) -> dict[str, str | None]:
        """The parameters, wherever they came in."""
        return {**self.payload.data}

    @property
    def form(self) -> dict[str, str]:
        """The parameters, wherever they came in."""
        return self.payload.data


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back: a JSON body, or a redirect with an empty one."""

    status: int
    body: Any
    headers: Mapping[str, str]


class VeiledTokens(dict[str, Any]):
    """A token answer that prints as stars: Authlib writes it to its log at level DEBUG."""

    def __repr__(self) -> str:
        return f"VeiledTokens({STARS})"


class DemoAuthorizationServer(AuthorizationServer):
    """The protocol side of the demo provider. Call it inside `store.transaction()`."""

    def __init__(self, *, issuer: str, store: DemoStore, clock: Clock, entropy: Entropy, access_token_s: int) -> None:
        super().__init__(scopes_supported=list(SCOPES))
        self.issuer = issuer
        self.store = store
        self._clock = clock
        self._entropy = entropy
        self.register_token_generator("default", self._token_generator(access_token_s))
        self.register_client_auth_method("client_secret_basic", _client_secret_basic)
        self.register_grant(CodeGrant, [RequiredS256()])
        self.register_grant(RotatingRefreshGrant)
        self.register_endpoint(Revocation)

    def now(self) -> float:
        """Seconds since the epoch, as rows keep them."""
        return self._clock.now().timestamp()

    def mint(self, kind: str) -> str:
        """A fresh value that says where it comes from, for people and for secret scanners."""
        return f"demo_{kind}_{self._entropy.token(32)}"

    def query_client(self, client_id: str) -> Any:
        """A `Client`. None: not registered."""
        return self.store.client(client_id)

    def consider(self, request: ProtocolRequest, grantee: Person | None = None) -> Any:
        """The grant that an authorization request asks for. Raises OAuth2Error."""
        return self.get_consent_grant(request, grantee)  # type: ignore[no-untyped-call]

    def refuse(self, request: Any, refusal: OAuth2Error) -> Answer:
        """The answer that words a refusal."""
        answer: Answer = self.handle_error_response(request, refusal)  # type: ignore[assignment]
        return answer

    def redeem(self, request: ProtocolRequest) -> Answer:
        """The answer to a token request."""
        answer: Answer = self.create_token_response(request)  # type: ignore[assignment]
        return answer

    def revoke(self, request: ProtocolRequest) -> Answer:
        """The answer to a revocation request."""
        answer: Answer = self.create_endpoint_response(Revocation.ENDPOINT_NAME, request)  # type: ignore[no-untyped-call]
        return answer

    def conclude(self, request: ProtocolRequest, grantee: Person | None, grant: Any) -> Answer:
        """The answer to an authorization request: a code, or access_denied where `grantee` is None."""
        answer: Answer = self.create_authorization_response(request, grantee, grant)  # type: ignore[assignment]
        return answer

    def save_token(self, token: Mapping[str, Any], request: Any) -> None:
        """Digests only. The refresh token keeps all that was granted, also when this answer carries less."""
        grant, now = _grant_of(request), self.now()
        lifetime = int(token["expires_in"])
        access = _token(token["access_token"], "access", grant=grant, scope=token["scope"], lifetime_s=lifetime)
        self.store.add_token(access, expires_at=now + lifetime)
        refresh = _token(token["refresh_token"], "refresh", grant=grant, scope=grant.scope, lifetime_s=0)
        self.store.add_token(refresh, expires_at=None)
        self.store.note_issue(grant.id, now=now)
        self.store.purge(now)

    def generate_token(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As Authlib makes it, veiled."""
        return VeiledTokens(super().generate_token(*args, **kwargs))

    def get_authorization_grant(self, request: Any) -> Any:
        """Authlib's own error quotes the response type, which fails with ValueError on some characters.

        Raises OAuth2Error for any response type but `code`.
        """
        if request.payload.response_type == "code":
            return super().get_authorization_grant(request)
        client = self.query_client(request.payload.client_id or "")
        wanted = request.payload.redirect_uri or (client.redirect_uri if client else "")
        raise OAuth2Error(
            "Only response_type=code is supported.",
            error="unsupported_response_type",
            redirect_uri=wanted if client and client.check_redirect_uri(wanted) else None,
        )

    def create_oauth2_request(self, request: Any) -> OAuth2Request:
        """Ours are read before they come here: reading a body is asynchronous, Authlib is not."""
        read: OAuth2Request = request
        return read

    def handle_response(self, status: int, body: Any, headers: Any) -> Answer:
        """303 instead of 302 (RFC 9700 section 4.12), and `iss` on success and error alike.

        Authlib's extension for `iss` does not see errors that are found before the consent page, so it is done here.
        """
        sent = dict(headers)
        if "Location" not in sent:
            return Answer(status, body, sent)
        return Answer(303, "", {**sent, "Location": add_params_to_uri(sent["Location"], [("iss", self.issuer)])})

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """Nobody listens."""

    def _token_generator(self, access_token_s: int) -> BearerTokenGenerator:
        def access(**_: object) -> str:
            return self.mint("access")

        def refresh(**_: object) -> str:
            return self.mint("refresh")

        def lifetime(*_: object) -> int:
            return access_token_s

        return BearerTokenGenerator(access, refresh, lifetime)


def _client_secret_basic(query_client: Any, request: Any) -> Any:
    """Authlib's method, which fails with UnicodeDecodeError when the header does not hold text. None: not recognised."""
    try:
        return authenticate_client_secret_basic(query_client, request)
    except UnicodeDecodeError:
        return None


def _grant_of(request: Any) -> Grant:
    """The grant behind a token request: that of its code, or that of its refresh token."""
    source = request.authorization_code or request.refresh_token
    grant: Grant = source.grant
    return grant


def _token(text: str, kind: str, *, grant: Grant, scope: str, lifetime_s: int) -> Token:
    return Token(
        digest=digest(text), kind=kind, grant=grant, scope=scope, lifetime_s=lifetime_s, expired=False, spent=False
    )
