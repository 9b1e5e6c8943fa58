"""What the web is given at assembly.

Owns: the bundle of use cases and the few facts about where we are served. Does not own: making them (`main`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

if TYPE_CHECKING:
    from tokenkeep.services.accounts import Accounts
    from tokenkeep.services.clients import Clients
    from tokenkeep.services.connect import Connect
    from tokenkeep.services.connect_sessions import ConnectSessions
    from tokenkeep.services.credentials import Credentials
    from tokenkeep.services.ports import Catalog
    from tokenkeep.services.service_keys import ServiceKeys
    from tokenkeep.services.status import Status
    from tokenkeep.services.token_reads import TokenReads
    from tokenkeep.services.tokens import Tokens
    from tokenkeep.services.verification import Verification
    from tokenkeep.services.webhooks import Webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Every use case that a route may call, and the sinks for what was asked."""

    credentials: Credentials
    verification: Verification
    tokens: Tokens
    token_reads: TokenReads
    service_keys: ServiceKeys
    accounts: Accounts
    clients: Clients
    connect: Connect
    connect_sessions: ConnectSessions
    webhooks: Webhooks
    status: Status
    catalog: Catalog
    metrics: Callable[[], bytes]  # the Prometheus text
    observe: Callable[[str, int], None]  # route template, status
    access: Callable[[str, str, int, float, str], None]  # method, path without query, status, when it began, caller
    monotonic: Callable[[], float]  # seconds; only differences mean anything


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """Where and how we are served. Addresses come from here, never from a request's Host (T34)."""

    public_url: str  # without a trailing slash
    demo: bool
    return_origins: tuple[str, ...]  # where a connect session may send the browser back to
    trusted_proxies: tuple[str, ...]  # addresses or networks whose X-Forwarded-For is believed; empty: nobody's
    version: str
    templates: Path

    @property
    def https(self) -> bool:
        """Whether browsers reach us over TLS."""
        return self.public_url.startswith("https://")

    @property
    def origin(self) -> str:
        """Scheme and authority, as browsers send it in Origin."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}".lower()

    @property
    def host(self) -> str:
        """Authority, with the port where it is not the scheme's own."""
        return urlsplit(self.public_url).netloc.lower()


def services_of(connection: HTTPConnection) -> Services:
    """The use cases of the application that serves this request."""
    return cast("Services", connection.app.state.services)


def config_of(connection: HTTPConnection) -> WebConfig:
    """The configuration of the application that serves this request."""
    return cast("WebConfig", connection.app.state.config)
