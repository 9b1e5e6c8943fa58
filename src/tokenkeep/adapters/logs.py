"""Log lines: one format for ours and the libraries'.

Owns: the handler on the root logger, its text and JSON formats, which libraries are quiet.
Does not own: what counts as a secret (`redaction`), which events there are (`journal`), requests (`access_log`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import Processor

from tokenkeep.adapters.redaction import one_line, redact_fact

_DRIVERS = ("aiomysql", "asyncpg", "neo4j", "pymongo", "redis")
_QUIET = ("httpx2", "httpcore2", "authlib", "sqlalchemy", "aiosqlite", "alembic", "apscheduler", *_DRIVERS)
_SERVER = ("uvicorn", "uvicorn.error", "uvicorn.access")
_FIRST = ("time", "level", "action", "logger")
_Facts = MutableMapping[str, Any]


def configure_logging(log_format: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every logger through one handler on standard error (or `stream`). `log_format` is `text` or `json`.

    Raises ValueError for another format or an unknown level.
    """
    if log_format not in ("text", "json"):
        raise ValueError(f"log format {log_format!r}: use text or json")
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_formatter(_as_json if log_format == "json" else _as_text))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in (*_QUIET, *_SERVER):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    for name in _SERVER:
        logging.getLogger(name).handlers.clear()  # theirs would write past the redaction
        logging.getLogger(name).propagate = True
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


class _Handler(logging.StreamHandler[TextIO]):
    """The standard one prints a line that cannot be formatted with all its arguments, past the redaction."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is the standard library's
        """Say where the broken call is, and nothing of what it said."""
        with suppress(OSError):  # where a full disk took no line it takes no complaint either, and work must go on
            self.stream.write(f"a log line could not be written: {record.pathname}:{record.lineno}\n")


def _formatter(render: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            _describe,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _redacted,
            render,
        ]
    )


def _describe(_: Any, __: str, facts: _Facts) -> _Facts:
    """Time and origin from the record, so that nothing here reads a clock. Exception text without local variables."""
    record: logging.LogRecord = facts["_record"]
    facts["time"] = (
        datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
    facts["level"] = record.levelname.lower()
    facts["logger"] = record.name
    facts["action"] = facts.pop("event")
    if record.exc_info and not facts.get("exc_info"):
        facts["exc_info"] = record.exc_info
    return facts


def _redacted(_: Any, __: str, facts: _Facts) -> _Facts:
    return {name: redact_fact(name, fact) for name, fact in facts.items()}


def _as_json(_: Any, __: str, facts: _Facts) -> str:
    ordered = {name: facts.pop(name) for name in _FIRST} | dict(facts)
    return orjson.dumps(ordered, default=str).decode()


def _as_text(_: Any, __: str, facts: _Facts) -> str:
    """`time level action name=value …`; the lines of an exception follow, each behind a bar no forger can begin with."""
    time, level, action, logger = (facts.pop(name) for name in _FIRST)
    trace = facts.pop("exception", "")
    if not str(logger).startswith("tokenkeep"):
        facts["logger"] = logger
    words = [f"{time} {level:<7} {one_line(str(action))}", *(f"{name}={_word(fact)}" for name, fact in facts.items())]
    return "\n".join([" ".join(words), *(f"  | {one_line(line)}" for line in str(trace).splitlines())])


def _word(fact: Any) -> str:
    """Bare where it is one word, else quoted, so that a value cannot pass for further facts."""
    text = one_line(str(fact))
    plain = text and not any(each in text for each in ' "=')
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
