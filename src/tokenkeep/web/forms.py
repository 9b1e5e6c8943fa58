"""Forms of pages: from what a browser sends to what a use case takes.

Owns: reading a form once, field values by kind, showing values again. Does not own: validation (`core/schema`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request

from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.model import Field, FieldKind

MAX_FIELDS = 300


async def read(request: Request) -> FormData:
    """The form of a request. No files are taken."""
    return await request.form(max_files=0, max_fields=MAX_FIELDS)


def text(form: FormData, name: str) -> str:
    """One text value, without the blanks around it. Empty when it was not sent."""
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def changes(fields: Sequence[Field], form: FormData) -> dict[str, Any]:
    """As `values`, and None for what is to be removed: an optional field that was emptied, a secret whose box is ticked."""
    found = values(fields, form)
    for field in fields:
        emptied = not field.secret and form.get(f"value.{field.name}") == ""
        if not field.required and field.name not in found and (emptied or f"clear.{field.name}" in form):
            found[field.name] = None
    return found


def values(fields: Sequence[Field], form: FormData) -> dict[str, Any]:
    """Field name -> value, for what was filled in. A box that is not ticked is False.

    Raises InvalidInput when JSON or a number cannot be read.
    """
    found: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for field in fields:
        raw = form.get(f"value.{field.name}")
        if field.kind is FieldKind.BOOLEAN:
            found[field.name] = raw is not None
        elif isinstance(raw, str) and raw.strip():
            try:
                found[field.name] = typed(field, raw)
            except json.JSONDecodeError as broken:
                problems[field.name] = f"This is not valid JSON from line {broken.lineno}, column {broken.colno} on."
            except ValueError:
                problems[field.name] = "Enter a number."
    if problems:
        raise InvalidInput(fields=problems)
    return found


def typed(field: Field, raw: str) -> Any:
    """One value by its kind. Raises ValueError."""
    if field.kind is FieldKind.JSON:
        return json.loads(raw)
    if field.kind is FieldKind.NUMBER:
        return float(raw) if "." in raw else int(raw)
    # Line ends of a pasted private key come as CR LF from every browser.
    return raw.replace("\r\n", "\n") if field.kind is FieldKind.MULTILINE else raw.strip()


def printable(fields: Sequence[Field], known: Mapping[str, Any]) -> dict[str, Any]:
    """What a form may show again: never what a secret field holds, its default where nothing is known."""
    start = {field.name: "" if field.default is None else field.default for field in fields}
    return {field.name: "" if field.secret else known.get(field.name, start[field.name]) for field in fields}


def field_errors(error: InvalidInput) -> dict[str, str]:
    """Field name -> what is wrong. Under the empty name: what belongs to no field."""
    return {name.removeprefix("values."): problem for name, problem in error.fields.items()} or {"": error.message}
