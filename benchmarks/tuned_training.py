"""A real training on this machine, tuned, beside the same training in every fixed setting.

    python benchmarks/tuned_training.py [--workload mobilenet_v3-s64-b8] [--minibatches 2000] [--repeats 3]

The device is the processor, with the knobs cpu_cores and loader_workers. Every run trains the same number of
minibatches, from the first to the last, and its wall time is taken: in each setting held throughout, and
tuned, its trials included. The runs take turns, so that a machine whose speed drifts slows all of them alike.
Writes benchmarks/results/tuned_training.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace

import numpy as np
from _harness import machine, table, today, write_result

from powertrain.devices import live
from powertrain.opening import open_device
from powertrain.profiling import Procedure
from powertrain.records import PowerMode
from powertrain.workflow import TuneOptions, TuneReport, tune_job

SPEC = "cpu?loader_workers=0,1,2"


def fixed_s(workload: str, mode: PowerMode, minibatches: int) -> float:
    """Return the wall time of a training in one setting [s]."""
    device = live(open_device(SPEC))
    started_s = time.perf_counter()
    with device.hold(mode), device.job(workload) as job:
        job.prepare(mode)
        for _ in range(minibatches):
            job.step()
    return time.perf_counter() - started_s


def tuned_s(workload: str, minibatches: int, *, seed: int) -> tuple[float, TuneReport]:
    """Return the wall time of a tuned training [s], trials included, and what became of the tuning."""
    how = {"minibatches": minibatches, "procedure": replace(Procedure(), precision=0.05), "seed": seed}
    started_s = time.perf_counter()
    *_, tuning = tune_job(workload, TuneOptions.of({"device": SPEC, **how}), minibatches=minibatches)
    return time.perf_counter() - started_s, tuning.report()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workload", default="mobilenet_v3-s64-b8")
    parser.add_argument("--minibatches", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", default="tuned_training.md")
    given = parser.parse_args()
    modes = list(open_device(SPEC).modes())
    fixed: dict[PowerMode, list[float]] = {mode: [] for mode in modes}
    tuned: list[tuple[float, TuneReport]] = []
    for repeat in range(given.repeats):
        for mode in modes:
            fixed[mode].append(fixed_s(given.workload, mode, given.minibatches))
        tuned.append(tuned_s(given.workload, given.minibatches, seed=repeat))
        print(f"{repeat + 1} of {given.repeats}", file=sys.stderr)
    best_s = min(float(np.median(times)) for times in fixed.values())

    def row(name: str, times_s: list[float], remark: str) -> tuple[str, ...]:
        middle = float(np.median(times_s))
        spread = f"{min(times_s):.1f} to {max(times_s):.1f}"
        return name, remark, f"{middle:.1f}", spread, f"{100 * (middle / best_s - 1):+.1f}"

    chosen = [str(report.decision.mode or "as found") for _, report in tuned]
    trials = ", ".join(str(len(report.trials)) for _, report in tuned)
    cost = ", ".join(f"{report.cost_s:.1f}" for _, report in tuned)
    rows = [row(str(mode), times, "held throughout") for mode, times in fixed.items()]
    rows.append(row("tuned", [s for s, _ in tuned], f"{trials} trials"))
    lines = [
        f"{machine()}, {today()}. {given.workload}, {given.minibatches:,} minibatches, {given.repeats} runs",
        f"of each in turn; load of the machine at the end, other work included: {os.getloadavg()[0]:.1f}.",
        "",
        *table(("setting", "how", "median s", "all s", "above the best %"), rows, words=2),
        "",
        f"Decided on: {'; '.join(chosen)}. By the tuner's own account the trials cost {cost} s.",
    ]
    write_result(
        given.out, "A tuned training beside every fixed setting", f"python {' '.join(sys.argv)}", lines
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
