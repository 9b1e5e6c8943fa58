"""How failures are told: RFC 9457 problem documents.

Owns: error code -> status, title, meaning and fix in one table; turning exceptions into answers.
Does not own: the failures themselves (`core/errors`), the HTML error page (`pages`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from tokenkeep.core.errors import TokenkeepError
from tokenkeep.core.secret import STARS
from tokenkeep.web.services import config_of

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Code:
    """One stable error code. `meaning` and `fix` are for documentation; answers carry their own detail."""

    status: int
    title: str
    meaning: str
    fix: str


CODES: dict[str, Code] = {
    # the request itself
    "invalid_input": Code(
        400,
        "Invalid input",
        "A parameter or field is unknown, missing or malformed; `fields` says which.",
        "Correct what `fields` names.",
    ),
    "unknown_type": Code(
        400, "Unknown credential type", "No credential type has this name.", "Look it up at `/v1/credential-types`."
    ),
    "invalid_json": Code(
        400, "Malformed JSON", "The body is not JSON, or is nested too deeply.", "Send one JSON object in UTF-8."
    ),
    "wrong_host": Code(
        421,
        "Misdirected request",
        "The Host header is not the one this service is published under.",
        "Use the address in `TOKENKEEP_PUBLIC_URL`.",
    ),
    "content_too_large": Code(413, "Content too large", "The body is larger than 256 KiB.", "Send less."),
    "unsupported_media_type": Code(
        415, "Unsupported media type", "The body is not declared as JSON.", "Send `Content-Type: application/json`."
    ),
    "method_not_allowed": Code(
        405, "Method not allowed", "This path does not answer to this method.", "Use a method that `Allow` lists."
    ),
    "bad_request": Code(400, "Bad request", "The request cannot be understood.", "Compare it with `/docs`."),
    # who asks
    "key_invalid": Code(
        401,
        "Authentication needed",
        "No service key or session was sent, or it is wrong, expired or revoked.",
        "Send `Authorization: Bearer <service key>`, or sign in.",
    ),
    "scope_missing": Code(
        403, "Not allowed", "The caller is known but lacks the scope or role.", "Use a key that carries the scope."
    ),
    "cross_site": Code(
        403,
        "Cross-site request refused",
        "A signed-in browser sent this from another site.",
        "Act on Tokenkeep's own pages, or use a service key.",
    ),
    # what is asked for
    "not_found": Code(
        404,
        "Not found",
        "There is no such thing, or it belongs to another workspace, or the key is limited to others.",
        "Check the id and the key.",
    ),
    "conflict": Code(409, "Conflict", "The request does not fit the present state.", "Read the state again."),
    "in_use": Code(
        409,
        "Still in use",
        "`references` lists what uses the credential.",
        "Remove the references, or delete with `?force=true`.",
    ),
    "not_oauth": Code(
        409,
        "Not an OAuth credential",
        "The credential holds static values and has no access token.",
        "Read `/authorization` or `/values` instead.",
    ),
    "not_connected": Code(
        409,
        "Not connected",
        "Nobody has connected the credential, or it was disconnected.",
        "Open the link in `fix` and connect.",
    ),
    "reauthorization_required": Code(
        409,
        "Must be connected again",
        "The provider no longer accepts the grant; waiting does not help.",
        "Open the link in `fix` and connect again.",
    ),
    "client_missing": Code(
        409,
        "No client registered",
        "The workspace has no client at the provider, so nobody can connect.",
        "An administrator registers one: `PUT /v1/clients/{provider}`.",
    ),
    "not_testable": Code(
        409, "Not testable", "The type has no call that could prove the credential works.", "Use it and see."
    ),
    "session_spent": Code(
        409, "Connect session over", "The connect session was used or has expired.", "Create another one."
    ),
    "undecryptable": Code(
        409,
        "Secret cannot be opened",
        "The stored secret does not open with the keys this service has. Nothing was overwritten.",
        "The operator runs `tokenkeep doctor` and checks the root key.",
    ),
    "version_mismatch": Code(
        412, "Changed meanwhile", "`If-Match` names an older version.", "Read the credential again and repeat the edit."
    ),
    # connecting
    "connect_failed": Code(400, "Could not connect", "The connection could not be completed.", "Try again."),
    "state_invalid": Code(
        400,
        "Attempt unknown or expired",
        "The attempt to connect is unknown, already used, or older than ten minutes.",
        "Begin again from the connect link.",
    ),
    "browser_mismatch": Code(
        400,
        "Another browser came back",
        "The browser that returned from the provider is not the one that began.",
        "Begin and finish in one browser.",
    ),
    "issuer_mismatch": Code(
        400,
        "Another issuer answered",
        "The answer names another authorization server than the one that was asked (RFC 9207).",
        "Begin again; tell the administrator if it repeats.",
    ),
    "consent_denied": Code(
        400, "Access not granted", "The user or the provider declined.", "Connect again and allow access."
    ),
    "provider_refused": Code(
        400, "Provider refused", "The provider answered with an error.", "Check the client at the provider."
    ),
    # time may repair it
    "refresh_failing": Code(
        503,
        "Refresh failing",
        "The token has run out and could not be refreshed just now.",
        "Ask again after `Retry-After` seconds.",
    ),
    "throttled": Code(
        429, "Too many tries", "Too many tries in a short time.", "Wait for `Retry-After` seconds and try again."
    ),
    "internal": Code(
        500, "Internal error", "Something went wrong here; nothing about it is told outside.", "Look at the log."
    ),
}

STATUS: dict[str, int] = {code: told.status for code, told in CODES.items()}

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
