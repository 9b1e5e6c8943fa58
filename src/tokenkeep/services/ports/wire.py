"""The provider's authorization server.

Owns: what is asked over the network. Does not own: judging answers (`core/judgement`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tokenkeep.core.minting import Order
from tokenkeep.core.model import Answer, Call, Client, Provider
from tokenkeep.core.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A client with its secret opened, its variables and the provider it belongs to: what a call needs."""

    client: Client
    provider: Provider
    secret: Secret | None
    redirect_uri: str
    order: Order | None = None  # not None: tokens are minted, by this request


class Minter(Protocol):
    """Where tokens are obtained without a person."""

    async def mint(self, registration: Registration) -> Answer:
        """Carry out the registration's order, on a fresh connection, within 30 s in all. Never raises."""


class TokenEndpoint(Protocol):
    """The provider's authorization server. Never raises for what the network or the provider does."""

    def authorization_url(
        self, registration: Registration, *, state: str, verifier: str, scopes: Sequence[str], extra: Mapping[str, str]
    ) -> str:
        """RFC 6749 section 4.1.1 with PKCE S256 (RFC 7636) unless the provider's file switches it off."""

    async def push(
        self, registration: Registration, *, state: str, verifier: str, scopes: Sequence[str], extra: Mapping[str, str]
    ) -> Answer:
        """RFC 9126 section 2: the same parameters, sent ahead of the browser. Only where the file names the endpoint."""

    def pushed_url(self, registration: Registration, *, request_uri: str) -> str:
        """RFC 9126 section 4: where the browser goes instead, with the request URI of what was pushed."""

    def signs_with(self, secret: Secret) -> bool:
        """Whether it is a private key that a client can sign assertions with (RFC 7523)."""

    async def exchange(self, registration: Registration, *, code: str, verifier: str, endpoint: str) -> Answer:
        """RFC 6749 section 4.1.3, at `endpoint`: the one frozen in the authorization request."""

    async def refresh(self, registration: Registration, *, refresh_token: Secret, scopes: Sequence[str]) -> Answer:
        """RFC 6749 section 6, on a fresh connection, within 30 s in all."""

    async def revoke(self, registration: Registration, *, token: Secret, hint: str) -> Answer:
        """RFC 7009; `hint` is refresh_token or access_token. Status 0 with fault `unsupported` where there is none."""

    async def call(
        self, call: Call, *, variables: Mapping[str, str], headers: Mapping[str, str], query: Mapping[str, str]
    ) -> Answer:
        """A verification or account call, already carrying its authorization."""
