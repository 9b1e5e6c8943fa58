"""What comes along when a value is copied, and what makes one look like another.

Owns: leaving out what is surely no part of a value, and saying what looks odd about one. Does not own: whether a value
fits its field (`core/field_kinds`), which says no; services change the forms of their keys, so nothing here does.

`templates/static/fields.js` says the plainest of it while one types. No message ever repeats a value.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from tokenkeep.core.injection import holes
from tokenkeep.core.model import Field, FieldKind, Injection

_QUOTES = ('""', "''", "``", "“”", "‘’")
_SCHEME = re.compile(r"(Bearer|Basic|Token|ApiKey)\s+", re.IGNORECASE)
_HEADER = re.compile(r"(?:Proxy-)?Authorization\s*:\s*", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"(?:export\s+)?[A-Z][A-Z0-9_]*\s*=\s*")
_PUBLIC_KEY = re.compile(r"\s*(?:-----BEGIN (?:[A-Z0-9]+ )?(?:PUBLIC KEY|CERTIFICATE)-----|ssh-[a-z0-9-]+ |ecdsa-)")
_PUBLISHED = re.compile(r"pk[_-]")
_TIDIED = frozenset({FieldKind.TEXT, FieldKind.SECRET})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peeled:
    """What is left of a text, and what was around it."""

    text: str
    around: tuple[str, ...]


def tidy(field: Field, text: str, *, injection: Injection | None) -> tuple[str, str]:
    """The value without what came along when it was copied, and what to say of it; empty: it came alone.

    Only what is certain is left out: where the rest begins as values of this field do, or where the request would say
    the same word twice. Otherwise the text stays as it is: quotes and blanks may belong to a password.
    """
    if field.kind not in _TIDIED:
        return text, ""
    peeled = _peel(text)
    certain = (bool(field.prefix) and peeled.text.startswith(field.prefix)) or _said_twice(field, text, injection)
    if peeled.around and certain:
        return peeled.text, f"Left out what was copied along: {', '.join(peeled.around)}."
    if field.kind is FieldKind.SECRET and text.strip("\r\n") not in {"", text}:
        return text.strip("\r\n"), "Left out what was copied along: a line break."
    return text, ""


def oddity(field: Field, value: str, *, injection: Injection | None) -> str:
    """What looks odd about a value; empty: nothing."""
    return (
        _wrong_kind(field, value)
        or _wrong_beginning(field, value)
        or _surrounded(field, value, injection)
        or _wrong_length(field, value)
        or _broken_lines(field, value)
        or _not_the_file(field, value)
    )


def _peel(text: str) -> _Peeled:
    """Layer after layer, since a header may hold quotes and these a blank."""
    around: list[str] = []
    left = text
    while layer := _layer(left):
        name, left = layer
        around += [] if name in around else [name]
    return _Peeled(text=left, around=tuple(around))


def _layer(text: str) -> tuple[str, str] | None:
    """The name of the outermost layer, and what is inside. None: there is none."""
    if text != text.strip():
        return ("a line break" if "\n" in text and text.strip("\r\n") == text.strip() else "blanks"), text.strip()
    if len(text) > 2 and text[0] + text[-1] in _QUOTES:
        return "quotes", text[1:-1]
    if header := _HEADER.match(text):
        return "the header's name", text[header.end() :]
    if scheme := _SCHEME.match(text):
        return f"`{scheme[1].capitalize()}`", text[scheme.end() :]
    if name := _ASSIGNMENT.match(text):
        return "the name before `=`", text[name.end() :]
    return None


def _said_twice(field: Field, text: str, injection: Injection | None) -> bool:
    """Whether the text begins with the word that is put before this field on each request."""
    header = _HEADER.match(text.strip())
    bare = text.strip()[header.end() if header else 0 :]
    words = [
        template.partition(" ")[0]
        for template in (injection.headers.values() if injection else ())
        if holes(template) == (field.name,) and template.endswith(f" {{{field.name}}}")
    ]
    return any(bare.lower().startswith(f"{word.lower()} ") for word in words if _SCHEME.fullmatch(f"{word} "))


def _wrong_kind(field: Field, value: str) -> str:
    asked = f"{field.name} {field.label}".lower()
    if field.secret and "private" in asked and _PUBLIC_KEY.match(value):
        return f"This looks like a public key or a certificate. {field.label} is the private part."
    if field.kind is FieldKind.SECRET and not field.prefix and _PUBLISHED.match(value):
        return f"{_publishes(value)} Check that {field.label} is the right one."
    return ""


def _wrong_beginning(field: Field, value: str) -> str:
    if not field.prefix or value.startswith(field.prefix):
        return ""
    public = f"{_publishes(value)} " if _PUBLISHED.match(value) else ""
    return f"{field.label} usually begins with `{field.prefix}`. {public}Check that it is the right one."


def _publishes(value: str) -> str:
    return f"Values that begin with `{value[:3]}` are usually public keys."


def _surrounded(field: Field, value: str, injection: Injection | None) -> str:
    if field.kind is FieldKind.SECRET and value != value.strip():
        return f"{field.label} begins or ends with a space. Check that it belongs there."
    if field.kind not in _TIDIED:
        return ""
    if len(value) > 2 and value[0] + value[-1] in _QUOTES:
        return f"{field.label} stands in quotes. Check that they belong to it."
    scheme = _SCHEME.match(value) if field.kind is FieldKind.SECRET and not _is_whole_header(field, injection) else None
    if found := _HEADER.match(value) or scheme:
        return f"{field.label} begins with `{found[0].strip()}`, like a whole header. Only the value is needed."
    return ""


def _is_whole_header(field: Field, injection: Injection | None) -> bool:
    """Whether the field is all there is behind the header's name: then a scheme belongs to it."""
    headers = injection.headers if injection else {}
    return any(
        template == f"{{{field.name}}}" and (name.lower() == "authorization" or holes(name))
        for name, template in headers.items()
    )


def _wrong_length(field: Field, value: str) -> str:
    if field.min_length and len(value) < field.min_length:
        return f"{field.label} usually has at least {field.min_length} characters. Check that it was copied whole."
    if field.max_length and len(value) > field.max_length:
        return f"{field.label} usually has at most {field.max_length} characters. Check that it was pasted once."
    return ""


def _broken_lines(field: Field, value: str) -> str:
    if field.kind is FieldKind.MULTILINE and value.lstrip().startswith("-----BEGIN ") and "\\n" in value:
        return f"{field.label} holds `\\n` where lines should end. Copy the key itself, not its form inside JSON."
    return ""


def _not_the_file(field: Field, value: str) -> str:
    """For a text that is a JSON document of a known kind."""
    if not field.members or field.kind is not FieldKind.MULTILINE:
        return ""
    try:
        document = json.loads(value)
    except json.JSONDecodeError as broken:
        return f"{field.label} should be JSON, and is none from line {broken.lineno}, column {broken.colno} on."
    except RecursionError:
        document = None
    return lacks(field, document)


def lacks(field: Field, document: object) -> str:
    """What a document of this field should have and has not; empty: nothing."""
    known = document if isinstance(document, dict) else {}
    missing = [f"`{name}`" for name in field.members if not known.get(name)]
    if not missing:
        return ""
    return (
        f"This does not look like {field.label}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
    )
