"""Connect sessions: invitations to connect one credential.

Owns: making, showing and moving sessions. Does not own: the round through the provider (`connect`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from tokenkeep.core import schema
from tokenkeep.core import scopes as scope_rules
from tokenkeep.core.errors import InvalidInput, NotFound
from tokenkeep.core.model import ConnectSession, Credential, CredentialType, SessionState
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.services.credentials import checked_name
from tokenkeep.services.ports import AuthorizationStore, Catalog, Clock, CredentialStore, Entropy, Envelope, Journal
from tokenkeep.services.sealing import flow_place

SESSION_LIFE = timedelta(minutes=30)
OPEN_STATES = (SessionState.PENDING, SessionState.FAILED)
"""From these a browser may (again) set out for the provider: denying or failing once is no reason to start over."""


@dataclass(slots=True, kw_only=True)
class ConnectSessions:
    """Use cases over the sessions in `AuthorizationStore`."""

    store: AuthorizationStore
    credentials: CredentialStore
    catalog: Catalog
    envelope: Envelope
    clock: Clock
    entropy: Entropy
    journal: Journal
    public_url: str
    return_origins: frozenset[str]
    allow_loopback_return: bool = False  # demo mode: a script on this machine may be returned to

    async def create(  # noqa: PLR0913 - the members of the request (api.md), each of them optional
        self,
        caller: Caller,
        *,
        type: str = "",
        name: str = "",
        credential_id: str = "",
        scopes: Sequence[str] = (),
        more_scopes: Sequence[str] = (),
        values: Mapping[str, Any] | None = None,
        return_url: str = "",
        opener_origin: str = "",
    ) -> tuple[ConnectSession, str]:
        """The session and the address to open in the user's browser.

        `scopes`: exactly these are asked for. `more_scopes`: these beside what the credential has.

        Raises InvalidInput, UnknownType, NotFound (no such credential).
        """
        caller.need(Scope.CONNECT)
        credential = await self._reconnected(caller, credential_id)
        type_ = self._oauth_type(type, credential)
        wanted = self._wanted_scopes(type_, credential, scopes, more_scopes)
        self._check_return(return_url, opener_origin)
        now, secret, id_ = self.clock.now(), self.entropy.token(), self.entropy.id()
        session = ConnectSession(
            id=id_,
            workspace_id=caller.workspace_id,
            secret_digest=_digest(secret),
            type=type_.name,
            name=checked_name(name) if name else "",
            credential_id=credential_id,
            scopes=wanted,
            values_sealed=await self._sealed_values(caller.workspace_id, id_, type_, values, credential),
            return_url=return_url,
            opener_origin=opener_origin,
            minted_by=caller.actor,
            state=SessionState.PENDING,
            problem_code="",
            problem_detail="",
            created_at=now,
            expires_at=now + SESSION_LIFE,
        )
        await self.store.add_session(session)
        self.journal.record("connect_session_created", type=type_.name, actor=caller.actor)
        return session, f"{self.public_url}/connect/{secret}"

    async def get(self, caller: Caller, session_id: str) -> ConnectSession:
        """With `expired` where its time is over. Raises NotFound."""
        caller.need(Scope.CONNECT)
        session = await self.store.session(caller.workspace_id, session_id)
        if session is None or (
            caller.credential_ids is not None and session.credential_id not in caller.credential_ids
        ):
            raise NotFound()
        return self.aged(session)

    async def by_secret(self, secret: str) -> ConnectSession:
        """The session a link stands for; looking consumes nothing (T37). Raises NotFound."""
        session = await self.store.session_by_secret(_digest(secret))
        if session is None:
            raise NotFound("This link is unknown or has been tidied away.", fix="Ask for a fresh one.")
        return self.aged(session)

    def aged(self, session: ConnectSession) -> ConnectSession:
        """The session as it stands now: one that was never finished expires."""
        over = session.expires_at <= self.clock.now() and session.state is not SessionState.CONNECTED
        return replace(session, state=SessionState.EXPIRED) if over else session

    async def _reconnected(self, caller: Caller, credential_id: str) -> Credential | None:
        if not credential_id:
            if caller.credential_ids is not None:
                raise NotFound("A key limited to named credentials cannot connect others.")
            return None
        caller.reach(credential_id)
        credential = await self.credentials.get(caller.workspace_id, credential_id)
        if credential is None:
            raise NotFound()
        return credential

    def _oauth_type(self, name: str, credential: Credential | None) -> CredentialType:
        if not name and credential is None:
            raise InvalidInput(fields={"type": "The name of a credential type, or a credential_id to reconnect."})
        type_ = self.catalog.type(name or (credential.type if credential else ""))
        if credential is not None and type_.name != credential.type:
            raise InvalidInput(fields={"type": f"The credential is of type {credential.type}; leave `type` out."})
        if not type_.oauth:
            raise InvalidInput(
                fields={"type": f"{type_.label} is not authorised in a browser."},
                fix="Create it with POST /v1/credentials.",
            )
        return type_

    def _wanted_scopes(
        self, type_: CredentialType, credential: Credential | None, exactly: Sequence[str], more: Sequence[str]
    ) -> tuple[str, ...]:
        """What the session asks for. Empty: what is usual."""
        field = "more_scopes" if more else "scopes"
        if exactly and more:
            raise InvalidInput(
                fields={field: "Send `scopes` (exactly these) or `more_scopes` (these as well), not both."}
            )
        checked = scope_rules.checked(more or exactly, field=field)
        provider = self.catalog.provider(type_.provider)
        if checked and "no_scopes" in provider.quirks:
            raise InvalidInput(fields={field: f"{provider.name} has no scopes; leave this out."})
        if not more:
            return checked
        if credential is None:
            raise InvalidInput(fields={field: "Only with `credential_id`; a new credential is asked for by `scopes`."})
        if credential.grant is None:
            raise InvalidInput(
                fields={field: "The credential is not connected, so it has no scopes yet; send `scopes`."}
            )
        return scope_rules.united(scope_rules.kept(credential.grant), checked)

    def _check_return(self, return_url: str, opener_origin: str) -> None:
        """Only exact origins from configuration, or this service itself (T29, T30)."""
        wrong = {}
        if return_url and (
            any(ord(c) < 33 or c == "\\" for c in return_url) or not self._allowed(origin_of(return_url))
        ):
            wrong["return_url"] = "Its origin must be listed in TOKENKEEP_RETURN_ORIGINS."
        if opener_origin and (origin_of(opener_origin) != opener_origin or not self._allowed(opener_origin)):
            wrong["opener_origin"] = "An exact origin that is listed in TOKENKEEP_RETURN_ORIGINS."
        if wrong:
            raise InvalidInput(fields=wrong)

    def _allowed(self, origin: str) -> bool:
        if not origin:
            return False
        loopback = urlsplit(origin).hostname in {"127.0.0.1", "localhost", "::1"}
        return origin == self.public_url or origin in self.return_origins or (self.allow_loopback_return and loopback)

    async def _sealed_values(
        self,
        workspace_id: str,
        session_id: str,
        type_: CredentialType,
        values: Mapping[str, Any] | None,
        credential: Credential | None,
    ) -> bytes | None:
        if not values:
            if credential is None:
                schema.validate(type_, {})  # a required field is missed now, not after the consent
            return None
        if credential is not None:
            raise InvalidInput(
                fields={"values": "Change a stored credential's values with PATCH /v1/credentials/{id}."}
            )
        plain = json.dumps(dict(schema.validate(type_, values).values)).encode()
        return await self.envelope.seal(plain, flow_place(workspace_id, session_id, "values"))


def origin_of(address: str) -> str:
    """The origin of an http(s) address as browsers write it; empty when it has none, or carries a user."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in {None, default} else "")


def _digest(secret: str) -> str:
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()
