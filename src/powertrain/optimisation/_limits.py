"""Limits on uncertain quantities: a limit holds when the upper quantile of the prediction holds it.

The quantities that can be limited or minimised are time, power, energy (power x time of one minibatch) and
the energy-delay product (energy x time). Each is log-normal around its predicted value, so that its
quantile at `1 - risk` is `value * exp(z * rel_sd)` with z the standard normal quantile. A limit is about the
mean of a mode over many repeats; intervals are about one new measurement, and so a little wider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from powertrain.errors import DataError
from powertrain.intervals import central_interval, quantile
from powertrain.records import FloatArray, Interval, Limits, Prediction
from powertrain.units import s_from_ms

__all__ = [
    "ENERGY",
    "LIMITED",
    "POWER",
    "QUANTITIES",
    "TIME",
    "Quantity",
    "bounds",
    "check_risk",
    "feasible_mask",
    "interval",
    "keeps",
    "measured",
    "upper_quantile",
]

BoolArray = npt.NDArray[np.bool_]


@final
@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Something that is predicted for every mode and may be limited or minimised."""

    name: str
    unit: str
    needs: tuple[str, ...]
    """What must have been measured: "time", "power" or both."""
    value: Callable[[Prediction], FloatArray]
    rel_sd: Callable[[Prediction], FloatArray]
    """Error bar of a new measurement."""
    mean_rel_sd: Callable[[Prediction], FloatArray]
    """Error bar of the mean over many repeats, without the noise of one measurement."""


def _energy_mean_rel_sd(prediction: Prediction) -> FloatArray:
    return np.hypot(prediction.time_mean_rel_sd, prediction.power_mean_rel_sd)


def _edp(prediction: Prediction) -> FloatArray:
    return prediction.energy_j * s_from_ms(prediction.time_ms)


# The product is power x time x time: the error of the time counts twice.
def _edp_rel_sd(prediction: Prediction) -> FloatArray:
    return np.hypot(2 * prediction.time_rel_sd, prediction.power_rel_sd)


def _edp_mean_rel_sd(prediction: Prediction) -> FloatArray:
    return np.hypot(2 * prediction.time_mean_rel_sd, prediction.power_mean_rel_sd)


TIME = Quantity(
    name="time",
    unit="ms",
    needs=("time",),
    value=lambda p: p.time_ms,
    rel_sd=lambda p: p.time_rel_sd,
    mean_rel_sd=lambda p: p.time_mean_rel_sd,
)
POWER = Quantity(
    name="power",
    unit="W",
    needs=("power",),
    value=lambda p: p.power_w,
    rel_sd=lambda p: p.power_rel_sd,
    mean_rel_sd=lambda p: p.power_mean_rel_sd,
)
ENERGY = Quantity(
    name="energy",
    unit="J",
    needs=("time", "power"),
    value=lambda p: p.energy_j,
    rel_sd=lambda p: p.energy_rel_sd,
    mean_rel_sd=_energy_mean_rel_sd,
)
EDP = Quantity(
    name="edp",
    unit="J s",
    needs=("time", "power"),
    value=_edp,
    rel_sd=_edp_rel_sd,
    mean_rel_sd=_edp_mean_rel_sd,
)

QUANTITIES: Mapping[str, Quantity] = {q.name: q for q in (TIME, ENERGY, POWER, EDP)}
"""Everything that can be an objective or a cost, by name."""

LIMITED: Mapping[str, Quantity] = {
    "max_power_w": POWER,
    "max_time_ms": TIME,
    "max_energy_j": ENERGY,
}
"""The quantity that each limit bounds."""


def upper_quantile(value: FloatArray, rel_sd: FloatArray, *, risk: float) -> FloatArray:
    """Return what the true values `(n,)` stay below with probability `1 - risk`.

    A `rel_sd` of NaN (a method without error bars) counts as 0. A NaN value stays NaN.

    Raises:
        ValueError: when `risk` is not between 0 and 1, both excluded.
    """
    check_risk(risk)
    return quantile(value, rel_sd, 1 - risk)


def check_risk(risk: float) -> None:
    """Refuse a `risk` outside of 0 to 1 with a `ValueError`; 0 and 1 themselves are outside."""
    if not 0 < risk < 1:
        raise ValueError(f"risk is {risk!r}: give a number between 0 and 1; 0.5 is the point prediction")


def interval(prediction: Prediction, quantity: Quantity, row: int) -> Interval:
    """Return the prediction of the mode at `row` with its central 90 % interval.

    The ends are NaN for a method without error bars, and all three for a quantity that was not measured.
    """
    one = prediction.take([row])
    return central_interval(quantity.value(one), quantity.rel_sd(one), 0)


def measured(prediction: Prediction, quantity: Quantity, *, asked: str) -> FloatArray:
    """Return the `(n_modes,)` values of a quantity that `asked` ("a power limit") needs.

    Raises:
        DataError: when the predictor never saw that quantity, so that the prediction is NaN throughout.
    """
    seen = [q.name for q in (TIME, POWER) if not np.isnan(q.value(prediction)).all()]
    missing = [name for name in quantity.needs if name not in seen]
    if missing and len(prediction):
        has = f"only {seen[0]}" if seen else "neither time nor power"
        raise DataError(
            f"{asked} was asked, but the predictor has {has}: profile {' and '.join(missing)}, "
            "or ask for something else"
        )
    return quantity.value(prediction)


def bounds(prediction: Prediction, limits: Limits, *, risk: float) -> dict[str, FloatArray]:
    """Return, for each limit that is set, the upper quantile `(n_modes,)` of what it bounds.

    Raises:
        DataError: when a limit is on a quantity that the predictor never saw.
        ValueError: when `risk` is not between 0 and 1.
    """
    check_risk(risk)
    found: dict[str, FloatArray] = {}
    for name in limits.active():
        quantity = LIMITED[name]
        article = "an" if quantity is ENERGY else "a"
        value = measured(prediction, quantity, asked=f"{article} {quantity.name} limit")
        found[name] = upper_quantile(value, quantity.mean_rel_sd(prediction), risk=risk)
    return found


def feasible_mask(prediction: Prediction, limits: Limits, *, risk: float = 0.05) -> BoolArray:
    """Mark the modes that keep every limit, each with probability `1 - risk`, as `(n_modes,)` booleans.

    A mode keeps a limit when the upper quantile equals it or is below. Where the prediction is NaN no limit
    is kept. Without limits all modes are marked.

    Raises:
        DataError: when a limit is on a quantity that the predictor never saw.
        ValueError: when `risk` is not between 0 and 1.
    """
    return keeps(bounds(prediction, limits, risk=risk), limits, n_modes=len(prediction))


def keeps(bounds: Mapping[str, FloatArray], limits: Limits, *, n_modes: int) -> BoolArray:
    """Mark the modes all of whose `bounds` keep their limit."""
    mask = np.ones(n_modes, dtype=np.bool_)
    for name, limit in limits.active().items():
        mask &= bounds[name] <= limit
    return mask
