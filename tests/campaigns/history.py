"""What the provider's journal says happened.

Owns: reading the journal's lines into requests and families, and which refresh token the provider would accept.
Does not own: what should have happened (`checker`).
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

AT_RISK = frozenset({"strict", "family", "kills"})
"""The classes of which a lost answer may cost the grant; the others lose nothing, ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One refresh as the provider saw it."""

    number: int
    by: str  # which life of which process sent it
    family: str
    sent: int  # the generation it carried
    current: int  # the family's generation when it arrived
    at: float
    outcome: str = ""  # commit, again, refused, down; empty: undecided, or the answer was withheld
    made: int = 0  # the generation a commit made
    ended_at: float = math.inf
    answered: bool = False

    @property
    def kind(self) -> str:
        """The rotation class."""
        return self.family.partition(".")[0]

    @property
    def superseded(self) -> bool:
        """Whether it carried a refresh token that was spent already."""
        return self.kind != "none" and self.sent < self.current


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """What was done to a process. A kill ends its life, so its start and end are one moment."""

    kind: str  # kill, stop, partition
    by: str
    start: float
    end: float
    exposed: frozenset[str] | None = None  # families it held leases of; None: not known, so time must tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """An access token that a caller got."""

    family: str
    generation: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One grant as the database has it."""

    credential_id: str
    family: str
    generation: int  # of the access token
    version: int
    state: str
    failure_code: str = ""
    leased: bool = False
    uncertain: bool = False
    overdue: bool = False


class History:
    """The journal, understood."""

    def __init__(self, requests: Sequence[Request], families: Iterable[str]) -> None:
        self.requests = requests
        self.families = frozenset(families)

    @cached_property
    def of(self) -> dict[str, list[Request]]:
        """Requests by family, in order of arrival."""
        found: dict[str, list[Request]] = defaultdict(list)
        for request in self.requests:
            found[request.family].append(request)
        return found

    def generation(self, family: str) -> int:
        """The newest that the provider has committed."""
        return max((request.made for request in self.of.get(family, ())), default=1)

    def maker(self, family: str, generation: int) -> Request | None:
        """The request that made this generation."""
        return next(
            (each for each in self.of.get(family, ()) if each.made == generation and each.outcome == "commit"), None
        )

    def refused(self, family: str) -> bool:
        """Whether the provider ever refused it."""
        return any(each.outcome == "refused" for each in self.of.get(family, ()))

    def accepts(self, stored: Stored) -> bool:
        """Whether a refresh with the stored token would be granted. Grace is not counted on: it may be over tomorrow."""
        kind = stored.family.partition(".")[0]
        if kind == "family" and self.refused(stored.family):
            return False
        return kind == "none" or stored.generation == self.generation(stored.family)


def read(lines: Iterable[str]) -> History:
    """The history in a journal's lines. A last line that is still being written is left out."""
    requests: dict[int, Request] = {}
    families = []
    for line in lines:
        if not line.endswith("\n"):
            break
        entry = json.loads(line)
        what, number = entry["what"], entry.get("n", 0)
        if what == "family":
            families.append(entry["family"])
        elif what == "begin":
            told = {name: entry[name] for name in ("by", "family", "sent", "current", "at")}
            requests[number] = Request(number=number, **told)
        elif what == "end":
            requests[number] = replace(requests[number], ended_at=entry["at"], answered=entry["answered"])
        elif number:
            made = entry.get("generation", 0) if what == "commit" else 0
            requests[number] = replace(requests[number], outcome=what, made=made)
    return History(list(requests.values()), families)
