"""The numbers of each plot, computed before anything is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from powertrain.errors import DataError
from powertrain.optimisation import pareto_front
from powertrain.quantities import Quantity, measured
from powertrain.records import Choice, FloatArray, ModeTable, PowerMode, Prediction, ProfileTable

__all__ = [
    "AgreementPanel",
    "AgreementPlot",
    "Curve",
    "FrontPlot",
    "LearningPlot",
    "Line",
    "LinePanel",
    "LinePlot",
    "Points",
    "agreement_plot",
    "front_plot",
    "learning_plot",
]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class AgreementPanel:
    """Predicted against true values of one quantity, `(n,)` each."""

    quantity: str
    unit: str
    is_log: bool = True
    """Whether the axes are logarithmic; all values are positive then."""
    true: FloatArray
    predicted: FloatArray
    mean_error: float
    """Mean absolute error: relative to the truth [%] with `is_log`, else in the unit."""
    p95_error: float
    """95 % of the modes are predicted within this error, relative [%] or in the unit."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class AgreementPlot:
    """Predicted against true: a panel for each quantity of which both are known."""

    title: str
    panels: tuple[AgreementPanel, ...]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Time and power of some modes, `(n,)` each."""

    time_ms: FloatArray
    power_w: FloatArray

    def __len__(self) -> int:
        return len(self.time_ms)

    @classmethod
    def none(cls) -> Points:
        """Return no points."""
        return cls(time_ms=np.empty(0), power_w=np.empty(0))


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class FrontPlot:
    """All modes, the front of them, and the one that was chosen."""

    title: str
    modes: Points
    """Every mode as predicted."""
    front: Points
    """The predicted front, by rising time."""
    true_front: Points
    """The true front, by rising time; no points where the truth is not known."""
    chosen: Choice | None
    chosen_true: Points
    """What the chosen mode truly takes: one point, or none."""
    named: Mapping[str, Points]
    """One point for each mode with a name (MAXN): true where known, else predicted."""
    limit_w: float
    """Power limit [W], infinite for none."""
    basis: str = "predicted"
    """What the time and power of `modes` and `front` are: predicted, or measured."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Error of one method for rising numbers of profiles, `(k,)` each, in per cent."""

    method: str
    profiles: npt.NDArray[np.int64]
    median_pct: FloatArray
    low_pct: FloatArray
    """Lower quartile over seeds and targets; the upper one in `high_pct`."""
    high_pct: FloatArray


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class LearningPlot:
    """Error against the number of profiles: curves by quantity ("time", "power"), one per method."""

    title: str
    panels: Mapping[str, tuple[Curve, ...]]


def agreement_plot(
    truth: ProfileTable,
    prediction: Prediction,
    *,
    method: str,
    profiled: npt.ArrayLike | None = None,
) -> AgreementPlot:
    """Compare predictions with the truth, row by row.

    Args:
        truth: `(n,)` modes with known time, power or both.
        prediction: `(n,)` predictions of the same modes in the same order.
        method: What predicted, as in `"gp, 15 profiles"`; stands in the title.
        profiled: Rows (indices or a mask) that the predictor has seen and that are left out.

    Raises:
        DataError: No row has a quantity that is both true and predicted.
    """
    if len(prediction) != len(truth):
        raise ValueError(f"{len(prediction)} predictions of {len(truth)} modes: give one per mode")
    unseen = np.ones(len(truth), dtype=bool)
    if profiled is not None:
        unseen[np.asarray(profiled)] = False
    panels: list[AgreementPanel] = []
    for quantity in measured():
        true, predicted = truth.columns[quantity.column][unseen], prediction.of(quantity).value[unseen]
        both = np.isfinite(true) & quantity.holds(predicted)
        if both.any():
            panels.append(_panel(quantity, true[both], predicted[both]))
    if not panels:
        raise DataError(f"nothing to compare for {truth.workload}: no mode has both a truth and a prediction")
    return AgreementPlot(title=f"{truth.workload} on {truth.device}: {method}", panels=tuple(panels))


def _panel(quantity: Quantity, true: FloatArray, predicted: FloatArray) -> AgreementPanel:
    error = 100 * np.abs(predicted / true - 1) if quantity.is_log else np.abs(predicted - true)
    return AgreementPanel(
        quantity=quantity.name,
        unit=quantity.unit,
        is_log=quantity.is_log,
        true=true,
        predicted=predicted,
        mean_error=float(error.mean()),
        p95_error=float(np.percentile(error, 95)),
    )


def front_plot(
    prediction: Prediction,
    modes: ModeTable,
    *,
    title: str,
    choice: Choice | None = None,
    truth: ProfileTable | None = None,
    named: Mapping[str, PowerMode | Points] | None = None,
    basis: str = "predicted",
) -> FrontPlot:
    """Gather what is known about the trade between time and power.

    Args:
        prediction: `(n,)` predictions of `modes`; modes without a time or a power are left out.
        modes: `(n, n_knobs)` modes to choose from.
        title: Workload and device, the latter with "(simulated)" when it is.
        choice: The mode chosen; its power limit is drawn.
        truth: The true time and power of any modes, where they are known.
        named: What to point at by name: a mode, or its time and power where more than its knobs decides them
            (parts of a GPU that are off). A mode that is neither in `truth` nor in `modes` is left out.
        basis: What `prediction` holds, for the legend: "predicted", or "measured" values in that form.

    Raises:
        DataError: No mode has both a predicted time and a predicted power.
    """
    everything = _known(prediction.time_ms, prediction.power_w)
    if not len(everything):
        raise DataError("a front of time and power needs predictions of both, and one is missing")
    places = {name: _place(mode, truth, prediction, modes) for name, mode in (named or {}).items()}
    return FrontPlot(
        title=title,
        modes=everything,
        front=_front_of(everything),
        true_front=Points.none() if truth is None else _front_of(_known(truth.time_ms, truth.power_w)),
        chosen=choice,
        chosen_true=Points.none() if choice is None or truth is None else _true_point(choice.mode, truth),
        named={name: point for name, point in places.items() if len(point)},
        limit_w=choice.limits.max_power_w if choice is not None else float("inf"),
        basis=basis,
    )


def _known(time_ms: FloatArray, power_w: FloatArray) -> Points:
    both = np.isfinite(time_ms) & np.isfinite(power_w)
    return Points(time_ms=time_ms[both], power_w=power_w[both])


def _front_of(points: Points) -> Points:
    if not len(points):
        return points
    rows = pareto_front(np.column_stack([points.time_ms, points.power_w]))
    return Points(time_ms=points.time_ms[rows], power_w=points.power_w[rows])


def _rows_of(mode: PowerMode, modes: ModeTable) -> npt.NDArray[np.bool_]:
    """Return the `(n,)` mask of rows that are `mode`; none where the knobs differ."""
    if set(mode) != set(modes.knobs):
        return np.zeros(len(modes), dtype=bool)
    wanted = np.array([mode[knob] for knob in modes.knobs])
    # Files round the last digits of a clock, so equal modes may differ by a rounding error.
    same = np.isclose(modes.values, wanted, rtol=1e-9, atol=1e-12)
    return np.asarray(same.all(axis=1), dtype=np.bool_)


def _true_point(mode: PowerMode, truth: ProfileTable) -> Points:
    """Return the first row of the truth for `mode` in which both quantities are known, or no point."""
    rows = _rows_of(mode, truth.modes)
    found = _known(truth.time_ms[rows], truth.power_w[rows])
    return Points(time_ms=found.time_ms[:1], power_w=found.power_w[:1])


def _place(
    mode: PowerMode | Points, truth: ProfileTable | None, prediction: Prediction, modes: ModeTable
) -> Points:
    if isinstance(mode, Points):
        return mode
    known = Points.none() if truth is None else _true_point(mode, truth)
    if len(known):
        return known
    rows = _rows_of(mode, modes)
    found = _known(prediction.time_ms[rows], prediction.power_w[rows])
    return Points(time_ms=found.time_ms[:1], power_w=found.power_w[:1])


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """One method's values over some quantity; NaN where there is none."""

    method: str
    x: FloatArray
    y: FloatArray


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class LinePanel:
    """Lines over one pair of axes, whose labels name the units."""

    x_label: str
    y_label: str
    lines: tuple[Line, ...]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class LinePlot:
    """Panels side by side, on linear axes."""

    title: str
    panels: tuple[LinePanel, ...]

    def __post_init__(self) -> None:
        if not any(panel.lines for panel in self.panels):
            raise DataError(f"there is nothing to plot of {self.title!r}: no panel has a line")


def learning_plot(rows: Iterable[Mapping[str, Any]], *, title: str = "") -> LearningPlot:
    """Summarise the rows of an evaluation over seeds and targets.

    Args:
        rows: Records with `method`, `profiles`, `time_mape`, `power_mape`, `target` and `device`, as the
            evaluation writes them; an error that is `None` or NaN is left out.
        title: Replaces the title that names the targets and devices.

    Raises:
        DataError: No row has an error.
    """
    listed = list(rows)
    panels = {q.name: _curves(listed, f"{q.name}_mape") for q in measured()}
    panels = {quantity: curves for quantity, curves in panels.items() if curves}
    if not panels:
        raise DataError("there are no errors to plot: no row of the evaluation has a time_mape or power_mape")
    return LearningPlot(title=title or _learning_title(listed), panels=panels)


def _curves(rows: list[Mapping[str, Any]], column: str) -> tuple[Curve, ...]:
    """Return one curve per method, in order of first appearance."""
    groups: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        error = row.get(column)
        if error is not None and np.isfinite(error):
            groups.setdefault(row["method"], {}).setdefault(int(row["profiles"]), []).append(float(error))
    curves: list[Curve] = []
    for method, by_count in groups.items():
        counts = sorted(by_count)
        # Quartiles and not a standard deviation: one failed fit would stretch the band over the whole plot.
        quartiles = np.array([np.percentile(by_count[count], [25, 50, 75]) for count in counts])
        curves.append(
            Curve(
                method=method,
                profiles=np.array(counts, dtype=np.int64),
                median_pct=quartiles[:, 1],
                low_pct=quartiles[:, 0],
                high_pct=quartiles[:, 2],
            )
        )
    return tuple(curves)


def _learning_title(rows: list[Mapping[str, Any]]) -> str:
    targets = sorted({str(row["target"]) for row in rows})
    devices = sorted({str(row["device"]) for row in rows})
    what = targets[0] if len(targets) == 1 else f"{len(targets)} workloads"
    return f"{what} on {', '.join(devices)}"
