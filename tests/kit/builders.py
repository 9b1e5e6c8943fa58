"""Builders: every noun with defaults, so that a test names only what it is about."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.kit.clock import NOON
from tokenkeep.core.model import (
    Account,
    Answer,
    AuthorizationRequest,
    Client,
    ConnectSession,
    Credential,
    CredentialType,
    DataKey,
    Event,
    Failure,
    FailureKind,
    Field,
    FieldKind,
    Grant,
    Injection,
    Place,
    Provider,
    Reference,
    ServiceKey,
    SessionState,
    Standing,
    State,
    TokenSet,
    User,
    UserSession,
)
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.core.secret import Secret

WORKSPACE = "workspace-1"
OTHER_WORKSPACE = "workspace-2"
HOUR = timedelta(hours=1)


def field(**changes: Any) -> Field:
    return Field(**{"name": "token", "label": "Token"} | changes)


def provider(**changes: Any) -> Provider:
    """An OAuth provider with every endpoint, at acme.example."""
    defaults = {
        "id": "acme",
        "name": "Acme",
        "authorization_endpoint": "https://acme.example/authorize",
        "token_endpoint": "https://acme.example/token",
        "revocation_endpoint": "https://acme.example/revoke",
        "hosts": frozenset({"acme.example", "api.acme.example"}),
        "base_url": "https://api.acme.example",
    }
    return Provider(**defaults | changes)


def credential_type(**changes: Any) -> CredentialType:
    """An OAuth type of `provider()`."""
    defaults = {
        "name": "acmeOAuth2",
        "label": "Acme",
        "provider": "acme",
        "oauth": True,
        "scopes": ("read",),
        "injection": Injection(headers={"Authorization": "Bearer {access_token}"}),
    }
    return CredentialType(**defaults | changes)


def static_type(**changes: Any) -> CredentialType:
    """A type with one secret field and no browser."""
    defaults = {
        "name": "acmeApi",
        "label": "Acme API key",
        "provider": "acme",
        "fields": (field(name="apiKey", label="API key", kind=FieldKind.SECRET, secret=True),),
        "injection": Injection(headers={"X-Api-Key": "{apiKey}"}),
    }
    return CredentialType(**defaults | changes)


def place(**changes: Any) -> Place:
    defaults = {"workspace_id": WORKSPACE, "kind": "values", "record_id": "credential-1", "field": "values"}
    return Place(**defaults | changes)


def client(**changes: Any) -> Client:
    defaults = {
        "id": "client-1",
        "workspace_id": WORKSPACE,
        "provider": "acme",
        "client_id": "acme-client-id",
        "secret_sealed": b"sealed client secret",
        "version": 1,
        "updated_at": NOON,
    }
    return Client(**defaults | changes)


def failure(**changes: Any) -> Failure:
    defaults = {"kind": FailureKind.TRANSIENT, "code": "no_answer", "count": 1, "since": NOON}
    return Failure(**defaults | changes)


def standing(**changes: Any) -> Standing:
    """Connected, with an hour to live and fifty-five minutes to the next refresh."""
    defaults = {
        "state": State.CONNECTED,
        "expires_at": NOON + HOUR,
        "refresh_expires_at": None,
        "next_refresh_at": NOON + timedelta(minutes=55),
    }
    return Standing(**defaults | changes)


def account(**changes: Any) -> Account:
    return Account(**{"id": "account-1", "name": "ada@acme.example"} | changes)


def token_set(**changes: Any) -> TokenSet:
    defaults = {
        "access_token": Secret("access-1"),
        "refresh_token": Secret("refresh-1"),
        "scope": ("read",),
        "expires_at": NOON + HOUR,
    }
    return TokenSet(**defaults | changes)


def grant(**changes: Any) -> Grant:
    defaults = {
        "workspace_id": WORKSPACE,
        "credential_id": "credential-1",
        "grant_id": "grant-1",
        "client": "client-1",
        "provider": "acme",
        "version": 1,
        "sealed": b"sealed token set",
        "standing": standing(),
        "connected_at": NOON,
        "scopes_requested": ("read",),
        "scopes_granted": ("read",),
    }
    return Grant(**defaults | changes)


def credential(**changes: Any) -> Credential:
    """An OAuth credential without a grant."""
    defaults = {
        "id": "credential-1",
        "workspace_id": WORKSPACE,
        "type": "acmeOAuth2",
        "name": "My Acme",
        "version": 1,
        "values_sealed": None,
        "values_version": 1,
        "masked": {},
        "created_at": NOON,
        "updated_at": NOON,
        "created_by": "user/user-1",
    }
    return Credential(**defaults | changes)


def authorization_request(**changes: Any) -> AuthorizationRequest:
    defaults = {
        "id": "request-1",
        "workspace_id": WORKSPACE,
        "state_digest": "5" * 64,
        "browser_digest": "b" * 64,
        "user_id": "user-1",
        "connect_session_id": "",
        "credential_id": "credential-1",
        "client": "client-1",
        "issuer": "",
        "token_endpoint": "https://acme.example/token",
        "verifier_sealed": b"sealed verifier",
        "scopes": ("read",),
        "redirect_uri": "https://tokenkeep.example/oauth/callback/client-1",
        "created_at": NOON,
        "expires_at": NOON + timedelta(minutes=10),
    }
    return AuthorizationRequest(**defaults | changes)


def connect_session(**changes: Any) -> ConnectSession:
    defaults = {
        "id": "session-1",
        "workspace_id": WORKSPACE,
        "secret_digest": "c" * 64,
        "type": "acmeOAuth2",
        "name": "My Acme",
        "credential_id": "",
        "scopes": (),
        "values_sealed": None,
        "return_url": "",
        "opener_origin": "",
        "minted_by": "user/user-1",
        "state": SessionState.PENDING,
        "problem_code": "",
        "problem_detail": "",
        "created_at": NOON,
        "expires_at": NOON + HOUR,
    }
    return ConnectSession(**defaults | changes)


def service_key(**changes: Any) -> ServiceKey:
    defaults = {
        "id": "key-1",
        "workspace_id": WORKSPACE,
        "name": "nodes",
        "digest": "d" * 64,
        "scopes": frozenset({Scope.TOKENS_READ}),
        "credential_ids": None,
        "created_at": NOON,
    }
    return ServiceKey(**defaults | changes)


def user(**changes: Any) -> User:
    defaults = {
        "id": "user-1",
        "email": "ada@example.org",
        "name": "Ada",
        "password_hash": "fake$correct horse",
        "created_at": NOON,
    }
    return User(**defaults | changes)


def user_session(**changes: Any) -> UserSession:
    defaults = {
        "digest": "e" * 64,
        "user_id": "user-1",
        "workspace_id": WORKSPACE,
        "role": "owner",
        "user_name": "Ada",
        "created_at": NOON,
        "seen_at": NOON,
        "expires_at": NOON + timedelta(days=7),
    }
    return UserSession(**defaults | changes)


def reference(**changes: Any) -> Reference:
    defaults = {"consumer": "flow/flow-1", "declared": True, "created_at": NOON, "last_used_at": None}
    return Reference(**defaults | changes)


def event(**changes: Any) -> Event:
    defaults = {
        "id": "event-1",
        "workspace_id": WORKSPACE,
        "credential_id": "credential-1",
        "at": NOON,
        "kind": "created",
        "actor": "user/user-1",
    }
    return Event(**defaults | changes)


def data_key(**changes: Any) -> DataKey:
    defaults = {
        "id": b"data-key-0000001",
        "workspace_id": WORKSPACE,
        "wrapped": b"wrapped",
        "root_key_id": "root-key-1",
        "created_at": NOON,
        "active": True,
        "used": 0,
    }
    return DataKey(**defaults | changes)


def answer(body: str = "", **changes: Any) -> Answer:
    """200 with that body as JSON."""
    defaults = {"status": 200, "headers": {"content-type": "application/json"}, "body": Secret(body)}
    return Answer(**defaults | changes)


def caller(*scopes: Scope, **changes: Any) -> Caller:
    """A key with these scopes, or with all when none are named."""
    defaults = {
        "workspace_id": WORKSPACE,
        "kind": "key",
        "id": "key-1",
        "name": "nodes",
        "scopes": frozenset(scopes or Scope),
    }
    return Caller(**defaults | changes)
