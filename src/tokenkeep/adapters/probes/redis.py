"""Signing in at Redis and what speaks its protocol.

Owns: the sign-in, choosing the database, and what the refusals mean. Does not own: the way there (`line`).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.maint_notifications import MaintNotificationsConfig

from tokenkeep.adapters.probes.line import Line
from tokenkeep.core.probing import Probed, Target

_FULL = "max number of clients reached"
"""The one refusal that the library has no class for; it is the server's fixed text."""


class _Connection(Connection):
    """The library's own TLS connection makes its context from the names of files; ours is made already."""

    tls: ssl.SSLContext | None = None

    def _connection_arguments(self) -> Mapping[str, Any]:
        return {"host": self.host, "port": self.port, "ssl": self.tls}


async def attempt(line: Line, target: Target) -> Probed:
    """One sign-in. Raises whatever the network does."""
    connection = _Connection(
        host=line.address,
        port=line.port,
        username=target.user or None,
        password=target.password.reveal() or None,
        retry=Retry(NoBackoff(), 0),
        protocol=2,  # RESP3 signs in by a command that servers before 6 do not have
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    connection.tls = line.tls
    try:
        return await _signed_in(connection, target)
    except (AuthenticationError, AuthenticationWrongNumberOfArgsError, AuthorizationError):
        return Probed.WRONG_CREDENTIAL
    except RedisError as error:
        return Probed.RATE_LIMITED if str(error) == _FULL else Probed.UNREACHABLE
    finally:
        await connection.disconnect(nowait=True)


async def _signed_in(connection: _Connection, target: Target) -> Probed:
    await connection.connect()  # type: ignore[no-untyped-call]
    try:
        if target.database:
            await _say(connection, "SELECT", target.database)
        else:
            await _say(connection, "PING")
    except NoPermissionError:
        # Without a database there was nothing to be allowed: the password was taken, and that is what was asked.
        return Probed.MISSING_PERMISSION if target.database else Probed.OK
    except (AuthenticationError, AuthorizationError):
        raise
    except ResponseError:
        return Probed.MISSING_DATABASE if target.database else Probed.UNREACHABLE
    return Probed.OK


async def _say(connection: _Connection, *words: str) -> None:
    await connection.send_command(*words)
    await connection.read_response()
