"""What the use cases need from the outside, declared by the side that needs it.

Owns: the list. Does not own: how any of it is done.

Each port has one adapter and one fake in `tests/kit`; stores pass one conformance suite. Methods that name a workspace never
see another one's rows: they answer None, or raise NotFound where they must act.
"""

from tokenkeep.services.ports.catalog import Catalog
from tokenkeep.services.ports.connecting import AuthorizationStore, ClientStore, DataKeyStore
from tokenkeep.services.ports.keeping import (
    CredentialFilter,
    CredentialStore,
    Due,
    GrantStore,
    Lane,
    Lease,
    Page,
    Reads,
)
from tokenkeep.services.ports.machine import Clock, Entropy, Envelope, Journal, Passwords, Spill, Tasks
from tokenkeep.services.ports.outbox import EndpointStore, Mail, Notice, OutboxStore, Poster, Untold
from tokenkeep.services.ports.people import AccountStore, ReferenceStore, ServiceKeyStore
from tokenkeep.services.ports.probing import DatabaseProbe
from tokenkeep.services.ports.refusals import RefusalStore
from tokenkeep.services.ports.storage import InstanceStore, Mark, Memento, Obstacle, Watch
from tokenkeep.services.ports.stores import Stores
from tokenkeep.services.ports.timing import Forecast, ForecastStore, RejectionStore
from tokenkeep.services.ports.watching import Attention, EventStore, StatusCounts, StatusStore
from tokenkeep.services.ports.wire import Minter, Registration, TokenEndpoint

__all__ = [
    "AccountStore",
    "Attention",
    "AuthorizationStore",
    "Catalog",
    "ClientStore",
    "Clock",
    "CredentialFilter",
    "CredentialStore",
    "DataKeyStore",
    "DatabaseProbe",
    "Due",
    "EndpointStore",
    "Entropy",
    "Envelope",
    "EventStore",
    "Forecast",
    "ForecastStore",
    "GrantStore",
    "InstanceStore",
    "Journal",
    "Lane",
    "Lease",
    "Mail",
    "Mark",
    "Memento",
    "Minter",
    "Notice",
    "Obstacle",
    "OutboxStore",
    "Page",
    "Passwords",
    "Poster",
    "Reads",
    "ReferenceStore",
    "RefusalStore",
    "Registration",
    "RejectionStore",
    "ServiceKeyStore",
    "Spill",
    "StatusCounts",
    "StatusStore",
    "Stores",
    "Tasks",
    "TokenEndpoint",
    "Untold",
    "Watch",
]
