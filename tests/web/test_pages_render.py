"""Every page renders, asks who is not signed in to sign in, carries its headers, and shows hostile text as text."""

import re
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from tests.kit import builders as a
from tests.web.page_world import COOKIE, LINK, OAUTH, ORIGIN, PROVIDER, STATIC, TOP, World, overview, static_view, view
from tokenkeep.core.model import Account, FailureKind, State
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import Page
from tokenkeep.web import pages
from tokenkeep.web.pages import SecretOnPage, refuse_secrets
from tokenkeep.web.words import STATES

SIGNED_IN = (
    "/",
    "/?q=acme&category=ai",
    "/new/acmeOAuth2",
    "/new/acmeApi",
    "/credentials",
    "/credentials?state=connected&type=acmeApi&q=a",
    "/credentials/credential-1",
    "/credentials/credential-2",
    "/credentials/credential-2/edit",
    "/credentials/credential-1/disconnect",
    "/credentials/credential-1/delete",
    "/status",
    "/settings",
    "/settings/clients/acme",
    "/settings/clients/acme/delete",
)
ANYBODY = ("/login", "/sign-in/first", "/sign-in/again", f"/connect/{LINK}")
HOSTILE = """"><script>alert(1)</script><img src=x onerror='alert(2)'>{{7*7}}"""


@pytest.fixture
def world():
    made = World()
    made.credentials.views = [view(), static_view()]
    made.credentials.uses = [a.reference()]
    return made


def browser(world, *, signed_in=True, **changes):
    client = TestClient(world.app(**changes), base_url=ORIGIN, follow_redirects=False)
    if signed_in:
        client.cookies.set("tokenkeep-session", COOKIE)
    return client


@pytest.mark.parametrize("path", [*SIGNED_IN, *ANYBODY])
def test_every_page_renders_with_its_headers_and_nothing_inline(world, path):
    page = browser(world, signed_in=path not in ANYBODY).get(path)
    assert page.status_code == 200, page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son[a-z]+=|\sstyle=|<style|javascript:", page.text)
    assert not re.search(r"""(?:src|href)="https?://(?!acme\.example/docs)""", page.text)
    assert page.text.count("<h1") == 1


@pytest.mark.parametrize("path", SIGNED_IN)
def test_who_is_not_signed_in_is_asked_to_and_comes_back(world, path):
    answer = browser(world, signed_in=False).get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=/")


def test_a_signed_out_form_leads_to_login_without_being_sent_again(world):
    answer = browser(world, signed_in=False).post("/credentials/credential-1/delete", headers={"Origin": ORIGIN})
    assert answer.headers["location"] == "/login"
    assert world.credentials.asked == []


@pytest.mark.parametrize("path", SIGNED_IN)
def test_hostile_text_from_people_and_providers_is_shown_as_text(world, path):
    grant = a.grant(
        scopes_requested=(HOSTILE,), scopes_granted=(), standing=a.standing(failure=a.failure(code=HOSTILE))
    )
    hostile = Account(id=HOSTILE, name=HOSTILE, workspace=HOSTILE)
    world.credentials.views = [
        view(credential=a.credential(name=HOSTILE, grant=grant), account=hostile, warnings=(HOSTILE,)),
        static_view(
            credential=a.credential(id="credential-2", name=HOSTILE, masked={"region": HOSTILE, "apiKey": HOSTILE})
        ),
    ]
    world.credentials.uses = [a.reference(consumer=HOSTILE)]
    world.credentials.past = [a.event(kind=HOSTILE, actor=HOSTILE, detail={HOSTILE: HOSTILE})]
    world.accounts.person = replace(world.accounts.person, user_name=HOSTILE, browser=HOSTILE)
    world.clients.client = a.client(client_id=HOSTILE, incident_code=HOSTILE, scopes=(HOSTILE,))
    world.service_keys.keys = [a.service_key(name=HOSTILE)]
    world.status.overview_now = overview(
        recent=[a.event(kind=HOSTILE)],
        clients_paused=[a.client(provider=HOSTILE, incident_code=HOSTILE)],
        doubted={HOSTILE: 5},
    )
    world.catalog.known = [
        replace(OAUTH, label=HOSTILE, description=HOSTILE, categories=(HOSTILE, "ai")),
        replace(STATIC, label=HOSTILE),
    ]
    world.catalog.held = [replace(PROVIDER, name=HOSTILE, setup=HOSTILE)]
    page = browser(world).get(path.replace("q=acme&", ""))
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    assert not re.search(r"""=\s*"[^"]*"><""" + "script>", page.text)
    assert "49" not in re.sub(r"\?v=\w+|\d{2}:\d{2}", "", page.text)


def test_hostile_words_in_the_query_are_shown_as_text(world):
    page = browser(world).get("/", params={"q": HOSTILE, "category": HOSTILE})
    assert "<script>alert" not in page.text
    page = browser(world).get("/credentials", params={"q": HOSTILE, "state": HOSTILE, "type": HOSTILE})
    assert "<script>alert" not in page.text


def test_the_demo_says_so_on_every_page(world):
    assert "Demo mode" in browser(world, demo=True).get("/").text
    assert "Demo mode" in browser(world, demo=True, signed_in=False).get("/login").text
    assert "Demo mode" not in browser(world).get("/").text


def test_in_demo_the_other_loopback_name_leads_to_the_published_one(world):
    client = browser(world, demo=True, public_url="http://127.0.0.1:8420")
    answer = client.get("/credentials?q=a", headers={"Host": "localhost:8420"})
    assert answer.headers["location"] == "http://127.0.0.1:8420/credentials?q=a"
    behind_a_tunnel = client.get("/login", headers={"Host": "localhost:9999"})
    assert behind_a_tunnel.status_code in {200, 303}
    assert not behind_a_tunnel.headers.get("location", "").startswith("http")


@pytest.mark.parametrize(
    "context",
    [
        {"a": Secret("s")},
        {"a": [1, ({"b": Secret("s")},)]},
        {Secret("s"): 1},
        {"a": frozenset({Secret("s")})},
        {"a": a.token_set()},
        {"a": [Page(items=[a.answer("body")], next_cursor="")]},
    ],
)
def test_a_secret_anywhere_in_a_context_ends_the_request(context):
    with pytest.raises(SecretOnPage):
        refuse_secrets(context)


def test_a_harmless_context_passes_and_a_circle_ends():
    circle: list[object] = [view(), overview()]
    circle.append(circle)
    refuse_secrets({"circle": circle})


def test_a_template_that_prints_a_secret_from_behind_an_object_fails(tmp_path):
    class Hiding:
        secret = Secret("s")

    (tmp_path / "static").mkdir()
    (tmp_path / "leak.html").write_text("{{ it.secret }}")
    with pytest.raises(SecretOnPage):
        pages.environment(tmp_path).get_template("leak.html").render(it=Hiding())


def test_unknown_addresses_and_things_give_a_page_in_our_words(world):
    client = browser(world)
    for path in (
        "/nowhere",
        "/credentials/unknown",
        "/settings/clients/unknown",
        "/connect/unknown",
        "/sign-in/unknown",
    ):
        page = client.get(path, headers={"Accept": "text/html"})
        assert page.status_code == 404, path
        assert "<h1>" in page.text


def test_a_credential_that_fails_says_who_repairs_it(world):
    for kind, who in [
        (FailureKind.TRANSIENT, "tries again by itself"),
        (FailureKind.CLIENT, "/settings/clients/acme"),
        (FailureKind.GRANT, "Connect it again"),
        (FailureKind.INTERNAL, "root key"),
    ]:
        standing = a.standing(state=State.FAILING, failure=a.failure(kind=kind))
        world.credentials.views = [view(credential=a.credential(grant=a.grant(standing=standing)), state=State.FAILING)]
        assert who in browser(world).get("/credentials/credential-1").text


def test_scopes_asked_for_granted_missing_and_beyond_are_told_apart(world):
    page = browser(world).get("/credentials/credential-1").text
    for scope, word in [("read", "granted"), ("write", "asked for, not granted"), ("extra", "granted beyond")]:
        assert re.search(rf"<code>{scope}</code> <span[^>]*>{word}", page)


def test_viewers_are_offered_nothing_they_may_not_do(world):
    world.accounts.person = replace(world.accounts.person, role="viewer")
    page = browser(world).get("/credentials/credential-1").text
    assert "/edit" not in page
    assert "/reconnect" not in page
    assert "/delete" not in page
    settings = browser(world).get("/settings").text
    assert "Service keys" not in settings
    world.clients.client = None
    assert "An administrator does this" in browser(world).get("/new/acmeOAuth2").text


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("tokenkeep.css", "text/css"),
        ("status.js", "text/javascript"),
        ("icons.svg", "image/svg+xml"),
        ("favicon.svg", "image/svg+xml"),
    ],
)
def test_static_files_have_their_type_and_are_kept_only_under_their_fingerprint(world, name, media_type):
    client = browser(world, signed_in=False)
    plain, named = client.get(f"/static/{name}"), client.get(f"/static/{name}?v=abc")
    assert plain.headers["content-type"].startswith(media_type)
    assert plain.headers["cache-control"] == "no-cache"
    assert "immutable" in named.headers["cache-control"]
    assert client.get(f"/static/{name}", headers={"If-None-Match": plain.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "../base.html",
        "..%2fbase.html",
        "%2e%2e/base.html",
        "....//base.html",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "..\\base.html",
        "",
    ],
)
def test_nothing_beyond_the_static_folder_is_served(world, path):
    assert browser(world, signed_in=False).get(f"/static/{path}").status_code in {404, 405}


def test_every_icon_a_template_names_is_in_the_sprite():
    sprite = (TOP / "templates/static/icons.svg").read_text()
    text = "".join(one.read_text() for one in (TOP / "templates").rglob("*.html"))
    calls = re.findall(r"ui\.icon\(([^{}]*?)\)\s*}", text)
    names = {name for call in calls for name in re.findall(r"(?:^|else )'([a-z]+)'", call)}
    names |= {look.icon for look in STATES.values()}
    assert len(names) > 15
    assert not {name for name in names if f'id="{name}"' not in sprite}


def test_the_status_says_that_a_burst_of_refusals_is_not_believed_yet(world):
    shown = browser(world).get("/status").text
    assert "refused 6 credentials in a burst" in shown
    assert "nobody is asked to reconnect yet" in shown
    world.status.overview_now = overview(doubted={})
    assert "in a burst" not in browser(world).get("/status").text
