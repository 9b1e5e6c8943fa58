"""On which line of a TOML text something stands.

Owns: a scan that is just good enough to point at a mistake; `tomllib` reads the values but tells no lines.
Does not own: parsing. What it cannot see, such as one item of a list, it answers with the line of the key around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Path = tuple[str | int, ...]

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_KEYS = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_KEYS})\s*\]\]?\s*(?:#.*)?")
_PAIR = re.compile(rf"\s*({_KEYS})\s*=(.*)")
_PART = re.compile(_KEY)
_STRING = re.compile(r'''"""(?:[^\\]|\\.)*?"""|\'\'\'.*?\'\'\'|"""|\'\'\'|"(?:[^"\\]|\\.)*"|'[^']*'|#.*''')
"""Strings that end on their line, the openings of those that do not, and comments."""


def line_of(text: str, path: Path) -> int:
    """The line (from 1) of the key path, or of the nearest thing around it that has a line."""
    known: dict[Path, int] = {}
    for place, line in _scan(text):
        known.setdefault(place, line)
    for length in range(len(path), 0, -1):
        if path[:length] in known:
            return known[path[:length]]
    return 1


def _scan(text: str) -> Iterator[tuple[Path, int]]:
    """(path, line) of every table header and every `key =` that begins a line."""
    table: Path = ()
    counts: dict[Path, int] = {}
    closing = ""  # the delimiter of the multi-line string we are inside of; empty: of none
    for number, line in enumerate(text.splitlines(), start=1):
        if closing:
            closing = "" if closing in line else closing
            continue
        header, pair = _HEADER.fullmatch(line), _PAIR.match(line)
        if header:
            table = _table(_parts(header.group(2)), counts, repeated=header.group(1) == "[[")
            yield table, number
        elif pair:
            parts = _parts(pair.group(1))
            for length in range(1, len(parts) + 1):
                yield table + tuple(parts[:length]), number
        closing = _opened(line)


def _table(parts: list[str], counts: dict[Path, int], *, repeated: bool) -> Path:
    """The header's path with the index of each array of tables on the way."""
    path: Path = ()
    for position, part in enumerate(parts):
        path = (*path, part)
        if repeated and position == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _opened(line: str) -> str:
    """The delimiter of a multi-line string that begins on this line and does not end on it."""
    return next((found for found in _STRING.findall(line) if found in {'"""', "'''"}), "")


def _parts(keys: str) -> list[str]:
    return [part[1:-1] if part[0] in "\"'" else part for part in _PART.findall(keys)]
