"""How a credential is put on a request, and how addresses get their holes filled."""

from __future__ import annotations

import base64
import json
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.injection import (
    BEARER,
    Injected,
    authorize,
    behind_host,
    carried,
    check_variable,
    expand,
    exposes,
    holes,
    hosts,
)
from tokenkeep.core.model import Call, HostFormat, Injection, Variable
from tokenkeep.core.secret import Secret


def variable(format_: HostFormat) -> Variable:
    return Variable(name="place", label="Place", format=format_)


def test_holes_are_named_in_order() -> None:
    assert holes("https://{host}/{tenant}/x{host}") == ("host", "tenant", "host")


def test_an_oauth_credential_is_a_bearer_token_by_default() -> None:
    injected = authorize(BEARER, {}, access_token=Secret("at-1"))
    assert injected.headers == {"Authorization": "Bearer at-1"}
    assert injected.query == {}


def test_basic_is_encoded_as_utf_8() -> None:
    injection = Injection(basic=("{user}", "{word}"))
    injected = authorize(injection, {"user": "jo", "word": "pä:ss"}, access_token=None)
    scheme, _, encoded = injected.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded).decode() == "jo:pä:ss"


def test_basic_may_lack_one_half() -> None:
    injected = authorize(Injection(basic=("{key}", "")), {"key": "sk"}, access_token=None)
    assert base64.b64decode(injected.headers["Authorization"][6:]) == b"sk:"


def test_a_header_may_be_named_by_a_field() -> None:
    injected = authorize(Injection(headers={"{key}": "{value}"}), {"key": "X-Key", "value": "v"}, access_token=None)
    assert injected.headers == {"X-Key": "v"}


def test_parts_with_an_empty_optional_field_are_left_out() -> None:
    injection = Injection(
        headers={"Api-Key": "{key}", "Org": "{org}"},
        query={"region": "{region}"},
        body={"org": "{org}"},
        path="/for/{region}",
    )
    injected = authorize(injection, {"key": "k", "org": "", "region": None}, access_token=None)
    assert injected == Injected(headers={"Api-Key": "k"})


def test_several_places_are_filled_at_once() -> None:
    injection = Injection(
        headers={"X-Key": "{key}"},
        query={"k": "{key}"},
        basic=("{user}", "{key}"),
        body={"key": "{key}"},
        path="/{user}",
    )
    assert authorize(injection, {"key": "a", "user": "jo"}, access_token=None) == Injected(
        headers={"X-Key": "a", "Authorization": "Basic am86YQ=="}, query={"k": "a"}, body={"key": "a"}, path="/jo"
    )


@pytest.mark.parametrize(
    ("template", "value", "path"),
    [
        ("/bot{a}", "123:ABC-x_y", "/bot123:ABC-x_y"),
        ("/bot{a}", "..", None),
        ("/{a}", "..", None),
        ("/{a}", ".", None),
        ("/v1/{a}/hook", "a/b?c#d e%2f", "/v1/a%2Fb%3Fc%23d%20e%252f/hook"),
        ("/{a}", "{b}", "/%7Bb%7D"),
        ("/{a}", "é", "/%C3%A9"),
        ("/{a}", "x\r\ny", "/x%0D%0Ay"),
    ],
)
def test_values_in_a_path_are_encoded(template: str, value: str, path: str | None) -> None:
    injection = Injection(path=template)
    if path is None:
        with pytest.raises(InvalidInput) as caught:
            authorize(injection, {"a": value}, access_token=None)
        assert set(caught.value.fields) == {"a"}
    else:
        assert authorize(injection, {"a": value}, access_token=None).path == path


def test_two_values_cannot_climb_together() -> None:
    joined = Injection(path="/x{a}/{b}{c}")
    assert authorize(joined, {"a": "1", "b": "2", "c": "3"}, access_token=None).path == "/x1/23"
    with pytest.raises(InvalidInput):
        authorize(joined, {"a": "1", "b": ".", "c": "."}, access_token=None)


@given(st.text(min_size=1), st.sampled_from(["/bot{a}", "/{a}", "/v1/{a}/x"]))
def test_no_value_of_a_path_adds_a_part_or_moves_the_host(value: str, template: str) -> None:
    try:
        path = authorize(Injection(path=template), {"a": value}, access_token=None).path
    except InvalidInput:
        assert value in {".", ".."}
        return
    address = expand(behind_host("https://api.example.com/me?x=1", path), {})
    parts = urlsplit(address)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("https", "api.example.com", "x=1", "")
    assert parts.path.count("/") == template.count("/") + 1
    assert parts.path.startswith(template.partition("{")[0])
    assert value in unquote(parts.path)


@pytest.mark.parametrize(
    ("template", "there"),
    [
        ("https://a.example", "https://a.example/KEY"),
        ("https://a.example/", "https://a.example/KEY/"),
        ("https://{host}/v2/me?x=y", "https://{host}/KEY/v2/me?x=y"),
        ("https://a.example?x=y", "https://a.example/KEY?x=y"),
        ("{url}/me", "{url}/KEY/me"),
        ("", "/KEY"),
    ],
)
def test_a_path_stands_right_behind_the_host(template: str, there: str) -> None:
    assert behind_host(template, "/KEY") == there
    assert behind_host(template, "") == template


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("headers", "body", "sent"),
    [
        ({}, "", '{"key": "a\\"b&c"}'),
        ({}, '{"x": [1], "key": "old"}', '{"x": [1], "key": "a\\"b&c"}'),
        ({"content-type": FORM}, "", "key=a%22b%26c"),
        ({"Content-Type": f"{FORM}; charset=utf-8"}, "x=&y=1", "x=&y=1&key=a%22b%26c"),
    ],
)
def test_members_join_the_body_of_a_call_in_its_own_form(headers: dict[str, str], body: str, sent: str) -> None:
    call = Call(method="POST", url="https://a.example/me", headers=headers, body=body)
    assert carried(call, Injected(body={"key": 'a"b&c'})).body == sent


def test_a_call_keeps_what_the_credential_does_not_touch() -> None:
    call = Call(method="POST", url="https://a.example/me", body="not json")
    assert carried(call, Injected(headers={"A": "b"}, query={"q": "r"})) == call


def test_a_call_that_carries_a_secret_does_not_print_it() -> None:
    injected = Injected(body={"key": "canary"}, path="/canary")
    call = carried(Call(method="POST", url="https://a.example/me"), injected)
    assert "canary" in call.url
    assert json.loads(call.body) == {"key": "canary"}
    assert "canary" not in repr(call) + repr(injected)


@pytest.mark.parametrize(
    ("injection", "shown"),
    [
        (Injection(path="/bot{key}"), True),
        (Injection(query={"k": "x {key}"}), True),
        (Injection(query={"k": "{access_token}"}), True),
        (Injection(path="/{region}", query={"r": "{region}"}, headers={"K": "{key}"}, body={"k": "{key}"}), False),
    ],
)
def test_what_stands_in_the_address_is_known(injection: Injection, *, shown: bool) -> None:
    assert exposes(injection, {"key", "access_token"}) is shown


def test_a_value_is_never_a_template() -> None:
    injected = authorize(Injection(headers={"A": "{a}"}), {"a": "{b}", "b": "secret"}, access_token=None)
    assert injected.headers == {"A": "{b}"}


def test_what_was_injected_does_not_print() -> None:
    everywhere = Injection(headers={"A": "{a}"}, query={"q": "{a}"}, body={"b": "{a}"}, path="/{a}")
    injected = authorize(everywhere, {"a": "canary"}, access_token=None)
    assert "canary" not in repr(injected)


@pytest.mark.parametrize(
    ("injection", "values"),
    [
        (BEARER, {}),  # never connected
        (Injection(headers={"A": "{a}"}), {"a": ""}),
        (Injection(headers={"A": "{a}"}), {"a": "x\r\nHost: evil"}),
        (Injection(headers={"A": "{a}"}), {"a": "x\ny"}),
        (Injection(headers={"A": "{a}"}), {"a": "x\x00"}),
        (Injection(headers={"A": "{a}"}), {"a": "grün"}),
        (Injection(headers={"{n}": "{a}"}), {"n": "X: y", "a": "v"}),
        (Injection(headers={"{n}": "{a}"}), {"n": "Host", "a": "v"}),
        (Injection(headers={"{n}": "{a}"}), {"n": "transfer-encoding", "a": "v"}),
        (Injection(basic=("{a}", "{b}")), {"a": "with:colon", "b": "x"}),
        (Injection(basic=("{a}", "{b}")), {"a": "x", "b": "line\nbreak"}),
        (Injection(basic=("{a}", "{b}")), {}),
        (Injection(body={"a": "{a}"}, path="/{a}"), {"a": ""}),
    ],
)
def test_what_cannot_be_sent_is_refused_without_repeating_it(injection: Injection, values: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        authorize(injection, values, access_token=None)
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize(
    ("format_", "value", "kept"),
    [
        (HostFormat.LABEL, "My-Team", "my-team"),
        (HostFormat.LABEL, "a", "a"),
        (HostFormat.LABEL, "a" * 63, "a" * 63),
        (HostFormat.HOST, "GitLab.example.com", "gitlab.example.com"),
        (HostFormat.HOST, "git.example.com:8443", "git.example.com:8443"),
        (HostFormat.ADDRESS, " https://Auth.Example.com/OAuth/token ", "https://Auth.Example.com/OAuth/token"),
        (HostFormat.ADDRESS, "https://a:8443/x/", "https://a:8443/x"),
        (HostFormat.TENANT, "common", "common"),
        (HostFormat.TENANT, "contoso.onmicrosoft.com", "contoso.onmicrosoft.com"),
        (HostFormat.TENANT, "72f988bf-86f1-41af-91ab-2d7cd011db47", "72f988bf-86f1-41af-91ab-2d7cd011db47"),
    ],
)
def test_variables_of_the_right_shape_are_kept(format_: HostFormat, value: str, kept: str) -> None:
    assert check_variable(variable(format_), value) == kept


@pytest.mark.parametrize(
    ("format_", "value"),
    [
        *(
            (format_, value)
            for format_ in HostFormat
            for value in ("", "-a", "a-", "a b", "a/b", "a@b", "a?b", "a#b", "ä", "a\n.b", "a..b", "https://a?b")
        ),
        *((format_, "https://a") for format_ in HostFormat if format_ is not HostFormat.ADDRESS),
        (HostFormat.ADDRESS, "http://a"),
        (HostFormat.ADDRESS, "https://u@a"),
        (HostFormat.ADDRESS, "https://a/../b"),
        (HostFormat.ADDRESS, "https://a:99999"),
        (HostFormat.LABEL, "a.b"),
        (HostFormat.LABEL, "a" * 64),
        (HostFormat.LABEL, "a:1"),
        (HostFormat.TENANT, "a:1"),
        (HostFormat.HOST, "a:99999"),
        (HostFormat.HOST, "a:"),
        (HostFormat.HOST, ".".join(["a" * 60] * 5)),
    ],
)
def test_variables_of_another_shape_are_refused_by_name(format_: HostFormat, value: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_variable(variable(format_), value)
    assert set(caught.value.fields) == {"place"}


@pytest.mark.parametrize(
    ("template", "values", "address"),
    [
        ("https://api.example.com/x", {}, "https://api.example.com/x"),
        ("https://{host}/oauth", {"host": "git.example.com:8443"}, "https://git.example.com:8443/oauth"),
        ("https://{team}.example.com/{id}", {"team": "a", "id": "x/y?z"}, "https://a.example.com/x%2Fy%3Fz"),
        ("https://login.example.com/{tenant}/token", {"tenant": "common"}, "https://login.example.com/common/token"),
        ("{url}/v1", {"url": "https://x.supabase.co/"}, "https://x.supabase.co/v1"),
    ],
)
def test_addresses_are_expanded(template: str, values: dict[str, str], address: str) -> None:
    assert expand(template, values) == address


@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("https://{team}.example.com/", {}),
        ("https://{team}.example.com/", {"team": ""}),
        ("https://{team}.example.com/", {"team": "evil.com/"}),
        ("https://{team}.example.com/", {"team": "evil.com:1"}),
        ("https://{team}.example.com/", {"team": "user@evil.com"}),
        ("https://{host}/", {"host": "evil.com#"}),
        ("https://{host}/", {"host": "evil.com:99999"}),
        ("https://a.example.com/{id}", {"id": ".."}),
        ("{url}/v1", {"url": "http://x.example.com"}),
        ("{url}/v1", {"url": "https://user:word@x.example.com"}),
        ("{url}/v1", {"url": "https://x.example.com?a=b"}),
        ("{url}/v1", {"url": "https://x.example.com/../y"}),
    ],
)
def test_values_that_could_move_the_address_are_refused(template: str, values: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        expand(template, values)
    assert len(caught.value.fields) == 1


@given(st.text())
def test_no_value_of_a_label_moves_the_host(value: str) -> None:
    try:
        address = expand("https://{team}.example.com/path", {"team": value})
    except InvalidInput:
        return
    host = address.removeprefix("https://").removesuffix("/path")
    assert host.endswith(".example.com")
    assert not set(host) & set("/?#@:\\")


def test_hosts_are_where_a_credential_may_go() -> None:
    templates = ["api.example.com", "{host}", "{url}", "{missing}"]
    values = {"host": "git.example.com:8443", "url": "https://X.supabase.co/rest"}
    assert hosts(templates, values) == {"api.example.com", "git.example.com:8443", "x.supabase.co"}
    assert hosts(["{url}"], {"url": "https://x.example.com:443"}) == {"x.example.com"}
