"""The way to a database: a vetted address, and TLS in the name of the host.

Owns: how much TLS a network needs, the context that proves the host although an address is called, and how much the
host may say. Does not own: which addresses are allowed (`egress`), signing in (the drivers' files).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenkeep.adapters.egress import Egress
from tokenkeep.adapters.outbound import Resolve, vetted
from tokenkeep.core.probing import NoTarget, Probed, Tls

_KNOCK_S = 2.0
MOST_HEARD = 1_000_000
"""Octets. Only under TLS they are counted: without it we speak to hosts of the administrator's choice alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Where a driver connects, and how. It is given no name, so that it resolves none (T42)."""

    address: str
    port: int
    tls: NamedContext | None = None
    demanded: bool = False  # without TLS nothing is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Finds the way to a host."""

    egress: Egress
    resolve: Resolve
    ca_file: Path | None = None

    async def to(self, host: str, port: int, tls: Tls) -> Line:
        """The line to `host`.

        Raises:
            AddressRefused: it has an address that may not be reached.
            NoTarget: the network in between needs TLS, and the credential is against it.
            OSError: it has no address.
        """
        addresses = await vetted(self.egress, host, port, resolve=self.resolve)
        if not addresses:
            raise OSError("the name has no address")
        near = all(self.egress.lets_through(host, address) for address in addresses)
        tls = needed(tls, near=near)
        context = None if tls is Tls.OFF else await asyncio.to_thread(named_context, host, tls, self.ca_file)
        address = await _answering(addresses, port)
        return Line(address=address, port=port, tls=context, demanded=tls is not Tls.PREFER)


def needed(asked: Tls, *, near: bool) -> Tls:
    """What TLS there is to be: over the internet no password goes out unless the other side has proved its name.

    `near`: an administrator has let this host through, so the credential's own word counts.
    """
    if near:
        return asked
    if asked is Tls.OFF:
        raise NoTarget(Probed.NO_TLS)
    return Tls.VERIFY


class _Conversation(ssl.SSLObject):
    """One connection under a `NamedContext`."""

    heard = 0

    def read(self, *room: Any, **others: Any) -> Any:
        """At most so much as an honest database has to say: drivers keep all of an answer in memory (T44)."""
        got: Any = super().read(*room, **others)
        self.heard += got if isinstance(got, int) else len(got)
        if self.heard > MOST_HEARD:
            raise ssl.SSLError("this answer does not end")
        return got

    def do_handshake(self) -> None:
        """As ever, and a certificate that proves nothing is remembered."""
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError:
            if isinstance(self.context, NamedContext):
                self.context.distrusted = True
            raise


class NamedContext(ssl.SSLContext):
    """Asks for `name`, whatever the caller connects to: our callers know an address only.

    It remembers that a certificate did not prove the name, because not every driver lets that be told from its errors.
    """

    name = ""
    distrusted = False
    sslobject_class = _Conversation

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *_: Any, **others: Any) -> ssl.SSLObject:
        """What asyncio and uvloop call; `others` says `server_hostname`."""
        return super().wrap_bio(incoming, outgoing, **(others | {"server_hostname": self.name}))


def named_context(host: str, tls: Tls, ca_file: Path | None) -> NamedContext:
    """Takes some ten milliseconds: the public roots are many."""
    context = NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.name = host
    if tls is not Tls.VERIFY:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.load_default_certs()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


async def _answering(addresses: Sequence[str], port: int) -> str:
    """The one to call: a host of two families may be reached by one only, and there is but one attempt to sign in."""
    for address in addresses[:-1]:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_KNOCK_S):
                _, writer = await asyncio.open_connection(address, port)
            writer.close()
            return address
    return addresses[-1]
