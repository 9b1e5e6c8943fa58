"""Standard Webhooks: signatures, the timetable of retries, addresses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.clock import NOON
from tests.kit.receiver import Received, signed_by
from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.secret import Secret
from tokenkeep.core.webhooks import RETRIES_S, body_of, checked_url, headers, retry_at, secret_of, sign

# The example of the Standard Webhooks specification.
EXAMPLE_SECRET = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
EXAMPLE_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
EXAMPLE_AT = datetime.fromtimestamp(1614265330, UTC)
EXAMPLE_BODY = '{"test": 2432232314}'
EXAMPLE_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_signature_of_the_specifications_own_example() -> None:
    assert sign(EXAMPLE_SECRET, message_id=EXAMPLE_ID, at=EXAMPLE_AT, body=EXAMPLE_BODY) == EXAMPLE_SIGNATURE


@given(
    octets=st.binary(min_size=24, max_size=64),
    message_id=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="."), min_size=1),
    body=st.text(st.characters(exclude_categories=["Cs"])),
    seconds=st.floats(0, 4e9),
)
def test_an_independent_receiver_accepts_what_is_signed(
    octets: bytes, message_id: str, body: str, seconds: float
) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    secrets = [secret_of(octets), secret_of(octets[::-1] + b"other")]
    made = headers(secrets, message_id=message_id, at=moment, body=body)
    request = Received("", made, body)
    assert all(signed_by(secret.reveal(), request) for secret in secrets)
    assert not signed_by(secret_of(octets + b"!").reveal(), request)
    assert not signed_by(secrets[0].reveal(), Received("", made, body + " "))
    assert not signed_by(secrets[0].reveal(), Received("", made | {"webhook-id": message_id + "x"}, body))
    later = {"webhook-timestamp": str(int(moment.timestamp()) + 1)}
    assert not signed_by(secrets[0].reveal(), Received("", made | later, body))


def test_the_timetable_ends_after_three_days_and_some() -> None:
    waits = [retry_at(NOON, attempts=number, fraction=0.0) for number in range(1, 12)]
    assert waits[:-2] == [NOON + timedelta(seconds=seconds) for seconds in RETRIES_S]
    assert waits[-2:] == [None, None]
    assert sum(RETRIES_S) == 272_105  # three days, three hours


@given(attempts=st.integers(1, 9), fraction=st.floats(0, 1, exclude_max=True))
def test_jitter_only_makes_it_a_little_later(attempts: int, fraction: float) -> None:
    wait = retry_at(NOON, attempts=attempts, fraction=fraction)
    assert wait is not None
    assert 1 <= (wait - NOON).total_seconds() / RETRIES_S[attempts - 1] <= 1.1


def test_the_payload_says_what_when_and_about_what() -> None:
    body = body_of("credential.failing", at=NOON, data={"name": "Grün", "expires_at": None})
    assert json.loads(body) == {
        "type": "credential.failing",
        "timestamp": "2026-11-24T12:00:00Z",
        "data": {"name": "Grün", "expires_at": None},
    }


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.org/hooks?source=keep",
        "https://app.example.org:8443",
        "http://127.0.0.1:9000/hook",
        "http://localhost/hook",
        "http://[::1]:9000/",
    ],
)
def test_what_can_be_an_endpoint(url: str) -> None:
    assert checked_url(f" {url} ") == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app.example.org",
        "ftp://app.example.org",
        "http://app.example.org/hook",
        "http://127.example.org@evil.example/",
        "https://user:password@app.example.org/",
        "https://app.example.org/#part",
        "https://",
        "https://app.example.org:99999/",
        "https://app.example.org:0/",
        "https://[::1",
        "https://bücher.example/",
        "https://app.example.org/a b",
        "https://app.example.org/\x00",
        "https://app.example.org/" + "a" * 2_000,
    ],
)
def test_what_cannot(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_url(url)
    assert set(refused.value.fields) == {"url"}
