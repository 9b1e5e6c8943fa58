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

import uvloop

from bench.kit.house import DATABASES, database, fill, opened, settings
from bench.kit.local_provider import DELAY_MS, PROVIDER, local_provider, register, token_endpoint
from bench.kit.tables import show, verdict
from tokenkeep.house import House
from tokenkeep.services.gate import CALLS_PER_LANE

CREDENTIALS, ROUNDS = 2000, 3


async def drained(house: House, workspace_id: str) -> float:
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


async def bare(house: House, url: str) -> float:
    """Seconds for as many calls, a new connection each as the refresher does it."""
    numbers = iter(range(CREDENTIALS))
    form = b"grant_type=refresh_token&refresh_token=" + b"r" * 200
    headers = {"content-type": "application/x-www-form-urlencoded", "authorization": "Basic Y2xpZW50OnNlY3JldA=="}

    async def worker() -> None:
        for _ in numbers:
            answer = await house.outbound.send("POST", url, headers=headers, content=form, fresh=True)
            assert answer.status == 200, answer

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(CALLS_PER_LANE)))
    return time.perf_counter() - began


async def once(kind: str, endpoint: str) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with database(kind) as url:
            environ = settings(Path(folder), url, TOKENKEEP_OUTBOUND_ALLOW="127.0.0.1")
            async with opened(environ) as house:
                await register(house)
                filled = await fill(house, count=CREDENTIALS, expires_in=timedelta(seconds=-60), provider=PROVIDER)
                return await bare(house, endpoint), await drained(house, filled.workspace_id)


def main() -> None:
    """Measure both databases and print one table."""
    rows: list[list[object]] = []
    ratios = {}
    with local_provider() as port:
        for kind in DATABASES:
            rounds = [uvloop.run(once(kind, token_endpoint(port))) for _ in range(ROUNDS)]
            calls_s, sweep_s = (median(each) for each in zip(*rounds, strict=True))
            ratios[kind] = calls_s / sweep_s
            rows.append([f"bare loop ({kind} round)", calls_s, CREDENTIALS / calls_s, 1.0])
            rows.append([f"sweep, {kind}", sweep_s, CREDENTIALS / sweep_s, ratios[kind]])
    show(
        f"Refreshing {CREDENTIALS} credentials, {CALLS_PER_LANE} calls at once, provider answers in {DELAY_MS} ms",
        ["", "seconds", "refreshes/s", "ratio"],
        rows,
    )
    for kind, ratio in ratios.items():
        print(verdict(f"{kind}, ratio to the bare loop", ratio, at_least=0.6), flush=True)


if __name__ == "__main__":
    main()
