"""What the whole catalogue adds to the start and to memory, against one provider file.

The reference is the same process with a single file, in the same run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import copy
from statistics import median

from bench.kit.processes import TOP, environment
from bench.kit.tables import show, verdict

ROUNDS = 7
_PROGRAM = """
import resource, sys, time
from pathlib import Path
from tokenkeep.adapters.catalog import Catalog
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
catalog = Catalog.load([Path(sys.argv[1])], demo_public_url="https://keep.example.com")
seconds = time.perf_counter() - began
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(catalog.types()), seconds * 1000, (after - before) / 1024)
"""


def loaded(directory: Path) -> tuple[int, float, float]:
    """(types, milliseconds, megabytes) in a process of its own."""
    command = [sys.executable, "-c", _PROGRAM, str(directory)]
    told = subprocess.run(command, env=environment(), cwd=TOP, capture_output=True, text=True, check=True).stdout
    types, milliseconds, megabytes = told.split()
    return int(types), float(milliseconds), float(megabytes)


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        copy(TOP / "providers" / "openai.toml", folder)
        rounds = [(loaded(Path(folder)), loaded(TOP / "providers")) for _ in range(ROUNDS)]
    rows: list[list[object]] = []
    for index, name in enumerate(("one file", "the whole catalogue")):
        mine = [both[index] for both in rounds]
        rows.append([name, mine[0][0], median(each[1] for each in mine), median(each[2] for each in mine)])
    show("Loading the catalogue", ["", "types", "ms", "MB"], rows)
    more_ms, more_mb = (float(rows[1][part]) - float(rows[0][part]) for part in (2, 3))  # type: ignore[arg-type]
    print(verdict("ms that the catalogue adds to the start", more_ms, below=300))
    print(verdict("MB that it adds", more_mb, below=30), flush=True)


if __name__ == "__main__":
    main()
