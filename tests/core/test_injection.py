"""How a credential is put on a request, and how addresses get their holes filled."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.injection import BEARER, authorize, check_variable, expand, holes, hosts
from tokenkeep.core.model import HostFormat, Injection, Variable
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
    injection = Injection(headers={"Api-Key": "{key}", "Org": "{org}"}, query={"region": "{region}"})
    injected = authorize(injection, {"key": "k", "org": "", "region": None}, access_token=None)
    assert (injected.headers, injected.query) == ({"Api-Key": "k"}, {})


def test_a_value_is_never_a_template() -> None:
    injected = authorize(Injection(headers={"A": "{a}"}), {"a": "{b}", "b": "secret"}, access_token=None)
    assert injected.headers == {"A": "{b}"}


def test_what_was_injected_does_not_print() -> None:
    injected = authorize(Injection(headers={"A": "{a}"}, query={"q": "{a}"}), {"a": "canary"}, access_token=None)
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
        (HostFormat.TENANT, "common", "common"),
        (HostFormat.TENANT, "contoso.onmicrosoft.com", "contoso.onmicrosoft.com"),
        (HostFormat.TENANT, "72f988bf-86f1-41af-91ab-2d7cd011db47", "72f988bf-86f1-41af-91ab-2d7cd011db47"),
    ],
)
def test_variables_of_the_right_shape_are_kept_in_lower_case(format_: HostFormat, value: str, kept: str) -> None:
    assert check_variable(variable(format_), value) == kept


@pytest.mark.parametrize(
    ("format_", "value"),
    [
        *(
            (format_, value)
            for format_ in HostFormat
            for value in ("", "-a", "a-", "a b", "a/b", "a@b", "a?b", "a#b", "ä", "a\n.b", "a..b", "https://a")
        ),
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
