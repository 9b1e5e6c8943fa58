"""What a credential type asks for: reading values and masking them.

Owns: turning what a person or program sent into values ready to be sealed, and into what people may see.
Does not own: the types (`adapters/catalog`), sealing, one field's kind (`core/field_kinds`).

No message ever repeats a value: it may be a secret that was pasted into the wrong field.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as part
from typing import Any

from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.field_kinds import MASK, Unfit, mask, read
from tokenkeep.core.injection import holes
from tokenkeep.core.model import CredentialType, Field, FieldKind
from tokenkeep.core.pasting import lacks, oddity, tidy

__all__ = ["MASK", "Validated", "mask", "masked", "validate"]

_READABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """What `validate` made of the input."""

    values: Mapping[str, Any] = part(repr=False)  # complete, plain, ready to be sealed as JSON
    masked: Mapping[str, Any]  # what people may see
    warnings: Mapping[str, str]  # field -> what looks odd; nothing that stops the credential from being stored


def validate(
    type: CredentialType, given: Mapping[str, object], *, stored: Mapping[str, object] | None = None
) -> Validated:
    """Check what was sent and lay it over what is stored.

    A field that was not sent keeps its stored value; so does one sent as its own mask. `null` removes an optional
    field. Defaults fill what is still missing.

    Raises:
        InvalidInput: `fields` says for each field what is wrong and how to mend it.
    """
    if not isinstance(given, Mapping):
        raise InvalidInput("Values must be an object of field names and values.")
    before = dict(stored or {})
    given, left_out = _tidied(type, given)
    problems = _unknown(type, given)
    values, changed = dict(before), set[str]()
    for field in type.fields:
        try:
            value = _settle(field, given, before, address=field.name in _address_fields(type))
        except Unfit as unfit:
            problems[field.name] = str(unfit)
            continue
        if value != before.get(field.name):
            changed.add(field.name)
        values.pop(field.name, None)
        if value is not None:
            values[field.name] = value
    typed = {name for name, sent in given.items() if not (isinstance(sent, str) and MASK in sent)}
    problems |= _moved_addresses(type, before, typed=typed, changed=changed)
    if problems:
        raise InvalidInput("Some values cannot be used.", fields=problems)
    warnings = _warnings(type, values, changed, left_out)
    return Validated(values=values, masked=masked(type, values), warnings=warnings)


def masked(type: CredentialType, values: Mapping[str, object]) -> dict[str, Any]:
    """What people may see of values: every field that has one."""
    return {field.name: mask(field, values[field.name]) for field in type.fields if field.name in values}


def _tidied(type: CredentialType, given: Mapping[str, object]) -> tuple[dict[str, object], dict[str, str]]:
    """What was sent without what was copied along, and by field what was left out. Masks stay as they are."""
    tidied, left_out = dict(given), dict[str, str]()
    for field in type.fields:
        sent = given.get(field.name)
        if isinstance(sent, str) and MASK not in sent:
            tidied[field.name], said = tidy(field, sent, injection=type.injection)
            left_out |= {field.name: said} if said else {}
    return tidied, left_out


def _settle(field: Field, given: Mapping[str, object], before: Mapping[str, object], *, address: bool) -> Any:
    """The field's new value; None: it has none."""
    if field.name not in given or _is_mask(field, given[field.name], before):
        value = before.get(field.name)
    else:
        value = read(field, given[field.name], address=address)
        if value is None and field.required and field.default is None:
            raise Unfit(f"{field.label} must not be empty.")
    if value is not None:
        return value
    if field.default is None and field.required:
        raise Unfit(f"{field.label} is required.")
    return field.default


def _is_mask(field: Field, sent: object, before: Mapping[str, object]) -> bool:
    """Whether this is our own mask come back. Raises Unfit when it masks nothing we have."""
    if not isinstance(sent, str) or MASK not in sent:
        return False
    known = field.name in before
    if known and (sent == MASK or sent == mask(field, before[field.name]) or sent == before[field.name]):
        return True
    raise Unfit(
        f"This is a masked value, not {field.label} itself. Type it in full, or leave the field out to keep it."
    )


def _unknown(type: CredentialType, given: Mapping[str, object]) -> dict[str, str]:
    names = [field.name for field in type.fields]
    problems = {}
    for name in given:
        if name in names:
            continue
        if not _READABLE_NAME.fullmatch(str(name)):
            problems["?"] = "One of the names sent is no field name."
            continue
        near = difflib.get_close_matches(name, names, n=1)
        known = f"Did you mean `{near[0]}`?" if near else _known(names)
        problems[name] = f"{type.label} has no field of this name. {known}"
    return problems


def _known(names: list[str]) -> str:
    return f"It has: {', '.join(names)}." if names else "It has no fields."


def _address_fields(type: CredentialType) -> frozenset[str]:
    """Fields that are whole addresses to which we send the credential."""
    return _host_fields(type) & {field.name for field in type.fields if field.kind is FieldKind.URL}


def _host_fields(type: CredentialType) -> frozenset[str]:
    """Fields that decide to which host we send the credential: an address, or a part of a host's name."""
    templates = [type.base_url, type.test.url if type.test else ""]
    hosts = [template.removeprefix("https://").partition("/")[0] for template in templates]
    return frozenset(name for host in hosts for name in holes(host))


def _moved_addresses(
    type: CredentialType, before: Mapping[str, object], *, typed: set[str], changed: set[str]
) -> dict[str, str]:
    """Who sets the address must know the secret; else a test would send a stored secret to a host of their choice."""
    kept = [field.label for field in type.fields if field.secret and field.name in before and field.name not in typed]
    moved = _host_fields(type) & changed if kept else frozenset[str]()
    return dict.fromkeys(moved, f"The address changes, so give the secret again as well: {', '.join(kept)}.")


def _warnings(
    type: CredentialType, values: Mapping[str, Any], changed: set[str], left_out: Mapping[str, str]
) -> dict[str, str]:
    warnings = {}
    for field in type.fields:
        value = values.get(field.name)
        if field.name not in changed or value is None:
            continue
        odd = oddity(field, value, injection=type.injection) if isinstance(value, str) else lacks(field, value)
        if said := " ".join(filter(None, (left_out.get(field.name, ""), odd))):
            warnings[field.name] = said
    return warnings
