"""Limits on uncertain quantities: a limit holds when the upper quantile of the prediction holds it.

A limit is about the mean of a mode over many repeats; intervals are about one new measurement, and so a
little wider.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from powertrain import quantities
from powertrain.errors import DataError
from powertrain.quantities import Quantity
from powertrain.records import FloatArray, Limits, Prediction, check_risk, quantile

__all__ = ["bounds", "feasible_mask", "keeps", "limited_by", "upper_quantile", "value_of"]

BoolArray = npt.NDArray[np.bool_]


def upper_quantile(value: FloatArray, rel_sd: FloatArray, *, risk: float) -> FloatArray:
    """Return what the true values `(n,)` stay below with probability `1 - risk`.

    A `rel_sd` of NaN (a method without error bars) counts as 0. A NaN value stays NaN.

    Raises:
        ValueError: when `risk` is not between 0 and 1, both excluded.
    """
    check_risk(risk)
    return quantile(value, rel_sd, 1 - risk)


def value_of(prediction: Prediction, quantity: Quantity, *, asked: str) -> FloatArray:
    """Return the `(n_modes,)` values of a quantity that `asked` ("a power limit") needs.

    Raises:
        DataError: when the predictor never saw that quantity, so that the prediction is NaN throughout.
    """
    seen = [name for name, estimate in prediction.estimates.items() if estimate.is_known]
    missing = [name for name in quantity.needs if name not in seen]
    if missing and len(prediction):
        has = f"only {' and '.join(seen)}" if seen else "neither time nor power"
        source = "the profiles have" if prediction.is_measured else "the predictor has"
        raise DataError(
            f"{asked} was asked, but {source} {has}: profile {' and '.join(missing)}, "
            "or ask for something else"
        )
    return prediction.of(quantity).value


def bounds(prediction: Prediction, limits: Limits, *, risk: float) -> dict[str, FloatArray]:
    """Return, for each limit that is set, the upper quantile `(n_modes,)` of what it bounds.

    Raises:
        DataError: when a limit is on a quantity that the predictor never saw.
        ValueError: when `risk` is not between 0 and 1.
    """
    check_risk(risk)
    found: dict[str, FloatArray] = {}
    for quantity in limits.by_quantity():
        article = "an" if quantity.name[0] in "aeio" else "a"
        value_of(prediction, quantity, asked=f"{article} {quantity.name} limit")
        found[quantity.limit_name] = prediction.of(quantity).quantile(1 - risk, of_mean=True)
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


def limited_by(name: str) -> Quantity:
    """Return the quantity that a limit bounds."""
    return next(q for q in quantities.limited() if q.limit_name == name)
