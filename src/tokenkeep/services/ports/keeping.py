"""Stores of credentials and their grants, with leases.

Owns: what is kept for good. Does not own: attempts, people, numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

from tokenkeep.core.model import Client, Credential, Event, Grant, ServiceKey, Standing

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialFilter:
    """Which credentials to list. Empty parts do not filter."""

    types: tuple[str, ...] = ()
    state: str = ""
    query: str = ""  # part of the name, case-insensitive
    ids: frozenset[str] | None = None  # the caller's limit
    limit: int = 50
    cursor: str = ""  # opaque, from the page before


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list."""

    items: Sequence[T]
    next_cursor: str  # empty: the last page


class CredentialStore(Protocol):
    """Credentials, each with its grant if it has one."""

    async def add(self, credential: Credential, event: Event) -> None: ...

    async def get(self, workspace_id: str, credential_id: str) -> Credential | None: ...

    async def list(self, workspace_id: str, wanted: CredentialFilter) -> Page[Credential]:
        """Ordered by name, then id. Never selects sealed columns: `values_sealed` is None, the grant's `sealed` empty."""

    async def update(self, credential: Credential, *, expected_version: int, event: Event) -> bool:
        """Writes name, values and masks where the row still has `expected_version`. False: it has not."""

    async def delete(self, workspace_id: str, credential_id: str) -> bool:
        """With grant, orphans, references and history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """An exclusive, time-limited claim on a grant, and the grant as it was when claimed."""

    grant: Grant
    previous_intent_at: datetime | None
    """Not None: an earlier refresh never reported its outcome, so its refresh token may be spent."""
    previous_intent_fingerprint: str


Lane = tuple[str, str]
"""(workspace, provider)"""


class Due(NamedTuple):
    """A grant whose time has come."""

    workspace_id: str
    credential_id: str
    provider: str


class GrantStore(Protocol):
    """Grants and their leases. All conditional writes are one statement; lease times are the database's."""

    async def get(self, workspace_id: str, credential_id: str) -> Grant | None: ...

    async def connect(self, grant: Grant, event: Event) -> None:
        """Put in place of whatever grant was there: the newer consent wins, lease and failure end.

        Raises NotFound when the credential is gone. The stored `fence` is one above the replaced grant's, so a refresh
        still under way for the older grant cannot write."""

    async def disconnect(self, workspace_id: str, credential_id: str, event: Event) -> Grant | None:
        """Remove the grant, answering what was removed."""

    async def due(self, *, limit: int, beside: Collection[Lane] = ()) -> Sequence[Due]:
        """Grants whose `next_refresh_at` has come, oldest first, by the partial index. Those of lanes `beside` are left out.

        A claimed row is not due: claiming moves `next_refresh_at` to the lease's end, so a crashed owner's row comes
        back by itself."""

    async def claim(self, grant: Grant, *, owner: str, lease_s: int, intent_fingerprint: str) -> Lease | None:
        """W1: take the lease where version, grant_id and workspace still match and no live lease stands.

        Sets `lease_owner`, `lease_until`, `intent_at`, `intent_fingerprint`, `fence + 1`, and `next_refresh_at` to
        the lease's end. None: somebody else has it, or the row has changed."""

    async def extend(self, lease: Lease, *, lease_s: int) -> bool:
        """Prolong a lease we still hold (same fence)."""

    async def store(self, lease: Lease, grant: Grant, event: Event, *, unsettled: bool = False) -> bool:
        """W2: the new generation, where fence, version and grant_id are still the lease's. Releases, clears the intent.

        `grant` is complete: version already raised, sealed for it. `unsettled`: it was obtained under another lease, so
        what refreshes since then left behind stays. False: nothing was written."""

    async def settle(
        self,
        lease: Lease,
        standing: Standing,
        event: Event | None,
        *,
        keep_intent: bool = False,
        refused: Sequence[str] = (),
    ) -> bool:
        """End a refresh that changed no token: write the standing, release the lease. Same condition as `store`.

        `keep_intent`: the outcome is uncertain, so the trace stays for recovery. `refused`: fingerprints of the refresh
        tokens that recovery need not try any more."""

    async def shelve(self, lease: Lease, sealed: bytes, *, version: int, until: datetime) -> None:
        """Orphan shelf: a sealed token set that lost its fence. Kept until `until`."""

    async def orphans(self, workspace_id: str, credential_id: str, grant_id: str) -> Sequence[tuple[int, bytes]]:
        """(version, sealed) still on the shelf, newest first."""

    async def restand(self, grant: Grant, standing: Standing, event: Event | None) -> bool:
        """Change the standing of a grant that nobody leases, where version and grant_id still match. Refusals are forgotten."""

    async def hasten(self, workspace_id: str, client: str, *, within_s: int = 0) -> int:
        """Make every unleased client-failed grant of a client due now: its secret was mended.

        Those that come due `within_s` anyway, too: while the client was paused they were merely postponed."""

    async def hasten_future(self) -> int:
        """Make due what was refreshed in the future, by more than a minute: the clock was set back since, and their plans lie
        as far ahead."""

    async def release_all(self, *, owners: str) -> int:
        """End every lease whose owner begins with `owners`: right only where no such process can be alive."""

    async def purge(self) -> int:
        """Forget orphans and spent refresh tokens whose time is over. Answers how many."""

    async def now(self) -> datetime:
        """The database's clock."""


class Reads(Protocol):
    """What a token read needs, from memory when nothing changed, and never stale after a commit anywhere."""

    async def epoch(self) -> int:
        """A number that was answered before only if nothing was committed since. Raises Unavailable."""

    async def service_key(self, key_id: str) -> ServiceKey | None: ...

    async def credential(self, workspace_id: str, credential_id: str) -> Credential | None: ...

    async def both(
        self, key_id: str, workspace_id: str, credential_id: str
    ) -> tuple[ServiceKey | None, Credential | None]:
        """A service key and a credential, in one question."""

    async def client(self, workspace_id: str, client_id: str) -> Client | None: ...
