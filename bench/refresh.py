"""Draining expired credentials by the sweep against a bare loop with the same HTTP client and as many calls at once.

The bare loop only calls; the sweep also claims each grant (a commit), opens and seals its tokens, judges the answer,
stores the new generation (a second commit) and records an event. Both commits are the price of losing no token.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from bench.kit.house import DATABASES, database, fill, opened, settings
from bench.kit.processes import Process, free_port
from bench.kit.tables import show
from tests.kit import builders
from tokenkeep import main as assembly
from tokenkeep.core.model import Provider
from tokenkeep.services.sealing import client_place
from tokenkeep.services.sweep import AT_ONCE_PER_LANE

CREDENTIALS, DELAY_MS, ROUNDS = 500, 20, 3


class WithEndpoint:
    """The shipped catalogue and a provider whose token endpoint is on loopback, where provider files may not point."""

    def __init__(self, shipped: Any, provider: Provider) -> None:
        self._shipped, self._provider = shipped, provider

    def provider(self, provider_id: str) -> Provider:
        return self._provider if provider_id == self._provider.id else self._shipped.provider(provider_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shipped, name)


async def register(house: assembly.House) -> None:
    """The workspace's client at that provider."""
    ((workspace_id, _),) = await house.database.accounts.workspaces()
    plain = builders.client(workspace_id=workspace_id, provider="bench")
    sealed = await house.cases.clients.envelope.seal(b"client-secret", client_place(plain))
    await house.database.clients.put(builders.client(workspace_id=workspace_id, provider="bench", secret_sealed=sealed))


async def drained(house: assembly.House, workspace_id: str) -> float:
    """Seconds until nothing is due any more, sweeping as the ticker would."""
    began = time.perf_counter()
    while await house.database.grants.due(limit=1):
        await house.cases.sweeper.sweep()
        await asyncio.sleep(0.05)
    took = time.perf_counter() - began
    counts = await house.database.status.counts(workspace_id, await house.database.grants.now())
    assert counts.by_state == {"connected": CREDENTIALS}, counts
    assert not counts.by_failure, counts
    return took


async def bare(house: assembly.House, url: str) -> float:
    """Seconds for as many calls, a new connection each as the refresher does it."""
    numbers = iter(range(CREDENTIALS))
    form = b"grant_type=refresh_token&refresh_token=" + b"r" * 200
    headers = {"content-type": "application/x-www-form-urlencoded", "authorization": "Basic Y2xpZW50OnNlY3JldA=="}

    async def worker() -> None:
        for _ in numbers:
            answer = await house.outbound.send("POST", url, headers=headers, content=form, fresh=True)
            assert answer.status == 200, answer

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE_PER_LANE)))
    return time.perf_counter() - began


async def once(kind: str, endpoint: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with database(kind) as url:
            environ = settings(Path(folder), url, TOKENKEEP_OUTBOUND_ALLOW="127.0.0.1")
            async with opened(environ) as house:
                await register(house)
                filled = await fill(house, count=CREDENTIALS, expires_in=timedelta(seconds=-60), provider="bench")
                return await bare(house, endpoint), await drained(house, filled.workspace_id)


def main() -> None:
    """Measure both databases and print one table."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}/token"
    provider = builders.provider(id="bench", token_endpoint=endpoint, hosts=frozenset({f"127.0.0.1:{port}"}))
    shipped = assembly._catalog  # noqa: SLF001
    assembly._catalog = lambda given: WithEndpoint(shipped(given), provider)  # type: ignore[assignment,return-value]  # noqa: SLF001
    rows: list[list[object]] = []
    with Process("-m", "bench.kit.endpoint", str(port), str(DELAY_MS), port=port, pinned=False):
        time.sleep(0.5)
        for kind in DATABASES:
            rounds = [uvloop.run(once(kind, endpoint)) for _ in range(ROUNDS)]
            calls_s, sweep_s = (median(each) for each in zip(*rounds, strict=True))
            rows.append([f"bare loop ({kind} round)", calls_s, CREDENTIALS / calls_s, 1.0])
            rows.append([f"sweep, {kind}", sweep_s, CREDENTIALS / sweep_s, calls_s / sweep_s])
    show(
        f"Refreshing {CREDENTIALS} credentials, {AT_ONCE_PER_LANE} at once, provider answers in {DELAY_MS} ms",
        ["", "seconds", "refreshes/s", "ratio"],
        rows,
    )


if __name__ == "__main__":
    main()
