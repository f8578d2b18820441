"""Show what each part of the `gp` predictor is worth, on every file of measurements in ../shared/data.

    python benchmarks/ablation.py [--seeds 3] [--targets 4]

Each row changes one thing of the predictor that ships, or of the plan of its profiles, and scores it again:
the geometric mean, over files, quantities and targets, of its error over that of the predictor that ships.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
from _harness import machine, table, today, write_result
from accuracy import DATA, PROTOCOLS, errors_of, scored

from powertrain.models import _surfaces
from powertrain.models.gp import _blend, _quantity
from powertrain.models.gp._mean import MeanPrior
from powertrain.models.gp._regression import KernelPrior
from powertrain.planning import _design
from powertrain.records import FloatArray

OFF = 0.01
"""A prior standard deviation that holds a parameter where its centre is."""
PROFILES = (3, 5, 10, 20)
FLOOR = 0.1
"""Errors [%] below this count as this."""


def priors(mean: dict[str, Any] | None = None, kernel: dict[str, Any] | None = None) -> Callable[[], Any]:
    """Return a context that replaces priors."""

    @contextmanager
    def changed() -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(
                patch.object(_quantity, "MeanPrior", lambda: replace(MeanPrior(), **(mean or {})))
            )
            stack.enter_context(
                patch.object(_quantity, "KernelPrior", lambda: replace(KernelPrior(), **(kernel or {})))
            )
            yield

    return changed


def patched(target: Any, name: str, value: Any) -> Callable[[], Any]:
    """Return a context that replaces one name of a module."""
    return lambda: patch.object(target, name, value)


def only(*models: int) -> Callable[[], Any]:
    """Return a context in which only these models count: 0 alone, 1 beside, 2 likeness."""

    def shares(sds: FloatArray) -> FloatArray:
        weights = sds**-2.0 * np.isin(np.arange(len(sds)), models)[:, None]
        return weights / weights.sum(axis=0)

    return patched(_blend, "_shares", shares)


LOW = (-20.0, OFF)
VARIANTS: dict[str, Callable[[], Any]] = {
    "as shipped": priors(),
    "alone": only(0),
    "beside": only(1),
    "likeness": only(2),
    "alone and likeness": only(0, 2),
    "beside and likeness": only(1, 2),
    "equal shares": patched(_blend, "_shares", lambda sds: np.full_like(sds, 1.0 / len(sds))),
    "no physics-shaped mean": priors(
        mean={"knob": LOW, "knob_beside_reference": LOW, "inverse_time": LOW},
        kernel={"trend": (0.0, 1.0), "residual": (float(np.log(0.3)), 1.0)},
    ),
    "no sharpness (p = 1)": priors(mean={"log_sharpness": (0.0, OFF)}),
    "raw clocks across devices": patched(_surfaces, "is_relative", lambda knob: False),
    "farthest modes instead of least variance": patched(_design, "MOST", 1),
    "places by log alone": patched(_design, "LOG_SHARE", 1.0),
    "places by rank alone": patched(_design, "LOG_SHARE", 0.0),
}


def errors(seeds: int, targets: int) -> dict[tuple[str, str, str, int], float]:
    """Score `gp` once on all files with references."""
    found: dict[tuple[str, str, str, int], float] = {}
    for protocol in PROTOCOLS:
        if protocol.references and (DATA / f"{protocol.file}.csv").exists():
            rows = list(scored(protocol, ("gp",), seeds=seeds, targets=targets, profiles=PROFILES))
            found |= {key: one["gp"] for key, one in errors_of(protocol.title, rows).items()}
    return found


def cells(own: dict[tuple[str, str, str, int], float], shipped: dict[Any, float]) -> list[str]:
    """Return the geometric mean of the ratios for each number of profiles."""
    out: list[str] = []
    for n in PROFILES:
        logs = [np.log(max(own[k], FLOOR) / max(shipped[k], FLOOR)) for k in shipped if k[3] == n]
        out.append(f"{np.exp(np.mean(logs)):.3f}")
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--targets", type=int, default=4)
    parser.add_argument("--out", default="ablation.md")
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: the measurements are not at {DATA}")
        return 0
    shipped = errors(options.seeds, options.targets)
    rows: list[list[str]] = []
    for name, context in VARIANTS.items():
        with context():
            own = errors(options.seeds, options.targets)
        rows.append([name, *cells(own, shipped)])
        print(rows[-1], flush=True)
    head = ["error over that of the predictor that ships", *(f"{n} profiles" for n in PROFILES)]
    lines = [f"{machine()}, {today()}; {options.seeds} seeds, {options.targets} targets a file.", ""]
    write_result(
        options.out, "Ablation of `gp`", "python benchmarks/ablation.py", [*lines, *table(head, rows)]
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
