"""Signing in and out; `next` never leads away; looking at a one-time link uses nothing up."""

import pytest
from starlette.testclient import TestClient

from tests.web.page_world import COOKIE, ORIGIN, World
from tokenkeep.web.sign_in import next_path

AWAY = (
    "https://evil.example",
    "http://evil.example/",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    " https://evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "HTTPS://EVIL.EXAMPLE",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "mailto:a@evil.example",
    "evil.example",
    "evil.example/credentials",
    "@evil.example",
    "//user@evil.example",
    "//evil.example@tokenkeep.example/",
    "//tokenkeep.example@evil.example/",
    "/.//evil.example",
    "/..//evil.example",
    "/credentials//evil.example",
    "/%0d%0aLocation: https://evil.example",
    "/\x00/evil.example",
    "/\u2028/evil.example",
    "/\uff0fevil.example",
    "//[::1]/",
    "//[bad",
    "?next=https://evil.example",
    "#//evil.example",
    "",
    "/login",
    "/logout",
    "/" + "a" * 2000,
    "http://tokenkeep.example:8420/credentials",
)
OURS = (
    ("/", "/"),
    ("/credentials", "/credentials"),
    ("/credentials?q=a%20b&state=failing", "/credentials?q=a%20b&state=failing"),
    ("/new/acmeApi", "/new/acmeApi"),
    ("/credentials?q=https://evil.example", "/credentials?q=https://evil.example"),
    ("/status#top", "/status"),
)


@pytest.fixture
def world():
    return World()


def browser(world, **changes):
    origin = changes.get("public_url", ORIGIN)
    return TestClient(world.app(**changes), base_url=origin, follow_redirects=False, headers={"Origin": origin})


def credentials(**changes):
    return {"email": "ada@example.org", "password": "correct horse battery", **changes}


@pytest.mark.parametrize("target", AWAY)
def test_next_never_leads_away(world, target):
    assert next_path(target) == "/"
    answer = browser(world).post("/login", data=credentials(next=target))
    assert answer.headers["location"] == "/"
    page = browser(world).get("/login", params={"next": target})
    assert 'name="next" value="/"' in page.text


@pytest.mark.parametrize(("target", "path"), OURS)
def test_next_leads_back_to_our_own_pages(world, target, path):
    assert next_path(target) == path
    assert browser(world).post("/login", data=credentials(next=target)).headers["location"] == path


def test_the_session_cookie_is_kept_from_scripts_and_lives_as_long_as_the_session(world):
    cookie = browser(world).post("/login", data=credentials()).headers["set-cookie"]
    assert cookie.startswith(f"tokenkeep-session={COOKIE};")
    for part in ("HttpOnly", "SameSite=lax", "Path=/", f"Max-Age={7 * 24 * 3600}"):
        assert part in cookie
    assert "Secure" not in cookie


def test_over_https_the_cookie_is_pinned_to_the_host(world):
    client = browser(world, public_url="https://tokenkeep.example")
    cookie = client.post("/login", data=credentials()).headers["set-cookie"]
    assert cookie.startswith("__Host-tokenkeep-session=")
    assert "Secure" in cookie
    assert "Domain" not in cookie


def test_a_wrong_password_says_so_without_saying_which_part_was_wrong(world):
    page = browser(world).post("/login", data=credentials(password="wrong", email='"><script>'))
    assert page.status_code == 401
    assert "do not fit together" in page.text
    assert "<script>" not in page.text
    assert "set-cookie" not in page.headers


def test_who_is_signed_in_goes_on(world):
    client = browser(world)
    client.cookies.set("tokenkeep-session", COOKIE)
    assert client.get("/login?next=/status").headers["location"] == "/status"


@pytest.mark.parametrize("link", ["first", "again"])
def test_looking_at_a_link_uses_nothing_up(world, link):
    client = browser(world)
    for _ in range(3):
        assert client.get(f"/sign-in/{link}").status_code == 200
        assert client.head(f"/sign-in/{link}").status_code == 200
        assert client.get(f"/sign-in/{link}", headers={"Sec-Purpose": "prefetch"}).status_code == 200
    assert world.accounts.redeemed == []
    assert client.post(f"/sign-in/{link}", data={"password": "x" * 12, "repeated": "x" * 12}).status_code == 303
    assert client.get(f"/sign-in/{link}").status_code == 404
    assert client.post(f"/sign-in/{link}", data={}).status_code == 404


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"password": "short", "repeated": "short"}, "password"),
        ({"password": "x" * 12, "repeated": "y" * 12}, "repeated"),
    ],
)
def test_a_password_that_cannot_be_used_leaves_the_link_alone(world, form, field):
    page = browser(world).post("/sign-in/first", data={"email": "ada@example.org", "name": "Ada", **form})
    assert page.status_code == 400
    assert f'id="{field}-wrong"' in page.text
    assert 'value="ada@example.org"' in page.text
    assert form["password"] not in page.text
    assert world.accounts.redeemed == []


def test_signing_out_ends_the_session_here_and_there(world):
    client = browser(world)
    client.cookies.set("tokenkeep-session", COOKIE)
    answer = client.post("/logout")
    assert answer.headers["location"] == "/login"
    assert any("tokenkeep-session" in one and "Max-Age=0" in one for one in answer.headers.get_list("set-cookie"))
    assert world.accounts.ended == [world.accounts.person.digest]


def test_signing_out_by_a_link_is_not_possible(world):
    assert browser(world).get("/logout").status_code == 405
