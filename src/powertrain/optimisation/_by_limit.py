"""The choice at every limit at once: what a limit that is dragged along needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from powertrain.optimisation._choose import Objective, goal_values
from powertrain.optimisation._limits import bounds, feasible_mask
from powertrain.quantities import LARGEST
from powertrain.records import FloatArray, Limits, Prediction

__all__ = ["Steps", "best_by_power"]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Steps:
    """Which mode is chosen from which power limit on, `(k,)` each, by rising limit."""

    limits_w: FloatArray
    """The lowest limit [W] at which the mode of the same place in `rows` is chosen."""
    rows: npt.NDArray[np.int64]
    """Rows of the prediction."""

    def row_at(self, limit_w: float) -> int | None:
        """Return the row that is chosen under a limit [W]; None where no mode keeps it."""
        place = int(np.searchsorted(self.limits_w, limit_w, side="right")) - 1
        return int(self.rows[place]) if place >= 0 else None


def best_by_power(
    prediction: Prediction, *, objective: Objective = "time", risk: float = 0.05, others: Limits | None = None
) -> Steps:
    """Return what `choose` chooses under every power limit, in O(n log n) altogether.

    Args:
        prediction: Of n modes.
        objective: What to minimise.
        risk: As for `choose`.
        others: Further limits to keep; its power limit plays no part.

    Raises:
        DataError: The objective or the power was never measured.
        ValueError: The risk is not between 0 and 1.
    """
    value = goal_values(prediction, objective)
    upper_w = bounds(prediction, Limits(max_power_w=LARGEST), risk=risk)["max_power_w"]
    kept = feasible_mask(prediction, _without_power(others), risk=risk)
    rows = np.flatnonzero(np.isfinite(value) & np.isfinite(upper_w) & kept)
    if not rows.size:
        return Steps(limits_w=np.empty(0), rows=np.empty(0, dtype=np.int64))
    # A stable order of the objective is the order in which `choose` prefers modes: the first of equals.
    rank = np.empty(rows.size, dtype=np.int64)
    preferred = np.argsort(value[rows], kind="stable")
    rank[preferred] = np.arange(rows.size)
    by_power = np.argsort(upper_w[rows], kind="stable")
    limits_w, best = upper_w[rows][by_power], np.minimum.accumulate(rank[by_power])
    # Modes with the same bound are kept together, so only the last of them says what is chosen there.
    last = np.append(limits_w[1:] != limits_w[:-1], True)
    limits_w, best = limits_w[last], best[last]
    changes = np.append(True, best[1:] != best[:-1])
    return Steps(limits_w=limits_w[changes], rows=rows[preferred[best[changes]]])


def _without_power(limits: Limits | None) -> Limits:
    kept = {} if limits is None else limits.active()
    return Limits(**{name: limit for name, limit in kept.items() if name != "max_power_w"})
