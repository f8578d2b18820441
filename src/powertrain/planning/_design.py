"""Which modes to profile: seeded designs over a mode space or over the modes that exist."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from powertrain.errors import TooFewProfilesError
from powertrain.planning._variance import MOST, least_variance
from powertrain.records import FloatArray, ModeTable
from powertrain.space import ModeSpace

__all__ = ["Sampling", "paper_grid", "plan_modes", "plan_space"]

Sampling = Literal["spread", "random"]

CANDIDATES = 20_000
"""Modes of a larger space that `plan_space` looks at: enough for the largest gaps to be found."""
LOG_SHARE = 0.4
"""Of the logarithm in the place of a knob, the rest its rank; either alone is worse on some data
(`benchmarks/ablation.py`)."""
JITTER = 0.3
"""Spread of the log-normal factor on distances: seeds differ, and no two designs are far from the best."""


def plan_modes(
    modes: ModeTable, n: int, *, sampling: Sampling = "spread", seed: int = 0
) -> npt.NDArray[np.int64]:
    """Choose `n` distinct rows of `modes` to profile, as `(n,)` indices in the order to measure them.

    `"random"` draws without replacement, as the paper does. `"spread"` takes the modes that leave the least
    expected variance in all others, and beyond 64 the farthest ones from those. Distances are between places
    by logarithm and rank together: logarithms follow the physics, ranks the modes over which errors count.
    The seed draws which modes are looked at and how much each counts. From 10 modes on, plans are nested:
    the plan of 20 begins with that of 10. Over a single knob, up to three profiles are at the centres of
    equal parts, which leaves nothing to chance.

    Raises:
        TooFewProfilesError: `n` is more than the modes there are.
        ValueError: `n` is less than 1, or the sampling is unknown.
    """
    if n < 1:
        raise ValueError(f"{n} modes were asked for: ask for 1 or more")
    if n > len(modes):
        raise TooFewProfilesError(f"{n} modes were asked for, but there are {len(modes)}: ask for fewer")
    rng = np.random.default_rng(seed)
    if sampling == "random":
        return rng.permutation(len(modes))[:n]
    if sampling != "spread":
        raise ValueError(f"unknown sampling {sampling!r}: use 'spread' or 'random'")
    coordinates = _coordinates(modes.values)
    varying = coordinates.shape[1]
    if varying == 1 and n <= 3:
        order = np.argsort(coordinates.sum(1), kind="stable")
        centres = np.ceil((np.arange(n) + 0.5) / n * len(modes) - 1).astype(np.int64)
        return order[centres]
    if not varying:
        return rng.permutation(len(modes))[:n]
    first = least_variance(coordinates, min(n, MOST), rng)
    return _farthest_first(coordinates, n, first.tolist(), rng)


def plan_space(space: ModeSpace, n: int, *, sampling: Sampling = "spread", seed: int = 0) -> ModeTable:
    """Choose `n` modes of a space to profile; a large space is never listed in full."""
    size = len(space)
    if size <= CANDIDATES:
        modes = space.table()
    else:
        rng = np.random.default_rng(seed)
        drawn = rng.integers(size, size=CANDIDATES - 2)
        modes = space.table(np.unique(np.concatenate([[0, size - 1], drawn])))
    return modes.take(plan_modes(modes, n, sampling=sampling, seed=seed))


def paper_grid(space: ModeSpace) -> ModeSpace:
    """Return the grid on which the paper profiled its reference: 4,368 modes of an AGX Orin.

    Every other number of cores and every other CPU clock, counted from the largest; of an odd number of
    clocks the smallest is left out, which gives the paper's 6 x 14 x 13 x 4.
    """
    clocks = space.knob("cpu_mhz").values
    thinned = space.thinned(cpu_cores=2, cpu_mhz=2)
    return thinned.limited(cpu_mhz=(clocks[1], clocks[-1])) if len(clocks) % 2 else thinned


def _coordinates(values: FloatArray) -> FloatArray:
    """Return `(n, n_varying)`: the place of each varying knob from 0 to 1, by its logarithm and its rank."""
    columns: list[FloatArray] = []
    for column in values.T:
        levels, rank = np.unique(column, return_inverse=True)
        if len(levels) == 1:
            continue
        shifted = np.log(levels if levels[0] > 0 else levels - levels[0] + 1)
        logs = (shifted - shifted[0]) / (shifted[-1] - shifted[0])
        ranks = np.arange(len(levels)) / (len(levels) - 1)
        columns.append((LOG_SHARE * logs + (1.0 - LOG_SHARE) * ranks)[rank])
    return np.stack(columns, axis=1) if columns else np.zeros((len(values), 0))


def _farthest_first(
    coordinates: FloatArray, n: int, chosen: Sequence[int], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Add rows greedily, each the farthest from those before it (Gonzalez, 1985), with jitter, up to `n`."""
    rows = list(chosen)
    nearest = np.full(len(coordinates), np.inf)
    for row in rows:
        np.minimum(nearest, ((coordinates - coordinates[row]) ** 2).sum(1), out=nearest)
    while len(rows) < n:
        score = nearest * np.exp(rng.normal(0.0, JITTER, len(nearest)))
        score[rows] = -1.0
        rows.append(int(np.argmax(score)))
        np.minimum(nearest, ((coordinates - coordinates[rows[-1]]) ** 2).sum(1), out=nearest)
    return np.array(rows, dtype=np.int64)
