"""Predictions row by row, with the ends of their intervals, for tables and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from powertrain.intervals import central_intervals
from powertrain.records import FloatArray, Interval, ModeTable, PowerMode, Prediction

__all__ = ["PredictedMode", "predicted_modes"]


@final
@dataclass(frozen=True, kw_only=True)
class PredictedMode:
    """What is predicted for one mode; interval ends are NaN for a method without error bars."""

    mode: PowerMode
    time_ms: Interval
    power_w: Interval
    energy_j: Interval
    """Energy of one minibatch [J]."""


def predicted_modes(modes: ModeTable, prediction: Prediction) -> Iterator[PredictedMode]:
    """Pair each of the modes with its prediction; a row costs as much as some hundred predictions."""
    quantities = zip(
        modes,
        _intervals(prediction.time_ms, prediction.time_rel_sd),
        _intervals(prediction.power_w, prediction.power_rel_sd),
        _intervals(prediction.energy_j, prediction.energy_rel_sd),
        strict=True,
    )
    for mode, time_ms, power_w, energy_j in quantities:
        yield PredictedMode(mode=mode, time_ms=time_ms, power_w=power_w, energy_j=energy_j)


def _intervals(values: FloatArray, rel_sd: FloatArray) -> Iterator[Interval]:
    for value, low, high in zip(values, *central_intervals(values, rel_sd), strict=True):
        yield Interval(value=float(value), low=float(low), high=float(high))
