"""What is predicted for many modes: each quantity with its error bar, and how the errors go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, final

import numpy as np
import numpy.typing as npt

from powertrain import quantities
from powertrain.quantities import Quantity
from powertrain.records._choice import Interval
from powertrain.records._frames import new_frame
from powertrain.records._modes import FloatArray, row_index
from powertrain.records._shown import Shown, View, rows_view
from powertrain.records._table import ProfileTable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CENTRAL_90", "Z90", "Estimate", "Prediction", "check_risk", "quantile"]

CENTRAL_90 = (0.05, 0.95)
"""The ends of a central 90 % interval, as probabilities."""
Z90 = NormalDist().inv_cdf(CENTRAL_90[1])
"""Half-width of the central 90 % interval of a standard normal distribution."""


def check_risk(risk: float) -> None:
    """Refuse a `risk` outside of 0 to 1 with a `ValueError`; 0 and 1 themselves are outside.

    So is what double precision cannot tell from them: 1 less the risk has to be less than 1.
    """
    if not (0 < risk < 1 and 0 < 1 - risk < 1):
        raise ValueError(f"risk is {risk!r}: give a number between 0 and 1; 0.5 is the point prediction")


def quantile(value: FloatArray, sd: FloatArray, probability: float, *, is_log: bool = True) -> FloatArray:
    """Return what lies below with a probability, `(n,)`, around values `(n,)` with error bars `(n,)`.

    An error bar that is NaN counts as 0. With `is_log` it is relative, and the logarithm is normal.
    """
    z = NormalDist().inv_cdf(probability)
    if z == 0:
        return value
    off = z * np.where(np.isnan(sd), 0.0, sd)
    if not is_log:
        return value + off
    with np.errstate(over="ignore"):  # an error bar without end gives an infinite bound
        return value * np.exp(off)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """One quantity of `n` modes with its error bar.

    For a quantity with relative errors the logarithm of the truth is taken as normal around the logarithm of
    `value` with standard deviation `sd`; for one with absolute errors the truth itself is.
    """

    quantity: Quantity
    value: FloatArray
    """`(n,)` in the unit of the quantity; NaN throughout where it was never measured."""
    sd: FloatArray
    """`(n,)` error bar of a new measurement, repeat-to-repeat noise included; NaN for a method without."""
    noise_sd: FloatArray
    """`(n,)` the part of `sd` that is noise of one measurement; 0 where it is not told apart."""

    def __post_init__(self) -> None:
        shapes = {np.shape(self.value), np.shape(self.sd), np.shape(self.noise_sd)}
        if len(shapes) != 1:
            raise ValueError(f"the arrays of {self.quantity.name} must have one shape, not {sorted(shapes)}")

    @classmethod
    def unknown(cls, quantity: Quantity, n: int) -> Estimate:
        """Return what is known of a quantity that was never measured: nothing."""
        nothing = np.full(n, np.nan)
        return cls(quantity=quantity, value=nothing, sd=nothing, noise_sd=np.zeros(n))

    def __len__(self) -> int:
        return len(self.value)

    @property
    def mean_sd(self) -> FloatArray:
        """`(n,)` error bar of the mean of a mode over many repeats."""
        return np.sqrt(np.maximum(self.sd**2 - self.noise_sd**2, 0.0))

    @property
    def is_known(self) -> bool:
        """Whether any mode has a value."""
        return not bool(np.isnan(self.value).all())

    def quantile(self, probability: float, *, of_mean: bool = False) -> FloatArray:
        """Return what the true values stay below with a probability, `(n,)`.

        Without error bars that is `value` at any probability; a value that is NaN stays NaN.

        Args:
            probability: Between 0 and 1.
            of_mean: Whether the truth is the mean of a mode over many repeats, not one new measurement.
        """
        sd = self.mean_sd if of_mean else self.sd
        return quantile(self.value, sd, probability, is_log=self.quantity.is_log)

    def intervals(self) -> tuple[FloatArray, FloatArray]:
        """Return the ends of the central 90 % intervals, `(n,)` each; NaN without error bars."""
        low, high = (self.quantile(p) for p in CENTRAL_90)
        known = ~np.isnan(self.sd)
        return np.where(known, low, np.nan), np.where(known, high, np.nan)

    def interval(self, row: int) -> Interval:
        """Return the value of one mode with the ends of its central 90 % interval."""
        low, high = self.take([row]).intervals()
        return Interval(value=float(self.value[row]), low=float(low[0]), high=float(high[0]))

    def take(self, rows: npt.ArrayLike) -> Estimate:
        """Return the estimates at `rows` (indices or a mask)."""
        index = row_index(rows)
        return Estimate(
            quantity=self.quantity,
            value=self.value[index],
            sd=self.sd[index],
            noise_sd=self.noise_sd[index],
        )


@final
@dataclass(frozen=True, init=False, eq=False, repr=False)
class Prediction(Shown):
    """Every measured quantity of `n` modes with its error bar, and how these errors are correlated.

    A quantity that the predictor was never shown is NaN throughout; a method without error bars has them NaN.
    What follows from the measured quantities (energy, energy-delay product) is worked out here, with
    the correlation: where time is overestimated, power is often underestimated, and their product is
    surer than either suggests.
    """

    estimates: Mapping[str, Estimate]
    """The measured quantities by name (`"time"`)."""
    correlations: Mapping[tuple[str, str], FloatArray]
    """`(n,)` correlation of the errors of the means of two quantities, by their names in alphabetical order;
    a pair that is not there counts as independent."""
    is_measured: bool
    """Whether the values were measured in these very modes, so that nothing is predicted."""

    def __init__(
        self,
        *,
        estimates: Mapping[str, Estimate] | None = None,
        correlations: Mapping[tuple[str, str], FloatArray] | None = None,
        is_measured: bool = False,
        **named: FloatArray,
    ) -> None:
        """Put together what is predicted.

        Args:
            estimates: By name of the quantity.
            correlations: Of pairs of quantities.
            is_measured: Whether the values were measured.
            named: The same as arrays by keyword: `time_ms=`, `time_rel_sd=`, `time_noise_rel_sd=` and so on.

        Raises:
            ValueError: The arrays differ in shape.
            TypeError: A keyword belongs to no quantity.
        """
        given = dict(estimates or {})
        for quantity in quantities.measured():
            if quantity.column in named:
                given[quantity.name] = _named(quantity, named)
        if named:
            raise TypeError(
                f"{min(named)!r} belongs to no quantity: there are {', '.join(quantities.by_column())}"
            )
        lengths = {len(estimate) for estimate in given.values()}
        if len(lengths) != 1:
            raise ValueError(f"the arrays must have one shape, not {sorted(lengths)}")
        n = lengths.pop()
        every = {q.name: given.get(q.name) or Estimate.unknown(q, n) for q in quantities.measured()}
        object.__setattr__(self, "estimates", every)
        object.__setattr__(self, "correlations", dict(correlations or {}))
        object.__setattr__(self, "is_measured", is_measured)

    @classmethod
    def measured(cls, profiles: ProfileTable) -> Prediction:
        """Take profiles at their word: what was measured is "predicted" for the modes that were measured.

        The error bars are the standard errors of the means; NaN where those are not known.
        """
        none = np.zeros(len(profiles))
        estimates = {
            quantity.name: Estimate(
                quantity=quantity,
                value=profiles.columns[quantity.column],
                sd=profiles.se[quantity.column],
                noise_sd=none,
            )
            for quantity in quantities.measured()
        }
        return cls(estimates=estimates, is_measured=True)

    def __len__(self) -> int:
        return len(next(iter(self.estimates.values())))

    def __getitem__(self, rows: slice) -> Prediction:
        return self.take(np.arange(len(self))[rows])

    def _view(self) -> View:
        known = {name: estimate for name, estimate in self.estimates.items() if estimate.is_known}
        what = "measurements" if self.is_measured else "predictions"
        title = f"{what} of {' and '.join(known) or 'nothing'} for {len(self):,} modes"
        columns = {e.quantity.column: e.value for e in known.values()}
        return rows_view(title, columns | {e.quantity.sd_name: e.sd for e in known.values()})

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame: a column for each quantity, with its error bar; needs pandas (`tables`)."""
        known = [estimate for estimate in self.estimates.values() if estimate.is_known]
        columns = {e.quantity.column: e.value for e in known} | {"energy_j": self.energy_j}
        return new_frame(columns | {e.quantity.sd_name: e.sd for e in known})

    def of(self, quantity: Quantity | str) -> Estimate:
        """Return the estimate of a quantity, measured or derived.

        Raises:
            UnknownNameError: There is no quantity of that name.
        """
        found = quantities.find(quantity) if isinstance(quantity, str) else quantity
        return self._derived(found) if found.powers else self.estimates[found.name]

    def correlation(self, first: str, second: str) -> FloatArray:
        """Return the correlation `(n,)` of the errors of the means of two measured quantities."""
        if first == second:
            return np.ones(len(self))
        low, high = sorted((first, second))
        found = self.correlations.get((low, high))
        return np.zeros(len(self)) if found is None else found

    def _derived(self, quantity: Quantity) -> Estimate:
        """Return a product of powers of measured quantities; its relative variance sums their covariances."""
        parts = [(self.estimates[name], power) for name, power in quantity.powers.items()]
        value = np.full(len(self), quantity.factor)
        noise = np.zeros(len(self))
        variance = np.zeros(len(self))
        for part, power in parts:
            value = value * part.value**power
            noise += (power * part.noise_sd) ** 2
            for other, exponent in parts:
                rho = self.correlation(part.quantity.name, other.quantity.name)
                variance += power * exponent * rho * part.mean_sd * other.mean_sd
        sd = np.sqrt(np.maximum(variance, 0.0) + noise)
        return Estimate(quantity=quantity, value=value, sd=sd, noise_sd=np.sqrt(noise))

    @property
    def time_ms(self) -> FloatArray:
        """`(n,)` time of a minibatch [ms]."""
        return self.estimates["time"].value

    @property
    def power_w(self) -> FloatArray:
        """`(n,)` power [W]."""
        return self.estimates["power"].value

    @property
    def energy_j(self) -> FloatArray:
        """`(n,)` energy of one minibatch [J]."""
        return self.of("energy").value

    @property
    def time_rel_sd(self) -> FloatArray:
        """`(n,)` error bar of a new measurement of the time, repeat-to-repeat noise included."""
        return self.estimates["time"].sd

    @property
    def power_rel_sd(self) -> FloatArray:
        """`(n,)` error bar of a new measurement of the power, repeat-to-repeat noise included."""
        return self.estimates["power"].sd

    @property
    def energy_rel_sd(self) -> FloatArray:
        """`(n,)` error bar of the energy, with the correlation of the errors of time and power."""
        return self.of("energy").sd

    def take(self, rows: npt.ArrayLike) -> Prediction:
        """Return the predictions at `rows` (indices or a mask)."""
        index = row_index(rows)
        return Prediction(
            estimates={name: estimate.take(index) for name, estimate in self.estimates.items()},
            correlations={pair: rho[index] for pair, rho in self.correlations.items()},
            is_measured=self.is_measured,
        )


def _named(quantity: Quantity, named: dict[str, FloatArray]) -> Estimate:
    """Take a quantity's arrays out of keywords."""
    value = np.asarray(named.pop(quantity.column), dtype=np.float64)
    sd = named.pop(quantity.sd_name, None)
    noise = named.pop(quantity.noise_name, None)
    return Estimate(
        quantity=quantity,
        value=value,
        sd=np.full(value.shape, np.nan) if sd is None else np.asarray(sd, dtype=np.float64),
        noise_sd=np.zeros(value.shape) if noise is None else np.asarray(noise, dtype=np.float64),
    )
