"""The directory of this instance.

Owns: making it private, letting only one service at a time use the embedded database in it, and telling that database's
file from a copy. Does not own: what is kept there.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from tokenkeep.adapters.file_systems import KEEPING_NUMBERS, kind_of
from tokenkeep.core.errors import Misconfigured

LOCK_NAME, REPLICA_NAME = "tokenkeep.lock", "replica"
_AT_FDCWD, _STATX_BTIME = -100, 0x800  # linux/fcntl.h, linux/stat.h
_CONTAINER_SIGNS = ("/.dockerenv", "/run/.containerenv")


def prepare(directory: Path) -> None:
    """Make the directory with mode 0700; from now on every file of this process is its owner's alone (T9).

    Raises Misconfigured when it cannot be made, or others may look into it.
    """
    os.umask(0o077)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = stat.S_IMODE(directory.stat().st_mode)
    except OSError as fault:
        raise Misconfigured(
            f"The data directory {directory} cannot be used: {fault.strerror}.",
            fix="Set TOKENKEEP_DATA_DIR to another.",
        ) from None
    if mode & 0o077:
        raise Misconfigured(f"Others may look into the data directory {directory}.", fix=f"chmod 700 {directory}")


def home_of(database: Path) -> str:
    """`file/machine` of an embedded database, as of `ports.Mark.home`.

    A part is empty where it does not last: the file's numbers on file systems that do not keep them, and the machine in
    a container, which is made anew with every upgrade.
    """
    return f"{_file(database)}/{_machine()}"


def _file(path: Path) -> str:
    """By its inode and when that was taken: a number that is free is soon taken again.

    Asked for by the path: opening and closing the file would drop all locks that SQLite holds on it in this process.
    """
    if kind_of(path) not in KEEPING_NUMBERS:
        return ""
    return f"{path.stat().st_ino}-{_born(path)}"


class _Statx(ctypes.Structure):
    """The part of `struct statx` up to the time of birth, and room for the rest."""

    _fields_ = (
        ("mask", ctypes.c_uint32),
        ("_before", ctypes.c_uint8 * 76),
        ("seconds", ctypes.c_int64),
        ("nanoseconds", ctypes.c_uint32),
        ("_after", ctypes.c_uint8 * 164),
    )


def _born(path: Path) -> str:
    """The time of birth, which no copy takes along and nothing changes. Empty where it is not kept."""
    found = _Statx()
    try:
        failed = ctypes.CDLL(None).statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, ctypes.byref(found))
    except (AttributeError, OSError):  # another system than Linux, or an old one
        return ""
    if failed or not found.mask & _STATX_BTIME:
        return ""
    return f"{found.seconds}.{found.nanoseconds}"


def _machine() -> str:
    """A digest of this machine's id, which is nobody's business."""
    if any(Path(sign).exists() for sign in _CONTAINER_SIGNS) or kind_of(Path("/")) == "overlay":
        return ""
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return hashlib.sha256(f"tokenkeep {machine}".encode()).hexdigest()[:16] if machine else ""


def replica_name(directory: Path, *, fresh: str) -> str:
    """The name of whoever has this directory, the same after every start. `fresh` becomes the name at the first."""
    path = directory / REPLICA_NAME
    try:
        with path.open("x", encoding="ascii") as file:
            file.write(fresh)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip() or fresh  # empty: the first start was cut off here
    return fresh


class InstanceLock:
    """Held while a service runs on the embedded database: two refreshers must not share it by accident. On PostgreSQL it
    tells whether the directory is this replica's own.

    The commands that only look or add a key do not need it. The kernel lets go when the process ends, however it ends.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK_NAME
        self._descriptor = -1

    def __enter__(self) -> Self:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise Misconfigured(
                f"Another Tokenkeep already runs on {self._path.parent}.",
                fix="Stop it first, or give this one another TOKENKEEP_DATA_DIR. Several services share a PostgreSQL.",
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
