"""The pages of webhooks: every form does one thing, secrets show once, hostile text stays text."""

import re
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from tests.kit import builders as a
from tests.kit.clock import NOON
from tests.kit.told import delivery, endpoint
from tests.web.page_world import COOKIE, ORIGIN, World, overview
from tests.web.webhooks_world import SECRET
from tokenkeep.core.webhooks import DeliveryState

LIST = "/settings/webhooks"
ITEM = f"{LIST}/endpoint-1"
FORMS = [
    LIST,
    ITEM,
    *(f"{ITEM}/{action}" for action in ("secret", "switch", "test", "replay", "replay-failed", "delete")),
]
HOSTILE = """"><script>alert(1)</script>{{7*7}}"""


@pytest.fixture
def world():
    return World()


@pytest.fixture
def browser(world):
    client = TestClient(world.app(), base_url=ORIGIN, follow_redirects=False, headers={"Origin": ORIGIN})
    client.cookies.set("tokenkeep-session", COOKIE)
    return client


@pytest.mark.parametrize("path", [LIST, ITEM, f"{ITEM}?state=failed", f"{ITEM}/delete"])
def test_the_pages_render_with_nothing_inline(browser, path):
    page = browser.get(path)
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=|<style|javascript:", page.text)
    assert page.text.count("<h1") == 1
    ids = re.findall(r'\sid="([^"]+)"', page.text)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", FORMS)
def test_a_form_from_another_site_does_nothing(world, browser, path):
    assert browser.post(path, headers={"Origin": "https://evil.example"}).status_code == 403
    assert world.webhooks.asked == []


@pytest.mark.parametrize("path", [LIST, ITEM])
def test_who_is_not_signed_in_is_asked_to(browser, path):
    browser.cookies.clear()
    assert browser.get(path).headers["location"].startswith("/login?next=/settings/webhooks")


def test_only_administrators_see_them(world, browser):
    world.accounts.person = replace(world.accounts.person, role="editor")
    assert [browser.get(path).status_code for path in (LIST, ITEM)] == [403, 403]
    assert browser.post(LIST, data={"url": "https://x.example"}).status_code == 403
    assert LIST not in browser.get("/settings").text


def test_the_settings_lead_there(browser):
    assert f'href="{LIST}"' in browser.get("/settings").text


def test_an_endpoint_is_made_and_its_secret_shown_on_the_answer_only(world, browser):
    form = {
        "url": " https://new.example ",
        "description": "New",
        "type": ["credential.failing", "credential.recovered"],
    }
    answer = browser.post(LIST, data=form)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert SECRET in answer.text
    given = {"url": "https://new.example", "description": "New", "types": form["type"]}
    assert world.webhooks.asked == [("create", given)]
    assert not any(SECRET in browser.get(path).text for path in (LIST, ITEM))


def test_a_secret_is_turned_over_and_shown_on_the_answer_only(world, browser):
    answer = browser.post(f"{ITEM}/secret")
    assert SECRET in answer.text
    assert "signs along for a day" in answer.text
    assert browser.get(f"{ITEM}/secret").headers["location"] == LIST
    assert world.webhooks.asked == [("rotate", "endpoint-1")]


@pytest.mark.parametrize("path", [LIST, ITEM])
def test_what_is_wrong_is_said_at_its_field_and_what_was_entered_stays(world, browser, path):
    world.webhooks.wrong = {"url": "It must begin with https://."}
    answer = browser.post(path, data={"url": "http://x.example", "description": "Mine", "type": ["credential.failing"]})
    assert answer.status_code == 400
    assert 'href="#webhook-url"' in answer.text
    assert answer.text.count("It must begin with https://.") == 2
    assert 'value="http://x.example"' in answer.text
    assert re.search(r'value="credential.failing" checked', answer.text)


@pytest.mark.parametrize(
    ("action", "data", "asked", "lands", "words"),
    [
        ("", {"url": "https://n.example"}, "edit", ITEM, "changes are saved"),
        ("/switch", {"disabled": "yes"}, "edit", ITEM, "is disabled"),
        ("/switch", {"disabled": "no"}, "edit", ITEM, "is enabled"),
        ("/test", {}, "test", ITEM, "on its way"),
        ("/replay", {"delivery": "msg_failed"}, "replay", ITEM, "sent again"),
        ("/replay-failed", {}, "replay_failed", ITEM, "sent again"),
        ("/delete", {}, "delete", LIST, "is deleted"),
    ],
)
def test_each_form_does_one_thing_and_says_so_once(world, browser, action, data, asked, lands, words):
    answer = browser.post(f"{ITEM}{action}", data=data)
    assert (answer.status_code, answer.headers["location"]) == (303, lands)
    assert [each[0] for each in world.webhooks.asked] == [asked]
    assert words in browser.get(lands).text
    assert words not in re.sub(r"<section.*", "", browser.get(lands).text, flags=re.DOTALL)


def test_switching_and_replaying_name_what_they_mean(world, browser):
    browser.post(f"{ITEM}/switch", data={"disabled": "yes"})
    browser.post(f"{ITEM}/replay", data={"delivery": "msg_failed"})
    assert world.webhooks.asked == [("edit", {"disabled": True}), ("replay", "endpoint-1", "msg_failed")]


def test_deleting_is_asked_for_first(world, browser):
    assert f'href="{ITEM}/delete"' in browser.get(ITEM).text
    page = browser.get(f"{ITEM}/delete").text
    assert f'<form method="post" action="{ITEM}/delete">' in page
    assert world.webhooks.asked == [("deliveries", "", "")]
    assert browser.get(f"{LIST}/unknown/delete").status_code == 404


def test_why_there_was_no_answer_is_said_in_words(world, browser):
    world.webhooks.sent = [delivery(last_result="refused")]
    assert "TOKENKEEP_OUTBOUND_ALLOW does not name it" in browser.get(ITEM).text


def test_nothing_failed_is_said(world, browser):
    world.webhooks.sent = []
    browser.post(f"{ITEM}/replay-failed")
    assert "No delivery has failed" in browser.get(ITEM).text


def test_every_delivery_shows_how_it_stands_and_what_is_over_can_be_sent_again(browser):
    page = browser.get(ITEM).text
    assert all(words in page for words in ("Waiting", "Delivered", "Failed", "10 attempts", "last: 503"))
    assert re.findall(r'name="delivery" value="(\w+)"', page) == ["msg_done", "msg_failed"]


@pytest.mark.parametrize(
    ("query", "asked"),
    [("", ("", "")), ("?state=failed", ("failed", "")), ("?state=lost", ("", "")), ("?cursor=c1", ("", "c1"))],
)
def test_deliveries_by_state_and_page(world, browser, query, asked):
    world.webhooks.next_cursor = "older"
    page = browser.get(ITEM + query)
    assert world.webhooks.asked == [("deliveries", *asked)]
    assert "cursor=older" in page.text


@pytest.mark.parametrize("reason", ["asked", "gone", "failing"])
def test_a_disabled_one_says_why_and_offers_nothing_to_send(world, browser, reason):
    world.webhooks.endpoints = [endpoint(disabled_at=NOON, disabled_reason=reason)]
    page = browser.get(ITEM).text
    assert "Disabled" in page
    assert "Send a test" not in page
    assert "Send again" not in page
    assert "Disabled" in browser.get(LIST).text


def test_a_failing_one_says_so(world, browser):
    world.webhooks.endpoints = [endpoint(failing_since=NOON)]
    assert "does not take what is sent" in browser.get(ITEM).text
    assert "Failing" in browser.get(LIST).text


def test_hostile_text_is_shown_as_text(world, browser):
    world.webhooks.endpoints = [endpoint(description=HOSTILE, url=HOSTILE, types=(HOSTILE,), disabled_reason=HOSTILE)]
    world.webhooks.sent = [
        delivery(id=HOSTILE, type=HOSTILE, body=HOSTILE, last_result=HOSTILE, state=DeliveryState.FAILED)
    ]
    world.accounts.person = a.user_session(user_name=HOSTILE)
    for path in (LIST, ITEM):
        page = browser.get(path).text
        assert "<script>alert" not in page
        assert "49" not in re.sub(r"\?v=\w+|\d{2}:\d{2}", "", page)


def test_an_unknown_one_is_not_found(browser):
    assert browser.get(f"{LIST}/unknown").status_code == 404


@pytest.mark.parametrize(
    ("kind", "detail", "words"),
    [
        ("breaker_opened", {"provider": "acme"}, "Breaker opened"),
        ("webhook_disabled", {"webhook_id": "endpoint-1", "reason": "gone"}, "Webhook disabled"),
    ],
)
def test_the_status_page_names_what_concerns_no_credential_without_a_link(world, browser, kind, detail, words):
    line = a.event(kind=kind, credential_id="", actor="system", detail=detail)
    world.status.overview_now = overview(recent=[line])
    page = browser.get("/status").text
    assert words in page
    assert 'href="/credentials/"' not in page
