"""What the demo provider remembers, in the shapes that Authlib asks for.

Owns: client, grant, code, token and pending request as frozen records; the scopes; the digest that stands for a token.
Does not own: where they are kept (`store`) and when they are made (`grants`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin

from tokenkeep.demo.people import Person

SCOPES: Mapping[str, str] = {
    "profile": "See your name and your workspace",
    "notes.read": "Read your notes",
    "notes.write": "Write, change and delete your notes",
}
ALWAYS_GRANTED = frozenset({"profile"})
"""Cannot be unticked when it is asked for: who the user is."""
DEFAULT_SCOPE = "profile"
"""Granted when a request names no scope at all (RFC 6749 section 3.3)."""
GRANT_TYPES = ("authorization_code", "refresh_token")
CLIENT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")


def digest(text: str) -> str:
    """What is stored in place of a secret. Plain SHA-256 suffices: what it covers is random and long."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Client(ClientMixin):
    """A registered application with its one redirect URI."""

    client_id: str
    secret_digest: str = field(repr=False)
    redirect_uri: str
    name: str

    def get_client_id(self) -> str:
        """RFC 6749 section 2.2."""
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        """For a request that names none: the only one there is."""
        return self.redirect_uri

    def get_allowed_scope(self, scope: Collection[str] | str | None) -> str:
        """The known ones of what was asked for, in our order; the default when nothing was."""
        asked = scope.split() if isinstance(scope, str) else list(scope or ())
        return " ".join(name for name in SCOPES if name in asked) if asked else DEFAULT_SCOPE

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Character by character (RFC 9700 section 2.1)."""
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret: str) -> bool:
        """Compared as digests, in constant time."""
        return hmac.compare_digest(digest(client_secret), self.secret_digest)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:  # noqa: ARG002
        """The same two methods at every endpoint."""
        return method in CLIENT_AUTH_METHODS

    def check_response_type(self, response_type: str) -> bool:
        """Authorization codes only."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Codes and refresh tokens."""
        return grant_type in GRANT_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One person's consent to one client. Everything issued under it dies with it."""

    id: str
    client_id: str
    person: Person
    scope: str
    granted_at: float
    revoked: bool = False
    issued: int = 0  # token answers so far; 0: the code was never exchanged
    issued_at: float | None = None  # the last of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Code(AuthorizationCodeMixin):
    """An authorization code, known by its digest."""

    digest: str
    grant: Grant
    redirect_uri: str | None  # None: the authorization request named none
    code_challenge: str
    used: bool
    expired: bool
    code_challenge_method: str = "S256"

    def get_redirect_uri(self) -> str:
        """What the token request must repeat (RFC 6749 section 4.1.3). Empty: nothing."""
        return self.redirect_uri or ""

    def get_scope(self) -> str:
        """What the person left ticked."""
        return self.grant.scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Token(TokenMixin):
    """An access or a refresh token, known by its digest."""

    digest: str
    kind: str  # access, refresh
    grant: Grant
    scope: str
    lifetime_s: int  # 0: as long as the grant
    expired: bool
    spent: bool  # a refresh token that has been rotated away

    def check_client(self, client: ClientMixin) -> bool:
        """Whether it was issued to this client."""
        return isinstance(client, Client) and client.client_id == self.grant.client_id

    def get_scope(self) -> str:
        """For a refresh token all that was granted; an access token may carry less."""
        return self.scope

    def get_expires_in(self) -> int:
        """Seconds from its issue."""
        return self.lifetime_s

    def is_expired(self) -> bool:
        """Judged by the store when the row was read."""
        return self.expired

    def is_revoked(self) -> bool:
        """Dead by rotation, or with its grant."""
        return self.spent or self.grant.revoked


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """An authorization request between its arrival and the decision, kept here and not in the page."""

    id_digest: str
    parameters: tuple[tuple[str, str], ...]
    person: Person | None  # None: nobody has signed in yet
