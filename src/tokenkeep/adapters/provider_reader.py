"""Reading one provider file and saying everything that is wrong with it.

Owns: from octets to a checked `ProviderFile`, or to problems with their lines and how to mend them.
Does not own: the shape (`provider_file`), the rules (`provider_rules`).

The strict reader stops at its first complaint. To report all of them, the offending value is mended in a copy and the
copy read again, until nothing is left to complain about; only then do the cross rules make sense.
"""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import msgspec
import tomli
from msgspec import Struct, inspect

from tokenkeep.adapters.provider_addresses import Finding
from tokenkeep.adapters.provider_file import ProviderFile
from tokenkeep.adapters.provider_rules import check
from tokenkeep.adapters.toml_lines import Path, line_of

_LARGEST = 262_144
_MOST_COMPLAINTS = 50
_COMPLAINT = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>\$.*)`)?", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PROSE = frozenset({"setup", "description", "help", "body"})
_SHAPE = inspect.type_info(ProviderFile)
_IN_WORDS = {
    r"^https://[^\s{}]+$": "Write a whole address that begins with `https://`.",
    r"^(https://|\{": "Write an address that begins with `https://`.",
    "^[a-z0-9]([a-z0-9-]": "Use lower-case letters, digits and hyphens.",
    "^[A-Za-z][A-Za-z0-9_]{": "Begin with a letter; letters, digits and underscores may follow.",
    "^[A-Za-z][A-Za-z0-9]{": "Begin with a letter; letters and digits may follow.",
    "^[a-z0-9{]": "Write a host name without `https://` and without a path.",
    r"^[A-Za-z0-9_]+(\.": "Write a dotted path, such as `user.id`.",
    "^(/[A-Za-z0-9._~:{}-]+)": "Write the beginning of a path, such as `/bot{token}`, without a slash at its end.",
}
_STAND_INS: dict[str, Any] = {"format": "label", "rotation": "unknown", "checked": "2000-01-01", "types": []}


class Problem(Struct, frozen=True):
    """One thing that is wrong with a provider file, where, and how to mend it."""

    file: FilePath
    line: int
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message} {self.hint}".rstrip()


def read(file: FilePath) -> tuple[ProviderFile | None, list[Problem]]:
    """The checked file, or None and everything that is wrong with it."""
    try:
        octets = file.read_bytes()
        text = octets.decode()
        tree = tomli.loads(text)
    except OSError as error:
        return None, [Problem(file, 1, "The file cannot be read.", error.strerror or "")]
    except UnicodeDecodeError:
        return None, [Problem(file, 1, "The file is not UTF-8.", "Save it as UTF-8.")]
    except (tomli.TOMLDecodeError, RecursionError) as error:
        return None, [_syntax(file, text, str(error))]
    if len(octets) > _LARGEST:
        return None, [Problem(file, 1, f"The file is larger than {_LARGEST} octets.", "Split it by service.")]
    return _judge(file, text, tree)


def place(file: FilePath, path: Path) -> int:
    """The line of a key path in a file that has been read."""
    return line_of(file.read_text(encoding="utf-8"), path)


def _judge(file: FilePath, text: str, tree: dict[str, Any]) -> tuple[ProviderFile | None, list[Problem]]:
    try:
        shaped = msgspec.convert(tree, ProviderFile)
    except msgspec.ValidationError:
        return None, [Problem(file, line_of(text, path), what, hint) for path, what, hint in _complaints(tree)]
    findings = [*_control_characters(tree), *check(shaped)]
    problems = [Problem(file, line_of(text, found.path), found.message, found.hint) for found in findings]
    return (None if problems else shaped), problems


def _control_characters(tree: dict[str, Any]) -> Iterator[Finding]:
    """They have no business in a name, an address or a header; text for people may have lines.

    With a stack of its own: this sees every value of hundreds of files at each start.
    """
    waiting: list[tuple[Path, Any]] = [((), tree)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            if _CONTROL.search(value) and path[-1] not in _PROSE:
                yield Finding(path, f"`{_key(path)}` holds a control character.", "Write it on one line.")
        elif isinstance(value, dict):
            waiting += [((*path, key), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, index), inner) for index, inner in enumerate(value)]


def _syntax(file: FilePath, text: str, error: str) -> Problem:
    what, _, where = error.partition(" (at ")
    told = re.match(r"line (\d+)", where)
    line = int(told.group(1)) if told else len(text.splitlines())  # "at end of document"
    return Problem(file, line, f"This is not TOML: {what}.", "See https://toml.io.")


def _complaints(tree: dict[str, Any]) -> list[tuple[Path, str, str]]:
    """Every complaint about the shape: path, what is wrong, how to mend it. Spoils `tree`."""
    found: list[tuple[Path, str, str]] = []
    removed: set[Path] = set()
    for _ in range(_MOST_COMPLAINTS):
        try:
            msgspec.convert(tree, ProviderFile)
        except msgspec.ValidationError as error:
            complaint = _mend(tree, str(error), removed)
            found += [complaint] if complaint else []
        else:
            break
    return found


def _mend(tree: dict[str, Any], error: str, removed: set[Path]) -> tuple[Path, str, str] | None:
    """Take the complaint's cause out of the tree. None: it only follows from an earlier complaint."""
    matched = _COMPLAINT.fullmatch(error)
    what, path = (matched.group("what"), _path(matched.group("path") or "$")) if matched else (error, ())
    name = re.search(r"field `([^`]+)`", what)
    if "missing required field" in what and name:
        missing = (*path, name.group(1))
        _parent(tree, missing)[missing[-1]] = _stand_in(missing)
        return None if missing in removed else (path, f"`{name.group(1)}` is missing.", _missing_hint(missing))
    if "unknown field" in what and name:
        unknown = (*path, name.group(1))
        del _parent(tree, unknown)[unknown[-1]]
        return unknown, f"`{name.group(1)}` is no key of {_table_name(path)}.", _unknown_hint(path, name.group(1))
    value = _parent(tree, path)
    shown = _shown(value[path[-1]])
    del value[path[-1]]
    removed.add(path)
    return path, f"`{_key(path)}` cannot be {shown}.", _value_hint(path, what)


def _stand_in(path: Path) -> Any:
    name = str(path[-1])
    if name == "types":
        return [{"name": "x", "label": "x"}]
    return _STAND_INS.get(name, "https://x.example" if re.search("endpoint|url|source", name) else "x")


def _path(written: str) -> Path:
    """`$.types[0].label` as a path. A key the reader does not tell (`[...]`) ends it."""
    parts: list[str | int] = []
    for key, index in re.findall(r"\.([A-Za-z0-9_]+)|\[([0-9]+|\.\.\.)\]", written):
        if index == "...":
            break
        parts.append(int(index) if index else key)
    return tuple(parts)


def _parent(tree: Any, path: Path) -> Any:
    for part in path[:-1]:
        tree = tree[part]
    return tree


def _shape(path: Path) -> Any:
    """What the format expects at a path. None: nothing is."""
    shape: Any = _SHAPE
    for part in path:
        shape = _bare(shape)
        if isinstance(shape, inspect.StructType):
            shape = next((field.type for field in shape.fields if field.encode_name == part), None)
        elif isinstance(shape, inspect.VarTupleType):
            shape = shape.item_type
        else:
            return None
    return _bare(shape)


def _bare(shape: Any) -> Any:
    if isinstance(shape, inspect.UnionType):
        return next((one for one in shape.types if not isinstance(one, inspect.NoneType)), None)
    return shape


def _unknown_hint(path: Path, name: str) -> str:
    shape = _shape(path)
    keys = [field.encode_name for field in shape.fields] if isinstance(shape, inspect.StructType) else []
    if near := difflib.get_close_matches(name, keys, n=1):
        return f"Did you mean `{near[0]}`?"
    homes = [table for table in ((), ("oauth",), ("tokens",), ("types", 0)) if name in _keys(table)]
    if homes:
        return f"It belongs in {_table_name(homes[0])}."
    return f"Known here: {', '.join(keys)}."


def _keys(path: Path) -> list[str]:
    shape = _shape(path)
    return [field.encode_name for field in shape.fields] if isinstance(shape, inspect.StructType) else []


def _value_hint(path: Path, what: str) -> str:
    choices, given = _choices(_shape(path)), re.search("Invalid enum value '(.*)'", what)
    if choices:
        near = difflib.get_close_matches(given.group(1), choices, n=1) if given else []
        return f"Did you mean `{near[0]}`?" if near else f"Use one of: {', '.join(choices)}."
    pattern = re.search("regex '(.*)'", what)
    for beginning, words in _IN_WORDS.items():
        if pattern and pattern.group(1).replace("\\\\", "\\").startswith(beginning):
            return words
    return f"{what.replace('`str`', 'text').replace('`array`', 'a list').replace('`object`', 'a table')}."


def _choices(shape: Any) -> list[str]:
    if isinstance(shape, inspect.EnumType) and issubclass(shape.cls, enum.StrEnum):
        return [str(member) for member in shape.cls]
    if isinstance(shape, inspect.LiteralType):
        return [str(value) for value in shape.values]
    return []


def _missing_hint(path: Path) -> str:
    choices = _choices(_shape(path))
    return f"Use one of: {', '.join(choices)}." if choices else f"Add it to {_table_name(path[:-1])}."


def _table_name(path: Path) -> str:
    names = ".".join(str(part) for part in path if isinstance(part, str))
    if not names:
        return "the top of the file"
    return f"[[{names}]]" if isinstance(path[-1], int) else f"[{names}]"


def _key(path: Path) -> str:
    return next(str(part) for part in reversed(path) if isinstance(part, str))


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) and len(value) <= 80 else f"this {type(value).__name__}"
