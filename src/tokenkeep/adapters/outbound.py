"""The only way out: one HTTP request, guarded, bounded, and never an exception for what the network does.

Owns: resolving and vetting addresses, connecting to a vetted one while the name stays in SNI and Host, the limits in
time, size and number, and saying how far a failed request got. Does not own: which addresses are allowed (`egress`),
what is sent (`token_endpoint`), what an answer means (`core/judgement`).

Requests go straight to an httpx2 transport, not through a client: there are no redirects, proxies from the
environment, cookies or netrc to switch off, and a request costs half as much.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpcore2
import httpx2

from tokenkeep import __version__
from tokenkeep.adapters.egress import Egress
from tokenkeep.core.model import Answer
from tokenkeep.core.secret import Secret
from tokenkeep.services.ports import Clock

_KEPT_ALIVE_S = 30.0
_USER_AGENT = f"tokenkeep/{__version__}"
"""Reddit and GitHub refuse requests that do not say who asks."""
_MOST_ADDRESSES = 3
_UNTOLD = frozenset({"set-cookie", "set-cookie2", "location", "authentication-info"})
"""Answer headers that can hold secrets; nobody here needs them."""

_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)

_SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""A host's addresses, as text. Raises OSError when there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may cost."""

    connect_s: float = 5.0
    total_s: float = 30.0  # a third of the refresh lease (reliability 4.7); waiting for a slot included
    body: int = 1_000_000  # decoded octets: a gzip bomb counts as what it unfolds to
    concurrency: int = 64  # requests at a time


_LIMITS = Limits()


class AddressRefused(Exception):
    """The name leads to an address that may not be reached."""


class _TooLarge(Exception):
    """The answer is larger than any honest one."""


class VettingBackend(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were vetted, never to a name that could be resolved a second time (T42)."""

    def __init__(
        self, egress: Egress, *, resolve: Resolve | None = None, inner: httpcore2.AsyncNetworkBackend | None = None
    ) -> None:
        self._egress = egress
        self._resolve = resolve or resolved
        self._inner = inner or httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore2's
        local_address: str | None = None,
        socket_options: Iterable[_SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises AddressRefused when any address of the host may not be reached."""
        deadline = _LIMITS.connect_s if timeout is None else timeout
        try:
            async with asyncio.timeout(deadline):
                addresses = await self._vetted(host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout("the name was not resolved in time") from error
        for left, address in zip(reversed(range(len(addresses))), addresses, strict=True):
            try:
                return await self._inner.connect_tcp(
                    address,
                    port,
                    timeout=deadline / len(addresses),
                    local_address=local_address,
                    socket_options=socket_options,
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if not left:
                    raise
        raise httpcore2.ConnectError("the name has no address")

    async def sleep(self, seconds: float) -> None:
        """Wait between tries."""
        await asyncio.sleep(seconds)

    async def _vetted(self, host: str, port: int) -> Sequence[str]:
        try:
            return await vetted(self._egress, host, port, resolve=self._resolve)
        except OSError as error:
            raise httpcore2.ConnectError("the name could not be resolved") from error


class VettedTransport(httpx2.AsyncHTTPTransport):
    """httpx2's transport over a pool whose connections are vetted. It reads nothing from the environment."""

    def __init__(
        self, egress: Egress, *, ssl_context: ssl.SSLContext, keep_alive: bool, resolve: Resolve | None = None
    ) -> None:
        # The base class offers no way to pass a network backend, so its pool is made here.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=None,  # Outbound counts
            max_keepalive_connections=20 if keep_alive else 0,
            keepalive_expiry=_KEPT_ALIVE_S,
            network_backend=VettingBackend(egress, resolve=resolve),
        )


class _Passage(httpx2.AsyncByteStream):
    """A request body that knows whether it was asked for: before that, no whole request can have arrived."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.begun = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun = True
        yield self._content


def trusted_roots(further: Path | None = None) -> ssl.SSLContext:
    """Whom to believe that it is the host that was called: the public roots, and those in the PEM file `further`."""
    context = httpx2.create_ssl_context(trust_env=False)
    if further is not None:
        context.load_verify_locations(cafile=further)
    return context


class Outbound:
    """Sends requests. `transport` replaces network and guard by a fake provider in tests and for the demo."""

    def __init__(
        self,
        clock: Clock,
        *,
        allow: Sequence[str] = (),
        limits: Limits = _LIMITS,
        transport: httpx2.AsyncBaseTransport | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """`allow`: hosts and CIDR networks let through although private. `ssl_context`: else the public roots."""
        self._clock = clock
        self._egress = Egress(allow)
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._timeout = {"connect": limits.connect_s} | dict.fromkeys(("read", "write", "pool"), limits.total_s)
        self._guarded = transport is None
        # One context for both pools: building one takes 33 ms.
        context = ssl_context or (trusted_roots() if self._guarded else None)
        self._kept = transport or VettedTransport(self._egress, ssl_context=_given(context), keep_alive=True)
        self._fresh = transport or VettedTransport(self._egress, ssl_context=_given(context), keep_alive=False)

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes = b"", fresh: bool = False
    ) -> Answer:
        """One request and its answer; status 0 with a fault where there is none.

        `fresh` takes a new connection: a reset on a reused one leaves open whether the request arrived.
        """
        began, passage = self._clock.monotonic(), _Passage(content)
        request = self._request(method, url, headers=headers, passage=passage, fresh=fresh, size=len(content))
        if request is None:
            return Answer(status=0, fault="refused")
        try:
            async with asyncio.timeout(self._limits.total_s), self._slots:
                status, told, body = await self._exchange(request, fresh=fresh)
        except AddressRefused:
            return Answer(status=0, fault="refused", duration_s=self._clock.monotonic() - began)
        except (httpx2.HTTPError, httpx2.StreamError, TimeoutError, OSError, _TooLarge) as error:
            lost = passage.begun and not isinstance(error, _NEVER_SENT)
            duration_s = self._clock.monotonic() - began
            return Answer(status=0, fault="lost" if lost else "not_sent", duration_s=duration_s)
        return Answer(status=status, headers=told, body=Secret(body), duration_s=self._clock.monotonic() - began)

    async def close(self) -> None:
        """Close all connections."""
        await self._kept.aclose()
        await self._fresh.aclose()

    def _request(
        self, method: str, url: str, *, headers: Mapping[str, str], passage: _Passage, fresh: bool, size: int
    ) -> httpx2.Request | None:
        """None: an address that may not be spoken to, or no address at all."""
        try:
            target = httpx2.URL(url)
        except (httpx2.InvalidURL, UnicodeError):
            return None
        if not self._permits(target):
            return None
        sent = {"user-agent": _USER_AGENT, "accept-encoding": "gzip, deflate"}
        sent |= {name.lower(): value for name, value in headers.items()} | {"host": target.netloc.decode("ascii")}
        if size or method.upper() in ("POST", "PUT", "PATCH"):
            sent["content-length"] = str(size)
        if fresh:
            sent["connection"] = "close"
        # UTF-8: a header that cannot be sent must fail in the transport, as an answer, not here.
        wire = httpx2.Headers(sent, encoding="utf-8")
        return httpx2.Request(method, target, headers=wire, stream=passage, extensions={"timeout": self._timeout})

    def _permits(self, target: httpx2.URL) -> bool:
        if not target.host or target.userinfo:
            return False
        if target.scheme == "https" or not self._guarded:
            return True
        return target.scheme == "http" and self._egress.permits_plain(target.host)

    async def _exchange(self, request: httpx2.Request, *, fresh: bool) -> tuple[int, dict[str, str], str]:
        response = await (self._fresh if fresh else self._kept).handle_async_request(request)
        try:
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > self._limits.body:
                    raise _TooLarge
        finally:
            await response.aclose()
        told = {name: value for name, value in response.headers.items() if name not in _UNTOLD}
        return response.status_code, told, body.decode(errors="replace")


async def vetted(egress: Egress, host: str, port: int, *, resolve: Resolve) -> Sequence[str]:
    """The addresses of `host` that a connection may go to: none is left out, few are enough.

    Raises:
        AddressRefused: one of them may not be reached.
        OSError: there are none.
    """
    try:
        found = [host] if _is_address(host) else await resolve(host, port)
    except UnicodeError as error:
        raise OSError("no name can be written so") from error
    if not all(egress.permits(host, address) for address in found):
        raise AddressRefused
    return found[:_MOST_ADDRESSES]


async def resolved(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says."""
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _given(context: Any) -> ssl.SSLContext:
    assert isinstance(context, ssl.SSLContext)  # noqa: S101 - narrows a type; it is only asked for without `transport`
    return context
