"""Token reads while a sweep of 2,000 runs in the same process, against the same reads without one.

The process is under full load from another core, and the provider answers in 20 ms. Rounds without a sweep come before and
after the one in which 2,000 grants are due, so that whatever else the machine does meets both. How many were refreshed
meanwhile is shown too: a sweep gives way to reads, and does not stand still. At the end it is left alone, and drains.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from statistics import median

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bench.kit.house import DATABASES, Filled, database, fill, opened, settings
from bench.kit.local_provider import PROVIDER, local_provider, register
from bench.kit.processes import Process, load
from bench.kit.tables import show, verdict
from bench.token_read import CONNECTIONS, CREDENTIALS, requests
from tokenkeep.adapters.tables import grants
from tokenkeep.adapters.tables.columns import clock_now
from tokenkeep.settings.environment import read

DUE = 2000
ROUNDS, ROUND_S = 4, 1.5


async def prepare(environ: dict[str, str]) -> Filled:
    """Tokens to be read; more that will be due when the time has come."""
    async with opened(environ) as house:
        await register(house)
        living = await fill(house, count=CREDENTIALS, expires_in=timedelta(days=1))
        await fill(house, count=DUE, expires_in=timedelta(days=1), provider=PROVIDER, first=CREDENTIALS)
        return living


def rounds(service: Process, living: Filled) -> list[float]:
    """Answers a second."""
    asked = requests(service.port, living)
    return [load(service, asked, seconds=ROUND_S, connections=CONNECTIONS)["per_second"] for _ in range(ROUNDS)]


async def make_due(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            update(grants).where(grants.c.provider == PROVIDER).values(next_refresh_at=clock_now())
        )


async def refreshed(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        statement = select(func.count()).where(grants.c.provider == PROVIDER, grants.c.version > 1)
        return int((await connection.execute(statement)).scalar_one())


async def run(kind: str, endpoint_port: int) -> tuple[list[list[object]], float]:
    with tempfile.TemporaryDirectory() as folder:
        async with database(kind) as url:
            environ = settings(Path(folder), url, TOKENKEEP_OUTBOUND_ALLOW="127.0.0.1", TOKENKEEP_REFRESH_TICK_S="0.5")
            living = await prepare(environ)
            engine = create_async_engine(read(environ).database_url.reveal())
            port = int(environ["TOKENKEEP_PORT"])
            arguments = ("-m", "bench.kit.local_provider", str(endpoint_port))
            with Process(*arguments, port=port, settings=environ) as service:
                service.wait_until_ready()
                before = await asyncio.to_thread(rounds, service, living)
                await make_due(engine)
                began = time.perf_counter()
                beside = await asyncio.to_thread(rounds, service, living)
                done, took = await refreshed(engine), time.perf_counter() - began
                while await refreshed(engine) < DUE:  # noqa: ASYNC110 - another process does it
                    await asyncio.sleep(0.2)
                drained_s = time.perf_counter() - began - took
                after = await asyncio.to_thread(rounds, service, living)
            await engine.dispose()
    ratio = median(beside) / median(before + after)
    return [
        [f"{kind}, without", median(before + after), 1.0, ""],
        [f"{kind}, {DUE} due", median(beside), ratio, f"{done / took:.0f}/s"],
        [f"{kind}, nobody reads", "", "", f"{(DUE - done) / drained_s:.0f}/s"],
    ], ratio


def main() -> None:
    """Measure both databases and print one table."""
    rows: list[list[object]] = []
    ratios = {}
    with local_provider() as port:
        for kind in DATABASES:
            more, ratios[kind] = asyncio.run(run(kind, port))
            rows += more
    show("Token reads beside a sweep", ["", "reads/s", "ratio", "refreshes"], rows)
    for kind, ratio in ratios.items():
        print(verdict(f"{kind}, reads beside a sweep, ratio to reads without", ratio, at_least=0.9), flush=True)


if __name__ == "__main__":
    main()
