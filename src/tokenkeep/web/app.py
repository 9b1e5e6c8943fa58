"""The application: route table, middleware, exception handlers.

Owns: which routes there are and in which order. Does not own: what they do, or making what they need (`main`).
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import BaseRoute
from starlette.types import Lifespan, Receive, Scope, Send

from tokenkeep.core.errors import TokenkeepError
from tokenkeep.web import (
    clients,
    connect_pages,
    connect_sessions,
    credential_history,
    credential_pages,
    credential_types,
    credentials,
    gallery,
    nodes,
    openapi,
    operations,
    pages,
    scope_pages,
    service,
    service_keys,
    settings_page,
    sign_in,
    static_files,
    status_api,
    status_page,
    token_read,
    webhook_deliveries,
    webhooks,
    webhooks_page,
)
from tokenkeep.web.headers import Front, transport_headers
from tokenkeep.web.operations import Operation
from tokenkeep.web.problems import RequestProblem, on_failure, on_http, on_refusal
from tokenkeep.web.services import Services, WebConfig

OPERATIONS: tuple[Operation, ...] = (
    *nodes.OPERATIONS,
    *credentials.OPERATIONS,
    *credential_history.OPERATIONS,
    *credential_types.OPERATIONS,
    *connect_sessions.OPERATIONS,
    *clients.OPERATIONS,
    *service_keys.OPERATIONS,
    *webhooks.OPERATIONS,
    *webhook_deliveries.OPERATIONS,
    *status_api.OPERATIONS,
)
"""The API, in the order of its documentation."""

PAGES: tuple[BaseRoute, ...] = (
    *gallery.routes,
    *credential_pages.routes,
    *scope_pages.routes,
    *connect_pages.routes,
    *sign_in.routes,
    *status_page.routes,
    *settings_page.routes,
    *webhooks_page.routes,
    *static_files.routes,
)
"""What people open."""


class Application(Starlette):
    """Starlette within our own outermost layer, which answers the unforeseen itself.

    The framework's layer for that would run outside ours: its answers would lack the security headers, and every
    request would pay for both. So its middleware stack is never built.
    """

    front: Front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection. A server may be given `front` itself, which saves every request a step."""
        await self.front(scope, receive, send)


def build(
    services: Services,
    config: WebConfig,
    *,
    lifespan: Lifespan[Starlette] | None = None,
    mounts: Sequence[BaseRoute] = (),
) -> Application:
    """The ASGI application. `mounts` are further routes, such as the demo provider's."""
    token_route = token_read.token_route(services, more_headers=transport_headers(config))
    handlers = {TokenkeepError: on_failure, RequestProblem: on_refusal, HTTPException: on_http}
    app = Application(
        routes=[token_route, *operations.routes(OPERATIONS), *service.routes, *mounts, *PAGES],
        lifespan=lifespan,
    )
    # The framework would build the redirect's target from the Host header (T34).
    app.router.redirect_slashes = False
    app.state.services = services
    app.state.config = config
    handled = ExceptionMiddleware(app.router, handlers=handlers)
    app.front = Front(app, handled, first=token_read.TokensFirst(token_route), services=services, config=config)
    app.state.openapi = openapi.document(OPERATIONS, version=config.version, public_url=config.public_url)
    app.state.error_page = pages.error_page
    return app
