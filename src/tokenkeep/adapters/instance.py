"""The directory of this instance.

Owns: making it private, and letting only one service at a time use the embedded database in it. Does not own: what is
kept there.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from tokenkeep.core.errors import Misconfigured

LOCK_NAME = "tokenkeep.lock"


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


class InstanceLock:
    """Held while a service runs on the embedded database: two refreshers must not share it by accident.

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
