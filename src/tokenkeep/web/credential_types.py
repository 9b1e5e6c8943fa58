"""The catalogue: which credential types there are and what they ask for.

Owns: searching and showing types. Does not own: where they come from (`adapters/catalog`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from tokenkeep.core.errors import NotFound, UnknownType
from tokenkeep.core.model import CredentialType, Field, FieldKind
from tokenkeep.services.ports import Catalog
from tokenkeep.web.bodies import answer
from tokenkeep.web.lists import cut
from tokenkeep.web.operations import Call, Operation
from tokenkeep.web.queries import Query, page_parameters

ITEM = "/v1/credential-types/{type_name}"


class FieldAnswer(msgspec.Struct):
    """One thing a type asks for."""

    name: str
    label: str
    kind: FieldKind
    secret: bool
    required: bool
    default: Any  # null: none
    options: list[str]
    help: str
    placeholder: str


class ProviderAnswer(msgspec.Struct):
    """The service a type belongs to."""

    id: str
    name: str
    docs_url: str


class TypeAnswer(msgspec.Struct):
    """A credential type."""

    name: str
    label: str
    description: str
    categories: list[str]
    aliases: list[str]
    fields: list[FieldAnswer]
    grants: list[str]  # how it gets tokens: `authorization_code` by a person; empty for static ones
    scopes: list[str]
    provider: ProviderAnswer
    base_url: str
    docs_url: str
    testable: bool
    icon: str  # a path of this service


class TypePage(msgspec.Struct):
    """Credential types, most popular first."""

    items: list[TypeAnswer]
    next_cursor: str | None


def type_answer(catalog: Catalog, kind: CredentialType) -> TypeAnswer:
    """A type as anybody outside sees it."""
    provider = catalog.provider(kind.provider)
    return TypeAnswer(
        name=kind.name,
        label=kind.label,
        description=kind.description,
        categories=list(kind.categories),
        aliases=list(kind.aliases),
        fields=[_field(field) for field in kind.fields],
        grants=_grants(kind),
        scopes=list(kind.scopes),
        provider=ProviderAnswer(id=provider.id, name=provider.name, docs_url=provider.docs_url),
        base_url=kind.base_url or provider.base_url,
        docs_url=kind.docs_url or provider.docs_url,
        testable=kind.test is not None or kind.probe is not None or provider.account is not None,
        icon=f"/v1/credential-types/{kind.name}/icon",
    )


def _grants(kind: CredentialType) -> list[str]:
    """By the names of the RFCs. `signed_jwt`: we sign the token; `token_request`: the service has a way of its own."""
    if kind.mint is None:
        return ["authorization_code"] if kind.oauth else []
    return [kind.mint.params.get("grant_type", "token_request")] if kind.mint.url else ["signed_jwt"]


def _field(field: Field) -> FieldAnswer:
    return FieldAnswer(
        name=field.name,
        label=field.label,
        kind=field.kind,
        secret=field.secret,
        required=field.required,
        default=field.default,
        options=list(field.options),
        help=field.help,
        placeholder=field.placeholder,
    )


def matching(types: Sequence[CredentialType], *, q: str, category: str, names: str) -> list[CredentialType]:
    """Those that fit every filter that is not empty. `names` are names or aliases with commas between."""
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    needle = q.strip().casefold()
    return [
        kind
        for kind in types
        if (not wanted or wanted & {kind.name, *kind.aliases})
        and (not category or category.casefold() in {known.casefold() for known in kind.categories})
        and (not needle or needle in " ".join((kind.name, kind.label, kind.provider, *kind.aliases)).casefold())
    ]


def _find(call: Call) -> CredentialType:
    """By the name in the path. Raises NotFound: here the type is the thing asked for, not a part of the input."""
    try:
        return call.services.catalog.type(call.path("type_name"))
    except UnknownType:
        raise NotFound from None


async def list_(call: Call) -> Response:
    """The catalogue."""
    catalog = call.services.catalog
    query = call.query
    found = matching(catalog.types(), q=query["q"], category=query["category"], names=query["names"])
    page, next_cursor = cut(found, limit=query["limit"], cursor=query["cursor"])
    return answer(TypePage(items=[type_answer(catalog, kind) for kind in page], next_cursor=next_cursor))


async def get(call: Call) -> Response:
    """One type."""
    return answer(type_answer(call.services.catalog, _find(call)))


async def icon(call: Call) -> Response:
    """Its picture."""
    octets = call.services.catalog.icon(_find(call).name)
    headers = {
        "Cache-Control": "public, max-age=86400",
        # Opened by itself an SVG is a document: it may draw, and nothing else.
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox",
    }
    return Response(octets, headers=headers, media_type="image/svg+xml")


_FILTERS = (
    Query(name="q", description="A part of the name, label, alias or provider, in any case."),
    Query(name="category", description="Only those of this category."),
    Query(name="names", description="Only these, by name or alias, with commas between."),
    *page_parameters(default=0),
)

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/credential-types",
        name="list_credential_types",
        tag="credential types",
        summary="List credential types",
        description="Most popular first; all of them unless `limit` says otherwise.",
        handler=list_,
        query=_FILTERS,
        answer=TypePage,
    ),
    Operation(
        method="GET",
        path=ITEM,
        name="get_credential_type",
        tag="credential types",
        summary="Read a credential type",
        description="By name or alias.",
        handler=get,
        answer=TypeAnswer,
    ),
    Operation(
        method="GET",
        path=f"{ITEM}/icon",
        name="get_credential_type_icon",
        tag="credential types",
        summary="Read a credential type's icon",
        description="Open to all: connect pages show it to strangers.",
        handler=icon,
        public=True,
        media_type="image/svg+xml",
    ),
)
