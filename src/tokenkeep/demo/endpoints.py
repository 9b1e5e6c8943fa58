"""The endpoints that programs call: token, revocation, metadata, and one protected resource.

Owns: their HTTP.
Does not own: the rules (`grants`), the pages for people (`consent`, `account`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from authlib.oauth2.rfc6749 import OAuth2Error, ResourceProtector
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tokenkeep.demo.forms import posted
from tokenkeep.demo.grants import AccessTokens
from tokenkeep.demo.records import CLIENT_AUTH_METHODS, GRANT_TYPES, SCOPES
from tokenkeep.demo.server import Answer, DemoAuthorizationServer, Parameters, ProtocolRequest

REPEATED = {"error": "invalid_request", "error_description": "A parameter is repeated."}


class ProtocolEndpoints:
    """JSON in the words of the RFCs."""

    def __init__(self, server: DemoAuthorizationServer) -> None:
        self._server = server
        self._protector = ResourceProtector()
        self._protector.register_token_validator(AccessTokens(server))

    def routes(self) -> list[Route]:
        """Where `metadata` says they are."""
        return [
            Route("/token", posted(self.token), methods=["POST"]),
            Route("/revoke", posted(self.revoke), methods=["POST"]),
            Route("/me", self.me, methods=["GET"]),
            Route("/.well-known/oauth-authorization-server", self.metadata, methods=["GET"]),
        ]

    def token(self, request: Request, form: Parameters) -> Response:
        """RFC 6749 sections 4.1.3 and 6."""
        return self._protocol(request, form, self._server.redeem)

    def revoke(self, request: Request, form: Parameters) -> Response:
        """RFC 7009."""
        return self._protocol(request, form, self._server.revoke)

    def me(self, request: Request) -> Response:
        """GET /me: whose token this is. Needs the scope `profile`."""
        with self._server.store.transaction():
            try:
                token = self._protector.validate_request(["profile"], request)  # type: ignore[no-untyped-call]
            except OAuth2Error as refusal:
                return _json(self._server.refuse(request, refusal))
        who = token.grant.person
        return JSONResponse({"id": who.id, "name": who.name, "workspace": who.workspace, "scope": token.scope})

    def metadata(self, _: Request) -> Response:
        """RFC 8414."""
        return JSONResponse(_metadata(self._server.issuer))

    def _protocol(self, request: Request, form: Parameters, act: Callable[[ProtocolRequest], Answer]) -> Response:
        """Authlib does not look for repeated parameters here, which RFC 6749 section 3.2 forbids."""
        if any(len(values) > 1 for values in form.datalist.values()):
            return JSONResponse(REPEATED, status_code=400)
        with self._server.store.transaction():
            return _json(act(ProtocolRequest("POST", form, request.headers)))


def _json(answer: Answer) -> Response:
    return JSONResponse(answer.body, status_code=answer.status, headers=dict(answer.headers))


def _metadata(issuer: str) -> dict[str, Any]:
    return AuthorizationServerMetadata(
        issuer=issuer,
        authorization_endpoint=f"{issuer}/authorize",
        token_endpoint=f"{issuer}/token",
        revocation_endpoint=f"{issuer}/revoke",
        scopes_supported=list(SCOPES),
        response_types_supported=["code"],
        response_modes_supported=["query"],
        grant_types_supported=list(GRANT_TYPES),
        token_endpoint_auth_methods_supported=list(CLIENT_AUTH_METHODS),
        revocation_endpoint_auth_methods_supported=list(CLIENT_AUTH_METHODS),
        code_challenge_methods_supported=["S256"],
        authorization_response_iss_parameter_supported=True,
    )
