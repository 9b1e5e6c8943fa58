"""The store in memory: every store port, with an injected clock and the semantics of `adapters/store`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tests.kit.memory_accounts import MemoryAccounts, MemoryAuthorizations
from tests.kit.memory_grants import (
    MemoryCredentials,
    MemoryEvents,
    MemoryGrants,
    MemoryReferences,
    Rows,
)
from tests.kit.memory_instance import MemoryInstance
from tests.kit.memory_refusals import MemoryRefusals
from tests.kit.memory_timing import LIVING, MemoryForecasts, MemoryRejections
from tests.kit.memory_webhooks import MemoryEndpoints, MemoryOutbox
from tokenkeep.core.errors import Conflict, NotFound
from tokenkeep.core.model import (
    Client,
    Credential,
    DataKey,
    Event,
    Grant,
    ServiceKey,
    State,
)
from tokenkeep.services.ports import Attention, Clock, StatusCounts


class MemoryDatabase:
    """As `adapters.store.Database`. Names put into `broken` (`grants.claim`, `.store`, …) raise ConnectionError."""

    dialect = "memory"

    def __init__(self, clock: Clock) -> None:
        rows = Rows(clock)
        self.rows = rows
        self.broken = rows.broken
        self.credentials = MemoryCredentials(rows)
        self.grants = MemoryGrants(rows)
        self.references = MemoryReferences(rows)
        self.events = MemoryEvents(rows)
        self.forecasts = MemoryForecasts(rows)
        self.rejections = MemoryRejections(rows)
        self.endpoints = MemoryEndpoints(rows)
        self.outbox = MemoryOutbox(rows, self.endpoints)
        self.refusals = MemoryRefusals(rows)
        self.clients = MemoryClients(rows)
        self.service_keys = MemoryServiceKeys(rows)
        self.accounts = MemoryAccounts()
        self.authorizations = MemoryAuthorizations(rows, self.accounts)
        self.data_keys = MemoryDataKeys()
        self.instance = MemoryInstance(rows)
        self.status = MemoryStatus(rows)
        self.reads = MemoryReads(rows, self.clients)

    async def close(self) -> None:
        pass


class MemoryClients:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._clients: dict[str, Client] = {}

    async def get(self, workspace_id: str, client_id: str) -> Client | None:
        found = self._clients.get(client_id)
        return found if found is not None and found.workspace_id == workspace_id else None

    async def for_provider(self, workspace_id: str, provider: str) -> Client | None:
        return next((each for each in await self.list(workspace_id) if each.provider == provider), None)

    async def by_handle(self, client_id: str) -> Client | None:
        return self._clients.get(client_id)

    async def list(self, workspace_id: str) -> Sequence[Client]:
        found = [client for client in self._clients.values() if client.workspace_id == workspace_id]
        return sorted(found, key=lambda client: client.provider)

    async def put(self, client: Client, event: Event | None = None) -> None:
        same_id = self._clients.get(client.id)
        same_provider = await self.for_provider(client.workspace_id, client.provider)
        if (same_id is not None and same_id.workspace_id != client.workspace_id) or (
            same_provider is not None and same_provider.id != client.id
        ):
            raise Conflict
        self._clients[client.id] = client
        self._rows.tell(event)

    async def pause(self, client: Client, *, code: str, probe_at: datetime, event: Event | None = None) -> bool:
        stored = await self.get(client.workspace_id, client.id)
        if stored is None or stored.version != client.version:
            return False
        since = stored.incident_since or self._rows.clock.now()
        self._clients[client.id] = replace(stored, incident_code=code, incident_since=since, probe_at=probe_at)
        if not stored.incident_code:
            self._rows.tell(event)
        return not stored.incident_code

    async def probe(self, client: Client, *, next_probe_at: datetime) -> bool:
        stored = await self.get(client.workspace_id, client.id)
        if stored is None or not stored.incident_code or stored.probe_at != client.probe_at:
            return False
        self._clients[client.id] = replace(stored, probe_at=next_probe_at)
        return True

    async def resume(self, client: Client, event: Event | None = None) -> bool:
        stored = await self.get(client.workspace_id, client.id)
        if stored is None or not stored.incident_code:
            return False
        self._clients[client.id] = replace(stored, incident_code="", incident_since=None, probe_at=None)
        self._rows.tell(event)
        return True

    async def delete(self, workspace_id: str, provider: str) -> bool:
        found = await self.for_provider(workspace_id, provider)
        return found is not None and self._clients.pop(found.id, None) is not None


class MemoryServiceKeys:
    def __init__(self, rows: Rows) -> None:
        self._keys = rows.service_keys

    async def add(self, key: ServiceKey) -> None:
        assert key.id not in self._keys, "ids are unique"
        self._keys[key.id] = key

    async def get(self, key_id: str) -> ServiceKey | None:
        return self._keys.get(key_id)

    async def list(self, workspace_id: str) -> Sequence[ServiceKey]:
        found = [key for key in self._keys.values() if key.workspace_id == workspace_id]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    async def revoke(self, workspace_id: str, key_id: str, at: datetime) -> bool:
        key = self._keys.get(key_id)
        if key is None or key.workspace_id != workspace_id or key.revoked_at is not None:
            return False
        self._keys[key_id] = replace(key, revoked_at=at)
        return True

    async def used(self, uses: Mapping[str, datetime]) -> None:
        for key_id, at in uses.items():
            if key_id in self._keys:
                key = self._keys[key_id]
                self._keys[key_id] = replace(key, last_used_at=max(at, key.last_used_at or at))


class MemoryDataKeys:
    def __init__(self) -> None:
        self._keys: dict[bytes, DataKey] = {}
        self._check: bytes | None = None

    async def keys(self, workspace_id: str) -> Sequence[DataKey]:
        found = [key for key in self._keys.values() if key.workspace_id == workspace_id]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    async def add_key(self, key: DataKey) -> DataKey:
        active = next((each for each in await self.keys(key.workspace_id) if each.active), None)
        if active is None:
            self._keys[key.id] = active = key
        return active

    async def reserve(self, key_id: bytes, count: int) -> int:
        if key_id not in self._keys:
            raise NotFound
        key = self._keys[key_id]
        self._keys[key_id] = replace(key, used=key.used + count)
        return key.used + count

    async def any_keys(self) -> bool:
        return bool(self._keys)

    async def check(self) -> bytes | None:
        return self._check

    async def set_check(self, sealed: bytes) -> None:
        self._check = sealed


class MemoryStatus:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def counts(self, workspace_id: str, now: datetime) -> StatusCounts:
        grants = [grant for key, grant in self._rows.grants.items() if key[0] == workspace_id]
        planned = [at for grant in grants if (at := grant.standing.next_refresh_at) is not None]
        overdue = [at for at in planned if at < now - timedelta(minutes=1)]
        by_provider: dict[str, Counter[str]] = {}
        for grant in grants:
            by_provider.setdefault(grant.provider, Counter())[str(grant.standing.state)] += 1
        failures = [grant.standing.failure for grant in grants if grant.standing.failure is not None]
        return StatusCounts(
            by_state=dict(Counter(str(grant.standing.state) for grant in grants)),
            by_provider={provider: dict(states) for provider, states in by_provider.items()},
            without_grant=dict(
                Counter(
                    credential.type
                    for key, credential in self._rows.credentials.items()
                    if key[0] == workspace_id and key not in self._rows.grants
                )
            ),
            due=sum(at <= now + timedelta(minutes=5) for at in planned) - len(overdue),
            overdue=len(overdue),
            oldest_overdue=min(overdue, default=None),
            uncertain=sum(grant.intent_at is not None and self._free(grant) for grant in grants),
            by_failure=dict(Counter(str(failure.kind) for failure in failures)),
        )

    async def attention(self, workspace_id: str, *, limit: int) -> Sequence[Attention]:
        def since(grant: Grant) -> datetime:
            return grant.standing.failure.since if grant.standing.failure is not None else grant.connected_at

        troubled = [
            (since(grant), key, grant)
            for key, grant in self._rows.grants.items()
            if key[0] == workspace_id
            and (grant.standing.failure is not None or grant.standing.state is not State.CONNECTED)
        ]
        return [self._line(grant) for _, _, grant in sorted(troubled, key=lambda each: each[:2])][:limit]

    async def upcoming(self, workspace_id: str, *, limit: int) -> Sequence[Attention]:
        planned = [
            (at, key, grant)
            for key, grant in self._rows.grants.items()
            if key[0] == workspace_id
            and grant.standing.state is State.CONNECTED
            and (at := grant.standing.next_refresh_at) is not None
        ]
        return [self._line(grant) for _, _, grant in sorted(planned, key=lambda each: each[:2])][:limit]

    async def forecasts(self, workspace_id: str, *, limit: int) -> Sequence[Attention]:
        foreseen = [
            (date, key, grant)
            for key, grant in self._rows.grants.items()
            if key[0] == workspace_id
            and grant.standing.state in LIVING
            and (date := grant.standing.needs_person_at) is not None
        ]
        return [self._line(grant) for _, _, grant in sorted(foreseen, key=lambda each: each[:2])][:limit]

    async def ping(self) -> None:
        self._rows.works("status.ping")

    def _free(self, grant: Grant) -> bool:
        return not grant.lease_owner or (grant.lease_until is not None and grant.lease_until <= self._rows.clock.now())

    def _line(self, grant: Grant) -> Attention:
        credential = self._rows.credentials[grant.workspace_id, grant.credential_id]
        return Attention(
            credential_id=credential.id,
            name=credential.name,
            type=credential.type,
            provider=grant.provider,
            standing=grant.standing,
        )


class MemoryReads:
    def __init__(self, rows: Rows, clients: MemoryClients) -> None:
        self._rows, self._clients = rows, clients
        self._epoch = 0
        self.still = False
        """True: claims that nothing is committed any more. Else it never claims that."""

    async def epoch(self) -> int:
        self._epoch += not self.still
        return self._epoch

    async def service_key(self, key_id: str) -> ServiceKey | None:
        return self._rows.service_keys.get(key_id)

    async def credential(self, workspace_id: str, credential_id: str) -> Credential | None:
        return self._rows.whole((workspace_id, credential_id))

    async def both(
        self, key_id: str, workspace_id: str, credential_id: str
    ) -> tuple[ServiceKey | None, Credential | None]:
        return await self.service_key(key_id), await self.credential(workspace_id, credential_id)

    async def client(self, workspace_id: str, client_id: str) -> Client | None:
        return await self._clients.get(workspace_id, client_id)
