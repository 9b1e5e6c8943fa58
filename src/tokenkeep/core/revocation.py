"""Revoking at the provider.

Owns: which token is named, whether that would harm a newer consent, and what the answer means. Does not own: asking
(`services/surplus`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tokenkeep.core import judgement, token_answer
from tokenkeep.core.model import Answer, Provider, TokenSet
from tokenkeep.core.secret import Secret

WAITS_S: Final = (30, 120, 600, 1800)
"""Between the tries while a provider is busy; after the last one it is left alive, and said so."""
_BUSY: Final = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """What became of a token. `code` is empty when it is dead; `retry_at` tells when to ask a busy provider again."""

    code: str = ""
    retry_at: datetime | None = None

    @property
    def dead(self) -> bool:
        """Whether the provider says so."""
        return not self.code


def token_to_name(provider: Provider, token_set: TokenSet) -> tuple[Secret, str]:
    """The token and what kind it is: the refresh token, which takes the others along, unless only access tokens are known
    to the endpoint."""
    if provider.revocation_style == "rfc7009" and token_set.refresh_token is not None:
        return token_set.refresh_token, "refresh_token"
    return token_set.access_token, "access_token"


def harms(provider: Provider, old: TokenSet, newer: TokenSet | None) -> bool:
    """Whether revoking `old` may end the newer consent of the same credential.

    Many providers know one grant for each user and client: there, whatever is revoked of it, all of it ends. Some answer
    a second consent with the very token of the first. `newer` None: nobody could look.
    """
    if not provider.revoke_on_reconnect:
        return True
    return newer is not None and not _tokens(old).isdisjoint(_tokens(newer))


def read(answer: Answer, provider: Provider, *, now: datetime, tries: int) -> Revocation:
    """RFC 7009 section 2.2: 200 also for a token that was not valid any more; 503 means that it still lives."""
    if 200 <= answer.status < 300 and not _denied(answer, provider):
        return Revocation()
    if answer.fault in {"unsupported", "misconfigured", "refused"}:
        return Revocation(code=answer.fault)
    if answer.status and answer.status < 500 and answer.status not in _BUSY:
        return Revocation(code="not_confirmed")
    if tries >= len(WAITS_S):
        return Revocation(code="busy")
    wait = max(WAITS_S[tries], judgement.asked_to_wait(answer, now=now) or 0)
    return Revocation(code="busy", retry_at=now + timedelta(seconds=wait))


def _denied(answer: Answer, provider: Provider) -> bool:
    if "ok_false_in_200" not in provider.quirks:
        return False
    return (token_answer.parse(answer.body.reveal()) or {}).get("ok") is not True


def _tokens(token_set: TokenSet) -> frozenset[str]:
    refresh_token = token_set.refresh_token
    return frozenset({token_set.access_token.reveal(), *([refresh_token.reveal()] if refresh_token else [])})
