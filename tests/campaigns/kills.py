"""kill -9 at random moments, over and over, on one SQLite database that has to live through all of them.

Owns: the cycle (start, make everything due, kill, look at the disk; now and then let it settle and judge), what is counted
and which marks must be met. Does not own: single invariants (`checker`), what is on disk (`disk`).

Two consents of each class take 200 ms, decide and answer in one moment, and drop a request whose caller hangs up before that:
what is lost of them was lost between our receiving an answer and our storing it. Two more go on without their caller and take
their time after the decision, so that most kills fall into the window that no client can close.

Run as `python -m tests.campaigns.kills --cycles 300 --seed 1`; prints the figures as JSON with `--json`.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy.exc import DBAPIError

from tests.campaigns import disk
from tests.campaigns.checker import Judge
from tests.campaigns.disk import Audit
from tests.campaigns.history import AT_RISK, Disturbance
from tests.campaigns.life import Order
from tests.campaigns.provider import CLASSES
from tests.campaigns.site import PATIENCE_S, Life, Site, site
from tests.processes.service import free_port
from tokenkeep.core.errors import TokenkeepError

QUICK = {"before_s": 0.2, "after_s": 0.0, "abandons": True}
SLOW = {"before_s": 0.05, "after_s": 0.25, "abandons": False}
OF_EACH = 2
LIFE_S = 0.7
"""The kill comes at a random moment of so many seconds after the service is ready."""
EARLY_SHARE = 0.1
"""So many of the kills come while the service is still starting."""
SETTLED_EVERY = 4
FLAGGED_WITHIN_S, READY_WITHIN_S, QUICK_LOSSES = 60.0, 5.0, 0.05
ENOUGH = 100


@dataclass(kw_only=True)
class Figures:
    """What a campaign counted. `violations` empty: everything held."""

    cycles: int = 0
    early: int = 0  # killed while starting
    exposed: Counter[str] = field(default_factory=Counter)  # class -> refreshes that a kill met between W1 and W2
    exposed_quick: int = 0  # of those, at risk and with an immediate answer
    in_window: Counter[str] = field(default_factory=Counter)  # of those, decided by the provider already
    lost: Counter[str] = field(default_factory=Counter)
    lost_quick: int = 0
    refreshes: int = 0
    acknowledged: int = 0
    spilled: int = 0
    unsound: int = 0  # databases that fail integrity_check
    ready_s: list[float] = field(default_factory=list)
    flagged_s: list[float] = field(default_factory=list)  # from the kill to the flag, at most
    violations: list[str] = field(default_factory=list)

    def marks(self) -> dict[str, bool]:
        """Each pass mark of reliability 4.9 and whether it is met."""
        found = {
            "no invariant violated": not self.violations,
            "classes none and grace lost nothing": not self.lost["none"] + self.lost["grace"],
            f"losses flagged within {FLAGGED_WITHIN_S:.0f} s": max(self.flagged_s, default=0) <= FLAGGED_WITHIN_S,
            "no corrupt database": self.unsound == 0,
            f"ready within {READY_WITHIN_S:.0f} s": max(self.ready_s, default=0) <= READY_WITHIN_S,
            "kills met refreshes": sum(self.exposed.values()) > 0,
        }
        if self.exposed_quick >= ENOUGH:  # of fewer a share says nothing
            mark = f"at most {QUICK_LOSSES:.0%} lost of refreshes that take 200 ms"
            found[mark] = self.lost_quick <= QUICK_LOSSES * self.exposed_quick
        return found


class Kills:
    """One campaign on one site."""

    cold = False

    def __init__(self, place: Site, *, cycles: int, seed: int, mutant: str = "", spill: str = "fault") -> None:
        self.place, self.cycles, self.seed, self.mutant, self.spill = place, cycles, seed, mutant, spill
        self.data, self.keys = place.folder / "share" / "data", place.folder / "config" / "keys" / "root.json"
        self.scratch = place.folder / "scratch"
        self.figures = Figures()
        self.disturbances: list[Disturbance] = []
        self.audits: list[Audit] = []
        self._chance = random.Random(seed)
        self._slow: set[str] = set()  # families
        self._credential_of: dict[str, str] = {}  # family -> credential
        self._to_connect = self._first_consents()
        self._port = free_port()
        self._killed_at = 0.0

    # --- what it is done with -----------------------------------------------------------------------------------

    def _first_consents(self) -> list[dict[str, Any]]:
        numbers = range(OF_EACH)
        return [
            {"credential_id": f"{kind}-{'slow' if slow else 'quick'}-{number}"} | self._consent(kind, slow=slow)
            for kind in CLASSES
            for slow in (False, True)
            for number in numbers
        ]

    def _consent(self, kind: str, *, slow: bool) -> dict[str, Any]:
        (consent,) = self.place.consents(kind, 1, **(SLOW if slow else QUICK))
        if slow:
            self._slow.add(consent["family"])
        return consent

    def _order(self, number: int) -> Order:
        return Order(
            name=f"life-{number}",
            environ={
                "TOKENKEEP_PORT": str(self._port),
                "TOKENKEEP_DATA_DIR": str(self.data),
                "TOKENKEEP_ROOT_KEY_FILE": str(self.keys),
                "TOKENKEEP_DEMO": "off",
                "TOKENKEEP_SPILL": self.spill,
                "TOKENKEEP_OUTBOUND_ALLOW": "127.0.0.0/8",
            },
            provider_port=self.place.provider_port,
            told=str(self.place.told_file),
            seed=self._chance.randrange(2**31),
            connect=self._to_connect,
            mutant=self.mutant,
            serves=self.cold,
            **self.more(),
        )

    def more(self) -> dict[str, Any]:
        """Further parts of an order."""
        return {}

    def cut(self) -> None:
        """What happens to the disk at a kill, beyond the process's end: nothing."""

    # --- the cycle --------------------------------------------------------------------------------------------------

    def run(self) -> Figures:
        """All cycles, then the last judgement."""
        for number in range(1, self.cycles + 1):
            last = number == self.cycles
            self._cycle(number, settles=last or number % SETTLED_EVERY == 0)
            if self.figures.violations:
                break  # what follows a violation says nothing new
        self._judge_journal()
        self.figures.refreshes = len(self.place.history().requests)
        self.figures.acknowledged = len(self.place.told().acknowledged)
        self.figures.spilled = len(self.place.told().spilled)
        return self.figures

    def _cycle(self, number: int, *, settles: bool) -> None:
        life = self._begin(number)
        connects, early = bool(self._to_connect), self._chance.random() < EARLY_SHARE
        moment = self._chance.random() * LIFE_S
        if early and not connects and not settles and not self.cold:
            time.sleep(moment / 4)
            self.figures.early += 1
        else:
            ready_s = self._ready(life)
            if not (self.cold and connects):  # a cold start that connects first opens its house twice
                self.figures.ready_s.append(ready_s)
            self._to_connect = []
            if settles:
                self._settle()
            disk.make_due(self.data, LIFE_S / 2)
            self._wait(moment)
        self._kill(life)
        self.figures.cycles += 1

    def _begin(self, number: int) -> Life:
        order = self._order(number)
        return self.place.begin_cold(order) if self.cold else self.place.begin(order)

    def _ready(self, life: Life) -> float:
        return self.place.wait_ready(life)

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def _kill(self, life: Life) -> None:
        at = self._killed_at = life.kill()
        self.cut()
        if not (self.data / disk.DATABASE).exists():
            return
        try:
            found = disk.audit_files(self.data, self.keys, self.scratch)
        except (sqlite3.DatabaseError, TokenkeepError, DBAPIError) as fault:
            self.figures.unsound += 1
            self.figures.violations.append(f"I1 everything: the database cannot be read ({type(fault).__name__})")
            return
        exposed = found.leased
        self.disturbances.append(Disturbance(kind="kill", by=life.name, start=at, end=at, exposed=exposed))
        self._count(found)
        self._judge_disk(found)
        self.audits = [found]

    def _count(self, found: Audit) -> None:
        history = self.place.history()
        self.figures.unsound += not found.sound
        for each in found.stored:
            if not each.leased:
                continue
            kind = each.family.partition(".")[0]
            self.figures.exposed[kind] += 1
            self.figures.in_window[kind] += history.generation(each.family) > each.generation
            self.figures.exposed_quick += kind in AT_RISK and each.family not in self._slow

    # --- judging --------------------------------------------------------------------------------------------------

    def _judge_disk(self, found: Audit) -> None:
        told, judge = self.place.told(), Judge(self.place.history(), self.disturbances)
        before = [each.stored for each in self.audits]
        self.figures.violations += [
            *([] if found.sound else ["the database is corrupt"]),
            *judge.acknowledged(told.acknowledged, found.stored),
            *judge.connected(told.connected, found.stored),
            *judge.promised(told.spilled, found.stored, found.spilled),
            *judge.backwards([*before, found.stored]),
        ]

    def _settle(self) -> None:
        """Let recovery end, then judge what it made of the kills, and connect anew what was lost."""
        deadline = time.monotonic() + PATIENCE_S
        while disk.unsettled(self.data) and time.monotonic() < deadline:
            time.sleep(0.02)
        settled_at = time.monotonic()
        found = disk.audit_running(self.data, self.keys, self.scratch)
        judge = Judge(self.place.history(), self.disturbances)
        self.figures.violations += [
            *judge.stuck(found.stored, PATIENCE_S),
            *judge.bad_losses(found.stored),
            *judge.false_deaths(found.stored),
        ]
        credential_of = {each.family: each.credential_id for each in found.stored}
        for loss in judge.losses(found.stored):
            kind, slow = loss.family.partition(".")[0], loss.family in self._slow
            self.figures.lost[kind] += 1
            self.figures.lost_quick += not slow
            maker = judge.history.maker(loss.family, judge.history.generation(loss.family))
            self.figures.flagged_s.append(settled_at - (maker.at if maker is not None else settled_at))
            again = self._consent(kind, slow=slow)
            self._to_connect.append({"credential_id": credential_of[loss.family], **again})

    def _judge_journal(self) -> None:
        judge = Judge(self.place.history(), self.disturbances)
        self.figures.violations += [*judge.in_flight_together(), *judge.blind_reuse()]


class ColdKills(Kills):
    """The same with `tokenkeep serve` in an interpreter of its own, asked for tokens over HTTP."""

    cold = True

    def _ready(self, life: Life) -> float:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                if httpx2.get(f"http://127.0.0.1:{self._port}/readyz", timeout=5).status_code == 200:
                    return time.monotonic() - life.started_at
            except httpx2.TransportError:
                assert life.alive(), self.place.said()
            time.sleep(0.01)
        raise AssertionError(f"never ready: {self.place.said()}")

    def _wait(self, seconds: float) -> None:
        """Ask for tokens meanwhile, as nodes do."""
        until, headers = time.monotonic() + seconds, {"Authorization": f"Bearer {self.place.told().key}"}
        credential_ids = sorted(self.place.told().connected)
        with httpx2.Client(base_url=f"http://127.0.0.1:{self._port}", headers=headers) as node:
            while (left := until - time.monotonic()) > 0:
                credential_id = self._chance.choice(credential_ids)
                try:
                    answer = node.get(f"/v1/credentials/{credential_id}/token", timeout=left)
                except httpx2.TransportError:
                    continue
                if answer.status_code == 200:
                    self.place.hand_out(answer.json()["access_token"])


def run(folder: Path, *, cycles: int, seed: int, mutant: str = "", cold: bool = False, spill: str = "fault") -> Figures:
    """A whole campaign under that folder. `spill`: the setting of that name."""
    with site(folder, seed) as place:
        return (ColdKills if cold else Kills)(place, cycles=cycles, seed=seed, mutant=mutant, spill=spill).run()
