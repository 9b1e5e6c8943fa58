"""Signing in at MongoDB.

Owns: the sign-in, finding the server behind a `+srv` name, and what the error codes mean. Does not own: the way there
(`line`).
"""

from __future__ import annotations

import asyncio
from typing import Any

import dns.asyncresolver
import dns.exception
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure
from pymongo.monitoring import ServerHeartbeatListener

from tokenkeep.adapters.probes.line import Line
from tokenkeep.core.probing import NoTarget, Probed, Target

_WAIT_MS = 5000
_ANY = "test"
"""The database that a client without one is in."""

_UNAUTHORIZED = 13
_FOUND = {
    18: Probed.WRONG_CREDENTIAL,
    8000: Probed.WRONG_CREDENTIAL,  # Atlas says it so
    11: Probed.WRONG_CREDENTIAL,
    _UNAUTHORIZED: Probed.MISSING_PERMISSION,
    334: Probed.UNSUPPORTED,  # another way of signing in
}


async def listed(name: str) -> tuple[str, int]:
    """The first server that DNS lists under a name.

    Raises:
        NoTarget: it lists one of another owner, which a driver must not follow either.
        OSError: it lists none.
    """
    try:
        answer = await dns.asyncresolver.resolve(f"_mongodb._tcp.{name}", "SRV", lifetime=_WAIT_MS / 1000)
    except dns.exception.DNSException as error:
        raise OSError("the name could not be resolved") from error
    first = min(answer, key=lambda record: (record.priority, str(record.target)))
    return server_under(name, first.target.to_text(omit_final_dot=True)), first.port


def server_under(name: str, server: str) -> str:
    """`server`, once it lies in the domain that `name` lies in."""
    domain = name.partition(".")[2] if name.count(".") > 1 else name
    if not server.lower().endswith(f".{domain.lower()}"):
        raise NoTarget(Probed.OUTBOUND_REFUSED)
    return server.lower()


class _Heartbeats(ServerHeartbeatListener):
    """Hears of the first attempt to reach the server that failed. The client would try again until its time is up."""

    def __init__(self) -> None:
        self.given_up: asyncio.Future[Probed] = asyncio.get_running_loop().create_future()

    def started(self, event: object) -> None:
        """Nothing is known yet."""

    def succeeded(self, event: object) -> None:
        """The sign-in goes on by itself."""

    def failed(self, event: object) -> None:  # noqa: ARG002 - what it says cannot be told apart
        """There is no server, or none that is to be trusted."""
        if not self.given_up.done():
            self.given_up.set_result(Probed.UNREACHABLE)


async def attempt(line: Line, target: Target) -> Probed:
    """One sign-in. Raises whatever the network does."""
    if target.user and not target.password:
        return Probed.INCOMPLETE
    heartbeats = _Heartbeats()
    client = _client(line, target, heartbeats)
    if line.tls is not None:
        # The client makes its context from the names of files, and offers no way to pass one that is made.
        client.options.pool_options._PoolOptions__ssl_context = line.tls  # type: ignore[attr-defined] # noqa: SLF001
    sign_in = asyncio.ensure_future(_signed_in(client, target))
    try:
        await asyncio.wait((sign_in, heartbeats.given_up), return_when=asyncio.FIRST_COMPLETED)
        return (sign_in if sign_in.done() else heartbeats.given_up).result()
    finally:
        sign_in.cancel()
        await client.close()
        await asyncio.gather(sign_in, return_exceptions=True)


async def _signed_in(client: AsyncMongoClient[dict[str, Any]], target: Target) -> Probed:
    try:
        # It asks for no right, but for somebody: names are listed as far as one may see them.
        await client[target.database or _ANY].command("listCollections", nameOnly=True, authorizedCollections=True)
    except OperationFailure as refusal:
        found = _FOUND.get(refusal.code or 0, Probed.UNREACHABLE)
        return Probed.WRONG_CREDENTIAL if refusal.code == _UNAUTHORIZED and not target.user else found
    return Probed.OK


def _client(line: Line, target: Target, heartbeats: _Heartbeats) -> AsyncMongoClient[dict[str, Any]]:
    named: dict[str, Any] = {}
    if target.user:
        source = target.auth_database or target.database or "admin"
        named = {"username": target.user, "password": target.password.reveal(), "authSource": source}
    return AsyncMongoClient(
        f"[{line.address}]" if ":" in line.address else line.address,
        line.port,
        connect=False,
        directConnection=True,  # it would follow what the server says the others of its set are
        tls=line.tls is not None,
        event_listeners=[heartbeats],
        serverSelectionTimeoutMS=_WAIT_MS,
        connectTimeoutMS=_WAIT_MS,
        socketTimeoutMS=_WAIT_MS,
        retryReads=False,
        maxPoolSize=1,
        **named,
    )
