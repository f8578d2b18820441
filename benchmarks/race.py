"""Let the tuner race against every rival, on files of ../shared/data and on simulated boards.

    python benchmarks/race.py [--limits 3] [--slow-limits 1] [--targets 2] [--seeds 1] [--only TITLE ...]

Writes a table for each file and board, what each rival needs for the tuner's 90th percentile, and a drawing
of regret and violations against trials and against seconds. Optuna's GP sampler and BoTorch take seconds for
a trial, so they race on three courses and fewer cases, the tuner beside them. Without the measurements only
the boards are raced on; rivals whose package is missing are left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _harness import machine, table, today, version, write_result
from accuracy import DATA

from powertrain.dataset import read_csv
from powertrain.evaluation import (
    RaceLimits,
    RacePlan,
    RaceRow,
    Tables,
    Track,
    race,
    summarise_race,
    track_of_board,
    track_of_table,
)
from powertrain.opening import open_device
from powertrain.workflow import draw_race

STATIC = ("gp-15", "gp-15-confirmed", "gp-50", "gp-50-confirmed", "paper-50", "paper-50-confirmed")
FAST = ("tuner", "random", "coordinate", "sweep", "gmd", "als", *STATIC)
PEERS = {
    "optuna": ("optuna-tpe", "optuna-nsga2"),
    "kernel_tuner": ("kernel-tuner-ils", "kernel-tuner-ga", "kernel-tuner-annealing"),
}
SLOW = {
    "optuna": ("optuna-gp",),
    "botorch": ("botorch-ei", "botorch-nehvi"),
    "kernel_tuner": ("kernel-tuner-bayes",),
}
TRIALS, SLOW_TRIALS = 51, 15
AT = (6, 8, 12, 15, 51)
DRAWN = ("tuner", "random", "coordinate", "gmd", "als", "optuna-tpe")
DRAWN_TRIALS = 20
REFERENCE_MODES = 400
DRAWING = Path(__file__).parents[1] / "docs" / "images" / "race.svg"
TITLE = "All files and boards, references given"


@dataclass(frozen=True, kw_only=True)
class Course:
    """One device of a file, or a simulated board."""

    title: str
    source: str
    device: str = ""

    def read(self) -> tuple[str, dict[str, Track], Tables]:
        if self.source.startswith("sim:"):
            board = open_device(self.source)
            modes = board.modes()
            known = np.sort(np.random.default_rng(0).permutation(len(modes))[:REFERENCE_MODES])
            tables = {(board.name, w): board.measure(w, modes.take(known)) for w in board.workloads()}
            return board.name, {w: track_of_board(board, w) for w in board.workloads()}, tables
        tables = read_csv(DATA / f"{self.source}.csv", knobs=None).tables()
        device = self.device or next(iter(tables))[0]
        both = {w: t for (d, w), t in tables.items() if d == device and t.has_time and t.has_power}
        return device, {name: track_of_table(one) for name, one in both.items()}, tables


COURSES = (
    Course(title="Jetson TX2, three clocks", source="jetson_tx2_grid"),
    Course(title="server, two caps", source="server_two_caps"),
    Course(title="RTX 6000 server, two caps", source="rtx6000_two_caps"),
    Course(title="V100 trainings", source="zeus_training", device="V100"),
    Course(title="RTX6000 trainings", source="zeus_training", device="RTX6000"),
    Course(title="Orin Nano (simulated)", source="sim:orin-nano"),
    Course(title="AGX Orin (simulated)", source="sim:orin-agx"),
    Course(title="AGX Xavier (simulated)", source="sim:xavier-agx"),
)
SLOW_ON = ("Jetson TX2, three clocks", "server, two caps", "Orin Nano (simulated)")


def raced(course: Course, options: argparse.Namespace, reference: str) -> tuple[list[RaceRow], list[RaceRow]]:
    """Return the rows of the fast and of the slow methods on one course."""
    device, tracks, tables = course.read()
    names = list(tracks)
    some = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, options.targets).astype(int))]

    def rows(methods: Sequence[str], targets: Sequence[str], limits: int, trials: int) -> list[RaceRow]:
        plan = RacePlan(
            device=device,
            targets=tuple(targets),
            references=(reference,),
            methods=tuple(methods),
            trials=trials,
            limits=RaceLimits(count=limits),
            seeds=options.seeds,
        )
        return list(race(plan, tracks, tables, jobs=options.jobs).rows)

    fast = [*FAST, *(m for package, own in PEERS.items() if version(package) for m in own)]
    slow = [m for package, own in SLOW.items() if version(package) for m in own]
    if options.drawing:
        return rows(DRAWN, some, options.limits, DRAWN_TRIALS), []
    if reference == "none":
        return rows(["tuner", "gp-15", "gp-15-confirmed"], some, options.limits, 17), []
    few = slow and options.slow_limits and course.title in SLOW_ON
    beside = rows(["tuner", *slow], some[:1], options.slow_limits, SLOW_TRIALS) if few else []
    return rows(fast, some, options.limits, TRIALS), beside


def scores(rows: Sequence[RaceRow], at: Sequence[int]) -> list[str]:
    """Return the table of one course: a line for each method."""
    summary = {(one.method, one.trials): one for one in summarise_race(rows)}
    lines: list[list[str]] = []
    for method in dict.fromkeys(row.method for row in rows):
        own = [summary[method, n] for n in at if (method, n) in summary]
        last = own[-1]
        cells = [f"{percent(one.median_regret_pct)} / {percent(one.p90_regret_pct)}" for one in own]
        ends = [
            f"{last.none_named_pct:.0f}",
            f"{last.exceeded_by_2pct_pct:.1f}",
            f"{last.median_cost_s:,.0f}",
        ]
        lines.append([method, *cells, *ends])
    known = [n for n in at if any(trials == n for _, trials in summary)]
    return table(["method", *(f"@{n}" for n in known), "none [%]", "> 2 % [%]", "seconds"], lines)


def needed(rows: Sequence[RaceRow], at: int) -> list[str]:
    """Return what each method needs for the 90th percentile that the tuner has after some trials."""
    summary = summarise_race(rows)
    own = next(one for one in summary if one.method == "tuner" and one.trials == at)
    lines: list[list[str]] = []
    for method in dict.fromkeys(one.method for one in summary):
        there = [one for one in summary if one.method == method and one.p90_regret_pct <= own.p90_regret_pct]
        first = min(there, key=lambda one: one.trials, default=None)
        most = max(one.trials for one in summary if one.method == method)
        if first is None:
            lines.append([method, f"more than {most}", "-", "-"])
        else:
            times = first.median_cost_s / own.median_cost_s
            lines.append([method, str(first.trials), f"{first.trials / at:.1f}", f"{times:.1f}"])
    head = [f"for a 90th percentile of {percent(own.p90_regret_pct)} %", "trials", "x trials", "x seconds"]
    return table(head, lines)


def found(only: Sequence[str] | None) -> list[Course]:
    """Return the courses that are asked for and whose measurements are there."""
    there: list[Course] = []
    for course in COURSES:
        if only and course.title not in only:
            continue
        if course.source.startswith("sim:") or (DATA / f"{course.source}.csv").exists():
            there.append(course)
        else:
            print(f"skipped: {course.title} is not in {DATA}")
    return there


def percent(value: float) -> str:
    return "∞" if np.isinf(value) else f"{value + 0.0:.2f}"


def write(lines: Sequence[str], every: Sequence[RaceRow], out: str) -> None:
    """Write the page and the drawing of what was raced so far."""
    drawn = [row for row in every if row.method in DRAWN and row.trials <= DRAWN_TRIALS]
    draw_race(drawn, DRAWING, title=TITLE)
    ends = [
        "## What each needs, all of the above together",
        "",
        *needed(every, 8),
        "",
        *needed(every, 12),
        "",
    ]
    ends += ["![Regret and violations against trials and against seconds](../../docs/images/race.svg)"]
    write_result(out, "Race", "python benchmarks/race.py", [*lines, *ends])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limits", type=int, default=3)
    parser.add_argument("--slow-limits", type=int, default=1)
    parser.add_argument("--targets", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--out", default="race.md")
    parser.add_argument("--drawing", action="store_true", help="make the drawing alone, of its methods")
    options = parser.parse_args()
    if options.drawing:
        drawn = [row for course in found(options.only) for row in raced(course, options, "others")[0]]
        draw_race(drawn, DRAWING, title=TITLE)
        return 0
    lines = [
        f"{machine()}, {today()}; up to {options.targets} targets, {options.limits} limits, "
        f"{options.seeds} seeds each.",
        "",
        "Regret of the mode named, against the best under the limit in truth, median / 90th percentile [%]; "
        "∞ where no mode is named. The last columns are after the last number of trials: cases without a "
        "mode, cases above the limit by more than 2 % in truth, and the median of the profiled seconds.",
        "",
    ]
    every: list[RaceRow] = []
    for course in found(options.only):
        fast, slow = raced(course, options, "others")
        every += fast
        lines += [f"## {course.title}", "", *scores(fast, AT), ""]
        if slow:
            lines += [f"Slow rivals, one target, {options.slow_limits} limits:", ""]
            lines += [*scores(slow, (6, 8, 12, 15)), ""]
        alone, _ = raced(course, options, "none")
        lines += ["Without references:", "", *scores(alone, (8, 12, 16)), ""]
        # After each course, as all of them take the better part of an hour.
        write(lines, every, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
