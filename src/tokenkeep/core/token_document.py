"""The token set as the one document that is sealed.

Owns: `TokenSet` to octets and back. Access token, refresh token and extras of one generation are one document, so
they can never be mixed across generations (security 2.3). Does not own: sealing.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import orjson

from tokenkeep.core.model import TokenSet
from tokenkeep.core.secret import Secret


def dump(token_set: TokenSet) -> bytes:
    """Octets to seal: the only place that writes tokens down."""
    document = {
        "access_token": token_set.access_token.reveal(),
        "token_type": token_set.token_type,
        "refresh_token": token_set.refresh_token.reveal() if token_set.refresh_token else None,
        "scope": list(token_set.scope) if token_set.scope is not None else None,
        "expires_at": _stamp(token_set.expires_at),
        "endless": token_set.endless,
        "refresh_expires_at": _stamp(token_set.refresh_expires_at),
        "grant_expires_at": _stamp(token_set.grant_expires_at),
        "extra": dict(token_set.extra),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def load(octets: bytes) -> TokenSet:
    """The token set that `dump` wrote."""
    document = _parse(octets)
    refresh_token, scope = document["refresh_token"], document["scope"]
    return TokenSet(
        access_token=Secret(document["access_token"]),
        token_type=document["token_type"],
        refresh_token=Secret(refresh_token) if refresh_token else None,
        scope=tuple(scope) if scope is not None else None,
        expires_at=_time(document["expires_at"]),
        endless=document.get("endless", False),  # the first version did not write these two
        refresh_expires_at=_time(document["refresh_expires_at"]),
        grant_expires_at=_time(document.get("grant_expires_at")),
        extra=document["extra"],
    )


def load_access_token(octets: bytes) -> Secret:
    """The access token alone: all that most reads need, and a small part of the work of `load`."""
    return Secret(_parse(octets)["access_token"])


def _parse(octets: bytes) -> Any:
    try:
        return orjson.loads(octets)
    except ValueError:
        return json.loads(octets)  # half a surrogate pair, which some provider may have sent


def _stamp(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment is not None else None


def _time(stamp: float | None) -> datetime | None:
    return datetime.fromtimestamp(stamp, UTC) if stamp is not None else None
