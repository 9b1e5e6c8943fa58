"""The nouns, frozen.

Owns: what a workspace, credential type, credential, grant, client, provider and their kin consist of.
Does not own: rules (`lifecycle`, `policy`, `protocol`, `schema`), rows (`adapters/tables`).

Times are aware UTC. Ids are opaque strings and never secrets. `sealed` octets are envelopes
(`adapters/envelope`) bound to a `Place`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from tokenkeep.core.secret import Secret

INSTANCE = "instance"
"""The reserved workspace that owns what belongs to no tenant: the key check, pending sign-ins."""


OWN = "own/"
"""In `Grant.client`: tokens are minted from the credential's own values, by no client of the workspace."""


# --- the catalogue: what a provider file says ---------------------------------------------------------


class FieldKind(StrEnum):
    """How one field of a credential type is asked for."""

    TEXT = "text"
    SECRET = "secret"
    MULTILINE = "multiline"  # secret text of several lines: private keys, service account files
    URL = "url"  # a password inside the URL is a secret
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    JSON = "json"  # an object or list: MCP server env, extra headers; secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One thing a credential type asks for. `name` is what nodes rely on; it never changes."""

    name: str
    label: str
    kind: FieldKind = FieldKind.TEXT
    required: bool = True
    default: str | int | float | bool | None = None
    options: tuple[str, ...] = ()  # for CHOICE; empty elsewhere
    help: str = ""
    placeholder: str = ""
    prefix: str = ""  # what values of this field usually begin with; another beginning is a warning only
    min_length: int | None = None  # how short values usually are at least; a shorter one is a warning only
    max_length: int | None = None  # and how long at most
    members: tuple[str, ...] = ()  # what a JSON document in this field usually has; a missing one is a warning only
    secret: bool = False  # masked in every answer but `values`; True for SECRET, MULTILINE and JSON


class HostFormat(StrEnum):
    """The closed set of shapes a provider variable may have. No free patterns: they can hang (T48)."""

    LABEL = "label"  # one DNS label: a subdomain, a region
    HOST = "host"  # a whole host name, with an optional port: only an administrator sets it
    TENANT = "tenant"  # a UUID, a domain, or one DNS label such as `common`
    ADDRESS = "address"  # a whole https address without a query: only an administrator sets it


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A hole `{name}` in a provider's addresses. `asked_of` is `client` (administrator) or `credential`."""

    name: str
    label: str
    format: HostFormat
    asked_of: str = "client"
    default: str = ""  # empty: must be given
    help: str = ""


class ClientAuth(StrEnum):
    """How the client proves itself at the token endpoint (OpenID Connect Core section 9)."""

    BASIC = "client_secret_basic"
    POST = "client_secret_post"
    NONE = "none"
    PRIVATE_KEY_JWT = "private_key_jwt"


class Rotation(StrEnum):
    """What a refresh does to the refresh token that was spent (reliability 4.2)."""

    NONE = "none"  # stays valid
    GRACE = "grace"  # lives on for `grace_s`
    STRICT = "strict"  # dead at once
    FAMILY = "family-revoke"  # dead at once, and reuse revokes the whole grant
    UNKNOWN = "unknown"  # treated as strict


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseMap:
    """Where a token answer keeps its parts; dotted paths, tried in order. Empty: the RFC 6749 name."""

    access_token: tuple[str, ...] = ("access_token",)
    refresh_token: tuple[str, ...] = ("refresh_token",)
    token_type: tuple[str, ...] = ("token_type",)
    scope: tuple[str, ...] = ("scope",)
    expires_in: tuple[str, ...] = ("expires_in",)
    expires_at: tuple[str, ...] = ("expires_at",)
    refresh_expires_in: tuple[str, ...] = ("refresh_token_expires_in", "refresh_expires_in", "refresh_token_timeout")
    keep: tuple[str, ...] = ()  # further paths stored sealed with the token set, under the same dotted name


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A cheap request that proves a credential works and may name its account."""

    method: str = "GET"
    url: str = field(default="", repr=False)  # a template over variables and fields; https. Carried, it holds secrets
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = field(default="", repr=False)  # as `url`
    account_id: tuple[str, ...] = ()  # dotted paths into the JSON answer, the first present wins
    account_name: tuple[str, ...] = ()
    account_workspace: tuple[str, ...] = ()
    ok: str = ""  # dotted path that must be true in the answer (Slack's `ok`); empty: the status decides


class Driver(StrEnum):
    """The kinds of database that can be signed in at, by the name of their protocol."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    MONGODB = "mongodb"
    REDIS = "redis"
    NEO4J = "neo4j"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """How to sign in at the database a credential is for. All but `driver` are templates over the type's fields."""

    driver: Driver
    url: str = ""  # a connection string; the parts beside it fill what it leaves open
    host: str = ""
    port: str = ""
    user: str = ""
    password: str = ""
    database: str = ""
    tls: str = ""  # one of `core.probing.Tls`, or true or false; empty: the driver's usual


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A service that issues or accepts credentials, as its file describes it."""

    id: str
    name: str
    docs_url: str = ""
    setup: str = ""  # our words for the administrator: where to register a client, what to paste
    authorization_endpoint: str = ""  # empty: the provider has static types only
    pushed_authorization_endpoint: str = ""  # RFC 9126; empty: the browser carries the parameters
    token_endpoint: str = ""
    refresh_endpoint: str = ""  # empty: the token endpoint
    revocation_endpoint: str = ""
    revocation_style: str = "rfc7009"  # or `github` (DELETE with basic auth), `bearer` (POST with the token itself)
    revoke_on_reconnect: bool = False  # True: revoking an old token leaves a newer consent of the same user alive
    issuer: str = ""  # not empty: RFC 9207 `iss` must come back with this value
    client_auth: ClientAuth = ClientAuth.BASIC
    pkce: bool = True  # S256; False needs `pkce_off_because` in the file
    body_format: str = "form"  # or `json`
    scope_separator: str = " "
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    token_params: Mapping[str, str] = field(default_factory=dict)
    refresh_params: Mapping[str, str] = field(default_factory=dict)
    token_headers: Mapping[str, str] = field(default_factory=dict)
    response: ResponseMap = field(default_factory=ResponseMap)
    callback_keep: tuple[str, ...] = ()  # parameters of the callback that nodes need beside the token
    quirks: frozenset[str] = frozenset()  # a closed list: `protocol.QUIRKS`
    terminal_errors: frozenset[str] = frozenset()  # beyond `invalid_grant`
    rotation: Rotation = Rotation.UNKNOWN
    grace_s: int = 0  # for GRACE
    kills_old_access_token: bool = False
    access_ttl_s: int | None = None  # used when the answer does not tell; None: then unknown
    access_expires: bool | None = None  # False: no end is known, so nothing is due; None: unknown
    refresh_ttl_s: int | None = None  # None: no end known
    refresh_idle_ttl_s: int | None = None
    refresh_end_fixed: bool = False  # True: a refresh does not put off the refresh token's end
    grant_ttl_s: int | None = None  # the grant ends so long after consent, whatever is done; None: no end known
    variables: tuple[Variable, ...] = ()
    account: Call | None = None  # None: the account is read from the token answer, or unknown
    account_from_token: Mapping[str, str] = field(default_factory=dict)  # id|name|workspace -> dotted path
    hosts: frozenset[str] = frozenset()  # where the provider's tokens may be sent (templates allowed)
    base_url: str = ""
    letter: str = ""  # icon fallback; empty: the first letter of the name
    demo: bool = False
    mints: bool = False  # True: as `core/minting` shows it to the refresher; no refresh token is needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """How a credential is put on a request. Templates over its fields and `{access_token}`."""

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    basic: tuple[str, str] | None = None  # user name and password templates
    body: Mapping[str, str] = field(default_factory=dict)  # JSON members or form fields
    path: str = ""  # begins the path of every address; empty: nothing stands there


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """A JWT that we sign with a key from the credential (RFC 7523 section 2.1). Every text is a template over its fields."""

    key: str  # a private key, or with HS256 and its kin a shared secret
    algorithm: str = ""  # empty: what fits the key
    header: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)  # beside `iat` and `exp`
    life_s: int = 300
    back_s: int = 0  # dated back by so much, for servers whose clocks are behind


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsSigner:
    """Signing a request with an AWS key from the credential. Every text is a template over its fields."""

    key: str
    secret: str
    session: str = ""
    region: str
    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mint:
    """How a short-lived token is obtained without a person. Every text is a template over the type's fields."""

    url: str = ""  # empty: the assertion itself is the token
    method: str = "POST"
    client_auth: str = ClientAuth.NONE.value  # or a hole: a choice that holds one
    client_id: str = ""
    client_secret: str = ""
    body_format: str = "form"  # or `json`, where dotted names of parameters become objects
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    assertion: Assertion | None = None  # fills the hole `{assertion}`
    aws: AwsSigner | None = None
    gives: Mapping[str, str] = field(default_factory=dict)  # name in `values` -> path in the answer
    response: ResponseMap = field(default_factory=ResponseMap)
    quirks: frozenset[str] = frozenset()
    ttl_s: int | None = None  # used when the answer does not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialType:
    """What a kind of credential asks for and how it is used."""

    name: str
    label: str
    provider: str
    description: str = ""
    categories: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()  # other names it answers to
    fields: tuple[Field, ...] = ()
    oauth: bool = False  # True: authorised in a browser by the provider's authorization code flow
    mint: Mint | None = None  # not None: short-lived tokens are obtained from the fields, without a person
    scopes: tuple[str, ...] = ()  # asked for unless the client or the connect session says otherwise
    authorize_params: Mapping[str, str] = field(default_factory=dict)  # over the provider's
    injection: Injection | None = None  # None: not an HTTP credential (connection strings)
    base_url: str = ""
    test: Call | None = None
    probe: Probe | None = None  # beside `test` never: what has one is a database
    docs_url: str = ""
    popularity: int = 0  # greater comes first in the gallery

    @property
    def issues_tokens(self) -> bool:
        """Whether it hands out access tokens, be it by a person's consent or without one."""
        return self.oauth or self.mint is not None


# --- what a workspace keeps ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a sealed thing belongs. Every part is authenticated: moved octets do not open (security 2.3)."""

    workspace_id: str
    kind: str  # oauth_token, prev_refresh, values, client_secret, flow, account, spill, check
    record_id: str
    field: str
    grant_id: str = ""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """The workspace's registration at a provider. `id` is the opaque handle in the callback path (T23)."""

    id: str
    workspace_id: str
    provider: str
    client_id: str
    secret_sealed: bytes | None  # None: a public client
    version: int
    scopes: tuple[str, ...] = ()  # replaces the types' default scopes when not empty
    variables: Mapping[str, str] = field(default_factory=dict)
    incident_code: str = ""  # not empty: paused, the administrator must act (`invalid_client`)
    incident_since: datetime | None = None
    probe_at: datetime | None = None  # while paused: when one refresh may try again
    updated_at: datetime | None = None


class State(StrEnum):
    """What a person is told about a credential (api.md)."""

    STORED = "stored"
    UNCONNECTED = "unconnected"
    CONNECTED = "connected"
    FAILING = "failing"
    REAUTHORIZATION_REQUIRED = "reauthorization_required"
    QUARANTINED = "quarantined"


class FailureKind(StrEnum):
    """Who can repair it."""

    TRANSIENT = "transient"  # time
    CLIENT = "client"  # the administrator
    GRANT = "grant"  # the user
    INTERNAL = "internal"  # us: undecryptable, a poisonous row


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The last failure of a grant, as facts."""

    kind: FailureKind
    code: str
    count: int
    since: datetime


class Expiry(StrEnum):
    """What is known of an access token's end."""

    KNOWN = "known"
    ENDLESS = "endless"  # the provider says that it does not end
    UNKNOWN = "unknown"  # neither endless nor expired: a rejection will tell
    LEARNED = "learned"  # the provider does not say, but one like it was rejected at a known age


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a grant stands: what `lifecycle.apply` turns into the next standing."""

    state: State
    expires_at: datetime | None  # of the access token; None: `expiry` says why
    refresh_expires_at: datetime | None  # None: no end known
    next_refresh_at: datetime | None  # None: nothing is planned
    last_refresh_at: datetime | None = None
    failure: Failure | None = None  # None: all is well
    endless: bool = False
    learned_life_s: int | None = None  # the shortest believable life of tokens whose end is unknown
    needs_person_at: datetime | None = None  # the forecast; None: no such date is known
    warn_at: datetime | None = None  # when to say so; None: nothing to say, or it was said

    @property
    def expiry(self) -> Expiry:
        """What is known of the access token's end."""
        if self.expires_at is not None:
            return Expiry.KNOWN
        if self.endless:
            return Expiry.ENDLESS
        return Expiry.UNKNOWN if self.learned_life_s is None else Expiry.LEARNED


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejections:
    """Nodes saw tokens rejected one after the other, each of them obtained because of the rejection before."""

    count: int
    since: datetime  # when the first one was reported
    at: datetime  # when the last one was
    version: int  # the generation that was reported last
    life_before_s: int | None = None  # what had been learned of the tokens' life before the first one


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom the grant belongs to at the provider. Empty strings: the provider did not say."""

    id: str = ""
    name: str = ""
    workspace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSet:
    """What token answers have given us so far; sealed as one document so generations never mix."""

    access_token: Secret
    token_type: str = "Bearer"
    refresh_token: Secret | None = None  # None: there is nothing to refresh with
    scope: tuple[str, ...] | None = None  # None: as asked (RFC 6749 section 5.1)
    expires_at: datetime | None = None
    endless: bool = False  # True: the provider says that the access token does not end
    refresh_expires_at: datetime | None = None
    grant_expires_at: datetime | None = None  # of the consent itself: no refresh puts it off
    extra: Mapping[str, Any] = field(default_factory=dict)  # `ResponseMap.keep`, dotted names


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The user's consent in our hands, with its lease. At most one per credential."""

    workspace_id: str
    credential_id: str
    grant_id: str  # new with every consent
    client: str  # Client.id
    provider: str
    version: int  # generation of the token set; grows with every stored answer, never otherwise
    sealed: bytes  # TokenSet at Place(kind=oauth_token, record=credential_id, field=token_set, grant_id, version)
    standing: Standing
    connected_at: datetime
    prev_sealed: bytes | None = None  # the refresh token spent last, at Place(kind=prev_refresh, …, version)
    prev_until: datetime | None = None
    account_sealed: bytes | None = None
    scopes_requested: tuple[str, ...] = ()
    scopes_granted: tuple[str, ...] | None = None  # None: the provider did not say, so as requested
    fence: int = 0  # grows with every lease
    lease_owner: str = ""  # empty: free
    lease_until: datetime | None = None
    intent_at: datetime | None = None  # set with the lease, cleared with the outcome: a trace of an unfinished refresh
    intent_fingerprint: str = ""  # of the refresh token that was about to be spent
    refused: tuple[str, ...] = ()  # fingerprints of refresh tokens that recovery tried in vain and need not try again
    rejections: Rejections | None = None  # None: no node reported one

    @property
    def minted(self) -> bool:
        """Whether its tokens are obtained from the credential's own values, so that nobody's consent is behind it."""
        return self.client.startswith(OWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One stored, named instance of a credential type."""

    id: str
    workspace_id: str
    type: str
    name: str
    version: int  # grows with every edit by a person; the ETag
    values_sealed: bytes | None  # None: the type has no fields
    values_version: int  # in the AAD of `values_sealed`; grows only when values change
    masked: Mapping[str, Any]  # field name -> what people may see
    created_at: datetime
    updated_at: datetime
    created_by: str = ""
    grant: Grant | None = None  # None: static, or not connected

    def state(self, *, issues_tokens: bool) -> State:
        """What people are told: a static credential is stored, one with tokens stands as its grant does."""
        if self.grant is not None:
            return self.grant.standing.state
        return State.UNCONNECTED if issues_tokens else State.STORED


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """One attempt to obtain consent, from *Connect* to callback. Lives ten minutes, is taken once."""

    id: str
    workspace_id: str
    state_digest: str  # SHA-256 of the state, hex
    browser_digest: str  # SHA-256 of the nonce in the browser's cookie, hex
    user_id: str  # empty: the browser is nobody of ours; then completion needs a confirmation
    connect_session_id: str
    credential_id: str
    client: str  # Client.id; the callback path must name it
    issuer: str  # frozen: `iss` that must come back; empty: none promised
    token_endpoint: str  # frozen at the start, so that a changed file cannot send the code elsewhere
    verifier_sealed: bytes
    scopes: tuple[str, ...]
    redirect_uri: str
    created_at: datetime
    expires_at: datetime
    popup: bool = False


class SessionState(StrEnum):
    """Where a connect session stands (api.md)."""

    PENDING = "pending"
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    CONNECTED = "connected"
    FAILED = "failed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectSession:
    """An invitation to connect one credential: its link is opened in the user's browser."""

    id: str
    workspace_id: str
    secret_digest: str
    type: str
    name: str
    credential_id: str  # empty until connected, unless it reconnects one
    scopes: tuple[str, ...]  # empty: the type's
    values_sealed: bytes | None
    return_url: str  # empty: our own result page
    opener_origin: str  # where the popup's message goes; empty: no message
    minted_by: str  # "user/<id>" or "key/<id>"
    state: SessionState
    problem_code: str
    problem_detail: str
    created_at: datetime
    expires_at: datetime
    confirm_digest: str = ""
    pending_sealed: bytes | None = None  # token set waiting for confirmation


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKey:
    """A program's key. The secret itself is never stored, only its SHA-256 (256 random bits need no slow hash)."""

    id: str
    workspace_id: str
    name: str
    digest: str  # hex
    scopes: frozenset[str]
    credential_ids: frozenset[str] | None  # None: all of the workspace
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person. `password_hash` is argon2id's own text form."""

    id: str
    email: str
    name: str
    password_hash: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSession:
    """A signed-in browser, kept on our side so that it can be ended."""

    digest: str  # SHA-256 of the cookie, hex
    user_id: str
    workspace_id: str
    role: str
    user_name: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    browser: str = ""  # the User-Agent as far as shown to its owner


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What uses a credential: a flow, a node. `consumer` is `<kind>/<id>`."""

    consumer: str
    declared: bool  # False: only seen in X-Tokenkeep-Consumer
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a credential's history. `detail` holds plain facts; no secrets by construction."""

    id: str
    workspace_id: str
    credential_id: str
    at: datetime
    kind: str  # created, connected, reconnected, refreshed, refresh_failed, reauthorization_required, disconnected, …
    actor: str  # "user/<id>", "key/<id>", "system"
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKey:
    """A workspace's data key, wrapped by a root key."""

    id: bytes  # 16 octets
    workspace_id: str
    wrapped: bytes
    root_key_id: str
    created_at: datetime
    active: bool
    used: int  # seals reserved so far; a high-water mark, so a crash over-counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, unjudged. `status` 0: no answer; then `fault` says how far we got."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)  # lower-case names
    body: Secret = field(default_factory=lambda: Secret(""))
    fault: str = ""  # not_sent: certainly never reached the provider; lost: perhaps it did; refused: by our guard;
    # misconfigured: no request could be built (key or address); uninstalled: what signs it is not there;
    # unsupported: there is no such endpoint
    duration_s: float = 0.0
