"""Signing in at PostgreSQL.

Owns: asking whether it speaks TLS, the sign-in, and what its SQLSTATEs mean. Does not own: the way there (`line`).
"""

from __future__ import annotations

import asyncio
import struct

import asyncpg

from tokenkeep.adapters.probes.line import Line
from tokenkeep.core.probing import Probed, Target

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # "Message Formats" of the protocol's documentation
_MAINTENANCE = "postgres"
"""The database that every server has, for credentials that leave theirs to the node."""

_FOUND = {
    "28P01": Probed.WRONG_CREDENTIAL,
    "28000": Probed.MISSING_PERMISSION,  # known, but not let in from here or not at all
    "42501": Probed.MISSING_PERMISSION,
    "3D000": Probed.MISSING_DATABASE,
    "53300": Probed.RATE_LIMITED,
}


async def attempt(line: Line, target: Target) -> Probed:
    """One sign-in. Raises whatever the network does."""
    tls = line.tls if line.tls is not None and await _offers_tls(line) else None
    if tls is None and line.tls is not None and line.demanded:
        return Probed.NO_TLS
    try:
        connection = await asyncpg.connect(
            host=line.address,
            port=line.port,
            user=target.user,
            password=target.password.reveal(),
            database=target.database or _MAINTENANCE,
            ssl=tls or False,
            statement_cache_size=0,
        )
    except asyncpg.PostgresError as refusal:
        return _found(refusal.sqlstate, target)
    connection.terminate()  # it holds no work, and a farewell could be waited for
    return Probed.OK


def _found(sqlstate: str | None, target: Target) -> Probed:
    found = _FOUND.get(sqlstate or "", Probed.UNREACHABLE)
    if not target.database and sqlstate in {"3D000", "42501"}:
        return Probed.OK  # these come after the password was taken, and nobody asked for this database
    return found


async def _offers_tls(line: Line) -> bool:
    """On a connection of its own. To be told first is what keeps the sign-in to one attempt: asyncpg's own `prefer` makes
    a second one, without TLS, when the first was refused."""
    reader, writer = await asyncio.open_connection(line.address, line.port)
    try:
        writer.write(_SSL_REQUEST)
        return await reader.readexactly(1) == b"S"
    finally:
        writer.close()
