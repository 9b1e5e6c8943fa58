"""What a checked provider file becomes.

Owns: the translation of the file's tables into `core.model`, and how unsure values are taken.
Does not own: the shape (`provider_file`), the demo's address (`demo_address`).
"""

from __future__ import annotations

from typing import Any

from tokenkeep.adapters.provider_file import (
    CallTable,
    FieldTable,
    MintTable,
    OAuth,
    ProbeTable,
    ProviderFile,
    Response,
    Tokens,
    TypeTable,
    VariableTable,
)
from tokenkeep.core.injection import BEARER
from tokenkeep.core.model import (
    Assertion,
    AwsSigner,
    Call,
    CredentialType,
    Field,
    FieldKind,
    Injection,
    Mint,
    Probe,
    Provider,
    ResponseMap,
    Rotation,
    Variable,
)


def provider(file: ProviderFile) -> Provider:
    """The provider that a checked file describes."""
    oauth = file.oauth
    shared: dict[str, Any] = {
        "id": file.id,
        "name": file.name,
        "docs_url": file.docs_url or "",
        "setup": file.setup.strip(),
        "base_url": file.base_url or "",
        "hosts": frozenset(file.hosts),
        "letter": file.letter or "",
        "demo": file.demo,
        "variables": tuple(_variable(variable) for variable in file.variables),
        "account": _call(file.account),
    }
    if oauth is None:
        return Provider(**shared)
    return Provider(**shared, **_lifetimes(file.tokens), **_authorization_server(oauth))


def types(file: ProviderFile) -> tuple[CredentialType, ...]:
    """The credential types that a checked file describes."""
    return tuple(_type(file, table) for table in file.types)


def _authorization_server(oauth: OAuth) -> dict[str, Any]:
    named = oauth.account_from_token
    return {
        "authorization_endpoint": oauth.authorization_endpoint,
        "pushed_authorization_endpoint": oauth.pushed_authorization_endpoint or "",
        "token_endpoint": oauth.token_endpoint,
        "refresh_endpoint": oauth.refresh_endpoint or "",
        "revocation_endpoint": oauth.revocation_endpoint or "",
        "revocation_style": oauth.revocation_style,
        "revoke_on_reconnect": oauth.revoke_on_reconnect,
        "issuer": oauth.issuer or "",
        "client_auth": oauth.client_auth,
        "pkce": oauth.pkce,
        "body_format": oauth.body_format,
        "scope_separator": oauth.scope_separator,
        "authorize_params": oauth.authorize_params,
        "token_params": oauth.token_params,
        "refresh_params": oauth.refresh_params,
        "token_headers": oauth.token_headers,
        "callback_keep": oauth.callback_keep,
        "quirks": frozenset(oauth.quirks),
        "terminal_errors": frozenset(oauth.terminal_errors),
        "account_from_token": {
            part: path for part in ("id", "name", "workspace") if (path := getattr(named, part)) is not None
        },
        "response": _response(oauth.response),
    }


def _lifetimes(tokens: Tokens | None) -> dict[str, Any]:
    """Unsure values are taken in the way that can lose nothing: as strict, as deadly, as unknown.

    Unsure lifetimes stay, because they can only make a refresh or a warning earlier.
    """
    if tokens is None:
        return {}
    unsure = frozenset(tokens.unsure)
    lenient = tokens.rotation in {Rotation.NONE, Rotation.GRACE}
    doubtful = lenient and not unsure.isdisjoint({"rotation", "grace_s"})
    return {
        "rotation": Rotation.UNKNOWN if doubtful else tokens.rotation,
        "grace_s": 0 if doubtful else tokens.grace_s or 0,
        "kills_old_access_token": tokens.kills_old_access_token or "kills_old_access_token" in unsure,
        "access_ttl_s": tokens.access_ttl_s,
        "access_expires": None if "access_expires" in unsure else tokens.access_expires,
        "refresh_ttl_s": tokens.refresh_ttl_s,
        "refresh_idle_ttl_s": tokens.refresh_idle_ttl_s,
        # A renewed end that is taken for a fixed one would lapse; the other mistake shows at the next refresh.
        "refresh_end_fixed": tokens.refresh_end_fixed and "refresh_end_fixed" not in unsure,
        "grant_ttl_s": tokens.grant_ttl_s,
    }


def _type(file: ProviderFile, table: TypeTable) -> CredentialType:
    return CredentialType(
        name=table.name,
        label=table.label,
        provider=file.id,
        description=table.description.strip(),
        categories=table.categories,
        aliases=table.aliases,
        fields=tuple(_field(field) for field in table.fields),
        oauth=table.oauth,
        mint=_mint(table.mint),
        scopes=table.scopes,
        authorize_params=table.authorize_params,
        injection=_injection(table),
        base_url=table.base_url or file.base_url or "",
        test=_call(table.test or (file.account if table.oauth else None)),
        probe=_probe(table.probe),
        docs_url=table.docs_url or file.docs_url or "",
        popularity=table.popularity,
    )


def _injection(table: TypeTable) -> Injection | None:
    if table.injection is None:
        return BEARER if table.oauth or table.mint is not None else None
    told = table.injection
    return Injection(headers=told.headers, query=told.query, basic=told.basic, body=told.body, path=told.path or "")


def _mint(table: MintTable | None) -> Mint | None:
    if table is None:
        return None
    assertion = table.assertion
    aws = table.aws
    own = {"url", "assertion", "aws", "response", "quirks", "source", "checked"}
    return Mint(
        **{name: getattr(table, name) for name in table.__struct_fields__ if name not in own},
        url=table.url or "",
        assertion=Assertion(**{name: getattr(assertion, name) for name in assertion.__struct_fields__})
        if assertion is not None
        else None,
        aws=AwsSigner(**{name: getattr(aws, name) for name in aws.__struct_fields__}) if aws is not None else None,
        response=_response(table.response),
        quirks=frozenset(table.quirks),
    )


def _response(table: Response) -> ResponseMap:
    return ResponseMap(**{name: getattr(table, name) for name in table.__struct_fields__})


def _probe(table: ProbeTable | None) -> Probe | None:
    if table is None:
        return None
    return Probe(**{name: getattr(table, name) for name in table.__struct_fields__})


def _field(table: FieldTable) -> Field:
    return Field(
        **{name: getattr(table, name) for name in table.__struct_fields__},
        secret=table.kind in {FieldKind.SECRET, FieldKind.MULTILINE, FieldKind.JSON},
    )


def _variable(table: VariableTable) -> Variable:
    return Variable(**{name: getattr(table, name) for name in table.__struct_fields__})


def _call(table: CallTable | None) -> Call | None:
    if table is None:
        return None
    return Call(**{name: getattr(table, name) for name in table.__struct_fields__ if name != "ok"}, ok=table.ok or "")
