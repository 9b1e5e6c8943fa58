"""The campaigns from the command line: `python -m tests.campaigns kills --cycles 10000 --seed 7`.

Owns: options, printing figures, the exit code (1: a mark was missed). Does not own: the campaigns.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.campaigns import kills, power_cut, replicas
from tests.campaigns.report import Chapter, chapter, render, summary

REPORT = Path(__file__).parents[2] / "docs" / "reliability-report.md"


def carried_out(
    name: str, command: str, seed: int, campaign: Callable[[Path], kills.Figures | replicas.Figures]
) -> Chapter:
    """Run it in a folder of its own and say what came out."""
    print(f"{name}: seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="tokenkeep-campaign-"))
    figures = campaign(folder)
    if figures.violations:
        print(*figures.violations[:20], f"journal, log and what callers were told: {folder}", sep="\n")
    else:
        shutil.rmtree(folder)
    found = chapter(name, f"{command} SEED={seed}", figures)
    print(summary(found), flush=True)
    return found


def kill_chapter(cycles: int, seed: int, spill: str = "fault") -> Chapter:
    always = " SPILL=always" if spill == "always" else ""
    return carried_out(
        f"kill -9{', each answer spilled first' if always else ''}",
        f"make kill-campaign CYCLES={cycles}{always}",
        seed,
        lambda folder: kills.run(folder, cycles=cycles, seed=seed, spill=spill),
    )


def cold_chapter(cycles: int, seed: int) -> Chapter:
    return carried_out(
        "kill -9, cold starts",
        f"make kill-campaign COLD={cycles}",
        seed,
        lambda folder: kills.run(folder, cycles=cycles, seed=seed, cold=True),
    )


def cut_chapter(cycles: int, seed: int) -> Chapter:
    return carried_out(
        "power cut",
        f"make power-cut-campaign CYCLES={cycles}",
        seed,
        lambda folder: power_cut.run(folder, cycles=cycles, seed=seed),
    )


def replica_chapter(minutes: float, seed: int) -> Chapter:
    return carried_out(
        "replicas",
        f"make replica-campaign MINUTES={minutes:g}",
        seed,
        lambda folder: replicas.run(folder, seconds=minutes * 60, seed=seed),
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns", description=__doc__)
    parser.add_argument("campaign", choices=["kills", "power-cuts", "replicas", "report"])
    parser.add_argument("--cycles", type=int, default=300, help="kills, or power cuts")
    parser.add_argument("--cold", type=int, default=0, help="kills of a service that starts in a new interpreter")
    parser.add_argument("--spill", choices=["fault", "always"], default="fault", help="TOKENKEEP_SPILL of those killed")
    parser.add_argument("--cuts", type=int, default=100, help="power cuts of a report")
    parser.add_argument("--minutes", type=float, default=5.0, help="of disturbing the replicas")
    parser.add_argument("--seed", type=int, default=None, help="drawn and printed if left out")
    chosen = parser.parse_args()
    seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(10**6)
    try:
        chapters = _chapters(chosen, seed)
    except power_cut.NoCompiler as lacking:
        print(f"*** NO POWER CUTS: {lacking} ***", file=sys.stderr)
        return 1
    if chosen.campaign == "report":
        REPORT.write_text(render(chapters), encoding="utf-8")
        print(f"written: {REPORT}")
    return 0 if all(met for each in chapters for met in each.marks.values()) else 1


def _chapters(chosen: argparse.Namespace, seed: int) -> list[Chapter]:
    if chosen.campaign == "power-cuts":
        return [cut_chapter(chosen.cycles, seed)]
    if chosen.campaign == "replicas":
        return [replica_chapter(chosen.minutes, seed)]
    killed = [cold_chapter(chosen.cold, seed)] if chosen.cold else []
    if chosen.campaign == "kills" and killed:
        return killed
    killed = [kill_chapter(chosen.cycles, seed, chosen.spill), *killed]
    if chosen.campaign == "kills":
        return killed
    return [*killed, cut_chapter(chosen.cuts, seed), replica_chapter(chosen.minutes, seed)]


if __name__ == "__main__":
    sys.exit(main())
