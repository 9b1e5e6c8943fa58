"""A grant as a row.

Owns: the way from the columns of `grants` to nouns and back. Does not own: statements (`grants`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenkeep.core.model import Failure, FailureKind, Grant, Rejections, Standing, State


def standing_of(row: Mapping[Any, Any], *, prefix: str = "") -> Standing:
    """How the grant of a row stands."""
    kind = row[prefix + "failure_kind"]
    failure = kind and Failure(
        kind=FailureKind(kind),
        code=row[prefix + "failure_code"],
        count=row[prefix + "failure_count"],
        since=row[prefix + "failure_since"],
    )
    return Standing(
        state=State(row[prefix + "state"]),
        expires_at=row[prefix + "expires_at"],
        refresh_expires_at=row[prefix + "refresh_expires_at"],
        next_refresh_at=row[prefix + "next_refresh_at"],
        last_refresh_at=row[prefix + "last_refresh_at"],
        failure=failure or None,
        endless=row[prefix + "endless"],
        learned_life_s=row[prefix + "learned_life_s"],
        needs_person_at=row[prefix + "needs_person_at"],
        warn_at=row[prefix + "warn_at"],
    )


def _rejections_of(row: Mapping[Any, Any], *, prefix: str) -> Rejections | None:
    count = row[prefix + "rejected_count"]
    return count and Rejections(
        count=count,
        since=row[prefix + "rejected_since"],
        at=row[prefix + "rejected_at"],
        version=row[prefix + "rejected_version"],
        life_before_s=row[prefix + "rejected_life_before_s"],
    )


def grant_of(row: Mapping[Any, Any], *, prefix: str = "") -> Grant:
    """The noun of a row. Sealed columns that were not selected are empty."""
    granted = row[prefix + "scopes_granted"]
    return Grant(
        workspace_id=row[prefix + "workspace_id"],
        credential_id=row[prefix + "credential_id"],
        grant_id=row[prefix + "grant_id"],
        client=row[prefix + "client"],
        provider=row[prefix + "provider"],
        version=row[prefix + "version"],
        sealed=row.get(prefix + "sealed", b""),
        standing=standing_of(row, prefix=prefix),
        connected_at=row[prefix + "connected_at"],
        prev_sealed=row.get(prefix + "prev_sealed"),
        prev_until=row[prefix + "prev_until"],
        account_sealed=row.get(prefix + "account_sealed"),
        scopes_requested=tuple(row[prefix + "scopes_requested"]),
        scopes_granted=tuple(granted) if granted is not None else None,
        fence=row[prefix + "fence"],
        lease_owner=row[prefix + "lease_owner"],
        lease_until=row[prefix + "lease_until"],
        intent_at=row[prefix + "intent_at"],
        intent_fingerprint=row[prefix + "intent_fingerprint"],
        refused=tuple(row[prefix + "refused"] or ()),
        rejections=_rejections_of(row, prefix=prefix),
    )


def standing_row(standing: Standing) -> dict[str, Any]:
    """The columns of a standing."""
    failure = standing.failure
    return {
        "state": str(standing.state),
        "expires_at": standing.expires_at,
        "refresh_expires_at": standing.refresh_expires_at,
        "next_refresh_at": standing.next_refresh_at,
        "last_refresh_at": standing.last_refresh_at,
        "failure_kind": str(failure.kind) if failure else None,
        "failure_code": failure.code if failure else None,
        "failure_count": failure.count if failure else None,
        "failure_since": failure.since if failure else None,
        "endless": standing.endless,
        "learned_life_s": standing.learned_life_s,
        "needs_person_at": standing.needs_person_at,
        "warn_at": standing.warn_at,
    }


def rejections_row(rejections: Rejections | None) -> dict[str, Any]:
    """The columns of what nodes saw rejected."""
    return {
        "rejected_count": rejections.count if rejections else None,
        "rejected_since": rejections.since if rejections else None,
        "rejected_at": rejections.at if rejections else None,
        "rejected_version": rejections.version if rejections else None,
        "rejected_life_before_s": rejections.life_before_s if rejections else None,
    }


def generation_row(grant: Grant) -> dict[str, Any]:
    """The columns that a stored token set changes."""
    own = standing_row(grant.standing) | rejections_row(grant.rejections)
    return own | {
        "version": grant.version,
        "sealed": grant.sealed,
        "prev_sealed": grant.prev_sealed,
        "prev_until": grant.prev_until,
        "account_sealed": grant.account_sealed,
        "scopes_requested": list(grant.scopes_requested),
        "scopes_granted": list(grant.scopes_granted) if grant.scopes_granted is not None else None,
    }
