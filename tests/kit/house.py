"""A whole house: every use case over fakes, with a provider in the same process and one workspace to live in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2

from tests.kit import builders
from tests.kit.authorization_server import CLIENT_ID, CLIENT_SECRET, AuthorizationServer
from tests.kit.builders import WORKSPACE
from tests.kit.clock import FakeClock
from tests.kit.databases_asked import FakeDatabases
from tests.kit.entropy import CountedEntropy
from tests.kit.envelope import ReadableEnvelope
from tests.kit.issuer import Issuer
from tests.kit.journal import ListJournal
from tests.kit.memory_catalog import MemoryCatalog
from tests.kit.memory_instance import MemoryMemento, MemoryWatch
from tests.kit.memory_store import MemoryDatabase
from tests.kit.passwords import FakePasswords
from tests.kit.spill import MemorySpill
from tests.kit.spy_wire import SpyWire
from tokenkeep.adapters.minting import MintingAdapter
from tokenkeep.adapters.outbound import Outbound
from tokenkeep.adapters.tasks import ServiceTasks
from tokenkeep.adapters.token_endpoint import TokenEndpointAdapter
from tokenkeep.assembly import Parts, Place, UseCases, assemble
from tokenkeep.core.model import (
    Call,
    CredentialType,
    FieldKind,
    Grant,
    Injection,
    Provider,
    State,
    UserSession,
)
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.core.secret import Secret
from tokenkeep.services.credentials import CredentialView
from tokenkeep.services.invitation import Begun, Outcome
from tokenkeep.services.ports import TokenEndpoint

PUBLIC_URL = "https://keep.test"
APP = "https://app.example"
PASSWORD = Secret("correct horse battery staple")


@dataclass
class Heart:
    """`status.Heart`."""

    beating: bool = True

    def alive(self) -> bool:
        return self.beating


def static_types() -> list[CredentialType]:
    """One of every way to authorise a request, and one that does not speak HTTP."""
    secret = builders.field(name="apiKey", label="API key", kind=FieldKind.SECRET, secret=True, prefix="ak-")
    user = builders.field(name="user", label="User")
    password = builders.field(name="password", label="Password", kind=FieldKind.SECRET, secret=True)
    return [
        builders.static_type(
            fields=(secret,), test=Call(url="https://provider.test/userinfo"), base_url="https://api.provider.test"
        ),
        builders.static_type(
            name="acmeBasic", fields=(user, password), injection=Injection(basic=("{user}", "{password}"))
        ),
        builders.static_type(name="acmeQuery", fields=(secret,), injection=Injection(query={"key": "{apiKey}"})),
        builders.static_type(name="acmeDatabase", label="Acme database", fields=(user, password), injection=None),
    ]


@dataclass
class House:
    """What a test walks through. `cases` are the use cases; the rest stands behind their ports."""

    cases: UseCases
    parts: Parts
    database: MemoryDatabase
    clock: FakeClock
    entropy: CountedEntropy
    envelope: ReadableEnvelope
    catalog: MemoryCatalog
    server: AuthorizationServer
    wire: SpyWire
    issuer: Issuer
    spill: MemorySpill
    watch: MemoryWatch
    journal: ListJournal
    passwords: FakePasswords
    tasks: ServiceTasks
    heart: Heart
    place: Place
    owner: UserSession = field(default_factory=builders.user_session)
    cookie: Secret = field(default_factory=lambda: Secret(""))

    # --- who asks --------------------------------------------------------------------------------------------

    @property
    def person(self) -> Caller:
        """The owner."""
        return self.cases.accounts.caller(self.owner)

    @property
    def node(self) -> Caller:
        """A key that reads tokens."""
        return self.caller(Scope.TOKENS_READ)

    def caller(self, *scopes: Scope, **changes: Any) -> Caller:
        return builders.caller(*scopes, workspace_id=self.owner.workspace_id, **changes)

    async def member(self, role: str, name: str = "bob") -> UserSession:
        """Somebody else who is signed in to the same workspace."""
        user = builders.user(id=f"user-{name}", email=f"{name}@example.org", name=name)
        await self.database.accounts.add_user(user, workspace_id=self.owner.workspace_id, role=role)
        session, _ = await self.cases.accounts._begin(user, "")
        return session

    # --- connecting --------------------------------------------------------------------------------------------

    async def register(self, secret: str = CLIENT_SECRET) -> None:
        """This workspace's client at the provider."""
        await self.cases.clients.put(self.person, "acme", client_id=CLIENT_ID, client_secret=Secret(secret))

    async def invite(self, caller: Caller | None = None, **asked: Any) -> tuple[str, str]:
        """(session id, secret of the link) of a new connect session."""
        asked = asked if "credential_id" in asked or "type" in asked else {"type": "acmeOAuth2", **asked}
        session, url = await self.cases.connect_sessions.create(caller or self.person, **asked)
        return session.id, url.rpartition("/")[2]

    async def browse(self, begun: Begun) -> dict[str, str]:
        """What the browser brings back from the provider."""
        async with httpx2.AsyncClient(transport=self.server.transport()) as browser:
            answer = await browser.get(begun.url)
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))

    async def finish(
        self, begun: Begun, query: Mapping[str, str] | None = None, *, user: UserSession | None, handle: str = ""
    ) -> Outcome:
        """The way back, in the browser that set out."""
        return await self.cases.connect.complete(
            handle or await self.handle(),
            query=query if query is not None else await self.browse(begun),
            cookies={begun.cookie: begun.nonce},
            user=user,
        )

    async def handle(self) -> str:
        """Of our client at the provider."""
        return (await self.cases.clients.get(self.person, "acme")).client.id

    async def connect(self, **asked: Any) -> CredentialView:
        """A whole round by the owner."""
        _, secret = await self.invite(**asked)
        begun = await self.cases.connect.begin(secret, user=self.owner, popup=False)
        outcome = await self.finish(begun, user=self.owner)
        return await self.cases.credentials.get(self.person, outcome.credential_id)

    async def connect_many(self, count: int) -> list[str]:
        """Ids of so many connected credentials."""
        return [(await self.connect(name=f"number {number}")).credential.id for number in range(count)]

    # --- looking -------------------------------------------------------------------------------------------------

    def grant(self, credential_id: str) -> Grant:
        """As it is stored now."""
        return self.database.rows.grants[self.owner.workspace_id, credential_id]

    def state(self, credential_id: str) -> State:
        return self.grant(credential_id).standing.state

    def failure_code(self, credential_id: str) -> str:
        failure = self.grant(credential_id).standing.failure
        return failure.code if failure is not None else ""

    def events(self, credential_id: str) -> list[str]:
        """Kinds of its history, oldest first."""
        return [event.kind for event in self.database.rows.events if event.credential_id == credential_id]

    async def stored_refresh_token(self, credential_id: str) -> str:
        """What a restart would find."""
        from tokenkeep.services.sealing import open_tokens

        refresh_token = (await open_tokens(self.envelope, self.grant(credential_id))).refresh_token
        return refresh_token.reveal() if refresh_token is not None else ""

    # --- time ------------------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """Every access token of an hour has ended."""
        self.clock.advance(3601)

    def wait_until(self, at: datetime | None) -> None:
        assert at is not None, "nothing is planned"
        self.clock.advance(max((at - self.clock.now()).total_seconds(), 0) + 0.001)

    async def refresh_now(self, credential_id: str) -> None:
        """One refresh, whatever the plan says."""
        await self.cases.refresher.refresh(self.owner.workspace_id, credential_id, lambda *_: True)

    async def sweep(self) -> None:
        """One pass, and all it began."""
        await self.cases.sweeper.sweep()
        assert await self.tasks.drain(20) == 0

    async def next_try(self, credential_id: str) -> None:
        """The sweep that comes when this grant is due."""
        self.wait_until(self.grant(credential_id).standing.next_refresh_at)
        await self.sweep()

    def hold_answers(self) -> None:
        """From now on the provider decides, but does not answer until its gate is opened."""
        self.server.gate.clear()
        self.server.entered.clear()

    # --- more houses -------------------------------------------------------------------------------------------------

    def replica(self) -> House:
        """Another process over the same database, shelf and provider."""
        return _assembled(
            replace(self.parts, tasks=ServiceTasks(), entropy=CountedEntropy(f"replica {id(self.parts)}")), self
        )

    async def dies(self) -> House:
        """The process ends in the middle of whatever it does; another one starts over what is durable."""
        running = [flight.task for flight in self.tasks._running.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        return self.replica()


def _assembled(parts: Parts, like: House) -> House:
    assert isinstance(parts.tasks, ServiceTasks)
    assert isinstance(parts.entropy, CountedEntropy)
    return replace(like, parts=parts, cases=assemble(parts, like.place), tasks=parts.tasks, entropy=parts.entropy)


async def make_house(
    *,
    server: AuthorizationServer | None = None,
    provider: Mapping[str, Any] | None = None,
    types: Iterable[CredentialType] = (),
    further: Iterable[Provider] = (),
    place: Place | None = None,
    registered: bool = True,
    **switches: Any,
) -> House:
    """`provider`: parts of the file that differ; `switches`: how the provider behaves; `further`: other providers."""
    clock = FakeClock()
    server = server or AuthorizationServer(clock=clock.monotonic, **switches)
    acme = server.provider(
        **{"id": "acme", "name": "Acme", "base_url": "https://api.provider.test"} | dict(provider or {})
    )
    oauth = builders.credential_type(scopes=("read", "write"))
    catalog = MemoryCatalog([acme, *further], [oauth, *static_types(), *types])
    wire = SpyWire(_wire(server, clock))
    house = _house(catalog, server, wire, clock=clock, place=place)
    await _settle_in(house, registered=registered)
    return house


def _wire(server: AuthorizationServer, clock: FakeClock) -> TokenEndpoint:
    return TokenEndpointAdapter(Outbound(clock, transport=server.transport()), clock)


def _house(
    catalog: MemoryCatalog, server: AuthorizationServer, wire: SpyWire, *, clock: FakeClock, place: Place | None
) -> House:
    issuer = Issuer()
    place = place or Place(public_url=PUBLIC_URL, return_origins=frozenset({APP}))
    database, envelope, journal, watch = MemoryDatabase(clock), ReadableEnvelope(), ListJournal(), MemoryWatch()
    entropy, tasks, heart, spill, passwords = (
        CountedEntropy(),
        ServiceTasks(),
        Heart(),
        MemorySpill(),
        FakePasswords(),
    )
    parts = Parts(
        stores=database,
        envelope=envelope,
        catalog=catalog,
        wire=wire,
        databases=FakeDatabases(),
        minter=MintingAdapter(Outbound(clock, transport=issuer.transport()), clock, entropy),
        spill=spill,
        memento=MemoryMemento(),
        watches=[watch],
        passwords=passwords,
        journal=journal,
        tasks=tasks,
        heart=heart,
        clock=clock,
        entropy=entropy,
    )
    return House(
        cases=assemble(parts, place),
        parts=parts,
        database=database,
        clock=clock,
        entropy=entropy,
        envelope=envelope,
        catalog=catalog,
        server=server,
        wire=wire,
        issuer=issuer,
        spill=spill,
        watch=watch,
        journal=journal,
        passwords=passwords,
        tasks=tasks,
        heart=heart,
        place=place,
    )


async def _settle_in(house: House, *, registered: bool) -> None:
    await house.database.accounts.add_workspace(WORKSPACE, "Home", house.clock.now())
    link = await house.cases.accounts.mint_link()
    house.owner, house.cookie = await house.cases.accounts.redeem(
        link.reveal(), email="ada@example.org", name="Ada", password=PASSWORD, browser="Firefox"
    )
    if registered:
        await house.register()
    house.clock.advance(timedelta(minutes=1).total_seconds())


async def until(condition: Callable[[], object], turns: int = 5000) -> None:
    """Let everything else run until it is so. Fails when it never is."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never happened")
