"""Planted bugs: a campaign that does not find them proves nothing (reliability 4.9).

Owns: each bug as a change made in a forked process only, by name. Does not own: which campaign must find which one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from sqlalchemy import event

from tokenkeep.adapters import spill
from tokenkeep.adapters.store import engine
from tokenkeep.adapters.token_endpoint import TokenEndpointAdapter
from tokenkeep.core import policy
from tokenkeep.services import settling


def synchronous_normal() -> None:
    """SQLite no longer waits for the disk at a commit."""
    hook = engine._hook

    def weaker(made: Any, *, begin: str) -> None:
        hook(made, begin=begin)
        event.listen(made, "connect", lambda connection, _: connection.cursor().execute("PRAGMA synchronous = NORMAL"))

    engine._hook = weaker


def spill_not_fsynced() -> None:
    """A spill file is written and renamed, but never brought to the disk."""
    spill.os = SimpleNamespace(**vars(os) | {"fsync": lambda _: None})


def intent_forgotten() -> None:
    """A refresh that never reported its outcome looks as if it had never begun."""
    settling.Claim.uncertain = property(lambda _: False)


def sent_twice() -> None:
    """An impatient wire: the same request once more, beside the first."""
    once = TokenEndpointAdapter.refresh

    async def twice(self: Any, *positional: Any, **named: Any) -> Any:
        first, _ = await asyncio.gather(once(self, *positional, **named), once(self, *positional, **named))
        return first

    TokenEndpointAdapter.refresh = twice


def lease_too_short() -> None:
    """The lease ends while the provider is still being asked."""
    policy.LEASE_S = 0.1


MUTANTS: dict[str, Callable[[], None]] = {
    mutate.__name__.replace("_", "-"): mutate
    for mutate in (
        synchronous_normal,
        spill_not_fsynced,
        intent_forgotten,
        sent_twice,
        lease_too_short,
    )
}
