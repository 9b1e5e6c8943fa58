"""Short-lived tokens obtained without a person, from what a credential keeps.

Owns: what a request for such a token consists of, filled from the credential's values. Does not own: signing and sending it
(`adapters/minting`), what the answer means (`judgement`), when it is asked for (`services/refresh`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.injection import expand
from tokenkeep.core.model import ClientAuth, Mint, Provider, Rotation
from tokenkeep.core.secret import Secret

LATER = frozenset({"assertion", "key_fingerprint", "random"})
"""Holes that are filled when the request is sent: what they stand for needs a key, a clock or chance."""
_HOLE = re.compile(r"\{([A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A JWT to be signed (RFC 7519). Its claims may still have the holes of `LATER`."""

    key: Secret
    algorithm: str  # empty: what fits the key
    header: Mapping[str, str]
    claims: Mapping[str, str] = field(repr=False)
    life_s: int
    back_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsKey:
    """What a request to AWS is signed with."""

    id: str
    secret: Secret
    session: Secret | None
    region: str
    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One request for a token. Holds opened secrets, so its `repr` shows neither headers nor parameters."""

    url: str  # empty: the signed assertion is the token
    method: str
    headers: Mapping[str, str] = field(repr=False)
    params: Mapping[str, str] = field(repr=False)
    signature: Signature | None
    aws: AwsKey | None
    client_auth: ClientAuth
    client_id: str
    client_secret: Secret | None


def holes(template: str) -> tuple[str, ...]:
    """The names a template asks for, in order; a dot leads into a field that holds a JSON object."""
    return tuple(_HOLE.findall(template))


def fill(template: str, known: Mapping[str, str]) -> str:
    """With what is known put in; other holes stay."""
    return _HOLE.sub(lambda hole: known.get(hole.group(1), hole.group()), template)


def order(mint: Mint, values: Mapping[str, Any]) -> Order:
    """The request for a credential with these values.

    A part whose template names an empty or missing value is left out: that is how optional fields work.

    Raises:
        InvalidInput: what cannot be left out is missing, or does not fit the address.
    """
    known = _known(values)
    secret = fill(mint.client_secret, known) if _present(mint.client_secret, known) else ""
    return Order(
        url=expand(mint.url, values) if mint.url else "",
        method=mint.method,
        headers=_filled(mint.headers, known),
        params=_filled(mint.params, known),
        signature=_signature(mint, known),
        aws=_aws(mint, known),
        client_auth=ClientAuth(fill(mint.client_auth, known)),
        client_id=fill(mint.client_id, known) if _present(mint.client_id, known) else "",
        client_secret=Secret(secret) if secret else None,
    )


def provider_of(provider: Provider, mint: Mint, made: Order) -> Provider:
    """The provider as the refresher meets it where tokens are minted: nothing is spent, nothing needs a person."""
    return replace(
        provider,
        token_endpoint=made.url,
        refresh_endpoint="",
        revocation_endpoint="",
        issuer="",
        client_auth=made.client_auth,
        body_format=mint.body_format,
        token_headers={},
        response=replace(mint.response, keep=(*mint.response.keep, *mint.gives.values())),
        quirks=mint.quirks,
        terminal_errors=frozenset(),
        rotation=Rotation.NONE,
        grace_s=0,
        kills_old_access_token=False,
        access_ttl_s=mint.ttl_s,
        access_expires=None,
        refresh_ttl_s=None,
        refresh_idle_ttl_s=None,
        grant_ttl_s=None,
        variables=(),
        mints=True,
    )


def _signature(mint: Mint, known: Mapping[str, str]) -> Signature | None:
    assertion = mint.assertion
    if assertion is None:
        return None
    return Signature(
        key=Secret(_needed(assertion.key, known)),
        algorithm=assertion.algorithm,
        header=_filled(assertion.header, known),
        claims=_filled(assertion.claims, known),
        life_s=assertion.life_s,
        back_s=assertion.back_s,
    )


def _aws(mint: Mint, known: Mapping[str, str]) -> AwsKey | None:
    signer = mint.aws
    if signer is None:
        return None
    session = fill(signer.session, known) if _present(signer.session, known) else ""
    return AwsKey(
        id=_needed(signer.key, known),
        secret=Secret(_needed(signer.secret, known)),
        session=Secret(session) if session else None,
        region=_needed(signer.region, known),
        service=signer.service,
    )


def _known(values: Mapping[str, Any]) -> dict[str, str]:
    """Every value by name, and the members of those that hold a JSON object."""
    known: dict[str, str] = {}
    for name, value in values.items():
        if value is not None:
            known |= _members(name, value)
    return known


def _members(name: str, value: object) -> dict[str, str]:
    found = value
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = value
    text = value if isinstance(value, str) else json.dumps(value) if isinstance(value, dict | list) else str(value)
    members = found if isinstance(found, dict) else {}
    return {name: text} | {f"{name}.{key}": str(each) for key, each in members.items() if isinstance(each, str | int)}


def _present(template: str, known: Mapping[str, str]) -> bool:
    return all(known.get(name) or name in LATER for name in holes(template))


def _filled(templates: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    return {name: fill(template, known) for name, template in templates.items() if _present(template, known)}


def _needed(template: str, known: Mapping[str, str]) -> str:
    missing = next((name for name in holes(template) if not known.get(name)), "")
    if missing:
        raise InvalidInput(fields={missing.partition(".")[0]: "This is needed to ask for a token."})
    return fill(template, known)
