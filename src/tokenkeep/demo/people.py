"""Who can sign in at the demo provider.

Owns: the three standing people, and people made up by typing a name.
Does not own: what they have granted (`store`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

LONGEST_NAME = 60
OWN_WORKSPACE = "Personal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A made-up user of the demo provider."""

    id: str
    name: str
    workspace: str


PEOPLE = (
    Person(id="ada", name="Ada", workspace="Analytical Engines"),
    Person(id="grace", name="Grace", workspace="Compilers & Co"),
    Person(id="edsger", name="Edsger", workspace="Semaphore Ltd"),
)


def person(unverified_id: str) -> Person | None:
    """The standing person of that id. None: there is no such person."""
    return next((one for one in PEOPLE if one.id == unverified_id), None)


def newcomer(unverified_name: str) -> Person | None:
    """Somebody known by a name alone; the same name is the same account. None: nothing readable was typed."""
    name = " ".join(unverified_name.split())[:LONGEST_NAME]
    if not name or not name.isprintable():
        return None
    account = hashlib.sha256(name.casefold().encode()).hexdigest()[:12]
    return Person(id=f"guest-{account}", name=name, workspace=OWN_WORKSPACE)
