"""The newcomer's story in a real browser, against a real service with the demo provider."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.processes.service import Service

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"


@pytest.fixture
def service(tmp_path) -> Iterator[Service]:
    made = Service(tmp_path / "service", TOKENKEEP_REFRESH_TICK_S="0.5").start()
    yield made
    made.kill()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    made = chromium.new_context(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    made.on("weberror", lambda error: complaints.append(str(error.error)))
    made.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    yield made
    made.close()
    assert complaints == []


@pytest.fixture
def page(context: BrowserContext, service: Service) -> Page:
    """A browser signed in by the link that the service printed."""
    found = context.new_page()
    link = re.search(r"http://\S+/sign-in/\S+", (service.folder / "out").read_text())
    assert link is not None
    found.goto(link.group(0))
    found.get_by_label("Your name").fill("Ada")
    found.get_by_label("E-mail address").fill("ada@example.org")
    for field in found.locator("input[type=password]").all():
        field.fill(PASSWORD)
    found.get_by_role("button", name="Create account").click()
    expect(found.get_by_role("heading", name="Connect a service")).to_be_visible()
    return found


def agree(window: Page, *, untick: str = "") -> None:
    """Through our interstitial and the demo provider's pages, up to the answer to its consent form."""
    window.get_by_role("button", name="Connect").click()
    window.get_by_role("button", name=re.compile("Ada")).click()
    if untick:
        window.locator(f"input[value='{untick}']").uncheck()
    window.get_by_role("button", name="Allow").click()


def connected_in_a_window(context: BrowserContext, page: Page, service: Service) -> str:
    """Connect the demo account in a pop-up. Answers the credential's id."""
    page.goto(f"{service.url}/new/demoOAuth2")
    with context.expect_page() as opened:
        page.locator("main button[type=submit]").click()
    agree(opened.value)
    page.wait_for_url(re.compile(r"/credentials/[0-9a-f-]{36}$"))
    return page.url.rpartition("/")[2]


def test_connect_watch_and_fetch(context, page, service):
    credential_id = connected_in_a_window(context, page, service)
    expect(page.get_by_text("Analytical Engines")).to_be_visible()
    expect(page.get_by_text("Connected", exact=True).first).to_be_visible()
    key = service.command("keys", "create", "--name", "node", "--scopes", "tokens:read")
    first = service.token(key, credential_id).json()
    with service.client(key) as node:
        second = node.post(f"/v1/credentials/{credential_id}/token/refresh", json={"rejected": first["fingerprint"]})
    # Seconds after it was issued, a rejection is taken for a fault elsewhere; asking for a longer life is not.
    assert second.status_code == 503
    assert second.json()["code"] == "refresh_failing"
    page.goto(f"{service.url}/status")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in {"serious", "critical"}] == []


def test_the_status_page_lives(context, page, service):
    page.goto(f"{service.url}/status")
    expect(page.get_by_text("of 0 credentials")).to_be_visible()
    other = context.new_page()
    connected_in_a_window(context, other, service)
    page.bring_to_front()
    expect(page.get_by_text("of 1 credentials")).to_be_visible(timeout=10_000)


def test_a_full_page_with_fewer_scopes_shows_the_difference(page, service):
    page.goto(f"{service.url}/new/demoOAuth2")
    page.evaluate("window.open = () => null")  # as a browser that blocks pop-ups
    page.locator("main button[type=submit]").click()
    page.wait_for_url(re.compile("/connect/"))
    agree(page, untick="notes.write")
    page.wait_for_url(re.compile("/connect-result|/credentials/"))
    page.goto(f"{service.url}/credentials")
    page.locator("main a[href^='/credentials/']").first.click()
    expect(page.get_by_text("notes.write")).to_be_visible()
    expect(page.get_by_text(re.compile("not granted", re.IGNORECASE)).first).to_be_visible()


def test_more_is_asked_for_in_one_click_and_less_is_told(context, page, service):
    page.goto(f"{service.url}/new/demoOAuth2")
    page.get_by_label("notes.write").uncheck()
    with context.expect_page() as opened:
        page.locator("main button[type=submit]").click()
    agree(opened.value)
    if not opened.value.is_closed():
        opened.value.wait_for_event("close")  # else the next one would open in it
    page.wait_for_url(re.compile(r"/credentials/[0-9a-f-]{36}$"))
    credential_id = page.url.rpartition("/")[2]
    expect(page.get_by_text("usual today, not when it was connected")).to_be_visible()

    with context.expect_page() as opened:
        page.get_by_role("button", name="Ask for the missing scopes").click()
    expect(opened.value.get_by_role("listitem").filter(has_text="notes.write")).to_contain_text("new")
    agree(opened.value)
    expect(page.get_by_text("scopes added: notes.write")).to_be_visible(timeout=10_000)
    assert page.url.endswith(credential_id)
    key = service.command("keys", "create", "--name", "node", "--scopes", "tokens:read")
    assert "notes.write" in service.token(key, credential_id).json()["scope"].split()

    page.evaluate("window.open = () => null")  # as a browser that blocks pop-ups
    page.get_by_role("button", name="Reconnect").click()
    page.wait_for_url(re.compile("/connect/"))
    agree(page, untick="notes.write")
    expect(page.get_by_text("Access was lost")).to_be_visible()
    page.get_by_role("link", name="Open the credential").click()
    expect(page.get_by_text("asked for, not granted")).to_be_visible()
    expect(page.get_by_text("scopes removed: notes.write")).to_be_visible()


def test_denying_going_back_and_trying_again(page, service):
    page.goto(f"{service.url}/new/demoOAuth2")
    page.evaluate("window.open = () => null")
    page.locator("main button[type=submit]").click()
    page.wait_for_url(re.compile("/connect/"))
    page.get_by_role("button", name="Connect").click()
    page.get_by_role("button", name=re.compile("Ada")).click()
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_text(re.compile("not granted|not allowed|no access", re.IGNORECASE)).first).to_be_visible()
    assert "state=" not in page.url
    assert "error=" not in page.url
    page.go_back()  # whatever the browser shows, nothing breaks and nothing is used twice
    page.goto(f"{service.url}/credentials")
    expect(page.get_by_role("heading", name="Credentials")).to_be_visible()


def test_a_revoked_consent_asks_for_a_person_and_reconnecting_keeps_the_id(context, page, service):
    credential_id = connected_in_a_window(context, page, service)
    provider = context.new_page()
    provider.goto(f"{service.url}/demo/")
    provider.get_by_role("button", name=re.compile("Take|Revoke|Remove", re.IGNORECASE)).first.click()
    key = service.command("keys", "create", "--name", "node", "--scopes", "tokens:read")
    with service.client(key) as node:
        node.get(f"/v1/credentials/{credential_id}/token", params={"min_ttl": "59"})
    page.wait_for_timeout(7000)
    with service.client(key) as node:
        answer = node.get(f"/v1/credentials/{credential_id}/token", params={"min_ttl": "58"})
    assert answer.status_code == 409
    assert answer.json()["code"] == "reauthorization_required"
    page.goto(f"{service.url}/credentials/{credential_id}")
    with context.expect_page() as opened:
        page.get_by_role("button", name="Reconnect").first.click()
    agree(opened.value)
    expect(page.get_by_text("Connected", exact=True).first).to_be_visible(timeout=10_000)
    assert page.url.endswith(credential_id)
    assert service.token(key, credential_id).status_code == 200
