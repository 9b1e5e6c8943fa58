"""The one type that holds secrets.

Owns: a value that prints as stars and is opened by one searchable call, `reveal`.
Does not own: encryption (`adapters/envelope`) or masking for people (`core/schema`).
"""

from __future__ import annotations

from typing import NoReturn

STARS = "**********"


class Secret:
    """Text that must not be seen. `repr`, `str` and formatting give stars; pickling is refused.

    The empty secret is falsy, so `if secret:` asks whether there is one without opening it.
    """

    __slots__ = ("_hidden",)

    def __init__(self, hidden: str) -> None:
        self._hidden = hidden

    def reveal(self) -> str:
        """The text itself. The only way out: search for `.reveal(` to see every use."""
        return self._hidden

    def __bool__(self) -> bool:
        return bool(self._hidden)

    def __len__(self) -> int:
        return len(self._hidden)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._hidden == other._hidden

    def __hash__(self) -> int:
        return hash((Secret, self._hidden))

    def __repr__(self) -> str:
        return f"Secret('{STARS}')"

    def __str__(self) -> str:
        return STARS

    def __format__(self, spec: str) -> str:
        return STARS

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never pickled")
