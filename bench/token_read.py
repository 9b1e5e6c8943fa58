"""Reading a fresh token against a bare Starlette route: throughput, CPU per answer, latency at a moderate load.

Both run on one core with the same uvicorn settings; the load comes from another core. Rounds alternate, so that whatever
else the machine does meets both; medians are shown. The read is the real one: service key checked, the cached row proven
current against the database, the envelope opened, one metric and one access line.
"""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path
from statistics import median

from bench.kit.house import DATABASES, Filled, database, fill, opened, settings
from bench.kit.processes import Process, free_port, load, tokenkeep
from bench.kit.tables import show, verdict

CREDENTIALS, CONNECTIONS = 100, 32
ROUNDS, ROUND_S = 9, 1.0
RATE, RATE_S = 1000, 3.0


def requests(port: int, filled: Filled) -> list[bytes]:
    """What a node sends."""
    return [
        f"GET /v1/credentials/{credential_id}/token HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {filled.key}\r\nAccept: */*\r\nUser-Agent: node/1\r\n"
        f"X-Tokenkeep-Consumer: flow/flow-1\r\n\r\n".encode()
        for credential_id in filled.credential_ids
    ]


def measure(kind: str, service: Process, bare: Process, filled: Filled) -> list[list[object]]:
    """Rows of the table for one database."""
    sides = {"bare route": bare, f"token read, {kind}": service}
    asked = {name: requests(side.port, filled) for name, side in sides.items()}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            rounds[name].append(load(side, asked[name], seconds=ROUND_S, connections=CONNECTIONS))
    steady = {
        name: load(side, asked[name], seconds=RATE_S, connections=CONNECTIONS, rate=RATE)
        for name, side in sides.items()
    }
    bare_s, bare_us = (median(each[figure] for each in rounds["bare route"]) for figure in ("per_second", "cpu_us"))
    rows: list[list[object]] = []
    for name in sides:
        per_second, cpu_us = (median(each[figure] for each in rounds[name]) for figure in ("per_second", "cpu_us"))
        rows.append(
            [
                name,
                per_second,
                per_second / bare_s,
                cpu_us,
                bare_us / cpu_us,
                steady[name]["p50_ms"],
                steady[name]["p99_ms"],
            ]
        )
    return rows


async def prepare(environ: dict[str, str]) -> Filled:
    async with opened(environ) as house:
        return await fill(house, count=CREDENTIALS, expires_in=timedelta(days=1))


async def run(kind: str) -> list[list[object]]:
    with tempfile.TemporaryDirectory() as folder:
        async with database(kind) as url:
            environ = settings(Path(folder), url)
            filled = await prepare(environ)
            port = free_port()
            with Process("-m", "bench.kit.bare", str(port), port=port) as bare, tokenkeep(environ) as service:
                bare.wait_until_ready()
                service.wait_until_ready()
                return await asyncio.to_thread(measure, kind, service, bare, filled)


def main() -> None:
    """Measure both databases and print one table."""
    heads = ["", "answers/s", "ratio", "CPU us", "CPU ratio", f"p50 ms @{RATE}/s", f"p99 ms @{RATE}/s"]
    for kind in DATABASES:
        rows = asyncio.run(run(kind))
        show(f"Token reads on {kind}", heads, rows)
        print(verdict("throughput, ratio to the bare route", float(rows[1][2]), at_least=0.8))  # type: ignore[arg-type]
        print(verdict("CPU per answer, ratio to the bare route", float(rows[1][4]), at_least=0.8), flush=True)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
