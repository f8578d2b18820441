"""`ridge`: ridge regression of the target on the surfaces of all references."""

from __future__ import annotations

from typing import ClassVar, final

import numpy as np

from powertrain.models._combination import AbstractCombination, Combination, noise_variance
from powertrain.records import FloatArray

__all__ = ["RidgePredictor"]

RATIOS = np.logspace(-1.0, 3.5, 19)
"""Variances of a weight, in variances of the residual, among which the profiles choose: more than the largest
would let three profiles be met by wild weights."""


@final
class RidgePredictor(AbstractCombination):
    """Weights on all references, shrunk towards equal ones that add up to one.

    How strongly they are shrunk is what makes the profiles most likely (MacKay, 1992).
    """

    method: ClassVar[str] = "ridge"

    @classmethod
    def combine(cls, target: FloatArray, surfaces: FloatArray, everywhere: FloatArray) -> Combination:
        """Regress on the centred surfaces with the likeliest shrinkage."""
        del everywhere
        n, count = surfaces.shape
        level, centre = float(target.mean()), surfaces.mean(axis=0)
        about = surfaces - centre
        off = target - level - about.mean(axis=1)
        left, size, right = np.linalg.svd(about, full_matrices=False)
        along = left.T @ off
        beyond = max(float(off @ off - along @ along), 0.0)
        # Rows are ratios: what is left of the squares, and how many are explained by chance.
        shrunk = 1.0 + RATIOS[:, None] * size**2
        squares = beyond + np.sum(along**2 / shrunk, axis=1)
        variances = np.array([noise_variance(float(s), n - 1) for s in squares])
        evidence = -0.5 * np.log(shrunk).sum(axis=1) - 0.5 * n * np.log(variances)
        best = int(np.argmax(evidence))
        ratio, variance = float(RATIOS[best]), float(variances[best])
        weights = 1.0 / count + right.T @ (ratio * size * along / shrunk[best])
        # The covariance of the weights: ratio * (I - V diag(1 - 1/shrunk) V') in variances of the residual.
        inside = right.T * (1.0 - shrunk[best] ** -0.5)
        spread = np.sqrt(ratio * variance) * (np.eye(count) - inside @ right)
        root = np.zeros((1 + count, 1 + count))
        root[0, 0] = np.sqrt(variance / n)
        root[1:, 1:] = spread
        return Combination(
            level=level, weights=weights, centre=centre, root=root, residual_sd=float(np.sqrt(variance))
        )
