"""Small words that the statements share.

Owns: who may see a row (`of`), when a lease is free, cursors. Does not own: what a row means; each aggregate's file does.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from sqlalchemy import ColumnElement, or_

from tokenkeep.adapters.tables import grants
from tokenkeep.adapters.tables.columns import clock_now
from tokenkeep.core.errors import InvalidInput


def lease_free() -> ColumnElement[bool]:
    """Nobody holds the grant's lease, or the holder's time is over."""
    return or_(grants.c.lease_owner == "", grants.c.lease_until <= clock_now())


def cursor_of(*parts: str) -> str:
    """An opaque place in a list."""
    return base64.urlsafe_b64encode(json.dumps(parts, ensure_ascii=False).encode()).decode().rstrip("=")


def parts_of(unverified_cursor: str, *, count: int) -> list[str]:
    """The parts that `cursor_of` was given. Raises InvalidInput for any other text."""
    try:
        padded = unverified_cursor + "=" * (-len(unverified_cursor) % 4)
        parts: Any = json.loads(base64.b64decode(padded.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        parts = None
    if not isinstance(parts, list) or len(parts) != count or not all(isinstance(part, str) for part in parts):
        raise InvalidInput("The cursor is not one of ours.", fields={"cursor": "is not from a page before"})
    return parts
