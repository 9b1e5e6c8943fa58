"""The one middleware: what holds for every request, whatever serves it.

Owns: the host check, the body limit, security headers, the last-resort 500, noting each request; the client's address.
Does not own: policies of single pages (`pages` sends its own, which stand).
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Protocol
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokenkeep.web import observe
from tokenkeep.web.bodies import BODY_LIMIT, declared_length, limited, too_large
from tokenkeep.web.problems import RequestProblem, broken, refused
from tokenkeep.web.services import Services, WebConfig

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})
# Probes ask by address, not by name, and their answers depend on nothing in the request.
_HOSTLESS = frozenset({"/healthz", "/readyz", "/metrics"})
_SECURITY = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    b"cache-control": b"no-store",
}
PROGRAM_HEADERS = tuple((name, _SECURITY[name]) for name in (b"cache-control", b"x-content-type-options"))
"""What a token read says: programs ask for it, so what only steers documents is left out. Servers check and write each
header one by one, and six more would cost a tenth of the read."""
_STRICT_TRANSPORT = b"max-age=31536000; includeSubDomains"


class First(Protocol):
    """What is served before anything else is looked at, because it is asked for the most."""

    template: str  # of its route; the path itself holds no secret

    def takes(self, scope: Scope) -> bool:
        """Whether this is such a request, by a program with a key; it is then ready to be answered."""

    @property
    def answer(self) -> ASGIApp:
        """Answers with complete headers. Raises for everything else, having sent nothing."""

    def refusal(self, scope: Scope, error: Exception) -> Response | None:
        """What to say of an error. None: it was not foreseen."""


class Front:
    """Outermost of all. Pure ASGI: a BaseHTTPMiddleware costs more than everything else together."""

    def __init__(self, app: Starlette, inner: ASGIApp, *, first: First, services: Services, config: WebConfig) -> None:
        self._application = app
        self._app = inner
        self._first, self._answer = first, first.answer
        self._services = services
        self._demo = config.demo
        self._hosts = _host_names(config)
        self._security = [*_SECURITY.items(), *transport_headers(config)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["app"] = self._application
        began = self._services.monotonic()
        if not self._first.takes(scope):
            await self._guard(self._serve, scope, receive, send, began=began)
            return
        try:
            await self._answer(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - what was not foreseen is answered as everywhere
            await self._guard(self._refusing(error), scope, receive, send, began=began)
            return
        observe.note_plain(self._services, scope, template=self._first.template, began=began)

    def _refusing(self, error: Exception) -> ASGIApp:
        async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
            response = self._first.refusal(scope, error)
            if response is None:
                raise error
            await response(scope, receive, send)

        return refuse

    async def _guard(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, began: float) -> None:
        """Add headers, answer what nobody foresaw, and record the request."""
        status = 0

        async def hardened(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._harden(list(message.get("headers", ())))
            await send(message)

        try:
            await app(scope, receive, hardened)
        except Exception as error:
            observe.note_fault(scope, error)
            if status:  # too late for another answer; the server cuts the connection
                raise
            await broken(Request(scope))(scope, receive, hardened)
        finally:
            observe.note(self._services, scope, status=status, began=began)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope)
        if refusal is not None:
            await refused(refusal)(scope, receive, send)
            return
        await self._app(scope, receive if scope["method"] in _BODILESS else limited(receive), send)

    def _refusal(self, scope: Scope) -> RequestProblem | None:
        if not self._host_is_ours(scope):
            return RequestProblem("wrong_host", "This service is not published under that Host.")
        if scope["method"] not in _BODILESS and declared_length(scope) > BODY_LIMIT:
            return too_large()
        return None

    def _host_is_ours(self, scope: Scope) -> bool:
        """Whether Host is the published one.

        A request with a bearer key and no cookie may use any name, as inside a container network: nothing in its
        answer depends on the name, and a page that re-binds a name has no key to send.
        """
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) == 1 and (hosts[0].lower() in self._hosts or (self._demo and _is_loopback(hosts[0]))):
            return True
        if scope["path"] in _HOSTLESS:
            return True
        names = {name for name, _ in scope["headers"]}
        return len(hosts) == 1 and b"authorization" in names and b"cookie" not in names

    def _harden(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """What the answer itself says stands; the rest is added."""
        said = {name for name, _ in headers}
        return [*headers, *[pair for pair in self._security if pair[0] not in said]]


def transport_headers(config: WebConfig) -> list[tuple[bytes, bytes]]:
    """What is added over https only (RFC 6797)."""
    return [(b"strict-transport-security", _STRICT_TRANSPORT)] if config.https else []


def _host_names(config: WebConfig) -> frozenset[bytes]:
    """The published authority, with and without the scheme's own port."""
    parts = urlsplit(config.public_url)
    default = 443 if config.https else 80
    names = {config.host}
    if (parts.port or default) == default:
        bare = config.host.removesuffix(f":{default}")
        names |= {bare, f"{bare}:{default}"}
    return frozenset(name.encode() for name in names)


def _is_loopback(host: bytes) -> bool:
    try:
        return urlsplit(f"//{host.decode('ascii')}").hostname in LOOPBACK_NAMES
    except ValueError:
        return False


def client_address(request: Request, config: WebConfig) -> str:
    """Who is at the other end, for throttling.

    X-Forwarded-For counts only when our peer is a trusted proxy, and then from the right: the last address that no
    trusted proxy has. Whatever stands further left was written by the client itself.
    """
    peer = request.client.host if request.client else ""
    if not _trusted(peer, config):
        return peer
    hops = [hop.strip() for line in Headers(scope=request.scope).getlist("x-forwarded-for") for hop in line.split(",")]
    for hop in reversed(hops):
        if not _trusted(hop, config):
            return hop if _is_address(hop) else peer
        peer = hop
    return peer


def _trusted(address: str, config: WebConfig) -> bool:
    return _is_address(address) and any(
        ip_address(address) in ip_network(network, strict=False) for network in config.trusted_proxies
    )


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
