"""A key or a session says who asks; a session only on our own pages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.web.api_fakes import COOKIE, KEY, make_api

BY_COOKIE = {"Cookie": f"tokenkeep-session={COOKIE}"}
OURS = "http://localhost:8420"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": f"Bearer {KEY}"}, 200),
        ({"Authorization": f"bearer  {KEY} "}, 200),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": KEY}, 401),
        ({"Authorization": f"Basic {KEY}"}, 401),
        (BY_COOKIE, 200),
        ({"Cookie": "tokenkeep-session=other"}, 401),
        ({"Cookie": f"__Host-tokenkeep-session={COOKIE}"}, 401),
        (BY_COOKIE | {"Authorization": "Bearer wrong"}, 401),
        (BY_COOKIE | {"Authorization": "Basic eA=="}, 200),
    ],
)
@pytest.mark.parametrize("path", ["/v1/credentials/credential-1", "/v1/credentials/credential-1/token"])
async def test_who_asks(headers: dict[str, str], status: int, path: str) -> None:
    async with make_api().client(key=None) as client:
        response = await client.get(path, headers=headers)
    assert response.status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": OURS}, 403),
        ({"Sec-Fetch-Site": ""}, 403),
        ({"Origin": OURS}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:8421"}, 403),
        ({}, 403),
        ({"Authorization": "Basic eA=="}, 403),
        ({"Authorization": f"Bearer {KEY}"}, 200),  # acts by the key, whatever the cookie says
        ({"Authorization": "Bearer wrong", "Sec-Fetch-Site": "same-origin"}, 401),
    ],
)
async def test_a_session_changes_things_only_from_our_own_pages(headers: dict[str, str], status: int) -> None:
    async with make_api().client(key=None) as client:
        response = await client.post("/v1/credentials/credential-1/test", headers=BY_COOKIE | headers)
    assert response.status_code == status
    if status == 403:
        assert response.json()["code"] == "cross_site"


@pytest.mark.parametrize(
    ("public_url", "cookie", "status"),
    [
        ("https://tk.example", "__Host-tokenkeep-session", 200),
        ("https://tk.example", "tokenkeep-session", 401),
    ],
)
async def test_the_cookie_is_pinned_to_the_host_over_https(public_url: str, cookie: str, status: int) -> None:
    api = make_api()
    api.config = replace(api.config, public_url=public_url, demo=False)
    async with api.client(key=None) as client:
        response = await client.get("/v1/credentials", headers={"Cookie": f"{cookie}={COOKIE}", "Host": "tk.example"})
    assert response.status_code == status


async def test_outside_demo_only_the_published_origin_is_ours() -> None:
    api = make_api()
    api.config = replace(api.config, public_url="http://tk.example", demo=False)
    headers = BY_COOKIE | {"Host": "tk.example", "Origin": "http://tk.example"}
    async with api.client(key=None) as client:
        ours = await client.post("/v1/credentials/c/test", headers=headers)
        loopback = await client.post("/v1/credentials/c/test", headers=headers | {"Origin": "http://localhost:8420"})
    assert (ours.status_code, loopback.status_code) == (200, 403)


async def test_the_access_line_names_the_caller() -> None:
    api = make_api()
    async with api.client() as client:
        await client.get("/v1/credentials")
        await client.get("/v1/credentials/c/token")
        await client.get("/v1/credentials", headers={"Authorization": "Basic eA==", **BY_COOKIE})
    assert [line[4] for line in api.lines] == ["key/key-1", "key/key-1", "user/user-1"]
