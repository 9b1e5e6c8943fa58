"""The refresher and what surrounds it, put together.

Owns: which port goes to what keeps tokens fresh. Does not own: the use cases of people and programs (`assembly`).
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenkeep.assembly.parts import Parts, Place
from tokenkeep.services.adoption import Adoption
from tokenkeep.services.brake import Brake
from tokenkeep.services.clients import Clients
from tokenkeep.services.fallbacks import Fallbacks
from tokenkeep.services.gate import Gate
from tokenkeep.services.keeping import Keeping
from tokenkeep.services.orders import Orders
from tokenkeep.services.pace import Pace
from tokenkeep.services.patience import Patience
from tokenkeep.services.peace import Peace
from tokenkeep.services.pulse import Pulse
from tokenkeep.services.refresh import Refresher
from tokenkeep.services.settling import Settling
from tokenkeep.services.storage import Storage
from tokenkeep.services.surplus import Surplus
from tokenkeep.services.sweep import Sweeper


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshing:
    """What keeps tokens fresh."""

    adoption: Adoption
    keeping: Keeping
    pace: Pace
    refresher: Refresher
    surplus: Surplus
    sweeper: Sweeper


def refreshing_over(parts: Parts, place: Place, clients: Clients, pulse: Pulse) -> Refreshing:
    """Constructors only: nothing runs yet."""
    adoption = Adoption(store=parts.stores.instance, memento=parts.memento, journal=pulse)
    surplus = _surplus(parts, clients, adoption, pulse)
    patience = Patience(grants=parts.stores.grants, clock=parts.clock, journal=pulse)
    keeping = _keeping(parts, place, surplus, patience)
    storage = Storage(watches=[*parts.watches, adoption], clock=parts.clock, journal=pulse)
    peace = _peace(parts, pulse)
    settling = _settling(parts, peace.brake, patience)
    refresher = _refresher(parts, place, clients, ways=(peace, keeping, settling), storage=storage)
    pace = Pace(clock=parts.clock, answered=parts.answered)
    sweeper = Sweeper(
        grants=parts.stores.grants,
        refresher=refresher,
        tasks=parts.tasks,
        clock=parts.clock,
        journal=pulse,
        pace=pace,
    )
    return Refreshing(
        adoption=adoption, keeping=keeping, pace=pace, refresher=refresher, surplus=surplus, sweeper=sweeper
    )


def _peace(parts: Parts, pulse: Pulse) -> Peace:
    brake = Brake(
        refusals=parts.stores.refusals,
        grants=parts.stores.grants,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=pulse,
    )
    return Peace(
        clients=parts.stores.clients,
        grants=parts.stores.grants,
        brake=brake,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=pulse,
    )


def _surplus(parts: Parts, clients: Clients, adoption: Adoption, pulse: Pulse) -> Surplus:
    return Surplus(
        clients=clients,
        adoption=adoption,
        credentials=parts.stores.credentials,
        events=parts.stores.events,
        envelope=parts.envelope,
        wire=parts.wire,
        tasks=parts.tasks,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=pulse,
    )


def _settling(parts: Parts, brake: Brake, patience: Patience) -> Settling:
    return Settling(
        grants=parts.stores.grants,
        brake=brake,
        patience=patience,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=patience.journal,
    )


def _keeping(parts: Parts, place: Place, surplus: Surplus, patience: Patience) -> Keeping:
    return Keeping(
        grants=parts.stores.grants,
        envelope=parts.envelope,
        spill=parts.spill,
        surplus=surplus,
        patience=patience,
        catalog=parts.catalog,
        clock=parts.clock,
        journal=patience.journal,
        spill_first=place.spill_first,
    )


def _refresher(
    parts: Parts, place: Place, clients: Clients, *, ways: tuple[Peace, Keeping, Settling], storage: Storage
) -> Refresher:
    peace, keeping, settling = ways
    return Refresher(
        grants=parts.stores.grants,
        reads=parts.stores.reads,
        clients=clients,
        orders=Orders(reads=parts.stores.reads, catalog=parts.catalog, envelope=parts.envelope),
        wire=parts.wire,
        minter=parts.minter,
        envelope=parts.envelope,
        keeping=keeping,
        fallbacks=Fallbacks(grants=parts.stores.grants, envelope=parts.envelope, clock=parts.clock),
        peace=peace,
        gate=Gate(),
        settling=settling,
        storage=storage,
        tasks=parts.tasks,
        clock=parts.clock,
        entropy=parts.entropy,
        journal=storage.journal,
        owner=f"{place.process}/{parts.entropy.id()}",
    )
