"""What a node is given.

Owns: a live access token with its facts, an authorization, and what is remembered between two reads of a grant.
Does not own: deciding what may be given (`tokens`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tokenkeep.core import token_document
from tokenkeep.core.model import Grant, State
from tokenkeep.core.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenFacts:
    """What a node needs to know about an access token. `expires_at` None: unknown, or it does not end.

    One object for as long as nothing about it changes, so that whoever renders it may remember the result.
    """

    token_type: str
    expires_at: datetime | None
    scope: tuple[str, ...]
    fingerprint: str
    state: State


@dataclass(frozen=True, slots=True, eq=False)
class LiveToken:
    """An access token and its facts. It stays sealed until somebody looks at it, and again afterwards."""

    facts: TokenFacts
    _open: Callable[[], bytes]

    @property
    def access_token(self) -> Secret:
        """Opened anew each time. Raises Quarantined."""
        return token_document.load_access_token(self._open())


@dataclass(slots=True, kw_only=True)
class Known:
    """What is worked out once about a grant and holds until the grant changes. No secret is among it."""

    grant: Grant
    live: LiveToken
    fresh_until: dict[int, float] = field(default_factory=dict)  # min_ttl -> last fresh moment, on the monotonic clock

    def serves(self, grant: Grant | None, monotonic: float, min_ttl: int) -> bool:
        """Whether this is what is stored now, and its token is fresh."""
        return self.grant is grant and monotonic <= self.fresh_until.get(min_ttl, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """What to put on a request."""

    headers: Mapping[str, Secret]
    query: Mapping[str, Secret]
    body: Mapping[str, Secret]  # JSON members or form fields
    base_url: Secret  # holds one where the credential stands in the path
    secret_in_url: bool  # True: the address of the request holds a secret, in its path or its query
    expires_at: datetime | None
    fingerprint: str
