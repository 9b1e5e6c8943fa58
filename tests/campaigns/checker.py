"""The judge: invariants I1 to I7 over the provider's journal, what callers were told, and what is stored.

Owns: what counts as a violation, and what excuses a loss. Pure. Does not own: how any of it was observed.

Every function answers sentences, one per violation, that begin with the invariant's name; none means that it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.campaigns.history import AT_RISK, Acknowledgement, Disturbance, History, Request, Stored

STORING_S = 2.0
"""After an answer was sent, a process needs at most this long to store it; disturbed in that time, it could not."""
JUDGED_S = 10.0
"""Faults of other providers must have lasted this long in all before somebody counts as held up: a refresh takes its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A grant that needs its user, and whether the fault lay in the window that no client can close."""

    family: str
    excused: bool
    code: str


class Judge:
    """Knows the journal and what was done to whom."""

    def __init__(self, history: History, disturbances: Iterable[Disturbance]) -> None:
        self.history = history
        self._disturbances: dict[str, list[Disturbance]] = {}
        for each in disturbances:
            self._disturbances.setdefault(each.by, []).append(each)

    def disturbed(self, request: Request) -> bool:
        """Whether its sender may never have stored the answer: it got none, or something was done to it meanwhile."""
        if not request.answered:
            return True
        return any(
            each.start <= request.ended_at + STORING_S
            and each.end >= request.at
            and (each.exposed is None or request.family in each.exposed)
            for each in self._disturbances.get(request.by, ())
        )

    def in_window(self, family: str) -> bool:
        """Whether the answer that carried the newest generation may never have been stored."""
        maker = self.history.maker(family, self.history.generation(family))
        return maker is not None and self.disturbed(maker)

    # --- invariants ---------------------------------------------------------------------------------------------

    def acknowledged(self, acknowledgements: Iterable[Acknowledgement], stored: Iterable[Stored]) -> list[str]:
        """I1: what a caller holds is on disk, or something newer."""
        on_disk = {each.family: each.generation for each in stored}
        return [
            f"I1 {each.family}: generation {each.generation} was handed out, {on_disk[each.family]} is on disk"
            for each in acknowledgements
            if each.family in on_disk and on_disk[each.family] < each.generation
        ]

    def connected(self, told: Mapping[str, str], stored: Iterable[Stored]) -> list[str]:
        """I1 of a consent: (credential -> family) that was called connected is there, or a later one."""
        found = {each.credential_id: each.family for each in stored}
        return [
            f"I1 {family}: {credential_id} was connected, {found.get(credential_id, 'nothing')} is on disk"
            for credential_id, family in told.items()
            if credential_id not in found or _number(found[credential_id]) < _number(family)
        ]

    def promised(
        self, told: Iterable[tuple[str, int]], stored: Iterable[Stored], spilled: Iterable[tuple[str, int]]
    ) -> list[str]:
        """I1 of a spill file, which is durable when writing it has returned: (family, version) is there or in the row."""
        on_disk = {each.family: each.version for each in stored}
        for family, version in spilled:
            on_disk[family] = max(on_disk.get(family, 0), version)
        return [
            f"I1 {family}: version {version} was spilled, {on_disk[family]} is on disk"
            for family, version in told
            if family in on_disk and on_disk[family] < version
        ]

    def in_flight_together(self) -> list[str]:
        """I2: never two requests of one family at once, but where the first one's sender was disturbed."""
        found = []
        for family, requests in self.history.of.items():
            running: list[Request] = []
            for request in requests:
                running = [each for each in running if each.ended_at > request.at]
                found += [
                    f"I2 {family}: request {request.number} of {request.by} beside {each.number} of {each.by}"
                    for each in running
                    if not self.disturbed(each)
                ]
                running.append(request)
        return found

    def backwards(self, audits: Sequence[Sequence[Stored]]) -> list[str]:
        """I3: no older generation over a newer one, from each audit to the next."""
        found = []
        for before, after in pairwise(audits):
            were = {(each.credential_id, each.family): each for each in before}
            for each in after:
                was = were.get((each.credential_id, each.family))
                if was is not None and (each.generation, each.version) < (was.generation, was.version):
                    found.append(f"I3 {each.family}: generation {was.generation} became {each.generation}")
        return found

    def blind_reuse(self) -> list[str]:
        """I4: a superseded token is sent only by the recovery of a disturbed refresh, and to an end only once."""
        found = []
        for family, requests in self.history.of.items():
            ended: set[int] = set()
            for request in (each for each in requests if each.superseded):
                makers = [self.history.maker(family, request.sent + ahead) for ahead in (1, 2)]
                if not any(maker is not None and self.disturbed(maker) for maker in makers):
                    found.append(f"I4 {family}: request {request.number} sent the spent generation {request.sent}")
                if request.outcome in {"again", "refused"} and not self.disturbed(request):
                    if request.sent in ended:
                        found.append(f"I4 {family}: generation {request.sent} was tried again after it was answered")
                    ended.add(request.sent)
        return found

    def false_deaths(self, stored: Iterable[Stored]) -> list[str]:
        """I5: nobody is asked to connect again unless the provider refused."""
        return [
            f"I5 {each.family}: {each.state} ({each.failure_code}), but the provider never refused"
            for each in stored
            if (each.state == "reauthorization_required" and not self.history.refused(each.family))
            or each.state == "quarantined"
        ]

    def stuck(self, stored: Iterable[Stored], waited_s: float) -> list[str]:
        """I6: after the patience is over nothing is leased, uncertain or overdue."""
        return [
            f"I6 {each.family}: still {'leased' if each.leased else 'uncertain' if each.uncertain else 'overdue'} "
            f"after {waited_s:.0f} s ({each.failure_code or each.state})"
            for each in stored
            if each.leased or each.uncertain or each.overdue
        ]

    def held_up(self, faults: Sequence[tuple[str, float, float]]) -> list[str]:
        """I7: while one class's provider fails (class, from, to), the others are refreshed."""
        kinds = {family.partition(".")[0] for family in self.history.families}
        found = []
        for kind in sorted(kinds):
            spans = [(start, end) for at_fault, start, end in faults if at_fault != kind]
            commits = [each.at for each in self.history.requests if each.kind == kind and each.outcome == "commit"]
            long_enough = sum(end - start for start, end in spans) >= JUDGED_S
            if long_enough and not any(start <= at <= end for at in commits for start, end in spans):
                found.append(f"I7 {kind}: never refreshed while another provider failed")
        return found

    # --- losses --------------------------------------------------------------------------------------------------

    def losses(self, stored: Iterable[Stored]) -> list[Loss]:
        """Grants that the provider no longer serves, or that were given up."""
        return [
            Loss(family=each.family, excused=self._excused(each), code=each.failure_code)
            for each in stored
            if each.state == "reauthorization_required" or not self.history.accepts(each)
        ]

    def _excused(self, stored: Stored) -> bool:
        kind = stored.family.partition(".")[0]
        return kind in AT_RISK and self.in_window(stored.family)

    def bad_losses(self, stored: Sequence[Stored]) -> list[str]:
        """Losses that no window excuses, or that do not say so, or do not tell the true cause."""
        state = {each.family: each.state for each in stored}
        found = []
        for loss in self.losses(stored):
            if not loss.excused:
                found.append(f"lost {loss.family}: outside every window ({loss.code or state[loss.family]})")
            elif state[loss.family] != "reauthorization_required":
                found.append(f"lost {loss.family}: not flagged, {state[loss.family]} ({loss.code})")
            elif loss.code != "lost_response":
                found.append(f"lost {loss.family}: flagged with the wrong cause, {loss.code}")
        return found


def _number(family: str) -> int:
    """The provider counts families upwards."""
    return int(family.partition(".")[2])
