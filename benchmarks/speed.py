"""Time fitting, transfer, prediction and start-up, side by side with the peers.

    python benchmarks/speed.py [--repetitions 5]

The device is simulated (AGX Orin, 18,096 modes); the times are this machine's. Paired repetitions are
interleaved, so that a machine whose speed drifts slows all of them alike.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from collections.abc import Callable

import numpy as np
from _harness import interleaved, machine, today, write_result

from powertrain.models import predictor_class
from powertrain.opening import open_device
from powertrain.optimisation import choose, front_of
from powertrain.planning import plan_modes
from powertrain.records import ProfileTable
from powertrain.workflow import paper_grid

GP = predictor_class("gp")


def sklearn_gp(profiles: ProfileTable) -> Callable[[], object]:
    """Two Gaussian processes of scikit-learn on standardised logs, Matern-5/2 with a length per knob."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    x = np.log(profiles.modes.values)
    x = (x - x.mean(0)) / x.std(0)
    targets = [np.log(profiles.time_ms), np.log(profiles.power_w)]

    def fit() -> None:
        for y in targets:
            kernel = ConstantKernel() * Matern(np.ones(x.shape[1]), nu=2.5) + WhiteKernel(1e-3)
            GaussianProcessRegressor(kernel, normalize_y=True).fit(x, y)

    return fit


def botorch_gp(profiles: ProfileTable) -> Callable[[], object]:
    """Two SingleTaskGPs of BoTorch, fitted as its tutorial does."""
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Normalize, Standardize
    from gpytorch.mlls import ExactMarginalLogLikelihood

    x = torch.tensor(np.log(profiles.modes.values))
    targets = [torch.tensor(np.log(y))[:, None] for y in (profiles.time_ms, profiles.power_w)]

    def fit() -> None:
        for y in targets:
            model = SingleTaskGP(
                x, y, input_transform=Normalize(x.shape[1]), outcome_transform=Standardize(1)
            )
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))

    return fit


def start_up(code: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *code.split("|")], check=True, capture_output=True)


def row(name: str, seconds: np.ndarray, budget: str = "", ratio: str = "") -> str:
    low, middle, high = (f"{v:.4g}" for v in (seconds.min(), np.median(seconds), seconds.max()))
    return f"| {name} | {low} | {middle} | {high} | {budget} | {ratio} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--out", default="speed.md")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")  # the peers' convergence warnings
    board = open_device("sim:orin-agx")
    space, everything = board.space, board.space.table()
    reference, target = board.workloads()[:2]
    profiled = board.measure(reference, paper_grid(space).table(), seed=0)
    profiles = board.measure(target, everything.take(plan_modes(everything, 50)), seed=1)
    references = [GP.fit(profiled)]
    lines = [f"{machine()}, {today()}. The board is simulated.", ""]
    lines += [
        "| what | min s | median s | max s | budget s | median ratio to PowerTrain |",
        "|---|--:|--:|--:|--:|--:|",
    ]

    cases: dict[str, Callable[[], object]] = {
        "gp transfer, 50 profiles, time and power": lambda: GP.transfer(references, profiles)
    }
    for name, peer in (
        ("scikit-learn GP, same points", sklearn_gp),
        ("BoTorch SingleTaskGP, same points", botorch_gp),
    ):
        try:
            cases[name] = peer(profiles)
        except ImportError as error:
            print(f"{name}: not installed ({error.name})")
    times = interleaved(cases, options.repetitions)
    own = np.median(next(iter(times.values())))
    for i, (name, seconds) in enumerate(times.items()):
        lines.append(row(name, seconds, "0.5" if i == 0 else "", f"{np.median(seconds) / own:.1f}"))

    fitted = GP.transfer(references, profiles)

    def answer() -> None:
        prediction = fitted.predict(everything)
        front_of(prediction)
        choose(prediction, everything, max_power_w=30.0)

    times = interleaved(
        {"predict 18,096 modes with error bars + front + choice": answer}, options.repetitions
    )
    lines += [row(name, seconds, "0.05") for name, seconds in times.items()]

    paper = predictor_class("paper")
    times = interleaved(
        {"paper: both networks, 4,368 modes, 100 epochs": lambda: paper.fit(profiled)},
        max(options.repetitions // 2, 2),
    )
    lines += [row(name, seconds, "12") for name, seconds in times.items()]

    times = interleaved(
        {
            "import numpy": start_up("-c|import numpy"),
            "import powertrain": start_up("-c|import powertrain"),
            "import powertrain and all it exports": start_up(
                "-c|import powertrain; [getattr(powertrain, n) for n in powertrain.__all__]"
            ),
            "powertrain --help": start_up("-m|powertrain|--help"),
            "python -c pass": start_up("-c|pass"),
        },
        2 * options.repetitions + 1,
    )
    numpy_s = np.median(times["import numpy"])
    budgets = {"powertrain --help": "0.15", "import powertrain": f"{1.2 * numpy_s:.3f} (1.2 x numpy)"}
    lines += [
        row(name, s, budgets.get(name, ""), f"{np.median(s) / numpy_s:.2f} x numpy")
        for name, s in times.items()
    ]
    print("\n".join(lines))
    write_result(options.out, "Speed", "python benchmarks/speed.py", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
