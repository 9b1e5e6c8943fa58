"""What a house is put together from.

Owns: the bundle of ports, and where the service is. Does not own: which adapter stands behind a port (`main`; in tests, the
kit), nor what is made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tokenkeep.services.ports import (
    Catalog,
    Clock,
    DatabaseProbe,
    Entropy,
    Envelope,
    Journal,
    Mail,
    Memento,
    Minter,
    Passwords,
    Poster,
    Spill,
    Stores,
    Tasks,
    TokenEndpoint,
    Watch,
)
from tokenkeep.services.status import Heart


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What stands behind the ports."""

    stores: Stores
    envelope: Envelope
    catalog: Catalog
    wire: TokenEndpoint
    databases: DatabaseProbe  # those that credentials are for
    minter: Minter
    spill: Spill
    memento: Memento
    watches: Sequence[Watch]  # of the disk and the database
    passwords: Passwords
    journal: Journal
    tasks: Tasks
    heart: Heart
    clock: Clock
    entropy: Entropy
    poster: Poster | None = None  # None: this process sends no webhooks
    mail: Mail | None = None  # None: there is nobody to be mailed
    answered: Callable[[], int] = int  # how many requests this process has answered so far; here: none


SERVICE, COMMAND = "service", "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the service is reached, and where it may send browsers back to."""

    public_url: str
    return_origins: frozenset[str] = frozenset()
    allow_loopback_return: bool = False
    spill_first: bool = False  # each answer of a refresh to the spill shelf before the database
    process: str = SERVICE  # what kind of process holds the leases: only a service is known to be the only one
