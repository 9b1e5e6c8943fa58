"""What the use cases need from the outside, declared by the side that needs it.

Owns: the list. Does not own: how any of it is done.

Each port has one adapter and one fake in `tests/kit`; stores pass one conformance suite. Methods that name a workspace never
see another one's rows: they answer None, or raise NotFound where they must act.
"""

from tokenkeep.services.ports.catalog import Catalog
from tokenkeep.services.ports.connecting import AuthorizationStore, ClientStore, DataKeyStore
from tokenkeep.services.ports.keeping import CredentialFilter, CredentialStore, GrantStore, Lease, Page, Reads
from tokenkeep.services.ports.machine import Clock, Entropy, Envelope, Journal, Passwords, Spill, Tasks
from tokenkeep.services.ports.people import AccountStore, ReferenceStore, ServiceKeyStore
from tokenkeep.services.ports.stores import Stores
from tokenkeep.services.ports.watching import Attention, EventStore, StatusCounts, StatusStore
from tokenkeep.services.ports.wire import Registration, TokenEndpoint

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
    "Entropy",
    "Envelope",
    "EventStore",
    "GrantStore",
    "Journal",
    "Lease",
    "Page",
    "Passwords",
    "Reads",
    "ReferenceStore",
    "Registration",
    "ServiceKeyStore",
    "Spill",
    "StatusCounts",
    "StatusStore",
    "Stores",
    "Tasks",
    "TokenEndpoint",
]
