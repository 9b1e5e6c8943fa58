"""Pages about scopes: what differs is shown, and asking for more is one form."""

import re
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from tests.kit import builders as a
from tests.web.page_world import COOKIE, LINK, OAUTH, ORIGIN, PROVIDER, World, view
from tokenkeep.core.errors import ConsentDenied, InvalidInput

SCOPES = "/credentials/credential-1/scopes"
HOSTILE = "<script>alert(1)</script>"


def seen(*, requested=("read",), granted=("read",), **changes):
    grant = a.grant(scopes_requested=requested, scopes_granted=granted)
    made = {"credential": a.credential(grant=grant), "type": replace(OAUTH, scopes=("read", "write"))}
    return view(**made | changes)


@pytest.fixture
def world():
    made = World()
    made.credentials.views = [seen()]
    return made


@pytest.fixture
def browser(world):
    client = TestClient(world.app(), base_url=ORIGIN, follow_redirects=False, headers={"Origin": ORIGIN})
    client.cookies.set("tokenkeep-session", COOKIE)
    return client


def offers(page):
    return re.findall(r'<input type="(?:checkbox|hidden)" name="scope" value="([^"]*)"', page)


def test_what_it_has_is_not_offered_again(browser):
    page = browser.get(SCOPES).text
    assert re.search(r"<code>read</code> <span[^>]*>granted", page)
    assert offers(page) == ["write"]


def test_what_was_not_granted_and_what_is_asked_for_today_are_offered(world, browser):
    world.credentials.views = [seen(requested=("read", "files"), unasked_scopes=("mail",))]
    page = browser.get(SCOPES).text
    assert offers(page) == ["files", "mail", "write"]
    assert "asked for before, not granted" in page


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ({"scope": ["write"]}, ["write"]),
        ({"scope": ["write", "files"]}, ["write", "files"]),
        ({"others": " files\r\nmail, notes "}, ["files", "mail", "notes"]),
        ({"scope": ["write"], "others": "files"}, ["write", "files"]),
    ],
)
def test_what_is_chosen_is_asked_for_beside_what_it_has(world, browser, form, wanted):
    answer = browser.post(SCOPES, data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{ORIGIN}/connect/{LINK}")
    made = {"credential_id": "credential-1", "more_scopes": wanted, "opener_origin": ORIGIN}
    assert world.connect_sessions.made == [made]


@pytest.mark.parametrize("form", [{}, {"others": " \r\n, "}, {"scope": [""]}])
def test_nothing_chosen_is_said_in_the_form(world, browser, form):
    answer = browser.post(SCOPES, data=form)
    assert answer.status_code == 400
    assert answer.text.count("Choose or enter at least one scope") == 2  # above the form, and at the field
    assert world.connect_sessions.made == []


def test_what_is_wrong_is_shown_with_what_was_entered(world, browser):
    async def refuses(*_, **__):
        raise InvalidInput(fields={"more_scopes": "Each scope is one word."})

    world.connect_sessions.create = refuses
    answer = browser.post(SCOPES, data={"scope": "write", "others": HOSTILE})
    assert answer.status_code == 400
    assert "Each scope is one word." in answer.text
    assert re.search(r'value="write" checked', answer.text)
    assert HOSTILE not in answer.text
    assert "&lt;script&gt;" in answer.text


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (view(credential=a.credential()), 409),  # not connected
        (seen(type=a.static_type()), 409),  # nobody is asked
        (seen(provider=replace(PROVIDER, quirks=frozenset({"no_scopes"}))), 400),
    ],
)
def test_where_there_is_nothing_to_add_to_the_page_says_so(world, browser, found, status):
    world.credentials.views = [found]
    assert browser.get(SCOPES).status_code == status
    assert browser.post(SCOPES, data={"scope": "write"}).status_code == status
    assert world.connect_sessions.made == []
    assert SCOPES not in browser.get("/credentials/credential-1").text


def test_who_may_not_connect_is_offered_nothing(world, browser):
    world.credentials.views = [seen(unasked_scopes=("mail",))]
    world.accounts.person = replace(world.accounts.person, role="viewer")
    assert SCOPES not in browser.get("/credentials/credential-1").text
    assert browser.get(SCOPES).status_code == 403


def test_one_button_asks_for_all_that_is_missing(world, browser):
    world.credentials.views = [seen(requested=("read", "files"), unasked_scopes=("mail",))]
    page = browser.get("/credentials/credential-1").text
    assert offers(page) == ["files", "mail"]
    assert "Ask for the missing scopes" in page
    assert re.search(r"<code>mail</code> <span[^>]*>usual today", page)


def test_nothing_missing_leaves_one_way_to_more(browser):
    page = browser.get("/credentials/credential-1").text
    assert "Ask for the missing scopes" not in page
    assert f'href="{SCOPES}"' in page


def test_scopes_in_other_words_are_not_shown_as_missing(world, browser):
    google = "https://www.googleapis.com/auth/userinfo.email"
    world.credentials.views = [seen(requested=("email", "offline_access"), granted=(google,))]
    page = browser.get("/credentials/credential-1").text
    assert "not granted" not in page
    assert "beyond what was asked" not in page
    assert "missing" not in browser.get("/credentials").text


def test_the_list_says_what_is_missing(world, browser):
    world.credentials.views = [seen(requested=("read", "files", "mail"))]
    assert "2 scopes missing" in browser.get("/credentials").text


def test_history_tells_which_scopes_were_lost(world, browser):
    world.credentials.past = [a.event(kind="refreshed", detail={"scopes_removed": ["files", "mail"]})]
    page = browser.get("/credentials/credential-1").text
    assert "scopes removed: files, mail" in page
    assert '<li class="warn"><strong>Refreshed' in page


def test_the_page_before_the_button_says_what_is_new(world, browser):
    opened = world.connect.open

    async def asks(secret):
        return replace(await opened(secret), reconnects="Mine", further_scopes=("write",))

    world.connect.open = asks
    page = browser.get(f"/connect/{LINK}").text
    assert re.search(r"<code>write</code> <span[^>]*>new", page)
    assert not re.search(r"<code>read</code> <span", page)
    assert "<strong>Mine</strong> with more access than before." in page


def test_the_end_says_what_was_lost(world, browser):
    world.connect.outcome = {"lost_scopes": ("files",), "missing_scopes": ("files", "mail")}
    browser.get("/oauth/callback/client-1?state=s&code=c")
    page = browser.get("/connect-result/session-1").text
    assert "Access was lost" in page
    assert " data-lost>" in page, "the window stays open"
    assert "It had files before" in page
    assert "<strong>Some access was not granted</strong>mail. What needs it may fail" in page


def test_more_scopes_than_a_cookie_holds_end_well(world, browser):
    many = tuple(f"https://www.googleapis.com/auth/a.long.scope.{number}" for number in range(150))
    world.connect.outcome = {"lost_scopes": many, "missing_scopes": many}
    answer = browser.get("/oauth/callback/client-1?state=s&code=c")
    assert max(map(len, answer.headers.get_list("set-cookie"))) < 4096
    assert "Access was lost" in browser.get("/connect-result/session-1").text


@pytest.mark.parametrize(("scopes", "way"), [(("read", "write"), SCOPES), ((), "/credentials/credential-1/reconnect")])
def test_who_declined_may_choose_again(world, browser, scopes, way):
    world.connect.fails = ConsentDenied()
    world.connect.fails.session = replace(world.connect.session, credential_id="credential-1", scopes=scopes)
    browser.get("/oauth/callback/client-1?state=s&error=access_denied")
    assert f'="{way}"' in browser.get("/connect-result/session-1").text
