"""Compare the accuracy of `gp` with general regressors on the same profiles of the Jetson TX2 grid.

    python benchmarks/peers.py [--seeds 5]

Each peer learns the logarithms of time and power from the logarithms of the knobs, as `gp` does, once from
the profiles of the target alone and once with the measured log-surfaces of the references as further inputs,
which is the plain way to transfer with it. Mean MAPE over targets and seeds on the modes not profiled, in %.


"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable

import numpy as np
from _harness import machine, table, today, version, write_result
from accuracy import DATA

from powertrain.dataset import read_csv
from powertrain.models import predictor_class
from powertrain.planning import plan_modes
from powertrain.records import ProfileTable
from powertrain.space import ModeSpace

Learner = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Takes inputs and targets of the profiles and inputs of all modes; returns predictions."""
COUNTS = (10, 20, 50)


def sklearn_gp(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    kernel = ConstantKernel() * Matern(np.ones(x.shape[1]), nu=2.5) + WhiteKernel(1e-3)
    model = GaussianProcessRegressor(kernel, normalize_y=True, n_restarts_optimizer=2, random_state=0)
    return model.fit(x, y).predict(at)


def random_forest(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(300, random_state=0).fit(x, y).predict(at)


def gradient_boosting(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(
        n_estimators=300, learning_rate=0.05, max_depth=3, subsample=0.8, random_state=0
    )
    return model.fit(x, y).predict(at)


def botorch_gp(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Normalize, Standardize
    from gpytorch.mlls import ExactMarginalLogLikelihood

    model = SingleTaskGP(
        torch.tensor(x),
        torch.tensor(y)[:, None],
        input_transform=Normalize(x.shape[1]),
        outcome_transform=Standardize(1),
    )
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    with torch.no_grad():
        return model.posterior(torch.tensor(at)).mean[:, 0].numpy()


PEERS: dict[str, tuple[str, Learner]] = {
    "scikit-learn Gaussian process": ("scikit-learn", sklearn_gp),
    "scikit-learn random forest": ("scikit-learn", random_forest),
    "scikit-learn gradient boosting": ("scikit-learn", gradient_boosting),
    "BoTorch SingleTaskGP": ("botorch", botorch_gp),
}


def mape(predicted: np.ndarray, true: np.ndarray, unseen: np.ndarray) -> float:
    return float(100 * np.mean(np.abs(predicted[unseen] / true[unseen] - 1)))


def inputs(target: ProfileTable, references: list[ProfileTable], quantity: str) -> np.ndarray:
    """Return standardised log-knobs and, of each reference that has the quantity, its log-surface."""
    columns = [np.log(target.modes.values)]
    for reference in references:
        order = {tuple(v): i for i, v in enumerate(reference.modes.values)}
        rows = [order[tuple(v)] for v in target.modes.values]
        surface = getattr(reference, quantity)[rows]
        if np.isfinite(surface).all():
            columns.append(np.log(surface)[:, None])
    x = np.concatenate(columns, axis=1)
    return (x - x.mean(0)) / x.std(0)


def errors_of(
    learner: Learner,
    target: ProfileTable,
    references: list[ProfileTable],
    rows: np.ndarray,
    unseen: np.ndarray,
) -> dict[str, float]:
    found: dict[str, float] = {}
    for quantity in ("time_ms", "power_w"):
        true = getattr(target, quantity)
        if np.isfinite(true).all():
            x = inputs(target, references, quantity)
            found[quantity] = mape(np.exp(learner(x[rows], np.log(true[rows]), x)), true, unseen)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", default="peers.md")
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: the measurements are not at {DATA}")
        return 0
    warnings.filterwarnings("ignore")  # convergence warnings of the peers
    tables = list(read_csv(DATA / "jetson_tx2_grid.csv").tables().values())
    gp = predictor_class("gp")
    fitted = {t.workload: gp.fit(t) for t in tables}
    scores: dict[tuple[str, int], list[dict[str, float]]] = {}
    peers = {n: learner for n, (package, learner) in PEERS.items() if version(package)}
    for target in tables:
        others = [t for t in tables if t is not target]
        for count in COUNTS:
            for seed in range(options.seeds):
                rows = plan_modes(target.modes, count, seed=seed)
                unseen = np.setdiff1d(np.arange(len(target)), rows)
                own = gp.transfer(
                    [fitted[t.workload] for t in others],
                    target.take(rows).within(ModeSpace.spanned_by(target.modes).ends()),
                ).predict(target.modes)
                scores.setdefault(("PowerTrain gp, with references", count), []).append(
                    {
                        q: mape(getattr(own, q), getattr(target, q), unseen)
                        for q in ("time_ms", "power_w")
                        if np.isfinite(getattr(target, q)).all()
                    }
                )
                for name, learner in peers.items():
                    for suffix, references in (("alone", []), ("with references", others)):
                        found = errors_of(learner, target, references, rows, unseen)
                        scores.setdefault((f"{name}, {suffix}", count), []).append(found)
    names = list(dict.fromkeys(name for name, _ in scores))
    body = [
        [
            name,
            *(
                " / ".join(
                    f"{np.mean([s[q] for s in scores[name, n] if q in s]):.2f}"
                    for q in ("time_ms", "power_w")
                )
                for n in COUNTS
            ),
        ]
        for name in names
    ]
    lines = [f"{machine()}, {today()}; {options.seeds} seeds; time / power MAPE in %.", ""]
    lines += table(["method", *(f"{n} profiles" for n in COUNTS)], body)
    lines += [
        "",
        "TabPFN is not in the table: it loads its weights from a hub at run time, which was out of reach.",
    ]
    lines += [f"{name}: not installed." for name, (package, _) in PEERS.items() if not version(package)]
    print("\n".join(lines))
    write_result(options.out, "Accuracy beside general regressors", "python benchmarks/peers.py", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
