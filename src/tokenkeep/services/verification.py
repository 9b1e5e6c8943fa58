"""Proving that a credential works, by one cheap call or by signing in at its database.

Owns: the test button, and naming the account that a token belongs to. Does not own: the call itself (`TokenEndpoint`),
signing in (`DatabaseProbe`).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tokenkeep.core import injection, probing
from tokenkeep.core.errors import InvalidInput, NotFound, NotTestable, TokenkeepError
from tokenkeep.core.injection import Injected
from tokenkeep.core.model import Account, Answer, Call, Credential, CredentialType, Event, Probe
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.core.probing import NoTarget, Probed
from tokenkeep.core.secret import Secret
from tokenkeep.core.token_answer import at
from tokenkeep.services.addresses import Addresses
from tokenkeep.services.history import new_event
from tokenkeep.services.ports import (
    Catalog,
    Clock,
    CredentialStore,
    DatabaseProbe,
    Entropy,
    Envelope,
    EventStore,
    TokenEndpoint,
)
from tokenkeep.services.sealing import open_values
from tokenkeep.services.tokens import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a test found. `problem` is empty when all is well."""

    ok: bool
    account: Account | None
    checked_at: datetime
    problem: str = ""
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class Verification:
    """Use case `test`, and `account` for those that have just connected."""

    store: CredentialStore
    events: EventStore
    tokens: Tokens
    catalog: Catalog
    envelope: Envelope
    addresses: Addresses
    wire: TokenEndpoint
    databases: DatabaseProbe
    clock: Clock
    entropy: Entropy

    async def test(self, caller: Caller, credential_id: str) -> Verdict:
        """Raises NotFound, NotTestable. What the provider says against the credential is in the verdict."""
        caller.need(Scope.CREDENTIALS_READ)
        caller.reach(credential_id)
        credential = await self.store.get(caller.workspace_id, credential_id)
        if credential is None:
            raise NotFound()
        type_ = self.catalog.type(credential.type)
        if type_.probe is not None:
            verdict = await self._verdict(self._signed_in(credential, type_.probe))
        elif (call := self._call_of(type_)) is not None:
            verdict = await self._verdict(self._called(caller, credential, type_, call=call))
        else:
            raise NotTestable(fix=f"Use it once in a flow: {type_.label} offers no cheap call.")
        await self.events.add(self._event(credential, caller, verdict))
        return verdict

    async def account(
        self, type_: CredentialType, variables: Mapping[str, str], access_token: Secret
    ) -> Account | None:
        """Whose token this is. None when the service offers no call for it, or did not answer it."""
        call = self._call_of(type_)
        if call is None:
            return None
        try:
            injected = injection.authorize(type_.injection or injection.BEARER, {}, access_token=access_token)
        except InvalidInput:
            return None  # the call needs more than the token: a name is not worth a consent
        answer = await self._call(call, variables, injected)
        return _account(call, answer) if _problem(call, answer) == "" else None

    def _call_of(self, type_: CredentialType) -> Call | None:
        """The type's own call; else, for what is authorised in a browser, the one that names the account."""
        return type_.test or (self.catalog.provider(type_.provider).account if type_.oauth else None)

    async def _verdict(self, attempt: Awaitable[Verdict]) -> Verdict:
        try:
            return await attempt
        except TokenkeepError as fault:
            return self._found(fault.code, fault.message)

    async def _called(self, caller: Caller, credential: Credential, type_: CredentialType, *, call: Call) -> Verdict:
        values = await open_values(self.envelope, credential)
        token = await self._token(caller, credential) if type_.issues_tokens else None
        injected = injection.authorize(type_.injection or injection.BEARER, values, access_token=token)
        provider = self.catalog.provider(type_.provider)
        variables = await self.addresses.variables(credential, provider, values)
        answer = await self._call(call, variables, injected)
        problem = _problem(call, answer)
        return self._found(problem, _DETAILS.get(problem, ""), None if problem else _account(call, answer))

    async def _signed_in(self, credential: Credential, probe: Probe) -> Verdict:
        try:
            target = probing.target(probe, await open_values(self.envelope, credential))
        except NoTarget as none:
            found = none.why
        else:
            found = await self.databases.probe(target)
        return self._found(found, _DATABASE_DETAILS.get(found, ""))

    def _found(self, problem: str, detail: str, account: Account | None = None) -> Verdict:
        now = self.clock.now()
        return Verdict(ok=not problem, account=account, checked_at=now, problem=str(problem), detail=detail)

    async def _token(self, caller: Caller, credential: Credential) -> Secret:
        # A person who may look at a credential may have it tested, without being handed its token.
        tester = Caller(
            workspace_id=caller.workspace_id,
            kind=caller.kind,
            id=caller.id,
            name=caller.name,
            scopes=frozenset({Scope.TOKENS_READ}),
        )
        return (await self.tokens.token(tester, credential.id)).access_token

    async def _call(self, call: Call, variables: Mapping[str, str], injected: Injected) -> Answer:
        sent = injection.carried(call, injected)
        return await self.wire.call(sent, variables=variables, headers=injected.headers, query=injected.query)

    def _event(self, credential: Credential, caller: Caller, verdict: Verdict) -> Event:
        detail = {"ok": verdict.ok, **({"code": verdict.problem} if verdict.problem else {})}
        return new_event(credential, "tested", actor=caller.actor, by=(self.clock, self.entropy), detail=detail)


_DETAILS = {
    "wrong_credential": "The service does not accept this credential.",
    "missing_permission": "The service knows the credential but does not let it make this call.",
    "rate_limited": "The service asks for a pause; try again later.",
    "unreachable": "The service could not be reached or did not answer properly.",
    "outbound_refused": "The address is not one this service may call.",
    "incomplete": "The address of the test call needs a value that this credential leaves open.",
}


_DATABASE_DETAILS = {
    Probed.WRONG_CREDENTIAL: "The database does not accept this user and password.",
    Probed.MISSING_PERMISSION: "The database knows the user, but does not let it in from here or into this database.",
    Probed.MISSING_DATABASE: "The user and password are good, but there is no database of this name.",
    Probed.RATE_LIMITED: "The database takes no more connections; try again later.",
    Probed.UNREACHABLE: "The database could not be reached or did not answer properly.",
    Probed.OUTBOUND_REFUSED: (
        "The host is not one this service may call. An administrator can let it through: TOKENKEEP_OUTBOUND_ALLOW."
    ),
    Probed.NO_TLS: (
        "Without TLS no password is sent over the internet, and here it is switched off or not offered. Switch it on, "
        "or have an administrator let the host through: TOKENKEEP_OUTBOUND_ALLOW."
    ),
    Probed.UNTRUSTED_CERTIFICATE: (
        "The database's certificate is not for this host, or not from an authority known here. An administrator can "
        "name that authority: TOKENKEEP_CA_FILE."
    ),
    Probed.INCOMPLETE: "Signing in needs a host, a user and a password, and this credential leaves one of them to the node.",
    Probed.UNSUPPORTED: (
        "An address or a way of signing in like this cannot be tried here: it must name one host, with a user and "
        "password at most. It may still work in a node."
    ),
    Probed.DRIVER_MISSING: (
        "No driver for this database is installed here. Whoever runs the service installs it with: "
        "pip install 'tokenkeep[databases]'"
    ),
}


def _problem(call: Call, answer: Answer) -> str:
    if answer.status == 0:
        return {"refused": "outbound_refused", "misconfigured": "incomplete"}.get(answer.fault, "unreachable")
    if answer.status == 401:
        return "wrong_credential"
    if answer.status in {402, 403}:
        return "missing_permission"
    if answer.status == 429:
        return "rate_limited"
    if not 200 <= answer.status < 300:
        return "wrong_credential" if 400 <= answer.status < 500 else "unreachable"
    return "" if not call.ok or at(_document(answer), call.ok) is True else "wrong_credential"


def _account(call: Call, answer: Answer) -> Account | None:
    document = _document(answer)
    account = Account(
        id=_first(document, call.account_id),
        name=_first(document, call.account_name),
        workspace=_first(document, call.account_workspace),
    )
    return account if account != Account() else None


def _first(document: Any, paths: tuple[str, ...]) -> str:
    for path in paths:
        found = at(document, path)
        if isinstance(found, str | int) and not isinstance(found, bool) and str(found):
            return "".join(character for character in str(found)[:200] if character.isprintable())
    return ""


def _document(answer: Answer) -> Any:
    try:
        return json.loads(answer.body.reveal())
    except (ValueError, RecursionError):
        return None
