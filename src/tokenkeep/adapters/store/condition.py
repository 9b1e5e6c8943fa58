"""The condition of the database.

Owns: what the database's own errors say about the disk under it, the check at start, refusing to write to a damaged file,
and cutting SQLite's log when nothing happens. Does not own: free space and permissions (`adapters/storage`).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InterfaceError, OperationalError

from tokenkeep.adapters.store.engine import Engines
from tokenkeep.core.errors import Misconfigured, Unavailable
from tokenkeep.services.ports import Obstacle

CHECK_S = 3.0
"""How long the check at start may take. A database too large for it is checked as far as that goes."""
_STEPS = 20_000  # of SQLite's machine between two looks at the clock; a few milliseconds
RESTORE = "Stop the service and restore a backup: docs/how-to/restore-a-backup.md."
_CORRUPT = "corrupt"
_SIGNS = (
    # (name of the error, or its beginning; SQLite's first, then PostgreSQL's SQLSTATE) -> code of the obstacle
    ("SQLITE_CORRUPT", _CORRUPT),
    ("SQLITE_NOTADB", _CORRUPT),
    ("SQLITE_READONLY", "read_only"),
    ("SQLITE_FULL", "write_failed"),
    ("SQLITE_IOERR", "write_failed"),
    ("XX001", _CORRUPT),
    ("XX002", _CORRUPT),
    ("25006", "read_only"),
    ("53100", "write_failed"),
    ("58030", "write_failed"),
)
_log = logging.getLogger(__name__)


class Condition:
    """Implements `Watch` by listening to every error of the engines. What heals is found out by writing."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._faults: dict[str, str] = {}  # code of the obstacle -> name of the error that told
        self._log_seen = (0, 0)
        for engine in engines.all:
            event.listen(engine, "handle_error", self._heard)
        if engines.dialect == "sqlite":
            for engine in engines.all - {engines.reader.sync_engine}:
                event.listen(engine, "begin", self._refuse_writing, insert=True)

    async def obstacles(self) -> Sequence[Obstacle]:
        """`corrupt`, until the service starts again; `read_only` and `write_failed`, until a write succeeds."""
        if self._faults and _CORRUPT not in self._faults:
            await self._try_to_write()
        return [_OBSTACLES[code](name) for code, name in self._faults.items()]

    async def check(self, monotonic: Callable[[], float], *, seconds: float = CHECK_S) -> str:
        """Look through the SQLite file, at most that long. Answers what was found first; empty: nothing."""
        if self._engines.dialect != "sqlite":
            return ""
        found = await asyncio.to_thread(_quick_check, self._engines.path, monotonic, seconds)
        if found:
            self._faults[_CORRUPT] = "quick_check"
            _log.error("database_damaged found=%s", found)
        return found

    async def cut_log(self) -> None:
        """Give the room of SQLite's log back, if nothing was written since `note_log`."""
        if self._engines.dialect == "sqlite" and self._log()[0] and self._log() == self._log_seen:
            try:
                await asyncio.to_thread(_cut_log, self._engines.path)
            except sqlite3.Error as fault:  # a disk that fails must not keep what is done after this from being done
                self.hear(fault)
                _log.warning("log_not_cut reason=%s", fault.sqlite_errorname)

    def note_log(self) -> None:
        """Remember SQLite's log as it is now."""
        if self._engines.dialect == "sqlite":
            self._log_seen = self._log()

    def _log(self) -> tuple[int, int]:
        """(octets, time of the last write), both 0 without one."""
        log = self._engines.path.with_name(self._engines.path.name + "-wal")
        found = log.stat() if log.exists() else None
        return (found.st_size, found.st_mtime_ns) if found else (0, 0)

    def hear(self, failure: BaseException) -> str:
        """Learn from a driver's error. Answers the obstacle's code, or nothing where the error says nothing of the disk."""
        name, code = _sign_of(failure)
        if code:
            self._faults.setdefault(code, name)
        return code

    def _heard(self, context: ExceptionContext) -> None:
        code = self.hear(context.original_exception)
        if code and not isinstance(context.sqlalchemy_exception, OperationalError | InterfaceError):
            # `Engines` does not take it for a database that is away: damage, and whatever PostgreSQL says of its disk.
            raise Unavailable(_OBSTACLES[code](self._faults[code]).message) from context.original_exception

    def _refuse_writing(self, _connection: Any) -> None:
        """Writing to a damaged file damages it further; what providers answered meanwhile goes to the spill shelf."""
        if _CORRUPT in self._faults:
            raise Unavailable("The database is damaged.")

    async def _try_to_write(self) -> None:
        before, self._faults = self._faults, {}
        try:
            async with self._engines.write() as connection:
                await connection.execute(text("UPDATE instance SET id = id"))
        except Unavailable:
            self._faults = before | self._faults


def refuse_other_files(path: Path) -> None:
    """Raises Misconfigured for a file that is no SQLite database (any more)."""
    if not path.exists():
        return
    # By SQLite itself: closing a descriptor of ours would drop the locks of every other connection of this process.
    connection = _connect(path)
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as fault:
        if fault.sqlite_errorname.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            raise Misconfigured(f"{path} is no SQLite database, or is damaged.", fix=RESTORE) from None
        # Anything else is told by whoever opens it in earnest.
    finally:
        connection.close()


def _sign_of(failure: BaseException | None) -> tuple[str, str]:
    """(name of the error, code of the obstacle) of a driver's failure, or two empty texts."""
    while failure is not None:
        name = str(getattr(failure, "sqlite_errorname", "") or getattr(failure, "sqlstate", "") or "")
        for sign, code in _SIGNS:
            if name.startswith(sign):
                return name, code
        failure = failure.__cause__
    return "", ""


def _quick_check(path: Path, monotonic: Callable[[], float], seconds: float) -> str:
    until = monotonic() + seconds
    connection = _connect(path)
    try:
        connection.set_progress_handler(lambda: monotonic() > until, _STEPS)
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as fault:
        if fault.sqlite_errorname == "SQLITE_INTERRUPT":  # no fault was found in the time it had
            return ""
        raise
    except sqlite3.DatabaseError as fault:
        return str(fault)
    finally:
        connection.close()
    return "" if found == "ok" else str(found).splitlines()[-1]


def _cut_log(path: Path) -> None:
    connection = _connect(path)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    """Never creates, and waits for nobody: both uses can wait for another time."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None, timeout=0.0)


def _corrupt(name: str) -> Obstacle:
    return Obstacle(code=_CORRUPT, message=f"The database is damaged ({name}); nothing is written to it.", fix=RESTORE)


def _read_only(name: str) -> Obstacle:
    fix = "Make it writable; refreshing goes on by itself."
    return Obstacle(code="read_only", message=f"The database is read-only ({name}).", fix=fix)


def _write_failed(name: str) -> Obstacle:
    fix = "Look at the disk under the database: is it full or failing? Refreshing goes on by itself."
    return Obstacle(code="write_failed", message=f"The database could not write ({name}).", fix=fix)


_OBSTACLES: dict[str, Callable[[str], Obstacle]] = {
    _CORRUPT: _corrupt,
    "read_only": _read_only,
    "write_failed": _write_failed,
}
