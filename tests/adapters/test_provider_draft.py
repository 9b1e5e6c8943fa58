"""What a provider file makes of a server's metadata: a file that passes the check, or a clear word why there is none."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tokenkeep.adapters.catalog import Catalog, problems
from tokenkeep.adapters.data_files import data_directory
from tokenkeep.adapters.discovery import Metadata
from tokenkeep.adapters.provider_draft import Draft, draft
from tokenkeep.adapters.provider_reader import read
from tokenkeep.adapters.provider_toml import written
from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.model import ClientAuth, Rotation

ISSUER = "https://issuer.example.com"
SOURCE = f"{ISSUER}/.well-known/oauth-authorization-server"
TODAY = date(2026, 11, 24)
TOLD = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "response_types_supported": ["code"],
}


def metadata(**members):
    document = {name: value for name, value in (TOLD | members).items() if value is not None}
    return Metadata(issuer=ISSUER, source=SOURCE, document=document)


def drafted(*, called=None, **members):
    return draft(metadata(**members), checked=TODAY, **(called or {}))


def oauth(**members):
    return drafted(**members).file.oauth


# --- what becomes of it -----------------------------------------------------------------------------------------


def test_of_the_least_metadata_a_file_is_made(tmp_path):
    made = drafted()
    assert (made.file.id, made.file.name) == ("issuer-example-com", "issuer.example.com")
    assert (made.file.tokens.rotation, made.file.tokens.source, made.file.tokens.checked) == (
        Rotation.UNKNOWN,
        SOURCE,
        TODAY,
    )
    assert (made.file.oauth.quirks, made.file.account, made.file.hosts) == (("scopes_of_client",), None, ())
    (tmp_path / "draft.toml").write_text(written(made.file, made.remarks), encoding="utf-8")
    assert read(tmp_path / "draft.toml") == (made.file, [])
    assert problems([data_directory("providers"), tmp_path]) == [], "it goes into force beside those that are shipped"
    catalog = Catalog.load([tmp_path], demo_public_url=None)
    assert catalog.type("issuerExampleComOAuth2").oauth


def test_every_endpoint_that_is_of_use_is_taken():
    found = oauth(
        pushed_authorization_request_endpoint=f"{ISSUER}/par",
        revocation_endpoint="https://Other.example.com/revoke",
        introspection_endpoint=f"{ISSUER}/introspect",
    )
    assert found.pushed_authorization_endpoint == f"{ISSUER}/par"
    assert found.revocation_endpoint == "https://other.example.com/revoke"


@pytest.mark.parametrize(("told", "expected"), [(True, ISSUER), (False, None), (None, None), ("true", None)])
def test_an_issuer_is_expected_back_only_where_it_is_promised(told, expected):
    assert oauth(authorization_response_iss_parameter_supported=told).issuer == expected


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        (None, ClientAuth.BASIC),
        ([], ClientAuth.BASIC),
        (["private_key_jwt", "none", "client_secret_post", "client_secret_basic"], ClientAuth.BASIC),
        (["private_key_jwt", "none", "client_secret_post"], ClientAuth.POST),
        (["private_key_jwt", "none"], ClientAuth.NONE),
        (["private_key_jwt", "tls_client_auth"], ClientAuth.PRIVATE_KEY_JWT),
    ],
)
def test_how_a_client_proves_itself(offered, expected):
    made = drafted(token_endpoint_auth_methods_supported=offered)
    assert made.file.oauth.client_auth is expected
    needed = {ClientAuth.NONE: "no secret", ClientAuth.PRIVATE_KEY_JWT: "private key"}
    assert needed.get(expected, "client secret") in made.file.setup


@pytest.mark.parametrize(
    ("offered", "pkce"), [(None, True), ([], True), (["S256"], True), (["plain", "S256"], True), (["plain"], False)]
)
def test_pkce_is_on_unless_the_server_lists_methods_without_ours(offered, pkce):
    found = oauth(code_challenge_methods_supported=offered)
    assert (found.pkce, bool(found.pkce_off_because)) == (pkce, not pkce)


USERINFO = f"{ISSUER}/userinfo"


@pytest.mark.parametrize(
    ("members", "scopes", "params"),
    [
        ({}, (), {}),
        ({"scopes_supported": ["openid", "email"]}, (), {}),
        ({"userinfo_endpoint": USERINFO}, ("openid",), {}),
        ({"userinfo_endpoint": USERINFO, "scopes_supported": ["read"]}, (), {}),
        ({"userinfo_endpoint": USERINFO, "scopes_supported": ["email", "openid"]}, ("openid", "email"), {}),
        (
            {"userinfo_endpoint": USERINFO, "scopes_supported": ["offline_access", "read", "openid"]},
            ("openid", "offline_access"),
            {"prompt": "consent"},
        ),
    ],
)
def test_where_people_sign_in_the_account_is_asked_for(members, scopes, params):
    file = drafted(**members).file
    assert (file.types[0].scopes, file.oauth.authorize_params) == (scopes, params)
    assert file.oauth.quirks == (() if scopes else ("scopes_of_client",))
    assert file.hosts == (("issuer.example.com",) if scopes else ())
    if scopes:
        assert (file.account.url, file.account.account_id, file.account.account_name) == (
            USERINFO,
            ("sub",),
            ("name", "email"),
        )


@pytest.mark.parametrize(
    ("page", "expected"),
    [("https://docs.example.com/", "https://docs.example.com/"), ("http://docs.example.com/", None), (7, None)],
)
def test_documentation_is_named_where_it_is_usable(page, expected):
    assert drafted(service_documentation=page).file.docs_url == expected


@pytest.mark.parametrize(
    ("issuer", "provider_id", "type_name"),
    [
        ("https://a.example", "a-example", "aExampleOAuth2"),
        ("https://A.example:8443/realms/One_Two", "a-example-8443-realms-one-two", "aExample8443RealmsOneTwoOAuth2"),
        ("https://1.example", "1-example", "id1ExampleOAuth2"),
        (f"https://{'a' * 62}.example", "a" * 62, f"{'a' * 50}OAuth2"),
    ],
)
def test_what_it_is_called_unless_somebody_says(issuer, provider_id, type_name):
    found = Metadata(issuer=issuer, source=SOURCE, document=TOLD | {"issuer": issuer})
    file = draft(found, checked=TODAY).file
    assert (file.id, file.types[0].name) == (provider_id, type_name)
    assert draft(found, provider_id="mine", name="Mine", checked=TODAY).file.id == "mine"


# --- what is said about it -----------------------------------------------------------------------------------------


def test_scopes_are_told_and_nothing_can_break_out_of_a_remark():
    made = drafted(scopes_supported=["read", 'x\nid = "stolen"', 'quo"te', "\u2028", "a b", 7, "read", "write"])
    text = written(made.file, made.remarks)
    assert "#   read\n#   write\n" in text
    assert "stolen" not in text
    assert text.count("#   ") == 2


def test_of_many_scopes_some_are_told():
    made = drafted(scopes_supported=[f"scope-{number}" for number in range(100)])
    assert "# and 40 more" in written(made.file, made.remarks)


@pytest.mark.parametrize(("grants", "told"), [(None, False), (["authorization_code"], True)])
def test_a_server_that_lists_no_refreshing_is_remarked(grants, told):
    made = drafted(grant_types_supported=grants)
    assert ("refresh_token" in written(made.file, made.remarks)) is told


# --- what cannot be spoken to ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "part"),
    [
        ({"authorization_endpoint": None}, "`authorization_endpoint`"),
        ({"token_endpoint": None}, "`token_endpoint`"),
        ({"token_endpoint": "http://issuer.example.com/token"}, "`token_endpoint`"),
        ({"token_endpoint": "/token"}, "`token_endpoint`"),
        ({"token_endpoint": "https://u:p@issuer.example.com/token"}, "`token_endpoint`"),
        ({"token_endpoint": f"{ISSUER}/{{tenant}}/token"}, "`token_endpoint`"),
        ({"token_endpoint": f"{ISSUER}/token#x"}, "`token_endpoint`"),
        ({"token_endpoint": f"{ISSUER}/token\n"}, "`token_endpoint`"),
        ({"token_endpoint": f"{ISSUER}/{'x' * 1000}"}, "`token_endpoint`"),
        ({"token_endpoint": 7}, "`token_endpoint`"),
        ({"userinfo_endpoint": "http://issuer.example.com/me"}, "`userinfo_endpoint`"),
        ({"registration_endpoint": "http://issuer.example.com/register"}, "`registration_endpoint`"),
        ({"grant_types_supported": ["client_credentials"]}, "authorization code grant"),
        ({"grant_types_supported": "authorization_code"}, "`grant_types_supported` is no list"),
        ({"response_types_supported": ["token"]}, "with a code"),
        ({"require_signed_request_object": True}, "signed"),
        ({"token_endpoint_auth_methods_supported": ["tls_client_auth"]}, "tls_client_auth"),
        ({"scopes_supported": {"read": True}}, "`scopes_supported` is no list"),
    ],
)
def test_a_server_that_cannot_be_spoken_to_is_told_so(members, part):
    with pytest.raises(InvalidInput) as invalid:
        drafted(**members)
    assert ISSUER in invalid.value.message
    assert part in invalid.value.message
    assert invalid.value.fix


@pytest.mark.parametrize(
    ("called", "field"),
    [
        ({"provider_id": "Mine"}, "id"),
        ({"provider_id": "a" * 64}, "id"),
        ({"provider_id": "-a"}, "id"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "  "}, "name"),
        ({"name": "\udc80"}, "name"),
        ({"name": "n" * 201}, "name"),
    ],
)
def test_a_name_that_cannot_be_used(called, field):
    with pytest.raises(InvalidInput) as invalid:
        drafted(called=called)
    assert invalid.value.fields.keys() == {field}


# --- whatever comes ---------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def usually(good: st.SearchStrategy[Any], *odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """So that a document of many members has a chance to be drafted."""
    return st.one_of(*[good] * 12, *odd)


ADDRESSES = usually(
    st.sampled_from([f"{ISSUER}/x", "https://EXAMPLE.com:8443/a?b=c", "https://a-b.example/(x)'y'/~%20"]),
    st.text(alphabet="/:.?#@{}[]\\\"' \n%aZ-_7ü", max_size=20).map("https://a".__add__),
    JSON,
)
WORDS = [
    "code",
    "S256",
    "plain",
    "openid",
    "offline_access",
    "authorization_code",
    "client_secret_post",
    "private_key_jwt",
]
LISTS = usually(st.lists(st.sampled_from(WORDS) | st.text(max_size=20), max_size=5), JSON)
DOCUMENTS = st.fixed_dictionaries(
    dict.fromkeys(("authorization_endpoint", "token_endpoint"), ADDRESSES),
    optional={
        "userinfo_endpoint": ADDRESSES,
        "revocation_endpoint": ADDRESSES,
        "pushed_authorization_request_endpoint": ADDRESSES,
        "service_documentation": ADDRESSES,
        "scopes_supported": LISTS,
        "grant_types_supported": usually(st.just(["authorization_code"]), LISTS),
        "response_types_supported": usually(st.just(["code"]), LISTS),
        "code_challenge_methods_supported": LISTS,
        "token_endpoint_auth_methods_supported": LISTS,
        "authorization_response_iss_parameter_supported": JSON,
        "require_signed_request_object": usually(st.just(False), JSON),
    },
)
NAMES = usually(st.just("") | st.text(st.characters(categories=["L", "P", "S"]), max_size=30), st.text(max_size=30))


@given(DOCUMENTS, NAMES, usually(st.just(""), st.from_regex("[a-z0-9-]{1,70}", fullmatch=True)))
def test_whatever_a_server_says_a_file_passes_or_a_person_is_told_why_not(document, name, provider_id):
    found = Metadata(issuer=ISSUER, source=SOURCE, document=document | {"issuer": ISSUER})
    try:
        made = draft(found, provider_id=provider_id, name=name, checked=TODAY)
    except InvalidInput as invalid:
        event("told why not")
        told = invalid.fix or invalid.fields
    else:
        event("drafted")
        told = passes(made)
    assert told


def passes(made: Draft) -> bool:
    """As it stands, and as the file that was meant."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "draft.toml"
        path.write_text(written(made.file, made.remarks), encoding="utf-8")
        return read(path) == (made.file, [])
