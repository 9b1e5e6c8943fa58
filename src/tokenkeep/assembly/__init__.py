"""Use cases, put together.

Owns: which port goes to which use case. Does not own: the refresher and what surrounds it (`refreshing`), which adapter
stands behind a port (`main`; in tests, the kit).
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenkeep.assembly.parts import COMMAND, SERVICE, Parts, Place
from tokenkeep.assembly.refreshing import refreshing_over
from tokenkeep.services.accounts import Accounts
from tokenkeep.services.addresses import Addresses
from tokenkeep.services.adoption import Adoption
from tokenkeep.services.clients import Clients
from tokenkeep.services.connect import Connect
from tokenkeep.services.connect_sessions import ConnectSessions
from tokenkeep.services.credentials import Credentials
from tokenkeep.services.forecast import Forecaster
from tokenkeep.services.granting import Granting
from tokenkeep.services.keeping import Keeping
from tokenkeep.services.minting import Minting
from tokenkeep.services.outsiders import Outsiders
from tokenkeep.services.pace import Pace
from tokenkeep.services.peace import Peace
from tokenkeep.services.pulse import Pulse
from tokenkeep.services.refresh import Refresher
from tokenkeep.services.rejections import RejectionWatch
from tokenkeep.services.service_keys import ServiceKeys
from tokenkeep.services.status import Status
from tokenkeep.services.storage import Storage
from tokenkeep.services.surplus import Surplus
from tokenkeep.services.sweep import Sweeper
from tokenkeep.services.throttle import Throttle
from tokenkeep.services.token_reads import TokenReads
from tokenkeep.services.tokens import Tokens
from tokenkeep.services.usage import Usage
from tokenkeep.services.verification import Verification

__all__ = ["COMMAND", "SERVICE", "Parts", "Place", "UseCases", "assemble"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """All use cases of one service."""

    accounts: Accounts
    adoption: Adoption
    clients: Clients
    connect: Connect
    connect_sessions: ConnectSessions
    credentials: Credentials
    forecaster: Forecaster
    keeping: Keeping
    outsiders: Outsiders
    pace: Pace
    peace: Peace
    pulse: Pulse
    refresher: Refresher
    service_keys: ServiceKeys
    status: Status
    storage: Storage
    surplus: Surplus
    sweeper: Sweeper
    token_reads: TokenReads
    tokens: Tokens
    usage: Usage
    verification: Verification


def assemble(parts: Parts, place: Place) -> UseCases:
    """Every use case over these parts. Constructors only: nothing runs yet."""
    outsiders = _outsiders(parts, place)
    pulse = Pulse(outsiders.incidents)
    usage = Usage(keys=parts.stores.service_keys, references=parts.stores.references, clock=parts.clock)
    clients = _clients(parts, place, pulse)
    refreshing = refreshing_over(parts, place, clients, pulse)
    refresher, surplus = refreshing.refresher, refreshing.surplus
    addresses = Addresses(catalog=parts.catalog, clients=parts.stores.clients)
    tokens = _tokens(parts, place, refresher=refresher, addresses=addresses, usage=usage)
    verification = _verification(parts, tokens, addresses)
    accounts = _accounts(parts, pulse)
    sessions = _connect_sessions(parts, place, pulse)
    service_keys = _service_keys(parts, usage, pulse)
    return UseCases(
        accounts=accounts,
        adoption=refreshing.adoption,
        clients=clients,
        connect=Connect(
            sessions=sessions,
            clients=clients,
            accounts=accounts,
            granting=_granting(parts, verification, surplus, pulse),
            wire=parts.wire,
            envelope=parts.envelope,
        ),
        connect_sessions=sessions,
        credentials=_credentials(parts, clients, refresher, surplus=surplus),
        forecaster=Forecaster(store=parts.stores.forecasts, clock=parts.clock, entropy=parts.entropy, journal=pulse),
        keeping=refreshing.keeping,
        outsiders=outsiders,
        pace=refreshing.pace,
        peace=refresher.peace,
        pulse=pulse,
        refresher=refresher,
        service_keys=service_keys,
        status=_status(parts, refresher, sweeper=refreshing.sweeper, pulse=pulse),
        storage=refresher.storage,
        surplus=surplus,
        sweeper=refreshing.sweeper,
        token_reads=TokenReads(keys=service_keys, tokens=tokens, reads=parts.stores.reads, clock=parts.clock),
        tokens=tokens,
        usage=usage,
        verification=verification,
    )


def _outsiders(parts: Parts, place: Place) -> Outsiders:
    return Outsiders(
        stores=parts.stores,
        envelope=parts.envelope,
        catalog=parts.catalog,
        tasks=parts.tasks,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=parts.journal,
        public_url=place.public_url,
        poster=parts.poster,
        mail=parts.mail,
    )


def _clients(parts: Parts, place: Place, pulse: Pulse) -> Clients:
    return Clients(
        store=parts.stores.clients,
        reads=parts.stores.reads,
        grants=parts.stores.grants,
        catalog=parts.catalog,
        envelope=parts.envelope,
        wire=parts.wire,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=pulse,
        public_url=place.public_url,
    )


def _tokens(parts: Parts, place: Place, *, refresher: Refresher, addresses: Addresses, usage: Usage) -> Tokens:
    return Tokens(
        reads=parts.stores.reads,
        refresher=refresher,
        rejections=RejectionWatch(
            store=parts.stores.rejections, clock=parts.clock, entropy=parts.entropy, journal=refresher.journal
        ),
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
        databases=parts.databases,
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


def _granting(parts: Parts, verification: Verification, surplus: Surplus, pulse: Pulse) -> Granting:
    return Granting(
        store=parts.stores.authorizations,
        credentials=parts.stores.credentials,
        grants=parts.stores.grants,
        verification=verification,
        surplus=surplus,
        catalog=parts.catalog,
        envelope=parts.envelope,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=pulse,
    )


def _credentials(parts: Parts, clients: Clients, refresher: Refresher, *, surplus: Surplus) -> Credentials:
    return Credentials(
        minting=Minting(
            grants=parts.stores.grants,
            refresher=refresher,
            catalog=parts.catalog,
            envelope=parts.envelope,
            clock=parts.clock,
            entropy=parts.entropy,
            journal=refresher.journal,
        ),
        store=parts.stores.credentials,
        grants=parts.stores.grants,
        references_store=parts.stores.references,
        events=parts.stores.events,
        clients=clients,
        catalog=parts.catalog,
        envelope=parts.envelope,
        surplus=surplus,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=refresher.journal,
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


def _status(parts: Parts, refresher: Refresher, *, sweeper: Sweeper, pulse: Pulse) -> Status:
    return Status(
        store=parts.stores.status,
        events=parts.stores.events,
        clients=parts.stores.clients,
        refusals=parts.stores.refusals,
        catalog=parts.catalog,
        envelope=parts.envelope,
        peace=refresher.peace,
        storage=refresher.storage,
        sweeper=sweeper,
        pulse=pulse,
        heart=parts.heart,
        clock=parts.clock,
    )
