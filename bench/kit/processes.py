"""Server processes to be measured.

Owns: starting them on a core of their own, waiting until they answer, their CPU time and memory, stopping them, and
driving load at them. Does not own: what they serve.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

TOP = Path(__file__).resolve().parents[2]
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**settings: str) -> dict[str, str]:
    """Nothing of whoever runs the benchmark leaks into what is measured."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"PYTHONPATH": f"{TOP / 'src'}:{TOP}", "PYTHONDONTWRITEBYTECODE": "1"} | settings


class Process:
    """A Python process on the server's core; its output goes to a file beside its data."""

    def __init__(
        self, *arguments: str, port: int, settings: Mapping[str, str] | None = None, pinned: bool = True
    ) -> None:
        self.port = port
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self.began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment(**(settings or {})),
            cwd=TOP,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            preexec_fn=(lambda: os.sched_setaffinity(0, {SERVER_CORE})) if pinned else None,  # noqa: PLW1509
        )
        self.pid = self._process.pid

    def wait_until_ready(self, path: str = "/readyz", *, patience_s: float = 30) -> float:
        """Seconds from the start of the process to the first 200 from `path`."""
        question = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n".encode()
        while time.perf_counter() - self.began < patience_s:
            if self._process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                    connection.sendall(question)
                    if connection.recv(64).startswith(b"HTTP/1.1 200"):
                        return time.perf_counter() - self.began
            except OSError:
                pass
            time.sleep(0.005)
        self.log.seek(0)
        raise RuntimeError(f"{path} was never ready:\n{self.log.read().decode()[-3000:]}")

    def cpu_s(self) -> float:
        """Time on a core so far, of all threads, to the nanosecond."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except OSError:  # the thread has just ended
                continue
        return total / 1e9

    def rss_mb(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self) -> int:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(60)
        finally:
            if self._process.poll() is None:
                self._process.kill()
            self.log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def tokenkeep(settings: Mapping[str, str], **options: Any) -> Process:
    """`tokenkeep serve` with these settings."""
    return Process("-m", "tokenkeep", "serve", port=int(settings["TOKENKEEP_PORT"]), settings=settings, **options)


def load(
    server: Process, requests: Sequence[bytes], *, seconds: float, connections: int, rate: float = 0
) -> dict[str, float]:
    """Drive load at the server from another core; adds the server's CPU microseconds per answer."""
    order = {
        "port": server.port,
        "requests": [request.decode() for request in requests],
        "seconds": seconds,
        "connections": connections,
        "rate": rate,
        "core": LOAD_CORE,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "bench.kit.load"],
        env=environment(),
        cwd=TOP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as generator:
        assert generator.stdin
        assert generator.stdout
        generator.stdin.write(json.dumps(order) + "\n")
        generator.stdin.flush()
        assert generator.stdout.readline() == "counting\n"
        before = server.cpu_s()
        assert generator.stdout.readline() == "counted\n"
        spent = server.cpu_s() - before
        figures: dict[str, float] = json.loads(generator.stdout.readline())
    if figures["refused"] or figures["lost_connections"] or not figures["answers"]:
        raise RuntimeError(f"not every answer was a 200: {figures}")
    return figures | {"cpu_us": spent / figures["answers"] * 1e6}


def machine() -> str:
    """What the figures were measured on."""
    parts = [f"{len(CORES)} cores", f"load {os.getloadavg()[0]:.1f}", f"Python {platform.python_version()}"]
    return ", ".join(parts + [f"{name} {version(name)}" for name in ("starlette", "uvicorn", "uvloop", "sqlalchemy")])
