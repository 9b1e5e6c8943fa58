"""Group commit: writes that come together share one transaction, so one flush to the disk serves them all.

Owns: collecting writes while a transaction runs, and telling each its own outcome. Does not own: connections (`engine`),
statements.

A write is durable when its caller hears of it, exactly as with a transaction of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from tokenkeep.core.errors import Unavailable

T = TypeVar("T")
Work = Callable[[Connection], Any]
MOST_TOGETHER = 64
"""Bounds how long one transaction holds the others up."""
FEW_TOGETHER = 8
"""Bounds how long what is not urgent holds up what is: a provider's answer that is not on the disk yet."""


class Group:
    """A queue of writes over `commit`, which runs several in one transaction and answers their results.

    `at_once` transactions run beside each other, where the database has more than one writer.
    """

    def __init__(self, commit: Callable[[Sequence[Work]], Awaitable[Sequence[Any]]], *, at_once: int = 1) -> None:
        self._commit, self._at_once = commit, at_once
        self._urgent: list[tuple[Work, asyncio.Future[Any]]] = []
        self._waiting: list[tuple[Work, asyncio.Future[Any]]] = []
        self._serving: set[asyncio.Task[None]] = set()

    async def write(self, work: Callable[[Connection], T], *, urgent: bool = False) -> T:
        """Run `work` in a transaction and wait until it is committed. Raises what the work or the commit raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        (self._urgent if urgent else self._waiting).append((work, done))
        if len(self._serving) < self._at_once:
            serving = loop.create_task(self._serve())  # not the caller's own: others wait for it too
            self._serving.add(serving)
        return cast("T", await done)

    async def close(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._serving)

    async def _serve(self) -> None:
        try:
            while self._urgent or self._waiting:
                batch = self._urgent[:MOST_TOGETHER] + self._waiting[:FEW_TOGETHER]
                del self._urgent[:MOST_TOGETHER], self._waiting[:FEW_TOGETHER]
                await self._together(batch)
        finally:  # in the same step that found nothing waiting, so that whoever comes next starts a new one
            self._serving = {each for each in self._serving if each is not asyncio.current_task()}

    async def _together(self, batch: Sequence[tuple[Work, asyncio.Future[Any]]]) -> None:
        try:
            results = await self._commit([work for work, _ in batch])
        except Exception as failure:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            if len(batch) > 1 and _of_one_statement(failure):
                for each in batch:  # one was refused by the database, and nothing was committed: the others go alone
                    await self._together([each])
                return
            for _, done in batch:
                _tell(done, failure=failure)
            return
        for (_, done), result in zip(batch, results, strict=True):
            _tell(done, result=result)


def _of_one_statement(failure: Exception) -> bool:
    """Whether a statement was refused for what it says. A database that is away, full or unsure is everybody's."""
    away = isinstance(failure, OperationalError | InterfaceError | Unavailable)
    return not away and not (isinstance(failure, DBAPIError) and failure.connection_invalidated)


def _tell(done: asyncio.Future[Any], *, result: Any = None, failure: Exception | None = None) -> None:
    if done.done():  # its caller hung up
        return
    if failure is not None:
        done.set_exception(failure)
    else:
        done.set_result(result)
