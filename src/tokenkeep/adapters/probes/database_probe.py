"""The port `DatabaseProbe`: one attempt to sign in at a database.

Owns: finding the driver, the way to the database, the limits in time and number, and that nothing a driver says or
raises goes any further. Does not own: the drivers' protocols (their files), what a finding means (`core/probing`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from tokenkeep.adapters.egress import Egress
from tokenkeep.adapters.outbound import AddressRefused, Resolve, resolved
from tokenkeep.adapters.probes.line import Lines
from tokenkeep.core.model import Driver
from tokenkeep.core.probing import NoTarget, Probed, Target

TOTAL_S = 10.0
CONCURRENCY = 16
"""An attempt may hold a connection, a megabyte and a driver's background tasks for all of its time."""

Load = Callable[[str], ModuleType]


class DatabaseProbeAdapter:
    """Implements the port `DatabaseProbe`."""

    def __init__(
        self,
        *,
        allow: Sequence[str] = (),
        ca_file: Path | None = None,
        total_s: float = TOTAL_S,
        resolve: Resolve = resolved,
        load: Load = import_module,
    ) -> None:
        """`allow`: hosts and CIDR networks let through although private. `ca_file`: further roots, in PEM."""
        self._lines = Lines(egress=Egress(allow), resolve=resolve, ca_file=ca_file)
        self._total_s = total_s
        self._load = load
        self._slots = asyncio.Semaphore(CONCURRENCY)

    async def probe(self, target: Target) -> Probed:
        """One attempt, within ten seconds, at an address that may be reached."""
        try:
            async with asyncio.timeout(self._total_s), self._slots:
                return await self._attempt(target)
        except AddressRefused:
            return Probed.OUTBOUND_REFUSED
        except NoTarget as none:
            return none.why
        except Exception:  # noqa: BLE001 - a name without an address, or no end in time
            return Probed.UNREACHABLE

    async def _attempt(self, target: Target) -> Probed:
        driver = await asyncio.to_thread(self._driver, target.driver)
        if driver is None:
            return Probed.DRIVER_MISSING
        host, port = await driver.listed(target.host) if target.listed else (target.host, target.port)
        line = await self._lines.to(host, port, target.tls)
        try:
            found = Probed(await driver.attempt(line, target))
        except NoTarget:
            raise
        except Exception:  # noqa: BLE001 - a driver raises whatever it likes, with the password in its text
            found = Probed.UNREACHABLE
        distrusted = line.tls is not None and line.tls.distrusted
        return Probed.UNTRUSTED_CERTIFICATE if found is Probed.UNREACHABLE and distrusted else found

    def _driver(self, name: Driver) -> ModuleType | None:
        try:
            return self._load(f"{__package__}.{name}")
        except ImportError:
            return None
