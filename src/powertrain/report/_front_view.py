"""The interactive front: every mode to look at, a power limit to drag, and the mode chosen under it.

This module gathers the numbers; `assets/front.js` draws them. Which mode is chosen under which limit is
worked out here, so the page decides nothing by itself.
"""

from __future__ import annotations

import base64
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast, final

import numpy as np
import numpy.typing as npt

from powertrain.errors import DataError
from powertrain.optimisation import Objective, Steps, best_by_power, pareto_front
from powertrain.quantities import QUANTITIES
from powertrain.records import Choice, FloatArray, Limits, ModeTable, Prediction, ProfileTable
from powertrain.report._plot_data import Points, front_plot
from powertrain.report._tables import Cell, Column, Table
from powertrain.wording import counted

__all__ = ["FrontView", "Goal", "Marks", "apply_words", "front_json", "front_tables", "front_view"]

MOST_MODES = 40_000
"""Modes that are drawn. Of a larger space some are left out, never one of the front and never a choice."""
MOST_MEASURED = 2_000
LIMITS_IN_TABLE = 14
MEASURED_IN_TABLE = 60
STEPS_OF_SLIDER = 400
FINEST_STEP = 800  # parts of the highest limit: nobody sets watts more exactly


@final
@dataclass(frozen=True, kw_only=True)
class Goal:
    """What is chosen under a power limit that is dragged along."""

    objective: Objective = "time"
    limits: Limits | None = None
    """Where the power limit stands at first (None: in the middle), and further limits, always kept."""
    risk: float = 0.05
    """Accepted probability that the chosen mode exceeds a limit."""

    @classmethod
    def of(cls, choice: Choice) -> Goal:
        """Return the goal that a choice was made with."""
        return cls(objective=cast("Objective", choice.objective), limits=choice.limits, risk=choice.risk)

    @property
    def sought(self) -> str:
        """What the chosen mode is, as in "fastest mode"."""
        return "fastest mode" if self.objective == "time" else f"mode of the least {self._title}"

    @property
    def others(self) -> str:
        """The further limits in words; empty for none."""
        found = {} if self.limits is None else self.limits.by_quantity()
        kept = [f"{q.name} <= {most:.6g} {q.unit}" for q, most in found.items() if q.name != "power"]
        return " and ".join(kept)

    @property
    def _title(self) -> str:
        return QUANTITIES[self.objective].title


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Marks:
    """What to mark among the modes."""

    measured: ProfileTable | None = None
    """The profiles behind a prediction."""
    truth: ProfileTable | None = None
    """The true time and power of any modes, where they are known."""
    named: Mapping[str, Points] = field(default_factory=dict[str, Points])
    """Modes with a name, one point each."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class FrontView:
    """The trade between time and power of one workload, to be explored.

    `front_view` makes one. Rows count in `modes` and `prediction`.
    """

    title: str
    modes: ModeTable
    """`(n, n_knobs)`, each with a time and a power."""
    prediction: Prediction
    """`(n,)`"""
    total: int
    """Number of modes before some were left out."""
    front: npt.NDArray[np.int64]
    """Rows of the front, by rising time."""
    steps: Steps
    """Rows chosen, by limit."""
    goal: Goal
    limit_w: float
    """Where the limit stands at first [W]."""
    marks: Marks
    truth: Points
    """The true time and power of every mode, `(n,)`; no points where they are not known."""
    true_front: Points
    device: str = ""
    """What opens the device for `powertrain apply`; empty where it cannot be opened here."""

    @property
    def basis(self) -> str:
        """What the values are."""
        return "measured" if self.prediction.is_measured else "predicted"

    @property
    def ends_w(self) -> tuple[float, float, float]:
        """Where the limit may be set [W]: from, to, and the step."""
        power_w, limits_w = self.prediction.power_w, self.steps.limits_w
        low = 0.97 * float(limits_w[0] if limits_w.size else power_w.min())
        high = float(np.max(limits_w, initial=power_w.max()))
        low, high = min(low, self.limit_w), max(high, self.limit_w)
        step = _round_step(max((high - low) / STEPS_OF_SLIDER, high / FINEST_STEP))
        return math.floor(low / step) * step, math.ceil(high / step) * step, step


def front_view(
    prediction: Prediction,
    modes: ModeTable,
    *,
    title: str,
    goal: Goal | None = None,
    marks: Marks | None = None,
    device: str = "",
) -> FrontView:
    """Gather what the interactive front shows.

    Args:
        prediction: `(n,)` predictions of `modes`; modes without a time or a power are left out.
        modes: `(n, n_knobs)` modes to choose from.
        title: Workload and device, the latter with "(simulated)" when it is.
        goal: What is chosen.
        marks: What to mark among the modes.
        device: What opens the device, for the command that applies a mode.

    Raises:
        DataError: No mode has both a time and a power.
    """
    known = np.flatnonzero(np.isfinite(prediction.time_ms) & np.isfinite(prediction.power_w))
    if not known.size:
        raise DataError("a front of time and power needs predictions of both, and one is missing")
    goal, marks = goal or Goal(), marks or Marks()
    true_front = front_plot(prediction, modes, title="", truth=marks.truth).true_front
    true_rows = _true_rows(marks.truth, modes)
    prediction, modes = prediction.take(known), modes.take(known)
    front = pareto_front(np.column_stack([prediction.time_ms, prediction.power_w]))
    steps = best_by_power(prediction, objective=goal.objective, risk=goal.risk, others=goal.limits)
    kept = _drawn(len(known), front, steps)
    return FrontView(
        title=title,
        modes=modes.take(kept),
        prediction=prediction.take(kept),
        total=len(known),
        front=np.searchsorted(kept, front),
        steps=Steps(limits_w=steps.limits_w, rows=np.searchsorted(kept, steps.rows)),
        goal=goal,
        limit_w=_first_limit(goal, prediction.power_w, front, steps),
        marks=replace(marks, measured=_located(marks.measured)),
        truth=_take(true_rows, known[kept]),
        true_front=true_front,
        device=device,
    )


def _first_limit(goal: Goal, power_w: FloatArray, front: npt.NDArray[np.int64], steps: Steps) -> float:
    """Return where the limit stands at first: as asked, else a round one in the middle of the front."""
    if goal.limits is None:
        return _middle(power_w[front])
    limit_w = goal.limits.max_power_w
    return limit_w if math.isfinite(limit_w) else float(np.max(steps.limits_w, initial=power_w.max()))


def _true_rows(truth: ProfileTable | None, modes: ModeTable) -> Points:
    """Return the truth of each mode if it is a table of the same modes in the same order, else none."""
    if truth is None or truth.modes.knobs != modes.knobs or len(truth) != len(modes):
        return Points.none()
    same = bool((truth.modes.values == modes.values).all())
    return Points(time_ms=truth.time_ms, power_w=truth.power_w) if same else Points.none()


def _take(points: Points, rows: npt.NDArray[np.int64]) -> Points:
    return Points(time_ms=points.time_ms[rows], power_w=points.power_w[rows]) if len(points) else points


def _drawn(n: int, front: npt.NDArray[np.int64], steps: Steps) -> npt.NDArray[np.int64]:
    """Return the rows to draw, rising: all, or some evenly spaced ones and those that matter."""
    if n <= MOST_MODES:
        return np.arange(n)
    some = np.linspace(0, n - 1, MOST_MODES).astype(np.int64)
    return np.unique(np.concatenate([some, front, steps.rows]))


def _located(profiles: ProfileTable | None) -> ProfileTable | None:
    if profiles is None:
        return None
    rows = np.flatnonzero(np.isfinite(profiles.time_ms) & np.isfinite(profiles.power_w))
    return profiles.take(rows[:MOST_MEASURED])


def _middle(power_w: FloatArray) -> float:
    """Return a round power in the middle of a front."""
    low, high = float(power_w.min()), float(power_w.max())
    step = _round_step((high - low) / 10) if high > low else _round_step(high / 10)
    return round((low + high) / 2 / step) * step


def _round_step(least: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at least `least`."""
    unit = 10.0 ** math.floor(math.log10(least)) if least > 0 else 0.01
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= least * (1 - 1e-9))


def front_json(view: FrontView) -> str:
    """Return what `assets/front.js` draws, as JSON without a sign that HTML knows."""
    low_w, high_w, step_w = view.ends_w
    data: dict[str, Any] = {
        "title": view.title,
        "basis": view.basis,
        "total": view.total,
        "n": len(view.modes),
        "knobs": [_knob(name, view.modes.column(name)) for name in view.modes.knobs],
        "time_ms": _floats(view.prediction.time_ms),
        "power_w": _floats(view.prediction.power_w),
        "time_sd": _error_bars(view.prediction.time_rel_sd),
        "power_sd": _error_bars(view.prediction.power_rel_sd),
        "energy_sd": _error_bars(view.prediction.energy_rel_sd),
        "energy_factor": QUANTITIES["energy"].factor,
        "fastest": int(np.argmin(view.prediction.time_ms)),
        "front": view.front.tolist(),
        "steps": {"limits_w": view.steps.limits_w.tolist(), "rows": view.steps.rows.tolist()},
        "limit": {"value": view.limit_w, "min": low_w, "max": high_w, "step": step_w},
        "goal": view.goal.sought,
        "others": view.goal.others,
        "risk": view.goal.risk,
        "measured": _measured(view.marks.measured),
        "true_time_ms": _floats(view.truth.time_ms) if len(view.truth) else None,
        "true_power_w": _floats(view.truth.power_w) if len(view.truth) else None,
        "truth": {"time_ms": view.true_front.time_ms.tolist(), "power_w": view.true_front.power_w.tolist()},
        "named": [
            {"name": name, "time_ms": float(at.time_ms[0]), "power_w": float(at.power_w[0])}
            for name, at in view.marks.named.items()
        ],
        "apply": list(apply_words(view.device)),
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    # Inside a script element only these can end it or start a comment.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def apply_words(device: str) -> tuple[str, str]:
    """Return what stands before and after a mode in the command that runs another one in it."""
    where = f" --device {shlex.quote(device)}" if device else ""
    return 'powertrain apply "', f'"{where} -- COMMAND'


def _knob(name: str, column: FloatArray) -> dict[str, Any]:
    """Return the values of a knob, written as `str(mode)` writes them, and which of them each mode has."""
    values, places = np.unique(column, return_inverse=True)
    kind = "u1" if len(values) <= 1 << 8 else "<u2"
    texts = [f"{value:.10g}" for value in values.tolist()]
    return {"name": name, "values": texts, "at": _base64(places.astype(kind))}


def _floats(column: FloatArray) -> str:
    # The page rounds to three digits; which mode is chosen was decided before anything was rounded.
    return _base64(column.astype("<f4"))


def _error_bars(column: FloatArray) -> str | None:
    return None if bool(np.isnan(column).all()) else _floats(column)


def _base64(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _measured(profiles: ProfileTable | None) -> list[dict[str, Any]]:
    if profiles is None:
        return []
    columns = zip(profiles.modes, profiles.time_ms.tolist(), profiles.power_w.tolist(), strict=True)
    return [{"mode": str(mode), "time_ms": time, "power_w": power} for mode, time, power in columns]


MODE_COLUMNS = (
    Column(name="time", unit="ms"),
    Column(name="power", unit="W"),
    Column(name="energy", unit="J"),
)


def front_tables(view: FrontView) -> tuple[Table, ...]:
    """Return the same as tables: the modes chosen under round limits, and the profiles where they are few.

    They stand in for the drawing where it cannot be seen.
    """
    tables = [_limits_table(view)]
    profiles = view.marks.measured
    if profiles is not None and 0 < len(profiles) <= MEASURED_IN_TABLE:
        energy_j = Prediction.measured(profiles).energy_j
        columns = zip(profiles.modes, profiles.time_ms, profiles.power_w, energy_j, strict=True)
        rows = [
            (str(mode), float(time), float(power), float(energy)) for mode, time, power, energy in columns
        ]
        title = f"The {counted(len(profiles), 'profile')}, as measured"
        tables.append(Table.of(title, ("mode", *MODE_COLUMNS), rows))
    return tuple(tables)


def _limits_table(view: FrontView) -> Table:
    rows: list[tuple[Cell, ...]] = []
    if len(view.steps.rows):
        fastest_ms = float(view.prediction.time_ms.min())
        for limit_w in _round_limits(float(view.steps.limits_w[0]), float(view.steps.limits_w[-1])):
            row = view.steps.row_at(limit_w)
            if row is not None:
                one = view.prediction.take([row])
                time_ms, power_w, energy_j = (float(x[0]) for x in (one.time_ms, one.power_w, one.energy_j))
                slower = round(100 * (time_ms / fastest_ms - 1), 1) + 0.0
                rows.append((f"{limit_w:.6g}", str(view.modes[row]), time_ms, power_w, energy_j, slower))
    return Table.of(
        f"The {view.goal.sought} under each power limit, {view.basis}",
        (
            Column(name="limit", unit="W"),
            "mode",
            *MODE_COLUMNS,
            Column(name="slower than the fastest", unit="%"),
        ),
        rows,
        note=f"A limit is kept with probability {1 - view.goal.risk:.4g}."
        + (f" Every choice also keeps {view.goal.others}." if view.goal.others else ""),
    )


def _round_limits(first_w: float, last_w: float) -> list[float]:
    """Return round limits from the first that a mode keeps to the first above which nothing is gained."""
    step = _round_step(max(last_w - first_w, last_w / FINEST_STEP) / LIMITS_IN_TABLE)
    return [k * step for k in range(math.ceil(first_w / step - 1e-9), math.ceil(last_w / step - 1e-9) + 1)]
