"""Credentials as people keep them: create, edit, disconnect, delete, what uses them.

Owns: use cases over a credential and the view people get of it. Does not own: connecting (`connect`), handing out
(`tokens`), proving that one works (`verification`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tokenkeep.core import schema, scopes
from tokenkeep.core.errors import InUse, InvalidInput, NotFound, Quarantined, TokenkeepError, VersionMismatch
from tokenkeep.core.model import Account, Credential, CredentialType, Event, Grant, Provider, Reference, State
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.services.clients import Clients
from tokenkeep.services.fitting import known
from tokenkeep.services.history import new_event
from tokenkeep.services.minting import Minting
from tokenkeep.services.ports import (
    Catalog,
    Clock,
    CredentialFilter,
    CredentialStore,
    Entropy,
    Envelope,
    EventStore,
    GrantStore,
    Journal,
    Page,
    ReferenceStore,
)
from tokenkeep.services.sealing import open_account, open_values, seal_values
from tokenkeep.services.surplus import Removal, Surplus

NAME_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialView:
    """A credential as people see it: no secret in it."""

    credential: Credential
    type: CredentialType
    provider: Provider
    state: State
    account: Account | None
    warnings: tuple[str, ...] = ()
    unasked_scopes: tuple[str, ...] = ()  # asked for today by type or client, and not when it was connected

    @property
    def missing_scopes(self) -> tuple[str, ...]:
        """Asked for and not granted. Empty when the provider did not say."""
        return scopes.missing_of(self.credential.grant)

    @property
    def extra_scopes(self) -> tuple[str, ...]:
        """Granted and not asked for."""
        return scopes.extra_of(self.credential.grant)


@dataclass(slots=True, kw_only=True)
class Credentials:
    """Use cases over `CredentialStore`."""

    store: CredentialStore
    grants: GrantStore
    references_store: ReferenceStore
    events: EventStore
    clients: Clients
    minting: Minting
    catalog: Catalog
    envelope: Envelope
    surplus: Surplus
    clock: Clock
    entropy: Entropy
    journal: Journal

    async def create(
        self,
        caller: Caller,
        *,
        type: str,
        name: str,
        values: Mapping[str, Any],
    ) -> CredentialView:
        """Raises UnknownType, InvalidInput."""
        caller.need(Scope.CREDENTIALS_WRITE)
        if caller.credential_ids is not None:
            raise NotFound("A key limited to named credentials cannot create others.")
        type_ = self.catalog.type(type)
        name = checked_name(name)
        validated = schema.validate(type_, values)
        now = self.clock.now()
        credential = Credential(
            id=self.entropy.id(),
            workspace_id=caller.workspace_id,
            type=type_.name,
            name=name,
            version=1,
            values_sealed=None,
            values_version=1,
            masked=validated.masked,
            created_at=now,
            updated_at=now,
            created_by=caller.actor,
        )
        if validated.values:
            credential = await seal_values(self.envelope, credential, validated.values)
        await self.store.add(credential, self._event(credential, "created", caller))
        self.journal.record("credential_created", type=type_.name, credential=credential.id, actor=caller.actor)
        if type_.mint is not None:
            credential = await self.minting.begin(credential, actor=caller.actor)
        return await self._view(credential, warnings=validated.warnings)

    async def get(self, caller: Caller, credential_id: str) -> CredentialView:
        """Raises NotFound."""
        caller.need(Scope.CREDENTIALS_READ)
        return await self._view(await self._stored(caller, credential_id))

    async def list(self, caller: Caller, wanted: CredentialFilter) -> Page[CredentialView]:
        """Without accounts: a list opens nothing that is sealed. Raises InvalidInput for a state that does not exist."""
        caller.need(Scope.CREDENTIALS_READ)
        if wanted.state and wanted.state not in set(State):
            raise InvalidInput(fields={"state": f"One of {', '.join(State)}."})
        page = await self.store.list(caller.workspace_id, self._narrowed(caller, wanted))
        usual = await self._client_scopes(caller.workspace_id)
        views = [self._seen(credential, usual, account=None) for credential in page.items]
        return Page(items=views, next_cursor=page.next_cursor)

    async def edit(
        self,
        caller: Caller,
        credential_id: str,
        *,
        name: str | None = None,
        values: Mapping[str, Any] | None = None,
        expected_version: int | None = None,
    ) -> CredentialView:
        """What is not sent stays; a mask sent back means unchanged. Raises NotFound, InvalidInput, VersionMismatch."""
        caller.need(Scope.CREDENTIALS_WRITE)
        stored = await self._stored(caller, credential_id)
        if expected_version is not None and expected_version != stored.version:
            raise VersionMismatch(fix="Read it again and send your change with the new ETag.")
        changed = replace(stored, version=stored.version + 1, updated_at=self.clock.now())
        if name is not None:
            changed = replace(changed, name=checked_name(name))
        warnings: Mapping[str, str] = {}
        if values is not None:
            changed, warnings = await self._with_values(changed, values)
        event = self._event(changed, "edited", caller)
        if not await self.store.update(changed, expected_version=stored.version, event=event):
            raise VersionMismatch(fix="Read it again and send your change with the new ETag.")
        self.journal.record("credential_edited", credential=credential_id, actor=caller.actor)
        if values is not None and self.catalog.type(changed.type).mint is not None:
            changed = await self.minting.begin(changed, actor=caller.actor)
        return await self._view(changed, warnings=warnings)

    async def _with_values(
        self, credential: Credential, values: Mapping[str, Any]
    ) -> tuple[Credential, Mapping[str, str]]:
        type_ = self.catalog.type(credential.type)
        stored = await open_values(self.envelope, credential)
        validated = schema.validate(type_, values, stored=stored)
        raised = replace(credential, values_version=credential.values_version + 1, masked=validated.masked)
        return await seal_values(self.envelope, raised, validated.values), validated.warnings

    async def disconnect(self, caller: Caller, credential_id: str) -> tuple[CredentialView, Removal]:
        """Forget the grant, then revoke it; the credential stays. Forgetting does not depend on the provider's mood.

        Raises NotFound.
        """
        caller.need(Scope.CREDENTIALS_WRITE)
        credential = await self._stored(caller, credential_id)
        event = self._event(credential, "disconnected", caller)
        grant = await self.grants.disconnect(caller.workspace_id, credential_id, event)
        removal = await self._revoke(grant, why="disconnected")
        self.journal.record("disconnected", credential=credential_id, actor=caller.actor, revoked=removal.revoked)
        return await self._view(replace(credential, grant=None)), removal

    async def delete(self, caller: Caller, credential_id: str, *, force: bool) -> Removal:
        """Raises NotFound, InUse."""
        caller.need(Scope.CREDENTIALS_WRITE)
        credential = await self._stored(caller, credential_id)
        if not force:
            references = await self.references_store.list(caller.workspace_id, credential_id)
            if references:
                raise InUse([reference.consumer for reference in references])
        # The grant first, as it is now: a refresh under way then finds it gone and revokes what it obtained.
        event = self._event(credential, "disconnected", caller)
        grant = await self.grants.disconnect(caller.workspace_id, credential_id, event)
        if not await self.store.delete(caller.workspace_id, credential_id):
            raise NotFound()
        removal = await self._revoke(grant, why="deleted")
        self.journal.record("credential_deleted", credential=credential_id, actor=caller.actor, revoked=removal.revoked)
        return removal

    async def history(self, caller: Caller, credential_id: str, *, limit: int, cursor: str) -> Page[Event]:
        """Newest first. Raises NotFound."""
        caller.need(Scope.CREDENTIALS_READ)
        await self._stored(caller, credential_id)
        return await self.events.list(caller.workspace_id, credential_id, limit=limit, cursor=cursor)

    async def references(self, caller: Caller, credential_id: str) -> Sequence[Reference]:
        """Raises NotFound."""
        caller.need(Scope.CREDENTIALS_READ)
        await self._stored(caller, credential_id)
        return await self.references_store.list(caller.workspace_id, credential_id)

    async def declare_reference(self, caller: Caller, credential_id: str, consumer: str) -> None:
        """Raises NotFound."""
        caller.need(Scope.CREDENTIALS_WRITE)
        await self._stored(caller, credential_id)
        await self.references_store.declare(caller.workspace_id, credential_id, consumer, self.clock.now())

    async def remove_reference(self, caller: Caller, credential_id: str, consumer: str) -> None:
        """Raises NotFound, also when there is no such reference."""
        caller.need(Scope.CREDENTIALS_WRITE)
        await self._stored(caller, credential_id)
        if not await self.references_store.remove(caller.workspace_id, credential_id, consumer):
            raise NotFound()

    async def _stored(self, caller: Caller, credential_id: str) -> Credential:
        caller.reach(credential_id)
        credential = await self.store.get(caller.workspace_id, credential_id)
        if credential is None:
            raise NotFound()
        return credential

    async def _view(self, credential: Credential, *, warnings: Mapping[str, str] | None = None) -> CredentialView:
        try:
            account = await open_account(self.envelope, credential.grant)
        except Quarantined:
            account = None
        usual = await self._client_scopes(credential.workspace_id)
        return self._seen(credential, usual, account=account, warnings=warnings)

    async def _client_scopes(self, workspace_id: str) -> Mapping[str, tuple[str, ...]]:
        """Provider -> what its client asks for in place of its types' scopes."""
        return {client.provider: client.scopes for client in await self.clients.store.list(workspace_id)}

    def _seen(
        self,
        credential: Credential,
        client_scopes: Mapping[str, tuple[str, ...]],
        *,
        account: Account | None,
        warnings: Mapping[str, str] | None = None,
    ) -> CredentialView:
        try:
            type_ = self.catalog.type(credential.type)
            provider = self.catalog.provider(type_.provider)
        except TokenkeepError:
            type_, provider = _unknown_type(credential.type)
        return CredentialView(
            credential=credential,
            type=type_,
            provider=provider,
            state=credential.state(issues_tokens=type_.issues_tokens),
            account=account,
            warnings=tuple(f"{field}: {text}" for field, text in (warnings or {}).items()),
            unasked_scopes=scopes.unasked(credential.grant, scopes.usual(type_, client_scopes.get(type_.provider, ()))),
        )

    def _narrowed(self, caller: Caller, wanted: CredentialFilter) -> CredentialFilter:
        """The filter in the store's terms: its own names for types, the caller's limit, and which types have no grant."""
        types = known(self.catalog, wanted.types)
        if wanted.state in {State.STORED, State.UNCONNECTED}:
            unconnected = wanted.state == State.UNCONNECTED
            fitting = [type_.name for type_ in self.catalog.types() if type_.issues_tokens is unconnected]
            types = tuple(name for name in fitting if not types or name in types) or ("",)
        return replace(wanted, types=types, ids=caller.credential_ids)

    async def _revoke(self, grant: Grant | None, *, why: str) -> Removal:
        if grant is None:
            return Removal(revoked=None, detail="Nothing was connected.")
        return await self.surplus.forgotten(grant, why=why)

    def _event(self, credential: Credential, kind: str, caller: Caller) -> Event:
        return new_event(credential, kind, actor=caller.actor, by=(self.clock, self.entropy))


def checked_name(name: str) -> str:
    """A credential's name without surrounding blanks. Raises InvalidInput."""
    text = name.strip()
    if not text or len(text) > NAME_LENGTH or not text.isprintable():
        raise InvalidInput(fields={"name": f"A name of 1 to {NAME_LENGTH} printable characters."})
    return text


def _unknown_type(name: str) -> tuple[CredentialType, Provider]:
    """What is shown of a credential whose provider file was taken away: it stays, and can be deleted."""
    return CredentialType(name=name, label=name, provider=""), Provider(id="", name="Unknown provider")
