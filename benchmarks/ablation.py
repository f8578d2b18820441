"""Show what each part of the `gp` predictor is worth, on every file of measurements in ../shared/data.

    python benchmarks/ablation.py [--seeds 5]

Each row changes one thing of the predictor that ships and scores it again. Mean MAPE over targets and seeds,
time / power, in per cent.
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
from _harness import machine, today, write_result
from accuracy import DATA, PROTOCOLS, Protocol

from powertrain.dataset import read_csv
from powertrain.evaluation import Evaluation, evaluate
from powertrain.models import _quantity, _references
from powertrain.models.gp._mean import MeanPrior
from powertrain.models.gp._regression import KernelPrior
from powertrain.profiling import _plan

OFF = 0.01
"""A prior standard deviation that holds a parameter where its centre is."""


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


def no_physics() -> Any:
    """No knob terms in the mean: what is left is the plain process of references, trend and Matern."""
    low = (-20.0, OFF)
    return priors(
        mean={"knob": low, "knob_beside_reference": low, "inverse_time": low},
        kernel={"trend": (0.0, 1.0), "residual": (np.log(0.3), 1.0)},
    )()


def no_learned_priors() -> Any:
    """Exponents, lengths and noise start from the same centres whatever the references showed."""

    @contextmanager
    def changed() -> Iterator[None]:
        learner = _quantity.Learner
        original = learner._regression

        def plain(self: Any, layout: Any, references: Any, inputs: Any, target: Any) -> Any:
            return original(self, layout, [], inputs, target)

        with patch.object(learner, "_regression", plain):
            yield

    return changed()


def no_time_input() -> Any:
    """Power does not know the time: no energy per unit of work."""

    @contextmanager
    def changed() -> Iterator[None]:
        learner = _quantity.Learner
        original = learner.learn

        def alone(self: Any, quantity: str, references: Any, time: Any) -> Any:
            return original(self, quantity, references, None)

        with patch.object(learner, "learn", alone):
            yield

    return changed()


def no_dynamic_terms() -> Any:
    """Energy per unit of work does not rise with the clocks."""
    original = _quantity._terms
    return patch.object(_quantity, "_terms", lambda q, names, dynamic: original(q, names, False))


VARIANTS: dict[str, Callable[[], Any]] = {
    "as shipped": priors(),
    "no physics-shaped mean": no_physics,
    "no learned priors": no_learned_priors,
    "no reference term in the mean": priors(mean={"reference": (-20.0, OFF)}),
    "no weights on other references": priors(kernel={"weights": (-20.0, OFF)}),
    "one reference, the closest": patched(_quantity, "MAX_SURFACES", 1),
    "no sharpness (p = 1)": priors(mean={"log_sharpness": (0.0, OFF)}),
    "power ignores the time": no_time_input,
    "energy per work is constant": no_dynamic_terms,
    "raw clocks across devices": patched(_references, "is_relative", lambda knob: False),
    "counts matched by range too": patched(_references, "is_relative", lambda knob: True),
    "farthest modes instead of least variance": patched(_plan, "MOST", 1),
    "spread by log alone": patched(_plan, "LOG_SHARE", 1.0),
    "spread by rank alone": patched(_plan, "LOG_SHARE", 0.0),
}


def score(protocol: Protocol, seeds: int, sampling: str = "spread") -> Evaluation:
    tables = read_csv(DATA / f"{protocol.file}.csv").tables()
    if protocol.references == "same":
        there = {w for d, w in tables if d == protocol.reference_device}
        tables = {k: t for k, t in tables.items() if k[1] in there or k[0] != protocol.device}
    plan = replace(protocol.plan(("gp",), seeds), limits=None, sampling=sampling)
    return evaluate(plan, tables)


def cells(seeds: int, sampling: str = "spread") -> list[str]:
    """Score all protocols once and return a cell for each number of profiles."""
    out: list[str] = []
    for protocol in PROTOCOLS:
        rows = score(protocol, seeds, sampling).summary.errors
        out += [f"{row.time_mape.mean:.2f} / {row.power_mape.mean:.2f}" for row in rows]
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", default="ablation.md")
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: the measurements are not at {DATA}")
        return 0
    heads = ["TX2, 10", "TX2, 20", "TX2, 50", "V100, 10", "RTX6000, 10", "V100 from RTX6000, 10"]
    heads += ["RTX6000 from V100, 10", "Nano from Xavier, 3", "Nano from Xavier, 5", "1080 Ti, 4", "A40, 6"]
    lines = [f"{machine()}, {today()}; {options.seeds} seeds.", ""]
    lines += [f"| variant | {' | '.join(heads)} |", "|---|" + "--:|" * len(heads)]
    for name, context in VARIANTS.items():
        with context():
            lines.append(f"| {name} | {' | '.join(cells(options.seeds))} |")
        print(lines[-1], flush=True)
    lines.append(f"| random modes | {' | '.join(cells(options.seeds, 'random'))} |")
    print(lines[-1])
    write_result(options.out, "Ablation of `gp`", "python benchmarks/ablation.py", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
