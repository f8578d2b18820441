"""Predictions row by row, with the ends of their intervals, for tables and JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

from powertrain import quantities
from powertrain.quantities import Quantity
from powertrain.records import Interval, ModeTable, PowerMode, Prediction

__all__ = ["PredictedMode", "predicted_modes", "shown_quantities"]


@final
@dataclass(frozen=True, kw_only=True)
class PredictedMode:
    """What is predicted for one mode; interval ends are NaN for a method without error bars."""

    mode: PowerMode
    values: Mapping[str, Interval]
    """By column: `"time_ms"`, `"power_w"`, `"energy_j"` of one minibatch, and whatever else was learned."""


def shown_quantities() -> tuple[Quantity, ...]:
    """Return the quantities that tables of predictions show: the measured ones, and energy."""
    return tuple(q for q in (*quantities.measured(), *quantities.derived()) if not q.powers or q.limitable)


def predicted_modes(modes: ModeTable, prediction: Prediction) -> Iterator[PredictedMode]:
    """Pair each of the modes with its prediction."""
    columns = {q.column: prediction.of(q) for q in shown_quantities()}
    ends = {column: (e.value, *e.intervals()) for column, e in columns.items()}
    for row, mode in enumerate(modes):
        values = {
            column: Interval(value=float(value[row]), low=float(low[row]), high=float(high[row]))
            for column, (value, low, high) in ends.items()
        }
        yield PredictedMode(mode=mode, values=values)
