"""Predicted fronts: the few modes of a board that are worth choosing, and what a minibatch costs in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from powertrain.errors import DataError
from powertrain.optimisation import pareto_front
from powertrain.records import FloatArray, ModeTable, Prediction
from powertrain.units import energy_j

__all__ = ["MOST_MODES", "Front", "Fronts"]

MOST_MODES = 32
"""Of a front that is sent around. Their times are 10 % apart if the slowest is 20 times the fastest."""
MOST_SLOWDOWN = 4.0
"""How much longer than the fastest a mode may take. Predictors err most in the slowest modes of a board."""
CAUTIOUS_SD = 3.0
"""Error bars by which a time counts as longer. A round is as late as the last of many boards."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Front:
    """The modes of one board that trade time for energy, fastest first; each column is `(n_modes,)`.

    These numbers say what a minibatch costs. They tell nothing of the data that is trained on.
    """

    modes: ModeTable
    time_ms: FloatArray
    """Of a minibatch."""
    energy_j: FloatArray
    """Of a minibatch; NaN: not known."""
    time_rel_sd: FloatArray
    energy_rel_sd: FloatArray
    idle_power_w: float = 0.0
    """That the board draws anyway while it waits for the others."""

    def __post_init__(self) -> None:
        columns = (self.time_ms, self.energy_j, self.time_rel_sd, self.energy_rel_sd)
        lengths = {len(self.modes), *(len(column) for column in columns)}
        if len(lengths) != 1:
            raise ValueError(f"a front has one number of each kind for each mode, not {sorted(lengths)}")
        if not (np.isfinite(self.time_ms) & (self.time_ms > 0)).all():
            raise ValueError("a front needs the time of a minibatch in each mode: give numbers above 0")

    def __len__(self) -> int:
        return len(self.modes)

    @classmethod
    def of(
        cls,
        prediction: Prediction,
        modes: ModeTable,
        *,
        idle_power_w: float = 0.0,
        most: int = MOST_MODES,
    ) -> Front:
        """Take the front of time and energy from a prediction, thinned to so many modes.

        A time counts with `CAUTIOUS_SD` error bars. Modes that take more than `MOST_SLOWDOWN` times as long
        as the fastest are left out. Of the others, those about evenly apart in the logarithm of the time are
        kept, among them the fastest and the one with the least energy.

        Args:
            prediction: Of all `modes`, in their order.
            modes: What can be set.
            idle_power_w: Power that the board draws anyway while it waits for the others. Modes are compared
                by what they draw above it, which may be less than nothing.
            most: Modes to keep.

        Raises:
            DataError: The prediction lacks time or power, or is finite in no mode.
            ValueError: `most` is less than 1, or the lengths differ.
        """
        if most < 1 or len(prediction) != len(modes):
            raise ValueError(
                f"most={most} modes of {len(modes)} with {len(prediction)} predictions: "
                "keep at least one, and give a prediction of each"
            )
        time_sd, power_sd = (np.nan_to_num(sd) for sd in (prediction.time_rel_sd, prediction.power_rel_sd))
        time_ms, power_w = prediction.time_ms, prediction.power_w
        with np.errstate(over="ignore"):
            late_ms = time_ms * np.exp(CAUTIOUS_SD * time_sd)
        known = np.flatnonzero(np.isfinite(late_ms) & np.isfinite(power_w) & (time_ms > 0))
        if not len(known):
            raise DataError("no mode has a predicted time and power: profile more modes")
        known = known[late_ms[known] <= MOST_SLOWDOWN * late_ms[known].min()]
        above_j = energy_j(power_w=power_w[known] - idle_power_w, time_ms=time_ms[known])
        rows = known[pareto_front(np.column_stack([late_ms[known], above_j]))]
        kept = rows[_spread(late_ms[rows], most)]
        return cls(
            modes=modes.take(kept),
            time_ms=prediction.time_ms[kept],
            energy_j=energy_j(power_w=power_w[kept], time_ms=time_ms[kept]),
            time_rel_sd=time_sd[kept],
            energy_rel_sd=np.hypot(time_sd, power_sd)[kept],
            idle_power_w=idle_power_w,
        )


def _spread(times: FloatArray, most: int) -> list[int]:
    """Return which of some rising times to keep, so that they are about evenly apart in the logarithm."""
    if len(times) <= most:
        return list(range(len(times)))
    log_times = np.log(times)
    first, last = float(log_times[0]), float(log_times[-1])
    wanted = first + (last - first) * np.arange(most) / max(most - 1, 1)
    # The latest at or before each wanted time has the least energy of those. The slack is for rounding.
    return np.unique(np.searchsorted(log_times, wanted + 1e-12, side="right") - 1).tolist()


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Fronts:
    """Fronts as arrays `(n_fronts, n_modes)`; a front with fewer modes ends in NaN times."""

    time_ms: FloatArray
    energy_j: FloatArray
    time_rel_sd: FloatArray
    energy_rel_sd: FloatArray
    idle_power_w: FloatArray
    """`(n_fronts,)` that the board draws anyway while it waits."""

    def __post_init__(self) -> None:
        shapes = {np.shape(c) for c in (self.time_ms, self.energy_j, self.time_rel_sd, self.energy_rel_sd)}
        if len(shapes) != 1 or len(next(iter(shapes))) != 2:
            raise ValueError(f"fronts are arrays of one shape, (fronts, modes), not {sorted(shapes)}")

    def __len__(self) -> int:
        return len(self.time_ms)

    @classmethod
    def of(cls, fronts: Sequence[Front]) -> Fronts:
        """Stack some fronts."""
        width = max((len(front) for front in fronts), default=0)
        columns = np.full((4, len(fronts), width), np.nan)
        for row, front in enumerate(fronts):
            own = (front.time_ms, front.energy_j, front.time_rel_sd, front.energy_rel_sd)
            columns[:, row, : len(front)] = own
        time_ms, joules, time_sd, energy_sd = columns
        return cls(
            time_ms=time_ms,
            energy_j=joules,
            time_rel_sd=time_sd,
            energy_rel_sd=energy_sd,
            idle_power_w=np.array([front.idle_power_w for front in fronts]),
        )
