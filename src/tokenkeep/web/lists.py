"""Lists as the API answers them.

Owns: cutting lists that are read whole into pages. Does not own: pages that the store cuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from tokenkeep.core.errors import InvalidInput

T = TypeVar("T")


def cut(items: Sequence[T], *, limit: int, cursor: str) -> tuple[list[T], str | None]:
    """(page, next cursor or None). For lists that are small enough to be read whole; `limit` 0 answers all.

    Raises InvalidInput for a cursor that was not ours.
    """
    start = _start(cursor)
    end = start + limit if limit else len(items)
    return list(items[start:end]), f"at-{end}" if end < len(items) else None


def _start(cursor: str) -> int:
    if not cursor:
        return 0
    digits = cursor.removeprefix("at-")
    if digits == cursor or not (digits.isascii() and digits.isdecimal() and len(digits) <= 9):
        raise InvalidInput("The cursor is not one this list gave.", fields={"cursor": "is not one this list gave"})
    return int(digits)
