"""The consents of the fake provider: families of tokens, and what rotation does to them.

Owns: the switches, the journal's entries, and which tokens are alive. Does not own: HTTP (`authorization_server`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tokenkeep.core.model import Rotation


@dataclass
class Switches:
    """How the server behaves. Each may be changed at any time."""

    rotation: Rotation = Rotation.STRICT
    grace_s: float = 30.0  # for GRACE: how long a spent refresh token is answered with the current pair
    kills_old_access_token: bool = False
    expires_in: int | str | None = 3600
    omits_expires_in: bool = False
    omits_refresh_token: bool = False  # from refresh answers; only sensible without rotation
    error_in_200: bool = False  # refusals arrive with status 200
    down: bool = False  # 503 before anything happens
    down_status: int = 503
    retry_after: str = ""
    invalid_client: bool = False  # the client's secret is no longer accepted
    delay_before_s: float = 0.0  # before anything happens
    delay_after_s: float = 0.0  # after the rotation, before the answer
    loses_answers: int = 0  # so many of the next answers never arrive, although the rotation happened
    truncates_answers: int = 0  # so many of the next answers end half-way
    drops_requests: int = 0  # so many of the next requests are read, and then nothing happens
    spurious_invalid_grant: int = 0  # so many of the next refreshes are refused without reason
    sends_iss: bool = True
    denies_consent: bool = False
    requires_par: bool = False  # the browser may bring a request URI only (RFC 9126)
    refuses_pushed: str = ""  # the OAuth error that a pushed request is answered with
    metadata: dict[str, Any] | None = None  # over what the server says of itself; None in it: left out
    scope: str | None = None  # granted instead of what was asked for; None: as asked
    account: dict[str, str] = field(
        default_factory=lambda: {"id": "acc-1", "name": "Ada Lovelace", "workspace": "Acme"}
    )

    def take(self, switch: str) -> bool:
        """Use up one of a counted switch."""
        left = int(getattr(self, switch))
        setattr(self, switch, max(left - 1, 0))
        return left > 0


@dataclass
class Family:
    """One consent and the generations of its tokens."""

    id: int
    scope: str
    refresh_token: str = ""
    access_token: str = ""
    generation: int = 0
    spent: dict[str, float] = field(default_factory=dict)  # refresh token -> when it was spent
    access_tokens: set[str] = field(default_factory=set)  # alive
    revoked: bool = False


@dataclass
class Entry:
    """One token request, as it was received and answered."""

    at: float
    grant_type: str
    fingerprint: str  # of the refresh token or code it carried
    client_id: str
    client_auth: str  # basic, post, jwt, none
    outcome: str  # granted, refused:<code>, down, dropped; `lost` and `truncated` after a rotation that happened
    family: int  # 0: unknown
    parameters: list[str]  # names only


class Refusal(Exception):
    """An OAuth error answer."""

    def __init__(self, code: str, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.status = code, status


class Consents:
    """Every consent given so far. `clock` counts seconds; it is asked for the grace only."""

    def __init__(self, switches: Switches, clock: Callable[[], float]) -> None:
        self.switches = switches
        self.now = clock
        self._numbers = itertools.count(1)
        self._families: dict[int, Family] = {}
        self._owner: dict[str, int] = {}  # refresh token -> family

    def __iter__(self) -> Iterator[Family]:
        return iter(self._families.values())

    def owner(self, token: str) -> Family | None:
        """Whose refresh token this is or was."""
        return self._families.get(self._owner.get(token, 0))

    def new_family(self, scope: str) -> Family:
        """A consent, still without tokens."""
        number = next(self._numbers)
        self._families[number] = Family(id=number, scope=scope if self.switches.scope is None else self.switches.scope)
        return self._families[number]

    def renewed(self, family: Family) -> Family:
        """The next generation: this is what the provider has committed, whether or not the answer arrives."""
        family.generation += 1
        if self.switches.kills_old_access_token:
            family.access_tokens.clear()
        family.access_token = f"at-{family.id}-{family.generation}"
        family.access_tokens.add(family.access_token)
        if not family.refresh_token or self.switches.rotation is not Rotation.NONE:
            if family.refresh_token:
                family.spent[family.refresh_token] = self.now()
            family.refresh_token = f"rt-{family.id}-{family.generation}"
            self._owner[family.refresh_token] = family.id
        return family

    def answer(self, family: Family) -> dict[str, Any]:
        """The token answer for its present generation."""
        answer: dict[str, Any] = {
            "access_token": family.access_token,
            "token_type": "Bearer",
            "refresh_token": family.refresh_token,
            "scope": family.scope,
            "expires_in": self.switches.expires_in,
        }
        if self.switches.omits_expires_in:
            del answer["expires_in"]
        if self.switches.omits_refresh_token and family.generation > 1:
            del answer["refresh_token"]
        return answer

    def _within_grace(self, family: Family, token: str) -> bool:
        spent_at = family.spent.get(token)
        return spent_at is not None and self.now() - spent_at <= self.switches.grace_s

    def end(self, family: Family) -> None:
        """Revoke it and all its tokens."""
        family.revoked = True
        family.access_tokens.clear()

    def accepts(self, refresh_token: str) -> bool:
        """Whether a refresh with this token would be granted now. Changes nothing."""
        family = self.owner(refresh_token)
        if family is None or family.revoked:
            return False
        if refresh_token == family.refresh_token or self.switches.rotation is Rotation.NONE:
            return True
        return self.switches.rotation is Rotation.GRACE and self._within_grace(family, refresh_token)

    def is_alive(self, access_token: str) -> bool:
        """Whether the API would accept this access token."""
        return any(access_token in family.access_tokens for family in self)

    def refreshed(self, family: Family, token: str) -> Family:
        """The family after a refresh with this token of its. Raises Refusal."""
        if self.switches.take("spurious_invalid_grant") or family.revoked:
            raise Refusal("invalid_grant")
        if token == family.refresh_token or self.switches.rotation is Rotation.NONE:
            return self.renewed(family)
        if self.switches.rotation is Rotation.GRACE and self._within_grace(family, token):
            return family  # the same answer again
        if self.switches.rotation is Rotation.FAMILY:
            self.end(family)
        raise Refusal("invalid_grant")
