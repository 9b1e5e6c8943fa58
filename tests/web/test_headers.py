"""What holds for every request: host, size, security headers, the last resort, the client's address."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from starlette.requests import Request

from tests.web.api_fakes import COOKIE, KEY, make_api
from tokenkeep.web.headers import client_address

TRUSTING = replace(make_api().config, trusted_proxies=("10.0.0.0/8", "::1"))


@pytest.mark.parametrize(
    ("public_url", "demo", "host", "status"),
    [
        ("https://tk.example", False, "tk.example", 200),
        ("https://tk.example", False, "TK.example", 200),
        ("https://tk.example", False, "tk.example:443", 200),
        ("https://tk.example", False, "tk.example:8420", 421),
        ("https://tk.example", False, "evil.example", 421),
        ("https://tk.example", False, "tk.example.evil.example", 421),
        ("https://tk.example", False, "localhost", 421),
        ("https://tk.example:8443", False, "tk.example:8443", 200),
        ("https://tk.example:8443", False, "tk.example", 421),
        ("http://tk.example", False, "tk.example:80", 200),
        ("http://127.0.0.1:8420", True, "localhost:8420", 200),
        ("http://127.0.0.1:8420", True, "127.0.0.1:9999", 200),
        ("http://127.0.0.1:8420", True, "[::1]:8420", 200),
        ("http://127.0.0.1:8420", True, "localhost.evil.example:8420", 421),
        ("http://127.0.0.1:8420", True, "[::1", 421),
        ("http://127.0.0.1:8420", False, "localhost:8420", 421),
    ],
)
async def test_only_the_published_host_is_served(public_url: str, demo: bool, host: str, status: int) -> None:
    api = make_api()
    api.config = replace(api.config, public_url=public_url, demo=demo)
    async with api.client(key=None) as client:
        response = await client.get("/docs/errors", headers={"Host": host})
    assert response.status_code == status
    if status == 421:
        assert response.json()["code"] == "wrong_host"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/healthz", {}, 200),
        ("/readyz", {}, 200),
        ("/metrics", {}, 200),
        ("/healthz/x", {}, 421),
        ("/v1/credentials", {"Authorization": f"Bearer {KEY}"}, 200),
        ("/v1/credentials/c/token", {"Authorization": f"Bearer {KEY}"}, 200),
        ("/v1/credentials", {"Authorization": f"Bearer {KEY}", "Cookie": f"tokenkeep-session={COOKIE}"}, 421),
        ("/v1/credentials", {"Cookie": f"tokenkeep-session={COOKIE}"}, 421),
    ],
)
async def test_probes_and_keys_may_come_by_another_name(path: str, headers: dict[str, str], status: int) -> None:
    async with make_api().client(key=None, Host="tokenkeep.internal:8420", **headers) as client:
        assert (await client.get(path)).status_code == status


EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
DOCUMENTS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/credentials", EVERYWHERE | DOCUMENTS),
        ("/v1/credentials/c/token", EVERYWHERE),
        ("/v1/nothing", EVERYWHERE | DOCUMENTS),
        ("/healthz", EVERYWHERE | DOCUMENTS),
    ],
)
async def test_every_answer_carries_security_headers(path: str, expected: dict[str, str]) -> None:
    async with make_api().client() as client:
        response = await client.get(path)
    assert {name: response.headers.get(name) for name in expected} == expected
    assert "strict-transport-security" not in response.headers
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/v1/credentials", "/v1/credentials/c/token", "/nothing"])
async def test_over_https_browsers_are_told_to_stay_there(path: str) -> None:
    api = make_api()
    api.config = replace(api.config, public_url="https://tk.example", demo=False)
    async with api.client(Host="tk.example") as client:
        response = await client.get(path)
    assert response.headers["strict-transport-security"].startswith("max-age=31536000")


async def test_the_answer_s_own_policy_stands_once() -> None:
    async with make_api().client(key=None) as client:
        response = await client.get("/v1/credential-types/acmeApi/icon")
    assert response.headers.get_list("content-security-policy") == [
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
    ]


@pytest.mark.parametrize("path", ["/v1/credentials/c", "/v1/credentials/c/token"])
async def test_the_unforeseen_shows_nothing(path: str, caplog: pytest.LogCaptureFixture) -> None:
    api = make_api()
    api.credentials.answers["get"] = api.tokens.answers["token"] = ValueError("hidden-1")
    with caplog.at_level(logging.ERROR):
        async with api.client() as client:
            response = await client.get(path)
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "hidden-1" not in response.text + caplog.text
    assert "unforeseen ValueError" in caplog.text
    assert api.observed[0][1] == 500


@pytest.mark.parametrize(
    ("path", "route", "shown"),
    [
        ("/v1/credentials/c/token?min_ttl=5", "/v1/credentials/{credential_id}/token", "/v1/credentials/c/token"),
        ("/v1/credentials?q=hidden-1", "/v1/credentials", "/v1/credentials"),
        ("/connect/hidden-1", "/connect/{secret}", "/connect/{secret}"),
        ("/conect/hidden-1", "unmatched", "/conect/..."),
        ("/nothing", "unmatched", "/nothing"),
        ("/v1/credentials/a%0Ab", "/v1/credentials/{credential_id}", "/v1/credentials/a%0Ab"),
    ],
)
async def test_each_request_is_noted_without_its_secrets(path: str, route: str, shown: str) -> None:
    api = make_api()
    api.connect.answers["open"] = ValueError("not of interest here")
    async with api.client() as client:
        response = await client.get(path)
    assert [seen[:2] for seen in api.observed] == [(route, response.status_code)]
    assert [line[:3] for line in api.lines] == [("GET", shown, response.status_code)]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.2", [], "10.0.0.2"),
        ("10.0.0.2", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.2", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.2", ["6.6.6.6", "198.51.100.1, 10.0.0.3"], "198.51.100.1"),
        ("10.0.0.2", ["6.6.6.6, nonsense"], "10.0.0.2"),
        ("10.0.0.2", ["10.0.0.9"], "10.0.0.9"),
        ("::1", ["2001:db8::1"], "2001:db8::1"),
        ("testclient", ["198.51.100.1"], "testclient"),
    ],
)
def test_only_a_trusted_proxy_says_who_is_behind_it(peer: str, forwarded: list[str], expected: str) -> None:
    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    request = Request({"type": "http", "client": (peer, 1), "headers": headers})
    assert client_address(request, TRUSTING) == expected
