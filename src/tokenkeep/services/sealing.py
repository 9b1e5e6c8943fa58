"""Where each sealed thing belongs, and its form.

Owns: the `Place` of every secret, and opening and sealing token sets, values, client secrets and accounts.
Does not own: cryptography (`Envelope`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from tokenkeep.core import token_document
from tokenkeep.core.model import Account, Client, ConnectSession, Credential, Grant, Place, TokenSet
from tokenkeep.core.secret import Secret
from tokenkeep.core.webhooks import Endpoint
from tokenkeep.services.ports import Envelope


def token_place(grant: Grant) -> Place:
    """Of the token set of this generation."""
    return _of_grant(grant, kind="oauth_token", field="token_set")


def previous_place(grant: Grant) -> Place:
    """Of the refresh token that the generation before this one spent."""
    return _of_grant(grant, kind="prev_refresh", field="refresh_token")


def spill_place(grant: Grant) -> Place:
    """Of a generation that waits outside the database."""
    return _of_grant(grant, kind="spill", field="grant")


def account_place(grant: Grant) -> Place:
    """Of the account's display data: fixed for the whole grant, so it is sealed once."""
    return replace(_of_grant(grant, kind="account", field="account"), version=1)


def values_place(credential: Credential) -> Place:
    """Of a credential's fields."""
    return Place(
        workspace_id=credential.workspace_id,
        kind="api_key",
        record_id=credential.id,
        field="values",
        version=credential.values_version,
    )


def client_place(client: Client) -> Place:
    """Of a client's secret."""
    return Place(
        workspace_id=client.workspace_id,
        kind="client_secret",
        record_id=client.id,
        field="client_secret",
        version=client.version,
    )


def endpoint_place(endpoint: Endpoint, *, previous: bool = False) -> Place:
    """Of the secret that signs what is sent to an endpoint, or of the one before it."""
    return Place(
        workspace_id=endpoint.workspace_id,
        kind="webhook_secret",
        record_id=endpoint.id,
        field="secret",
        version=endpoint.secret_version - previous,
    )


def flow_place(workspace_id: str, record_id: str, field: str) -> Place:
    """Of what an attempt to connect carries: the PKCE verifier, values, a token set that awaits confirmation."""
    return Place(workspace_id=workspace_id, kind="flow", record_id=record_id, field=field)


def _of_grant(grant: Grant, *, kind: str, field: str) -> Place:
    return Place(
        workspace_id=grant.workspace_id,
        kind=kind,
        record_id=grant.credential_id,
        field=field,
        grant_id=grant.grant_id,
        version=grant.version,
    )


async def seal_tokens(envelope: Envelope, grant: Grant, token_set: TokenSet) -> Grant:
    """The grant with `token_set` sealed as its present generation."""
    return replace(grant, sealed=await envelope.seal(token_document.dump(token_set), token_place(grant)))


async def open_tokens(envelope: Envelope, grant: Grant) -> TokenSet:
    """Raises Quarantined."""
    return token_document.load(await envelope.open(grant.sealed, token_place(grant)))


async def seal_values(envelope: Envelope, credential: Credential, values: Mapping[str, Any]) -> Credential:
    """The credential with `values` sealed for its present `values_version`."""
    plain = json.dumps(values, separators=(",", ":")).encode()
    return replace(credential, values_sealed=await envelope.seal(plain, values_place(credential)))


async def open_values(envelope: Envelope, credential: Credential) -> dict[str, Any]:
    """Empty for a type without fields. Raises Quarantined."""
    if credential.values_sealed is None:
        return {}
    values: dict[str, Any] = json.loads(await envelope.open(credential.values_sealed, values_place(credential)))
    return values


async def open_client_secret(envelope: Envelope, client: Client) -> Secret | None:
    """None for a public client. Raises Quarantined."""
    if client.secret_sealed is None:
        return None
    return Secret((await envelope.open(client.secret_sealed, client_place(client))).decode())


async def seal_account(envelope: Envelope, grant: Grant, account: Account) -> Grant:
    """The grant with its account's display data sealed (security 2.9)."""
    plain = json.dumps([account.id, account.name, account.workspace]).encode()
    return replace(grant, account_sealed=await envelope.seal(plain, account_place(grant)))


async def open_account(envelope: Envelope, grant: Grant | None) -> Account | None:
    """None where no account is known. Raises Quarantined."""
    if grant is None or grant.account_sealed is None:
        return None
    id_, name, workspace = json.loads(await envelope.open(grant.account_sealed, account_place(grant)))
    return Account(id=id_, name=name, workspace=workspace)


async def open_session_values(envelope: Envelope, session: ConnectSession) -> dict[str, Any]:
    """The values a connect session was made with."""
    if session.values_sealed is None:
        return {}
    place = flow_place(session.workspace_id, session.id, "values")
    values: dict[str, Any] = json.loads(await envelope.open(session.values_sealed, place))
    return values


async def open_endpoint_secrets(envelope: Envelope, endpoint: Endpoint, now: datetime) -> Sequence[Secret]:
    """What signs now: the secret, and the one before it while it is kept. Raises Quarantined."""
    secrets = [Secret((await envelope.open(endpoint.secret_sealed, endpoint_place(endpoint))).decode())]
    if endpoint.previous_sealed is not None and endpoint.previous_until is not None and endpoint.previous_until > now:
        place = endpoint_place(endpoint, previous=True)
        secrets.append(Secret((await envelope.open(endpoint.previous_sealed, place)).decode()))
    return secrets
