"""Signing in at Neo4j.

Owns: the sign-in, and what the refusals mean. Does not own: the way there (`line`).
"""

from __future__ import annotations

from typing import Any

from neo4j import AsyncGraphDatabase
from neo4j.exceptions import AuthError, ClientError, Forbidden

from tokenkeep.adapters.probes.line import Line
from tokenkeep.core.probing import Probed, Target

_WAIT_S = 5.0


async def attempt(line: Line, target: Target) -> Probed:
    """One sign-in. Raises whatever the network does."""
    host = f"[{line.address}]" if ":" in line.address else line.address
    tls: dict[str, Any] = {"ssl_context": line.tls} if line.tls is not None else {"encrypted": False}
    driver = AsyncGraphDatabase.driver(
        f"bolt://{host}:{line.port}",  # `neo4j://` would follow what the server says the others of its cluster are
        auth=(target.user, target.password.reveal()),
        connection_timeout=_WAIT_S,
        connection_acquisition_timeout=_WAIT_S,
        max_connection_pool_size=1,
        telemetry_disabled=True,
        **tls,
    )
    try:
        await driver.verify_connectivity()
    except Forbidden:
        return Probed.MISSING_PERMISSION
    except AuthError:
        return Probed.WRONG_CREDENTIAL
    except ClientError as refusal:
        return Probed.RATE_LIMITED if (refusal.code or "").endswith("AuthenticationRateLimit") else Probed.UNREACHABLE
    finally:
        await driver.close()
    return Probed.OK
