"""Choices under power limits, scored against the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from powertrain.errors import NoFeasibleModeError
from powertrain.evaluation._rows import Case, ChoiceRow
from powertrain.evaluation._scores import excess_w, time_penalty
from powertrain.optimisation import choose
from powertrain.records import FloatArray, ModeTable, Prediction, ProfileTable

__all__ = ["MAXIMUM", "OBSERVED", "Chooser", "by_maximum", "by_observed", "by_prediction", "score_choices"]

OBSERVED, MAXIMUM = "observed", "maximum"
"""Baselines: the best of the modes that were profiled, and the mode with every knob at its largest."""

Chooser = Callable[[float], "int | None"]
"""Takes a power limit [W] and returns the row of the chosen mode, None where no mode is found."""


def by_prediction(prediction: Prediction, modes: ModeTable, *, risk: float) -> Chooser:
    """Choose the fastest mode that is predicted to keep the limit."""

    def chosen(limit_w: float) -> int | None:
        try:
            return choose(prediction, modes, max_power_w=limit_w, risk=risk).index
        except NoFeasibleModeError:
            return None

    return chosen


def by_observed(truth: ProfileTable, profiled: npt.NDArray[np.int64]) -> Chooser:
    """Choose the fastest of the profiled modes that was measured to keep the limit; of equals, the first."""
    rows = np.sort(profiled)
    time_ms, power_w = truth.time_ms[rows], truth.power_w[rows]

    def chosen(limit_w: float) -> int | None:
        keeps = np.isfinite(time_ms) & (power_w <= limit_w)
        if not keeps.any():
            return None
        return int(rows[np.argmin(np.where(keeps, time_ms, np.inf))])

    return chosen


def by_maximum(modes: ModeTable) -> Chooser:
    """Choose the mode with every knob at its largest, whatever the limit.

    If that mode is not in the table, take the one whose knobs have the highest sum of ranks; of equals, the
    first.
    """
    # Ranks and not values: a gigahertz more of a clock must not outweigh a core.
    ranks = np.zeros(len(modes))
    for column in modes.values.T:
        levels, rank = np.unique(column, return_inverse=True)
        ranks += rank / max(len(levels) - 1, 1)
    largest = int(np.argmax(ranks))
    return lambda limit_w: largest


def score_choices(
    chooser: Chooser,
    truth: ProfileTable,
    limits_w: FloatArray,
    *,
    method: str,
    case: Case,
    risk: float = float("nan"),
) -> list[ChoiceRow]:
    """Let a method choose under each limit and compare with the best mode in truth.

    `truth` has time and power of every mode, and at least one of them keeps each limit.
    """
    rows: list[ChoiceRow] = []
    for limit_w in map(float, limits_w):
        best_time_ms = float(truth.time_ms[truth.power_w <= limit_w].min())
        nothing = ChoiceRow(
            method=method, case=case, risk=risk, limit_w=limit_w, feasible=False, best_time_ms=best_time_ms
        )
        row = chooser(limit_w)
        rows.append(nothing if row is None else _scored(nothing, truth, row))
    return rows


def _scored(nothing: ChoiceRow, truth: ProfileTable, row: int) -> ChoiceRow:
    time_ms, power_w = float(truth.time_ms[row]), float(truth.power_w[row])
    excess = excess_w(power_w=power_w, limit_w=nothing.limit_w)
    return replace(
        nothing,
        feasible=True,
        mode=truth.modes[row],
        time_ms=time_ms,
        power_w=power_w,
        time_penalty_pct=time_penalty(time_ms=time_ms, best_time_ms=nothing.best_time_ms),
        excess_w=excess,
        excess_pct=100.0 * excess / nothing.limit_w,
    )
