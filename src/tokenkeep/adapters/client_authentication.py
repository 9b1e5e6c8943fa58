"""How a client proves itself at a token endpoint (RFC 6749 section 2.3, RFC 7523 section 2.2).

Owns: the credentials that a request carries. Does not own: the request (`token_endpoint`), keys (`private_keys`).
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast
from urllib.parse import quote_plus

from authlib.oauth2.auth import ClientAuth as Authentication
from authlib.oauth2.rfc7523 import PrivateKeyJWT

from tokenkeep.adapters.private_keys import algorithm_of, private_key
from tokenkeep.core.model import ClientAuth
from tokenkeep.services.ports import Registration

_ASSERTION_LIFE_S = 60

_Method = Callable[[Any, str, str, dict[str, str], str], tuple[str, dict[str, str], str]]


def authenticated(
    registration: Registration, url: str, headers: dict[str, str], body: str, *, now: datetime
) -> tuple[str, dict[str, str], str]:
    """A POST with the client's proof of itself; one without a secret is a public client.

    Raises:
        JoseError, ValueError: the client's private key cannot be read.
    """
    secret = registration.secret.reveal() if registration.secret else ""
    method = _method(registration, url, secret, now) if secret else ClientAuth.NONE.value
    return _prepared(Authentication(registration.client.client_id, secret, method), "POST", url, headers, body)


def names_client(registration: Registration) -> bool:
    """Whether the proof puts the client id into the body, where a parameter may stand only once."""
    public = registration.secret is None or not registration.secret.reveal()
    return public or registration.provider.client_auth is not ClientAuth.BASIC


def basic(registration: Registration, verb: str, url: str, headers: dict[str, str]) -> tuple[str, dict[str, str]]:
    """A request without a body, by client id and secret."""
    secret = registration.secret.reveal() if registration.secret else ""
    authentication = Authentication(registration.client.client_id, secret, _basic)
    url, headers, _ = _prepared(authentication, verb, url, headers)
    return url, headers


def _method(registration: Registration, url: str, secret: str, now: datetime) -> str | _Method:
    provider = registration.provider
    match provider.client_auth:
        case ClientAuth.BASIC:
            return _basic_unencoded if "secret_in_basic_unencoded" in provider.quirks else _basic
        case ClientAuth.PRIVATE_KEY_JWT:
            # The issuer as sole audience: an assertion must be of no use at another server (T49).
            return _signed(secret, client_id=registration.client.client_id, audience=provider.issuer or url, now=now)
        case plain:
            return plain.value


def _signed(secret: str, *, client_id: str, audience: str, now: datetime) -> _Method:
    """RFC 7523 section 2.2 with a key of any kind. Made anew for each request, or the `jti` would repeat."""
    key, header = private_key(secret)
    issued_at = int(now.timestamp())
    claims = {"iat": issued_at, "exp": issued_at + _ASSERTION_LIFE_S}
    signer = PrivateKeyJWT(audience, claims=claims, headers=header, alg=algorithm_of(key))

    def method(_: Any, verb: str, url: str, headers: dict[str, str], body: str) -> tuple[str, dict[str, str], str]:
        keyed = Authentication(client_id, key, signer)
        body = f"{body}&client_id={quote_plus(client_id)}"
        return cast("tuple[str, dict[str, str], str]", signer(keyed, verb, url, headers, body))

    return method


def _prepared(
    authentication: Authentication, verb: str, url: str, headers: dict[str, str], body: str = ""
) -> tuple[str, dict[str, str], str]:
    prepared = authentication.prepare(verb, url, headers, body)  # type: ignore[no-untyped-call]
    return cast("tuple[str, dict[str, str], str]", prepared)


def _basic(client: Any, _: str, url: str, headers: dict[str, str], body: str) -> tuple[str, dict[str, str], str]:
    """RFC 6749 section 2.3.1: form-encoded first. Authlib's own leaves that out and fails beyond Latin-1."""
    return url, headers | _authorization(quote_plus(client.client_id), quote_plus(client.client_secret)), body


def _basic_unencoded(
    client: Any, _: str, url: str, headers: dict[str, str], body: str
) -> tuple[str, dict[str, str], str]:
    return url, headers | _authorization(client.client_id, client.client_secret), body


def _authorization(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
