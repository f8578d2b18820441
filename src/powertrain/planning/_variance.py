"""The modes whose profiles leave the least to guess: a design of least expected variance.

Before anything is measured, the logarithm of time or power over the modes is taken as a Gaussian process: a
free level, a linear trend, a smooth residual, and, where references are known, whatever they differ by from
each other. The variance that `n` profiles would leave, on average over the modes, can then be worked out
(Cohn et al., 1996: active learning). Modes are taken greedily by how much each takes away, and then each is
exchanged for the best in its place. Corners, which a design that only spreads would visit first, lose to
places a little inside, because each tells of more modes around it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from powertrain.records import FloatArray

__all__ = ["MOST", "least_variance"]

Directions = Callable[[npt.NDArray[np.int64]], FloatArray]

MOST = 64
"""Profiles beyond which the design is no longer worked out in this way: even a plain spread is then dense."""
POOL, SHARE = 500, 0.7
"""Modes that are looked at, and which part of few: another draw for another seed."""
EXCHANGED, PASSES = 10, 2
"""The first profiles, each of which is exchanged for the best in its place, and how often."""
LEVEL_SD, TREND_SD, RESIDUAL_SD, NOISE_SD = 5.0, 0.5, 0.3, 0.03
"""What is thought of an unknown workload [log]. Doubling or halving one changes errors by 2 % of them."""
LENGTH = 1.0
"""Of the residual, in ranges of a knob."""
JITTER = 0.3
"""Spread of the log-normal weights of the modes, so that seeds differ."""
ROOT5 = 5**0.5


def least_variance(
    coordinates: FloatArray, n: int, rng: np.random.Generator, *, directions: Directions | None = None
) -> npt.NDArray[np.int64]:
    """Return `n` rows of `(m, k)` coordinates from 0 to 1, no more than `MOST`.

    `directions` tells of some rows what the target may differ by from what is expected: `(rows, d)`
    log-surfaces, each one standard deviation long.
    """
    m = len(coordinates)
    pool = np.sort(rng.choice(m, min(POOL, max(int(SHARE * m), min(m, 3 * MOST))), replace=False))
    prior = _prior(coordinates[pool])
    if directions is not None:
        off = directions(pool)
        off = off - off.mean(axis=0)
        prior += off @ off.T
    weights = np.exp(rng.normal(0.0, JITTER, len(pool)))
    design = _Design(prior=prior, weights=weights)
    chosen = design.greedy([], min(n, EXCHANGED))
    for _ in range(PASSES):
        chosen = design.exchanged(chosen)
    # More profiles are added to these, so that a plan of more holds a plan of fewer.
    return pool[np.array(design.greedy(chosen, n))]


def _prior(coordinates: FloatArray) -> FloatArray:
    squares = (coordinates**2).sum(1)
    apart = squares[:, None] + squares - 2.0 * coordinates @ coordinates.T
    scaled = np.sqrt(np.maximum(apart, 0.0)) * (ROOT5 / LENGTH)
    smooth = (1.0 + scaled + scaled**2 / 3.0) * np.exp(-scaled)
    about = coordinates - 0.5
    return LEVEL_SD**2 + TREND_SD**2 * about @ about.T + RESIDUAL_SD**2 * smooth


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Design:
    prior: FloatArray
    """`(m, m)` covariance."""
    weights: FloatArray
    """`(m,)` of how much account each mode is."""

    def greedy(self, chosen: list[int], n: int) -> list[int]:
        """Add to `chosen` until there are `n`."""
        left, rows = self.prior.copy(), list[int]()
        while len(rows) < n:
            row = chosen[len(rows)] if len(rows) < len(chosen) else self._best(left, rows)
            rows.append(row)
            left -= np.outer(left[row], left[row]) / (left[row, row] + NOISE_SD**2)
        return rows

    def exchanged(self, chosen: list[int]) -> list[int]:
        """Take out each in turn, and put in what is best beside the others."""
        chosen = list(chosen)
        for i in range(len(chosen)):
            known = self.prior[np.ix_(chosen, chosen)] + NOISE_SD**2 * np.eye(len(chosen))
            inverse = np.linalg.inv(known)
            solved = inverse @ self.prior[chosen]
            without = solved[i] / np.sqrt(inverse[i, i])
            left = self.prior - self.prior[chosen].T @ solved + np.outer(without, without)
            chosen[i] = self._best(left, chosen[:i] + chosen[i + 1 :])
        return chosen

    def _best(self, left: FloatArray, chosen: list[int]) -> int:
        """Return the mode whose profile would take away the most of the variance that is left."""
        taken = self.weights @ left**2 / (np.diag(left) + NOISE_SD**2)
        taken[chosen] = -1.0
        return int(np.argmax(taken))
