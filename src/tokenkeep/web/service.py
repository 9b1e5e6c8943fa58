"""The service about itself: alive, ready, metrics, documentation.

Owns: `/healthz`, `/readyz`, `/metrics`, `/openapi.json`, `/docs`, `/docs/errors`. Does not own: `/v1/status`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tokenkeep.web.bodies import answer
from tokenkeep.web.codes import CODES
from tokenkeep.web.services import config_of, services_of


async def healthz(_: Request) -> Response:
    """Alive: the event loop answers. Nothing else is asked, so a slow database never restarts us."""
    return answer({"status": "ok"})


async def readyz(request: Request) -> Response:
    """Ready: database, key and scheduler. 503 says which is not.

    Where only refreshing is paused the body says why, and the status stays 200: living tokens are still read here, and
    a proxy that turned to no replica at all would make it worse.
    """
    parts = dict(await services_of(request).status.ready())
    ready = all(said == "ok" for part, said in parts.items() if part != "refreshing")
    return answer(parts, status=200 if ready else 503)


async def metrics(request: Request) -> Response:
    """Prometheus text. Open like the probes: it names no workspace, credential or person."""
    return Response(services_of(request).metrics(), media_type="text/plain; version=0.0.4")


async def openapi(request: Request) -> Response:
    """The API's description."""
    return Response(orjson.dumps(_document(request)), media_type="application/json")


async def reference(request: Request) -> Response:
    """The API's description, to read."""
    return _page(request, "api_reference.html", {"document": _document(request), "tags": _by_tag(_document(request))})


async def errors(request: Request) -> Response:
    """Every error code: where a problem's `type` leads."""
    return _page(request, "error_reference.html", {"codes": CODES})


def _document(request: Request) -> Mapping[str, Any]:
    document: Mapping[str, Any] = request.app.state.openapi
    return document


def _by_tag(document: Mapping[str, Any]) -> dict[str, list[tuple[str, str, Mapping[str, Any]]]]:
    """By tag: (method, path, operation), in the document's order."""
    found: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            found.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    return found


def _page(request: Request, template: str, context: Mapping[str, Any]) -> Response:
    config = config_of(request)
    style = _style(config.templates)
    html = (
        _environment(config.templates)
        .get_template(template)
        .render(version=config.version, public_url=config.public_url, style=style, **context)
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'"
    return Response(html, headers={"Content-Security-Policy": policy}, media_type="text/html")


@functools.cache
def _environment(templates: Path) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@functools.cache
def _style(templates: Path) -> str:
    """Inlined and allowed by its digest, so that the page stands by itself."""
    return (templates / "reference.css").read_text(encoding="utf-8")


routes: list[BaseRoute] = [
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/metrics", metrics),
    Route("/openapi.json", openapi),
    Route("/docs", reference),
    Route("/docs/errors", errors),
]
