"""The newest mark that was seen in the database, in a file.

Owns: `Memento` as one line that survives a power cut. Does not own: what a difference means (`services/adoption`).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from tokenkeep.core.errors import Unavailable
from tokenkeep.services.ports import Mark

_log = logging.getLogger(__name__)


class MementoFile:
    """`ports.Memento`. A file that is not one of ours counts as none."""

    def __init__(self, file: Path, *, beside: bool) -> None:
        self._file = file
        self.beside = beside
        """Whether it lies beside the database."""

    async def read(self) -> Mark | None:
        """None: nothing was seen from here. Raises Unavailable when the file cannot be read."""
        with _translated():
            return await asyncio.to_thread(self._read)

    async def write(self, mark: Mark) -> None:
        """Durable when it returns. Raises Unavailable when the disk refuses."""
        with _translated():
            await asyncio.to_thread(self._write, f"{mark.at.isoformat()} {mark.home}\n")

    def _read(self) -> Mark | None:
        try:
            at, _, home = self._file.read_text(encoding="utf-8").strip().partition(" ")
            return Mark(home=home, at=datetime.fromisoformat(at))
        except (FileNotFoundError, ValueError):
            return None

    def _write(self, line: str) -> None:
        unfinished = self._file.with_name(f".{self._file.name}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(unfinished, flags, 0o600), "w", encoding="utf-8") as output:
            output.write(line)
            output.flush()
            os.fsync(output.fileno())
        unfinished.rename(self._file)
        directory = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@contextmanager
def _translated() -> Iterator[None]:
    """A disk that is full, read-only or failing keeps refreshes from starting, and nothing else."""
    try:
        yield
    except OSError as fault:
        _log.warning("mark_file_unavailable reason=%s", fault.strerror)
        raise Unavailable from fault
