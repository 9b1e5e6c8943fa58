"""Where a campaign takes place: the fake provider, the fork server, the lives it begins and ends.

Owns: starting and ending those processes, asking the provider for consents and faults, reading what the provider and the
callers wrote down. Does not own: what is done to whom and when (`kill`, `power_cut`, `replicas`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.campaigns.history import Acknowledgement, History, read
from tests.campaigns.life import Order, as_json
from tests.campaigns.provider import HOSTS

TOP = Path(__file__).parents[2]
PATIENCE_S = 30.0


class NeverReady(AssertionError):
    """A process that was started did not come up."""


@dataclass
class Life:
    """A running service."""

    name: str
    pid: int
    started_at: float

    def tell(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> float:
        """SIGKILL, and wait until the kernel has closed what it held. Answers the moment of the kill."""
        at = time.monotonic()
        self.tell(signal.SIGKILL)
        deadline = at + PATIENCE_S
        while self.alive():
            assert time.monotonic() < deadline, f"{self.name} does not die"
            time.sleep(0.001)
        return at

    def alive(self) -> bool:
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state != "Z"


@dataclass(frozen=True, kw_only=True)
class ToldSoFar:
    """What lives and their callers wrote down."""

    acknowledged: list[Acknowledgement]
    spilled: list[tuple[str, int]]  # family, version
    ready: dict[str, float]  # life -> when
    connected: dict[str, str]  # credential -> family
    key: str


class Site:
    """Everything lies under `folder`. Use `site(…)`, which also ends it."""

    def __init__(self, folder: Path, seed: int, environ: Mapping[str, str]) -> None:
        self.folder, self.seed = folder, seed
        self.journal, self.told_file, self.log = folder / "journal", folder / "told", folder / "log"
        self.told_file.touch()
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": f"{TOP / 'src'}:{TOP}",
            "PYTHONDONTWRITEBYTECODE": "1",
        } | dict(environ)
        self._ending = ExitStack()
        self._told_lines: list[dict[str, Any]] = []
        self._told_at = 0
        self.lives: list[Life] = []

    def open(self) -> None:
        plain = {name: value for name, value in self._environ.items() if name != "LD_PRELOAD"}
        provider = self._spawn("provider", str(self.journal), str(self.seed), environ=plain)
        self.provider_port = int(_said(provider))
        self._fork_server = self._spawn("fork_server", str(self.log), environ=self._environ)
        _said(self._fork_server)
        self._http = self._ending.enter_context(
            httpx2.Client(base_url=f"http://{HOSTS['none']}:{self.provider_port}", timeout=PATIENCE_S)
        )

    def _spawn(self, module: str, *arguments: str, environ: dict[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"tests.campaigns.{module}", *arguments],
                cwd=TOP,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._ending.callback(_end, process)
        return process

    def end_lives(self) -> None:
        for life in self.lives:
            if life.alive():
                life.tell(signal.SIGCONT)
                life.kill()

    def close(self) -> None:
        self.end_lives()
        self._ending.close()

    # --- the provider ----------------------------------------------------------------------------------------------

    def consents(
        self, kind: str, count: int, *, before_s: float, after_s: float, abandons: bool
    ) -> list[dict[str, Any]]:
        """New families of that class."""
        order = {"kind": kind, "count": count, "before_s": before_s, "after_s": after_s, "abandons": abandons}
        return self._http.post("/families", json=order).json()

    def fault(self, kind: str, fault: str, share: float = 1.0) -> None:
        """From now on that class fails like this; empty: not any more."""
        self._http.post("/faults", json={"kind": kind, "fault": fault, "share": share})

    def history(self) -> History:
        with self.journal.open() as lines:
            return read(lines)

    # --- lives -----------------------------------------------------------------------------------------------------

    def begin(self, order: Order) -> Life:
        """Fork a service; does not wait for it."""
        assert self._fork_server.stdin
        started_at = time.monotonic()
        self._fork_server.stdin.write(as_json(order).encode() + b"\n")
        self._fork_server.stdin.flush()
        life = Life(order.name, int(_said(self._fork_server)), started_at)
        self.lives = [each for each in self.lives if each.alive()] + [life]
        return life

    def begin_cold(self, order: Order) -> Life:
        """A new interpreter, which imports everything."""
        started_at = time.monotonic()
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.campaigns.cold", as_json(order)],
                cwd=TOP,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._ending.callback(_end, process)
        life = Life(order.name, process.pid, started_at)
        self.lives.append(life)
        return life

    def wait_ready(self, life: Life) -> float:
        """Seconds from its start."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            at = self.told().ready.get(life.name)
            if at is not None:
                return at - life.started_at
            if not life.alive():
                break
            time.sleep(0.003)
        raise NeverReady(f"{life.name} was never ready: {self.said()}")

    def said(self) -> str:
        """The end of what all processes said."""
        return self.log.read_text(errors="replace")[-4000:]

    # --- what callers got -------------------------------------------------------------------------------------------

    def hand_out(self, access_token: str) -> None:
        """Write down what a caller got over HTTP."""
        line = {"what": "acknowledged", "at": time.monotonic(), "token": access_token}
        with self.told_file.open("ab", buffering=0) as file:
            file.write(json.dumps(line).encode() + b"\n")

    def told(self) -> ToldSoFar:
        with self.told_file.open("rb") as file:
            file.seek(self._told_at)
            octets = file.read()
        whole = octets[: octets.rfind(b"\n") + 1]
        self._told_at += len(whole)
        self._told_lines += [json.loads(line) for line in whole.splitlines()]
        found = ToldSoFar(acknowledged=[], spilled=[], ready={}, connected={}, key="")
        for line in self._told_lines:
            self._understand(line, found)
        keys = [line["key"] for line in self._told_lines if line["what"] == "key"]
        return ToldSoFar(**(vars(found) | {"key": keys[-1] if keys else ""}))

    @staticmethod
    def _understand(line: dict[str, Any], found: ToldSoFar) -> None:
        match line["what"]:
            case "acknowledged":
                family, generation = parts_of(line["token"])
                found.acknowledged.append(Acknowledgement(family=family, generation=generation, at=line["at"]))
            case "spilled":
                found.spilled.append((line["grant"].removeprefix("grant-").replace("-", "."), line["version"]))
            case "ready":
                found.ready[line["life"]] = line["at"]
            case "connected":
                found.connected[line["credential"]] = line["family"]


def parts_of(access_token: str) -> tuple[str, int]:
    """(family, generation)"""
    family, _, generation = access_token.removeprefix("at-").rpartition(".")
    return family, int(generation)


@contextmanager
def site(folder: Path, seed: int, environ: Mapping[str, str] | None = None) -> Iterator[Site]:
    """A place with its provider and fork server running; everything is ended in the end."""
    found = Site(folder, seed, environ or {})
    try:
        found.open()
        yield found
    finally:
        found.close()


def _said(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout
    line = process.stdout.readline().decode().strip()
    if not line:
        raise NeverReady(f"{process.args} ended")
    return line


def _end(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.kill()
    process.wait()
