"""Power cuts: kill -9, and then everything that no fsync has brought to the disk is gone.

Owns: building the shim (`cut.c`), and putting the shadow in the place of the disk after each kill. Does not own: the cycle
and what is judged (`kills`).

A share of the answers meets a database that is away between W1 and W2, so spill files are cut, too.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.campaigns.kills import Figures, Kills
from tests.campaigns.site import site

SOURCE = Path(__file__).with_name("cut.c")
STORE_FAILS = 0.3


class NoCompiler(Exception):
    """The shim cannot be built here."""


def build(folder: Path) -> Path:
    """The shim, compiled. Raises NoCompiler."""
    compiler = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        raise NoCompiler("no C compiler (gcc, cc or clang): install gcc and the C library's headers")
    shim = folder / "cut.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(shim), str(SOURCE), "-ldl", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise NoCompiler(f"{compiler} cannot build the shim: {done.stderr.strip()[-300:]}")
    return shim


class PowerCuts(Kills):
    """The same cycle; the disk after a kill is the shadow."""

    @property
    def shadow(self) -> Path:
        return self.place.folder / "shadow"

    def more(self) -> dict[str, Any]:
        # What the life before left is on the disk for good: the next one starts from it.
        if self.data.exists():
            shutil.copytree(self.data, self.shadow)
        else:
            self.shadow.mkdir(mode=0o700)
        environ = {"CUT_SRC": str(self.data), "CUT_DST": str(self.shadow)}
        return {"more_environ": environ, "store_fails": STORE_FAILS}

    def cut(self) -> None:
        """The files stay the same files, as on a real disk: the service would take others for a copy of its database."""
        for file in [path for path in self.data.rglob("*") if path.is_file()]:
            kept = self.shadow / file.relative_to(self.data)
            if kept.exists():
                file.write_bytes(kept.read_bytes())
            else:
                file.unlink()
        for kept in [path for path in self.shadow.rglob("*") if path.is_file() and path.suffix != ".cut"]:
            place = self.data / kept.relative_to(self.shadow)
            if not place.exists():  # renamed, and the directory was not brought to the disk
                place.write_bytes(kept.read_bytes())
                place.chmod(0o600)
        shutil.rmtree(self.shadow)


def run(folder: Path, *, cycles: int, seed: int, mutant: str = "") -> Figures:
    """A whole campaign under that folder. Raises NoCompiler."""
    with site(folder, seed, {"LD_PRELOAD": str(build(folder))}) as place:
        return PowerCuts(place, cycles=cycles, seed=seed, mutant=mutant).run()
