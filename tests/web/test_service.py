"""The service about itself."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from tests.web.api_fakes import make_api
from tokenkeep.web.app import OPERATIONS
from tokenkeep.web.codes import CODES


async def test_alive() -> None:
    async with make_api().client(key=None) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ({"database": "ok", "key": "ok", "scheduler": "ok"}, 200),
        ({"database": "does not answer", "key": "ok", "scheduler": "ok"}, 503),
        ({"database": "ok", "key": "ok", "scheduler": "ok", "refreshing": "paused, disk_full: Make room."}, 200),
        ({"database": "ok", "key": "no", "scheduler": "ok", "refreshing": "paused, disk_full: Make room."}, 503),
    ],
)
async def test_ready_says_what_is_not(parts: dict[str, str], status: int) -> None:
    api = make_api()
    api.status.answers["ready"] = parts
    async with api.client(key=None) as client:
        response = await client.get("/readyz")
    assert (response.status_code, response.json()) == (status, parts)


async def test_metrics_are_prometheus_text() -> None:
    async with make_api().client(key=None) as client:
        response = await client.get("/metrics")
    assert (response.text, response.headers["content-type"]) == (
        "# HELP x\n",
        "text/plain; version=0.0.4; charset=utf-8",
    )


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/errors"])
async def test_looking_without_taking_is_allowed(path: str) -> None:
    async with make_api().client(key=None) as client:
        assert (await client.head(path)).status_code == 200


async def test_the_reference_shows_every_operation_and_loads_nothing() -> None:
    async with make_api().client(key=None) as client:
        response = await client.get("/docs")
    for operation in OPERATIONS:
        assert f'id="{operation.name}"' in response.text
    assert not re.search(r"(src|href)=\"(https?:)?//", response.text)
    assert "<script" not in response.text


@pytest.mark.parametrize("path", ["/docs", "/docs/errors"])
async def test_the_reference_s_only_style_is_the_one_its_policy_names(path: str) -> None:
    async with make_api().client(key=None) as client:
        response = await client.get(path)
    styles = re.findall(r"<style>(.*?)</style>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(styles[0].encode()).digest()).decode()
    assert len(styles) == 1
    assert f"style-src 'sha256-{digest}'" in response.headers["content-security-policy"]


async def test_a_problem_s_type_leads_to_its_explanation() -> None:
    async with make_api().client(key=None) as client:
        page = (await client.get("/docs/errors")).text
    for code in CODES:
        assert f'id="{code}"' in page
