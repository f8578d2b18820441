"""Let the tuner race for the whole front of time and power against rivals that search for it.

    python benchmarks/race_front.py [--targets 2] [--seeds 2] [--slow-seeds 1] [--trials 20]

Writes how much of the area under the true front the modes dominate that each method has measured, both costs
as logarithms, after some numbers of trials, on files of ../shared/data and on simulated boards. Also how long
a proposal takes on the board of 18,096 modes. BoTorch takes seconds for a trial, so it races on fewer cases,
and the tuner once more beside it. Rivals whose package is missing are left out.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Sequence

import numpy as np
from _harness import machine, table, today, version, write_result
from accuracy import DATA
from race import COURSES, Course

from powertrain.evaluation import RaceLimits, RacePlan, RaceRow, Tables, Track, race
from powertrain.models import predictor_class
from powertrain.opening import open_device
from powertrain.records import Limits, ModeTable
from powertrain.tuning import Budget, Goal, Tuner

ON = ("Jetson TX2, three clocks", "server, two caps", "Orin Nano (simulated)", "AGX Orin (simulated)")
AT = (4, 6, 8, 10, 12, 15, 20)
ANY_W = 1e6
"""A limit that every mode keeps: rivals with a constraint search the whole front, too."""


def raced(
    options: argparse.Namespace, found: tuple[str, dict[str, Track], Tables], reference: str
) -> tuple[list[RaceRow], list[RaceRow]]:
    """Return the rows of the fast methods, and those of BoTorch with the tuner beside it."""
    device, tracks, tables = found
    names = list(tracks)
    some = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, options.targets).astype(int))]

    def rows(methods: Sequence[str], targets: Sequence[str], seeds: int) -> list[RaceRow]:
        plan = RacePlan(
            device=device,
            targets=tuple(targets),
            references=(reference,),
            methods=tuple(methods),
            trials=options.trials,
            limits=RaceLimits(values_w=(ANY_W,)),
            seeds=seeds,
        )
        return list(race(plan, tracks, tables, jobs=options.jobs).rows)

    fast = ["tuner-front", "random", *(["optuna-nsga2"] if version("optuna") else [])]
    if reference == "none":
        return rows(["tuner-front"], some, options.seeds), []
    slow = ["tuner-front", "botorch-nehvi"] if version("botorch") and options.slow_seeds else []
    return rows(fast, some, options.seeds), rows(slow, some[:1], options.slow_seeds) if slow else []


def scores(rows: Sequence[RaceRow], *, remark: str = "") -> list[list[str]]:
    """Return a line for each method: median and 10th percentile of the share, after some trials."""
    lines: list[list[str]] = []
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        cells: list[str] = []
        for at in AT:
            shares = [row.hypervolume_pct for row in own if row.trials == at]
            if shares:
                cells.append(f"{np.median(shares):.1f} / {np.quantile(shares, 0.1):.1f}")
        cases = len({(row.device, row.target, row.seed) for row in own})
        lines.append([f"{method}{remark}", *cells, str(cases)])
    return lines


def proposals(trials: int) -> list[str]:
    """Return what proposals take of a processor on the board of 18,096 modes, with references and without."""
    board = open_device("sim:orin-agx")
    modes = board.modes()
    known = modes.take(np.sort(np.random.default_rng(0).permutation(len(modes))[:400]))
    others = [w for w in board.workloads() if w != "lstm"][:3]
    fitted = [predictor_class("gp").fit(board.measure(w, known)) for w in others]
    lines: list[list[str]] = []
    goals = {
        "the fastest under 30 W": Goal(limits=Limits(max_power_w=30)),
        "the front": Goal(objective="front"),
    }
    for (name, goal), references in itertools.product(goals.items(), ((), fitted)):
        tuner = Tuner(board.space, goal, references=references, budget=Budget(most_trials=trials))
        seconds: list[float] = []
        while True:
            started_s = time.process_time()
            mode = tuner.ask()
            seconds.append(time.process_time() - started_s)
            if mode is None:
                break
            tuner.tell(board.measure("lstm", ModeTable.of([mode], modes.knobs), seed=len(seconds))[0])
        spent = 1e3 * np.array(seconds[:-1])
        cells = [f"{value:.0f}" for value in (np.median(spent), np.quantile(spent, 0.9), spent.max())]
        lines.append([name, str(len(references)), *cells])
    return table(
        ["looked for", "references", "median ms of a processor", "90th percentile ms", "longest ms"], lines
    )


def read(course: Course) -> tuple[str, dict[str, Track], Tables] | None:
    if not course.source.startswith("sim:") and not (DATA / f"{course.source}.csv").exists():
        print(f"skipped: {course.title} is not in {DATA}")
        return None
    return course.read()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--slow-seeds", type=int, default=1)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", default="race_front.md")
    options = parser.parse_args()
    head = ["method", *(f"@{n}" for n in AT if n <= options.trials), "cases"]
    lines = [
        f"{machine()}, {today()}; up to {options.targets} targets, {options.seeds} seeds each.",
        "",
        "Share of the area under the true front that the measured modes dominate, median / 10th percentile "
        "over the cases [%]. Time and power count as logarithms, and the area ends a tenth of the front's "
        "width beyond it.",
        "",
    ]
    speed = ["## A proposal on 18,096 modes", "", *proposals(options.trials)]
    every: dict[str, list[RaceRow]] = {"others": [], "slow": [], "none": []}
    for course in [course for course in COURSES if course.title in ON]:
        found = read(course)
        if found is None:
            continue
        fast, slow = raced(options, found, "others")
        alone, _ = raced(options, found, "none")
        rows = [*scores(fast), *scores(alone, remark=", no references")]
        lines += [f"## {course.title}", "", *table(head, rows), ""]
        if slow:
            lines += ["BoTorch, one target, the same cases:", "", *table(head, scores(slow)), ""]
        every["others"] += fast
        every["slow"] += slow
        every["none"] += alone
        whole = [*scores(every["others"]), *scores(every["none"], remark=", no references")]
        ends = ["## All of the above together", "", *table(head, whole), ""]
        if every["slow"]:
            ends += ["BoTorch, the same cases:", "", *table(head, scores(every["slow"])), ""]
        # After each course, as all of them take a while.
        page = [*lines, *ends, *speed]
        write_result(options.out, "Race for the front", "python benchmarks/race_front.py", page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
