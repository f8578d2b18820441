"""The best mode under limits, and the front of all modes, from one prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from powertrain import quantities
from powertrain.errors import NoFeasibleModeError
from powertrain.optimisation._limits import bounds, keeps, limited_by, value_of
from powertrain.optimisation._pareto import pareto_front
from powertrain.quantities import QUANTITIES, Quantity
from powertrain.records import Choice, FloatArray, Limits, ModeTable, Prediction
from powertrain.wording import counted

__all__ = ["COSTS", "OBJECTIVES", "Cost", "Objective", "choose", "front_of", "goal_values"]

BoolArray = npt.NDArray[np.bool_]
Objective = Literal["time", "energy", "power", "edp"]
Cost = Literal["time", "energy", "power", "edp"]

OBJECTIVES: tuple[str, ...] = tuple(QUANTITIES)
"""What `choose` can minimise: `time` [ms], `energy` [J], `power` [W], `edp` (energy x time) [J s]."""
COSTS: tuple[str, ...] = tuple(QUANTITIES)
"""What `front_of` can weigh against each other."""


def choose(
    prediction: Prediction,
    modes: ModeTable,
    *,
    objective: Objective = "time",
    max_power_w: float = math.inf,
    max_time_ms: float = math.inf,
    max_energy_j: float = math.inf,
    risk: float = 0.05,
    **more_limits: float,
) -> Choice:
    """Return the mode with the lowest predicted objective among those that keep the limits.

    A mode keeps a limit when the upper quantile of its prediction at `1 - risk` does; `risk` 0.5 takes the
    point prediction at its word. If several modes have the lowest objective, the first of them is chosen.
    Modes whose objective is NaN are left out. Energy, and its limit, are of one minibatch.

    Args:
        prediction: Of all `modes`, in their order.
        modes: What to choose from.
        objective: What to minimise.
        max_power_w: Highest mean power [W]; infinity, as for the others, means no limit.
        max_time_ms: Longest minibatch [ms].
        max_energy_j: Highest energy of a minibatch [J].
        risk: Accepted probability, for each limit by itself, that a mode's true value exceeds it.
        more_limits: Limits on further quantities, by `max_` and their column.

    Raises:
        NoFeasibleModeError: when no mode keeps the limits; names the nearest and by how much it misses.
        DataError: when objective or limits need a quantity that the predictor never saw.
        ValueError: for an unknown objective, a limit or risk out of range, or lengths that differ.
    """
    if len(prediction) != len(modes):
        raise ValueError(f"{len(prediction)} predictions for {len(modes)} modes: give one of each mode")
    if not len(modes):
        raise NoFeasibleModeError("there are no modes to choose from: give at least one")
    limits = Limits(
        max_power_w=max_power_w, max_time_ms=max_time_ms, max_energy_j=max_energy_j, **more_limits
    )
    goal = _quantity(objective, kind="objective")
    value = goal_values(prediction, objective)
    upper = bounds(prediction, limits, risk=risk)
    candidates = keeps(upper, limits, n_modes=len(modes)) & np.isfinite(value)
    if not candidates.any():
        known = np.isfinite(value)
        raise NoFeasibleModeError(_nearest_miss(upper, limits, modes, known=known, risk=risk))
    # The second best is for whoever finds that the best does not work on the board at hand.
    best, second = _lowest_two(np.where(candidates, value, np.inf))
    kept = int(np.count_nonzero(candidates))
    return Choice(
        mode=modes[best],
        index=best,
        **_intervals(prediction, best),
        objective=objective,
        limits=limits,
        risk=risk,
        why=_why(goal, limits, kept=kept, prediction=prediction, risk=risk),
        next_best=None if second is None else modes[second],
        extra={"modes": len(modes), "modes_within_limits": kept},
    )


def goal_values(prediction: Prediction, objective: Objective) -> FloatArray:
    """Return the `(n,)` values of an objective; errors as for `choose`."""
    goal = _quantity(objective, kind="objective")
    return value_of(prediction, goal, asked=f"objective {objective}")


def _intervals(prediction: Prediction, row: int) -> dict[str, Any]:
    """Return what is predicted for one mode as fields of a choice."""
    one = prediction.take([row])
    found = {q.column: one.of(q).interval(0) for q in QUANTITIES.values()}
    named = {column: found.pop(column) for column in ("time_ms", "power_w", "energy_j")}
    others = {q.column: found[q.column] for q in quantities.measured() if q.column in found}
    return {**named, "others": others}


def front_of(prediction: Prediction, *, costs: Sequence[Cost] = ("time", "power")) -> npt.NDArray[np.intp]:
    """Return the indices of the predicted Pareto-optimal modes, by rising first cost.

    A mode is on the front when no other mode is at most as high in all `costs` and lower in one. If several
    modes have equal costs, the first of them is kept. Modes with NaN in a cost are left out. Error bars
    play no part.

    Raises:
        DataError: when a cost needs a quantity that the predictor never saw.
        ValueError: for an unknown cost, or none.
    """
    if not costs:
        raise ValueError(f"a front needs at least one cost of {', '.join(COSTS)}")
    quantities = [_quantity(name, kind="cost") for name in costs]
    columns = [value_of(prediction, q, asked=f"a front of {q.name}") for q in quantities]
    return pareto_front(np.column_stack(columns))


def _quantity(name: str, *, kind: str) -> Quantity:
    if name not in QUANTITIES:
        raise ValueError(f"unknown {kind} {name!r}: give one of {', '.join(QUANTITIES)}")
    return QUANTITIES[name]


def _lowest_two(scores: FloatArray) -> tuple[int, int | None]:
    """Return the rows of the lowest and the second lowest score; infinity marks a row that is out."""
    best = int(scores.argmin())  # the first of equals
    others = scores.copy()
    others[best] = np.inf
    second = int(others.argmin())
    return best, second if np.isfinite(others[second]) else None


def _why(goal: Quantity, limits: Limits, *, kept: int, prediction: Prediction, risk: float) -> str:
    known, noun = ("measured", "measured mode") if prediction.is_measured else ("predicted", "mode")
    best = f"the lowest {known} {goal.title if goal.powers and not goal.limitable else goal.name}"
    among = counted(len(prediction), noun)
    if not limits.active():
        return f"No limit was set, and of {among} this one has {best}."
    certainty = f"by the point {'measurement' if prediction.is_measured else 'prediction'}"
    if risk != 0.5:
        certainty = f"with probability {1 - risk:.4g}"
    kept_by = f"{kept:,} of {among} {'keeps' if kept == 1 else 'keep'}"
    has = "it has" if kept == 1 else "of these this one has"
    return f"{kept_by} {_asked(limits)} {certainty}, and {has} {best}."


def _asked(limits: Limits) -> str:
    return " and ".join(f"{q.name} <= {limit:.6g} {q.unit}" for q, limit in limits.by_quantity().items())


def _nearest_miss(
    upper: Mapping[str, FloatArray], limits: Limits, modes: ModeTable, *, known: BoolArray, risk: float
) -> str:
    """Name the one of the `known` modes whose worst excess in per cent is least, and all its excesses."""
    asked = limits.active()
    # Watts, milliseconds and joules cannot be compared, but their shares of the limits can.
    worst = np.where(known, 1.0, np.inf)
    for name, bound in upper.items():
        worst = np.maximum(worst, np.where(np.isnan(bound), np.inf, bound / asked[name]))
    nearest = int(worst.argmin())
    if not np.isfinite(worst[nearest]):
        among = counted(len(modes), "mode")
        return f"none of {among} has a finite prediction of all that was asked: profile more modes"
    misses = [
        f"{limited_by(name).name} by {_number(bound[nearest] - asked[name])} {limited_by(name).unit} "
        f"({_number(100 * (bound[nearest] / asked[name] - 1))} %)"
        for name, bound in upper.items()
        if bound[nearest] > asked[name]
    ]
    return (
        f"none of {counted(len(modes), 'mode')} keeps {_asked(limits)} at risk {risk:.4g}: "
        f"the nearest, {modes[nearest]}, misses {' and '.join(misses)}; "
        f"raise the limit{'s' if len(asked) > 1 else ''} or the risk"
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1e4 else f"{value:.3g}" if value < 1e3 else f"{value:.0f}"
