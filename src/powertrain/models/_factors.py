"""`factors`: collaborative filtering, by the few factors that make up all references' surfaces.

Principal components of the references are the factors; how much of each the references hold is the prior of
how much the target holds, which the profiles then correct (LEO: Mishra et al., ASPLOS 2015).
"""

from __future__ import annotations

from typing import ClassVar, final

import numpy as np

from powertrain.models._combination import AbstractCombination, Combination, noise_variance
from powertrain.records import FloatArray

__all__ = ["FactorsPredictor"]

STRAY = 0.1
"""How far, beyond the references' own spread, a loading may lie from theirs, relative to their size."""

EXPONENTS = tuple(map(float, np.linspace(-5.0, -1.0, 9)))
"""Powers of ten that the variance of the residual may be of what the factors explain."""


@final
class FactorsPredictor(AbstractCombination):
    """Loadings of the target on the principal components of the references, with a normal prior."""

    method: ClassVar[str] = "factors"

    @classmethod
    def combine(cls, target: FloatArray, surfaces: FloatArray, everywhere: FloatArray) -> Combination:
        """Fit the loadings for every number of factors and keep the likeliest number."""
        level, centre = float(target.mean()), surfaces.mean(axis=0)
        about = surfaces - centre
        size, directions = np.linalg.svd(everywhere - everywhere.mean(axis=0), full_matrices=False)[1:]
        kept = size > 1e-6 * max(float(size[0]), 1e-12)
        found = [_fitted(target - level, about, directions[:q].T) for q in range(1, int(kept.sum()) + 1)]
        if not found:
            found = [_fitted(target - level, about, directions[:1].T)]
        _, weights, spread, variance = max(found, key=lambda one: one[0])
        root = np.zeros((1 + len(weights), 1 + spread.shape[1]))
        root[0, 0] = np.sqrt(variance / len(target))
        root[1:, 1:] = spread
        return Combination(
            level=level, weights=weights, centre=centre, root=root, residual_sd=float(np.sqrt(variance))
        )


def _fitted(
    target: FloatArray, about: FloatArray, directions: FloatArray
) -> tuple[float, FloatArray, FloatArray, float]:
    """Return evidence, weights `(R,)`, square root of their covariance, and variance of the residual.

    `directions` is `(R, q)`: factor `f` is the sum of the surfaces with these weights. A reference's loadings
    are its own row, as the directions are orthonormal.
    """
    n = len(about)
    mean: FloatArray = directions.mean(axis=0)
    loadings_off = directions - mean
    prior = loadings_off.T @ loadings_off / len(directions)
    prior += np.diag(STRAY**2 * (directions**2).mean(axis=0))
    factors = about @ directions
    off = target - factors @ mean
    gain = prior @ factors.T
    explained = factors @ gain
    size = max(float(np.trace(explained)) / n, 1e-12)
    # Of all residual variances, relative to what the factors explain, the likeliest.
    covariances: list[FloatArray] = [explained + size * 10.0**e * np.eye(n) for e in EXPONENTS]
    evidences = [_evidence(off, covariance) for covariance in covariances]
    best = int(np.argmax(evidences))
    columns = np.column_stack([off, gain.T])
    solved = np.asarray(np.linalg.solve(covariances[best], columns), dtype=np.float64)
    loadings: FloatArray = mean + gain @ solved[:, 0]
    left: FloatArray = prior - gain @ solved[:, 1:]
    rest = target - factors @ loadings
    variance = noise_variance(float(rest @ rest), max(n - 1, 1))
    values, vectors = np.linalg.eigh(left)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return evidences[best], directions @ loadings, directions @ root, variance


def _evidence(off: FloatArray, covariance: FloatArray) -> float:
    """Return the log-likelihood of `(n,)` normal values with mean 0, but for a constant."""
    return -0.5 * float(off @ np.linalg.solve(covariance, off) + np.linalg.slogdet(covariance)[1])
