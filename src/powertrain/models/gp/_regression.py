"""Gaussian-process regression of one quantity on a parametric mean, by maximum a posteriori.

Covariance of the logarithm at modes `x` and `x'`, with unit coordinates `z` and reference surfaces `s`:

    k = B^2 + tau^2 z.z' + lambda^2/R s.s' + sigma^2 matern52(|z - z'| / l) + noise^2 [same profile]

(free level, linear trend, weights on references, smooth residual, measurement noise). Parameters of the mean
and logarithms of `l`, `sigma`, `noise`, `tau` and `lambda` are fitted together by L-BFGS with analytic
gradients under normal priors. Error bars add what is not known of the mean (Laplace, linearised at
the optimum) and are scaled by the leave-one-out errors (Rasmussen & Williams 2006, section 5.4.2).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular
from scipy.linalg.lapack import dpotri, dpotrs
from scipy.optimize import minimize

from powertrain.models.gp._kernel import correlations, matern, single_product, squared_distances
from powertrain.models.gp._mean import MeanInputs, MeanShape
from powertrain.records import FloatArray

__all__ = [
    "LEVEL_SD",
    "Certainty",
    "KernelPrior",
    "Regression",
    "RegressionInputs",
    "Told",
]

logger = logging.getLogger(__name__)

ROOT5 = 5**0.5
LEVEL_SD = 10.0
"""Prior spread of the level [log]: free."""
TOLERANCE = 1e-5
"""Relative change of the log posterior at which a fit ends: below what tells parameters apart."""
QUIET, TOLD_BY = 0.5, 20
"""How far below its prior centre the noise may be fitted, in standard deviations of the prior: this much, or
one for each so many profiles if that is more."""
BLOCK = 3072
"""Modes whose mean is worked out at a time: the memory for more is taken from the system anew each time."""


@final
@dataclass(frozen=True, kw_only=True)
class KernelPrior:
    """Normal priors of the logarithms of the kernel's parameters: (centre, standard deviation)."""

    length: tuple[float, float] = (float(np.log(0.5)), 0.7)
    """In ranges of the knob: smooth over half the range."""
    residual: tuple[float, float] = (float(np.log(0.08)), 1.0)
    noise: tuple[float, float] = (float(np.log(0.012)), 0.8)
    noise_doubt: float = 1.4
    """What the logarithm of the noise spreads by between workloads, for error bars. Modes far apart say
    little of the noise, and one fitted too small would make every limit too bold."""
    trend: tuple[float, float] = (float(np.log(0.03)), 1.0)
    weights: tuple[float, float] = (float(np.log(0.1)), 1.0)
    calibration_weight: float = 4.0
    """Profiles' worth of belief that the plain error bars are right."""
    widening: tuple[float, float] = (8.0, 8.0)
    """`(a, b)`: error bars are widened by `1 + a / (n + b)` for what `n` profiles cannot tell of the
    parameters of the kernel."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class RegressionInputs:
    """`n` modes as the regression sees them."""

    unit: FloatArray
    """`(n, k)` knob coordinates from -1 to 0."""
    surfaces: FloatArray
    """`(n, R)` centred log-surfaces of the references."""
    mean: MeanInputs
    log_time_sd: FloatArray | None = None
    """`(n,)` error bar of the log-time among the inputs, where there is one."""

    def __len__(self) -> int:
        return len(self.unit)

    def take(self, rows: slice) -> RegressionInputs:
        """Return the inputs of some modes."""
        sd = None if self.log_time_sd is None else self.log_time_sd[rows]
        return RegressionInputs(
            unit=self.unit[rows], surfaces=self.surfaces[rows], mean=self.mean.take(rows), log_time_sd=sd
        )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Told:
    """What is known of the logarithm of new measurements in `n` modes."""

    mean: FloatArray
    """`(n,)`"""
    sd: FloatArray
    """`(n,)` standard deviation."""
    follows_time: FloatArray
    """`(n,)` how fast the mean rises with the logarithm of the time; 0 where that is not an input."""

    @classmethod
    def joined(cls, parts: Sequence[Told]) -> Told:
        """Return what is known of several tables of modes, one after the other."""
        columns = zip(*((part.mean, part.sd, part.follows_time) for part in parts), strict=True)
        mean, sd, follows_time = map(np.concatenate, columns)
        return cls(mean=mean, sd=sd, follows_time=follows_time)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Certainty:
    """How surely each of `n` profiles is known, before anything is fitted."""

    share: FloatArray
    """`(n,)` of the noise that is left in each: one over the measurements that it is the mean of."""
    variance: FloatArray
    """`(n,)` error of each by its own measuring [log squared]; 0 where nobody said."""

    @classmethod
    def alike(cls, n: int) -> Certainty:
        """Return that of profiles that were measured once, by something that states no error."""
        return cls(share=np.ones(n), variance=np.zeros(n))

    @classmethod
    def of(cls, repeats: npt.NDArray[np.int64], log_se: FloatArray) -> Certainty:
        """Return that of profiles by their repeats and the standard errors of their logarithms, `(n,)` each.

        The spread of a few repeats is too poor an error to count; the noise over their number is better.
        """
        stated = (repeats == 1) & np.isfinite(log_se)
        return cls(share=1.0 / repeats, variance=np.where(stated, log_se, 0.0) ** 2)

    def __len__(self) -> int:
        return len(self.share)

    def take(self, rows: slice) -> Certainty:
        """Return that of some profiles."""
        return Certainty(share=self.share[rows], variance=self.variance[rows])

    def of_noise(self, noise: float) -> FloatArray:
        """Return the variance `(n,)` of each profile's error where one measurement has this noise [log]."""
        return noise**2 * self.share + self.variance


@final
class Regression:
    """The posterior of one quantity, given profiles and parameters."""

    def __init__(
        self,
        shape: MeanShape,
        prior: KernelPrior,
        inputs: RegressionInputs,
        target: FloatArray,
        theta: FloatArray,
        certainty: Certainty | None = None,
    ) -> None:
        self.shape, self.inputs, self.target, self.theta = shape, inputs, target, theta
        self.prior = prior
        self.certainty = certainty or Certainty.alike(len(target))
        mean, jacobian = shape.value(self._mean_theta(theta), inputs.mean)
        covariance = _kernel(self._hyper(theta), inputs, inputs)
        noise = self.certainty.of_noise(self._hyper(theta).noise)
        self._factor = _factor(covariance, noise)
        residual = target - mean
        self._weights = cho_solve((self._factor, True), residual)
        self._solved_jacobian = cho_solve((self._factor, True), jacobian)
        precision = jacobian.T @ self._solved_jacobian + np.diag(shape.sd**-2.0)
        # A symmetric root, so that the variance of the mean is a sum of squares.
        self._mean_root = _cholesky(np.asarray(np.linalg.inv(precision)))
        self._readout = self._read_out()
        self.loo_z, self.loo_errors = self._leave_one_out(covariance, noise, residual, jacobian)
        self.scale = self._calibration()
        self.noise_variance = self._noise_variance()
        """Expected variance of a new measurement about the mean of its mode [log squared]."""

    @classmethod
    def fit(
        cls,
        shape: MeanShape,
        prior: KernelPrior,
        inputs: RegressionInputs,
        target: FloatArray,
        *,
        certainty: Certainty | None = None,
        kernel_centres: FloatArray | None = None,
        iterations: int = 200,
    ) -> Regression:
        """Fit all parameters to `target`, `(n,)` logarithms about their mean.

        `certainty` says how surely each is known; all alike by default.
        `kernel_centres` `(k + 2,)` replaces the prior centres of the log lengths, the log residual and the
        log noise by ones learned from references.
        """
        centre, sd = _prior(shape, prior, inputs.unit.shape[1], kernel_centres)
        certainty = certainty or Certainty.alike(len(target))
        objective = _Objective(shape, inputs, target, certainty, centre, sd)
        # In standard deviations of the prior all parameters are of one size.
        bounds = [(-5.0, 5.0)] * len(centre)
        # A mean that bends to every profile would leave no noise. Few profiles cannot show a quiet board.
        quietest = min(max(QUIET, len(target) / TOLD_BY), 5.0)
        bounds[shape.size + inputs.unit.shape[1] + 1] = (-quietest, 5.0)
        found: Any = minimize(
            objective.standardised,
            np.zeros(len(centre)),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": iterations, "ftol": TOLERANCE},
        )
        if not found.success:
            logger.info("the fit to %d profiles ended early: %s", len(target), found.message)
        return cls(shape, prior, inputs, target, centre + sd * np.asarray(found.x), certainty)

    def _mean_theta(self, theta: FloatArray) -> FloatArray:
        return theta[: self.shape.size]

    def _hyper(self, theta: FloatArray) -> _Hyper:
        return _Hyper.of(theta[self.shape.size :], self.inputs.unit.shape[1])

    @property
    def log_exponents(self) -> FloatArray:
        """`(n_terms,)` fitted log exponents of the knob terms."""
        return self.shape.log_exponents(self.theta)

    @property
    def kernel_log_parameters(self) -> FloatArray:
        """`(k + 2,)` fitted log lengths, log residual and log noise."""
        start = self.shape.size
        return self.theta[start : start + self.inputs.unit.shape[1] + 2]

    @property
    def noise_sd(self) -> float:
        """Standard deviation [log] that repeated measurements of one mode are taken to have."""
        return self.scale * self._hyper(self.theta).noise

    def predict(self, inputs: RegressionInputs) -> Told:
        """Return what is known of the logarithm of new measurements."""
        starts = range(0, max(len(inputs), 1), BLOCK)
        return Told.joined([self._predict(inputs.take(slice(start, start + BLOCK))) for start in starts])

    def _predict(self, inputs: RegressionInputs) -> Told:
        n, hyper = len(self.target), self._hyper(self.theta)
        prior_mean, jacobian = self.shape.value(self._mean_theta(self.theta), inputs.mean)
        features = _features(hyper, inputs)
        variance = hyper.residual**2 + np.einsum("ij,ij->i", features, features)
        unknown_mean = jacobian @ self._mean_root
        mean = prior_mean
        for rows, read in self._read(inputs.unit, features):
            mean[rows] += read[:, -1]
            explained = read[:, :n]
            variance[rows] -= np.einsum("ij,ij->i", explained, explained)
            unknown_mean[rows] -= read[:, n:-1]
        variance = np.maximum(variance, 1e-12) + self.noise_variance
        variance += np.einsum("ij,ij->i", unknown_mean, unknown_mean)
        follows_time = -jacobian[:, self.shape.timed].sum(axis=1)
        if inputs.log_time_sd is not None:
            variance += (follows_time * inputs.log_time_sd) ** 2
        return Told(mean=mean, sd=self.scale * np.sqrt(variance), follows_time=follows_time)

    def mean(self, inputs: RegressionInputs) -> FloatArray:
        """Return the mean `(n,)` of the logarithm of a new measurement, as `predict` does."""
        mean, _ = self.shape.value(self._mean_theta(self.theta), inputs.mean)
        features = _features(self._hyper(self.theta), inputs)
        for rows, read in self._read(inputs.unit, features, slice(-1, None)):
            mean[rows] += read[:, 0]
        return mean

    def _read_out(self) -> tuple[FloatArray, FloatArray]:
        """Return what turns the correlations and the features of a mode into all that a prediction needs.

        These are what the profiles explain of the residual, what they tell of the mean's parameters, and the
        weighted sum of their residuals: `(n, n + p + 1)` columns for the correlations with the profiles, and
        `(features, n + p + 1)` for the features.
        """
        n, hyper = len(self.target), self._hyper(self.theta)
        whitening = solve_triangular(self._factor, np.eye(n), lower=True).T
        columns = np.column_stack([whitening, self._solved_jacobian @ self._mean_root, self._weights])
        return hyper.residual**2 * columns, _features(hyper, self.inputs).T @ columns

    def _read(
        self, unit: FloatArray, features: FloatArray, columns: slice = slice(None)
    ) -> Iterator[tuple[slice, FloatArray]]:
        """Yield some modes at a time, with columns of what `_read_out` says of them."""
        length = self._hyper(self.theta).length
        by_correlation, by_feature = (part[:, columns] for part in self._readout)
        by_correlation = by_correlation.astype(np.float32)
        for rows, correlation in correlations(unit / length, self.inputs.unit / length):
            read = features[rows] @ by_feature
            read += single_product(correlation, by_correlation)
            yield rows, read

    def _leave_one_out(
        self, covariance: FloatArray, noise: FloatArray, residual: FloatArray, jacobian: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return the leave-one-out errors `(n,)`, standardised and as they are.

        The mean is refitted in its linear form.
        """
        shape = self.shape
        about_prior = residual + jacobian @ (self._mean_theta(self.theta) - shape.centre)
        whole = covariance + (jacobian * shape.sd**2) @ jacobian.T
        inverse = cho_solve((_factor(whole, noise), True), np.eye(len(residual)))
        weighted, diagonal = inverse @ about_prior, np.diag(inverse)
        return weighted / np.sqrt(diagonal), weighted / diagonal

    def _noise_variance(self) -> float:
        """Return the expected variance of a new measurement about the mode's mean.

        The logarithm of the noise is normal about its fit, with the information that the profiles have of it
        (Fisher) and that of the prior. The fewer of them lie close together, the less they tell.
        """
        noise, doubt = self._hyper(self.theta).noise, self.prior.noise_doubt
        if not doubt:
            return noise**2
        inverse = cho_solve((self._factor, True), np.eye(len(self.target)))
        share = self.certainty.share
        told = 2.0 * noise**4 * float(share @ (inverse**2) @ share)
        return float(noise**2 * np.exp(2.0 / (doubt**-2.0 + told)))

    def _calibration(self) -> float:
        """Return the factor on error bars: the leave-one-out scale, shrunk towards 1, and the widening."""
        n, weight = len(self.loo_z), self.prior.calibration_weight
        # One wild profile says little of the others' error bars.
        squares = np.minimum(self.loo_z**2, 9.0).sum()
        a, b = self.prior.widening
        return float(np.sqrt((weight + squares) / (weight + n)) * (1.0 + a / (n + b)))


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Hyper:
    length: FloatArray
    residual: float
    noise: float
    trend: float
    weights: float

    @classmethod
    def of(cls, logs: FloatArray, k: int) -> _Hyper:
        residual, noise, trend, weights = map(float, np.exp(logs[k:]))
        return cls(length=np.exp(logs[:k]), residual=residual, noise=noise, trend=trend, weights=weights)


def _prior(
    shape: MeanShape, prior: KernelPrior, k: int, learned: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    pairs = [prior.length] * k + [prior.residual, prior.noise, prior.trend, prior.weights]
    centre, sd = np.array(pairs).T
    if learned is not None:
        centre[: k + 2] = learned
    return np.concatenate([shape.centre, centre]), np.concatenate([shape.sd, sd])


def _kernel(hyper: _Hyper, left: RegressionInputs, right: RegressionInputs) -> FloatArray:
    """Return the `(n_left, n_right)` covariance, without noise."""
    covariance = matern(squared_distances(left.unit / hyper.length, right.unit / hyper.length))
    covariance *= hyper.residual**2
    # Trend, weights and level are one product of features.
    covariance += _features(hyper, left) @ _features(hyper, right).T
    return covariance


def _features(hyper: _Hyper, inputs: RegressionInputs) -> FloatArray:
    count = max(inputs.surfaces.shape[1], 1)
    level = np.full((len(inputs), 1), LEVEL_SD)
    weighted = inputs.surfaces * (hyper.weights / count**0.5)
    return np.concatenate([level, hyper.trend * inputs.unit, weighted], axis=1)


def _factor(covariance: FloatArray, noise: FloatArray) -> FloatArray:
    """Return the lower Cholesky factor with a variance of noise `(n,)`, and jitter that grows on failure."""
    diagonal = np.diag(covariance) + noise
    noisy = covariance.copy()
    for jitter in (1e-9, 1e-7, 1e-5, 1e-3):
        np.fill_diagonal(noisy, diagonal + jitter)
        try:
            return _cholesky(noisy)
        except np.linalg.LinAlgError:
            continue
    np.fill_diagonal(noisy, diagonal + 0.1)
    return _cholesky(noisy)


def _inverted(factor: FloatArray, residual: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the inverse of a matrix and its product with a vector `(n,)`, from its lower Cholesky factor.

    Of the inverse only the lower triangle is right, which is half the work; what is above it has no meaning.
    """
    # In LAPACK's column order the transpose of the lower factor is the upper one, at no cost.
    inverse, _ = dpotri(factor.T, lower=0)
    solved, _ = dpotrs(factor.T, residual, lower=0)
    return np.asarray(inverse, dtype=np.float64).T, np.asarray(solved, dtype=np.float64)


def _cholesky(matrix: npt.NDArray[np.floating[Any]]) -> FloatArray:
    return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)


@final
class _Objective:
    """Negative log posterior and its gradient."""

    def __init__(
        self,
        shape: MeanShape,
        inputs: RegressionInputs,
        target: FloatArray,
        certainty: Certainty,
        centre: FloatArray,
        sd: FloatArray,
    ) -> None:
        self.shape, self.inputs, self.target = shape, inputs, target
        self.certainty = certainty
        self.centre, self.sd = centre, sd
        n, self.k = inputs.unit.shape
        difference = inputs.unit[:, None, :] - inputs.unit[None, :, :]
        self.squares: FloatArray = np.ascontiguousarray(np.moveaxis(difference**2, 2, 0)).reshape(
            self.k, n * n
        )
        self.trend: FloatArray = inputs.unit @ inputs.unit.T
        surfaces = inputs.surfaces
        self.doubled: FloatArray = 2.0 * np.tril(np.ones((n, n)), -1) + np.eye(n)
        self.similarity: FloatArray = surfaces @ surfaces.T / max(surfaces.shape[1], 1)

    def standardised(self, off: FloatArray) -> tuple[float, FloatArray]:
        """Return value and gradient by the parameters in standard deviations from the prior's centre."""
        value, gradient = self(self.centre + self.sd * off)
        return value, gradient * self.sd

    def __call__(self, theta: FloatArray) -> tuple[float, FloatArray]:
        size, n, k = self.shape.size, len(self.target), self.k
        hyper = _Hyper.of(theta[size:], k)
        distance = np.sqrt(hyper.length**-2.0 @ self.squares).reshape(n, n)
        decay = hyper.residual**2 * np.exp(-ROOT5 * distance)
        slope = 1.0 + ROOT5 * distance
        residual_part = decay * (slope + 5.0 / 3.0 * distance * distance)
        covariance = residual_part + LEVEL_SD**2 + hyper.trend**2 * self.trend
        covariance += hyper.weights**2 * self.similarity
        factor = _factor(covariance, self.certainty.of_noise(hyper.noise))
        mean, jacobian = self.shape.value(theta[:size], self.inputs.mean)
        inverse, solved = _inverted(factor, self.target - mean)
        value = 0.5 * (self.target - mean) @ solved + np.log(np.diag(factor)).sum()
        # d value / d K, from which every kernel gradient is a sum of products. They are with symmetric
        # matrices, so the lower triangle may count for both.
        by_covariance = 0.5 * (inverse * self.doubled - np.outer(solved, solved))
        gradient = np.empty_like(theta)
        gradient[:size] = -(jacobian.T @ solved)
        by_length = (by_covariance * decay * slope).reshape(-1) * (5.0 / 3.0)
        gradient[size : size + k] = (self.squares @ by_length) * hyper.length**-2.0
        gradient[size + k :] = (
            2.0 * np.vdot(by_covariance, residual_part),
            2.0 * hyper.noise**2 * np.vdot(np.diag(by_covariance), self.certainty.share),
            2.0 * hyper.trend**2 * np.vdot(by_covariance, self.trend),
            2.0 * hyper.weights**2 * np.vdot(by_covariance, self.similarity),
        )
        off = (theta - self.centre) / self.sd
        return float(value + 0.5 * off @ off), gradient + off / self.sd
