"""What forms do: one use case each, then 303; cross-site forms do nothing; what is wrong is shown in the form."""

import json
import re
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from tests.kit import builders as a
from tests.web.page_world import COOKIE, LINK, ORIGIN, STATIC, World, static_view, view
from tokenkeep.core.model import Field, FieldKind, Injection
from tokenkeep.services.credentials import Removal
from tokenkeep.services.verification import Verdict
from tokenkeep.web.words import NOTICES, fact, paragraphs

FORMS = (
    "/new/acmeOAuth2",
    "/new/acmeApi",
    "/credentials/credential-1/edit",
    "/credentials/credential-1/test",
    "/credentials/credential-1/reconnect",
    "/credentials/credential-1/scopes",
    "/credentials/credential-1/disconnect",
    "/credentials/credential-1/delete",
    "/settings/clients/acme",
    "/settings/clients/acme/delete",
    "/settings/keys",
    "/settings/keys/key-1/revoke",
    "/settings/sessions/end",
    "/settings/sessions/end-others",
    "/logout",
    f"/connect/{LINK}",
    "/sign-in/first",
    "/login",
)


@pytest.fixture
def world():
    made = World()
    made.credentials.views = [view(), static_view()]
    return made


@pytest.fixture
def browser(world):
    client = TestClient(world.app(), base_url=ORIGIN, follow_redirects=False, headers={"Origin": ORIGIN})
    client.cookies.set("tokenkeep-session", COOKIE)
    return client


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
        {"Sec-Fetch-Site": "same-site", "Origin": ORIGIN},
        {"Origin": "https://evil.example", "Authorization": "Bearer tk_whatever"},
    ],
)
@pytest.mark.parametrize("path", FORMS)
def test_a_form_from_another_site_does_nothing(world, browser, path, headers):
    answer = browser.post(path, headers=headers)
    assert answer.status_code == 403, path
    assert world.credentials.asked == []
    assert world.connect_sessions.made == []
    assert world.connect.begun == 0
    assert world.accounts.ended == world.accounts.redeemed == []
    assert world.clients.client is not None
    assert world.service_keys.revoked == []


def test_a_static_credential_is_made_from_its_fields_by_kind(world, browser):
    form = {
        "name": "Mine",
        "value.apiKey": " ak-1 ",
        "value.region": "us",
        "value.extra": '{"X-A": "1"}',
        "value.retries": "3",
        "value.strict": "yes",
        "value.pem": "line 1\r\nline 2\r\n",
    }
    answer = browser.post("/new/acmeApi", data=form)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/credentials/credential-new"
    values = {
        "apiKey": "ak-1",
        "region": "us",
        "extra": {"X-A": "1"},
        "retries": 3,
        "strict": True,
        "pem": "line 1\nline 2\n",
    }
    assert world.credentials.asked == [("create", "acmeApi", "Mine", values)]


def test_what_is_wrong_is_said_at_its_field_and_no_secret_comes_back(world, browser):
    world.credentials.wrong = {"apiKey": "It is too short."}
    answer = browser.post("/new/acmeApi", data={"name": "Mine", "value.apiKey": "SECRET-9", "value.region": "us"})
    assert answer.status_code == 400
    assert 'href="#value-apiKey"' in answer.text
    assert answer.text.count("It is too short.") == 2
    assert 'aria-invalid="true"' in answer.text
    assert "<option selected>us" in answer.text
    assert "SECRET-9" not in answer.text


@pytest.mark.parametrize(("field", "text"), [("extra", "{not json"), ("retries", "many")])
def test_what_cannot_be_read_is_said_before_anything_is_made(world, browser, field, text):
    answer = browser.post("/new/acmeApi", data={"name": "Mine", f"value.{field}": text})
    assert answer.status_code == 400
    assert f'id="value-{field}-wrong"' in answer.text
    assert ("line 1, column 2" in answer.text) is (field == "extra")
    assert world.credentials.asked == []


def test_what_looked_odd_is_said_after_saving(world, browser):
    world.credentials.views = [static_view()]
    world.credentials.warnings = ("apiKey: It usually begins with `ak-`.",)
    answer = browser.post("/new/acmeApi", data={"name": "Mine", "value.apiKey": "sk-1"})
    assert "tokenkeep-notice=created_odd" in answer.headers["set-cookie"]
    answer = browser.post("/credentials/credential-2/edit", data={"name": "Mine", "version": "1"})
    assert "tokenkeep-notice=edited_odd" in answer.headers["set-cookie"]


def test_a_form_tells_its_script_what_to_look_at(world, browser):
    key = replace(STATIC.fields[0], min_length=9, max_length=40)
    file = Field(name="file", label="File", kind=FieldKind.MULTILINE, secret=True, members=("a", "b"))
    made = replace(
        STATIC, fields=(key, file, *STATIC.fields[1:3]), injection=Injection(headers={"A": "Bearer {apiKey}"})
    )
    world.catalog.known = [made]
    text = browser.get("/new/acmeApi").text
    assert "/static/fields.js" in text
    assert 'data-watched data-prefix="ak-" data-lead="Bearer" data-min="9" data-max="40"' in text
    assert 'data-watched data-members="a b"' in text
    assert "data-watched data-json" in text
    assert [text.count(f'id="value-{name}-odd"') for name in ("apiKey", "file", "region", "extra")] == [1, 1, 0, 1]


def test_the_gallery_shows_only_what_a_tool_asks_for(world, browser):
    def cards(query: str) -> list[str]:
        return re.findall(r'class="button small action [^"]*" href="/new/([^"]+)"', browser.get(f"/{query}").text)

    assert cards("") == ["acmeOAuth2", "acmeApi"]
    assert cards("?types=acmeApi") == ["acmeApi"]
    assert cards("?types=acmeNext,acmeApi") == ["acmeApi"]
    assert cards("?types=acmeNext") == ["acmeOAuth2", "acmeApi"], "a question of which nothing is known hides nothing"
    assert cards("?types=acmeApi&q=files") == []
    assert 'name="types" value="acmeApi"' in browser.get("/?types=acmeApi").text


def test_an_oauth_type_leads_to_a_connect_link(world, browser):
    answer = browser.post("/new/acmeOAuth2", data={"name": "Mine", "scope": ["read"]})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{ORIGIN}/connect/{LINK}"
    wanted = {"type": "acmeOAuth2", "name": "Mine", "scopes": ["read"], "values": {}, "opener_origin": ORIGIN}
    assert world.connect_sessions.made == [wanted]


def test_a_script_that_opens_a_window_is_told_the_link(browser):
    answer = browser.post("/new/acmeOAuth2", data={"name": "Mine"}, headers={"Accept": "application/json"})
    assert answer.json() == {"id": "session-1", "url": f"{ORIGIN}/connect/{LINK}"}
    assert answer.headers["cache-control"] == "no-store"


def test_reconnecting_keeps_the_credential(world, browser):
    browser.post("/credentials/credential-1/reconnect")
    assert world.connect_sessions.made == [{"credential_id": "credential-1", "opener_origin": ORIGIN}]


def test_an_edit_sends_only_what_was_filled_in_with_the_version_seen(world, browser):
    form = {"name": "New name", "version": "1", "value.apiKey": "", "value.region": "us"}
    answer = browser.post("/credentials/credential-2/edit", data=form)
    assert answer.headers["location"] == "/credentials/credential-2"
    assert world.credentials.asked == [("edit", "credential-2", "New name", {"region": "us", "strict": False}, 1)]


def test_an_edit_removes_what_was_emptied_and_secrets_only_on_demand(world, browser):
    form = {"name": "N", "version": "1", "value.retries": "", "value.pem": "", "value.extra": "", "clear.extra": "yes"}
    browser.post("/credentials/credential-2/edit", data=form)
    assert world.credentials.asked[0][3] == {"strict": False, "retries": None, "extra": None}


def test_a_stored_optional_secret_offers_to_be_removed(world, browser):
    masked = {"apiKey": "••••cdef", "pem": "••••"}
    world.credentials.views[1] = static_view(credential=a.credential(id="credential-2", type="acmeApi", masked=masked))
    page = browser.get("/credentials/credential-2/edit").text
    assert 'name="clear.pem"' in page
    assert 'name="clear.apiKey"' not in page, "it is required"
    assert 'name="clear.extra"' not in page, "nothing is stored"


def test_what_nobody_foresaw_is_a_page_to_a_browser(world, caplog):
    async def breaks(*_: object, **__: object) -> None:
        raise ValueError("secret-in-a-fault")

    world.credentials.get = breaks
    browser = TestClient(world.app(), base_url=ORIGIN, raise_server_exceptions=False)
    browser.cookies.set("tokenkeep-session", COOKIE)
    shown = browser.get("/credentials/credential-1", headers={"Accept": "text/html"})
    assert (shown.status_code, shown.headers["content-type"].split(";")[0]) == (500, "text/html")
    assert "secret-in-a-fault" not in shown.text
    told = browser.get("/credentials/credential-1", headers={"Accept": "application/json"})
    assert (told.status_code, told.json()["code"]) == (500, "internal")
    assert "unforeseen ValueError" in caplog.text


@pytest.mark.parametrize(
    ("revoked", "words"),
    [(None, "nothing to revoke"), (True, "access was revoked"), (False, "did not confirm")],
)
@pytest.mark.parametrize(("action", "lands"), [("disconnect", "/credentials/credential-1"), ("delete", "/credentials")])
def test_ending_says_what_became_of_the_access_once(world, browser, action, lands, revoked, words):
    world.credentials.removal = Removal(revoked=revoked, detail="")
    answer = browser.post(f"/credentials/credential-1/{action}")
    assert answer.headers["location"] == lands
    assert words in browser.get(lands).text
    assert words not in browser.get(lands).text


def test_a_credential_in_use_is_deleted_only_when_that_is_ticked(world, browser):
    world.credentials.uses = [a.reference(consumer="flow/nightly")]
    answer = browser.post("/credentials/credential-1/delete")
    assert answer.status_code == 409
    assert "flow/nightly" in answer.text
    assert browser.post("/credentials/credential-1/delete", data={"force": "yes"}).status_code == 303


@pytest.mark.parametrize("problem", ["", "wrong_credential", "missing_permission", "unreachable", "never heard of"])
def test_a_test_says_how_it_went(world, browser, problem):
    world.verification.verdict = Verdict(ok=not problem, account=None, checked_at=a.event().at, problem=problem)
    assert browser.post("/credentials/credential-1/test").status_code == 303
    page = browser.get("/credentials/credential-1").text
    assert "The test" in page
    assert "never heard of" not in page


def test_a_notice_that_is_not_ours_is_not_shown(browser):
    browser.cookies.set("tokenkeep-notice", "<b>hello</b>")
    assert "hello" not in browser.get("/credentials").text


def test_a_client_is_saved_and_its_redirect_address_shown(world, browser):
    answer = browser.post(
        "/settings/clients/acme", data={"client_id": "id-9", "client_secret": "", "scopes": "read\nwrite"}
    )
    assert answer.status_code == 303
    assert world.clients.saved[0]["client_secret"] is None
    assert list(world.clients.saved[0]["scopes"]) == ["read", "write"]
    assert f"{ORIGIN}/oauth/callback/client-1" in browser.get("/settings/clients/acme").text


def test_a_client_secret_never_comes_back(world, browser):
    answer = browser.post("/settings/clients/acme", data={"client_id": "", "client_secret": "SECRET-9"})
    assert answer.status_code == 400
    assert "SECRET-9" not in answer.text


def test_a_service_key_is_shown_on_the_answer_and_nowhere_else(browser):
    answer = browser.post("/settings/keys", data={"name": "nodes", "scope": ["tokens:read"]})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert "SHOWN-ONCE" in answer.text
    assert "SHOWN-ONCE" not in browser.get("/settings").text


@pytest.mark.parametrize(("field", "form"), [("expires_at", {"expires": "soon"}), ("scopes", {})])
def test_a_wrong_key_form_says_what_is_wrong(world, browser, field, form):
    world.service_keys.wrong = {"scopes": "Choose at least one."}
    answer = browser.post("/settings/keys", data={"name": "nodes", **form})
    assert answer.status_code == 400
    assert f'href="#key-{field}"' in answer.text


def test_the_event_stream_sends_what_the_page_shows_and_ends_with_the_service(world, browser):
    world.status.beats = [1, -1]
    with browser.stream("GET", "/status/events") as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert answer.headers["content-type"].startswith("text/event-stream")
    messages = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert len(messages) == 2
    assert "Team drive" in messages[0]["attention"]
    assert "<rect" in messages[0]["numbers"]


def test_the_event_stream_ends_with_the_session(world, browser):
    async def sign_out(_):
        world.accounts.authenticate = world.connect.open  # knows no such cookie
        return 1

    world.status.changed = sign_out
    with browser.stream("GET", "/status/events") as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert lines[-2:] == ["event: ended", "data: {}"]


def test_every_notice_is_a_sentence():
    assert all(notice.text.endswith(".") for notice in NOTICES.values())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("One\nline.", ["One line."]),
        ("1. First\n   goes on.\n2. Second.\n\nAfter.", ["1. First goes on.", "2. Second.", "After."]),
    ],
)
def test_a_setup_text_becomes_paragraphs(text, found):
    assert paragraphs(text) == found


def test_facts_are_said_in_words():
    assert fact("duration_ms", 212) == "took 212 ms"
    assert fact("ok", False) == "ok: no"
    assert fact("code", "no_answer") == "code: no answer"
