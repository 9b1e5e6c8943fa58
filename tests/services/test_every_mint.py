"""Every shipped type that obtains its tokens without a person, against a service that reads its requests strictly."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from tests.kit.house import House, make_house
from tokenkeep.adapters.catalog import Catalog
from tokenkeep.adapters.data_files import data_directory
from tokenkeep.core.model import Assertion, CredentialType, Field, FieldKind, Mint, State

CATALOG = Catalog.load([data_directory("providers")], demo_public_url="https://keep.example.com")
TYPES = {type_.name: type_ for type_ in CATALOG.types() if type_.mint is not None}
RSA, EC = RSAKey.generate_key(2048), ECKey.generate_key("P-256")
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def key_of(type_: CredentialType) -> RSAKey | ECKey:
    assertion = mint_of(type_).assertion
    return EC if assertion is not None and assertion.algorithm.startswith("ES") else RSA


def mint_of(type_: CredentialType) -> Mint:
    assert type_.mint is not None
    return type_.mint


def pem(type_: CredentialType) -> str:
    return key_of(type_).as_pem(private=True).decode()


def sample(type_: CredentialType, field: Field) -> Any:
    """Something of the right kind that can be told from everything else."""
    match field.kind:
        case FieldKind.URL:
            return "https://issuer.example.com/oauth"
        case FieldKind.CHOICE:
            return field.options[0]
        case FieldKind.JSON:
            return {"client_email": "robot@example.org", "private_key": pem(type_), "private_key_id": "key-1"}
        case FieldKind.MULTILINE:
            return pem(type_)
        case _:
            return f"sample-{field.name.lower()}"


async def made(type_: CredentialType, values: Mapping[str, Any]) -> tuple[House, str]:
    house = await make_house(types=[type_], further=[CATALOG.provider(type_.provider)])
    house.issuer.document = lambda number: answer(mint_of(type_), number)  # type: ignore[method-assign]
    view = await house.cases.credentials.create(house.person, type=type_.name, name="One", values=values)
    return house, view.credential.id


def answer(mint: Mint, number: int) -> dict[str, Any]:
    """A token answer with its parts where the file says they are."""
    document: dict[str, Any] = {}
    for path, value in ((mint.response.access_token[0], f"minted-{number}"), (mint.response.expires_in[0], 3600)):
        *steps, last = path.split(".")
        inner = document
        for step in steps:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return document


def claims_of(type_: CredentialType, token: str) -> Mapping[str, Any]:
    """Of a JWT whose signature the public half of the key proves."""
    assertion = assertion_of(type_)
    algorithms = [assertion.algorithm or "RS256"]
    return jwt.decode(token, key_of(type_), algorithms=algorithms).claims


def assertion_of(type_: CredentialType) -> Assertion:
    assertion = mint_of(type_).assertion
    assert assertion is not None
    return assertion


def every_text(found: object) -> list[str]:
    if isinstance(found, Mapping):
        return [text for value in found.values() for text in every_text(value)]
    return [found] if isinstance(found, str) else []


@pytest.mark.parametrize("name", TYPES)
async def test_it_is_connected_renewed_and_used(name: str) -> None:
    type_ = TYPES[name]
    house, id_ = await made(type_, {field.name: sample(type_, field) for field in type_.fields})
    assert house.state(id_) is State.CONNECTED, house.failure_code(id_)
    for asked in house.issuer.journal:
        check(type_, asked.method, asked.url, asked.headers, asked.params)
    first = await token(house, id_)
    await house.next_try(id_)
    second = await token(house, id_)
    if mint_of(type_).url:
        assert (first, second) == ("minted-1", "minted-2")
    else:
        early, late = claims_of(type_, first), claims_of(type_, second)
        assert early["iat"] < late["iat"]
        check_claims(type_, early)
    authorization = await house.cases.tokens.authorization(house.node, id_)
    assert any(second in text.reveal() for text in authorization.headers.values())


async def token(house: House, id_: str) -> str:
    return (await house.cases.tokens.token(house.node, id_)).access_token.reveal()


def check(type_: CredentialType, method: str, url: str, headers: Mapping[str, str], params: Mapping[str, Any]) -> None:
    """What the service would insist on."""
    mint = mint_of(type_)
    assert method == mint.method
    assert urlsplit(url).scheme == "https"
    assert not [text for text in [url, *headers.values(), *every_text(params)] if "{" in text]
    asserted = [text.removeprefix("Bearer ") for text in [*headers.values(), *every_text(params)] if "eyJ" in text]
    assert len(asserted) == (1 if mint.assertion is not None else 0)
    for each in asserted:
        check_claims(type_, claims_of(type_, each))
    if mint.client_id and params.get("grant_type") != JWT_BEARER:
        check_client(type_, headers, params)


def check_claims(type_: CredentialType, claims: Mapping[str, Any]) -> None:
    assertion = assertion_of(type_)
    assert set(assertion.claims) <= set(claims)
    assert claims["exp"] - claims["iat"] == assertion.life_s + assertion.back_s
    assert not [text for text in every_text(claims) if "{" in text]


def check_client(type_: CredentialType, headers: Mapping[str, str], params: Mapping[str, Any]) -> None:
    """Once, and in one place only."""
    values, mint = {field.name: sample(type_, field) for field in type_.fields}, mint_of(type_)
    client_id, secret = (values[template.strip("{}")] for template in (mint.client_id, mint.client_secret))
    in_header = headers.get("authorization", "").startswith("Basic ")
    assert in_header != ("client_secret" in params)
    if in_header:
        user, _, password = base64.b64decode(headers["authorization"][6:]).decode().partition(":")
        assert (unquote_plus(user), unquote_plus(password)) == (client_id, secret)
    else:
        assert (params["client_id"], params["client_secret"]) == (client_id, secret)


@pytest.mark.parametrize("name", TYPES)
async def test_optional_fields_may_be_left_out(name: str) -> None:
    type_ = TYPES[name]
    house, id_ = await made(type_, {field.name: sample(type_, field) for field in type_.fields if field.required})
    assert house.state(id_) is State.CONNECTED, house.failure_code(id_)
    for asked in house.issuer.journal:
        assert not [text for text in [asked.url, *every_text(asked.params)] if "{" in text or text == ""]


async def test_a_snowflake_key_is_named_by_its_fingerprint() -> None:
    import hashlib

    type_ = TYPES["snowflakeKeyPair"]
    house, id_ = await made(type_, {field.name: sample(type_, field) for field in type_.fields})
    public = RSA.as_bytes(encoding="DER", private=False)
    digest = base64.b64encode(hashlib.sha256(public).digest()).decode()
    issuer = claims_of(type_, await token(house, id_))["iss"]
    assert issuer == f"sample-accountidentifier.sample-username.SHA256:{digest}"


async def test_a_google_key_file_is_read_as_pasted_text() -> None:
    type_ = TYPES["googleServiceAccount"]
    key_file = json.dumps(sample(type_, type_.fields[0]))
    house, id_ = await made(type_, {"serviceAccountKey": key_file, "subject": "ada@example.org"})
    assert house.state(id_) is State.CONNECTED
    claims = claims_of(type_, house.issuer.journal[0].params["assertion"])
    assert (claims["iss"], claims["sub"]) == ("robot@example.org", "ada@example.org")
    header = json.loads(base64.urlsafe_b64decode(house.issuer.journal[0].params["assertion"].split(".")[0] + "=="))
    assert header == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}


async def test_a_key_that_cannot_be_read_says_so() -> None:
    type_ = TYPES["appStoreConnectKey"]
    house, id_ = await made(type_, {"issuerId": "i", "keyId": "k", "privateKey": "not a key"})
    assert house.state(id_) is State.FAILING
    assert house.failure_code(id_) == "values_unusable"
