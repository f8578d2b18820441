"""What profiling costs, and what it is worth: writes benchmarks/results/profiling.md.

    python benchmarks/profiling.py [--seeds 10]

Measuring until means are known well enough beside the paper's fixed procedure, on a simulated board's clock:
the same 50 modes of each workload, ours in an order that saves settling, and the errors of gp, learnt from
them and a reference, in all others.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from _harness import machine, table, today, write_result

from powertrain.evaluation import mape
from powertrain.models import AbstractPredictor, predictor_class
from powertrain.opening import open_device
from powertrain.planning import order_modes, paper_grid, plan_modes
from powertrain.profiling import Procedure, profile_modes
from powertrain.records import ProfileTable
from powertrain.virtual import SimulatedBoard

BOARD, REFERENCE, PROFILES = "sim:orin-agx", "resnet18", 50
PROCEDURES = {"paper": Procedure.paper(), "until it is enough": Procedure()}


def board(seed: int) -> SimulatedBoard:
    opened = open_device(f"{BOARD}?seed={seed}")
    assert isinstance(opened, SimulatedBoard)
    return opened


def reference() -> AbstractPredictor:
    opened = board(0)
    grid = paper_grid(opened.space).table()
    order = np.random.default_rng(0).permutation(len(grid))
    profiles = profile_modes(opened, REFERENCE, grid.take(order))
    return predictor_class("gp").fit(ProfileTable.of(profiles, ends=opened.space.ends()))


def trial(fitted: AbstractPredictor, workload: str, procedure: Procedure, seed: int) -> Sequence[float]:
    """Return minutes on the board's clock, the errors of gp in time and power [%], and flagged profiles."""
    opened = board(seed)
    modes = opened.modes()
    planned = plan_modes(modes, PROFILES, seed=seed)
    chosen = modes.take(planned)
    if procedure.tests_steadiness:
        chosen = chosen.take(order_modes(chosen, seed=seed))
    profiles = list(profile_modes(opened, workload, chosen, procedure=procedure))
    learnt = predictor_class("gp").transfer(
        [fitted], ProfileTable.of(profiles, ends=opened.space.ends()), seed=seed
    )
    unseen = np.ones(len(modes), dtype=bool)
    unseen[planned] = False
    truth, said = opened.truth(workload, modes).take(unseen), learnt.predict(modes).take(unseen)
    minutes = sum(profile.duration_s for profile in profiles) / 60
    flagged = sum(bool(profile.flags) for profile in profiles)
    return minutes, mape(truth.time_ms, said.time_ms), mape(truth.power_w, said.power_w), flagged


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", default="profiling.md")
    options = parser.parse_args()
    fitted = reference()
    rows: list[Sequence[str]] = []
    for workload in board(0).workloads():
        if workload == REFERENCE:
            continue
        spent: list[float] = []
        for name, procedure in PROCEDURES.items():
            found = np.array([trial(fitted, workload, procedure, seed) for seed in range(options.seeds)])
            minutes, time_pct, power_pct, _ = np.median(found, axis=0)
            spent.append(float(minutes))
            rows.append(
                (
                    *(workload, name, f"{minutes:.1f}", f"{minutes / spent[0]:.2f}"),
                    *(f"{time_pct:.2f}", f"{power_pct:.2f}", f"{found[:, 3].mean():.1f}"),
                )
            )
    head = (
        *("workload", "measured", "board min", "of the paper's"),
        *("time MAPE %", "power MAPE %", "flagged of 50"),
    )
    lines = [
        f"{machine()}, {today()}. Simulated ({BOARD}); medians over {options.seeds} seeds.",
        "",
        *table(head, rows, words=2),
    ]
    write_result(options.out, "What profiling costs", "python benchmarks/profiling.py", lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
