"""`linear`: log-linear regression, the sanity floor that every other method has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast, final

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from powertrain.errors import DataError, TooFewProfilesError
from powertrain.models._base import AbstractPredictor, Learned, known_quantity
from powertrain.models._checkpoint import LARGEST_NUMBER, Checkpoint, shortened
from powertrain.quantities import Quantity
from powertrain.records import CENTRAL_90, Z90, Estimate, FloatArray, ModeTable, Prediction, ProfileTable

__all__ = ["LinearPredictor"]

LEAST_MODES = 2
LOG_RANGE = 200.0
"""How far from 0 a predicted logarithm may go: far beyond any clock's reach, within what a float holds."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Features:
    """Knobs as the columns of the regression: logarithms, standardised.

    A knob that is zero or negative somewhere in the profiles is taken as it is instead. A knob that is
    constant there becomes a column of zeros: nothing is learned of it, and it never matters.
    """

    is_log: npt.NDArray[np.bool_]
    mean: FloatArray
    sd: FloatArray

    @classmethod
    def of(cls, values: FloatArray) -> _Features:
        is_log = np.asarray((values > 0).all(axis=0))
        raw = np.where(is_log, np.log(np.where(is_log, values, 1.0)), values)
        mean, sd = raw.mean(axis=0), raw.std(axis=0)
        constant = np.ptp(values, axis=0) == 0
        return cls(is_log=is_log, mean=mean, sd=np.where(constant, np.inf, sd))

    def columns(self, modes: ModeTable) -> FloatArray:
        """Return `(n, n_knobs)` columns; `DataError` where a logarithm meets a value at or below 0."""
        low = self.is_log & (modes.values <= 0)
        if low.any():
            row, knob = np.argwhere(low)[0]
            raise DataError(
                f"a mode has {modes.knobs[knob]}={modes.values[row, knob]:.10g}, and the predictor was "
                "fitted to values above 0 alone: leave such modes out, or profile some"
            )
        raw = np.where(self.is_log, np.log(np.where(self.is_log, modes.values, 1.0)), modes.values)
        return (raw - self.mean) / self.sd


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Regression:
    """Least squares of one quantity, of minimum norm where the profiles leave it open.

    A quantity with relative errors is fitted in its logarithm, one with absolute errors as it is.
    """

    quantity: Quantity
    features: _Features
    intercept: float
    slopes: FloatArray
    residual_sd: float
    """NaN without degrees of freedom."""
    root: FloatArray
    """`(n_knobs, rank)` such that `|columns @ root|^2` is the leverage of a mode."""
    n: int

    @classmethod
    def of(cls, quantity: Quantity, modes: ModeTable, observed: FloatArray) -> _Regression:
        features = _Features.of(modes.values)
        columns, target = features.columns(modes), np.log(observed) if quantity.is_log else observed
        intercept, offset = float(target.mean()), columns.mean(axis=0)
        left, size, right = np.linalg.svd(columns - offset, full_matrices=False)
        kept = size > max(columns.shape) * np.finfo(np.float64).eps * max(float(size[0]), 1.0)
        root = right[kept].T / size[kept]
        slopes = root @ (left[:, kept].T @ (target - intercept))
        rest = target - intercept - (columns - offset) @ slopes
        freedom = len(columns) - 1 - int(kept.sum())
        sd = float(np.sqrt(rest @ rest / freedom)) if freedom > 0 else float("nan")
        return cls(
            quantity=quantity,
            features=features,
            intercept=intercept,
            slopes=slopes,
            residual_sd=sd,
            root=root,
            n=len(columns),
        )

    def predict(self, modes: ModeTable) -> Estimate:
        columns = self.features.columns(modes)
        value = self.intercept + columns @ self.slopes
        if self.quantity.is_log:
            value = np.exp(np.clip(value, -LOG_RANGE, LOG_RANGE))
        leverage = 1.0 / self.n + np.sum((columns @ self.root) ** 2, axis=1)
        sd = self._students_factor * self.residual_sd * np.sqrt(1.0 + leverage)
        return Estimate(quantity=self.quantity, value=value, sd=sd, noise_sd=np.zeros(len(modes)))

    @property
    def _students_factor(self) -> float:
        """Return what makes a normal distribution's central interval as wide as that of Student's t.

        With few degrees of freedom the residual itself is uncertain. A prediction's error bar is one number,
        that of a normal distribution, so it is chosen for the interval that is shown and for limits at the
        usual risk: 3.8 times the standard error with 1 degree of freedom, 1.1 times with 10.
        """
        freedom = self.n - 1 - self.root.shape[1]
        if freedom <= 0:
            return float("nan")
        half_width = cast("float", stdtrit(freedom, CENTRAL_90[1]))
        return float(half_width) / Z90


@final
class LinearPredictor(AbstractPredictor):
    """The logarithm of each quantity as a linear function of the log-knobs, by plain least squares.

    The error bar is the standard error of a new measurement (residual and coefficients), widened so that the
    central 90 % interval is that of Student's t. It is NaN where there are no more profiles than
    coefficients.
    """

    method: ClassVar[str] = "linear"
    uses_references: ClassVar[bool] = False

    def __init__(
        self,
        *,
        device: str,
        workload: str,
        knobs: tuple[str, ...],
        regressions: dict[str, _Regression],
    ) -> None:
        self.device, self.workload, self.knobs = device, workload, knobs
        self._regressions = regressions

    @classmethod
    def fit(cls, profiles: ProfileTable, *, seed: int = 0) -> LinearPredictor:
        """Fit by least squares; `seed` is not used.

        Raises:
            TooFewProfilesError: A quantity was measured in fewer than 2 distinct modes.
        """
        regressions: dict[str, _Regression] = {}
        for quantity in profiles.measured:
            column = profiles.columns[quantity.column]
            measured = np.isfinite(column)
            modes = profiles.modes.take(measured)
            distinct = len(np.unique(modes.values, axis=0))
            if distinct < LEAST_MODES:
                raise TooFewProfilesError(
                    f"{profiles.workload!r} has {quantity.name} in {distinct} distinct mode: "
                    f"linear needs at least {LEAST_MODES}; profile more modes"
                )
            regressions[quantity.column] = _Regression.of(quantity, modes, column[measured])
        if not regressions:
            raise TooFewProfilesError(
                f"the profiles of {profiles.workload!r} hold neither a time nor a power: profile it"
            )
        return cls(
            device=profiles.device,
            workload=profiles.workload,
            knobs=profiles.modes.knobs,
            regressions=regressions,
        )

    @classmethod
    def transfer(
        cls,
        references: Sequence[AbstractPredictor],
        profiles: ProfileTable,
        *,
        seed: int = 0,
    ) -> LinearPredictor:
        """Do as `fit` does: the references are not looked at."""
        return cls.fit(profiles, seed=seed)

    def predict(self, modes: ModeTable) -> Prediction:
        """Predict `modes`; a quantity that was never measured is NaN.

        Raises:
            DataError: A knob whose logarithm is taken is zero or negative in a mode.
        """
        own = ModeTable(knobs=self.knobs, values=modes.select(self.knobs))
        return Prediction(estimates={r.quantity.name: r.predict(own) for r in self._regressions.values()})

    def learned(self) -> Learned:
        """Return in how many modes each quantity was measured."""
        return Learned(modes={own.quantity.name: own.n for own in self._regressions.values()})

    def _state(self) -> Checkpoint:
        arrays: dict[str, npt.NDArray[Any]] = {}
        for quantity, own in self._regressions.items():
            features = own.features
            arrays[f"{quantity}.features"] = np.stack(
                [features.is_log, features.mean, features.sd, own.slopes]
            )
            arrays[f"{quantity}.root"] = own.root
            arrays[f"{quantity}.numbers"] = np.array([own.intercept, own.residual_sd, own.n])
        header = {
            "device": self.device,
            "workload": self.workload,
            "knobs": list(self.knobs),
            "quantities": list(self._regressions),
        }
        return Checkpoint(method=self.method, header=header, arrays=arrays)

    @classmethod
    def _restore(cls, checkpoint: Checkpoint) -> LinearPredictor:
        knobs, columns = checkpoint.texts("knobs"), checkpoint.texts("quantities")
        if not knobs or not columns:
            raise checkpoint.unfit(f"it has the knobs {shortened(knobs)} and predicts {shortened(columns)}")
        return cls(
            device=checkpoint.text("device"),
            workload=checkpoint.text("workload"),
            knobs=knobs,
            regressions={column: _regression_restored(checkpoint, column, len(knobs)) for column in columns},
        )


def _regression_restored(checkpoint: Checkpoint, column: str, n_knobs: int) -> _Regression:
    quantity = known_quantity(column, source=checkpoint.source)
    is_log, mean, sd, slopes = checkpoint.array(f"{column}.features", shape=(4, n_knobs)).astype(float)
    intercept, residual_sd, n = map(float, checkpoint.array(f"{column}.numbers", shape=(3,)))
    root = checkpoint.column(f"{column}.root", shape=(n_knobs, None))
    usual = np.abs([*mean, *slopes, intercept]) <= LARGEST_NUMBER  # NaN is not
    # A constant knob has an infinite spread, and a fit without degrees of freedom no residual.
    if not usual.all() or not (sd >= 1 / LARGEST_NUMBER).all() or not np.isin(is_log, (0, 1)).all():
        raise checkpoint.unfit(f"its regression of {column} is not one")
    if not (np.isnan(residual_sd) or 0 <= residual_sd <= LARGEST_NUMBER):
        raise checkpoint.unfit(f"its error bar of {column} is {residual_sd:g}")
    if not (n.is_integer() and LEAST_MODES <= n <= LARGEST_NUMBER) or root.shape[1] >= n:
        raise checkpoint.unfit(f"its regression of {column} is of {n:g} profiles")
    return _Regression(
        quantity=quantity,
        features=_Features(is_log=is_log > 0, mean=mean, sd=sd),
        intercept=intercept,
        slopes=slopes,
        residual_sd=residual_sd,
        root=root,
        n=int(n),
    )
