"""Tokens obtained without a person, on the wire.

Owns: signing assertions with keys from credentials, and the request that a token is asked for with. Does not own: what it
consists of (`core/minting`), how a client proves itself (`client_authentication`), connections (`outbound`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from tokenkeep.adapters.aws_signature import SignerMissing, signed_headers
from tokenkeep.adapters.client_authentication import authenticated
from tokenkeep.adapters.outbound import Outbound
from tokenkeep.adapters.private_keys import Key, algorithm_of, private_key
from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.minting import Order, Signature, fill
from tokenkeep.core.model import Answer
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import Clock, Entropy, Registration

_JSON_TYPE, _FORM_TYPE = "application/json", "application/x-www-form-urlencoded"


class MintingAdapter:
    """Implements the port `Minter`. What a request cannot be built from is answered as `misconfigured`."""

    def __init__(self, outbound: Outbound, clock: Clock, entropy: Entropy) -> None:
        self._outbound = outbound
        self._clock = clock
        self._entropy = entropy

    async def mint(self, registration: Registration) -> Answer:
        """The service's answer; where the assertion itself is the token, one that looks like it."""
        order = registration.order
        if order is None:
            return Answer(status=0, fault="misconfigured")
        try:
            later = {"random": self._entropy.id()}
            if order.signature is not None:
                later["assertion"] = self._signed(order.signature, later)
            if not order.url:
                return _as_answer(order, later.get("assertion", ""))
            url, headers, content = self._request(registration, order, later)
        except SignerMissing:
            return Answer(status=0, fault="uninstalled")
        except (InvalidInput, JoseError, ValueError):
            return Answer(status=0, fault="misconfigured")
        return await self._outbound.send(order.method, url, headers=headers, content=content, fresh=True)

    def _request(
        self, registration: Registration, order: Order, later: Mapping[str, str]
    ) -> tuple[str, dict[str, str], bytes]:
        headers = {"accept": _JSON_TYPE} | {name.lower(): fill(text, later) for name, text in order.headers.items()}
        if order.method == "GET":
            return order.url, headers, b""
        as_json = registration.provider.body_format == "json"
        headers["content-type"] = _JSON_TYPE if as_json else _FORM_TYPE
        body = urlencode({name: fill(text, later) for name, text in order.params.items()})
        url = order.url
        if order.client_id:
            url, headers, body = authenticated(registration, url, headers, body, now=self._clock.now())
        content = _nested(body) if as_json else body.encode()
        if order.aws is not None:
            headers = signed_headers(order.aws, order.method, url, headers, content)
        return url, headers, content

    def _signed(self, signature: Signature, later: Mapping[str, str]) -> str:
        """RFC 7519. Raises JoseError, ValueError: the key cannot be read, or cannot sign like that."""
        key, named = _key(signature)
        algorithm = signature.algorithm or (algorithm_of(key) if not isinstance(key, OctKey) else "HS256")
        known = dict(later)
        if not isinstance(key, OctKey):
            known["key_fingerprint"] = _fingerprint(key)
        issued_at = int(self._clock.now().timestamp()) - signature.back_s
        claims: dict[str, Any] = {name: fill(text, known) for name, text in signature.claims.items()}
        claims |= {"iat": issued_at, "exp": issued_at + signature.back_s + signature.life_s}
        header = {"alg": algorithm, "typ": "JWT"} | named | dict(signature.header)
        return jwt.encode(header, claims, key, algorithms=[algorithm])


def _key(signature: Signature) -> tuple[Key | OctKey, dict[str, str]]:
    secret = signature.key.reveal()
    if signature.algorithm.startswith("HS"):
        return OctKey.import_key(secret), {}
    return private_key(secret)


def _fingerprint(key: Key) -> str:
    """`SHA256:` and the digest of the public key, as Snowflake names a key."""
    public = key.as_bytes(encoding="DER", private=False)
    return "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode()


def _as_answer(order: Order, assertion: str) -> Answer:
    life_s = order.signature.life_s if order.signature is not None else 0
    return Answer(status=200, body=Secret(json.dumps({"access_token": assertion, "expires_in": life_s})))


def _nested(form: str) -> bytes:
    """A JSON object; dotted names are paths into objects within it."""
    document: dict[str, Any] = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        *path, last = name.split(".")
        inner = document
        for step in path:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return json.dumps(document).encode()
