"""Query parameters, declared and checked by name.

Owns: what an operation accepts after the `?`. Does not own: bodies (`bodies`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from tokenkeep.core.errors import InvalidInput

LONGEST = 2048
"""Characters in one text parameter. More is nobody's name, search or cursor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query parameter. Read by `parse`, documented by `openapi`."""

    name: str
    description: str
    kind: str = "text"  # text, integer, flag
    default: Any = ""  # of the kind; an integer of 0 below the minimum means: no limit
    minimum: int = 0  # integers only
    maximum: int = 0  # integers only
    choices: tuple[str, ...] = ()  # empty: any text
    repeated: bool = False  # True: may come several times and is read as a tuple

    def parse(self, text: str) -> str | int | bool:
        """Raises InvalidInput naming this parameter."""
        if self.kind == "integer":
            return self._integer(text)
        if self.kind == "flag":
            return self._choice(text, ("true", "false")) == "true"
        if len(text) > LONGEST or "\x00" in text:
            raise self._refuse("is too long or holds a NUL character")
        return self._choice(text, self.choices) if self.choices and text else text

    def _integer(self, text: str) -> int:
        # isdecimal() alone accepts other scripts' digits, which no number in a URL is written with.
        if not (text.isascii() and text.isdecimal() and len(text) <= 9 and self.minimum <= int(text) <= self.maximum):
            raise self._refuse(f"must be a whole number from {self.minimum} to {self.maximum}")
        return int(text)

    def _choice(self, text: str, choices: Sequence[str]) -> str:
        if text not in choices:
            raise self._refuse(f"must be one of {', '.join(choices)}")
        return text

    def _refuse(self, why: str) -> InvalidInput:
        return InvalidInput(f"The query parameter `{self.name}` {why}.", fields={self.name: why})


def page_parameters(default: int = 50) -> tuple[Query, Query]:
    """`limit` and `cursor`, the same on every list. A `default` of 0 means all."""
    return (
        Query(
            name="limit",
            description="How many to answer at most.",
            kind="integer",
            default=default,
            minimum=1,
            maximum=200,
        ),
        Query(name="cursor", description="`next_cursor` of the page before; empty for the first page."),
    )


def read_query(query_string: bytes, declared: Sequence[Query]) -> Mapping[str, Any]:
    """Values by name, with defaults for what was not sent.

    Raises InvalidInput for unknown parameters and for single-valued ones that come twice (ASVS 15.3.7).
    """
    if not query_string:
        return {query.name: () if query.repeated else query.default for query in declared}
    sent: dict[str, list[str]] = {}
    for name, text in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
        sent.setdefault(name, []).append(text)
    _refuse_unknown(sent, {query.name for query in declared})
    return {query.name: _value(query, sent.get(query.name, [])) for query in declared}


def _refuse_unknown(sent: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(name[:100] for name in sent if name not in known)
    if unknown:
        raise InvalidInput("There are unknown query parameters.", fields=dict.fromkeys(unknown, "is unknown"))


def _value(query: Query, texts: Sequence[str]) -> Any:
    if query.repeated:
        return tuple(query.parse(text) for text in texts)
    if len(texts) > 1:
        raise InvalidInput(
            f"The query parameter `{query.name}` came more than once.", fields={query.name: "came more than once"}
        )
    return query.parse(texts[0]) if texts else query.default
