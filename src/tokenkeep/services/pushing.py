"""Where the browser is sent, and what the provider is told before it comes (RFC 9126).

Owns: whether the parameters travel with the browser or ahead of it, and what a refusal to take them means for people.
Does not own: the stored authorization request (`connect`), judging the answer (`core/pushed`).

A request URI is used once: every attempt pushes a request of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tokenkeep.core.errors import ProviderRefused
from tokenkeep.core.judgement import Refused
from tokenkeep.core.model import FailureKind
from tokenkeep.core.pushed import judge_pushed
from tokenkeep.services.ports import Clock, Registration, TokenEndpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushing:
    """The provider's address for one authorization request."""

    wire: TokenEndpoint
    clock: Clock

    async def address(
        self, registration: Registration, *, state: str, verifier: str, scopes: Sequence[str], extra: Mapping[str, str]
    ) -> str:
        """Asks the provider first where its file names the endpoint. Raises ProviderRefused, InvalidInput."""
        provider, wire = registration.provider, self.wire
        if not provider.pushed_authorization_endpoint:
            return wire.authorization_url(registration, state=state, verifier=verifier, scopes=scopes, extra=extra)
        answer = await wire.push(registration, state=state, verifier=verifier, scopes=scopes, extra=extra)
        judged = judge_pushed(answer, provider, now=self.clock.now())
        if isinstance(judged, Refused):
            raise _refusal(provider.name, judged)
        return wire.pushed_url(registration, request_uri=judged)


def _refusal(name: str, judged: Refused) -> ProviderRefused:
    if judged.kind is FailureKind.CLIENT:
        fix = f"An administrator checks the client id, secret, scopes and redirect address registered at {name}."
        return ProviderRefused(f"{name} did not take the request to connect ({judged.code}).", fix=fix)
    fix = "Try again in a few minutes; if it happens again, ask an administrator."
    return ProviderRefused(f"{name} could not take the request to connect ({judged.code}).", fix=fix)
