"""The target as one of its kind: a linear Gaussian model around the surfaces of the references.

The log-value of the target is that of a centre, which is one of the references or their mean, plus

    level + trend + weights on the references' deviations from their mean + smooth residual + noise

Any reference may be the centre, and all scales are unknown within wide priors. Both are averaged over instead
of fitted (Bayesian model averaging: Hoeting et al., 1999): each pair of a centre and a draw of the scales
counts as much as it makes the profiles likely. With three profiles nothing else is safe, and it costs no
optimisation: every pair has a closed form, and all centres share one factorisation.

The residual is a sum of what each knob does alone and of what all do together, because in many dimensions a
few profiles tell only of the former.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import final

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve
from scipy.special import logsumexp, ndtri

from powertrain.models.gp._regression import CHUNK, LEVEL_SD, Certainty, matern
from powertrain.records import FloatArray

__all__ = ["Likeness"]

DRAWS = 192
"""Sets of scales that are tried."""
NEAR, LEAST = 0.01, 0.03
"""Distance between references [log] below which the scales shrink in proportion, and how far they may."""
FAR, MOST = 0.1, 10.0
"""Distance beyond which they grow in proportion, and how far they may."""
ONE_ALONE = 2.0
"""What they are multiplied by with a single reference."""
JUDGED = 80
"""Profiles that the pairs are judged by."""
KEPT = 24
"""Pairs of centre and scales that a prediction is averaged over, the likeliest."""
LENGTHS = (0.35, 0.8, 1.8)
"""Length scales of the residual that are tried, in ranges of a knob."""
ALONE, TOGETHER, WEIGHTS, TREND, NOISE = range(5)
MEDIANS = np.array([0.05, 0.02, 0.5, 0.04, 0.006])
"""Of the scales [log], in this order: what knobs do alone, what they do together, weights, trend, noise."""
LOG_SDS = np.array([1.2, 1.2, 1.0, 1.2, 1.2])
"""Spread of the logarithm of each scale: a factor of three either way is nothing unusual."""


@cache
def _scales() -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return `(DRAWS, 5)` scales and the number `(DRAWS,)` of the length scale of each draw."""
    rng = np.random.default_rng(0)
    # A Latin hypercube: each scale alone is spread evenly over its prior.
    ranks = np.argsort(rng.random((5, DRAWS)), axis=1).T
    scales = MEDIANS * np.exp(LOG_SDS * ndtri((ranks + 0.5) / DRAWS))
    return scales, np.arange(DRAWS) % len(LENGTHS)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Likeness:
    """The posterior, averaged over centres and scales of one length scale, the likeliest."""

    unit: FloatArray
    """`(n, k)` coordinates of the profiles."""
    deviations: FloatArray
    """`(n, R)` of the references from their mean, each about its mean over the profiles."""
    length: float
    scales: FloatArray
    """`(p, 5)` of each kept pair."""
    centres: FloatArray
    """`(R, p)` weights with which each pair's centre adds up the references."""
    shares: FloatArray
    """`(p,)` of each pair in the average; they add up to one."""
    solved: FloatArray
    """`(n, p)` inverse covariance times what the profiles lie off the centre."""
    root: FloatArray
    """`(n, n)` inverse of the Cholesky factor of the average covariance."""

    @classmethod
    def of(cls, unit: FloatArray, surfaces: FloatArray, target: FloatArray, certainty: Certainty) -> Likeness:
        """Learn from `n` profiles.

        Args:
            unit: `(n, k)` coordinates.
            surfaces: `(n, R)` log-surfaces of the references, each about its mean.
            target: `(n,)` log-values about their mean.
            certainty: How surely each is known.
        """
        deviations = surfaces - surfaces.mean(axis=1, keepdims=True)
        centres = _centres(surfaces.shape[1])
        off = target[:, None] - surfaces @ centres
        length, scales, chosen, shares = _likeliest(
            unit, deviations, off, certainty, _spread_of_kind(surfaces)
        )
        parts = _parts(unit, deviations, length)
        solved = np.empty((len(unit), len(shares)))
        average = np.zeros((len(unit), len(unit)))
        for i in range(len(shares)):
            covariance = _covariance(scales[i], *parts) + np.diag(certainty.of_noise(scales[i, NOISE]))
            factor = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
            solved[:, i] = cho_solve((factor, True), off[:, int(chosen[i])])
            average += shares[i] * covariance
        return cls(
            unit=unit,
            deviations=deviations,
            length=length,
            scales=scales,
            centres=centres[:, chosen],
            shares=shares,
            solved=solved,
            root=np.asarray(np.linalg.inv(np.linalg.cholesky(average)), dtype=np.float64),
        )

    def predict(self, unit: FloatArray, surfaces: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation `(m,)` of the log-value of a new measurement.

        Args:
            unit: `(m, k)` coordinates.
            surfaces: `(m, R)` log-surfaces, each about its mean over the profiles.
        """
        mean, sd = np.empty(len(unit)), np.empty(len(unit))
        for start in range(0, len(unit), CHUNK):
            rows = slice(start, start + CHUNK)
            mean[rows], sd[rows] = self._predict(unit[rows], surfaces[rows])
        return mean, sd

    def _predict(self, unit: FloatArray, surfaces: FloatArray) -> tuple[FloatArray, FloatArray]:
        deviations = surfaces - surfaces.mean(axis=1, keepdims=True)
        alone, together = _smooth(unit, self.unit, self.length)
        coefficients, slopes, weights, level = self._coefficients
        n = len(self.unit)
        each = surfaces @ self.centres + deviations @ weights + unit @ slopes + level
        each += alone @ coefficients[:n] + together @ coefficients[n:]
        mean = each @ self.shares
        average = self.shares @ self.scales**2
        # The covariance of the average process with the profiles.
        alone *= average[ALONE]
        together *= average[TOGETHER]
        alone += together
        count = max(deviations.shape[1] - 1, 1)
        alone += (deviations * (average[WEIGHTS] / count)) @ self.deviations.T
        alone += (unit * average[TREND]) @ self.unit.T + LEVEL_SD**2
        explained = ((alone @ self.root.T) ** 2).sum(axis=1)
        variance = average[ALONE] + average[TOGETHER] + LEVEL_SD**2
        variance = variance + (deviations**2).sum(axis=1) * (average[WEIGHTS] / count)
        variance += (unit**2).sum(axis=1) * average[TREND]
        variance = np.maximum(variance - explained, 0.0) + average[NOISE]
        # And what the pairs differ by.
        variance += (each - mean[:, None]) ** 2 @ self.shares
        return mean, np.sqrt(variance)

    @cached_property
    def _coefficients(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return what each pair's covariance with the profiles is multiplied by, `p` columns each.

        These are for what knobs do alone and together `(2n, p)`, trend `(k, p)`, weights `(R, p)` and level.
        """
        alone, together, weights, trend, _ = (self.scales**2).T
        count = max(self.deviations.shape[1] - 1, 1)
        return (
            np.concatenate([self.solved * alone, self.solved * together]),
            self.unit.T @ (self.solved * trend),
            self.deviations.T @ (self.solved * (weights / count)),
            LEVEL_SD**2 * self.solved.sum(axis=0),
        )


def _centres(count: int) -> FloatArray:
    """Return the `(R, R + 1)` weights of the references in each centre: one of them, or all alike."""
    return np.column_stack([np.eye(count), np.full(count, 1.0 / count)]) if count > 1 else np.eye(1)


def _likeliest(
    unit: FloatArray, deviations: FloatArray, off: FloatArray, certainty: Certainty, spread: float
) -> tuple[float, FloatArray, npt.NDArray[np.intp], FloatArray]:
    """Return the likeliest length scale, and of the pairs kept scales, number of the centre, and shares."""
    # Many profiles are judged by some of them: the rest hardly move the shares.
    few = np.unique(np.linspace(0, len(unit) - 1, JUDGED).astype(np.int64))
    unit, deviations, off = unit[few], deviations[few], off[few]
    scales, lengths = _scales()
    scales = scales * np.where(np.arange(5) == WEIGHTS, 1.0, spread)
    parts = [_parts(unit, deviations, length) for length in LENGTHS]
    covariances = np.empty((DRAWS, len(unit), len(unit)))
    for i in range(DRAWS):
        covariances[i] = _covariance(scales[i], *parts[int(lengths[i])])
        covariances[i] += np.diag(certainty.share[few] * scales[i, NOISE] ** 2 + certainty.variance[few])
    roots = np.asarray(np.linalg.inv(np.linalg.cholesky(covariances)), dtype=np.float64)
    evidence = _log_evidence(roots, off)
    best = int(np.argmax([logsumexp(evidence[lengths == j]) for j in range(len(LENGTHS))]))
    evidence[lengths != best] = -np.inf
    draws, chosen = np.unravel_index(np.argsort(-evidence, axis=None)[:KEPT], evidence.shape)
    kept = evidence[draws, chosen]
    return LENGTHS[best], scales[draws], chosen, np.exp(kept - logsumexp(kept))


def _spread_of_kind(surfaces: FloatArray) -> float:
    """Return what the scales are multiplied by because of how far workloads of this kind lie apart.

    It is the median distance from a reference to the nearest other one, levels aside. Many stages of one
    training do the same work, and then the target most likely does, too. Where the references have nothing
    in common, the target will differ as much from them. One reference alone does not tell.
    """
    n, count = surfaces.shape
    if count < 2:
        return ONE_ALONE
    about = surfaces - surfaces.mean(axis=0)
    squares = (about**2).sum(axis=0)
    apart = squares[:, None] + squares - 2.0 * about.T @ about
    np.fill_diagonal(apart, np.inf)
    nearest = np.sqrt(np.maximum(apart.min(axis=0), 0.0) / max(n - 1, 1))
    typical = float(np.median(nearest))
    return float(np.clip(typical / NEAR, LEAST, 1.0) * np.clip(typical / FAR, 1.0, MOST))


def _log_evidence(roots: FloatArray, off: FloatArray) -> FloatArray:
    """Return `(draws, centres)` log-evidence, from inverse Cholesky factors and `(n, centres)` residuals."""
    white = roots @ off
    evidence = -0.5 * (white**2).sum(axis=1)
    evidence += np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)[:, None]
    if off.shape[1] > 1:
        # Half of the belief is in the mean, the rest is shared by the references.
        evidence[:, :-1] -= np.log(off.shape[1] - 1.0)
    return evidence


def _smooth(left: FloatArray, right: FloatArray, length: float) -> tuple[FloatArray, FloatArray]:
    """Return correlations `(n_left, n_right)` of what knobs do alone and of what they do together."""
    a, b = left / length, right / length
    # Squared distances as one product: this is most of a prediction's time.
    wide = np.column_stack([-2.0 * a, (a * a).sum(1), np.ones(len(a))])
    squares: FloatArray = wide @ np.column_stack([b, np.ones(len(b)), (b * b).sum(1)]).T
    together = matern(np.maximum(squares, 0.0, out=squares))
    alone = np.zeros_like(together)
    for j in range(a.shape[1]):
        # A knob has few values, each of them in many modes.
        levels, place = np.unique(a[:, j], return_inverse=True)
        alone += (matern((levels[:, None] - b[:, j]) ** 2) / a.shape[1])[place]
    return alone, together


def _parts(unit: FloatArray, deviations: FloatArray, length: float) -> tuple[FloatArray, ...]:
    """Return the covariances of unit scale: alone, together, weights and trend, `(n, n)` each."""
    weights = deviations @ deviations.T / max(deviations.shape[1] - 1, 1)
    return *_smooth(unit, unit, length), weights, unit @ unit.T


def _covariance(scales: FloatArray, *parts: FloatArray) -> FloatArray:
    total = np.full_like(parts[0], LEVEL_SD**2)
    for part, scale in zip(parts, scales, strict=False):
        total += scale**2 * part
    return total
