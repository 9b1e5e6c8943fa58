"""Signing in at MySQL and what speaks its protocol.

Owns: the sign-in, that it stays silent without the TLS it needs, and what the error numbers mean. Does not own: the way
there (`line`).
"""

from __future__ import annotations

from typing import Any

import aiomysql
from pymysql.constants import CLIENT
from pymysql.err import MySQLError

from tokenkeep.adapters.probes.line import MOST_HEARD, Line
from tokenkeep.core.probing import NoTarget, Probed, Target

_FOUND = {
    1040: Probed.RATE_LIMITED,
    1044: Probed.MISSING_PERMISSION,
    1045: Probed.WRONG_CREDENTIAL,
    1049: Probed.MISSING_DATABASE,
    1129: Probed.MISSING_PERMISSION,  # our host is blocked
    1130: Probed.MISSING_PERMISSION,  # our host is not let in
    1203: Probed.RATE_LIMITED,
    1226: Probed.RATE_LIMITED,
    1251: Probed.UNSUPPORTED,  # another way of signing in
    1698: Probed.WRONG_CREDENTIAL,
    1862: Probed.WRONG_CREDENTIAL,  # the password has ended
    3118: Probed.MISSING_PERMISSION,  # the account is locked
    3159: Probed.NO_TLS,
}


class _Connection(aiomysql.Connection):  # type: ignore[misc] # aiomysql ships no types
    """aiomysql takes TLS where it is offered and goes on without where it is not; here that is for the line to say."""

    demanded = False
    heard = 0

    async def _read_bytes(self, num_bytes: int) -> bytes:
        self.heard += num_bytes
        if self.heard > MOST_HEARD:  # counted here as well: the server's first words come before TLS
            raise OSError("this answer does not end")
        octets: bytes = await super()._read_bytes(num_bytes)
        return octets

    async def _request_authentication(self) -> None:
        if self.demanded and not self.server_capabilities & CLIENT.SSL:
            raise NoTarget(Probed.NO_TLS)
        await super()._request_authentication()


async def attempt(line: Line, target: Target) -> Probed:
    """One sign-in. Raises whatever the network does."""
    connection = _Connection(
        host=line.address,
        port=line.port,
        user=target.user,
        password=target.password.reveal(),
        db=target.database or None,
        ssl=line.tls,
        charset="utf8mb4",
        autocommit=None,
        local_infile=False,
    )
    connection.demanded = line.tls is not None and line.demanded
    try:
        await connection._connect()  # noqa: SLF001 - `aiomysql.connect` takes no class of connection
    except MySQLError as refusal:
        return _FOUND.get(_number(refusal.args), Probed.UNREACHABLE)
    finally:
        connection.close()
    return Probed.OK


def _number(arguments: tuple[Any, ...]) -> int:
    return arguments[0] if arguments and isinstance(arguments[0], int) else 0
