"""Reading and answering HTTP in a plain ASGI application: what the fake provider needs of it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus


async def read(receive: Callable[[], Any]) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def respond(
    send: Callable[[Any], Any], status: int, answer: Any, further: Mapping[str, str] | None = None
) -> None:
    headers = {"content-type": "application/json", "cache-control": "no-store", **(further or {})}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


async def hang_up(send: Callable[[Any], Any]) -> None:
    """Close without an answer. A real server must have begun one, or it would answer 500 in our place."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    raise ConnectionResetError


def form_of(body: bytes, content_type: str) -> dict[str, Any]:
    if "json" in content_type:
        return dict(json.loads(body or b"{}"))
    return dict(parse_qsl(body.decode()))


def client_of(form: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[str, str | None, str]:
    """(client id, secret, method). Secret None: nothing to compare, a public client or an assertion."""
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        user, _, password = base64.b64decode(encoded).decode().partition(":")
        return unquote_plus(user), unquote_plus(password), "basic"
    client_id = str(form.get("client_id", ""))
    if "client_assertion" in form:
        return client_id, None, "jwt"
    if "client_secret" in form:
        return client_id, str(form["client_secret"]), "post"
    return client_id, None, "none"


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
