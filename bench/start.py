"""From nothing to ready, memory at rest, and which imports the start spends its time on."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.kit.house import settings
from bench.kit.processes import TOP, environment, tokenkeep
from bench.kit.tables import show, verdict

STARTS, REST_S, OFFENDERS = 5, 10, 8


def start(environ: dict[str, str], *, rest_s: float = 0) -> tuple[float, float, float]:
    """(seconds to ready, CPU seconds for it, megabytes after the rest)."""
    with tokenkeep(environ, pinned=False) as service:
        ready_s = service.wait_until_ready()
        cpu_s = service.cpu_s()
        time.sleep(rest_s)
        return ready_s, cpu_s, service.rss_mb()


def imports() -> list[list[object]]:
    """The packages whose modules take longest to load, each without what it loads of other packages."""
    command = [sys.executable, "-X", "importtime", "-c", "import tokenkeep.serving, tokenkeep.__main__"]
    told = subprocess.run(command, env=environment(), cwd=TOP, capture_output=True, text=True, check=True).stderr
    spent: dict[str, float] = {}
    for own, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)", told):
        package = name.partition(".")[0]
        spent[package] = spent.get(package, 0) + int(own) / 1000
    total = sum(spent.values())
    longest = sorted(spent.items(), key=lambda item: -item[1])[:OFFENDERS]
    return [["all imports", total, 1.0], *[[name, ms, ms / total] for name, ms in longest]]


def main() -> None:
    """Measure and print two tables."""
    with tempfile.TemporaryDirectory() as top:
        first = [start(settings(Path(top) / str(number))) for number in range(STARTS)]
        again = [start(settings(Path(top) / "0")) for _ in range(STARTS)]
        _, _, rest_mb = start(settings(Path(top) / "0"), rest_s=REST_S)
    rows: list[list[object]] = [
        ["first start (makes key and database)", *(median(each) for each in list(zip(*first, strict=True))[:2])],
        ["later starts", *(median(each) for each in list(zip(*again, strict=True))[:2])],
    ]
    show("Start until /readyz answers 200", ["", "seconds", "CPU s"], rows)
    show("Imports", ["package", "ms", "share"], imports())
    print(verdict("seconds to ready, first start", float(rows[0][1]), below=2))  # type: ignore[arg-type]
    print(verdict(f"MB resident after {REST_S} s at rest", rest_mb, below=150), flush=True)


if __name__ == "__main__":
    main()
