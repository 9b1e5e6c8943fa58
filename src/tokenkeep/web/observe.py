"""What is noted about every request.

Owns: the metric, the access line and the fault line. Does not own: where they go (`Services.observe`, `access`; logging).
"""

from __future__ import annotations

import logging
import traceback
from urllib.parse import quote

from starlette.types import Scope

from tokenkeep.web.callers import CALLER_KEY
from tokenkeep.web.services import Services

UNMATCHED = "unmatched"
"""The route label of paths nobody serves, so that strangers cannot make metrics grow."""

_log = logging.getLogger("tokenkeep.web")
_SECRET_PARAMETER = "secret"


def route_of(scope: Scope) -> str:
    """The template of the route that served the request."""
    return getattr(scope.get("route"), "path", UNMATCHED)


def shown_path(scope: Scope) -> str:
    """The path as an access line may show it: no query, no control characters, no secret.

    Links carry their secret in the path, so such routes show their template; of paths nobody serves, which may be a
    mistyped link, only the first part is shown.
    """
    route = scope.get("route")
    path: str = scope["path"]
    if route is None:
        first, more = path[1:].partition("/")[::2]
        path = f"/{first[:40]}/..." if more else f"/{first[:40]}"
    elif _SECRET_PARAMETER in scope.get("path_params", {}):
        path = route_of(scope)
    return path if path.isascii() and path.isprintable() else quote(path, safe="/{}:")


def note(services: Services, scope: Scope, *, status: int, began: float) -> None:
    """Record one answered request."""
    services.observe(route_of(scope), status)
    services.access(scope["method"], shown_path(scope), status, began, scope.get(CALLER_KEY, ""))


def note_plain(services: Services, scope: Scope, *, template: str, began: float) -> None:
    """Record a request that succeeded and whose path may be shown as it is."""
    services.observe(template, 200)
    services.access(scope["method"], scope["path"], 200, began, scope.get(CALLER_KEY, ""))


def note_fault(scope: Scope, error: Exception) -> None:
    """Log an unforeseen exception: its class and where it came from, never its text, which may quote a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    _log.error("unforeseen %s at %s: %s", type(error).__name__, route_of(scope), where)
