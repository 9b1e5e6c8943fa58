"""The report: figures in words and tables.

Owns: the arithmetic of rates and their bounds, and how a campaign's figures are told. Does not own: the figures.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median

from tests.campaigns import kills, replicas
from tests.campaigns.provider import CLASSES
from tokenkeep import __version__

_Z = 1.645  # one-sided 95 %


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One campaign, ready to be told."""

    name: str
    command: str
    facts: Mapping[str, str]
    table: Sequence[Sequence[str]]  # the first row is its head; empty: no table
    marks: Mapping[str, bool]
    violations: Sequence[str]


def per_million(lost: int, exposed: int) -> str:
    """A rate with its upper 95 % bound: the rule of three where nothing was lost, else Wilson's."""
    if not exposed:
        return "none exposed"
    if not lost:
        return f"0 (≤ {3 / exposed * 1e6:,.0f})"
    share = lost / exposed
    centre = share + _Z**2 / (2 * exposed)
    spread = _Z * math.sqrt(share * (1 - share) / exposed + _Z**2 / (4 * exposed**2))
    return f"{share * 1e6:,.0f} (≤ {(centre + spread) / (1 + _Z**2 / exposed) * 1e6:,.0f})"


def chapter(name: str, command: str, figures: kills.Figures | replicas.Figures) -> Chapter:
    """What a campaign's figures say."""
    if isinstance(figures, kills.Figures):
        facts, table = _of_kills(figures), _by_class(figures)
    else:
        facts, table = _of_replicas(figures), []
    return Chapter(
        name=name, command=command, facts=facts, table=table, marks=figures.marks(), violations=figures.violations
    )


def _of_kills(figures: kills.Figures) -> dict[str, str]:
    ready = figures.ready_s or [math.nan]
    few = "" if figures.exposed_quick >= kills.ENOUGH else f"; judged from {kills.ENOUGH} on"
    at_risk = f"{figures.lost_quick} of {figures.exposed_quick}{few}"
    return {
        "kills": f"{figures.cycles}, of which {figures.early} while the service was starting",
        "refresh requests": f"{figures.refreshes}",
        "tokens handed out": f"{figures.acknowledged}",
        "spill files written": f"{figures.spilled}",
        "lost of refreshes that take 200 ms": at_risk,
        "restart to ready": f"median {median(ready):.2f} s, longest {max(ready):.2f} s",
        "kill to flag": f"at most {max(figures.flagged_s, default=0.0):.1f} s",
        "corrupt databases": f"{figures.unsound}",
    }


def _by_class(figures: kills.Figures) -> list[list[str]]:
    head = ["class", "exposed refreshes", "decided by the provider", "lost", "lost per million exposed (95 % bound)"]
    rows = [
        [
            kind,
            str(figures.exposed[kind]),
            str(figures.in_window[kind]),
            str(figures.lost[kind]),
            per_million(figures.lost[kind], figures.exposed[kind]),
        ]
        for kind in CLASSES
    ]
    return [head, *rows]


def _of_replicas(figures: replicas.Figures) -> dict[str, str]:
    return {
        "rounds": f"{figures.rounds}, {figures.seconds:.0f} s in all",
        "disturbances": ", ".join(f"{kind} {number}" for kind, number in sorted(figures.disturbed.items())),
        "refresh requests": f"{figures.refreshes}, of which {figures.recoveries} planned recoveries with a spent token",
        "tokens handed out": f"{figures.acknowledged}",
        "lost, all in the window": ", ".join(f"{kind} {number}" for kind, number in sorted(figures.lost.items()))
        or "none",
        "last fault to everything settled": f"at most {max(figures.settled_s, default=0.0):.1f} s",
    }


def summary(told: Chapter) -> str:
    """For a terminal."""
    lines = [f"  {name}: {fact}" for name, fact in told.facts.items()]
    lines += ["  " + "  ".join(cell.ljust(18) for cell in row) for row in told.table]
    lines += [f"  {'met   ' if met else 'MISSED'}  {mark}" for mark, met in told.marks.items()]
    return "\n".join(lines)


def render(chapters: Sequence[Chapter]) -> str:
    """The whole document."""
    parts = [_HEAD.format(date=datetime.now(UTC).date().isoformat(), machine=_machine())]
    parts += [_section(each) for each in chapters]
    return "\n\n".join(parts).rstrip() + "\n\n" + _MEANING


def _machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("sqlalchemy", "uvloop", "aiosqlite", "asyncpg"))
    load = f"load {os.getloadavg()[0]:.1f}"
    return f"{os.cpu_count()} cores ({load}), {platform.system()} {platform.release()}, Python {platform.python_version()}, {versions}"


def _section(told: Chapter) -> str:
    lines = [f"## {told.name[0].upper()}{told.name[1:]}", "", f"`{told.command}`", "", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {fact} |" for name, fact in told.facts.items()]
    if told.table:
        head, *rows = told.table
        lines += ["", f"| {' | '.join(head)} |", "| --- | ---: | ---: | ---: | ---: |"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", "| pass mark | |", "| --- | --- |"]
    lines += [f"| {mark} | {'met' if met else '**MISSED**'} |" for mark, met in told.marks.items()]
    if told.violations:
        lines += ["", "Violations:", "", *(f"- {violation}" for violation in told.violations[:20])]
    return "\n".join(lines)


_HEAD = f"""# Reliability report

Written by `make reliability-report`; do not edit. How the campaigns work is told in [Prove it](how-to/prove-it.md).

Date {{date}}. Tokenkeep {__version__}. Machine: {{machine}}."""

_MEANING = """## What it means

An *exposed* refresh is one that a kill met between its claim and its storing. It is *decided by the provider* when the provider
had already spent the refresh token and the new one was not stored yet: the window that no client can close. Providers of class
`none` and `grace` give a second chance, and nothing of theirs may be lost. A loss of the other classes (`kills` is strict and
also ends the old access token) is allowed in that window only, and must be flagged with its true cause.

Half of the consents of a kill campaign stretch the window on purpose: their provider goes on without its caller and answers a
quarter of a second after its decision. So the losses per million of the table describe that provider, not a usual one. The other
half answers with its decision, 200 ms after the request, and drops a request whose caller hangs up before that; the share
that is lost of those is our own part of the window.

A bound is the upper end of what the figures allow with 95 % confidence. Where nothing was lost it is the rule of three: no loss
in n exposed refreshes bounds the rate at 3/n. It shrinks only with more cycles. Real scheduling differs between runs with the same
seed; what is done, and in which order, does not.
"""
