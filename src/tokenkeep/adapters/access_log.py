"""One line per request, cheaply.

Owns: collecting the lines and writing them in batches. Does not own: measuring requests, nor which part of a path may be
seen (`web/observe`).

uvicorn's own access log prints queries, and with them `code` and `state`; it also halves the throughput.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson

from tokenkeep.adapters.redaction import one_line
from tokenkeep.services.ports import Clock

_BATCH_LINES = 256
_BATCH_S = 0.05
_Line = tuple[str, str, int, float, float, str]  # method, path, status, began, ended, caller


class AccessLog:
    """Buffers requests and writes them once per 50 ms or 256 lines. Call `flush` at the end.

    Requests are noted in monotonic seconds; the time of day is worked out once per batch.
    """

    def __init__(self, clock: Clock, log_format: str, *, write: Callable[[str], Any] | None = None) -> None:
        self._clock = clock
        self._render = _as_json if log_format == "json" else _as_text
        self._write = write or sys.stderr.write
        self._lines: list[_Line] = []
        self._timer: asyncio.TimerHandle | None = None

    def record(self, method: str, path: str, status: int, began: float, caller: str = "") -> None:
        """Note one answered request. `path` has no query and no secret; `caller` is empty for nobody."""
        lines = self._lines
        lines.append((method, path, status, began, self._clock.monotonic(), caller))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_BATCH_S, self.flush)
        elif len(lines) >= _BATCH_LINES:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if lines:
            render, offset = self._render, self._clock.now().timestamp() - self._clock.monotonic()
            with suppress(OSError):  # a disk that is full for the log must not fail a request
                self._write("".join([render(line, _stamp(int((offset + line[4]) * 1000))) for line in lines]))


@functools.lru_cache(maxsize=2)  # lines of one millisecond stand together
def _stamp(milliseconds: int) -> str:
    second, fraction = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:03d}Z"


@functools.lru_cache(maxsize=4096)  # programs ask for the same paths again and again
def _clean(text: str) -> str:
    """As it is, unless it could break the line."""
    return text if text.isascii() and text.isprintable() and " " not in text else one_line(text).replace(" ", "%20")


def _as_text(line: _Line, stamp: str) -> str:
    method, path, status, began, ended, caller = line
    took = f"{(ended - began) * 1000:.1f}"
    return f"{stamp} info    request {_clean(method)} {_clean(path)} status={status} ms={took} by={caller or '-'}\n"


def _as_json(line: _Line, stamp: str) -> str:
    method, path, status, began, ended, caller = line
    facts = {
        "time": stamp,
        "level": "info",
        "action": "request",
        "method": _clean(method),
        "path": _clean(path),
        "status": status,
        "ms": round((ended - began) * 1000, 1),
        "caller": caller,
    }
    return orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE).decode()
