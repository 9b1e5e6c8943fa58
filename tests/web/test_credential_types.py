"""The catalogue over the API."""

from __future__ import annotations

import pytest

from tests.web.api_fakes import make_api


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["acmeOAuth2", "acmeApi"]),
        ("?q=API", ["acmeApi"]),
        ("?q=acmekey", ["acmeApi"]),
        ("?q=nothing", []),
        ("?category=database", ["acmeApi"]),
        ("?names=acmeKey,%20acmeOAuth2", ["acmeOAuth2", "acmeApi"]),
        ("?names=acmeKey&category=CRM", []),
        ("?limit=1", ["acmeOAuth2"]),
        ("?limit=1&cursor=at-1", ["acmeApi"]),
    ],
)
async def test_types_are_found(query: str, names: list[str]) -> None:
    async with make_api().client() as client:
        document = (await client.get(f"/v1/credential-types{query}")).json()
    assert [item["name"] for item in document["items"]] == names


@pytest.mark.parametrize("name", ["acmeApi", "acmeKey"])
async def test_a_type_tells_what_it_asks_for(name: str) -> None:
    async with make_api().client() as client:
        document = (await client.get(f"/v1/credential-types/{name}")).json()
    assert document["name"] == "acmeApi"
    assert document["grants"] == []
    assert document["provider"] == {"id": "acme", "name": "Acme", "docs_url": ""}
    assert document["fields"] == [
        {
            "name": "apiKey",
            "label": "API key",
            "kind": "secret",
            "secret": True,
            "required": True,
            "default": None,
            "options": [],
            "help": "",
            "placeholder": "",
        }
    ]


async def test_an_oauth_type_says_so() -> None:
    async with make_api().client() as client:
        document = (await client.get("/v1/credential-types/acmeOAuth2")).json()
    assert (document["grants"], document["scopes"]) == (["authorization_code"], ["read"])


@pytest.mark.parametrize("path", ["/v1/credential-types/none", "/v1/credential-types/none/icon"])
async def test_an_unknown_type_is_not_found(path: str) -> None:
    async with make_api().client() as client:
        assert (await client.get(path)).json()["code"] == "not_found"


async def test_icons_are_for_all_and_the_catalogue_is_not() -> None:
    async with make_api().client(key=None) as client:
        icon = await client.get("/v1/credential-types/acmeApi/icon")
        catalogue = await client.get("/v1/credential-types")
    assert (icon.status_code, icon.headers["content-type"]) == (200, "image/svg+xml")
    assert icon.headers["cache-control"] == "public, max-age=86400"
    assert catalogue.status_code == 401
