"""A provider file as TOML, the way those that are shipped look.

Owns: order, quoting and where remarks stand. Does not own: what the file says. What is at its default is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from tokenkeep.adapters.provider_file import ProviderFile
from tokenkeep.adapters.toml_lines import Path

_WIDTH = 120
_PROSE = frozenset({"setup", "description", "help", "body"})
_BARE = re.compile("[A-Za-z0-9_-]+")


def written(file: ProviderFile, remarks: Mapping[Path, Sequence[str]]) -> str:
    """`remarks`: key path -> lines above it; those of the empty path open the file."""
    lines = ["#:schema ./schema.json", *_table((), file, remarks)]
    return "\n".join(lines) + "\n"


def _table(path: Path, table: Struct, remarks: Mapping[Path, Sequence[str]]) -> Iterator[str]:
    """Its own keys, then the tables inside. The types come last: they are what a reader looks for at the end."""
    yield from _above(path, remarks)
    told = {one.encode_name: value for one in fields(table) if (value := getattr(table, one.name)) != _default(one)}
    inner = {name: value for name, value in told.items() if _is_table(value) or _are_tables(value)}
    for name, value in told.items():
        if name not in inner:
            yield from _above((*path, name), remarks)
            yield _pair(name, value)
    for name in sorted(inner, key=lambda name: name == "types"):
        header = ".".join(str(part) for part in (*path, name) if isinstance(part, str))
        if _is_table(inner[name]):
            yield from ("", f"[{header}]", *_table((*path, name), inner[name], remarks))
            continue
        for index, one in enumerate(inner[name]):
            yield from ("", f"[[{header}]]", *_table((*path, name, index), one, remarks))


def _above(path: Path, remarks: Mapping[Path, Sequence[str]]) -> Iterator[str]:
    return (f"# {line}" for line in remarks.get(path, ()))


def _default(one: FieldInfo) -> Any:
    return one.default if one.default_factory is NODEFAULT else one.default_factory()


def _is_table(value: Any) -> bool:
    return isinstance(value, Struct)


def _are_tables(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(_is_table(one) for one in value)


def _pair(name: str, value: Any) -> str:
    if name in _PROSE and "\n" in value:
        return f"{name} = {_paragraph(value)}"
    line = f"{_key(name)} = {_value(value)}"
    if isinstance(value, tuple) and len(line) > _WIDTH:
        return "\n".join([f"{_key(name)} = [", *(f"  {_value(one)}," for one in value), "]"])
    return line


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _text(value)
        case date():
            return value.isoformat()
        case Mapping():
            return "{ " + ", ".join(_pair(name, inner) for name, inner in value.items()) + " }" if value else "{}"
        case tuple():
            return "[" + ", ".join(_value(inner) for inner in value) + "]"
        case number:
            return str(number)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    """A basic string. Its escapes are those of JSON, and one control character more must not stand in it."""
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _paragraph(value: str) -> str:
    return '"""\n' + "\n".join(_text(line)[1:-1] for line in value.split("\n")) + '"""'
