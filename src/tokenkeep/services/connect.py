"""Connecting: from the button to the stored grant.

Owns: begin, complete, confirm: the authorization code flow with its bindings. The state is single use even on error; user,
workspace, client, browser and issuer are checked before the code is exchanged. Does not own: invitations
(`connect_sessions`), what is stored at the end (`granting`).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import Final

from tokenkeep.core import scopes as scope_rules
from tokenkeep.core.errors import (
    ClientMissing,
    ProviderRefused,
    SessionSpent,
    StateInvalid,
    Throttled,
    TokenkeepError,
    Unauthenticated,
)
from tokenkeep.core.injection import expand
from tokenkeep.core.judgement import Granted, judge
from tokenkeep.core.model import (
    AuthorizationRequest,
    ConnectSession,
    Credential,
    CredentialType,
    Grant,
    Place,
    SessionState,
    UserSession,
)
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.services import callback
from tokenkeep.services.accounts import Accounts
from tokenkeep.services.clients import Clients
from tokenkeep.services.connect_sessions import OPEN_STATES, ConnectSessions
from tokenkeep.services.granting import Granting
from tokenkeep.services.invitation import Begun, Invitation, Outcome
from tokenkeep.services.ports import Envelope, Registration, TokenEndpoint
from tokenkeep.services.pushing import Pushing
from tokenkeep.services.sealing import flow_place

REQUEST_LIFE = timedelta(minutes=10)
OPEN_REQUESTS: Final = 20
OPEN_ANONYMOUS_REQUESTS: Final = 1000
"""Attempts under way at once (T72): by one person, and by browsers that only a program knows, per workspace."""
COOKIE_PREFIX: Final = "tokenkeep-connect-"


@dataclass(slots=True, kw_only=True)
class Connect:
    """Use cases of the browser's round."""

    sessions: ConnectSessions
    clients: Clients
    accounts: Accounts
    granting: Granting
    wire: TokenEndpoint
    envelope: Envelope

    async def open(self, secret: str) -> Invitation:
        """What a link stands for. Raises NotFound, UnknownType (its provider file is gone)."""
        session = await self.sessions.by_secret(secret)
        type_ = self.sessions.catalog.type(session.type)
        provider = self.sessions.catalog.provider(type_.provider)
        try:
            registration = await self.clients.for_provider(session.workspace_id, provider.id)
        except ClientMissing:
            registration = None
        names = dict(await self.accounts.store.workspaces())
        credential = await self._reconnected(session)
        grant = credential.grant if credential else None
        scopes = _scopes(session, type_, registration, grant)
        return Invitation(
            session=session,
            type=type_,
            provider=provider,
            workspace_name=names.get(session.workspace_id, ""),
            scopes=scopes,
            further_scopes=scope_rules.missing(scopes, scope_rules.granted(grant)) if grant else (),
            reconnects=credential.name if credential else "",
            ready=registration is not None,
        )

    async def begin(self, secret: str, *, user: UserSession | None, popup: bool) -> Begun:
        """Store the authorization request; answer the provider's address and the cookie that binds this browser.

        Raises NotFound, SessionSpent, ClientMissing, Unauthenticated (a person's link needs a signed-in browser),
        Throttled, ProviderRefused (it did not take the request ahead of the browser).
        """
        session = await self.sessions.by_secret(secret)
        if session.state not in OPEN_STATES:
            raise SessionSpent(f"This link is {session.state.value.replace('_', ' ')}.", fix="Ask for a fresh one.")
        type_ = self.sessions.catalog.type(session.type)
        registration = await self.clients.for_provider(session.workspace_id, type_.provider)
        user_id = await self._bound_user(session, user)
        state, nonce, verifier = (self.sessions.entropy.token(32) for _ in range(3))
        credential = await self._reconnected(session)
        scopes = _scopes(session, type_, registration, credential.grant if credential else None)
        request = await self._request(session, registration, user_id, state=state, nonce=nonce, popup=popup)
        sealed = await self.envelope.seal(verifier.encode(), _verifier_place(request))
        await self.sessions.store.add_request(replace(request, verifier_sealed=sealed, scopes=scopes))
        extra = {**registration.provider.authorize_params, **type_.authorize_params}
        try:
            url = await Pushing(wire=self.wire, clock=self.sessions.clock).address(
                registration, state=state, verifier=verifier, scopes=scopes, extra=extra
            )
        except ProviderRefused as fault:
            await self._note_failure(session, fault)
            raise
        return Begun(url=url, cookie=_cookie(request.state_digest), nonce=nonce)

    async def complete(
        self, client_handle: str, *, query: Mapping[str, str], cookies: Mapping[str, str], user: UserSession | None
    ) -> Outcome:
        """Take the request by its state, check every binding, exchange, judge, store.

        Raises StateInvalid, BrowserMismatch, IssuerMismatch, ConsentDenied, ProviderRefused; each carries `session` and `cookie` where they are known.
        """
        request = await self.sessions.store.take_request(_digest(query.get("state", "")))
        if request is None or request.expires_at <= self.sessions.clock.now():
            raise _known(StateInvalid(fix="Start again from the link or the credential's page."), None, "")
        cookie = _cookie(request.state_digest)
        session = await self.sessions.store.session(request.workspace_id, request.connect_session_id)
        if session is None:
            raise _known(StateInvalid(), None, cookie)
        try:
            callback.check_browser(request, nonce=cookies.get(cookie, ""), user=user)
            callback.check_server(request, client_handle, issuer=query.get("iss", ""))
            if request.user_id and user is not None:
                self.accounts.caller(user).need(Scope.CONNECT)  # rights may have changed meanwhile (T36)
            registration = await self.clients.registration(request.workspace_id, request.client)
            callback.check_consent(query.get("error", ""), registration.provider)
            granted = await self._exchange(request, registration, code=query.get("code", ""))
            granted = callback.kept(granted, query, registration.provider)
            return await self._finish(session, request, registration, granted, cookie=cookie)
        except TokenkeepError as fault:
            failed = await self._note_failure(session, fault)
            raise _known(fault, failed, cookie) from None

    async def confirm(self, caller: Caller, session_id: str, code: str) -> ConnectSession:
        """The program that minted the link says: the browser that came back is my user's (T21, T28).

        Raises NotFound, SessionSpent, StateInvalid (a wrong code; the session then stays open until it expires).
        """
        session = await self.sessions.get(caller, session_id)
        if session.minted_by != caller.actor and Scope.ADMIN not in caller.scopes:
            raise SessionSpent("Only the program that made this link may confirm it.")
        if session.state is not SessionState.AWAITING_CONFIRMATION:
            raise SessionSpent(f"This session is {session.state.value.replace('_', ' ')}, not awaiting a confirmation.")
        if not hmac.compare_digest(_digest(code), session.confirm_digest):
            raise StateInvalid(
                "The confirmation code is wrong.", fix="Send the `code` that came back with the browser."
            )
        return await self.granting.confirm(session)

    async def _bound_user(self, session: ConnectSession, user: UserSession | None) -> str:
        """Whose browser this is, as far as it matters; empty: nobody of this workspace, so a program must confirm."""
        member = user is not None and user.workspace_id == session.workspace_id
        if member and user is not None:
            self.accounts.caller(user).need(Scope.CONNECT)
            if await self.sessions.store.pending_requests(session.workspace_id, user.user_id) >= OPEN_REQUESTS:
                raise Throttled(retry_after=600)
            return user.user_id
        if not session.minted_by.startswith("key/"):
            raise Unauthenticated("Sign in to use this link.")
        if await self.sessions.store.pending_requests(session.workspace_id, "") >= OPEN_ANONYMOUS_REQUESTS:
            raise Throttled(retry_after=600)
        return ""

    async def _request(
        self, session: ConnectSession, registration: Registration, user_id: str, *, state: str, nonce: str, popup: bool
    ) -> AuthorizationRequest:
        now, provider = self.sessions.clock.now(), registration.provider
        variables = {variable.name: variable.default for variable in provider.variables}
        variables |= await self.granting.own_variables(session, provider)
        variables |= dict(registration.client.variables)
        return AuthorizationRequest(
            id=self.sessions.entropy.id(),
            workspace_id=session.workspace_id,
            state_digest=_digest(state),
            browser_digest=_digest(nonce),
            user_id=user_id,
            connect_session_id=session.id,
            credential_id=session.credential_id,
            client=registration.client.id,
            issuer=expand(provider.issuer, variables) if provider.issuer else "",
            token_endpoint=expand(provider.token_endpoint, variables),
            verifier_sealed=b"",
            scopes=(),
            redirect_uri=registration.redirect_uri,
            created_at=now,
            expires_at=now + REQUEST_LIFE,
            popup=popup,
        )

    async def _exchange(self, request: AuthorizationRequest, registration: Registration, *, code: str) -> Granted:
        if not code:
            raise ProviderRefused(f"{registration.provider.name} sent no code.", fix="Try again.")
        verifier = (await self.envelope.open(request.verifier_sealed, _verifier_place(request))).decode()
        requested = self.sessions.clock.now()
        answer = await self.wire.exchange(registration, code=code, verifier=verifier, endpoint=request.token_endpoint)
        judged = judge(answer, registration.provider, now=self.sessions.clock.now(), requested=requested)
        if isinstance(judged, Granted):
            return judged
        name, fix = registration.provider.name, "Try again; if it happens again, ask an administrator."
        if judged.kind == "client":
            fix = f"An administrator checks the client id, secret and redirect address registered at {name}."
        raise ProviderRefused(f"{name} did not issue a token ({judged.code}).", fix=fix)

    async def _finish(
        self,
        session: ConnectSession,
        request: AuthorizationRequest,
        registration: Registration,
        granted: Granted,
        *,
        cookie: str,
    ) -> Outcome:
        consent = await self.granting.consent(session, request, registration, granted)
        lost_scopes = await self.granting.lost_scopes(session, consent)
        if request.user_id:
            moved = await self.granting.connect(session, consent, actor=f"user/{request.user_id}")
            code = ""
        else:
            code = self.sessions.entropy.token(16)
            moved = await self.granting.hold(session, consent, confirm_digest=_digest(code))
        return Outcome(
            session=moved,
            credential_id=moved.credential_id,
            code=code,
            account=consent.account,
            missing_scopes=consent.missing_scopes,
            lost_scopes=lost_scopes,
            cookie=cookie,
        )

    async def _note_failure(self, session: ConnectSession, fault: TokenkeepError) -> ConnectSession:
        failed = replace(
            session,
            state=SessionState.FAILED,
            problem_code=fault.code,
            problem_detail=f"{fault.message} {fault.fix}".strip(),
        )
        await self.sessions.store.move_session(failed, from_states=OPEN_STATES)
        self.sessions.journal.record("connect_failed", type=session.type, code=fault.code)
        return failed

    async def _reconnected(self, session: ConnectSession) -> Credential | None:
        if not session.credential_id:
            return None
        return await self.sessions.credentials.get(session.workspace_id, session.credential_id)


def _scopes(
    session: ConnectSession, type_: CredentialType, registration: Registration | None, grant: Grant | None
) -> tuple[str, ...]:
    """What is asked for: the session's, else what was asked for last, and what is usual today."""
    usual = scope_rules.usual(type_, registration.client.scopes if registration else ())
    return session.scopes or scope_rules.united(grant.scopes_requested if grant else (), usual)


def _known(fault: TokenkeepError, session: ConnectSession | None, cookie: str) -> TokenkeepError:
    """The fault with what the page needs to go on."""
    fault.session, fault.cookie = session, cookie  # type: ignore[attr-defined]
    return fault


def _cookie(state_digest: str) -> str:
    """One cookie per attempt, so that two tabs do not overwrite each other."""
    return f"{COOKIE_PREFIX}{state_digest[:12]}"


def _digest(secret: str) -> str:
    return sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _verifier_place(request: AuthorizationRequest) -> Place:
    return flow_place(request.workspace_id, request.id, "verifier")
