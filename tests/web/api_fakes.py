"""Fakes of the use cases, and an API application around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx2

from tests.kit import builders
from tests.kit.clock import NOON, FakeClock
from tests.kit.told import delivery, endpoint
from tokenkeep.core import token_document
from tokenkeep.core.errors import NotFound, Unauthenticated, UnknownType
from tokenkeep.core.model import CredentialType, Provider, State, UserSession
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.core.secret import Secret
from tokenkeep.services.clients import ClientView
from tokenkeep.services.credentials import CredentialView, Removal
from tokenkeep.services.live_token import Authorization, LiveToken, TokenFacts
from tokenkeep.services.ports import CredentialFilter, Page, StatusCounts
from tokenkeep.services.status import StatusView
from tokenkeep.services.token_reads import TokenRead
from tokenkeep.services.verification import Verdict
from tokenkeep.web import app
from tokenkeep.web.services import Services, WebConfig

TEMPLATES = Path(__file__).parents[2] / "templates"
KEY = "tk_key1_secret_check"
SIGNING = "whsec_c2hvd24gb25jZQ=="
COOKIE = "a-session"
URL = "http://localhost:8420"


def live_token(**changes: Any) -> LiveToken:
    defaults = {
        "token_type": "Bearer",
        "expires_at": NOON,
        "scope": ("read", "write"),
        "fingerprint": "print-1",
        "state": State.CONNECTED,
    }
    token = changes.pop("access_token", Secret("access-1"))
    sealed = token_document.dump(builders.token_set(access_token=token))
    return LiveToken(TokenFacts(**defaults | changes), lambda: sealed)


def view(**changes: Any) -> CredentialView:
    """A connected OAuth credential."""
    defaults = {
        "credential": builders.credential(grant=builders.grant()),
        "type": builders.credential_type(),
        "provider": builders.provider(),
        "state": State.CONNECTED,
        "account": builders.account(),
    }
    return CredentialView(**defaults | changes)


@dataclass
class Recorder:
    """Remembers calls, answers what it was told to, or raises it."""

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)

    async def told(self, name: str, /, *positional: Any, **named: Any) -> Any:
        self.calls.append((name, positional, named))
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def last(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        return self.calls[-1]


class Asked(Recorder):
    """A use case class: every method is recorded under its own name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        async def method(*positional: Any, **named: Any) -> Any:
            return await self.told(name, *positional, **named)

        return method


class FakeKeys(Asked):
    """One key."""

    def __init__(self, caller: Caller) -> None:
        super().__init__(
            {"create": (builders.service_key(), Secret(KEY)), "list": [builders.service_key()], "revoke": None}
        )
        self.known = caller

    async def authenticate(self, text: str) -> Caller:
        if text != KEY:
            raise Unauthenticated
        return self.known


@dataclass
class FakeTokenReads:
    """Token reads by key: the other two fakes, one after the other."""

    keys: FakeKeys
    tokens: Asked

    async def read(self, key: bytes, credential_id: str, *, min_ttl: int, consumer: str) -> TokenRead:
        caller = await self.keys.authenticate(key.decode())
        live = await self.tokens.token(caller, credential_id, min_ttl=min_ttl, consumer=consumer)
        key, grant = builders.service_key(), builders.grant()
        return TokenRead(actor=caller.actor, live=live, key=key, grant=grant, epoch=0, until=0)


class FakeAccounts(Asked):
    """One session."""

    async def authenticate(self, cookie: str) -> UserSession:
        if cookie != COOKIE:
            raise Unauthenticated
        return builders.user_session()

    def caller(self, session: UserSession) -> Caller:
        return builders.caller(kind="user", id=session.user_id)


class FakeCatalog:
    """The builders' provider and its two types."""

    def provider(self, provider_id: str) -> Provider:
        if provider_id != "acme":
            raise NotFound
        return builders.provider()

    def type(self, name: str) -> CredentialType:
        for kind in self.types():
            if name in (kind.name, *kind.aliases):
                return kind
        raise UnknownType

    def types(self) -> Sequence[CredentialType]:
        return [
            builders.credential_type(categories=("CRM",)),
            builders.static_type(aliases=("acmeKey",), categories=("Database",)),
        ]

    def providers(self) -> Sequence[Provider]:
        return [builders.provider()]

    def icon(self, type_name: str) -> bytes:
        return f"<svg><title>{self.type(type_name).label}</title></svg>".encode()


def status_view() -> StatusView:
    counts = StatusCounts(
        by_state={"connected": 1},
        by_provider={"acme": {"connected": 1}},
        without_grant={},
        due=1,
        overdue=0,
        oldest_overdue=None,
        uncertain=0,
        by_failure={},
    )
    return StatusView(
        now=NOON,
        counts=counts,
        by_state={state.value: 0 for state in State} | {"connected": 1},
        attention=[],
        upcoming=[],
        recent=[builders.event()],
        last_sweep=None,
        latency_ms={},
        breakers={},
        clients_paused=[builders.client(incident_code="invalid_client", incident_since=NOON)],
        doubted={"acme": 6},
    )


@dataclass
class Api:
    """The application, a browserless client, and what the fakes saw."""

    credentials: Asked
    verification: Asked
    tokens: Asked
    service_keys: FakeKeys
    accounts: FakeAccounts
    clients: Asked
    connect: Asked
    connect_sessions: Asked
    webhooks: Asked
    status: Asked
    observed: list[tuple[str, int, float]] = field(default_factory=list)
    lines: list[tuple[str, str, int, float, str]] = field(default_factory=list)
    config: WebConfig = field(
        default_factory=lambda: WebConfig(
            public_url=URL, demo=True, return_origins=(), trusted_proxies=(), version="1.2.3", templates=TEMPLATES
        )
    )
    metrics: bytes = b"# HELP x\n"

    def services(self) -> Services:
        made: Mapping[str, Any] = {
            name: getattr(self, name)
            for name in (
                "credentials",
                "verification",
                "tokens",
                "service_keys",
                "accounts",
                "clients",
                "connect",
                "connect_sessions",
                "webhooks",
                "status",
            )
        }
        return Services(
            **made,
            token_reads=cast("Any", FakeTokenReads(self.service_keys, self.tokens)),
            catalog=cast("Any", FakeCatalog()),
            metrics=lambda: self.metrics,
            observe=lambda *seen: self.observed.append(seen),
            access=lambda *line: self.lines.append(line),
            monotonic=FakeClock().monotonic,
        )

    def client(self, *, key: str | None = KEY, **headers: str) -> httpx2.AsyncClient:
        """A program's client; with `key=None` one that shows no key."""
        shown = {"Authorization": f"Bearer {key}"} if key else {}
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url=URL, headers={**shown, **headers})

    @property
    def app(self) -> Any:
        if not hasattr(self, "_app"):
            self._app = app.build(self.services(), self.config)
        return self._app


def make_api(*scopes: Scope, **changes: Any) -> Api:
    """An application whose every use case answers something plausible."""
    removal = Removal(revoked=True, detail="Revoked at Acme.")
    client_view = ClientView(
        client=builders.client(), provider=builders.provider(), redirect_uri=f"{URL}/oauth/callback/client-1"
    )
    defaults: dict[str, Any] = {
        "credentials": Asked(
            {
                "create": view(),
                "get": view(),
                "list": Page(items=[view(account=None)], next_cursor=""),
                "edit": view(),
                "delete": removal,
                "disconnect": (view(credential=builders.credential(), state=State.UNCONNECTED, account=None), removal),
                "history": Page(items=[builders.event()], next_cursor="more"),
                "references": [builders.reference()],
                "declare_reference": None,
                "remove_reference": None,
            }
        ),
        "verification": Asked(
            {"test": Verdict(ok=True, account=builders.account(), checked_at=NOON, problem="", detail="")}
        ),
        "tokens": Asked(
            {
                "token": live_token(),
                "refresh": live_token(fingerprint="print-2"),
                "authorization": Authorization(
                    headers={"Authorization": Secret("Bearer access-1")},
                    query={},
                    body={},
                    base_url=Secret("https://api.acme.example"),
                    secret_in_url=False,
                    expires_at=None,
                    fingerprint="print-1",
                ),
                "values": ("acmeApi", {"apiKey": "value-1"}),
            }
        ),
        "service_keys": FakeKeys(builders.caller(*scopes)),
        "accounts": FakeAccounts(),
        "clients": Asked({"put": client_view, "get": client_view, "list": [client_view], "delete": None}),
        "connect": Asked({"confirm": builders.connect_session()}),
        "connect_sessions": Asked(
            {
                "create": (builders.connect_session(), f"{URL}/connect/link-secret"),
                "get": builders.connect_session(),
            }
        ),
        "webhooks": Asked(
            {
                "create": (endpoint(), Secret(SIGNING)),
                "list": [endpoint()],
                "get": endpoint(),
                "edit": endpoint(types=("credential.failing",)),
                "rotate": (endpoint(secret_version=2, previous_until=NOON), Secret(SIGNING)),
                "delete": None,
                "test": delivery(type="webhook.test"),
                "deliveries": Page(
                    items=[delivery(attempts=1, last_attempt_at=NOON, last_result="503")], next_cursor=""
                ),
                "replay": delivery(),
            }
        ),
        "status": Asked({"overview": status_view(), "ready": {"database": "ok", "key": "ok", "scheduler": "ok"}}),
    }
    return Api(**defaults | changes)


def wanted_of(api: Api) -> CredentialFilter:
    """The filter of the last list."""
    return cast("CredentialFilter", api.credentials.last[1][1])
