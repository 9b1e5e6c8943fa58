"""What is said to the database about grants.

Owns: the conditional statements that keep one refresh at a time and no older generation over a newer one (reliability 4.4),
built once: building a statement costs several times what executing it does. Does not own: executing them (`grants`).
"""

from __future__ import annotations

import functools
from typing import Any

from sqlalchemy import ColumnElement, Float, Integer, and_, bindparam, select, tuple_, update
from sqlalchemy.sql.dml import Update

from tokenkeep.adapters.store.rows import lease_free
from tokenkeep.adapters.tables import grants
from tokenkeep.adapters.tables.columns import clock_after, clock_at_start, clock_now
from tokenkeep.core.model import Grant, State

AT_REST = (State.REAUTHORIZATION_REQUIRED, State.QUARANTINED)
FREE: dict[str, Any] = {"lease_owner": "", "lease_until": None}
NO_INTENT: dict[str, Any] = {
    "intent_at": None,
    "intent_fingerprint": "",
    "prior_intent_at": None,
    "prior_intent_fingerprint": "",
    "prior_next_refresh_at": None,
}
SETTLED: dict[str, Any] = FREE | NO_INTENT | {"refused": None}


def row_at(workspace_id: str, credential_id: str) -> ColumnElement[bool]:
    """One credential's row."""
    return and_(grants.c.workspace_id == workspace_id, grants.c.credential_id == credential_id)


def change(*conditions: ColumnElement[bool]) -> Update:
    """A change of rows, which every reader's memory has to notice."""
    return update(grants).where(*conditions).values(revision=grants.c.revision + 1)


_LEASE_S = bindparam("lease_s", type_=Float)
_SAME = and_(*(grants.c[name] == bindparam(f"at_{name}") for name in ("workspace_id", "credential_id")))
_SAME_GENERATION = and_(_SAME, *(grants.c[name] == bindparam(f"at_{name}") for name in ("grant_id", "version")))
_HELD = and_(_SAME_GENERATION, grants.c.fence == bindparam("at_fence"))
"""The row is still what the lease was taken on: nobody claimed it since, stored into it or connected anew."""
GET = select(grants).where(_SAME)
# Read before somebody else's lease began or ended, it is not as it was: then it is read again. Several claims share a
# transaction, and replicas lock the same rows in any order: who finds one locked passes it over instead of waiting.
_UNCLAIMED = (
    select(grants.c.workspace_id, grants.c.credential_id)
    .where(_HELD, grants.c.state == bindparam("at_state"), lease_free())
    .with_for_update(skip_locked=True)
)
CLAIM = (
    change(tuple_(grants.c.workspace_id, grants.c.credential_id).in_(_UNCLAIMED), _HELD)
    .values(
        lease_owner=bindparam("owner"),
        lease_until=clock_after(_LEASE_S),
        next_refresh_at=clock_after(_LEASE_S),
        intent_at=clock_now(),
        intent_fingerprint=bindparam("fingerprint"),
        fence=grants.c.fence + 1,
        prior_intent_at=grants.c.intent_at,
        prior_intent_fingerprint=grants.c.intent_fingerprint,
        prior_next_refresh_at=grants.c.next_refresh_at,
    )
    .returning(*grants.c)
)
EXTEND = (
    change(_HELD, grants.c.lease_owner == bindparam("owner"))
    .values(lease_until=clock_after(_LEASE_S), next_refresh_at=clock_after(_LEASE_S))
    .returning(grants.c.fence)
)


@functools.cache
def write_where(condition: str, columns: tuple[str, ...]) -> Update:
    """UPDATE of these columns where the row is `held`, still leased as `mine`, or of the same generation and `free`."""
    mine = grants.c.lease_owner == bindparam("at_lease_owner")
    conditions = {"held": (_HELD,), "mine": (_HELD, mine), "free": (_SAME_GENERATION, lease_free())}[condition]
    new = {name: bindparam(f"new_{name}", type_=grants.c[name].type) for name in columns}
    return change(*conditions).values(new).returning(grants.c.fence)


def place_of(grant: Grant) -> dict[str, Any]:
    """The parameters of `_HELD` and what it is made of."""
    names = ("workspace_id", "credential_id", "grant_id", "version", "fence", "lease_owner")
    return {f"at_{name}": getattr(grant, name) for name in names}


DUE = (
    select(grants.c.workspace_id, grants.c.credential_id, grants.c.provider)
    .where(grants.c.next_refresh_at.is_not(None), grants.c.next_refresh_at <= clock_at_start())
    .where(grants.c.state.not_in(AT_REST))
    .order_by(grants.c.next_refresh_at)
    .limit(bindparam("limit", type_=Integer))
)
"""Walks the partial index from its oldest end, so its cost is that of its answer."""
