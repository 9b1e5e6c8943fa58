"""The store: the only SQL.

Owns: `Database`, which bundles one store per aggregate over the same connections. Does not own: the shape of rows
(`adapters/tables`) or bringing a database to that shape (`adapters/migrate`).
"""

from __future__ import annotations

from tokenkeep.adapters.store.accounts import Accounts
from tokenkeep.adapters.store.authorizations import Authorizations
from tokenkeep.adapters.store.clients import Clients
from tokenkeep.adapters.store.condition import Condition
from tokenkeep.adapters.store.credentials import Credentials
from tokenkeep.adapters.store.data_keys import DataKeys
from tokenkeep.adapters.store.endpoints import Endpoints
from tokenkeep.adapters.store.engine import Engines
from tokenkeep.adapters.store.events import Events
from tokenkeep.adapters.store.forecasts import Forecasts
from tokenkeep.adapters.store.grants import Grants
from tokenkeep.adapters.store.instance import Instance
from tokenkeep.adapters.store.outbox import Outbox
from tokenkeep.adapters.store.reads_postgresql import PostgresqlReads
from tokenkeep.adapters.store.reads_sqlite import SqliteReads
from tokenkeep.adapters.store.references import References
from tokenkeep.adapters.store.refusals import Refusals
from tokenkeep.adapters.store.rejections import RejectionRuns
from tokenkeep.adapters.store.service_keys import ServiceKeys
from tokenkeep.adapters.store.status import Status

__all__ = ["Database"]


class Database:
    """Every store port over one database. The database is already of the present shape: see `migrate`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self.dialect = engines.dialect
        """sqlite or postgresql."""
        self.credentials = Credentials(engines)
        self.grants = Grants(engines)
        self.clients = Clients(engines)
        self.authorizations = Authorizations(engines)
        self.references = References(engines)
        self.events = Events(engines)
        self.forecasts = Forecasts(engines)
        self.rejections = RejectionRuns(engines)
        self.endpoints = Endpoints(engines)
        self.outbox = Outbox(engines)
        self.refusals = Refusals(engines)
        self.service_keys = ServiceKeys(engines)
        self.accounts = Accounts(engines)
        self.data_keys = DataKeys(engines)
        self.status = Status(engines)
        self.instance = Instance(engines)
        self.condition = Condition(engines)
        self.reads: SqliteReads | PostgresqlReads = (
            SqliteReads(engines.path, heard=self.condition.hear)
            if engines.dialect == "sqlite"
            else PostgresqlReads(engines.url)
        )

    @classmethod
    def open(cls, url: str, *, pool_size: int = 5) -> Database:
        """Connect when first needed. Raises Misconfigured for a URL of another database.

        `pool_size` bounds what reads at once; on PostgreSQL it bounds writers too.
        """
        return cls(Engines(url, pool_size=pool_size))

    async def close(self) -> None:
        """Close every connection: a driver thread left open would keep the process alive."""
        await self.reads.close()
        await self._engines.close()
