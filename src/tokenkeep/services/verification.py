"""Proving that a credential works, by one cheap call.

Owns: the test button, and naming the account that a token belongs to. Does not own: the call itself (`TokenEndpoint`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tokenkeep.core import injection
from tokenkeep.core.errors import InvalidInput, NotFound, NotTestable, TokenkeepError
from tokenkeep.core.injection import Injected
from tokenkeep.core.model import Account, Answer, Call, Credential, CredentialType, Event
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.core.secret import Secret
from tokenkeep.core.token_answer import at
from tokenkeep.services.addresses import Addresses
from tokenkeep.services.history import new_event
from tokenkeep.services.ports import Catalog, Clock, CredentialStore, Entropy, Envelope, EventStore, TokenEndpoint
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
        call = self._call_of(type_)
        if call is None:
            raise NotTestable(fix=f"Use it once in a flow: {type_.label} offers no cheap call.")
        verdict = await self._verdict(caller, credential, type_, call=call)
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

    async def _verdict(self, caller: Caller, credential: Credential, type_: CredentialType, *, call: Call) -> Verdict:
        try:
            values = await open_values(self.envelope, credential)
            token = await self._token(caller, credential) if type_.oauth else None
            rule = type_.injection or injection.BEARER
            injected = injection.authorize(rule, values, access_token=token)
            provider = self.catalog.provider(type_.provider)
            variables = await self.addresses.variables(credential, provider, values)
            answer = await self._call(call, variables, injected)
        except TokenkeepError as fault:
            return Verdict(
                ok=False, account=None, checked_at=self.clock.now(), problem=fault.code, detail=fault.message
            )
        problem = _problem(call, answer)
        account = None if problem else _account(call, answer)
        detail = _DETAILS.get(problem, "")
        return Verdict(ok=not problem, account=account, checked_at=self.clock.now(), problem=problem, detail=detail)

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
        return await self.wire.call(call, variables=variables, headers=injected.headers, query=injected.query)

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
