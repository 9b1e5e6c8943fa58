"""The rules of the demo provider, on Authlib's grants: codes, refresh tokens, PKCE, revocation, bearer tokens.

Owns: what makes a code or a token valid, rotation, and what a replay ends.
Does not own: HTTP (`server`, `endpoints`) and rows (`store`).

Authlib passes its own base types around; where ours are narrower the parameter is `Any` and the names say what it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge

from tokenkeep.demo.records import CLIENT_AUTH_METHODS, Code, Grant, Token, digest

if TYPE_CHECKING:
    from tokenkeep.demo.people import Person
    from tokenkeep.demo.server import DemoAuthorizationServer

CODE_LIFETIME_S = 60


class CodeGrant(AuthorizationCodeGrant):
    """RFC 6749 section 4.1: a code lives 60 seconds and once; using it twice ends what the first use gave."""

    TOKEN_ENDPOINT_AUTH_METHODS = list(CLIENT_AUTH_METHODS)  # noqa: RUF012  as Authlib declares it
    server: DemoAuthorizationServer

    @staticmethod
    def validate_authorization_redirect_uri(request: Any, client: Any) -> str:
        """Authlib's own error quotes the URI, which fails with ValueError on characters that an error must not hold."""
        redirect_uri: str = request.payload.redirect_uri or client.get_default_redirect_uri()
        if not client.check_redirect_uri(redirect_uri):
            raise InvalidRequestError("This redirect_uri is not registered for the client.")
        return redirect_uri

    def generate_authorization_code(self) -> str:
        """From our own entropy."""
        return self.server.mint("code")

    def save_authorization_code(self, code: str, request: Any) -> None:
        """Together with the grant that everything issued from it hangs on."""
        server, now = self.server, self.server.now()
        grant = Grant(
            id=server.mint("grant"),
            client_id=request.client.client_id,
            person=request.user,
            scope=request.scope,
            granted_at=now,
        )
        row = Code(
            digest=digest(code),
            grant=grant,
            redirect_uri=request.payload.redirect_uri,
            code_challenge=request.payload.data["code_challenge"],
            used=False,
            expired=False,
        )
        server.store.add_grant(grant)
        server.store.add_code(row, expires_at=now + CODE_LIFETIME_S)

    def query_authorization_code(self, code: str, client: Any) -> Any:
        """None: not usable by this client. A second use revokes (RFC 6749 section 4.1.2)."""
        server = self.server
        found = server.store.code(digest(code), now=server.now())
        if found is None or found.grant.client_id != client.client_id:
            return None
        if found.used:
            server.store.revoke_grant(found.grant.id, now=server.now())
            return None
        return None if found.expired or found.grant.revoked else found

    def delete_authorization_code(self, authorization_code: Any) -> None:
        """Marked, not deleted: a deleted code could not be recognised when it comes again."""
        self.server.store.use_code(authorization_code.digest)

    def authenticate_user(self, authorization_code: Any) -> Person:
        """Whoever consented."""
        who: Person = authorization_code.grant.person
        return who


class RotatingRefreshGrant(RefreshTokenGrant):
    """RFC 6749 section 6 with rotation; a spent token that comes again ends its family (RFC 9700 section 4.14.2)."""

    TOKEN_ENDPOINT_AUTH_METHODS = list(CLIENT_AUTH_METHODS)  # noqa: RUF012  as Authlib declares it
    INCLUDE_NEW_REFRESH_TOKEN = True
    server: DemoAuthorizationServer

    def authenticate_refresh_token(self, refresh_token: str) -> Any:
        """None: unknown, spent or revoked."""
        server = self.server
        found = server.store.token(digest(refresh_token), now=server.now())
        if found is None or found.kind != "refresh":
            return None
        if found.spent:
            server.store.revoke_grant(found.grant.id, now=server.now())
            return None
        return None if found.is_revoked() else found

    def authenticate_user(self, refresh_token: Any) -> Person:
        """Whoever consented."""
        who: Person = refresh_token.grant.person
        return who

    def revoke_old_credential(self, refresh_token: Any) -> None:
        """The new one is saved: the old one is spent."""
        self.server.store.spend(refresh_token.digest, now=self.server.now())


class RequiredS256(CodeChallenge):
    """RFC 7636 with S256 and nothing else. Authlib's `required` means public clients only; here it means everybody."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012  as Authlib declares it

    def validate_code_challenge(self, grant: Any, redirect_uri: Any) -> None:
        """Raises InvalidRequestError without a challenge, or with the method `plain`, also by omission."""
        if grant.request.payload.data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE with code_challenge_method=S256 is required.")
        super().validate_code_challenge(grant, redirect_uri)


class Revocation(RevocationEndpoint):
    """RFC 7009: a refresh token takes its whole grant along, an access token goes alone."""

    CLIENT_AUTH_METHODS = list(CLIENT_AUTH_METHODS)  # noqa: RUF012  as Authlib declares it
    server: DemoAuthorizationServer

    def check_params(self, request: Any, client: Any) -> None:  # noqa: ARG002
        """Hints are only hints: an unknown one is ignored (section 2.1)."""
        if not request.form.get("token"):
            raise InvalidRequestError("Missing 'token' in request.")

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:  # noqa: ARG002
        """Found by its digest, whatever the hint says."""
        return self.server.store.token(digest(token_string), now=self.server.now())

    def revoke_token(self, token: Any, request: Any) -> None:  # noqa: ARG002
        """Ended twice is still ended: this never fails."""
        if token.kind == "refresh":
            self.server.store.revoke_grant(token.grant.id, now=self.server.now())
        else:
            self.server.store.drop_token(token.digest)


class AccessTokens(BearerTokenValidator):
    """RFC 6750: which access tokens open `/me`."""

    def __init__(self, server: DemoAuthorizationServer) -> None:
        super().__init__(realm="demo")
        self._server = server

    def authenticate_token(self, token_string: str) -> Token | None:
        """None: no access token of ours. Expiry and revocation are judged by the base class."""
        found = self._server.store.token(digest(token_string), now=self._server.now())
        return found if found and found.kind == "access" else None
