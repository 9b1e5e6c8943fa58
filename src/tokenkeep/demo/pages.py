"""How the demo provider shows itself.

Owns: rendering its templates, its stylesheet, and the headers of every answer.
Does not own: what the pages are about (`consent`, `account`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokenkeep.demo.records import ALWAYS_GRANTED, SCOPES

POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
LEAVING_POLICY = f"{POLICY} http: https:"
"""For the consent page. Chromium holds the whole chain of redirects after a form against `form-action`: the client's
redirect URI and then wherever the client sends its user, which is not known here. So any web origin may follow."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "unsafe-none",  # as at most providers: the window that opened a pop-up stays known
}


class Pages:
    """The templates under `templates/demo`, with autoescape always on."""

    def __init__(self, templates: Path, *, base: str) -> None:
        self.base = base
        folder = templates / "demo"
        self._templates = Environment(
            loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        self._templates.globals.update(base=base, scope_meaning=SCOPES, always_granted=ALWAYS_GRANTED)
        self._templates.filters["moment"] = _moment
        self._style = (folder / "demo.css").read_bytes()

    def show(self, name: str, *, status: int = 200, leaving: bool = False, **context: object) -> Response:
        """One page. `leaving`: its form leads out of the demo provider, back to a client."""
        page = self._templates.get_template(f"{name}.html").render(context)
        headers = {"content-security-policy": LEAVING_POLICY} if leaving else None
        return HTMLResponse(page, status_code=status, headers=headers)

    def trouble(self, message: str, *, code: str = "", status: int = 400) -> Response:
        """A request that cannot go on, and cannot be sent back to a client either."""
        return self.show("trouble", status=status, message=message, code=code)

    def style(self, _: Request) -> Response:
        """GET /static/demo.css"""
        return Response(self._style, media_type="text/css")


class GuardedHeaders:
    """Puts our headers on every answer that does not bring its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, guarded)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
