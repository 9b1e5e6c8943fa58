"""The workspace's registrations at providers.

Owns: registering, showing and opening clients. A client's `id` is the opaque handle in its callback path, so an answer
of one provider can never be taken for another's (T23). Does not own: what is done with them (`connect`, `refresh`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Protocol

from tokenkeep.core import policy
from tokenkeep.core.errors import ClientMissing, InvalidInput, NotFound
from tokenkeep.core.injection import check_variable
from tokenkeep.core.model import Client, ClientAuth, Event, Provider
from tokenkeep.core.permissions import Caller, Scope, system
from tokenkeep.core.secret import Secret
from tokenkeep.services.history import client_event
from tokenkeep.services.ports import (
    Catalog,
    ClientStore,
    Clock,
    Entropy,
    Envelope,
    GrantStore,
    Journal,
    Reads,
    Registration,
    TokenEndpoint,
)
from tokenkeep.services.sealing import client_place, open_client_secret

CALLBACK = "/oauth/callback/"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientView:
    """A client as people see it: without its secret."""

    client: Client
    provider: Provider
    redirect_uri: str


class ClientRegistry(Protocol):
    """An authorization server that we may register ourselves at: the demo provider."""

    def ensure_client(self, client_id: str, client_secret: Secret, *, redirect_uri: str) -> None:
        """Register a client, or bring its registration up to date."""


@dataclass(slots=True, kw_only=True)
class Clients:
    """Use cases over `ClientStore`."""

    store: ClientStore
    reads: Reads
    grants: GrantStore
    catalog: Catalog
    envelope: Envelope
    wire: TokenEndpoint
    clock: Clock
    entropy: Entropy
    journal: Journal
    public_url: str

    async def put(
        self,
        caller: Caller,
        provider_id: str,
        *,
        client_id: str,
        client_secret: Secret | None,
        scopes: Sequence[str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> ClientView:
        """Register, or change what is registered. A secret that is not sent stays, and so do scopes and variables.

        Raises InvalidInput, NotFound (no such provider).
        """
        caller.need(Scope.ADMIN)
        provider = self._oauth_provider(provider_id)
        stored = await self.store.for_provider(caller.workspace_id, provider_id)
        client = Client(
            id=stored.id if stored else await self._handle(caller.workspace_id, provider_id),
            workspace_id=caller.workspace_id,
            provider=provider_id,
            client_id=_checked_client_id(client_id),
            secret_sealed=None,
            version=stored.version + 1 if stored else 1,
            scopes=_checked_scopes(scopes) if scopes is not None else (stored.scopes if stored else ()),
            variables=self._variables(provider, variables, stored),
            updated_at=self.clock.now(),
        )
        secret = client_secret or (await open_client_secret(self.envelope, stored) if stored else None)
        self._check_secret(provider, secret)
        if secret is not None:
            sealed = await self.envelope.seal(secret.reveal().encode(), client_place(client))
            client = replace(client, secret_sealed=sealed)
        paused = stored is not None and bool(stored.incident_code)
        await self.store.put(client, self._resumed(client, caller) if paused else None)
        waited_s = policy.PROBE_S + 60 if paused else 0
        hastened = await self.grants.hasten(caller.workspace_id, client.id, within_s=waited_s)
        self.journal.record("client_registered", provider=provider_id, actor=caller.actor, hastened=hastened)
        if paused:
            self.journal.record("client_resumed", provider=provider_id, client=client.id, hastened=hastened)
        return self._view(client, provider)

    def _check_secret(self, provider: Provider, secret: Secret | None) -> None:
        signs = provider.client_auth is ClientAuth.PRIVATE_KEY_JWT
        if secret is None and provider.client_auth is not ClientAuth.NONE:
            what = "the client's private key" if signs else "a client secret"
            raise InvalidInput(fields={"client_secret": f"{provider.name} needs {what}."})
        if secret is not None and signs and not self.wire.signs_with(secret):
            unreadable = "This is not a private key. Paste a PEM block without a passphrase, or a private JWK."
            raise InvalidInput(fields={"client_secret": unreadable})

    def _resumed(self, client: Client, caller: Caller) -> Event:
        """Whoever was told that an incident began is told that it is over. A wrong secret again is a new one."""
        return client_event(client, "client_resumed", actor=caller.actor, by=(self.clock, self.entropy))

    async def get(self, caller: Caller, provider_id: str) -> ClientView:
        """Raises NotFound when none is registered."""
        caller.need(Scope.CREDENTIALS_READ)
        client = await self.store.for_provider(caller.workspace_id, provider_id)
        if client is None:
            raise NotFound()
        return self._view(client, self.catalog.provider(provider_id))

    async def planned_redirect_uri(self, caller: Caller, provider_id: str) -> str:
        """What to paste at the provider, known before anything is registered: providers ask for it first."""
        caller.need(Scope.CREDENTIALS_READ)
        stored = await self.store.for_provider(caller.workspace_id, provider_id)
        handle = stored.id if stored else await self._handle(caller.workspace_id, provider_id)
        return f"{self.public_url}{CALLBACK}{handle}"

    async def list(self, caller: Caller) -> Sequence[ClientView]:
        """Clients whose provider file is gone are left out."""
        caller.need(Scope.CREDENTIALS_READ)
        known = {provider.id: provider for provider in self.catalog.providers()}
        clients = await self.store.list(caller.workspace_id)
        return [self._view(client, known[client.provider]) for client in clients if client.provider in known]

    async def delete(self, caller: Caller, provider_id: str) -> None:
        """Raises NotFound. Grants obtained through it stay, and need the administrator until one is registered again."""
        caller.need(Scope.ADMIN)
        if not await self.store.delete(caller.workspace_id, provider_id):
            raise NotFound()
        self.journal.record("client_removed", provider=provider_id, actor=caller.actor)

    async def registration(self, workspace_id: str, handle: str) -> Registration:
        """A client with its secret opened. Raises ClientMissing, Quarantined, NotFound (provider file gone)."""
        client = await self.reads.client(workspace_id, handle)
        if client is None:
            raise ClientMissing(fix="An administrator registers a client under Settings.")
        return await self._open(client)

    async def for_provider(self, workspace_id: str, provider_id: str) -> Registration:
        """Raises ClientMissing."""
        client = await self.store.for_provider(workspace_id, provider_id)
        if client is None:
            raise ClientMissing(fix="An administrator registers a client under Settings.")
        return await self._open(client)

    async def ensure_demo(self, workspace_id: str, provider_id: str, registry: ClientRegistry) -> None:
        """Register this workspace at the demo provider, and the demo provider here, so that nothing needs typing."""
        client = await self.store.for_provider(workspace_id, provider_id)
        if client is None:
            secret = Secret(self.entropy.token())
            client_id = f"tokenkeep-{self.entropy.id()[:8]}"
            await self.put(system(workspace_id), provider_id, client_id=client_id, client_secret=secret)
        registration = await self.for_provider(workspace_id, provider_id)
        registry.ensure_client(
            registration.client.client_id, registration.secret or Secret(""), redirect_uri=registration.redirect_uri
        )

    async def _open(self, client: Client) -> Registration:
        return Registration(
            client=client,
            provider=self.catalog.provider(client.provider),
            secret=await open_client_secret(self.envelope, client),
            redirect_uri=self.redirect_uri(client),
        )

    def redirect_uri(self, client: Client) -> str:
        """From configuration, never from a request's Host (T34)."""
        return f"{self.public_url}{CALLBACK}{client.id}"

    async def _handle(self, workspace_id: str, provider_id: str) -> str:
        """Opaque, and the same whenever this workspace registers at this provider again."""
        return sha256((await self.envelope.index(f"client/{provider_id}", workspace_id)).encode()).hexdigest()[:32]

    def _view(self, client: Client, provider: Provider) -> ClientView:
        return ClientView(client=client, provider=provider, redirect_uri=self.redirect_uri(client))

    def _oauth_provider(self, provider_id: str) -> Provider:
        provider = self.catalog.provider(provider_id)
        if not provider.authorization_endpoint:
            raise InvalidInput(f"{provider.name} has no types that are authorised in a browser.")
        return provider

    def _variables(
        self, provider: Provider, given: Mapping[str, str] | None, stored: Client | None
    ) -> Mapping[str, str]:
        asked = {variable.name: variable for variable in provider.variables if variable.asked_of == "client"}
        unknown = sorted(set(given or {}) - set(asked))
        if unknown:
            raise InvalidInput(
                fields={f"variables.{name}": f"{provider.name} has no such variable." for name in unknown}
            )
        values = {**(stored.variables if stored else {}), **(given or {})}
        for name, variable in asked.items():
            value = values.get(name) or variable.default
            if not value:
                raise InvalidInput(fields={f"variables.{name}": f"{variable.label} is needed."})
            values[name] = check_variable(variable, value)
        return {name: values[name] for name in asked}


def _checked_client_id(client_id: str) -> str:
    text = client_id.strip()
    if not text or len(text) > 1000 or not text.isprintable():
        raise InvalidInput(fields={"client_id": "The client id is 1 to 1000 printable characters."})
    return text


def _checked_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    for scope in scopes:
        if (
            not scope
            or not scope.isascii()
            or any(character in scope for character in ' "\\')
            or not scope.isprintable()
        ):
            raise InvalidInput(fields={"scopes": "Each scope is one word of visible ASCII (RFC 6749 section 3.3)."})
    return tuple(dict.fromkeys(scopes))
