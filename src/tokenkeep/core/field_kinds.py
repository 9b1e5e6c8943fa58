"""Reading and masking one value by the kind of its field.

Owns: what each `FieldKind` accepts, the form it is stored in, and what people may see of it.
Does not own: what a whole type asks for (`core/schema`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from tokenkeep.core.model import Field, FieldKind

MASK = "••••••••"
"""Stands for a secret wherever people look. Sent back, it means: unchanged."""

_LONGEST = 65_536
_SHOW_TAIL_FROM = 12  # a shorter secret would be given away by its last four characters
_TRUE, _FALSE = frozenset({"true", "on", "yes", "1"}), frozenset({"false", "off", "no", "0"})
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#]\S*")
_ADDRESS = re.compile(r"https://[^\s/?#@]+(?:/[^\s?#@]*)?", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(r"([?&;][^=&;#]*(?:pass|pwd|secret|token|key|sig)[^=&;#]*=)([^&;#]+)", re.IGNORECASE)


class Unfit(ValueError):
    """A value that its field cannot take. The text is for people and never repeats the value."""


def read(field: Field, sent: object, *, address: bool = False) -> Any:
    """The value in the form it is stored in. None: nothing was given (`null`, empty text).

    `address`: the field says where we send requests, so it must be a plain https address.

    Raises:
        Unfit: the value does not fit.
    """
    if sent is None or sent == "":
        return None
    value = _READERS[field.kind](field, sent)
    if address and not _ADDRESS.fullmatch(value):
        raise Unfit(f"{field.label} must begin with `https://` and hold no user name, query or fragment.")
    return None if value == "" else value


def mask(field: Field, value: object) -> Any:
    """What people may see of a value of this field."""
    if value is None or value == "":
        return ""
    if field.kind is FieldKind.URL and not field.secret:
        return _mask_url(str(value))
    if not field.secret:
        return value
    has_tail = field.kind is FieldKind.SECRET and isinstance(value, str) and len(value) >= _SHOW_TAIL_FROM
    return MASK + str(value)[-4:] if has_tail else MASK


def _mask_url(url: str) -> str:
    """Hides passwords, wherever they stand.

    Splits at the last `@`, not where RFC 3986 ends the authority: people paste passwords with unencoded `/`, `?` and
    `@`, and hiding a little too much is better than showing half a password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return MASK
    userinfo, at, tail = rest.rpartition("@")
    user, colon, _ = userinfo.partition(":")
    if colon:
        userinfo = f"{user}:{MASK}"
    elif at and scheme.lower() in {"http", "https"}:
        userinfo = MASK  # a token in place of a user name
    return f"{scheme}://{userinfo}{at}{_SECRET_PARAMETER.sub(lambda found: found.group(1) + MASK, tail)}"


def _text(field: Field, sent: object) -> str:
    line = _line(field, sent).strip()
    return _without_controls(field, line)


def _secret(field: Field, sent: object) -> str:
    """Line breaks at the ends come from copying; spaces may belong to a password, so they stay."""
    return _without_controls(field, _line(field, sent).strip("\r\n"))


def _multiline(field: Field, sent: object) -> str:
    text = _line(field, sent).replace("\r\n", "\n")
    _without_controls(field, text.replace("\n", "").replace("\t", ""))
    return text if text.strip() else ""


def _url(field: Field, sent: object) -> str:
    text = _text(field, sent)
    if text and not _URL.fullmatch(text):
        raise Unfit(f"{field.label} must be a whole address, such as `https://example.com`.")
    return text


def _number(field: Field, sent: object) -> int | float:
    if isinstance(sent, bool) or not isinstance(sent, int | float | str):
        raise Unfit(f"{field.label} must be a number.")
    try:
        number = float(sent)
        exact = int(sent) if isinstance(sent, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,15}\s*", sent) else sent
    except (ValueError, OverflowError):
        raise Unfit(f"{field.label} must be a number.") from None
    if not math.isfinite(number):
        raise Unfit(f"{field.label} must be a finite number.")
    return number if isinstance(exact, str) else exact


def _boolean(field: Field, sent: object) -> bool:
    if isinstance(sent, bool):
        return sent
    word = sent.strip().lower() if isinstance(sent, str) else ""
    if word not in _TRUE | _FALSE:
        raise Unfit(f"{field.label} must be true or false.")
    return word in _TRUE


def _choice(field: Field, sent: object) -> str:
    if not isinstance(sent, str) or sent not in field.options:
        raise Unfit(f"{field.label} must be one of: {', '.join(field.options)}.")
    return sent


def _json(field: Field, sent: object) -> Any:
    text = _line(field, sent) if isinstance(sent, str) else None
    try:
        value = sent if text is None else json.loads(text)
        written = json.dumps(value, allow_nan=False, ensure_ascii=False)
        written.encode()
    except json.JSONDecodeError as broken:
        where = f"It is none from line {broken.lineno}, column {broken.colno} on."
        raise Unfit(f'{field.label} must be JSON: an object such as {{"name": "value"}}, or a list. {where}') from None
    except (ValueError, TypeError, RecursionError):
        raise Unfit(f'{field.label} must be JSON: an object such as {{"name": "value"}}, or a list.') from None
    if not isinstance(value, dict | list):
        raise Unfit(f"{field.label} must be a JSON object or list.")
    if len(written) > _LONGEST:
        raise Unfit(f"{field.label} is longer than {_LONGEST} characters.")
    return json.loads(written)  # our own copy, with text keys only


def _line(field: Field, sent: object) -> str:
    if not isinstance(sent, str):
        raise Unfit(f"{field.label} must be text.")
    if len(sent) > _LONGEST:
        raise Unfit(f"{field.label} is longer than {_LONGEST} characters.")
    if any("\ud800" <= char <= "\udfff" for char in sent):
        raise Unfit(f"{field.label} holds characters that are not valid text.")
    return sent


def _without_controls(field: Field, text: str) -> str:
    if any(char < " " or char == "\x7f" for char in text):
        raise Unfit(f"{field.label} must be a single line without control characters.")
    return text


_READERS: dict[FieldKind, Callable[[Field, object], Any]] = {
    FieldKind.TEXT: _text,
    FieldKind.SECRET: _secret,
    FieldKind.MULTILINE: _multiline,
    FieldKind.URL: _url,
    FieldKind.NUMBER: _number,
    FieldKind.BOOLEAN: _boolean,
    FieldKind.CHOICE: _choice,
    FieldKind.JSON: _json,
}
