"""Do references from simulated boards help on a real one?

    python benchmarks/sim_to_real.py [--seeds 5]

Targets are the four inferences of ../shared/data/tx2_four_knobs_time.csv (a real Jetson TX2, time only).
Their references are none, the other three (real), trainings on simulated boards with the same knobs, or both.
Without the measurements it says so and stops.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from _harness import machine, table, today, write_result

from powertrain import workflow
from powertrain.dataset import read_csv
from powertrain.models import AbstractPredictor, predictor_class
from powertrain.planning import plan_modes
from powertrain.records import ProfileTable
from powertrain.space import ModeSpace
from powertrain.virtual.simulated import SimulatedBoard

FILE = Path(__file__).parents[2] / "shared" / "data" / "tx2_four_knobs_time.csv"
BOARDS = ("sim:orin-nano", "sim:xavier-agx")
MODES = 400
PROFILES = (3, 5, 10, 20, 50)


def simulated() -> list[AbstractPredictor]:
    """Fit every built-in workload of the simulated boards."""
    fitted: list[AbstractPredictor] = []
    for spec in BOARDS:
        board = workflow.open_device(spec)
        if not isinstance(board, SimulatedBoard):
            raise TypeError(f"{spec} is not a simulated board")
        modes = workflow.plan(board, MODES)
        measured = [board.measure(name, modes).within(board.space.ends()) for name in board.workloads()]
        fitted += [predictor_class("gp").fit(profiles) for profiles in measured]
    return fitted


def errors(target: ProfileTable, references: list[AbstractPredictor], n: int, seed: int) -> float:
    """Return the mean absolute percentage error of the time over the modes not profiled."""
    rows = plan_modes(target.modes, n, seed=seed)
    profiles = target.take(rows).within(ModeSpace.spanned_by(target.modes).ends())
    found = predictor_class("gp").transfer(references, profiles, seed=seed).predict(target.modes)
    off = np.delete(np.abs(found.time_ms / target.time_ms - 1.0), rows)
    return float(100.0 * off.mean())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", default="sim_to_real.md")
    options = parser.parse_args()
    if not FILE.exists():
        print(f"skipped: the measurements are not at {FILE}")
        return 0
    targets = [one.averaged() for one in read_csv(FILE).tables().values()]
    real = [predictor_class("gp").fit(one) for one in targets]
    sim = simulated()
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    for i, target in enumerate(targets):
        others = [one for j, one in enumerate(real) if j != i]
        kinds = {"none": [], "simulated": sim, "real": others, "both": [*others, *sim]}
        for n in PROFILES:
            for seed in range(options.seeds):
                for kind, references in kinds.items():
                    found[kind, n].append(errors(target, references, n, seed))
    kinds = list(dict.fromkeys(kind for kind, _ in found))
    rows = [[str(n), *(f"{np.mean(found[kind, n]):.2f}" for kind in kinds)] for n in PROFILES]
    lines = [f"{machine()}, {today()}; {options.seeds} seeds.", "", *table(["profiles", *kinds], rows)]
    write_result(
        options.out, "Simulated references for a real board", "python benchmarks/sim_to_real.py", lines
    )
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
