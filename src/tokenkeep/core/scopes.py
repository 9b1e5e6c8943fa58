"""Scopes compared: what was asked for, what was granted, and what became of that.

Owns: when two scopes are one in other words, what is missing, extra or changed, and what to ask for so that nothing is
lost. Does not own: reading scopes from an answer (`token_answer`), putting them into an address (`protocol`).

Providers do not answer in the words they were asked in, and a scope that only looks missing sends people to the provider
for nothing. So the tables err on the side of taking two scopes for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from tokenkeep.core.errors import InvalidInput
from tokenkeep.core.model import CredentialType, Grant

Scopes = tuple[str, ...]

LONGEST: Final = 500
MOST: Final = 200
"""So many are asked for at most: more do not fit into an address that every provider takes."""
MOST_NAMED: Final = 50
"""So many are named in a line of history."""

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 section 3.3

_PREFIX = "https://graph.microsoft.com/"
"""Microsoft takes and tells its own scopes with or without it."""

_OTHER_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "https://www.googleapis.com/auth/userinfo.email": "email",
        "https://www.googleapis.com/auth/userinfo.profile": "profile",
    }
)
"""The provider's word in answers -> the word it was asked in."""

_UNTOLD: Final = frozenset({"offline_access"})
"""Never told whether granted (Microsoft): the refresh token shows it."""

_UNASKED: Final = frozenset({"identify"})
"""Granted with others, and refused when asked for (Slack)."""

_HOLDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "repo": frozenset({"repo:status", "repo_deployment", "public_repo", "repo:invite", "security_events"}),
        "user": frozenset({"read:user", "user:email", "user:follow"}),
        "admin:org": frozenset({"write:org", "read:org", "manage_runners:org"}),
        "write:org": frozenset({"read:org"}),
        "admin:public_key": frozenset({"write:public_key", "read:public_key"}),
        "write:public_key": frozenset({"read:public_key"}),
        "admin:repo_hook": frozenset({"write:repo_hook", "read:repo_hook"}),
        "write:repo_hook": frozenset({"read:repo_hook"}),
        "admin:gpg_key": frozenset({"write:gpg_key", "read:gpg_key"}),
        "write:gpg_key": frozenset({"read:gpg_key"}),
        "write:packages": frozenset({"read:packages"}),
        "write:discussion": frozenset({"read:discussion"}),
        "project": frozenset({"read:project"}),
    }
)
"""A wide scope -> the narrow ones it holds, which then are not told beside it (GitHub)."""


def checked(given: Sequence[str], *, field: str = "scopes") -> Scopes:
    """Each once, in the order given. Raises InvalidInput, which names the scope that cannot be one."""
    for scope in given:
        if not _SCOPE.fullmatch(scope) or len(scope) > LONGEST:
            shown = "".join(char if char.isprintable() else "?" for char in scope[:60])
            rule = f"Each scope is one word of visible ASCII, without quotes and backslashes; `{shown}` is not."
            raise InvalidInput(fields={field: rule})
    if len(given) > MOST:
        raise InvalidInput(fields={field: f"At most {MOST} scopes can be asked for at once."})
    return tuple(dict.fromkeys(given))


def granted(grant: Grant) -> Scopes:
    """What its tokens may do. Where the provider did not say: as asked (RFC 6749 section 5.1)."""
    return grant.scopes_requested if grant.scopes_granted is None else grant.scopes_granted


def missing(wanted: Sequence[str], had: Sequence[str]) -> Scopes:
    """Those of `wanted` that `had` neither names, in whatever words, nor holds."""
    held = _held(had)
    return tuple(scope for scope in wanted if scope not in _UNTOLD and _word(scope) not in held)


def missing_of(grant: Grant | None) -> Scopes:
    """Asked for and not granted. Empty when the provider did not say."""
    if grant is None or grant.scopes_granted is None:
        return ()
    return missing(grant.scopes_requested, grant.scopes_granted)


def extra_of(grant: Grant | None) -> Scopes:
    """Granted and not asked for."""
    if grant is None or grant.scopes_granted is None:
        return ()
    return missing(grant.scopes_granted, grant.scopes_requested)


def usual(type_: CredentialType, client_scopes: Sequence[str]) -> Scopes:
    """What people are asked for where nobody says otherwise: the client's scopes, else the type's."""
    return (tuple(client_scopes) or type_.scopes) if type_.oauth else ()


def unasked(grant: Grant | None, wanted: Sequence[str]) -> Scopes:
    """Those of `wanted` that this grant does not have because it was never asked for them."""
    return () if grant is None else missing(wanted, (*grant.scopes_requested, *granted(grant)))


def kept(grant: Grant) -> Scopes:
    """What a new consent must ask for so that nothing is lost, in the words used before where there are any.

    A provider puts the new consent in place of the old one, with all that it was not asked for again.
    """
    lost = missing(grant.scopes_requested, granted(grant))
    asked = tuple(scope for scope in grant.scopes_requested if scope not in lost)
    return asked + tuple(scope for scope in extra_of(grant) if scope not in _UNASKED)


def united(*parts: Iterable[str]) -> Scopes:
    """All of them, each once: of two words for one scope the first."""
    first: dict[str, str] = {}
    for part in parts:
        for scope in part:
            first.setdefault(_word(scope), scope)
    return tuple(first.values())


def change(before: Sequence[str], after: Sequence[str]) -> Mapping[str, list[str]]:
    """Facts for a line of history: what was added and what was removed. Empty: nothing changed."""
    parts = {"scopes_added": missing(after, before), "scopes_removed": missing(before, after)}
    return {name: list(scopes[:MOST_NAMED]) for name, scopes in parts.items() if scopes}


def _word(scope: str) -> str:
    """One word for all that mean the same. No provider of ours has two scopes that differ in case only."""
    plain = scope.casefold().removeprefix(_PREFIX)
    return _OTHER_WORDS.get(plain, plain)


def _held(had: Iterable[str]) -> set[str]:
    words = {_word(scope) for scope in had}
    return words.union(*(_HOLDS.get(word, frozenset()) for word in words))
