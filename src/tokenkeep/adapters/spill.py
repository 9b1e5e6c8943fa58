"""A shelf of files for answers that the database could not take.

Owns: writing sealed octets so that they survive a power cut, and finding them again (reliability 4.4).
Does not own: what is inside (sealed at kind `spill`), when a file is replayed or dropped (`services/refresh`).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
_MAX_NAME = 200
_SUFFIX = ".spill"
_log = logging.getLogger(__name__)


class SpillDirectory:
    """`ports.Spill` as one file per name. Names are letters, digits, `-`, `_` and single dots within."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._counter = itertools.count()

    async def put(self, name: str, sealed: bytes) -> None:
        """Durable when it returns. Raises OSError when the disk refuses, ValueError for an impossible name."""
        await asyncio.to_thread(self._put, self._file(name), sealed)

    async def drop(self, name: str) -> None:
        """Silent when it is not there."""
        await asyncio.to_thread(self._drop, self._file(name))

    async def all(self) -> Mapping[str, bytes]:
        """Everything on the shelf. What cannot be read is reported and left where it is."""
        return await asyncio.to_thread(self._all)

    def _file(self, name: str) -> Path:
        if len(name) > _MAX_NAME or not _NAME.fullmatch(name):
            raise ValueError("a spill name may hold only letters, digits, hyphens, underscores and single dots")
        return self._path / (name + _SUFFIX)

    def _put(self, file: Path, sealed: bytes) -> None:
        self._make_directory()
        # The number keeps writers of this process apart; a leftover of an earlier process may be written over.
        unfinished = file.with_name(f".{file.name}.{os.getpid()}-{next(self._counter)}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(unfinished, flags, 0o600), "wb") as output:
                output.write(sealed)
                output.flush()
                os.fsync(output.fileno())
            unfinished.rename(file)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        self._sync(self._path)

    def _make_directory(self) -> None:
        if not self._path.is_dir():
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sync(self._path.parent)

    def _drop(self, file: Path) -> None:
        try:
            file.unlink()
        except FileNotFoundError:
            return
        self._sync(self._path)

    def _all(self) -> dict[str, bytes]:
        found = {}
        for file in sorted(self._path.glob(f"*{_SUFFIX}")):
            if file.name.startswith("."):
                continue
            try:
                found[file.name.removesuffix(_SUFFIX)] = file.read_bytes()
            except OSError as error:
                _log.error("spill_unreadable file=%s reason=%s", file.name, error.strerror)
        return found

    def _sync(self, directory: Path) -> None:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
