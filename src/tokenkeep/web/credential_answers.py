"""How a credential looks from outside: without its secrets.

Owns: the shapes of answers about one credential. Does not own: what can be done with it (`credentials`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tokenkeep.core import scopes
from tokenkeep.core.model import Account, Expiry, FailureKind, Grant, State
from tokenkeep.web.bodies import instant

if TYPE_CHECKING:
    from tokenkeep.services.credentials import CredentialView


class FailureAnswer(msgspec.Struct):
    """The last failure, and who can repair it."""

    kind: FailureKind
    code: str
    count: int
    since: datetime


class AccountAnswer(msgspec.Struct):
    """Whom the grant belongs to at the provider. Empty: the provider did not say."""

    id: str
    name: str
    workspace: str


class ScopesAnswer(msgspec.Struct):
    """What was asked for, what was given, and how the two differ."""

    requested: list[str]
    granted: list[str]
    missing: list[str]  # asked for, not granted
    extra: list[str]  # granted, not asked for
    unasked: list[str]  # the type or the client asks for them today, and did not when this was connected


class CredentialAnswer(msgspec.Struct):
    """A credential without its secrets."""

    id: str
    type: str
    name: str
    provider: str
    state: State
    values: dict[str, Any]  # masked
    expires_at: datetime | None  # null: `expiry` says why
    expiry: Expiry | None  # null: there is no token
    learned_life_s: int | None  # the shortest life seen of tokens whose end is unknown
    next_refresh_at: datetime | None
    last_refresh_at: datetime | None
    needs_person_at: datetime | None  # the forecast; null: no such date is known
    failure: FailureAnswer | None  # null: all is well
    account: AccountAnswer | None  # null: unknown, and always in lists
    scopes: ScopesAnswer | None  # null: not an OAuth type
    version: int
    warnings: list[str]
    created_at: datetime
    updated_at: datetime
    connected_at: datetime | None


class CredentialPage(msgspec.Struct, omit_defaults=True):
    """One page of credentials."""

    items: list[CredentialAnswer]
    next_cursor: str | None
    fits: list[str] = msgspec.field(default_factory=list)  # the types asked for, by their own names, as ordered there
    unknown_types: list[str] = msgspec.field(default_factory=list)  # those asked for that nobody knows here


class RemovalAnswer(msgspec.Struct):
    """A deleted credential."""

    deleted: bool
    revoked: bool | None  # null: nothing to revoke, or the provider cannot
    detail: str


class DisconnectAnswer(CredentialAnswer, kw_only=True):
    """The credential that is left, and what the provider did."""

    revoked: bool | None  # null: nothing to revoke, or the provider cannot
    detail: str


class VerdictAnswer(msgspec.Struct, omit_defaults=True):
    """What a test found."""

    ok: bool
    account: AccountAnswer | None
    checked_at: datetime
    problem: str = ""
    detail: str = ""


def credential_answer(view: CredentialView) -> CredentialAnswer:
    """A credential as anybody outside sees it."""
    return CredentialAnswer(**parts(view))


def parts(view: CredentialView) -> dict[str, Any]:
    """The members of a CredentialAnswer by name."""
    credential, grant = view.credential, view.credential.grant
    return {
        "id": credential.id,
        "type": credential.type,
        "name": credential.name,
        "provider": view.provider.id,
        "state": view.state,
        "values": dict(credential.masked),
        **_standing(grant),
        "account": account_answer(view.account),
        "scopes": _scopes(view, grant) if view.type.oauth else None,
        "version": credential.version,
        "warnings": list(view.warnings),
        "created_at": instant(credential.created_at),
        "updated_at": instant(credential.updated_at),
        "connected_at": instant(grant.connected_at) if grant else None,
    }


def _standing(grant: Grant | None) -> dict[str, Any]:
    if grant is None:
        return dict.fromkeys(_OF_STANDING)
    standing = grant.standing
    failure = standing.failure and FailureAnswer(
        kind=standing.failure.kind,
        code=standing.failure.code,
        count=standing.failure.count,
        since=standing.failure.since.replace(microsecond=0),
    )
    return {
        "expires_at": instant(standing.expires_at),
        "expiry": standing.expiry,
        "learned_life_s": standing.learned_life_s,
        "next_refresh_at": instant(standing.next_refresh_at),
        "last_refresh_at": instant(standing.last_refresh_at),
        "needs_person_at": instant(standing.needs_person_at),
        "failure": failure,
    }


_OF_STANDING = (
    "expires_at",
    "expiry",
    "learned_life_s",
    "next_refresh_at",
    "last_refresh_at",
    "needs_person_at",
    "failure",
)


def _scopes(view: CredentialView, grant: Grant | None) -> ScopesAnswer:
    if grant is None:
        return ScopesAnswer(requested=[], granted=[], missing=[], extra=[], unasked=[])
    return ScopesAnswer(
        requested=list(grant.scopes_requested),
        granted=list(scopes.granted(grant)),
        missing=list(view.missing_scopes),
        extra=list(view.extra_scopes),
        unasked=list(view.unasked_scopes),
    )


def account_answer(account: Account | None) -> AccountAnswer | None:
    """None stays None."""
    if account is None:
        return None
    return AccountAnswer(id=account.id, name=account.name, workspace=account.workspace)
