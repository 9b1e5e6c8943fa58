"""The pages in a real browser: for everybody (axe), at every width, with and without scripts."""

import asyncio
from dataclasses import replace

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.web.page_world import LINK, overview
from tokenkeep.core.model import SessionState

pytestmark = pytest.mark.browser

SIGNED_IN = (
    "/",
    "/new/acmeOAuth2",
    "/new/acmeApi",
    "/credentials",
    "/credentials?q=x",
    "/credentials/credential-1",
    "/credentials/credential-1/scopes",
    "/credentials/credential-2/edit",
    "/credentials/credential-1/delete",
    "/status",
    "/settings",
    "/settings/clients/acme",
    "/settings/webhooks",
    "/settings/webhooks/endpoint-1",
    "/settings/webhooks/endpoint-1/delete",
    "/nowhere",
)
ANYBODY = ("/login", "/sign-in/first", f"/connect/{LINK}", "/connect/unknown")
LOOKS = (
    {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
    {"color_scheme": "dark", "viewport": {"width": 360, "height": 740}},
)


@pytest.mark.parametrize("look", LOOKS, ids=["light and wide", "dark and narrow"])
def test_every_page_can_be_used_by_everybody_and_fits(visit, look):
    found = {}
    for path in (*SIGNED_IN, *ANYBODY):
        page = visit(path, signed_in=path in SIGNED_IN, **look)
        grave = [
            (one["id"], [node["target"] for node in one["nodes"]])
            for one in Axe().run(page).response["violations"]
            if one["impact"] in {"serious", "critical"}
        ]
        too_wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        if grave or too_wide:
            found[path] = (grave, too_wide)
        page.context.close()
    assert found == {}


def test_typing_in_the_gallery_narrows_it_at_once(visit):
    page = visit("/")
    page.get_by_label("Search services").fill("one key")
    assert page.locator("[data-filter-list] > li:visible").count() == 1
    page.get_by_label("Search services").fill("nothing like it")
    page.get_by_text("No service fits").wait_for()


def test_the_gallery_is_searched_without_scripts(visit):
    page = visit("/", java_script_enabled=False)
    page.get_by_label("Search services").fill("one key")
    page.get_by_role("button", name="Search").click()
    assert page.locator("[data-filter-list] > li").count() == 1


def test_what_looks_odd_is_said_while_typing_and_keeps_nobody_from_saving(visit, world):
    page = visit("/new/acmeApi")
    key, odd = page.get_by_label("API key"), page.locator("#value-apiKey-odd")
    key.fill("a")
    assert odd.is_hidden(), "the first letters of a beginning are no mistake yet"
    key.fill("sk-1")
    assert "usually begins with ak-" in odd.inner_text()
    key.fill("'ak-1'")
    assert "in quotes" in odd.inner_text()
    key.fill("ak-1")
    assert odd.is_hidden()
    extra = page.get_by_label("Extra headers")
    extra.fill("{")
    extra.blur()
    assert "not JSON yet" in page.locator("#value-extra-odd").inner_text()
    extra.fill("")
    key.fill("sk-1")
    page.get_by_role("button", name="Save encrypted").click()
    page.wait_for_url("**/credentials/credential-new")
    assert world.credentials.asked[0][3]["apiKey"] == "sk-1"


DROP = """([field, name, size]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([size ? "x".repeat(size) : "-----BEGIN"], name));
  for (const type of ["dragover", "drop"]) {
    field.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""


def test_a_file_may_be_dropped_onto_a_field_of_several_lines(visit):
    page = visit("/new/acmeApi")
    field = page.get_by_label("Private key")
    page.evaluate(DROP, [field.element_handle(), "key.pem", 0])
    page.wait_for_function("document.querySelector('#value-pem').value === '-----BEGIN'")
    page.evaluate(DROP, [field.element_handle(), "film.mp4", 70_000])
    page.get_by_text("larger than 64 KB").wait_for()
    assert field.input_value() == "-----BEGIN"


def test_everything_is_reached_by_keyboard_with_a_visible_focus(visit):
    page = visit("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_without_scripts_the_whole_page_goes_to_the_provider_and_comes_back(visit, world, pages_url):
    world.connect.target = f"{pages_url}/oauth/callback/client-1?state=s&code=c"
    page = visit("/new/acmeOAuth2", java_script_enabled=False)
    page.get_by_role("button", name="Continue to Acme").click()
    page.get_by_role("button", name="Connect", exact=True).click()
    page.get_by_role("heading", name="Acme is connected").wait_for()
    assert page.url == f"{pages_url}/connect-result/session-1"


@pytest.mark.parametrize("provider", ["/oauth/callback/client-1?state=s&code=c", "/provider"], ids=["kept", "cut"])
def test_with_scripts_a_window_opens_and_the_page_behind_it_learns_the_end(visit, world, pages_url, provider):
    """Whether the provider keeps the tie between the two windows or cuts it."""
    world.connect.target = pages_url + provider
    world.connect.session = replace(world.connect.session, opener_origin=pages_url)

    async def get(caller, session_id):
        done = bool(world.connect.completed)
        state = SessionState.CONNECTED if done else SessionState.PENDING
        return replace(world.connect.session, state=state, credential_id="credential-1" if done else "")

    world.connect_sessions.get = get
    page = visit("/new/acmeOAuth2")
    with page.expect_popup() as opened:
        page.get_by_role("button", name="Continue to Acme").click()
    window = opened.value
    window.get_by_role("button", name="Connect", exact=True).click()
    if provider == "/provider":
        page.get_by_text("Finish in the other window").wait_for()
        window.get_by_role("link", name="Allow").click()
    page.wait_for_url(f"{pages_url}/credentials/credential-1")
    if not window.is_closed():
        window.wait_for_event("close")


def test_a_blocked_window_falls_back_to_the_whole_page(visit, pages_url):
    page = visit("/new/acmeOAuth2")
    page.evaluate("window.open = () => null")
    page.get_by_role("button", name="Continue to Acme").click()
    page.wait_for_url(f"{pages_url}/connect/{LINK}")


def test_a_form_that_is_wrong_says_so_on_the_page_although_a_window_was_tried(visit, world):
    from tokenkeep.core.errors import InvalidInput

    async def refuse(caller, **wanted):
        raise InvalidInput(fields={"name": "That name cannot be used."})

    world.connect_sessions.create = refuse
    page = visit("/new/acmeOAuth2")
    page.get_by_role("button", name="Continue to Acme").click()
    page.get_by_text("That name cannot be used.").first.wait_for()


def test_the_status_page_changes_by_itself_and_keeps_the_focus(visit, world):
    beat = asyncio.Event()

    async def changed(since):
        while not beat.is_set():
            await asyncio.sleep(0.02)
        beat.clear()
        return since + 1

    world.status.changed = changed
    page = visit("/status")
    page.locator("[data-live][data-on=yes]").wait_for()
    page.locator("#reconnect-credential-1").focus()
    states = {**world.status.overview_now.by_state, "connected": 41}
    world.status.overview_now = overview(by_state=states, attention=world.status.overview_now.attention[:1])
    beat.set()
    page.get_by_text("41", exact=False).first.wait_for()
    assert page.get_by_text("Inbox").count() == 0
    assert page.evaluate("document.activeElement.id") == "reconnect-credential-1"


def test_times_count_down_with_scripts_and_stand_without(visit):
    page = visit("/credentials/credential-1")
    moment = page.locator("time[data-countdown]").first
    assert moment.get_attribute("title") == "24 Nov 2026, 13:00 UTC"
    assert moment.inner_text() != "24 Nov 2026, 13:00 UTC"
    still = visit("/credentials/credential-1", java_script_enabled=False)
    assert still.locator("time[data-countdown]").first.inner_text() == "24 Nov 2026, 13:00 UTC"


def test_a_stranger_signs_in_and_comes_back_to_where_they_were_going(visit, pages_url):
    page = visit("/credentials?q=mine", signed_in=False)
    page.get_by_label("E-mail address").fill("ada@example.org")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{pages_url}/credentials?q=mine")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for()
