"""From a consent to a stored grant.

Owns: what a consent becomes: a new credential or a reconnected one, at once or after a confirmation. Reconnecting keeps
the credential's id; the newer consent wins over any refresh still under way. Does not own: the round through the provider
(`connect`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tokenkeep.core import horizon, lifecycle, schema, scopes, token_document
from tokenkeep.core.errors import NotFound, Quarantined, SessionSpent
from tokenkeep.core.judgement import Granted
from tokenkeep.core.model import (
    Account,
    AuthorizationRequest,
    ConnectSession,
    Credential,
    Event,
    Grant,
    Provider,
    SessionState,
    Standing,
    State,
    TokenSet,
)
from tokenkeep.services.connect_sessions import OPEN_STATES
from tokenkeep.services.history import new_event
from tokenkeep.services.ports import (
    AuthorizationStore,
    Catalog,
    Clock,
    CredentialStore,
    Entropy,
    Envelope,
    GrantStore,
    Journal,
    Registration,
)
from tokenkeep.services.sealing import (
    flow_place,
    open_account,
    open_session_values,
    seal_account,
    seal_tokens,
    seal_values,
)
from tokenkeep.services.surplus import Leftover, Surplus
from tokenkeep.services.verification import Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """A token set that a user has just agreed to, and whose it is."""

    token_set: TokenSet
    account: Account | None
    client: str
    provider: str
    scopes_requested: tuple[str, ...]

    @property
    def missing_scopes(self) -> tuple[str, ...]:
        """Asked for and not granted. Empty when the provider did not say."""
        return scopes.missing(self.scopes_requested, self.granted_scopes)

    @property
    def granted_scopes(self) -> tuple[str, ...]:
        """Where the provider did not say: as asked."""
        return self.scopes_requested if self.token_set.scope is None else self.token_set.scope


@dataclass(slots=True, kw_only=True)
class Granting:
    """The end of a connection."""

    store: AuthorizationStore
    credentials: CredentialStore
    grants: GrantStore
    verification: Verification
    surplus: Surplus
    catalog: Catalog
    envelope: Envelope
    clock: Clock
    entropy: Entropy
    journal: Journal

    async def own_variables(self, session: ConnectSession, provider: Provider) -> dict[str, str]:
        """Provider variables that this credential brings itself."""
        own = {variable.name for variable in provider.variables if variable.asked_of == "credential"}
        values = await self._values(session) if own else {}
        return {name: str(values[name]) for name in own if values.get(name)}

    async def consent(
        self, session: ConnectSession, request: AuthorizationRequest, registration: Registration, granted: Granted
    ) -> Consent:
        """Names the account: from the answer, else by the provider's call; a failing call loses nothing."""
        provider = registration.provider
        variables = {variable.name: variable.default for variable in provider.variables}
        variables |= await self.own_variables(session, provider) | dict(registration.client.variables)
        type_ = self.catalog.type(session.type)
        account = granted.account or await self.verification.account(type_, variables, granted.token_set.access_token)
        return Consent(
            token_set=granted.token_set,
            account=account,
            client=registration.client.id,
            provider=provider.id,
            scopes_requested=request.scopes,
        )

    async def lost_scopes(self, session: ConnectSession, consent: Consent) -> tuple[str, ...]:
        """What the grant that this consent replaces has, and this consent does not."""
        if not session.credential_id:
            return ()
        before = await self.grants.get(session.workspace_id, session.credential_id)
        return scopes.missing(scopes.granted(before), consent.granted_scopes) if before else ()

    async def connect(self, session: ConnectSession, consent: Consent, *, actor: str) -> ConnectSession:
        """Store the grant, then end the session: a crash between the two loses nothing. Raises NotFound."""
        credential = await self._credential(session, consent, actor)
        await self._grant(credential, consent, actor)
        connected = replace(
            session,
            state=SessionState.CONNECTED,
            credential_id=credential.id,
            pending_sealed=None,
            confirm_digest="",
            problem_code="",
            problem_detail="",
        )
        await self.store.move_session(connected, from_states=tuple(SessionState))
        return connected

    async def hold(self, session: ConnectSession, consent: Consent, *, confirm_digest: str) -> ConnectSession:
        """Keep the consent sealed until the program confirms: nobody can use it before."""
        document = {
            "token_set": token_document.dump(consent.token_set).decode(),
            "account": [consent.account.id, consent.account.name, consent.account.workspace]
            if consent.account
            else None,
            "client": consent.client,
            "provider": consent.provider,
            "scopes": list(consent.scopes_requested),
        }
        place = flow_place(session.workspace_id, session.id, "pending_grant")
        held = replace(
            session,
            state=SessionState.AWAITING_CONFIRMATION,
            confirm_digest=confirm_digest,
            pending_sealed=await self.envelope.seal(json.dumps(document).encode(), place),
        )
        if not await self.store.move_session(held, from_states=OPEN_STATES):
            await self.surplus.beside(_second(session, consent), None)
            raise SessionSpent("This link was used in another tab.")
        self.journal.record("awaiting_confirmation", type=session.type)
        return held

    async def confirm(self, session: ConnectSession) -> ConnectSession:
        """Turn what was held into a grant. Raises SessionSpent, NotFound."""
        if session.pending_sealed is None:
            raise SessionSpent("This session holds nothing to confirm.")
        place = flow_place(session.workspace_id, session.id, "pending_grant")
        document = json.loads(await self.envelope.open(session.pending_sealed, place))
        id_, name, workspace = document["account"] or ("", "", "")
        consent = Consent(
            token_set=token_document.load(document["token_set"].encode()),
            account=Account(id=id_, name=name, workspace=workspace) if document["account"] else None,
            client=document["client"],
            provider=document["provider"],
            scopes_requested=tuple(document["scopes"]),
        )
        return await self.connect(session, consent, actor=session.minted_by)

    async def _credential(self, session: ConnectSession, consent: Consent, actor: str) -> Credential:
        """The one to reconnect, or a new one. A new one takes the session's id, so finishing twice makes one, not two."""
        stored = await self.credentials.get(session.workspace_id, session.credential_id or session.id)
        if stored is not None:
            return stored
        if session.credential_id:
            raise NotFound("The credential was deleted meanwhile.", fix="Connect a new one.")
        type_, now = self.catalog.type(session.type), self.clock.now()
        values = await self._values(session)
        credential = Credential(
            id=session.id,
            workspace_id=session.workspace_id,
            type=type_.name,
            name=session.name or _default_name(type_.label, consent.account),
            version=1,
            values_sealed=None,
            values_version=1,
            masked=schema.masked(type_, values),
            created_at=now,
            updated_at=now,
            created_by=actor,
        )
        if values:
            credential = await seal_values(self.envelope, credential, values)
        await self.credentials.add(credential, self._event(credential, "created", actor))
        return credential

    async def _values(self, session: ConnectSession) -> dict[str, object]:
        """The session's values, or the type's defaults."""
        given = await open_session_values(self.envelope, session)
        return dict(schema.validate(self.catalog.type(session.type), given).values)

    async def _grant(self, credential: Credential, consent: Consent, actor: str) -> None:
        now = self.clock.now()
        grant = Grant(
            workspace_id=credential.workspace_id,
            credential_id=credential.id,
            grant_id=self.entropy.id(),
            client=consent.client,
            provider=consent.provider,
            version=1,
            sealed=b"",
            standing=self._standing(credential, consent),
            connected_at=now,
            scopes_requested=consent.scopes_requested,
            scopes_granted=consent.token_set.scope,
        )
        grant = await seal_tokens(self.envelope, grant, consent.token_set)
        if consent.account is not None:
            grant = await seal_account(self.envelope, grant, consent.account)
        kind = "reconnected" if credential.grant is not None else "connected"
        detail = {**await self._switched(credential, consent), **_changed(credential, consent)}
        await self.grants.connect(grant, self._event(credential, kind, actor, detail))
        self.journal.record(kind, provider=consent.provider, credential=credential.id, actor=actor)
        if credential.grant is not None:
            self.surplus.replaced(credential.grant, consent.token_set)

    def _standing(self, credential: Credential, consent: Consent) -> Standing:
        before, now = credential.grant, self.clock.now()
        same = before is not None and before.provider == consent.provider
        obtained = horizon.after_consent(
            self.catalog.provider(consent.provider),
            consent.token_set,
            credential_id=credential.id,
            now=now,
            learned_life_s=before.standing.learned_life_s if before is not None and same else None,
        )
        return lifecycle.connected(obtained, now=now)

    async def _switched(self, credential: Credential, consent: Consent) -> Mapping[str, object]:
        """Whether another account was connected in place of the one before (T35)."""
        if credential.grant is None or credential.grant.standing.state is State.QUARANTINED:
            return {}
        try:
            before = await open_account(self.envelope, credential.grant)
        except Quarantined:
            return {}
        switched = before is not None and consent.account is not None and before.id != consent.account.id
        return {"account_switched": True} if switched else {}

    def _event(
        self, credential: Credential, kind: str, actor: str, detail: Mapping[str, object] | None = None
    ) -> Event:
        return new_event(credential, kind, actor=actor, by=(self.clock, self.entropy), detail=detail)


def _changed(credential: Credential, consent: Consent) -> Mapping[str, object]:
    """What the new consent may do more and less. The provider's word stands: it has replaced the consent already."""
    before = credential.grant
    return scopes.change(scopes.granted(before), consent.granted_scopes) if before is not None else {}


def _second(session: ConnectSession, consent: Consent) -> Leftover:
    """What came of a tab that was overtaken by another one."""
    return Leftover(
        workspace_id=session.workspace_id,
        credential_id=session.credential_id,
        client=consent.client,
        token_set=consent.token_set,
        why="second_tab",
    )


def _default_name(label: str, account: Account | None) -> str:
    whose = (account.name or account.workspace) if account else ""
    return f"{label} ({whose})"[:200] if whose else label
