"""What comes in as a body and goes out as an answer: JSON.

Owns: the size limit, media type, decoding into declared Structs, encoding answers. Does not own: what bodies mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope

from tokenkeep.core.errors import InvalidInput
from tokenkeep.web.problems import RequestProblem

BODY_LIMIT = 256 * 1024
"""Octets. The largest honest body is a service account file with its private key: a few KiB."""
DEPTH_LIMIT = 32
"""Levels of nesting. Deeper values could be stored but not encoded again by every reader."""

Body = TypeVar("Body", bound=msgspec.Struct)

_PLACE = re.compile(r" - at `\$\.?(?P<name>[^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_encode = msgspec.json.Encoder().encode


class Accepted(msgspec.Struct, forbid_unknown_fields=True):
    """Base of request bodies: unknown fields are refused by name, so a mistyped one is never ignored."""


def declared_length(scope: Scope) -> int:
    """Content-Length, or 0 where there is none (chunked) or it is no number; then octets are counted."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def too_large() -> RequestProblem:
    """The refusal of an oversized body. The rest is not read, so the connection cannot be used again."""
    return RequestProblem(
        "content_too_large", f"The body is larger than {BODY_LIMIT} octets.", headers={"Connection": "close"}
    )


def limited(receive: Receive) -> Receive:
    """`receive` that raises RequestProblem once more than BODY_LIMIT octets have come, before anything is parsed."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > BODY_LIMIT:
            raise too_large()
        return message

    return counted


async def read_body(request: Request, form: type[Body]) -> Body:
    """The request's JSON as `form`. Raises RequestProblem or InvalidInput."""
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    # A cross-site form can send text/plain that looks like JSON, but never application/json (CVE-2021-32677).
    if media_type.strip().lower() != "application/json":
        raise RequestProblem("unsupported_media_type", "The body must be declared as `application/json`.")
    if parameters.strip() and parameters.replace(" ", "").replace('"', "").lower() != "charset=utf-8":
        raise RequestProblem("unsupported_media_type", "JSON is sent in UTF-8.")
    return decode(await request.body(), form)


def decode(octets: bytes, form: type[Body]) -> Body:
    """Raises RequestProblem for what is no JSON, InvalidInput for JSON of another shape."""
    try:
        body: Body = _decoder(form).decode(octets)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise RequestProblem("invalid_json", "The body is not well-formed JSON.") from None
    for name in body.__struct_fields__:
        _refuse_unsound(getattr(body, name), name, DEPTH_LIMIT)
    return body


@cache
def _decoder(form: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(form)


def _invalid(text: str) -> InvalidInput:
    """Our words for msgspec's complaint: its own may quote what was sent, which may be a secret in the wrong field."""
    if unknown := _UNKNOWN.match(text):
        name, why = unknown["name"].split("`")[0][:100], "is unknown"
    elif missing := _MISSING.match(text):
        name, why = missing["name"], "is missing"
    else:
        place = _PLACE.search(text)
        name = (place["name"] if place else "").removesuffix("[...]") or "body"
        why = _why(text.removesuffix(place[0]) if place else text)
    return InvalidInput(f"The field `{name}` {why}.", fields={name: why})


def _why(complaint: str) -> str:
    if complaint.startswith("Expected"):
        return complaint.replace("Expected", "must be", 1).replace(", got", ", not", 1)
    return "has a value that is not allowed"


def _refuse_unsound(value: Any, name: str, depth: int) -> None:
    """PostgreSQL stores no NUL in text; deep nesting and integers beyond 64 bits cannot be encoded again."""
    if isinstance(value, str):
        if "\x00" in value:
            raise InvalidInput(f"The field `{name}` holds a NUL character.", fields={name: "holds a NUL character"})
        return
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InvalidInput(f"The field `{name}` holds too large a number.", fields={name: "holds too large a number"})
    if not isinstance(value, dict | list):
        return
    if depth == 0:
        raise RequestProblem("invalid_json", f"The field `{name}` is nested too deeply.")
    for part in _parts(value):
        _refuse_unsound(part, name, depth - 1)


def _parts(value: dict[str, Any] | list[Any]) -> list[Any]:
    return value if isinstance(value, list) else [*value.keys(), *value.values()]


def answer(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`body`, usually a declared Struct, as JSON."""
    return Response(_encode(body), status_code=status, headers=headers, media_type="application/json")


def nothing() -> Response:
    """Done, and there is nothing to say."""
    return Response(status_code=204)


def instant(at: datetime | None) -> datetime | None:
    """A time as answers give it: whole seconds, cut off, so that no expiry is told later than it is."""
    return at if at is None else at.replace(microsecond=0)
