"""All stores over one database.

Owns: the bundle. Does not own: what each of them does.
"""

from __future__ import annotations

from typing import Protocol

from tokenkeep.services.ports.connecting import AuthorizationStore, ClientStore
from tokenkeep.services.ports.keeping import CredentialStore, GrantStore, Reads
from tokenkeep.services.ports.outbox import EndpointStore, OutboxStore
from tokenkeep.services.ports.people import AccountStore, ReferenceStore, ServiceKeyStore
from tokenkeep.services.ports.refusals import RefusalStore
from tokenkeep.services.ports.storage import InstanceStore
from tokenkeep.services.ports.timing import ForecastStore, RejectionStore
from tokenkeep.services.ports.watching import EventStore, StatusStore


class Stores(Protocol):
    """Every store port, over one database."""

    @property
    def credentials(self) -> CredentialStore: ...
    @property
    def grants(self) -> GrantStore: ...
    @property
    def clients(self) -> ClientStore: ...
    @property
    def authorizations(self) -> AuthorizationStore: ...
    @property
    def references(self) -> ReferenceStore: ...
    @property
    def events(self) -> EventStore: ...
    @property
    def refusals(self) -> RefusalStore: ...
    @property
    def endpoints(self) -> EndpointStore: ...
    @property
    def outbox(self) -> OutboxStore: ...
    @property
    def forecasts(self) -> ForecastStore: ...
    @property
    def rejections(self) -> RejectionStore: ...
    @property
    def service_keys(self) -> ServiceKeyStore: ...
    @property
    def accounts(self) -> AccountStore: ...
    @property
    def status(self) -> StatusStore: ...
    @property
    def instance(self) -> InstanceStore: ...
    @property
    def reads(self) -> Reads: ...
