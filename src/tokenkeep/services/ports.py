"""What the use cases need from the outside, declared by the side that needs it.

Each port has one adapter and one fake in `tests/kit`; stores pass one conformance suite. Methods that name a
workspace never see another one's rows: they answer None, or raise NotFound where they must act.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from tokenkeep.core.model import (
    Answer,
    AuthorizationRequest,
    Call,
    Client,
    ConnectSession,
    Credential,
    CredentialType,
    DataKey,
    Event,
    Grant,
    Place,
    Provider,
    Reference,
    ServiceKey,
    SessionState,
    Standing,
    User,
    UserSession,
)
from tokenkeep.core.secret import Secret

T = TypeVar("T")

# --- the machine -----------------------------------------------------------------------------------------


class Clock(Protocol):
    """Time, and waiting for it."""

    def now(self) -> datetime:
        """Aware UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that counts through suspension and never leaps (CLOCK_BOOTTIME)."""

    async def sleep(self, seconds: float) -> None: ...


class Entropy(Protocol):
    """Chance."""

    def token(self, octets: int = 32) -> str:
        """URL-safe text of that many random octets."""

    def id(self) -> str:
        """A fresh opaque id (UUIDv4 text). Never a secret."""

    def octets(self, count: int) -> bytes: ...

    def fraction(self) -> float:
        """Uniform in [0, 1): jitter."""


class Passwords(Protocol):
    """Argon2id, away from the event loop."""

    async def hash(self, password: Secret) -> str: ...

    async def verify(self, password_hash: str, password: Secret) -> bool:
        """Takes as long for an empty hash (no such user) as for a real one (T69)."""


class Journal(Protocol):
    """Where use cases report what happened: structured logs and metrics. No secrets by construction."""

    def record(self, action: str, /, **facts: str | int | float | bool | None) -> None: ...


class Envelope(Protocol):
    """Sealing: the only cryptography. Raises Quarantined when something does not open."""

    async def seal(self, plain: bytes, place: Place) -> bytes: ...

    async def open(self, sealed: bytes, place: Place) -> bytes: ...

    async def index(self, text: str, workspace_id: str) -> str:
        """A keyed digest for equality search over sealed text (provider account ids)."""


class Spill(Protocol):
    """A shelf outside the database for answers that the database could not take (reliability 4.4)."""

    async def put(self, name: str, sealed: bytes) -> None:
        """Durable when it returns: written, fsynced, renamed, directory fsynced."""

    async def drop(self, name: str) -> None:
        """Silent when it is not there."""

    async def all(self) -> Mapping[str, bytes]: ...


# --- the catalogue -----------------------------------------------------------------------------------------


class Catalog(Protocol):
    """Providers and credential types, read from their files."""

    def provider(self, provider_id: str) -> Provider:
        """Raises NotFound."""

    def type(self, name: str) -> CredentialType:
        """By name or alias. Raises UnknownType."""

    def types(self) -> Sequence[CredentialType]:
        """All, most popular first, then by label."""

    def providers(self) -> Sequence[Provider]: ...

    def icon(self, type_name: str) -> bytes:
        """SVG octets: the brand's, or a generated letter mark. Raises UnknownType."""


# --- the wire ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A client with its secret opened, its variables and the provider it belongs to: what a call needs."""

    client: Client
    provider: Provider
    secret: Secret | None
    redirect_uri: str


class TokenEndpoint(Protocol):
    """The provider's authorization server. Never raises for what the network or the provider does."""

    def authorization_url(
        self, registration: Registration, *, state: str, verifier: str, scopes: Sequence[str], extra: Mapping[str, str]
    ) -> str:
        """RFC 6749 section 4.1.1 with PKCE S256 (RFC 7636) unless the provider's file switches it off."""

    async def exchange(self, registration: Registration, *, code: str, verifier: str, endpoint: str) -> Answer:
        """RFC 6749 section 4.1.3, at `endpoint`: the one frozen in the authorization request."""

    async def refresh(self, registration: Registration, *, refresh_token: Secret, scopes: Sequence[str]) -> Answer:
        """RFC 6749 section 6, on a fresh connection, within 30 s in all."""

    async def revoke(self, registration: Registration, *, token: Secret, hint: str) -> Answer:
        """RFC 7009; `hint` is refresh_token or access_token. Status 0 with fault `unsupported` where there is none."""

    async def call(
        self, call: Call, *, variables: Mapping[str, str], headers: Mapping[str, str], query: Mapping[str, str]
    ) -> Answer:
        """A verification or account call, already carrying its authorization."""


# --- the store -------------------------------------------------------------------------------------------------


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


class GrantStore(Protocol):
    """Grants and their leases. All conditional writes are one statement; lease times are the database's."""

    async def get(self, workspace_id: str, credential_id: str) -> Grant | None: ...

    async def connect(self, grant: Grant, event: Event) -> None:
        """Put in place of whatever grant was there: the newer consent wins, lease and failure end.

        Raises NotFound when the credential is gone. The stored `fence` is one above the replaced grant's, so a refresh
        still under way for the older grant cannot write."""

    async def disconnect(self, workspace_id: str, credential_id: str, event: Event) -> Grant | None:
        """Remove the grant, answering what was removed."""

    async def due(self, *, limit: int) -> Sequence[tuple[str, str]]:
        """(workspace, credential) of grants whose `next_refresh_at` has come, oldest first, by the partial index.

        A claimed row is not due: claiming moves `next_refresh_at` to the lease's end, so a crashed owner's row comes
        back by itself."""

    async def claim(self, grant: Grant, *, owner: str, lease_s: int, intent_fingerprint: str) -> Lease | None:
        """W1: take the lease where version, grant_id and workspace still match and no live lease stands.

        Sets `lease_owner`, `lease_until`, `intent_at`, `intent_fingerprint`, `fence + 1`, and `next_refresh_at` to
        the lease's end. None: somebody else has it, or the row has changed."""

    async def extend(self, lease: Lease, *, lease_s: int) -> bool:
        """Prolong a lease we still hold (same fence)."""

    async def store(self, lease: Lease, grant: Grant, event: Event) -> bool:
        """W2: the new generation, where fence, version and grant_id are still the lease's. Releases, clears the intent.

        `grant` is complete: version already raised, sealed for it. False: nothing was written."""

    async def settle(self, lease: Lease, standing: Standing, event: Event | None, *, keep_intent: bool = False) -> bool:
        """End a refresh that changed no token: write the standing, release the lease. Same condition as `store`.

        `keep_intent`: the outcome is uncertain, so the trace stays for recovery."""

    async def shelve(self, lease: Lease, sealed: bytes, *, version: int, until: datetime) -> None:
        """Orphan shelf: a sealed token set that lost its fence. Kept until `until`."""

    async def orphans(self, workspace_id: str, credential_id: str, grant_id: str) -> Sequence[tuple[int, bytes]]:
        """(version, sealed) still on the shelf, newest first."""

    async def restand(self, grant: Grant, standing: Standing, event: Event | None) -> bool:
        """Change the standing of a grant that nobody leases, where version and grant_id still match."""

    async def hasten(self, workspace_id: str, client: str) -> int:
        """Make every unleased client-failed grant of a client due now: its secret was mended."""

    async def release_all(self) -> int:
        """End every lease: only right where this process is known to be the only one (embedded SQLite, at start)."""

    async def now(self) -> datetime:
        """The database's clock."""


class ClientStore(Protocol):
    """Registrations at providers; one per workspace and provider."""

    async def get(self, workspace_id: str, client_id: str) -> Client | None:
        """By our handle."""

    async def for_provider(self, workspace_id: str, provider: str) -> Client | None: ...

    async def by_handle(self, client_id: str) -> Client | None:
        """Across workspaces: only the callback route, which then compares with the authorization request."""

    async def list(self, workspace_id: str) -> Sequence[Client]: ...

    async def put(self, client: Client) -> None:
        """Insert, or replace the one with the same id. Clears an incident unless `client` carries one."""

    async def pause(self, client: Client, *, code: str, probe_at: datetime) -> bool:
        """Begin or prolong an incident. True: it began now (alert once)."""

    async def probe(self, client: Client, *, next_probe_at: datetime) -> bool:
        """Take the one try that is allowed while paused. False: somebody else took it."""

    async def resume(self, client: Client) -> bool:
        """End an incident. True: there was one."""

    async def delete(self, workspace_id: str, provider: str) -> bool: ...


class AuthorizationStore(Protocol):
    """Attempts to connect, and the sessions that invite to them."""

    async def add_request(self, request: AuthorizationRequest) -> None: ...

    async def take_request(self, state_digest: str) -> AuthorizationRequest | None:
        """DELETE … RETURNING: whoever gets it is the only one who ever does (T22). Also answers expired ones."""

    async def pending_requests(self, workspace_id: str, user_id: str) -> int:
        """How many are open (T72)."""

    async def add_session(self, session: ConnectSession) -> None: ...

    async def session(self, workspace_id: str, session_id: str) -> ConnectSession | None: ...

    async def session_by_secret(self, secret_digest: str) -> ConnectSession | None: ...

    async def move_session(self, session: ConnectSession, *, from_states: Sequence[SessionState]) -> bool:
        """Write all changeable parts where the stored state is one of `from_states`."""

    async def purge(self, before: datetime) -> int:
        """Forget requests, sessions and sign-in links that ended before then."""


class ReferenceStore(Protocol):
    """What uses a credential."""

    async def list(self, workspace_id: str, credential_id: str) -> Sequence[Reference]: ...

    async def declare(self, workspace_id: str, credential_id: str, consumer: str, at: datetime) -> None: ...

    async def remove(self, workspace_id: str, credential_id: str, consumer: str) -> bool: ...

    async def seen(self, uses: Mapping[tuple[str, str, str], datetime]) -> None:
        """(workspace, credential, consumer) -> last use; adds those not known. Rows of deleted credentials are skipped."""


class EventStore(Protocol):
    """History."""

    async def add(self, event: Event) -> None: ...

    async def list(self, workspace_id: str, credential_id: str, *, limit: int, cursor: str) -> Page[Event]:
        """Newest first."""

    async def recent(self, workspace_id: str, *, kinds: Sequence[str], limit: int) -> Sequence[Event]: ...


class ServiceKeyStore(Protocol):
    """Programs' keys."""

    async def add(self, key: ServiceKey) -> None: ...

    async def get(self, key_id: str) -> ServiceKey | None:
        """Across workspaces: the key says which one it belongs to."""

    async def list(self, workspace_id: str) -> Sequence[ServiceKey]: ...

    async def revoke(self, workspace_id: str, key_id: str, at: datetime) -> bool: ...

    async def used(self, uses: Mapping[str, datetime]) -> None: ...


class AccountStore(Protocol):
    """People, their workspaces, sessions and one-time sign-in links."""

    async def workspaces(self) -> Sequence[tuple[str, str]]:
        """(id, name), oldest first, without the reserved instance workspace."""

    async def add_workspace(self, workspace_id: str, name: str, at: datetime) -> None: ...

    async def add_user(self, user: User, *, workspace_id: str, role: str) -> None:
        """Raises Conflict when the e-mail address is taken."""

    async def user_by_email(self, email: str) -> User | None: ...

    async def first_admin(self) -> User | None:
        """The oldest user who is owner or admin of a workspace. None: nobody has signed up yet."""

    async def set_password(self, user_id: str, password_hash: str) -> None: ...

    async def membership(self, user_id: str) -> tuple[str, str] | None:
        """(workspace, role) of the user's oldest membership."""

    async def add_session(self, session: UserSession) -> None: ...

    async def session(self, digest: str) -> UserSession | None: ...

    async def sessions(self, user_id: str) -> Sequence[UserSession]: ...

    async def touch_session(self, digest: str, seen_at: datetime) -> None: ...

    async def end_session(self, digest: str) -> bool: ...

    async def end_sessions(self, user_id: str) -> int: ...

    async def add_link(self, digest: str, *, expires_at: datetime) -> None: ...

    async def link_expiry(self, digest: str) -> datetime | None:
        """Looks without consuming (T37)."""

    async def take_link(self, digest: str) -> datetime | None:
        """Consumes: its expiry, or None when it is unknown or used."""


class DataKeyStore(Protocol):
    """Wrapped data keys and the sealed check value of this instance."""

    async def keys(self, workspace_id: str) -> Sequence[DataKey]: ...

    async def add_key(self, key: DataKey, *, replaces: bytes | None = None) -> DataKey:
        """The active key of the workspace: `key`, or the one that another process added first.

        `replaces`: the active key that has sealed enough. In the same transaction it stops being active, if it still
        is; where another key is active by then, that one is answered and `key` is not stored."""

    async def reserve(self, key_id: bytes, count: int) -> int:
        """Raise the high-water mark by `count`; answers the new mark."""

    async def any_keys(self) -> bool: ...

    async def check(self) -> bytes | None: ...

    async def set_check(self, sealed: bytes) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCounts:
    """The status page's numbers, counted in the database; no sealed column is read."""

    by_state: Mapping[str, int]  # State value -> count; `stored` and `unconnected` need the type, see `by_type`
    by_provider: Mapping[str, Mapping[str, int]]  # provider -> grant state -> count
    without_grant: Mapping[str, int]  # type -> count of credentials that have no grant
    due: int  # due within the next five minutes
    overdue: int  # due for more than one minute
    oldest_overdue: datetime | None
    uncertain: int
    by_failure: Mapping[str, int]  # FailureKind value -> count


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """A grant that failed, for a list one can act on."""

    credential_id: str
    name: str
    type: str
    provider: str
    standing: Standing


class StatusStore(Protocol):
    """Read-only questions of the status page."""

    async def counts(self, workspace_id: str, now: datetime) -> StatusCounts: ...

    async def attention(self, workspace_id: str, *, limit: int) -> Sequence[Attention]:
        """Failing, client-failed, needing a person or quarantined; the longest first."""

    async def upcoming(self, workspace_id: str, *, limit: int) -> Sequence[Attention]:
        """Connected, by next refresh."""

    async def ping(self) -> None:
        """Raises when the database cannot be written to or read from."""


# --- the fast path ------------------------------------------------------------------------------------------------


class Reads(Protocol):
    """What a token read needs, from memory when nothing changed, and never stale after a commit anywhere."""

    async def service_key(self, key_id: str) -> ServiceKey | None: ...

    async def credential(self, workspace_id: str, credential_id: str) -> Credential | None: ...


class Tasks(Protocol):
    """The service's own tasks: nothing here ends because a caller hung up (T74)."""

    def run(self, key: object, work: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
        """Start `work`, or join the one already running under `key`. Cancelling the wait leaves the work alone."""

    async def drain(self, seconds: float) -> int:
        """Wait for what runs; answers how many were still running at the end."""
