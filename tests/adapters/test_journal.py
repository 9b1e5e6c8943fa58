"""Logs and metrics: one format, no secrets, no forged lines, and numbers that count."""

from __future__ import annotations

import asyncio
import io
import json
import logging

import pytest
import structlog

from tests.kit.clock import FakeClock
from tests.kit.journal import ListJournal
from tokenkeep.adapters.access_log import AccessLog
from tokenkeep.adapters.journal import LogJournal
from tokenkeep.adapters.logs import configure_logging
from tokenkeep.adapters.metrics import Metrics
from tokenkeep.adapters.redaction import one_line, redact, redact_fact
from tokenkeep.core.secret import STARS, Secret

MARK = "MARKED-0123456789abcdef"
LIBRARIES = ["httpx2", "httpcore2", "authlib", "sqlalchemy", "aiosqlite", "apscheduler"]
LIBRARIES += ["aiomysql", "asyncpg", "neo4j", "pymongo", "redis"]


@pytest.fixture
def configured():
    """Configures logging into a text, and puts everything back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def configure(log_format: str = "json", level: str = "INFO") -> io.StringIO:
        stream = io.StringIO()
        configure_logging(log_format, level, stream)
        return stream

    yield configure
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in [*LIBRARIES, "uvicorn", "uvicorn.access", "uvicorn.error"]:
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def metrics() -> Metrics:
    return Metrics(FakeClock(), version="1.2.3")


# --- redaction ----------------------------------------------------------------------------------------------------

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJNQVJLRUQtMDEyMyJ9.c2lnbmF0dXJl"

LEAKS = {
    "our key": f"key tk_abc123_{MARK}_x1y2z3 is unknown",
    "bearer": f"sent Bearer {MARK} to them",
    "authorization header": f"Authorization: Bearer {MARK}",
    "basic": f"authorization: Basic {MARK}==",
    "odd scheme": f"Authorization: Custom a {MARK}",
    "callback": f'GET /oauth/callback/x?code={MARK}&state={MARK} HTTP/1.1" 200',
    "form": f"code={MARK}&grant_type=authorization_code",
    "revocation": f"token={MARK}&token_type_hint=refresh_token",
    "JSON": json.dumps({"access_token": MARK, "refresh_token": MARK}),
    "JSON in JSON": json.dumps(json.dumps({"access_token": MARK})),
    "repr": repr({"client_secret": MARK}),
    "camel case": f"clientSecret={MARK} apiKey: {MARK}",
    "prefixed": f"my_access_token={MARK}",
    "password": f"password={MARK}",
    "password of two words": f"'password': 'two {MARK}'",
    "cookie": f"cookie: first=1; second={MARK}",
    "header dict": repr({"set-cookie": f"a=b; c={MARK}"}),
    "code verifier": f"code_verifier={MARK}",
    "key in a query": f'HTTP Request: GET https://api.example.com/v1?appid={MARK}&x=1 "HTTP/1.1 200 OK"',
    "token in a path": f"404 for https://api.telegram.org/bot12345678:{MARK}{MARK}/getMe",
    "token in a path, encoded": f"404 for https://api.telegram.org/bot12345678%3A{MARK}{MARK}/getMe",
}


@pytest.mark.parametrize("text", LEAKS.values(), ids=LEAKS.keys())
def test_secrets_become_stars(text):
    assert MARK not in redact(text)
    assert STARS in redact(text)


def test_jwts_become_stars():
    assert redact(f"got {JWT} back") == f"got {STARS} back"


@pytest.mark.parametrize(
    "text",
    [
        "refresh_failed",
        "the state is connected",
        "status_code=200",
        "error_code=invalid_grant",
        "a code: 17",
        "GET /v1/credentials/1f0c2c1e-9d0e-4a53-8f6e-0d7a4f2b9a11/token",
        "the access token has expired",
        "https://api.example.com/v1/me answered 404 at 12:00:05",
        "127.0.0.1:8420 listens, 17:abc",
    ],
)
def test_ordinary_words_stay(text):
    assert redact(text) == text


def test_the_id_of_our_key_stays_to_find_it_by():
    assert redact(f"tk_abc123_{MARK}_x1") == f"tk_abc123_{STARS}"


def test_facts_are_walked():
    fact = {"inner": [{"client_secret": MARK}, f"Bearer {MARK}", Secret(MARK)], "count": 3, "none": None}
    assert MARK not in json.dumps(redact_fact("outer", fact))
    assert redact_fact("outer", fact)["count"] == 3
    assert redact_fact("state", "connected") == "connected"
    assert redact_fact("password", MARK) == STARS


def test_control_characters_are_escaped():
    assert one_line("a\nb\r\x1b[31mc\u2028d\u202ee") == r"a\nb\r\x1b[31mc\u2028d\u202ee"
    assert one_line("Büro 東京") == "Büro 東京"


def log_a_failure(text: str) -> None:
    try:
        raise_with(text)
    except ValueError:
        logging.getLogger("somebody").exception("failed")


def raise_with(text: str) -> None:
    raise ValueError(text)


# --- log lines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_marked_secret_passes(configured, log_format):
    stream = configured(log_format)
    for text in LEAKS.values():
        logging.getLogger("somebody").warning("said %s", text)
        structlog.get_logger("ours").warning("said", detail=text, nested={"deeper": [text]})
        log_a_failure(text)
    logging.getLogger("somebody").warning("secret %s", Secret(MARK))
    structlog.get_logger("ours").warning("secret", it=Secret(MARK))
    written = stream.getvalue()
    assert MARK not in written
    assert written.count("failed") >= len(LEAKS)
    assert "ValueError" in written


def test_a_line_that_cannot_be_formatted_does_not_spill_its_arguments(configured):
    stream = configured()
    logging.getLogger("somebody").warning("%d tokens", MARK)
    assert "test_journal.py" in stream.getvalue()
    assert MARK not in stream.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_lines_cannot_be_forged(configured, log_format):
    stream = configured(log_format)
    forged = "x\n2026-11-24T12:00:00.000Z info    forged\r\x1b[2J\u2028y"
    logging.getLogger("somebody").warning("said %s", forged)
    structlog.get_logger("ours").warning("said", detail=forged)
    LogJournal(metrics()).record("client_paused", provider=forged)
    written = stream.getvalue().removesuffix("\n")
    assert len(written.split("\n")) == 3
    assert not any(each in written for each in "\r\x1b")
    assert not any(line.startswith("2026-11-24T12:00:00.000Z info    forged") for line in written.splitlines())


def test_a_forged_trace_stays_behind_its_bar(configured):
    stream = configured("text")
    log_a_failure("x\n2026-11-24T12:00:00.000Z info    forged")
    first, *trace = stream.getvalue().splitlines()
    assert "failed" in first
    assert all(line.startswith("  | ") for line in trace)


def test_a_value_cannot_pass_for_further_facts(configured):
    stream = configured("text")
    structlog.get_logger("tokenkeep.x").info("said", name='a" outcome=b')
    assert stream.getvalue().endswith('said name="a\\" outcome=b"\n')


def test_json_lines_have_time_level_action_and_facts(configured):
    stream = configured()
    LogJournal(metrics()).record("client_registered", provider="acme", hastened=2)
    (line,) = lines(stream)
    assert list(line)[:4] == ["time", "level", "action", "logger"]
    assert (line["level"], line["action"], line["provider"], line["hastened"]) == (
        "info",
        "client_registered",
        "acme",
        2,
    )
    assert str(line["time"]).endswith("Z")


def test_text_lines_read_well(configured):
    stream = configured("text")
    LogJournal(metrics()).record("refresh_failed", provider="acme", kind="transient", code="no_answer")
    time, rest = stream.getvalue().split(" ", 1)
    assert time.endswith("Z")
    assert rest == "warning refresh_failed provider=acme kind=transient code=no_answer\n"


@pytest.mark.parametrize("name", LIBRARIES)
def test_libraries_speak_from_warning_on(configured, name):
    stream = configured()
    logging.getLogger(name).info("GET https://acme.example/?key=1")
    logging.getLogger(f"{name}.part").debug("more")
    assert stream.getvalue() == ""
    logging.getLogger(name).warning("careful")
    assert lines(stream)[0]["action"] == "careful"


def test_uvicorn_speaks_through_our_handler(configured):
    logging.getLogger("uvicorn").addHandler(logging.StreamHandler())
    stream = configured()
    logging.getLogger("uvicorn.error").warning("started")
    logging.getLogger("uvicorn.access").info("GET /?code=1")
    assert [line["action"] for line in lines(stream)] == ["started"]
    assert not logging.getLogger("uvicorn").handlers


def test_the_level_counts(configured):
    stream = configured("json", "WARNING")
    journal = LogJournal(metrics())
    journal.record("client_registered")
    journal.record("refresh_failed", kind="transient", provider="acme")
    assert [line["action"] for line in lines(stream)] == ["refresh_failed"]


@pytest.mark.parametrize(("log_format", "level"), [("xml", "INFO"), ("json", "LOUD")])
def test_unknown_formats_and_levels_are_refused(configured, log_format, level):
    with pytest.raises(ValueError, match=r"(?i)format|level"):
        configured(log_format, level)


def test_facts_with_the_names_of_our_columns_do_no_harm(configured):
    stream = configured()
    LogJournal(metrics()).record("odd", event="x", level="y", time="z", action="w", logger="v")
    assert (lines(stream)[0]["action"], lines(stream)[0]["level"]) == ("odd", "info")


# --- metrics ------------------------------------------------------------------------------------------------------


def test_journal_raises_metrics(configured):
    configured()
    numbers = metrics()
    journal = LogJournal(numbers)
    journal.record("refreshed", provider="acme", duration_ms=200.0, credential="c")
    journal.record("refresh_failed", provider="acme", kind="client", code="invalid_client")
    journal.record("reauthorization_required", provider="acme", kind="grant", code="invalid_grant")
    journal.record("swept", found=3)
    value = numbers.registry.get_sample_value
    for outcome in ("refreshed", "client", "reauthorization_required"):
        assert value("tokenkeep_refreshes_total", {"provider": "acme", "outcome": outcome}) == 1
    assert value("tokenkeep_refresh_duration_seconds_sum", {"provider": "acme"}) == pytest.approx(0.2)
    assert value("tokenkeep_refresh_duration_seconds_count", {"provider": "acme"}) == 1
    assert value("tokenkeep_sweep_last_run_timestamp_seconds") == FakeClock().now().timestamp()
    assert value("tokenkeep_events_total", {"action": "refreshed"}) == 1


def test_requests_and_gauges():
    numbers = metrics()
    numbers.request("/v1/credentials/{id}", 200)
    numbers.request("/v1/credentials/{id}", 200)
    numbers.request("", 404)
    numbers.grants({"connected": 5, "failing": 1}, overdue=2)
    numbers.grants({"connected": 6}, overdue=0)
    value = numbers.registry.get_sample_value
    assert value("tokenkeep_http_requests_total", {"route": "/v1/credentials/{id}", "status": "200"}) == 2
    assert value("tokenkeep_http_requests_total", {"route": "none", "status": "404"}) == 1
    assert value("tokenkeep_grants", {"state": "connected"}) == 6
    assert value("tokenkeep_grants", {"state": "failing"}) is None
    assert value("tokenkeep_grants_overdue") == 0


def test_render_is_prometheus_text_of_our_registry_alone():
    one, other = metrics(), metrics()
    one.event("swept")
    assert b'tokenkeep_events_total{action="swept"} 1.0' in one.render()
    assert b'tokenkeep_build_info{version="1.2.3"} 1.0' in one.render()
    assert b'action="swept"' not in other.render()
    assert b"python_info" not in one.render()


# --- access log ---------------------------------------------------------------------------------------------------

PATH = "/v1/credentials/c1"
BEGAN = FakeClock().monotonic() - 0.00126


def access_log(log_format: str) -> tuple[AccessLog, list[str]]:
    written: list[str] = []
    return AccessLog(FakeClock(), log_format, write=written.append), written


async def test_access_lines_in_text():
    log, written = access_log("text")
    log.record("GET", PATH, 200, BEGAN, "key/k1")
    log.record("GET", "/x y", 404, FakeClock().monotonic())
    log.flush()
    assert "".join(written).splitlines() == [
        f"2026-11-24T12:00:00.000Z info    request GET {PATH} status=200 ms=1.3 by=key/k1",
        "2026-11-24T12:00:00.000Z info    request GET /x%20y status=404 ms=0.0 by=-",
    ]


async def test_access_lines_in_json():
    log, written = access_log("json")
    log.record("GET", PATH, 200, BEGAN, "key/k1")
    log.flush()
    assert json.loads("".join(written)) == {
        "time": "2026-11-24T12:00:00.000Z",
        "level": "info",
        "action": "request",
        "method": "GET",
        "path": PATH,
        "status": 200,
        "ms": 1.3,
        "caller": "key/k1",
    }


async def test_access_lines_tell_when_a_request_ended_and_not_when_the_batch_was_written():
    written: list[str] = []
    clock = FakeClock()
    log = AccessLog(clock, "text", write=written.append)
    log.record("GET", PATH, 200, clock.monotonic())
    clock.advance(1.5)
    log.record("GET", PATH, 200, clock.monotonic())
    log.flush()
    first, second = "".join(written).splitlines()
    assert first.startswith("2026-11-24T12:00:00.000Z")
    assert second.startswith("2026-11-24T12:00:01.500Z")


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_access_lines_cannot_be_forged(log_format):
    log, written = access_log(log_format)
    log.record("GE\nT", "/a\nb\u2028c\x1b", 404, BEGAN)
    log.flush()
    assert len("".join(written).splitlines()) == 1


async def test_access_lines_are_written_together_after_a_moment():
    log, written = access_log("text")
    for _ in range(3):
        log.record("GET", PATH, 200, BEGAN)
    assert written == []
    await asyncio.sleep(0.1)
    assert len(written) == 1
    assert written[0].count("\n") == 3
    log.record("GET", PATH, 200, BEGAN)
    await asyncio.sleep(0.1)
    assert len(written) == 2


async def test_access_lines_do_not_pile_up():
    log, written = access_log("text")
    for _ in range(256):
        log.record("GET", PATH, 200, BEGAN)
    assert sum(batch.count("\n") for batch in written) == 256
    log.flush()
    assert len(written) == 1


def test_the_list_journal_tells_what_was_recorded():
    journal = ListJournal()
    journal.record("refreshed", provider="acme")
    journal.record("swept")
    assert journal.actions == ["refreshed", "swept"]
    assert journal.facts("refreshed") == [{"provider": "acme"}]


class FullDisk(io.StringIO):
    """A stream on a disk that takes nothing more."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_log_on_a_full_disk_stops_nobody(configured):
    configured()
    logging.getLogger().handlers[0].setStream(FullDisk())  # type: ignore[attr-defined]
    logging.getLogger("tokenkeep").warning("lost")
    structlog.stdlib.get_logger("tokenkeep.journal").info("lost")


async def test_an_access_log_on_a_full_disk_fails_no_request():
    log = AccessLog(FakeClock(), "text", write=FullDisk().write)
    log.record("GET", "/readyz", 200, 0.0)
    log.flush()
