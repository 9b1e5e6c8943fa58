"""Credentials, grants, references and history in memory, with the semantics of `adapters/store`."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tokenkeep.core.errors import InvalidInput, NotFound
from tokenkeep.core.model import Credential, Event, FailureKind, Grant, Reference, ServiceKey, Standing, State
from tokenkeep.services.ports import Clock, CredentialFilter, Due, Lane, Lease, Page

Key = tuple[str, str]
"""(workspace, credential)."""


@dataclass
class Rows:
    """What the stores of one database share."""

    clock: Clock
    broken: set[str] = field(default_factory=set)
    credentials: dict[Key, Credential] = field(default_factory=dict)  # without their grants
    grants: dict[Key, Grant] = field(default_factory=dict)
    orphans: dict[tuple[str, str, str, int, int], tuple[bytes, datetime]] = field(default_factory=dict)
    references: dict[tuple[str, str, str], Reference] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    service_keys: dict[str, ServiceKey] = field(default_factory=dict)

    def tell(self, event: Event | None) -> None:
        self.events += [event] if event is not None else []

    def whole(self, key: Key) -> Credential | None:
        found = self.credentials.get(key)
        return replace(found, grant=self.grants.get(key)) if found is not None else None

    def works(self, name: str) -> None:
        """Raises ConnectionError while `name`, such as `grants.store`, is among the broken."""
        if name in self.broken:
            raise ConnectionError(f"{name}: the database is away")


def cursor_of(*parts: str) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def parts_of(cursor: str, count: int) -> list[str]:
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor))
    except ValueError:
        parts = None
    if not isinstance(parts, list) or len(parts) != count:
        raise InvalidInput(fields={"cursor": "is not from a page before"})
    return parts


AT_REST = {State.REAUTHORIZATION_REQUIRED, State.QUARANTINED}


class MemoryCredentials:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def add(self, credential: Credential, event: Event) -> None:
        key = credential.workspace_id, credential.id
        assert key not in self._rows.credentials, "ids are unique"
        self._rows.credentials[key] = replace(credential, grant=None)
        self._rows.tell(event)

    async def get(self, workspace_id: str, credential_id: str) -> Credential | None:
        return self._rows.whole((workspace_id, credential_id))

    async def list(self, workspace_id: str, wanted: CredentialFilter) -> Page[Credential]:
        after = tuple(parts_of(wanted.cursor, 2)) if wanted.cursor else ("", "")
        found = sorted(
            (credential.name.casefold(), credential.id)
            for key, credential in self._rows.credentials.items()
            if key[0] == workspace_id and _fits(credential, self._rows.grants.get(key), wanted)
        )
        rest = [place for place in found if place > after]
        shown = rest[: wanted.limit]
        return Page(
            items=[self._seen(workspace_id, credential_id) for _, credential_id in shown],
            next_cursor=cursor_of(*shown[-1]) if shown and len(rest) > len(shown) else "",
        )

    def _seen(self, workspace_id: str, credential_id: str) -> Credential:
        credential = self._rows.whole((workspace_id, credential_id))
        assert credential is not None
        grant = credential.grant
        if grant is not None:
            grant = replace(grant, sealed=b"", prev_sealed=None, account_sealed=None)
        return replace(credential, values_sealed=None, grant=grant)

    async def update(self, credential: Credential, *, expected_version: int, event: Event) -> bool:
        key = credential.workspace_id, credential.id
        stored = self._rows.credentials.get(key)
        if stored is None or stored.version != expected_version:
            return False
        self._rows.credentials[key] = replace(
            stored,
            name=credential.name,
            values_sealed=credential.values_sealed,
            values_version=credential.values_version,
            masked=credential.masked,
            updated_at=credential.updated_at,
            version=expected_version + 1,
        )
        self._rows.tell(event)
        return True

    async def delete(self, workspace_id: str, credential_id: str) -> bool:
        rows, key = self._rows, (workspace_id, credential_id)
        rows.grants.pop(key, None)
        for table in (rows.orphans, rows.references):
            for each in [each for each in table if each[:2] == key]:
                del table[each]  # type: ignore[attr-defined]
        rows.events[:] = [event for event in rows.events if (event.workspace_id, event.credential_id) != key]
        return rows.credentials.pop(key, None) is not None


def _fits(credential: Credential, grant: Grant | None, wanted: CredentialFilter) -> bool:
    state = str(grant.standing.state) if grant is not None else ""
    asked = "" if wanted.state in (State.STORED, State.UNCONNECTED) else wanted.state
    return (
        (not wanted.types or credential.type in wanted.types)
        and (not wanted.state or state == asked)
        and wanted.query.casefold() in credential.name.casefold()
        and (wanted.ids is None or credential.id in wanted.ids)
    )


class MemoryGrants:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def get(self, workspace_id: str, credential_id: str) -> Grant | None:
        return self._rows.grants.get((workspace_id, credential_id))

    async def connect(self, grant: Grant, event: Event) -> None:
        self._rows.works("grants.connect")
        key = grant.workspace_id, grant.credential_id
        if key not in self._rows.credentials:
            raise NotFound
        replaced = self._rows.grants.get(key)
        fence = replaced.fence + 1 if replaced is not None else grant.fence
        self._rows.grants[key] = _released(replace(grant, fence=fence, refused=()))
        self._rows.tell(event)

    async def disconnect(self, workspace_id: str, credential_id: str, event: Event) -> Grant | None:
        removed = self._rows.grants.pop((workspace_id, credential_id), None)
        self._rows.tell(event if removed is not None else None)
        return removed

    async def due(self, *, limit: int, beside: Collection[Lane] = ()) -> Sequence[Due]:
        now = self._rows.clock.now()
        planned = [
            (grant.standing.next_refresh_at, Due(*key, grant.provider))
            for key, grant in self._rows.grants.items()
            if (key[0], grant.provider) not in beside and grant.standing.state not in AT_REST
        ]
        return [due for at, due in sorted(each for each in planned if each[0] is not None and each[0] <= now)][:limit]

    async def claim(self, grant: Grant, *, owner: str, lease_s: int, intent_fingerprint: str) -> Lease | None:
        self._rows.works("grants.claim")
        stored = self._same(grant)
        if stored is None or stored.fence != grant.fence or not self._free(stored):
            return None
        if stored.standing.state is not grant.standing.state:
            return None
        until = self._rows.clock.now() + timedelta(seconds=lease_s)
        claimed = replace(
            stored,
            lease_owner=owner,
            lease_until=until,
            fence=stored.fence + 1,
            intent_at=self._rows.clock.now(),
            intent_fingerprint=intent_fingerprint,
        )
        self._put(replace(claimed, standing=replace(stored.standing, next_refresh_at=until)))
        return Lease(
            grant=claimed,
            previous_intent_at=stored.intent_at,
            previous_intent_fingerprint=stored.intent_fingerprint,
        )

    async def extend(self, lease: Lease, *, lease_s: int) -> bool:
        self._rows.works("grants.extend")
        stored = self._held(lease)
        if stored is None or stored.lease_owner != lease.grant.lease_owner:
            return False
        until = self._rows.clock.now() + timedelta(seconds=lease_s)
        standing = replace(stored.standing, next_refresh_at=until)
        self._put(replace(stored, lease_until=until, standing=standing))
        return True

    async def store(self, lease: Lease, grant: Grant, event: Event, *, unsettled: bool = False) -> bool:
        self._rows.works("grants.store")
        stored = self._held(lease)
        if stored is None:
            return False
        kept = {name: getattr(stored, name) for name in ("client", "provider", "connected_at", "fence")}
        traces = {name: getattr(stored, name) for name in ("intent_at", "intent_fingerprint", "refused")}
        kept |= traces if unsettled else {"refused": ()}
        keep_intent = unsettled and lease.previous_intent_at is not None
        self._put(_released(replace(grant, **kept), keep_intent=keep_intent))
        self._rows.tell(event)
        return True

    async def settle(
        self,
        lease: Lease,
        standing: Standing,
        event: Event | None,
        *,
        keep_intent: bool = False,
        refused: Sequence[str] = (),
    ) -> bool:
        self._rows.works("grants.settle")
        stored = self._held(lease)
        if stored is None or stored.lease_owner != lease.grant.lease_owner:
            return False
        released = _released(stored, keep_intent=keep_intent)
        self._put(replace(released, standing=standing, refused=tuple(refused)))
        self._rows.tell(event)
        return True

    async def shelve(self, lease: Lease, sealed: bytes, *, version: int, until: datetime) -> None:
        lost = lease.grant
        if (lost.workspace_id, lost.credential_id) in self._rows.credentials:
            place = lost.workspace_id, lost.credential_id, lost.grant_id, version, lost.fence
            self._rows.orphans[place] = sealed, until

    async def orphans(self, workspace_id: str, credential_id: str, grant_id: str) -> Sequence[tuple[int, bytes]]:
        now = self._rows.clock.now()
        shelved = [
            (place[3:], sealed)
            for place, (sealed, until) in self._rows.orphans.items()
            if place[:3] == (workspace_id, credential_id, grant_id) and until > now
        ]
        return [(version, sealed) for (version, _), sealed in sorted(shelved, reverse=True)]

    async def restand(self, grant: Grant, standing: Standing, event: Event | None) -> bool:
        stored = self._same(grant)
        if stored is None or not self._free(stored):
            return False
        self._put(replace(stored, standing=standing, refused=()))
        self._rows.tell(event)
        return True

    async def hasten(self, workspace_id: str, client: str, *, within_s: int = 0) -> int:
        now = self._rows.clock.now()

        def waits(grant: Grant) -> bool:
            failure, planned = grant.standing.failure, grant.standing.next_refresh_at
            failed = failure is not None and failure.kind is FailureKind.CLIENT
            return failed or (planned is not None and now < planned <= now + timedelta(seconds=within_s))

        of_client = [
            grant
            for grant in self._rows.grants.values()
            if (grant.workspace_id, grant.client) == (workspace_id, client) and self._free(grant)
        ]
        return self._due_now([grant for grant in of_client if waits(grant)])

    async def hasten_future(self) -> int:
        now = self._rows.clock.now()
        ahead = [
            grant
            for grant in self._rows.grants.values()
            if (grant.standing.last_refresh_at or now) > now + timedelta(seconds=60)
            and grant.standing.next_refresh_at is not None
            and self._free(grant)
        ]
        for grant in ahead:
            self._put(replace(grant, standing=replace(grant.standing, next_refresh_at=now)))
        return len(ahead)

    async def release_all(self, *, owners: str) -> int:
        leased = [
            grant for grant in self._rows.grants.values() if grant.lease_owner and grant.lease_owner.startswith(owners)
        ]
        return self._due_now([_released(grant, keep_intent=True) for grant in leased])

    async def purge(self) -> int:
        now = self._rows.clock.now()
        over = [place for place, (_, until) in self._rows.orphans.items() if until <= now]
        for place in over:
            del self._rows.orphans[place]
        spent = [
            grant for grant in self._rows.grants.values() if grant.prev_until is not None and grant.prev_until <= now
        ]
        for grant in spent:
            self._put(replace(grant, prev_sealed=None, prev_until=None))
        for grant in list(self._rows.grants.values()):
            if grant.standing.state in AT_REST and grant.lease_until is not None and grant.lease_until <= now:
                standing = replace(grant.standing, next_refresh_at=None)
                self._put(replace(_released(grant), refused=(), standing=standing))
        return len(over) + len(spent)

    async def now(self) -> datetime:
        return self._rows.clock.now()

    def _due_now(self, grants: Sequence[Grant]) -> int:
        for grant in grants:
            self._put(replace(grant, standing=replace(grant.standing, next_refresh_at=self._rows.clock.now())))
        return len(grants)

    def _same(self, grant: Grant) -> Grant | None:
        stored = self._rows.grants.get((grant.workspace_id, grant.credential_id))
        wanted = grant.grant_id, grant.version
        return stored if stored is not None and (stored.grant_id, stored.version) == wanted else None

    def _held(self, lease: Lease) -> Grant | None:
        stored = self._same(lease.grant)
        return stored if stored is not None and stored.fence == lease.grant.fence else None

    def _free(self, grant: Grant) -> bool:
        return not grant.lease_owner or (grant.lease_until is not None and grant.lease_until <= self._rows.clock.now())

    def _put(self, grant: Grant) -> None:
        self._rows.grants[grant.workspace_id, grant.credential_id] = grant


def _released(grant: Grant, *, keep_intent: bool = False) -> Grant:
    intent: dict[str, Any] = {} if keep_intent else {"intent_at": None, "intent_fingerprint": ""}
    return replace(grant, lease_owner="", lease_until=None, **intent)


class MemoryReferences:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def list(self, workspace_id: str, credential_id: str) -> Sequence[Reference]:
        of_credential = (workspace_id, credential_id)
        return [found for place, found in sorted(self._rows.references.items()) if place[:2] == of_credential]

    async def declare(self, workspace_id: str, credential_id: str, consumer: str, at: datetime) -> None:
        if (workspace_id, credential_id) not in self._rows.credentials:
            raise NotFound
        new = Reference(consumer=consumer, declared=True, created_at=at, last_used_at=None)
        place = workspace_id, credential_id, consumer
        self._rows.references[place] = replace(self._rows.references.get(place, new), declared=True)

    async def remove(self, workspace_id: str, credential_id: str, consumer: str) -> bool:
        return self._rows.references.pop((workspace_id, credential_id, consumer), None) is not None

    async def seen(self, uses: Mapping[tuple[str, str, str], datetime]) -> None:
        for place, at in uses.items():
            if place[:2] in self._rows.credentials:
                new = Reference(consumer=place[2], declared=False, created_at=at, last_used_at=at)
                known = self._rows.references.get(place, new)
                last = max(at, known.last_used_at or at)
                self._rows.references[place] = replace(known, last_used_at=last)


class MemoryEvents:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def add(self, event: Event) -> None:
        self._rows.tell(event)

    async def list(self, workspace_id: str, credential_id: str, *, limit: int, cursor: str) -> Page[Event]:
        found = [event for event in self._newest(workspace_id) if event.credential_id == credential_id]
        if cursor:
            (last,) = parts_of(cursor, 1)
            ids = [event.id for event in found]
            found = found[ids.index(last) + 1 :] if last in ids else []
        shown = found[:limit]
        return Page(items=shown, next_cursor=cursor_of(shown[-1].id) if shown and len(found) > limit else "")

    async def recent(self, workspace_id: str, *, kinds: Sequence[str], limit: int) -> Sequence[Event]:
        return [event for event in self._newest(workspace_id) if not kinds or event.kind in kinds][:limit]

    def _newest(self, workspace_id: str) -> Sequence[Event]:
        of_workspace = [event for event in reversed(self._rows.events) if event.workspace_id == workspace_id]
        return sorted(of_workspace, key=lambda event: event.at, reverse=True)
