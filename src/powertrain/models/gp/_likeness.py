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

from powertrain.models.gp._kernel import correlations, matern, single_product, squared_distances
from powertrain.models.gp._regression import LEVEL_SD, Certainty
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

    @property
    def noise_variance(self) -> float:
        """Variance of a new measurement about the mean of its mode [log squared]."""
        return float(self.shares @ self.scales[:, NOISE] ** 2)

    def relied_on(self, errors: FloatArray) -> float:
        """Return what the centres are wrong by where the references are, by `(R,)` standard deviations."""
        return float(np.sqrt(((self.centres * errors[:, None]) ** 2).sum(axis=0) @ self.shares))

    def predict(self, unit: FloatArray, surfaces: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation `(m,)` of the log-value of a new measurement.

        Args:
            unit: `(m, k)` coordinates.
            surfaces: `(m, R)` log-surfaces, each about its mean over the profiles.
        """
        read_out, by_knob = self._read_out, self._by_knob(unit)
        by_correlation = read_out.by_correlation.astype(np.float32)
        features = np.concatenate([np.ones((len(unit), 1)), unit, surfaces], axis=1)
        mean, variance, differ = (
            np.empty(len(unit)),
            self._prior_variance(unit, surfaces),
            np.empty(len(unit)),
        )
        kept = len(self.shares)
        for rows, together in correlations(unit / self.length, self.unit / self.length):
            read = features[rows] @ read_out.by_feature
            read += single_product(together, by_correlation)
            for table, place in by_knob:
                read += np.take(table, place[rows], axis=0)
            mean[rows] = read[:, 0]
            off, explained = read[:, 1 : 1 + kept], read[:, 1 + kept :]
            differ[rows] = np.einsum("ij,ij->i", off, off)
            variance[rows] -= np.einsum("ij,ij->i", explained, explained)
        noise = self.shares @ self.scales[:, NOISE] ** 2
        return mean, np.sqrt(np.maximum(variance, 0.0) + noise + differ)

    def _prior_variance(self, unit: FloatArray, surfaces: FloatArray) -> FloatArray:
        """Return the variance `(m,)` of the average process where nothing is measured."""
        average, count = self.shares @ self.scales**2, _others(surfaces)
        deviations = surfaces - surfaces.mean(axis=1, keepdims=True)
        variance = (unit**2).sum(axis=1) * average[TREND]
        variance += (deviations**2).sum(axis=1) * (average[WEIGHTS] / count)
        return variance + average[ALONE] + average[TOGETHER] + LEVEL_SD**2

    def _by_knob(self, unit: FloatArray) -> list[tuple[FloatArray, npt.NDArray[np.intp]]]:
        """Return what knobs add alone: tables with a row per value, and each mode's row in each of them.

        A knob has few values, each of them in many modes.
        """
        found: list[tuple[FloatArray, npt.NDArray[np.intp]]] = []
        for j in range(unit.shape[1]):
            column: FloatArray = unit[:, j]
            levels: FloatArray = np.unique(column)
            apart = (levels[:, None] - self.unit[:, j]) / self.length
            table = matern(apart**2) / len(unit.T) @ self._read_out.by_knob
            place: npt.NDArray[np.intp] = np.searchsorted(levels, column)
            found.append((table, place))
        return found

    @cached_property
    def _read_out(self) -> _ReadOut:
        """Return what turns correlations with the profiles into all that a prediction needs.

        Three kinds of columns, in this order: the mean of all pairs (1), by how much each pair differs from
        it, times the root of its share (p), and what the profiles explain of the average process (n).
        """
        squares, count = self.scales**2, _others(self.deviations)
        # An average over the pairs, and the deviations from it whose squares add up to their variance.
        averaging = np.column_stack(
            [self.shares, (np.eye(len(self.shares)) - self.shares[:, None]) * np.sqrt(self.shares)]
        )
        average = self.shares @ squares

        def columns(kind: int) -> FloatArray:
            return np.column_stack(
                [(self.solved * squares[:, kind]) @ averaging, average[kind] * self.root.T]
            )

        level = LEVEL_SD**2 * np.column_stack([self.solved @ averaging, self.root.T]).sum(axis=0)
        # The weights are for the deviations of the surfaces from their mean.
        centring = np.eye(len(self.centres)) - 1.0 / len(self.centres)
        by_surface = centring @ self.deviations.T @ columns(WEIGHTS) / count
        by_surface[:, : averaging.shape[1]] += self.centres @ averaging
        return _ReadOut(
            by_knob=columns(ALONE),
            by_correlation=columns(TOGETHER),
            by_feature=np.concatenate([level[None], self.unit.T @ columns(TREND), by_surface]),
        )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _ReadOut:
    """What each part of the covariance with the profiles is multiplied by, `1 + p + n` columns each."""

    by_knob: FloatArray
    """`(n, ...)` for what knobs do alone."""
    by_correlation: FloatArray
    """`(n, ...)` for what they do together."""
    by_feature: FloatArray
    """`(1 + k + R, ...)` for level, trend and surfaces."""


def _others(surfaces: FloatArray) -> int:
    return max(surfaces.shape[1] - 1, 1)


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


def _smooth(unit: FloatArray, length: float) -> tuple[FloatArray, FloatArray]:
    """Return correlations `(n, n)` of what knobs do alone and of what they do together."""
    at = unit / length
    together = matern(squared_distances(at, at))
    alone = np.zeros_like(together)
    for column in at.T:
        alone += matern((column[:, None] - column) ** 2) / at.shape[1]
    return alone, together


def _parts(unit: FloatArray, deviations: FloatArray, length: float) -> tuple[FloatArray, ...]:
    """Return the covariances of unit scale: alone, together, weights and trend, `(n, n)` each."""
    weights = deviations @ deviations.T / _others(deviations)
    return *_smooth(unit, length), weights, unit @ unit.T


def _covariance(scales: FloatArray, *parts: FloatArray) -> FloatArray:
    total = np.full_like(parts[0], LEVEL_SD**2)
    for part, scale in zip(parts, scales, strict=False):
        total += scale**2 * part
    return total
