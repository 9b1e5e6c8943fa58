"""What comes along when a value is copied, and what looks odd about one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.core.model import CredentialType, Field, FieldKind, Injection
from tokenkeep.core.pasting import tidy
from tokenkeep.core.schema import MASK, validate

BEARER = Injection(headers={"Authorization": "Bearer {key}"})
WHOLE = Injection(headers={"Authorization": "{key}"})
NAMED = Injection(headers={"{name}": "{key}"})
ELSEWHERE = Injection(headers={"X-Key": "{key}"})


def field(kind: FieldKind = FieldKind.SECRET, **changes: Any) -> Field:
    secret = kind in {FieldKind.SECRET, FieldKind.MULTILINE, FieldKind.JSON}
    return Field(**({"name": "key", "label": "The key", "kind": kind, "secret": secret} | changes))


def entered(value: object, asked: Field, injection: Injection | None = None) -> tuple[Any, str]:
    """What is kept of a value, and what is said."""
    wanted = CredentialType(name="t", label="T", provider="p", fields=(asked,), injection=injection)
    result = validate(wanted, {"key": value})
    return result.values.get("key"), result.warnings.get("key", "")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (" sk-1 ", "blanks"),
        ("sk-1\n", "a line break"),
        ("\tsk-1\r\n", "blanks"),
        ('"sk-1"', "quotes"),
        ("'sk-1'", "quotes"),
        ("`sk-1`", "quotes"),
        ("“sk-1”", "quotes"),
        ("Bearer sk-1", "`Bearer`"),
        ("bearer  sk-1\n", "`Bearer`"),
        ("Authorization: Bearer sk-1", "the header's name, `Bearer`"),
        ("'Authorization: Bearer sk-1'", "quotes, the header's name, `Bearer`"),
        ("OPENAI_API_KEY=sk-1", "the name before `=`"),
        ('export OPENAI_API_KEY = "sk-1"', "the name before `=`, quotes"),
        ('" sk-1 "', "quotes, blanks"),
    ],
)
@pytest.mark.parametrize("kind", [FieldKind.SECRET, FieldKind.TEXT])
def test_where_the_beginning_is_known_all_around_it_is_left_out(kind: FieldKind, sent: str, said: str) -> None:
    kept, told = entered(sent, field(kind, prefix="sk-"))
    assert kept == "sk-1"
    assert said in told
    assert "sk-1" not in told


@pytest.mark.parametrize(
    ("sent", "kept", "said"),
    [
        ("Bearer abc", "abc", "`Bearer`"),
        ("Authorization: bearer 'abc'", "abc", "`Bearer`, quotes"),
        ("Basic abc", "Basic abc", "like a whole header"),
        ('"abc"', '"abc"', "stands in quotes"),
        (" abc", " abc", "space"),
        ("abc", "abc", ""),
    ],
)
def test_a_word_that_each_request_says_is_not_kept_twice(sent: str, kept: str, said: str) -> None:
    found, told = entered(sent, field(), BEARER)
    assert found == kept
    assert (said in told) if said else not told


@pytest.mark.parametrize(
    ("sent", "kept", "said"),
    [
        ("abc\r\n", "abc", "a line break"),
        (" p w ", " p w ", "space"),
        ("'p w'", "'p w'", "quotes"),
        ("Bearer p", "Bearer p", "Only the value"),
        ("Authorization: p", "Authorization: p", "Only the value"),
        ("A=p", "A=p", ""),
        ('"', '"', ""),
        ("'\"", "'\"", ""),
        ("Bearer", "Bearer", ""),
    ],
)
def test_what_may_belong_to_a_password_stays_and_is_told(sent: str, kept: str, said: str) -> None:
    found, told = entered(sent, field(), ELSEWHERE)
    assert found == kept
    assert (said in told) if said else not told


@pytest.mark.parametrize("injection", [WHOLE, NAMED])
def test_a_scheme_belongs_to_a_whole_header(injection: Injection) -> None:
    assert entered("Bearer abc", field(), injection) == ("Bearer abc", "")


@pytest.mark.parametrize(
    "value", ["sk_test_51H", "sk_live_51H", "rk_live_1", "sk-proj-x", "eyJhbGciOiJIUzI1NiJ9.e30.x", "päss wörd"]
)
def test_usual_values_need_no_words(value: str) -> None:
    assert entered(value, field()) == (value, "")


PUBLIC_PEM = "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n"
PRIVATE_PEM = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("value", "changes", "said"),
    [
        ("pk_live_1", {}, "public keys"),
        ("pk-lf-1", {"prefix": "sk-lf-"}, "begins with `sk-lf-`. Values that begin with `pk-` are usually public"),
        ("pk-lf-1", {"prefix": "pk-lf-"}, ""),
        ("xyz", {"prefix": "sk-"}, "usually begins with `sk-`"),
        ("short", {"min_length": 6}, "at least 6 characters"),
        ("long en", {"min_length": 7, "max_length": 7}, ""),
        ("longer", {"max_length": 5}, "at most 5 characters"),
        (PUBLIC_PEM, {"kind": FieldKind.MULTILINE, "label": "Private key"}, "public key or a certificate"),
        (PUBLIC_PEM, {"kind": FieldKind.MULTILINE, "label": "Certificate"}, ""),
        (
            PUBLIC_PEM.replace("PUBLIC KEY", "CERTIFICATE"),
            {"kind": FieldKind.MULTILINE, "label": "Private key"},
            "public",
        ),
        ("ssh-ed25519 AAAA", {"label": "Private key"}, "public key"),
        (PRIVATE_PEM, {"kind": FieldKind.MULTILINE, "label": "Private key"}, ""),
        (PRIVATE_PEM.replace("\n", "\\n"), {"kind": FieldKind.MULTILINE}, "where lines should end"),
        ('{\n  "a": 1,\n}', {"kind": FieldKind.MULTILINE, "members": ("a",)}, "from line 3, column 1 on"),
        ("[" * 60_000, {"kind": FieldKind.MULTILINE, "members": ("a",)}, "`a` is missing"),
        ('{"a": 1}', {"kind": FieldKind.MULTILINE, "members": ("a",)}, ""),
        ('{"a": ""}', {"kind": FieldKind.MULTILINE, "members": ("a", "b")}, "`a`, `b` are missing"),
        ("not json", {"kind": FieldKind.MULTILINE}, ""),
        ({"b": 1}, {"kind": FieldKind.JSON, "members": ("a",)}, "does not look like The key: `a` is missing"),
        ('["a"]', {"kind": FieldKind.JSON, "members": ("a",)}, "`a` is missing"),
        ({"a": 1}, {"kind": FieldKind.JSON, "members": ("a",)}, ""),
    ],
)
def test_what_looks_odd_is_told_and_kept(value: object, changes: dict[str, Any], said: str) -> None:
    kept, told = entered(value, field(**changes))
    assert kept == (json.loads(value) if changes.get("kind") is FieldKind.JSON and isinstance(value, str) else value)
    assert (said in told) if said else not told


def test_what_was_left_out_and_what_is_odd_are_told_together() -> None:
    kept, told = entered('"sk-1"', field(prefix="sk-", min_length=9))
    assert kept == "sk-1"
    assert "quotes" in told
    assert "at least 9" in told


def test_a_mask_is_never_tidied() -> None:
    wanted = CredentialType(name="t", label="T", provider="p", fields=(field(prefix="sk-"),))
    stored = {"key": "sk-123456789"}
    assert validate(wanted, {"key": f"{MASK}6789"}, stored=stored).values == stored


PARTS = st.lists(
    st.sampled_from(["Bearer ", "Authorization: ", "A=", '"', "'", " ", "\n", "sk-", "x", "“", "”", "Basic "]),
    max_size=12,
).map("".join)


@given(PARTS | st.text(), st.sampled_from([BEARER, WHOLE, ELSEWHERE, None]), st.sampled_from(["", "sk-"]))
def test_what_is_left_is_a_part_of_what_was_sent_and_is_not_tidied_again(
    sent: str, injection: Injection | None, prefix: str
) -> None:
    asked = field(prefix=prefix)
    kept, said = tidy(asked, sent, injection=injection)
    assert kept in sent
    assert bool(said) == (kept != sent)
    assert tidy(asked, kept, injection=injection) == (kept, "")
