"""The disk that answers are kept on.

Owns: how much room is left under the database and the spill shelf, whether they may be written to, and the ballast that
is thrown off when there is none. Does not own: what follows (`services/storage`), the database itself (`store/condition`).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from tokenkeep.services.ports import Obstacle

BALLAST_NAME = "ballast"
BALLAST = 8 * 1024 * 1024
"""Room for what refreshes in flight still have to store when everything else is full."""
MEGABYTE = 1024 * 1024
_log = logging.getLogger(__name__)


class Disk:
    """Implements `Watch` over the files and directories that answers are written to."""

    def __init__(self, *places: Path, least_free: int, ballast: Path, ballast_octets: int = BALLAST) -> None:
        self._places = places
        self._least_free = least_free
        self._ballast, self._ballast_octets = ballast, ballast_octets
        self.left = 0
        """Octets left where there is least, as of the last look."""

    async def obstacles(self) -> Sequence[Obstacle]:
        """`disk_full` and `read_only`, each for the first place that it is true of."""
        return await asyncio.to_thread(self._look)

    def _look(self) -> Sequence[Obstacle]:
        self._balance(_free(self._ballast.parent))
        self.left = min(_free(each) for each in self._places)
        found = {}
        for place in reversed(self._places):
            if _read_only(place):
                found["read_only"] = _read_only_at(place)
            if _free(place) < self._least_free:
                found["disk_full"] = self._full_at(place)
        return list(found.values())

    def _full_at(self, place: Path) -> Obstacle:
        free, least = _free(place) // MEGABYTE, self._least_free // MEGABYTE
        return Obstacle(
            code="disk_full",
            message=f"The disk under {place} has {free} MB left; {least} MB are needed.",
            fix="Make room; refreshing goes on by itself. TOKENKEEP_LEAST_FREE_MB says how much is needed.",
        )

    def _balance(self, free: int) -> None:
        """Throw the ballast off when the disk is all but full, and take it on again when there is plenty of room."""
        octets = self._ballast_octets
        try:
            if free < octets and self._ballast.exists():
                self._ballast.unlink()
                _log.warning("ballast_released octets=%d", octets)
            elif free >= self._least_free + 2 * octets and not self._ballast.exists():
                _allocate(self._ballast, octets)
        except OSError as fault:
            _log.warning("ballast_failed reason=%s", fault.strerror)


def _allocate(file: Path, octets: int) -> None:
    """A file that really takes that room. Raises OSError, and then leaves nothing."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, octets)
    except OSError:
        file.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _free(place: Path) -> int:
    found = os.statvfs(_existing(place))
    return found.f_bavail * found.f_frsize


def _read_only(place: Path) -> bool:
    there = _existing(place)
    wanted = os.W_OK | os.X_OK if there.is_dir() else os.W_OK
    return bool(os.statvfs(there).f_flag & os.ST_RDONLY) or not os.access(there, wanted)


def _read_only_at(place: Path) -> Obstacle:
    return Obstacle(
        code="read_only",
        message=f"Nothing can be written to {place}.",
        fix="Mount it writable and let the service's user write there; refreshing goes on by itself.",
    )


def _existing(place: Path) -> Path:
    """The place, or what it will be made in."""
    return next(each for each in (place, *place.parents) if each.exists())
