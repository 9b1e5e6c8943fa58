"""A small world behind the pages: use cases as fakes whose data a test sets, and who remember what was asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from tests.kit import builders as a
from tests.kit.clock import NOON
from tests.web.webhooks_world import Webhooks
from tokenkeep.core.errors import InUse, InvalidInput, NotFound, Unauthenticated, UnknownType
from tokenkeep.core.model import Account, Client, FailureKind, Field, FieldKind, SessionState, State
from tokenkeep.core.permissions import ROLES, Caller
from tokenkeep.core.policy import Breaker
from tokenkeep.core.secret import Secret
from tokenkeep.services.clients import ClientView
from tokenkeep.services.credentials import CredentialView, Removal
from tokenkeep.services.invitation import Begun, Invitation, Outcome
from tokenkeep.services.ports import Attention, Page, StatusCounts
from tokenkeep.services.status import StatusView
from tokenkeep.services.sweep import Sweep
from tokenkeep.services.verification import Verdict
from tokenkeep.web.app import build
from tokenkeep.web.services import Services, WebConfig

TOP = Path(__file__).parent.parent.parent
ORIGIN = "http://tokenkeep.example:8420"
COOKIE = "good-cookie"
LINK = "connect-link-secret"

PROVIDER = a.provider(setup="Open acme.example/developers and create an app.", docs_url="https://acme.example/docs")
OAUTH = a.credential_type(description="Read and write what Acme holds.", categories=("files",), popularity=9)
STATIC = a.static_type(
    description="One key for all of Acme.",
    categories=("ai",),
    fields=(
        Field(
            name="apiKey", label="API key", kind=FieldKind.SECRET, secret=True, prefix="ak-", help="From the console."
        ),
        Field(name="region", label="Region", kind=FieldKind.CHOICE, options=("eu", "us"), default="eu"),
        Field(name="extra", label="Extra headers", kind=FieldKind.JSON, secret=True, required=False),
        Field(name="retries", label="Retries", kind=FieldKind.NUMBER, required=False),
        Field(name="strict", label="Strict mode", kind=FieldKind.BOOLEAN, required=False),
        Field(name="pem", label="Private key", kind=FieldKind.MULTILINE, secret=True, required=False),
    ),
)


class Catalog:
    """Two types of one provider, unless a test says otherwise."""

    def __init__(self) -> None:
        self.known = [OAUTH, STATIC]
        self.held = [PROVIDER]

    def provider(self, provider_id):
        return next((one for one in self.held if one.id == provider_id), None) or _raise(NotFound())

    def type(self, name):
        return next((one for one in self.known if one.name == name), None) or _raise(UnknownType())

    def types(self):
        return self.known

    def providers(self):
        return self.held

    def icon(self, type_name):
        return b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><circle cx="12" cy="12" r="9" fill="#456"/></svg>'


def _raise(error):
    raise error


class Accounts:
    """One person, signed in by COOKIE. A link called `first` makes the first account, one called `again` signs in."""

    def __init__(self) -> None:
        self.person = a.user_session(browser="Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0 Safari/537.36")
        self.links = {"first": "first_admin", "again": "sign_in"}
        self.redeemed: list[str] = []
        self.ended: list[str] = []

    async def authenticate(self, cookie):
        return self.person if cookie == COOKIE else _raise(Unauthenticated())

    def caller(self, session):
        return Caller(
            workspace_id=session.workspace_id,
            kind="user",
            id=session.user_id,
            name=session.user_name,
            scopes=frozenset(ROLES[session.role]),
        )

    async def has_accounts(self):
        return True

    async def sign_in(self, *, email, password, address, browser):
        if password.reveal() != "correct horse battery":
            raise Unauthenticated
        return self.person, Secret(COOKIE)

    async def sign_out(self, session):
        self.ended.append(session.digest)

    async def link_purpose(self, secret):
        return self.links.get(secret) or _raise(NotFound())

    async def redeem(self, secret, *, email, name, password, browser):
        if secret not in self.links:
            raise NotFound
        if len(password) < 12 and self.links[secret] == "first_admin":
            raise InvalidInput(fields={"password": "Use at least 12 characters."})
        self.redeemed.append(self.links.pop(secret))
        return self.person, Secret(COOKIE)

    async def sessions(self, session):
        other = a.user_session(digest="f" * 64, browser="Mozilla/5.0 (iPhone) Safari/605")
        return [self.person, other]

    async def end_session(self, session, digest):
        self.ended.append(digest)

    async def end_other_sessions(self, session):
        self.ended.append("others")
        return 1


class Credentials:
    """What the workspace holds; a test appends to `views`."""

    def __init__(self) -> None:
        self.views: list[CredentialView] = []
        self.uses: list[Any] = []
        self.past: list[Any] = [a.event(kind="connected", detail={"account": "ada"})]
        self.asked: list[tuple[Any, ...]] = []
        self.removal = Removal(revoked=None, detail="")
        self.wrong: dict[str, str] = {}
        self.warnings: tuple[str, ...] = ()

    async def list(self, caller, wanted):
        self.asked.append(("list", wanted))
        return Page(items=self.views, next_cursor="")

    async def get(self, caller, credential_id):
        return next((one for one in self.views if one.credential.id == credential_id), None) or _raise(NotFound())

    async def create(self, caller, *, type, name, values):
        if self.wrong:
            raise InvalidInput(fields=self.wrong)
        self.asked.append(("create", type, name, values))
        made = a.credential(id="credential-new", type=type, name=name)
        self.views.append(view(credential=made, warnings=self.warnings))
        return self.views[-1]

    async def edit(self, caller, credential_id, *, name, values, expected_version):
        if self.wrong:
            raise InvalidInput(fields=self.wrong)
        self.asked.append(("edit", credential_id, name, values, expected_version))
        return replace(await self.get(caller, credential_id), warnings=self.warnings)

    async def delete(self, caller, credential_id, *, force):
        if self.uses and not force:
            raise InUse([one.consumer for one in self.uses])
        self.asked.append(("delete", credential_id))
        return self.removal

    async def disconnect(self, caller, credential_id):
        self.asked.append(("disconnect", credential_id))
        return await self.get(caller, credential_id), self.removal

    async def history(self, caller, credential_id, *, limit, cursor):
        return Page(items=self.past, next_cursor="")

    async def references(self, caller, credential_id):
        return self.uses


class Verification:
    """A test that comes out as it is told."""

    verdict = Verdict(ok=True, account=None, checked_at=NOON)

    async def test(self, caller, credential_id):
        return self.verdict


class Clients:
    """The client of one provider, or none."""

    def __init__(self) -> None:
        self.client: Client | None = a.client()
        self.saved: list[dict[str, Any]] = []

    def _view(self):
        uri = f"{ORIGIN}/oauth/callback/client-1"
        return ClientView(client=self.client or _raise(NotFound()), provider=PROVIDER, redirect_uri=uri)

    async def planned_redirect_uri(self, caller, provider_id):
        return f"{ORIGIN}/oauth/callback/client-1"

    async def get(self, caller, provider_id):
        return self._view() if provider_id == PROVIDER.id else _raise(NotFound())

    async def list(self, caller):
        return [self._view()] if self.client else []

    async def put(self, caller, provider_id, **given):
        if not given["client_id"]:
            raise InvalidInput(fields={"client_id": "Enter the client id."})
        self.saved.append(given)
        self.client = a.client(client_id=given["client_id"])
        return self._view()

    async def delete(self, caller, provider_id):
        self.client = None


class ConnectSessions:
    """Invitations; each looks like `session`."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []

    async def create(self, caller, **wanted):
        self.made.append(wanted)
        return a.connect_session(opener_origin=wanted.get("opener_origin", "")), f"{ORIGIN}/connect/{LINK}"


class Connect:
    """One link. `fails` is raised on the way back."""

    def __init__(self) -> None:
        self.session = a.connect_session(opener_origin=ORIGIN)
        self.begun = 0
        self.completed: list[dict[str, Any]] = []
        self.fails: Exception | None = None
        self.outcome: dict[str, Any] = {}
        self.ready = True
        self.target = "https://acme.example/authorize?state=s"

    async def open(self, secret):
        if secret != LINK:
            raise NotFound
        return Invitation(
            session=self.session,
            type=OAUTH,
            provider=PROVIDER,
            workspace_name="Home",
            scopes=("read", "write"),
            reconnects="",
            ready=self.ready,
        )

    async def begin(self, secret, *, user, popup):
        self.begun += 1
        return Begun(url=self.target, cookie="tokenkeep-connect-abc", nonce="nonce-value")

    async def complete(self, client_handle, *, query, cookies, user):
        self.completed.append({"client": client_handle, "query": query, "cookies": cookies})
        if self.fails:
            raise self.fails
        done = replace(self.session, state=SessionState.CONNECTED, credential_id="credential-1")
        given = {"session": done, "credential_id": "credential-1", "code": "", "account": None, "missing_scopes": ()}
        return Outcome(**given | {"cookie": "tokenkeep-connect-abc"} | self.outcome)


class ServiceKeys:
    """Keys by name."""

    def __init__(self) -> None:
        self.keys = [a.service_key()]
        self.revoked: list[str] = []
        self.wrong: dict[str, str] = {}

    async def list(self, caller):
        return self.keys

    async def create(self, caller, **given):
        if self.wrong:
            raise InvalidInput(fields=self.wrong)
        return a.service_key(name=given["name"], scopes=frozenset(given["scopes"])), Secret("tk_key1_SHOWN-ONCE_abc")

    async def revoke(self, caller, key_id):
        self.revoked.append(key_id)


class Status:
    """Numbers, and beats that a test lets happen."""

    def __init__(self) -> None:
        self.overview_now = overview()
        self.beats: list[int] = [-1]

    async def overview(self, caller):
        return self.overview_now

    async def changed(self, since):
        await asyncio.sleep(0)
        return self.beats.pop(0) if self.beats else -1

    async def ready(self):
        return {"database": "ok"}


@dataclass
class World:
    """Every fake, and the application over them."""

    accounts: Accounts = field(default_factory=Accounts)
    credentials: Credentials = field(default_factory=Credentials)
    verification: Verification = field(default_factory=Verification)
    clients: Clients = field(default_factory=Clients)
    connect: Connect = field(default_factory=Connect)
    connect_sessions: ConnectSessions = field(default_factory=ConnectSessions)
    service_keys: ServiceKeys = field(default_factory=ServiceKeys)
    webhooks: Webhooks = field(default_factory=Webhooks)
    status: Status = field(default_factory=Status)
    catalog: Catalog = field(default_factory=Catalog)

    def app(self, **changes: Any):
        """The real application over this world."""
        sinks = {
            "metrics": lambda: b"",
            "observe": lambda *_: None,
            "access": lambda *_: None,
            "monotonic": lambda: 0.0,
        }
        mounts = [Route("/provider", strict_provider)]
        return build(Services(**vars(self), tokens=None, token_reads=None, **sinks), config(**changes), mounts=mounts)


async def strict_provider(_: Request) -> HTMLResponse:
    """A consent page that cuts the tie to whoever opened its window, as some providers do."""
    back = "/oauth/callback/client-1?state=s&amp;code=c"
    return HTMLResponse(f"<a href='{back}'>Allow</a>", headers={"Cross-Origin-Opener-Policy": "same-origin"})


def config(**changes: Any) -> WebConfig:
    defaults = {
        "public_url": ORIGIN,
        "demo": False,
        "return_origins": ("https://flows.example",),
        "trusted_proxies": (),
        "version": "0.1.0",
        "templates": TOP / "templates",
    }
    return WebConfig(**defaults | changes)


def view(**changes: Any) -> CredentialView:
    """A connected credential, unless told otherwise."""
    grant = a.grant(scopes_requested=("read", "write"), scopes_granted=("read", "extra"))
    defaults = {
        "credential": a.credential(grant=grant),
        "type": OAUTH,
        "provider": PROVIDER,
        "state": State.CONNECTED,
        "account": Account(id="1", name="ada@acme.example", workspace="Analytical Engines"),
    }
    return CredentialView(**defaults | changes)


def static_view(**changes: Any) -> CredentialView:
    masked = {"apiKey": "ak-…wxyz", "region": "eu", "strict": True}
    credential = a.credential(id="credential-2", type=STATIC.name, name="Acme key", masked=masked)
    return view(**{"credential": credential, "type": STATIC, "state": State.STORED, "account": None} | changes)


def attention(name: str, state: State, kind: FailureKind | None, *, minutes: int = 5) -> Attention:
    failed = a.failure(kind=kind, code="invalid_grant" if kind is FailureKind.GRANT else "no_answer") if kind else None
    standing = a.standing(state=state, failure=failed, next_refresh_at=NOON + timedelta(minutes=minutes))
    return Attention(credential_id="credential-1", name=name, type=OAUTH.name, provider="acme", standing=standing)


def overview(**changes: Any) -> StatusView:
    """A workspace with a bit of everything."""
    counts = StatusCounts(
        by_state={"connected": 7, "failing": 1, "reauthorization_required": 1},
        by_provider={"acme": {"connected": 7, "failing": 1, "reauthorization_required": 1}},
        without_grant={},
        due=2,
        overdue=1,
        oldest_overdue=NOON,
        uncertain=0,
        by_failure={"transient": 1, "grant": 1},
    )
    states = {
        "stored": 3,
        "unconnected": 1,
        "connected": 7,
        "failing": 1,
        "reauthorization_required": 1,
        "quarantined": 0,
    }
    defaults = {
        "now": NOON,
        "counts": counts,
        "by_state": states,
        "attention": [
            attention("Team drive", State.REAUTHORIZATION_REQUIRED, FailureKind.GRANT),
            attention("Inbox", State.FAILING, FailureKind.TRANSIENT),
        ],
        "upcoming": [attention("Calendar", State.CONNECTED, None, minutes=20)],
        "recent": [a.event(kind="refreshed", actor="system"), a.event(kind="refresh_failed", actor="system")],
        "last_sweep": Sweep(at=NOON, due=2, started=2),
        "latency_ms": {"p50": 180.0, "p95": 900.0, "p99": 1400.0},
        "breakers": {"api.acme.example": Breaker(faults=5, open_until=NOON + timedelta(minutes=1))},
        "clients_paused": [a.client(incident_code="invalid_client", incident_since=NOON)],
        "doubted": {"acme": 6},
    }
    return StatusView(**defaults | changes)
