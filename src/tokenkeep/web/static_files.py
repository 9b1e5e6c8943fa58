"""The pages' own files: styles, scripts, icons.

Owns: serving `templates/static` and the addresses that name a file's content. Does not own: credential type icons.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

FOREVER = b"public, max-age=31536000, immutable"
ASK_AGAIN = b"no-cache"


@functools.lru_cache(maxsize=64)
def fingerprint(file: Path) -> str:
    """The first 12 hex digits of a file's SHA-256: a new content is a new address."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def static_url(folder: Path, name: str) -> str:
    """The address of a static file, with its fingerprint."""
    return f"/static/{name}?v={fingerprint(folder / name)}"


@functools.lru_cache(maxsize=8)
def _files(folder: Path) -> StaticFiles:
    return StaticFiles(directory=folder)


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one file. What is asked for with a fingerprint never changes, so browsers may keep it."""
    policy = FOREVER if b"v=" in scope.get("query_string", b"") else ASK_AGAIN

    async def send_with_policy(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] in {200, 304}:
            message["headers"] = [
                *message["headers"],
                (b"cache-control", policy),
                (b"x-content-type-options", b"nosniff"),
                # An SVG opened by itself is a document: it may load and run nothing.
                (b"content-security-policy", b"default-src 'none'; style-src 'self'; sandbox"),
            ]
        await send(message)

    await _files(scope["app"].state.config.templates / "static")(scope, receive, send_with_policy)


routes: list[BaseRoute] = [Mount("/static", app=serve, name="static")]
