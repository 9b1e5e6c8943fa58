"""Reading what people and programs send for a credential type, and masking it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.model import Call, CredentialType, Field, FieldKind
from tokenkeep.core.schema import MASK, mask, validate

SECRET_KINDS = {FieldKind.SECRET, FieldKind.MULTILINE, FieldKind.JSON}


def field(kind: FieldKind = FieldKind.TEXT, **changes: Any) -> Field:
    return Field(**({"name": "a", "label": "A", "kind": kind, "secret": kind in SECRET_KINDS} | changes))


def type_of(*fields: Field, **changes: Any) -> CredentialType:
    return CredentialType(**({"name": "thing", "label": "Thing", "provider": "p", "fields": fields} | changes))


def one(kind: FieldKind, value: object, **changes: Any) -> Any:
    return validate(type_of(field(kind, **changes)), {"a": value}).values.get("a")


def wrong(kind: FieldKind, value: object, **changes: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        validate(type_of(field(kind, **changes)), {"a": value})
    return caught.value.fields["a"]


@pytest.mark.parametrize(
    ("kind", "sent", "stored"),
    [
        (FieldKind.TEXT, "  x ", "x"),
        (FieldKind.SECRET, "key\n", "key"),
        (FieldKind.SECRET, " p ", " p "),
        (FieldKind.MULTILINE, "-----BEGIN\r\nabc\r\n", "-----BEGIN\nabc\n"),
        (FieldKind.URL, " postgresql://u:p@h/db ", "postgresql://u:p@h/db"),
        (FieldKind.NUMBER, 5432, 5432),
        (FieldKind.NUMBER, "5432", 5432),
        (FieldKind.NUMBER, "1.5", 1.5),
        (FieldKind.NUMBER, 0, 0),
        (FieldKind.BOOLEAN, False, False),
        (FieldKind.BOOLEAN, "on", True),
        (FieldKind.BOOLEAN, "False", False),
        (FieldKind.CHOICE, "eu", "eu"),
        (FieldKind.JSON, '{"A": "b"}', {"A": "b"}),
        (FieldKind.JSON, ["-y", "x"], ["-y", "x"]),
        (FieldKind.JSON, {"a": {"b": [1]}}, {"a": {"b": [1]}}),
    ],
)
def test_each_kind_takes_its_values(kind: FieldKind, sent: object, stored: object) -> None:
    assert one(kind, sent, options=("eu", "us") if kind is FieldKind.CHOICE else ()) == stored


@pytest.mark.parametrize(
    ("kind", "sent", "says"),
    [
        (FieldKind.TEXT, 5, "must be text"),
        (FieldKind.TEXT, "a\nb", "single line"),
        (FieldKind.TEXT, "\ud800", "not valid text"),
        (FieldKind.TEXT, "", "must not be empty"),
        (FieldKind.TEXT, "  ", "must not be empty"),
        (FieldKind.TEXT, None, "must not be empty"),
        (FieldKind.SECRET, "a\x00b", "single line"),
        (FieldKind.SECRET, "x" * 70_000, "longer than"),
        (FieldKind.SECRET, ["x"], "must be text"),
        (FieldKind.URL, "example.com", "whole address"),
        (FieldKind.URL, "https://", "whole address"),
        (FieldKind.URL, "https://a b", "whole address"),
        (FieldKind.NUMBER, True, "must be a number"),
        (FieldKind.NUMBER, "12abc", "must be a number"),
        (FieldKind.NUMBER, float("nan"), "finite"),
        (FieldKind.NUMBER, "inf", "finite"),
        (FieldKind.BOOLEAN, "maybe", "true or false"),
        (FieldKind.BOOLEAN, 1, "true or false"),
        (FieldKind.CHOICE, "asia", "one of: eu, us"),
        (FieldKind.JSON, "{", "must be JSON"),
        (FieldKind.JSON, '{"a": 1,\n b}', "from line 2, column 2 on"),
        (FieldKind.JSON, "5", "object or list"),
        (FieldKind.JSON, "[" * 100_000, "longer than"),
        (FieldKind.JSON, "[" * 50_000, "must be JSON"),
        (FieldKind.JSON, {"a": float("nan")}, "must be JSON"),
        (FieldKind.JSON, {"a": object()}, "must be JSON"),
    ],
)
def test_what_does_not_fit_is_named(kind: FieldKind, sent: object, says: str) -> None:
    assert says in wrong(kind, sent, options=("eu", "us") if kind is FieldKind.CHOICE else ())


def test_an_unknown_field_is_named_with_the_nearest_one() -> None:
    with pytest.raises(InvalidInput) as caught:
        validate(type_of(field(name="openAIApiKey")), {"openAIApiKey": "k", "openAiApiKey": "canary"})
    assert "Did you mean `openAIApiKey`?" in caught.value.fields["openAiApiKey"]
    assert "canary" not in str(caught.value.fields)


def test_a_name_that_is_no_name_is_not_repeated() -> None:
    with pytest.raises(InvalidInput) as caught:
        validate(type_of(), {"sk canary secret": "x"})
    assert "canary" not in str(caught.value.fields)


def test_all_problems_come_at_once() -> None:
    wanted = type_of(field(name="a"), field(FieldKind.NUMBER, name="b"), field(name="c"))
    with pytest.raises(InvalidInput) as caught:
        validate(wanted, {"b": "x", "d": 1})
    assert set(caught.value.fields) == {"a", "b", "c", "d"}


def test_defaults_fill_what_is_missing_and_optional_fields_may_be_absent() -> None:
    wanted = type_of(field(FieldKind.NUMBER, name="port", required=False, default=5432), field(required=False))
    assert validate(wanted, {}).values == {"port": 5432}
    assert validate(wanted, {"port": ""}).values == {"port": 5432}


def test_fields_not_sent_stay_as_stored() -> None:
    wanted = type_of(field(), field(FieldKind.SECRET, name="s"))
    result = validate(wanted, {"a": "new"}, stored={"a": "old", "s": "keep-me-as-i-am"})
    assert result.values == {"a": "new", "s": "keep-me-as-i-am"}


def test_null_removes_an_optional_field() -> None:
    wanted = type_of(field(), field(FieldKind.SECRET, name="s", required=False))
    result = validate(wanted, {"s": None}, stored={"a": "x", "s": "secret"})
    assert result.values == {"a": "x"}
    assert result.masked == {"a": "x"}


@pytest.mark.parametrize("sent", [MASK, MASK + "6789"])
def test_a_mask_sent_back_changes_nothing(sent: str) -> None:
    wanted = type_of(field(FieldKind.SECRET))
    assert validate(wanted, {"a": sent}, stored={"a": "sk-123456789"}).values == {"a": "sk-123456789"}


@pytest.mark.parametrize(
    ("sent", "stored"), [(MASK, None), (MASK + "0000", {"a": "sk-123456789"}), ("x" + MASK, {"a": "sk-123456789"})]
)
def test_a_mask_of_something_else_is_never_stored(sent: str, stored: dict[str, object] | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate(type_of(field(FieldKind.SECRET)), {"a": sent}, stored=stored)
    assert "masked value" in caught.value.fields["a"]


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        (FieldKind.TEXT, "visible", "visible"),
        (FieldKind.NUMBER, 5, 5),
        (FieldKind.SECRET, "short-word1", MASK),
        (FieldKind.SECRET, "twelve-chars", MASK + "hars"),
        (FieldKind.MULTILINE, "-----BEGIN PRIVATE KEY-----", MASK),
        (FieldKind.JSON, {"KEY": "canary"}, MASK),
        (FieldKind.URL, "https://example.com/x", "https://example.com/x"),
        (FieldKind.URL, "postgresql://jo:word@db/x", f"postgresql://jo:{MASK}@db/x"),
        (FieldKind.URL, "redis://:word@db", f"redis://:{MASK}@db"),
        (FieldKind.URL, "mongodb://u:p@ss/w?o@h1,h2/db?w=majority", f"mongodb://u:{MASK}@h1,h2/db?w=majority"),
        (FieldKind.URL, "https://token@example.com", f"https://{MASK}@example.com"),
        (FieldKind.URL, "postgresql://h/db?user=jo&password=word", f"postgresql://h/db?user=jo&password={MASK}"),
        (FieldKind.URL, "https://h/?api_key=k&q=1#f", f"https://h/?api_key={MASK}&q=1#f"),
        (FieldKind.SECRET, "", ""),
    ],
)
def test_masks_show_what_is_no_secret(kind: FieldKind, value: object, shown: object) -> None:
    assert mask(field(kind), value) == shown


def test_warnings_tell_an_unusual_beginning_and_stop_nothing() -> None:
    result = validate(type_of(field(FieldKind.SECRET, prefix="sk-")), {"a": "pk-123"})
    assert "usually begins with `sk-`" in result.warnings["a"]
    assert validate(type_of(field(FieldKind.SECRET, prefix="sk-")), {"a": "sk-123"}).warnings == {}
    assert "space" in validate(type_of(field(FieldKind.SECRET)), {"a": "key "}).warnings["a"]


def test_results_do_not_print_secrets() -> None:
    assert "canary" not in repr(validate(type_of(field(FieldKind.SECRET)), {"a": "canary-canary-123"}))


def test_a_result_can_be_sealed_as_json() -> None:
    result = validate(type_of(field(FieldKind.JSON)), {"a": {1: "x"}})
    assert json.loads(json.dumps(result.values)) == result.values == {"a": {"1": "x"}}


def test_what_is_not_an_object_is_refused() -> None:
    with pytest.raises(InvalidInput):
        validate(type_of(), ["a"])  # type: ignore[arg-type]


class TestAddressFields:
    """Fields that decide where a credential is sent."""

    wanted = type_of(
        field(FieldKind.SECRET, name="key"),
        field(FieldKind.URL, name="url", required=False),
        base_url="{url}",
        test=Call(url="{url}/ping"),
    )
    stored: ClassVar = {"key": "the-old-secret", "url": "https://mine.example.com"}

    def test_moving_the_address_needs_the_secret(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            validate(self.wanted, {"url": "https://evil.example.com"}, stored=self.stored)
        assert "give the secret again" in caught.value.fields["url"]

    def test_with_the_secret_it_may_move(self) -> None:
        moved = {"url": "https://new.example.com", "key": "the-new-secret"}
        assert validate(self.wanted, moved, stored=self.stored).values == moved

    def test_knowing_the_secret_is_enough(self) -> None:
        moved = {"url": "https://new.example.com", "key": "the-old-secret"}
        assert validate(self.wanted, moved, stored=self.stored).values == moved

    @pytest.mark.parametrize(
        ("given", "stored"),
        [
            ({"url": "https://evil.example.com"}, {"key": "the-old-secret"}),  # the first address of a stored secret
            ({"url": "https://evil.example.com", "key": MASK}, stored),
            ({"url": None}, stored),
        ],
    )
    def test_there_is_no_way_around(self, given: dict[str, object], stored: dict[str, object]) -> None:
        with pytest.raises(InvalidInput) as caught:
            validate(self.wanted, given, stored=stored)
        assert set(caught.value.fields) == {"url"}

    def test_an_address_that_stays_needs_nothing(self) -> None:
        assert validate(self.wanted, {"url": self.stored["url"], "key": MASK}, stored=self.stored).values == self.stored

    def test_a_part_of_the_hosts_name_is_an_address_too_and_a_part_of_the_path_is_none(self) -> None:
        wanted = type_of(
            field(FieldKind.SECRET, name="key"),
            field(FieldKind.TEXT, name="region"),
            field(FieldKind.TEXT, name="account"),
            test=Call(url="https://{region}.example.com/{account}/me"),
        )
        stored = {"key": "the-old-secret", "region": "eu", "account": "a"}
        assert validate(wanted, {"account": "b"}, stored=stored).values["account"] == "b"
        with pytest.raises(InvalidInput) as caught:
            validate(wanted, {"region": "us"}, stored=stored)
        assert set(caught.value.fields) == {"region"}

    @pytest.mark.parametrize("url", ["http://a.example.com", "https://u:p@a.example.com", "https://a.example.com?x=y"])
    def test_it_must_be_plain_https(self, url: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            validate(self.wanted, {"key": "k", "url": url})
        assert "https://" in caught.value.fields["url"]


KINDS = st.sampled_from(list(FieldKind))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(kind=KINDS, value=JSON, name=st.sampled_from(["a", "b"]), stored=st.dictionaries(st.just("a"), JSON))
def test_nothing_but_invalid_input_is_ever_raised(
    kind: FieldKind, value: object, name: str, stored: dict[str, object]
) -> None:
    wanted = type_of(field(kind, options=("x",) if kind is FieldKind.CHOICE else (), required=False))
    with suppress(InvalidInput):
        assert set(validate(wanted, {name: value}, stored=stored).values) <= {"a"}


@given(kind=KINDS, value=JSON)
def test_the_masked_value_sent_back_leaves_the_stored_one(kind: FieldKind, value: object) -> None:
    wanted = type_of(field(kind, options=("x", "y") if kind is FieldKind.CHOICE else (), required=False))
    try:
        first = validate(wanted, {"a": value})
    except InvalidInput:
        return
    again = validate(wanted, first.masked, stored=first.values)
    assert again.values == first.values
    assert again.masked == first.masked


URLS = st.builds(
    "{}://{}:{}@{}/{}".format,
    st.sampled_from(["postgresql", "mongodb+srv", "https"]),
    st.from_regex(r"[a-z]{1,8}", fullmatch=True),
    st.from_regex(r"[!-~]{1,12}", fullmatch=True),
    st.from_regex(r"[a-z]{1,8}\.[a-z]{2,3}", fullmatch=True),
    st.from_regex(r"[a-z]{0,8}", fullmatch=True),
)


@given(url=URLS)
def test_a_password_in_a_url_round_trips_unseen(url: str) -> None:
    wanted = type_of(field(FieldKind.URL))
    try:
        first = validate(wanted, {"a": url})
    except InvalidInput:
        return
    password = url.partition("://")[2].partition(":")[2].rpartition("@")[0]
    assert first.masked["a"].count(password) == first.masked["a"].replace(MASK, "").count(password)
    assert f":{password}@" not in first.masked["a"]
    assert validate(wanted, first.masked, stored=first.values).values == {"a": url}
