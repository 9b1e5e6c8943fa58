"""The demo provider as the assembly sees it.

Owns: putting the parts together, and registering clients.
Does not own: whether the demo runs at all; the assembly decides.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from tokenkeep.core.secret import Secret
from tokenkeep.demo.account import AccountPage
from tokenkeep.demo.consent import ConsentPages
from tokenkeep.demo.endpoints import ProtocolEndpoints
from tokenkeep.demo.forms import Browsers
from tokenkeep.demo.machine import Clock, Entropy
from tokenkeep.demo.pages import GuardedHeaders, Pages
from tokenkeep.demo.records import Client, digest
from tokenkeep.demo.server import DemoAuthorizationServer
from tokenkeep.demo.store import DemoStore

ACCESS_TOKEN_LIFETIME_S = 60
"""Short, so that a refresh can be watched within a minute."""


class DemoProvider:
    """A whole provider. Mount `app` where the path of `issuer` says, and `close` it at the end."""

    def __init__(
        self,
        *,
        issuer: str,
        directory: Path,
        templates: Path,
        clock: Clock,
        entropy: Entropy,
        access_token_s: int = ACCESS_TOKEN_LIFETIME_S,
    ) -> None:
        self.issuer = issuer.rstrip("/")
        self._store = DemoStore(directory)
        self._server = DemoAuthorizationServer(
            issuer=self.issuer, store=self._store, clock=clock, entropy=entropy, access_token_s=access_token_s
        )
        self.app = _app(self._server, Pages(templates, base=urlsplit(self.issuer).path), entropy)

    def ensure_client(
        self, client_id: str, client_secret: Secret, *, redirect_uri: str, name: str = "Tokenkeep"
    ) -> None:
        """Register a client, or bring its registration up to date. Only the secret's digest is kept."""
        secret_digest = digest(client_secret.reveal())
        with self._store.transaction() as store:
            store.put_client(
                Client(client_id=client_id, secret_digest=secret_digest, redirect_uri=redirect_uri, name=name)
            )

    def close(self) -> None:
        """Let go of the file."""
        self._store.close()


def _app(server: DemoAuthorizationServer, pages: Pages, entropy: Entropy) -> ASGIApp:
    browsers = Browsers(entropy, path=pages.base or "/", secure=server.issuer.startswith("https:"))
    app = Starlette(
        routes=[
            *ConsentPages(server, pages, browsers, entropy=entropy).routes(),
            *AccountPage(server, pages, browsers).routes(),
            *ProtocolEndpoints(server).routes(),
            Route("/static/demo.css", pages.style, methods=["GET"]),
        ]
    )
    return GuardedHeaders(app)  # around everything: Starlette answers its own 500 outside its middleware
