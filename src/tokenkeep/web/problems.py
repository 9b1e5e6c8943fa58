"""How failures are told: RFC 9457 problem documents.

Owns: turning exceptions into answers. Does not own: the failures (`core/errors`), their codes (`codes`), the HTML error
page (`pages`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from tokenkeep.core.errors import TokenkeepError
from tokenkeep.core.secret import STARS
from tokenkeep.web.codes import CODES
from tokenkeep.web.services import config_of

__all__ = [
    "CODES",
    "MEDIA_TYPE",
    "RequestProblem",
    "failure",
    "on_failure",
    "on_http",
    "on_refusal",
    "problem",
    "refused",
]

MEDIA_TYPE = "application/problem+json"


_BY_STATUS = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "content_too_large"}
_RESERVED = frozenset({"type", "title", "status", "detail", "code", "fix"})
_NEEDS_A_PERSON = frozenset({"not_connected", "reauthorization_required"})


class RequestProblem(Exception):
    """The HTTP request is refused before any use case saw it. `code` is a key of CODES."""

    def __init__(self, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        super().__init__(detail)


def problem(
    code: str,
    *,
    detail: str = "",
    fix: str = "",
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The problem document for `code`. An empty `detail` says what the code means."""
    told = CODES[code]
    document: dict[str, Any] = {
        "type": f"/docs/errors#{code}",
        "title": told.title,
        "status": told.status,
        "detail": detail or told.meaning,
        "code": code,
    }
    if fix:
        document["fix"] = fix
    document.update({name: value for name, value in (extra or {}).items() if name not in _RESERVED})
    return Response(
        orjson.dumps(document, default=_conceal),
        status_code=told.status,
        headers={"Cache-Control": "no-store", **_headers(told.status, document), **(headers or {})},
        media_type=MEDIA_TYPE,
    )


def _headers(status: int, document: Mapping[str, Any]) -> dict[str, str]:
    headers = {"WWW-Authenticate": 'Bearer realm="tokenkeep"'} if status == 401 else {}
    if "retry_after" in document:
        headers["Retry-After"] = str(document["retry_after"])
    return headers


def _conceal(_: object) -> str:
    """Whatever JSON does not know is not shown: it might be a secret."""
    return STARS


def failure(request: Request, error: TokenkeepError) -> Response:
    """The answer to a failed use case. Codes that never reach a caller by design answer `internal`."""
    if error.code not in CODES or error.code == "internal":
        return problem("internal")
    return problem(error.code, detail=error.message, fix=_fix(request, error), extra=error.extra)


def _fix(request: Request, error: TokenkeepError) -> str:
    credential_id = request.path_params.get("credential_id")
    if error.fix or error.code not in _NEEDS_A_PERSON or not credential_id:
        return error.fix
    link = f"{config_of(request).public_url}/credentials/{quote(credential_id, safe='')}"
    return f"Open {link} and connect."


def refused(refusal: RequestProblem) -> Response:
    """The answer to a request that no use case saw."""
    return problem(refusal.code, detail=refusal.detail, headers=refusal.headers)


async def on_failure(request: Request, error: Exception) -> Response:
    """Exception handler of TokenkeepError."""
    return failure(request, cast("TokenkeepError", error))


async def on_refusal(_: Request, error: Exception) -> Response:
    """Exception handler of RequestProblem."""
    return refused(cast("RequestProblem", error))


def broken(request: Request) -> Response:
    """The answer where something went wrong that nobody foresaw. A browser gets a page, if that at least can be made."""
    app = request.scope.get("app")
    error_page = getattr(app.state, "error_page", None) if app is not None else None
    if error_page is not None and wants_html(request):
        told = CODES["internal"]
        try:
            page: Response = error_page(request, told.status, told.title, told.meaning)
        except Exception:  # noqa: BLE001 - what broke the page may break this one as well; the first fault is noted
            return problem("internal")
        return page
    return problem("internal")


async def on_http(request: Request, error: Exception) -> Response:
    """Exception handler of the framework's own refusals: unknown paths, wrong methods.

    A browser that asks for a page gets the HTML error page; everybody else a problem document.
    """
    refusal = cast("HTTPException", error)
    code = _BY_STATUS.get(refusal.status_code, "bad_request" if refusal.status_code < 500 else "internal")
    headers = dict(refusal.headers or {})
    if code == "method_not_allowed":
        headers["Allow"] = allowed_methods(request)
    error_page = getattr(request.app.state, "error_page", None)
    if error_page is not None and wants_html(request):
        told = CODES[code]
        response: Response = error_page(request, told.status, told.title, told.meaning)
        response.headers.update(headers)
        return response
    detail = "There is no such thing here." if code == "not_found" else ""
    return problem(code, detail=detail, headers=headers)


def allowed_methods(request: Request) -> str:
    """What `Allow` says: the methods of every route with this path, for a page's form has a route of its own."""
    found: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return ", ".join(sorted(found))


def wants_html(request: Request) -> bool:
    """Whether a browser is asking for a page: programs do not name text/html."""
    return "text/html" in request.headers.get("accept", "")
