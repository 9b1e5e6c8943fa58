"""One line per request, cheaply.

Owns: collecting the lines and writing them in batches. Does not own: measuring requests (`web/app`).

uvicorn's own access log prints queries, and with them `code` and `state`; it also halves the throughput.
"""

from __future__ import annotations

import asyncio
import functools
import re
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from tokenkeep.adapters.redaction import one_line
from tokenkeep.core.secret import STARS
from tokenkeep.services.ports import Clock

_BATCH_LINES = 256
_BATCH_S = 0.05
_SECRET_PARAMETER = "{secret"
_LONG_PART = re.compile(r"/[A-Za-z0-9_-]{40,}")  # 256 bits are 43 characters; a UUID has 36
_Line = tuple[datetime, str, str, str, int, float, str]


class AccessLog:
    """Buffers requests and writes them once per 50 ms or 256 lines. Call `flush` at the end."""

    def __init__(self, clock: Clock, log_format: str, *, write: Callable[[str], Any] | None = None) -> None:
        self._clock = clock
        self._render = _as_json if log_format == "json" else _as_text
        self._write = write or sys.stderr.write
        self._lines: list[_Line] = []
        self._timer: asyncio.TimerHandle | None = None

    def record(self, method: str, path: str, *, route: str, status: int, ms: float, caller: str = "") -> None:
        """Note one answered request. `path` has no query; `caller` is empty for nobody.

        The path of a route with a parameter named `{secret…}` is never written: the route stands for it.
        """
        lines = self._lines
        lines.append((self._clock.now(), method, path, route, status, ms, caller))
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
            render = self._render
            self._write("".join([render(line) for line in lines]))


@functools.lru_cache(maxsize=1024)  # programs ask for the same few paths again and again
def _shown(path: str, route: str) -> str:
    """A secret link with a slash too many matches no route, so there every part as long as a secret is hidden."""
    if not route:
        return one_line(_LONG_PART.sub(f"/{STARS}", path))
    return route if _SECRET_PARAMETER in route else one_line(path)


def _stamp(moment: datetime) -> str:
    """The clock gives UTC, so its offset is cut off and not converted."""
    return moment.isoformat("T", "milliseconds")[:-6] + "Z"


def _as_text(line: _Line) -> str:
    at, method, path, route, status, ms, caller = line
    shown = _shown(path, route).replace(" ", "%20")
    who, pattern = caller or "-", route or "-"
    return f"{_stamp(at)} info    request {one_line(method)} {shown} route={pattern} status={status} ms={ms:.1f} by={who}\n"


def _as_json(line: _Line) -> str:
    at, method, path, route, status, ms, caller = line
    facts = {
        "time": _stamp(at),
        "level": "info",
        "action": "request",
        "method": one_line(method),
        "path": _shown(path, route),
        "route": route,
        "status": status,
        "ms": round(ms, 1),
        "caller": caller,
    }
    return orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE).decode()
