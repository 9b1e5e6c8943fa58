"""Giving the demo provider its address: our own.

Owns: filling `{public_url}`, which is known only at the start and may be a plain http loopback address.
Does not own: the demo provider itself, nor any other hole (`core/injection`).
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tokenkeep.core.model import Call, CredentialType, Provider

T = TypeVar("T", Provider, CredentialType, Call)
_HOLE = "{public_url}"


def at_public_url(
    provider: Provider, types: tuple[CredentialType, ...], *, public_url: str
) -> tuple[Provider, tuple[CredentialType, ...]]:
    """The provider and its types with every `{public_url}` filled; in `hosts` with the host alone."""
    address = public_url.rstrip("/")
    hosts = frozenset(host.replace(_HOLE, urlsplit(address).netloc.lower()) for host in provider.hosts)
    filled = _fill(replace(provider, hosts=frozenset()), address)
    return replace(filled, hosts=hosts), tuple(_fill(one, address) for one in types)


def _fill(noun: T, address: str) -> T:
    """A copy with its text filled, nested calls included."""
    changed: dict[str, Any] = {}
    for part in fields(noun):
        value = getattr(noun, part.name)
        if isinstance(value, str) and _HOLE in value:
            changed[part.name] = value.replace(_HOLE, address)
        elif isinstance(value, Call):
            changed[part.name] = _fill(value, address)
    return replace(noun, **changed)
