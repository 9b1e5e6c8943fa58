"""The way to the provider, with somebody standing beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tokenkeep.core.model import Answer, Call
from tokenkeep.core.protocol import fingerprint
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import Registration, TokenEndpoint

Watcher = Callable[[], Awaitable[None]]


@dataclass
class SpyWire:
    """`ports.TokenEndpoint` in front of another one.

    `before_refresh` runs when a refresh is about to be sent, `after_refresh` when its answer has come and nobody has
    seen it yet. Answers put into `instead` are given without asking anybody.
    """

    inner: TokenEndpoint
    before_refresh: list[Watcher] = field(default_factory=list)
    after_refresh: list[Watcher] = field(default_factory=list)
    instead: list[Answer] = field(default_factory=list)
    refreshed: list[tuple[str, str]] = field(default_factory=list)  # (client handle, fingerprint of what was sent)
    revoked: list[Secret] = field(default_factory=list)
    calls: list[tuple[Call, Mapping[str, str], Mapping[str, str]]] = field(default_factory=list)

    def authorization_url(
        self, registration: Registration, *, state: str, verifier: str, scopes: Sequence[str], extra: Mapping[str, str]
    ) -> str:
        return self.inner.authorization_url(registration, state=state, verifier=verifier, scopes=scopes, extra=extra)

    async def push(
        self, registration: Registration, *, state: str, verifier: str, scopes: Sequence[str], extra: Mapping[str, str]
    ) -> Answer:
        if self.instead:
            return self.instead.pop(0)
        return await self.inner.push(registration, state=state, verifier=verifier, scopes=scopes, extra=extra)

    def pushed_url(self, registration: Registration, *, request_uri: str) -> str:
        return self.inner.pushed_url(registration, request_uri=request_uri)

    def signs_with(self, secret: Secret) -> bool:
        return self.inner.signs_with(secret)

    async def exchange(self, registration: Registration, *, code: str, verifier: str, endpoint: str) -> Answer:
        if self.instead:
            return self.instead.pop(0)
        return await self.inner.exchange(registration, code=code, verifier=verifier, endpoint=endpoint)

    async def refresh(self, registration: Registration, *, refresh_token: Secret, scopes: Sequence[str]) -> Answer:
        self.refreshed.append((registration.client.id, fingerprint(refresh_token)))
        for watcher in self.before_refresh:
            await watcher()
        answer = (
            self.instead.pop(0)
            if self.instead
            else await self.inner.refresh(registration, refresh_token=refresh_token, scopes=scopes)
        )
        for watcher in self.after_refresh:
            await watcher()
        return answer

    async def revoke(self, registration: Registration, *, token: Secret, hint: str) -> Answer:
        self.revoked.append(token)
        return await self.inner.revoke(registration, token=token, hint=hint)

    async def call(
        self, call: Call, *, variables: Mapping[str, str], headers: Mapping[str, str], query: Mapping[str, str]
    ) -> Answer:
        self.calls.append((call, headers, query))
        if self.instead:
            return self.instead.pop(0)
        return await self.inner.call(call, variables=variables, headers=headers, query=query)
