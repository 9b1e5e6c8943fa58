"""What pages and the API say about ends: known or not, and when a person will be needed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from tests.kit import builders as a
from tests.kit.clock import NOON
from tests.web import api_fakes
from tests.web.page_world import COOKIE, OAUTH, ORIGIN, World, overview, view
from tokenkeep.core.model import State
from tokenkeep.services.ports import Attention
from tokenkeep.web import words

DAY = timedelta(days=1)


def shown(world: World, path: str) -> str:
    """A page's text without its marks."""
    client = TestClient(world.app(), base_url=ORIGIN, follow_redirects=False)
    client.cookies.set("tokenkeep-session", COOKIE)
    page = client.get(path)
    assert page.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


def credential_page(**standing: object) -> str:
    world = World()
    grant = a.grant(standing=a.standing(**standing))
    world.credentials.views = [view(credential=a.credential(grant=grant))]
    return shown(world, "/credentials/credential-1")


def foreseen() -> Attention:
    standing = a.standing(needs_person_at=NOON + 3 * DAY)
    return Attention(credential_id="credential-1", name="Calendar", type=OAUTH.name, provider="acme", standing=standing)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, "Expires 24 Nov 2026, 13:00 UTC Next refresh"),
        ({"expires_at": None}, "Expires Unknown: the provider does not say. What nodes report as rejected is replaced"),
        ({"expires_at": None, "endless": True}, "Expires Does not end, says the provider Next refresh"),
        ({"expires_at": None, "learned_life_s": 7300}, "One was rejected at the age of 2 hours Next refresh"),
        ({}, "Needs a person No such date is known"),
        ({"needs_person_at": NOON + DAY}, "Needs a person 25 Nov 2026, 12:00 UTC Reconnect it before then"),
        (
            {"refresh_expires_at": NOON + DAY},
            "Refresh token ends 25 Nov 2026, 12:00 UTC and is renewed before Needs a person No such",
        ),
        (
            {"refresh_expires_at": NOON + DAY, "needs_person_at": NOON + DAY},
            "Refresh token ends 25 Nov 2026, 12:00 UTC Needs a person 25 Nov 2026, 12:00 UTC",
        ),
    ],
)
def test_the_page_says_what_is_known_of_the_ends(parts: dict[str, object], expected: str) -> None:
    assert expected in credential_page(**parts)


def test_the_status_page_lists_who_will_need_a_person() -> None:
    world = World()
    world.status.overview_now = overview(forecasts=[foreseen()])
    assert "Will need a person Calendar Acme 27 Nov 2026, 12:00 UTC" in shown(world, "/status")
    world.status.overview_now = overview()
    assert "Will need a person No connection has a known end." in shown(world, "/status")


async def test_the_api_says_what_is_known_of_the_end_and_the_date() -> None:
    api = api_fakes.make_api()
    standing = a.standing(expires_at=None, learned_life_s=7200, needs_person_at=NOON + DAY)
    api.credentials.answers["get"] = api_fakes.view(credential=a.credential(grant=a.grant(standing=standing)))
    async with api.client() as client:
        document = (await client.get("/v1/credentials/credential-1")).json()
    told = {name: document[name] for name in ("expires_at", "expiry", "learned_life_s", "needs_person_at")}
    assert told == {
        "expires_at": None,
        "expiry": "learned",
        "learned_life_s": 7200,
        "needs_person_at": "2026-11-25T12:00:00Z",
    }


async def test_the_api_says_nothing_of_ends_where_there_is_no_token() -> None:
    api = api_fakes.make_api()
    api.credentials.answers["get"] = api_fakes.view(credential=a.credential(), state=State.UNCONNECTED)
    async with api.client() as client:
        document = (await client.get("/v1/credentials/credential-1")).json()
    assert {document[name] for name in ("expires_at", "expiry", "learned_life_s", "needs_person_at")} == {None}


async def test_the_api_lists_who_will_need_a_person() -> None:
    api = api_fakes.make_api()
    api.status.answers["overview"] = replace(api_fakes.status_view(), forecasts=[foreseen()])
    async with api.client() as client:
        document = (await client.get("/v1/status")).json()
    assert document["forecasts"] == [
        {
            "credential_id": "credential-1",
            "name": "Calendar",
            "type": OAUTH.name,
            "provider": "acme",
            "state": "connected",
            "needs_person_at": "2026-11-27T12:00:00Z",
        }
    ]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(119, "119 seconds"), (120, "2 minutes"), (7199, "119 minutes"), (7200, "2 hours"),
     (172_799, "47 hours"), (172_800, "2 days"), (10**8, "1157 days")],
)  # fmt: skip
def test_a_life_in_words(seconds: int, expected: str) -> None:
    assert words.life(seconds) == expected
