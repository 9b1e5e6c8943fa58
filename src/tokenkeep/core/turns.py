"""What is told outside: the kinds of events that webhooks and mail know.

Owns: which line of history is which turn, in words that outsiders may rely on. Does not own: who is told (`services/outbox`).

History has a line for every failed refresh; a turn is only the first one after all was well, and the first success after
that. So a turn is read from a line, from its facts, and from the kind of the line that came before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Turn:
    """One kind of event as outsiders know it."""

    type: str
    meaning: str
    acts: bool = False  # a person must do something about it: told by mail, too


TURNS: tuple[Turn, ...] = (
    Turn("credential.created", "A credential was stored."),
    Turn("credential.edited", "A person or program changed its name or values."),
    Turn("credential.connected", "A user agreed at the provider for the first time."),
    Turn("credential.reconnected", "A user agreed again, in place of the consent before."),
    Turn("credential.disconnected", "The consent was given up; the credential stays."),
    Turn("credential.refreshed", "A new access token was obtained and stored."),
    Turn("credential.scopes_changed", "It may do more or less than before; `detail` names the scopes."),
    Turn("credential.failing", "The first refresh that failed after all was well. `failure` says who can repair it."),
    Turn("credential.recovered", "The first success after a failure."),
    Turn(
        "credential.reauthorization_required", "The provider no longer accepts the consent: connect again.", acts=True
    ),
    Turn("credential.reauthorization_expected", "It will need a person soon; `detail` says when.", acts=True),
    Turn("credential.refusal_doubted", "A refusal among many at once is not believed yet: it is tried once more."),
    Turn("credential.rejection_loop", "The provider's API refuses tokens that its token endpoint has just issued."),
    Turn(
        "client.incident_began", "The provider refuses the client's id or secret; its refreshes are paused.", acts=True
    ),
    Turn("client.incident_ended", "The client is accepted again, or was registered anew."),
    Turn("client.mass_refusal_began", "Many consents of the client were refused at once; each is confirmed first."),
    Turn("client.mass_refusal_ended", "The last refusal in doubt is settled."),
    Turn("provider.breaker_opened", "The provider's host does not answer and is left in peace."),
    Turn("provider.breaker_closed", "The provider's host answers again."),
    Turn("webhook.disabled", "Another endpoint of the workspace was switched off, being gone or failing for days."),
    Turn("webhook.test", "Asked for by a person or program; sent to that one endpoint, whatever it subscribes to."),
)
TYPES: tuple[str, ...] = tuple(turn.type for turn in TURNS)
SUBSCRIBABLE: tuple[str, ...] = tuple(name for name in TYPES if name != "webhook.test")
FOR_PEOPLE: frozenset[str] = frozenset(turn.type for turn in TURNS if turn.acts)

FAILED = frozenset({"refresh_failed", "reauthorization_required"})
SUCCEEDED = frozenset({"refreshed", "connected", "reconnected"})
OUTCOMES = FAILED | SUCCEEDED
"""Kinds of lines that say how a grant fares."""

_TYPES_OF_KINDS = {
    "created": "credential.created",
    "edited": "credential.edited",
    "connected": "credential.connected",
    "reconnected": "credential.reconnected",
    "disconnected": "credential.disconnected",
    "refreshed": "credential.refreshed",
    "reauthorization_required": "credential.reauthorization_required",
    "reauthorization_expected": "credential.reauthorization_expected",
    "refusal_doubted": "credential.refusal_doubted",
    "rejection_loop": "credential.rejection_loop",
    "client_paused": "client.incident_began",
    "client_resumed": "client.incident_ended",
    "mass_refusal_begun": "client.mass_refusal_began",
    "mass_refusal_ended": "client.mass_refusal_ended",
    "breaker_opened": "provider.breaker_opened",
    "breaker_closed": "provider.breaker_closed",
    "webhook_disabled": "webhook.disabled",
}


_NOTHING: Mapping[str, Any] = MappingProxyType({})


def turns_of(kind: str, *, before: str, detail: Mapping[str, Any] = _NOTHING) -> tuple[str, ...]:
    """The types that a line of history stands for, none to three. `before`: the outcome before it; empty: there is none."""
    told = [_TYPES_OF_KINDS[kind]] if kind in _TYPES_OF_KINDS else []
    if kind == "refresh_failed" and before not in FAILED:
        told.append("credential.failing")
    if kind in SUCCEEDED and before in FAILED:
        told.append("credential.recovered")
    if kind in SUCCEEDED and ("scopes_added" in detail or "scopes_removed" in detail):
        told.append("credential.scopes_changed")
    return tuple(told)
