"""The tuner alone, on all targets of every file and board, under many limits: what its trials are worth.

    python benchmarks/race_tuner.py [--limits 12] [--seeds 2] [--board-seeds 1] [--jobs 2] [--only TITLE ...]

`race.py` has the rivals, on fewer cases. Without the measurements only the simulated boards are raced on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from _harness import machine, table, today, write_result
from race import Course, found, percent

from powertrain.evaluation import RaceLimits, RacePlan, RaceRow, race, summarise_race

AT = {"others": (6, 8, 12), "none": (8, 12, 16)}
"""After how many trials the mode is judged, by the references."""
TITLES = {"others": "References given", "none": "Without references"}


def raced(course: Course, reference: str, options: argparse.Namespace) -> list[RaceRow]:
    """Return the rows of all targets of one course."""
    device, tracks, tables = course.read()
    simulated = course.source.startswith("sim:")
    plan = RacePlan(
        device=device,
        targets=tuple(tracks),
        references=(reference,),
        methods=("tuner",),
        trials=max(AT[reference]),
        limits=RaceLimits(count=options.limits),
        seeds=options.board_seeds if simulated else options.seeds,
    )
    return list(race(plan, tracks, tables, jobs=options.jobs).rows)


def line(title: str, rows: Sequence[RaceRow], at: Sequence[int]) -> list[str]:
    """Return one course's line: regret after some trials, the worst case, and what went wrong."""
    summary = {one.trials: one for one in summarise_race(rows)}
    cells = [f"{percent(summary[n].median_regret_pct)} / {percent(summary[n].p90_regret_pct)}" for n in at]
    last = [row for row in rows if row.trials == at[-1]]
    worst = max((row.regret_pct for row in last if np.isfinite(row.regret_pct)), default=np.nan)
    end = summary[at[-1]]
    cells += [percent(worst), f"{end.none_named_pct:.1f}", f"{end.exceeded_by_2pct_pct:.1f}"]
    return [title, str(len(last)), *cells]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limits", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--board-seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--out", default="race_tuner.md")
    options = parser.parse_args()
    lines: dict[str, list[list[str]]] = {reference: [] for reference in AT}
    for course in found(options.only):
        for reference, at in AT.items():
            lines[reference].append(line(course.title, raced(course, reference, options), at))
        write(lines, options)
    return 0


def write(lines: dict[str, list[list[str]]], options: argparse.Namespace) -> None:
    seeds = f"{options.seeds} seeds on the files and {options.board_seeds} on the boards"
    page = [
        f"{machine()}, {today()}; all targets, {options.limits} limits, {seeds}.",
        "",
        "Regret of the mode named after so many trials, against the best under the limit in truth, median / "
        "90th percentile over all cases [%]. The last columns are after the last number of trials: the worst "
        "case, cases without a mode, and cases above the limit by more than 2 % in truth.",
    ]
    for reference, at in AT.items():
        ends = ["worst [%]", "none [%]", "> 2 % [%]"]
        page += ["", f"## {TITLES[reference]}", ""]
        page += table(["course", "cases", *(f"@{n}" for n in at), *ends], lines[reference])
    write_result(options.out, "The tuner alone", "python benchmarks/race_tuner.py", page)


if __name__ == "__main__":
    sys.exit(main())
