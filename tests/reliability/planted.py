"""Planted bugs: a suite that does not find them proves nothing (reliability 4.9).

Owns: each bug as one change made in a process of its own, and the checks that must find it: a check of the harnesses
here, or tests of the ordinary suite. `synchronous = NORMAL`, a spill that is not brought to the disk and a restored clone
need real disks and processes: the campaigns plant them (`ELSEWHERE`).

    python -m tests.reliability.planted [NAME …]    without and with each bug; all of them when none is named
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.kit import memory_grants
from tests.reliability.checker import violations
from tests.reliability.crash_points import Case, Strike, failures, judged
from tests.reliability.simulation import play
from tests.reliability.virtual_time import run
from tests.reliability.world import World
from tokenkeep.adapters import envelope, tasks, token_endpoint
from tokenkeep.adapters.store import credentials, grant_statements
from tokenkeep.core import policy, protocol
from tokenkeep.core.judgement import Refused
from tokenkeep.core.model import FailureKind, Grant, State
from tokenkeep.services import callback, fallbacks, keeping, refresh, tokens
from tokenkeep.web import connect_pages

# --- checks of the harnesses here -----------------------------------------------------------------------------------


def crash(manner: str, trigger: str, *strikes: tuple[str, int, str], state: State | None = None) -> Callable[[], None]:
    """One case of the crash points; `state` is what must have become of it."""
    struck = tuple(Strike(point=point, nth=nth, fault=fault) for point, nth, fault in strikes)

    def check() -> None:
        outcome = judged(Case(manner=manner, trigger=trigger, strikes=struck))
        assert not failures(outcome), failures(outcome)
        assert state is None or outcome.state is state, f"{outcome.case}: {outcome.state} ({outcome.code})"

    return check


def race() -> None:
    """Two replicas, one due grant, and a provider that takes its time."""

    async def both() -> list[str]:
        world = World(["strict"])
        await world.furnish()
        await world.connect("raced", "provider0")
        world.providers["provider0"].latency = lambda: 8.0
        for name in ("a", "b"):
            world.tick(world.start(name))
        await asyncio.sleep(4000)
        return await violations(world)

    found = run(both)
    assert not found, found


def bad_day() -> None:
    """The provider answers 503 for ten minutes."""

    async def long() -> list[str]:
        world = World(["strict"])
        await world.furnish()
        await world.connect("patient", "provider0")
        provider = world.providers["provider0"]
        world.tick(world.start("a"))
        provider.trouble = lambda: "down"
        await asyncio.sleep(3500)
        provider.trouble = lambda: ""
        await asyncio.sleep(4000)
        return await violations(world)

    found = run(long)
    assert not found, found


def many_schedules() -> None:
    """Simulated schedules, until one finds something."""
    for seed in range(200):
        faults = play(seed).faults
        assert not faults, faults


# --- the bugs ------------------------------------------------------------------------------------------------------


def reply_before_w2() -> None:
    early: dict[str, Any] = {}
    store = keeping.Keeping._store

    async def later(self: Any, *arguments: Any, **named: Any) -> None:
        await self.clock.sleep(1)
        await store(self, *arguments, **named)

    async def at_once(self: Any, *arguments: Any, **named: Any) -> tuple[bool, bool]:
        (grant,) = (each for each in arguments if isinstance(each, Grant))
        early[grant.credential_id] = grant, asyncio.create_task(later(self, *arguments, **named))
        return True, False

    async def refreshed(self: Any, caller: Any, grant: Any, wanted: Any) -> Any:
        await self.refresher.refresh(caller.workspace_id, grant.credential_id, wanted)
        return early[grant.credential_id][0]

    keeping.Keeping._store, tokens.Tokens._refreshed = at_once, refreshed  # type: ignore[method-assign]


def no_fence_in_w2() -> None:
    memory_grants.MemoryGrants._held = lambda self, lease: self._same(lease.grant)  # type: ignore[method-assign]
    grant_statements._HELD = grant_statements._SAME


def lease_of_a_second() -> None:
    policy.LEASE_S = 1


def refresh_inside_the_request() -> None:
    tasks.ServiceTasks.run = lambda self, key, work: work()  # type: ignore[method-assign]


def missing_refresh_token_overwrites() -> None:
    merge = protocol.merge
    protocol.merge = lambda old, new: replace(merge(old, new), refresh_token=new.refresh_token)


def read_timeout_retried() -> None:
    once = token_endpoint.TokenEndpointAdapter.refresh

    async def again(self: Any, *arguments: Any, **named: Any) -> Any:
        answer = await once(self, *arguments, **named)
        return await once(self, *arguments, **named) if answer.fault == "lost" else answer

    token_endpoint.TokenEndpointAdapter.refresh = again  # type: ignore[method-assign]


def server_error_is_terminal() -> None:
    judge = refresh.judge

    def harsh(answer: Any, *arguments: Any, **named: Any) -> Any:
        if answer.status >= 500:
            code = "server_error"
            return Refused(kind=FailureKind.GRANT, code=code, detail="", retry_after=None, uncertain=False)
        return judge(answer, *arguments, **named)

    refresh.judge = harsh


def refusal_believed_at_once() -> None:
    async def only(self: Any, lease: Any, provider: Any, token_set: Any) -> Any:
        yield token_set.refresh_token

    fallbacks.Fallbacks.candidates = only  # type: ignore[method-assign]


def refusal_forgotten() -> None:
    candidates = fallbacks.Fallbacks.candidates

    def anew(self: Any, lease: Any, *arguments: Any) -> Any:
        return candidates(self, replace(lease, grant=replace(lease.grant, refused=())), *arguments)

    fallbacks.Fallbacks.candidates = anew  # type: ignore[method-assign]


def no_additional_data() -> None:
    envelope._OpenedKey.bound = lambda self, place: b""  # type: ignore[method-assign]


def state_not_bound_to_the_browser() -> None:
    callback.check_browser = lambda *_, **__: None


def workspace_not_asked_for() -> None:
    credentials._at = lambda _, credential_id: credentials.credentials.c.id == credential_id


def message_to_anybody() -> None:
    config_of = connect_pages.config_of

    def wide_open(request: Any) -> Any:
        config = config_of(request)
        return replace(config, return_origins=frozenset({*config.return_origins, "*"}))

    connect_pages.config_of = wide_open


def no_orphan_shelf() -> None:
    async def dropped(*_: Any, **__: Any) -> bool:
        return False

    keeping.Keeping._shelve = keeping.Keeping._adopted_when_free = dropped  # type: ignore[method-assign,assignment]


def no_spill() -> None:
    async def nowhere(*_: Any) -> None: ...

    keeping.Keeping._spill = nowhere  # type: ignore[method-assign]


def no_previous_token() -> None:
    async def without(self: Any, grant: Any, *_: Any) -> Any:
        return replace(grant, prev_sealed=None, prev_until=None)

    keeping.Keeping._with_previous = without  # type: ignore[method-assign]


def no_replay() -> None:
    async def none(*_: Any) -> int:
        return 0

    # Neither at the start and now and then, nor before a token is sent that the answer on the shelf has replaced.
    keeping.Keeping.replay = keeping.Keeping.unspilled = none  # type: ignore[method-assign,assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A bug and what must find it. `sign`: words of the failure, so that it is found for the right reason."""

    plant: Callable[[], None]
    harness: Callable[[], None] | None = None
    tests: str = ""  # or a test of the ordinary suite
    sign: str = ""


SPILL_LOST = crash(
    "strict", "sweep", ("grants.store:before", 1, "error"), ("grants.store:before", 2, "exit"), state=State.CONNECTED
)
REFRESH = "tests/services/test_refresh.py::"
PLANTED: Mapping[str, Planted] = {
    "reply-before-w2": Planted(plant=reply_before_w2, harness=crash("strict", "read"), sign="I1:"),
    "no-fence-in-w2": Planted(
        plant=no_fence_in_w2, harness=crash("strict", "sweep", ("wire.refresh:after", 1, "stall")), sign="I3:"
    ),
    "no-fence-in-sql": Planted(
        plant=no_fence_in_w2, tests="tests/conformance/test_leases.py::test_who_lost_the_lease_writes_nothing"
    ),
    "lease-1s": Planted(plant=lease_of_a_second, harness=race, sign="I2:"),
    "refresh-in-request": Planted(
        plant=refresh_inside_the_request, tests=f"{REFRESH}test_a_caller_who_hangs_up_loses_nothing"
    ),
    "missing-refresh-token-overwrites": Planted(
        plant=missing_refresh_token_overwrites,
        tests=f"{REFRESH}test_an_answer_without_a_refresh_token_means_keep_yours",
    ),
    "read-timeout-retried": Planted(
        plant=read_timeout_retried, tests=f"{REFRESH}test_an_answer_that_is_lost_after_the_provider_committed"
    ),
    "5xx-terminal": Planted(plant=server_error_is_terminal, harness=bad_day, sign="I5:"),
    "refusal-believed-at-once": Planted(
        plant=refusal_believed_at_once,
        tests=f"{REFRESH}test_a_refusal_is_believed_only_after_the_token_before_it_was_tried",
    ),
    "refusal-forgotten": Planted(plant=refusal_forgotten, harness=many_schedules, sign="after it was refused"),
    "no-aad": Planted(
        plant=no_additional_data, tests="tests/adapters/test_envelope.py::test_does_not_open_where_one_part_differs"
    ),
    "state-not-bound-to-cookie": Planted(
        plant=state_not_bound_to_the_browser, tests="tests/services/test_connect.py::test_another_browser_is_refused"
    ),
    "workspace-filter-dropped": Planted(
        plant=workspace_not_asked_for,
        tests="tests/conformance/test_credentials.py::test_unknown_ids_and_other_workspaces_answer_none",
    ),
    "message-to-anybody": Planted(
        plant=message_to_anybody,
        tests="tests/web/test_pages_connect.py::test_the_message_goes_to_an_exact_origin_that_is_allowed_or_nowhere",
    ),
    "no-orphan-shelf": Planted(
        plant=no_orphan_shelf,
        harness=crash("strict", "sweep", ("wire.refresh:after", 1, "stall"), state=State.CONNECTED),
        sign="lost_response",
    ),
    "no-spill": Planted(plant=no_spill, harness=SPILL_LOST, sign="lost_response"),
    "no-previous-token": Planted(
        plant=no_previous_token, tests=f"{REFRESH}test_a_refusal_is_believed_only_after_the_token_before_it_was_tried"
    ),
    "no-replay": Planted(plant=no_replay, harness=SPILL_LOST, sign="I5:"),
}
ELSEWHERE: Mapping[str, str] = {
    "synchronous-normal": "tests/campaigns: the power-cut campaign",
    "spill-not-fsynced": "tests/campaigns: the power-cut campaign",
    "restored-clone-refreshes": "the tests of `tokenkeep adopt`",
}


# --- running them --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a check said without the bug and with it."""

    name: str
    clean: str  # empty: it passed
    planted: str

    @property
    def fault(self) -> str:
        """Empty: the check is worth something."""
        if self.clean:
            return f"{self.name}: the check fails without the bug as well:\n{self.clean}"
        if not self.planted:
            return f"{self.name}: the check does not notice the bug"
        if PLANTED[self.name].sign not in self.planted:
            return f"{self.name}: the check fails for another reason:\n{self.planted}"
        return ""


def check(name: str) -> str:
    """What the check of this bug finds in this process as it is. Empty: nothing."""
    bug = PLANTED[name]
    if bug.harness is None:
        return _pytest(bug.tests)
    try:
        bug.harness()
    except AssertionError:
        return traceback.format_exc()
    return ""


def _pytest(node: str) -> str:
    said = io.StringIO()
    options = [
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
        "-k",
        "not postgresql",
    ]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        outcome = pytest.main([*options, node])
    if outcome in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        return "" if outcome is pytest.ExitCode.OK else said.getvalue()
    raise RuntimeError(f"{node} could not be run:\n{said.getvalue()}")


def find(name: str) -> Found:
    """In two processes of their own: a bug is never taken out again."""
    return Found(name=name, clean=_apart(name, planted=False), planted=_apart(name, planted=True))


def _apart(name: str, *, planted: bool) -> str:
    """In a fork of this process, which has everything loaded."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            if planted:
                PLANTED[name].plant()
            said = check(name)
        except BaseException:  # noqa: BLE001 - the parent has to hear of it
            said = f"BROKEN {traceback.format_exc()}"
        with os.fdopen(writing, "w") as output:
            output.write(said)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as given:
        said = given.read()
    os.waitpid(child, 0)
    return said


def find_all(names: Sequence[str]) -> list[Found]:
    """Two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(find, names))


def main(arguments: list[str] | None = None) -> int:
    """Say of each bug whether it is found."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.planted", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PLANTED))
    names = parser.parse_args(arguments).names or list(PLANTED)
    if unknown := [name for name in names if name not in PLANTED]:
        parser.error(f"no such bug: {', '.join(unknown)}")
    missed = 0
    for found in find_all(names):
        missed += bool(found.fault)
        print(found.fault or f"{found.name}: found", flush=True)
    for name, where in ELSEWHERE.items():
        print(f"{name}: planted by {where}")
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main())
