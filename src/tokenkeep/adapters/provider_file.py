"""One provider file: its shape.

Owns: the tables of the format as structs, which are the strict reader at start. `providers/schema.json` states the same
shape for editors; a test holds the two together. Does not own: what a file becomes (`provider_nouns`), rules across
fields (`provider_rules`), reading and reporting (`provider_reader`), many files together (`catalog`).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tokenkeep.core.model import ClientAuth, Driver, FieldKind, HostFormat, ResponseMap, Rotation

Line = Annotated[str, Meta(min_length=1, max_length=200)]
Prose = Annotated[str, Meta(max_length=4000)]
Id = Annotated[str, Meta(pattern="^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
TypeName = Annotated[str, Meta(pattern="^[A-Za-z][A-Za-z0-9]{0,63}$")]
FieldName = Annotated[str, Meta(pattern="^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Address = Annotated[str, Meta(pattern=r"^(https://|\{[A-Za-z][A-Za-z0-9_]*\})[^\s]*$", max_length=1000)]
Web = Annotated[str, Meta(pattern=r"^https://[^\s{}]+$", max_length=1000)]
HostTemplate = Annotated[str, Meta(pattern=r"^[a-z0-9{][A-Za-z0-9_{}.-]*(:[0-9]{1,5})?$", max_length=255)]
OneHole = Annotated[str, Meta(pattern=r"^(\{[A-Za-z][A-Za-z0-9_]*\}|[^{}]*)$", max_length=200)]
Seconds = Annotated[int, Meta(ge=1, le=315360000)]
Path = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$")]
Paths = Annotated[tuple[Path, ...], Meta(min_length=1)]
Length = Annotated[int, Meta(ge=1, le=65536)]
PathTemplate = Annotated[str, Meta(pattern=r"^(/[A-Za-z0-9._~:{}-]+)+$", max_length=200)]
Letter = Annotated[str, Meta(min_length=1, max_length=2)]

Quirk = Literal[
    "error_codes_array_aadsts",
    "error_in_200",
    "expires_in_milliseconds",
    "expires_in_missing",
    "expires_in_zero_means_never",
    "epoch_in_expires_in",
    "invalid_grant_spurious",
    "nested_user_token",
    "never_refresh_blindly",
    "no_scopes",
    "ok_false_in_200",
    "reauth_invalidates_older_grant",
    "redirect_uri_on_refresh",
    "refresh_error_403",
    "returned_scope_comma_separated",
    "scope_list_in_response",
    "scopes_of_client",
    "scope_on_refresh",
    "secret_in_basic_unencoded",
    "send_accept_json",
    "user_scope_param",
]
Uncertain = Literal[
    "access_expires",
    "access_ttl_s",
    "grace_s",
    "grant_ttl_s",
    "kills_old_access_token",
    "refresh_end_fixed",
    "refresh_idle_ttl_s",
    "refresh_ttl_s",
    "rotation",
]


class _Table(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A table of the file. A key it does not know is a mistake, not an extension."""


class Response(_Table, frozen=True):
    """`[oauth.response]`: where a token answer keeps its parts."""

    access_token: Paths = ResponseMap().access_token
    refresh_token: Paths = ResponseMap().refresh_token
    token_type: Paths = ResponseMap().token_type
    scope: Paths = ResponseMap().scope
    expires_in: Paths = ResponseMap().expires_in
    expires_at: Paths = ResponseMap().expires_at
    refresh_expires_in: Paths = ResponseMap().refresh_expires_in
    keep: tuple[Path, ...] = ()


class AccountPaths(_Table, frozen=True):
    """`account_from_token`: the account's parts in the token answer."""

    id: Path | None = None
    name: Path | None = None
    workspace: Path | None = None


class OAuth(_Table, frozen=True):
    """`[oauth]`: how to talk to the authorization server."""

    authorization_endpoint: Address
    token_endpoint: Address
    pushed_authorization_endpoint: Address | None = None
    refresh_endpoint: Address | None = None
    revocation_endpoint: Address | None = None
    revocation_style: Literal["rfc7009", "github", "bearer"] = "rfc7009"
    revoke_on_reconnect: bool = False
    issuer: Address | None = None
    client_auth: ClientAuth = ClientAuth.BASIC
    pkce: bool = True
    pkce_off_because: Line | None = None
    body_format: Literal["form", "json"] = "form"
    scope_separator: Literal[" ", ","] = " "
    authorize_params: dict[str, str] = {}
    token_params: dict[str, str] = {}
    refresh_params: dict[str, str] = {}
    token_headers: dict[str, str] = {}
    callback_keep: tuple[Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]+$")], ...] = ()
    quirks: tuple[Quirk, ...] = ()
    terminal_errors: tuple[Annotated[str, Meta(pattern="^[A-Za-z0-9_.-]+$")], ...] = ()
    account_from_token: AccountPaths = AccountPaths()
    response: Response = Response()


class Tokens(_Table, frozen=True):
    """`[tokens]`: how long tokens live and what a refresh does; each value with its source."""

    rotation: Rotation
    source: Web
    checked: date
    grace_s: Seconds | None = None
    kills_old_access_token: bool = False
    access_ttl_s: Seconds | None = None
    access_expires: bool | None = None
    refresh_ttl_s: Seconds | None = None
    refresh_idle_ttl_s: Seconds | None = None
    refresh_end_fixed: bool = False
    grant_ttl_s: Seconds | None = None
    unsure: tuple[Uncertain, ...] = ()


class VariableTable(_Table, frozen=True):
    """`[[variables]]`: a hole in the addresses."""

    name: FieldName
    label: Line
    format: HostFormat
    asked_of: Literal["client", "credential"] = "client"
    default: str = ""
    help: Prose = ""


class CallTable(_Table, frozen=True):
    """`[account]` and `[types.test]`: a cheap request that proves a credential works."""

    url: Address
    method: Literal["GET", "POST"] = "GET"
    headers: dict[str, str] = {}
    body: str = ""
    account_id: tuple[Path, ...] = ()
    account_name: tuple[Path, ...] = ()
    account_workspace: tuple[Path, ...] = ()
    ok: Path | None = None


class FieldTable(_Table, frozen=True):
    """`[[types.fields]]`: one thing the type asks for."""

    name: FieldName
    label: Line
    kind: FieldKind = FieldKind.TEXT
    required: bool = True
    default: str | int | float | bool | None = None
    options: tuple[Line, ...] = ()
    help: Prose = ""
    placeholder: str = ""
    prefix: str = ""
    min_length: Length | None = None
    max_length: Length | None = None
    members: tuple[FieldName, ...] = ()


class InjectionTable(_Table, frozen=True):
    """`[types.injection]`: how the credential is put on a request."""

    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    basic: tuple[str, str] | None = None
    body: dict[str, str] = {}
    path: PathTemplate | None = None
    secret_in_query_because: Line | None = None
    secret_in_path_because: Line | None = None


class AssertionTable(_Table, frozen=True):
    """`[types.mint.assertion]`: a JWT signed with a key from the credential."""

    key: Line
    algorithm: Literal["", "RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS512"] = ""
    header: dict[str, Line] = {}
    claims: dict[str, Line] = {}
    life_s: Annotated[int, Meta(ge=30, le=86400)] = 300
    back_s: Annotated[int, Meta(ge=0, le=300)] = 0


class AwsTable(_Table, frozen=True):
    """`[types.mint.aws]`: the request is signed as AWS wants it (Signature Version 4)."""

    key: Line
    secret: Line
    region: Line
    service: Line
    session: str = ""


class MintTable(_Table, frozen=True):
    """`[types.mint]`: how a short-lived token is obtained from the type's fields, without a person."""

    source: Web
    checked: date
    url: Address | None = None
    method: Literal["POST", "GET"] = "POST"
    client_auth: Line = ClientAuth.NONE.value
    client_id: str = ""
    client_secret: str = ""
    body_format: Literal["form", "json"] = "form"
    params: dict[str, str] = {}
    headers: dict[str, str] = {}
    assertion: AssertionTable | None = None
    aws: AwsTable | None = None
    gives: dict[str, Path] = {}
    response: Response = Response()
    quirks: tuple[Quirk, ...] = ()
    ttl_s: Seconds | None = None


class ProbeTable(_Table, frozen=True):
    """`[types.probe]`: how to sign in at the database that the type is for."""

    driver: Driver
    url: OneHole = ""
    host: OneHole = ""
    port: OneHole = ""
    user: OneHole = ""
    password: OneHole = ""
    database: OneHole = ""
    tls: OneHole = ""


class TypeTable(_Table, frozen=True):
    """`[[types]]`: one credential type."""

    name: TypeName
    label: Line
    description: Prose = ""
    categories: tuple[Id, ...] = ()
    aliases: tuple[TypeName, ...] = ()
    icon: Id | None = None
    oauth: bool = False
    scopes: tuple[Line, ...] = ()
    authorize_params: dict[str, str] = {}
    fields: tuple[FieldTable, ...] = ()
    mint: MintTable | None = None
    injection: InjectionTable | None = None
    base_url: Address | None = None
    test: CallTable | None = None
    probe: ProbeTable | None = None
    docs_url: Web | None = None
    popularity: Annotated[int, Meta(ge=0, le=100)] = 0


class ProviderFile(_Table, frozen=True):
    """The whole file."""

    id: Id
    name: Line
    types: Annotated[tuple[TypeTable, ...], Meta(min_length=1)]
    docs_url: Web | None = None
    setup: Prose = ""
    icon: Id | None = None
    letter: Letter | None = None
    demo: bool = False
    hosts: tuple[HostTemplate, ...] = ()
    base_url: Address | None = None
    oauth: OAuth | None = None
    tokens: Tokens | None = None
    variables: tuple[VariableTable, ...] = ()
    account: CallTable | None = None
