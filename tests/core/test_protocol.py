"""Requests as plain parameters, fingerprints, and how token sets follow each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from tokenkeep.core.model import Provider, TokenSet
from tokenkeep.core.protocol import (
    QUIRKS,
    authorization_parameters,
    exchange_form,
    fingerprint,
    merge,
    refresh_form,
)
from tokenkeep.core.secret import Secret

CALLBACK = "https://keep.example/callback/c1"
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def a_provider(*quirks: str, **overrides: Any) -> Provider:
    return Provider(id="p", name="P", quirks=frozenset(quirks), **overrides)


def parameters(provider: Provider, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    return authorization_parameters(
        provider, client_id="id", redirect_uri=CALLBACK, state="st", scopes=("a", "b"), extra=extra or {}
    )


def opened(form: Mapping[str, str | Secret]) -> dict[str, str]:
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in form.items()}


def refreshed(provider: Provider) -> dict[str, str]:
    return opened(refresh_form(provider, refresh_token=Secret("RT-1"), scopes=("a", "b"), redirect_uri=CALLBACK))


def test_authorization_parameters() -> None:
    assert parameters(a_provider()) == {
        "response_type": "code",
        "client_id": "id",
        "redirect_uri": CALLBACK,
        "state": "st",
        "scope": "a b",
    }


@pytest.mark.parametrize(
    ("provider", "scope"),
    [
        (a_provider(scope_separator=","), {"scope": "a,b"}),
        (a_provider("user_scope_param", scope_separator=","), {"user_scope": "a,b"}),
        (a_provider("no_scopes"), {}),
    ],
)
def test_scopes_go_where_the_provider_wants_them(provider: Provider, scope: dict[str, str]) -> None:
    asked = parameters(provider)
    assert {name: asked[name] for name in asked if "scope" in name} == scope


def test_extra_parameters_win_over_the_file_but_never_over_the_protocol() -> None:
    provider = a_provider(authorize_params={"prompt": "consent", "access_type": "offline", "state": "file"})
    hostile = dict.fromkeys(
        ("response_type", "client_id", "redirect_uri", "state", "scope", "user_scope", "code_challenge"), "evil"
    )
    asked = parameters(provider, {**hostile, "code_challenge_method": "plain", "prompt": "select_account"})
    assert asked == {**parameters(a_provider()), "prompt": "select_account", "access_type": "offline"}


def test_exchange_form() -> None:
    form = exchange_form(a_provider(token_params={"audience": "api", "code": "evil"}), code="C", redirect_uri=CALLBACK)
    assert opened(form) == {
        "audience": "api",
        "grant_type": "authorization_code",
        "code": "C",
        "redirect_uri": CALLBACK,
    }
    assert "'C'" not in repr(form)


@pytest.mark.parametrize(
    ("provider", "further"),
    [
        (a_provider(), {}),
        (a_provider("redirect_uri_on_refresh"), {"redirect_uri": CALLBACK}),
        (a_provider("scope_on_refresh"), {"scope": "a b"}),
        (a_provider(refresh_params={"format": "json", "grant_type": "evil"}), {"format": "json"}),
    ],
)
def test_refresh_form_sends_what_is_proven_and_nothing_else(provider: Provider, further: dict[str, str]) -> None:
    assert refreshed(provider) == {"grant_type": "refresh_token", "refresh_token": "RT-1", **further}


def test_a_refresh_form_does_not_show_its_token() -> None:
    form = refresh_form(a_provider(), refresh_token=Secret("RT-1"), scopes=(), redirect_uri=CALLBACK)
    assert "RT-1" not in repr(form)


def test_fingerprint_is_the_beginning_of_the_digest() -> None:
    assert fingerprint(Secret("RT-1")) == hashlib.sha256(b"RT-1").hexdigest()[:16]
    assert fingerprint(Secret("RT-1")) != fingerprint(Secret("RT-2"))


OLD = TokenSet(
    access_token=Secret("AT-1"),
    refresh_token=Secret("RT-1"),
    scope=("a",),
    expires_at=datetime(2026, 1, 1, tzinfo=UTC),
    refresh_expires_at=LATER,
    extra={"instance_url": "https://x.example", "hub_id": 1},
)


def test_merge_keeps_what_the_answer_leaves_out() -> None:
    merged = merge(OLD, TokenSet(access_token=Secret("AT-2"), extra={"hub_id": 2}))
    assert merged.access_token.reveal() == "AT-2"
    assert merged.refresh_token == Secret("RT-1")
    assert merged.scope == ("a",)
    assert merged.refresh_expires_at == LATER
    assert merged.expires_at is None
    assert merged.extra == {"instance_url": "https://x.example", "hub_id": 2}


def test_merge_takes_a_new_refresh_token_with_its_own_end() -> None:
    merged = merge(OLD, TokenSet(access_token=Secret("AT-2"), refresh_token=Secret("RT-2"), scope=("b",)))
    assert merged.refresh_token == Secret("RT-2")
    assert merged.refresh_expires_at is None
    assert merged.scope == ("b",)


def test_merge_restarts_the_end_of_a_kept_refresh_token_when_the_answer_tells_one() -> None:
    sooner = datetime(2026, 12, 1, tzinfo=UTC)
    assert merge(OLD, TokenSet(access_token=Secret("AT-2"), refresh_expires_at=sooner)).refresh_expires_at == sooner


def test_quirks_are_closed_and_explained() -> None:
    assert len(QUIRKS) == 21
    assert all(sentence.endswith(".") for sentence in QUIRKS.values())
