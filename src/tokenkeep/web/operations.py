"""One call of the API, declared once: served, checked and documented from the same lines.

Owns: what an operation consists of, and turning operations into routes. Does not own: what operations do (one file per
resource), how the document looks (`openapi`).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tokenkeep.core.errors import InvalidInput, NotFound, Unauthenticated
from tokenkeep.core.permissions import Caller, Scope
from tokenkeep.web.bodies import read_body
from tokenkeep.web.callers import caller
from tokenkeep.web.queries import Query, read_query
from tokenkeep.web.services import Services, WebConfig, config_of, services_of

CONSUMER_HEADER = "X-Tokenkeep-Consumer"
CONSUMER_PATTERN = r"^[a-z0-9_.-]{1,40}/[ -~]{1,200}$"
LONGEST_PART = 250
"""Characters in a part of a path. No id or consumer of ours is longer, so it is not found."""

_consumer = re.compile(CONSUMER_PATTERN.removesuffix("$") + r"\Z")


@dataclass(slots=True, kw_only=True)
class Call:
    """One checked request, as an operation's handler sees it."""

    request: Request
    services: Services
    config: WebConfig
    known_caller: Caller | None  # None: a public operation
    query: Mapping[str, Any]
    body: Any  # the operation's body Struct; None where it takes none

    @property
    def caller(self) -> Caller:
        """Who asks. Raises Unauthenticated in a public operation, which must not need to know."""
        if self.known_caller is None:
            raise Unauthenticated
        return self.known_caller

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    @property
    def consumer(self) -> str:
        """What the node calls itself; empty where it does not say. Raises InvalidInput."""
        return consumer_name(self.request.headers.get(CONSUMER_HEADER))


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method on a path. Declared beside its handler."""

    method: str
    path: str  # as the router reads it
    name: str  # the operationId
    tag: str
    summary: str
    handler: Handler | None  # None: served by a route of its own (the token read), declared here for the document
    description: str = ""
    scope: Scope | None = None  # None: any caller
    public: bool = False  # True: nobody is asked who they are
    query: tuple[Query, ...] = ()
    body: type[msgspec.Struct] | None = None
    answer: type[msgspec.Struct] | None = None  # None: no JSON
    status: int = 200
    media_type: str = "application/json"  # of the answer, where there is one
    problems: tuple[str, ...] = ()  # beyond those every operation of its shape has
    consumer: bool = False  # reads X-Tokenkeep-Consumer
    if_match: bool = False
    etag: bool = False
    example: Mapping[str, Any] | None = None  # of the body

    @property
    def path_names(self) -> tuple[str, ...]:
        """The names in braces, in order."""
        return tuple(re.findall(r"{(\w+)(?::\w+)?}", self.path))

    @property
    def template(self) -> str:
        """The path as OpenAPI writes it."""
        return re.sub(r":\w+}", "}", self.path)


def routes(operations: Sequence[Operation]) -> list[BaseRoute]:
    """One route per path, so that a wrong method is answered with every right one in `Allow`."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        if operation.handler is not None:
            by_path.setdefault(operation.path, {})[operation.method] = operation
    return [Route(path, _served(by_method), methods=list(by_method)) for path, by_method in by_path.items()]


def _served(by_method: Mapping[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
    async def serve(request: Request) -> Response:
        return await perform(by_method["GET" if request.method == "HEAD" else request.method], request)

    return serve


async def perform(operation: Operation, request: Request) -> Response:
    """Check caller, path, query and body, in this order, then do it."""
    if operation.handler is None:
        raise ValueError(f"{operation.name} has a route of its own")
    known = None if operation.public else await caller(request)
    refuse_strange_parts(request.path_params)
    query = read_query(request.scope["query_string"], operation.query)
    body = None if operation.body is None else await read_body(request, operation.body)
    call = Call(
        request=request,
        services=services_of(request),
        config=config_of(request),
        known_caller=known,
        query=query,
        body=body,
    )
    return await operation.handler(call)


def refuse_strange_parts(path_params: Mapping[str, Any]) -> None:
    """Raises NotFound for parts of a path that cannot name anything of ours."""
    for part in path_params.values():
        if len(part) > LONGEST_PART or "\x00" in part:
            raise NotFound


def consumer_name(sent: str | None) -> str:
    """`<kind>/<id>` as declared. Raises InvalidInput; empty for None."""
    if sent is None:
        return ""
    if not _consumer.match(sent):
        why = "must be `<kind>/<id>`: lower-case kind, printable id"
        raise InvalidInput(f"`{CONSUMER_HEADER}` {why}.", fields={CONSUMER_HEADER: why})
    return sent
