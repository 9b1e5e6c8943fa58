"""Use cases, put together.

Owns: which port goes to which use case. Does not own: which adapter stands behind a port (`main`; in tests, the kit).
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenkeep.services.accounts import Accounts
from tokenkeep.services.addresses import Addresses
from tokenkeep.services.clients import Clients
from tokenkeep.services.connect import Connect
from tokenkeep.services.connect_sessions import ConnectSessions
from tokenkeep.services.credentials import Credentials
from tokenkeep.services.granting import Granting
from tokenkeep.services.keeping import Keeping
from tokenkeep.services.peace import Peace
from tokenkeep.services.ports import (
    Catalog,
    Clock,
    Entropy,
    Envelope,
    Journal,
    Passwords,
    Spill,
    Stores,
    Tasks,
    TokenEndpoint,
)
from tokenkeep.services.pulse import Pulse
from tokenkeep.services.refresh import Refresher
from tokenkeep.services.service_keys import ServiceKeys
from tokenkeep.services.status import Heart, Status
from tokenkeep.services.sweep import Sweeper
from tokenkeep.services.throttle import Throttle
from tokenkeep.services.token_reads import TokenReads
from tokenkeep.services.tokens import Tokens
from tokenkeep.services.usage import Usage
from tokenkeep.services.verification import Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What stands behind the ports."""

    stores: Stores
    envelope: Envelope
    catalog: Catalog
    wire: TokenEndpoint
    spill: Spill
    passwords: Passwords
    journal: Journal
    tasks: Tasks
    heart: Heart
    clock: Clock
    entropy: Entropy


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """All use cases of one service."""

    accounts: Accounts
    clients: Clients
    connect: Connect
    connect_sessions: ConnectSessions
    credentials: Credentials
    keeping: Keeping
    peace: Peace
    pulse: Pulse
    refresher: Refresher
    service_keys: ServiceKeys
    status: Status
    sweeper: Sweeper
    token_reads: TokenReads
    tokens: Tokens
    usage: Usage
    verification: Verification


SERVICE, COMMAND = "service", "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the service is reached, and where it may send browsers back to."""

    public_url: str
    return_origins: frozenset[str] = frozenset()
    allow_loopback_return: bool = False
    process: str = SERVICE  # what kind of process holds the leases: only a service is known to be the only one


def assemble(parts: Parts, place: Place) -> UseCases:
    """Every use case over these parts. Constructors only: nothing runs yet."""
    pulse = Pulse(parts.journal)
    usage = Usage(keys=parts.stores.service_keys, references=parts.stores.references, clock=parts.clock)
    clients = _clients(parts, place, pulse)
    peace = Peace(clients=parts.stores.clients, entropy=parts.entropy, journal=pulse)
    keeping = _keeping(parts, pulse)
    refresher = _refresher(parts, place, clients, peace=peace, keeping=keeping, pulse=pulse)
    sweeper = Sweeper(
        grants=parts.stores.grants, refresher=refresher, tasks=parts.tasks, clock=parts.clock, journal=pulse
    )
    addresses = Addresses(catalog=parts.catalog, clients=parts.stores.clients)
    tokens = _tokens(parts, place, refresher=refresher, addresses=addresses, usage=usage)
    verification = _verification(parts, tokens, addresses)
    accounts = _accounts(parts, pulse)
    sessions = _connect_sessions(parts, place, pulse)
    service_keys = _service_keys(parts, usage, pulse)
    return UseCases(
        accounts=accounts,
        clients=clients,
        connect=Connect(
            sessions=sessions,
            clients=clients,
            accounts=accounts,
            granting=_granting(parts, verification, pulse),
            wire=parts.wire,
            envelope=parts.envelope,
        ),
        connect_sessions=sessions,
        credentials=_credentials(parts, clients, pulse),
        keeping=keeping,
        peace=peace,
        pulse=pulse,
        refresher=refresher,
        service_keys=service_keys,
        status=_status(parts, peace, sweeper=sweeper, pulse=pulse),
        sweeper=sweeper,
        token_reads=TokenReads(keys=service_keys, tokens=tokens, reads=parts.stores.reads, clock=parts.clock),
        tokens=tokens,
        usage=usage,
        verification=verification,
    )


def _clients(parts: Parts, place: Place, pulse: Pulse) -> Clients:
    return Clients(
        store=parts.stores.clients,
        grants=parts.stores.grants,
        catalog=parts.catalog,
        envelope=parts.envelope,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=pulse,
        public_url=place.public_url,
    )


def _keeping(parts: Parts, pulse: Pulse) -> Keeping:
    return Keeping(
        grants=parts.stores.grants,
        envelope=parts.envelope,
        spill=parts.spill,
        wire=parts.wire,
        clock=parts.clock,
        journal=pulse,
    )


def _refresher(
    parts: Parts, place: Place, clients: Clients, *, peace: Peace, keeping: Keeping, pulse: Pulse
) -> Refresher:
    return Refresher(
        grants=parts.stores.grants,
        clients=clients,
        wire=parts.wire,
        envelope=parts.envelope,
        keeping=keeping,
        peace=peace,
        tasks=parts.tasks,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=pulse,
        owner=f"{place.process}/{parts.entropy.id()}",
    )


def _tokens(parts: Parts, place: Place, *, refresher: Refresher, addresses: Addresses, usage: Usage) -> Tokens:
    return Tokens(
        reads=parts.stores.reads,
        refresher=refresher,
        catalog=parts.catalog,
        envelope=parts.envelope,
        addresses=addresses,
        usage=usage,
        clock=parts.clock,
        public_url=place.public_url,
    )


def _verification(parts: Parts, tokens: Tokens, addresses: Addresses) -> Verification:
    return Verification(
        store=parts.stores.credentials,
        events=parts.stores.events,
        tokens=tokens,
        catalog=parts.catalog,
        envelope=parts.envelope,
        addresses=addresses,
        wire=parts.wire,
        clock=parts.clock,
        entropy=parts.entropy,
    )


def _accounts(parts: Parts, pulse: Pulse) -> Accounts:
    return Accounts(
        store=parts.stores.accounts,
        passwords=parts.passwords,
        throttle=Throttle(clock=parts.clock),
        clock=parts.clock,
        entropy=parts.entropy,
        journal=pulse,
    )


def _connect_sessions(parts: Parts, place: Place, pulse: Pulse) -> ConnectSessions:
    return ConnectSessions(
        store=parts.stores.authorizations,
        credentials=parts.stores.credentials,
        catalog=parts.catalog,
        envelope=parts.envelope,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=pulse,
        public_url=place.public_url,
        return_origins=place.return_origins,
        allow_loopback_return=place.allow_loopback_return,
    )


def _granting(parts: Parts, verification: Verification, pulse: Pulse) -> Granting:
    return Granting(
        store=parts.stores.authorizations,
        credentials=parts.stores.credentials,
        grants=parts.stores.grants,
        verification=verification,
        catalog=parts.catalog,
        envelope=parts.envelope,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=pulse,
    )


def _credentials(parts: Parts, clients: Clients, pulse: Pulse) -> Credentials:
    return Credentials(
        store=parts.stores.credentials,
        grants=parts.stores.grants,
        references_store=parts.stores.references,
        events=parts.stores.events,
        clients=clients,
        catalog=parts.catalog,
        envelope=parts.envelope,
        wire=parts.wire,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=pulse,
    )


def _service_keys(parts: Parts, usage: Usage, pulse: Pulse) -> ServiceKeys:
    return ServiceKeys(
        store=parts.stores.service_keys,
        reads=parts.stores.reads,
        usage=usage,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=pulse,
    )


def _status(parts: Parts, peace: Peace, *, sweeper: Sweeper, pulse: Pulse) -> Status:
    return Status(
        store=parts.stores.status,
        events=parts.stores.events,
        clients=parts.stores.clients,
        catalog=parts.catalog,
        envelope=parts.envelope,
        peace=peace,
        sweeper=sweeper,
        pulse=pulse,
        heart=parts.heart,
        clock=parts.clock,
    )
