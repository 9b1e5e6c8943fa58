"""How many token calls are under way at once.

Owns: the bounds on calls in all, per provider, per workspace and per lane, for reads and sweeps alike, so that one
provider's or workspace's trouble does not take every place. Does not own: who calls first (`sweep`), when not to call
at all (`peace`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tokenkeep.core.model import Grant

CALLS, CALLS_PER_PROVIDER, CALLS_PER_WORKSPACE, CALLS_PER_LANE = 32, 10, 24, 8
"""A lane is one provider in one workspace. Three providers that hang, each in many workspaces, leave places to others."""


def _places(count: int) -> defaultdict[object, asyncio.Semaphore]:
    return defaultdict(lambda: asyncio.Semaphore(count))


@dataclass(slots=True)
class Gate:
    """Who waits is let through in the order of arrival. Kept in this process: replicas have a gate each."""

    _lanes: defaultdict[object, asyncio.Semaphore] = field(default_factory=lambda: _places(CALLS_PER_LANE))
    _providers: defaultdict[object, asyncio.Semaphore] = field(default_factory=lambda: _places(CALLS_PER_PROVIDER))
    _workspaces: defaultdict[object, asyncio.Semaphore] = field(default_factory=lambda: _places(CALLS_PER_WORKSPACE))
    _all: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CALLS))

    @asynccontextmanager
    async def passage(self, grant: Grant) -> AsyncIterator[None]:
        """A place for one call. The narrowest bound first: who waits there takes no place from others."""
        lane = (grant.workspace_id, grant.provider)
        async with (
            self._lanes[lane],
            self._workspaces[grant.workspace_id],
            self._providers[grant.provider],
            self._all,
        ):
            yield
