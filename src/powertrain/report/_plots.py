"""Drawing: one function per plot record. matplotlib is imported only when something is drawn.

Figures are made as objects, never through pyplot, so that no window opens and no global state is left behind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from powertrain.records import Interval
from powertrain.report._plot_data import (
    AgreementPanel,
    AgreementPlot,
    Curve,
    FrontPlot,
    LearningPlot,
    LinePanel,
    LinePlot,
)
from powertrain.report._style import (
    BLUE,
    CLOUD,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    VERMILLION,
    figure_of,
    method_styles,
    plain,
    styled,
)
from powertrain.report._tables import format_number
from powertrain.wording import counted

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["draw_agreement", "draw_front", "draw_learning", "draw_lines", "log_ticks"]


LABEL_SIZE = 8.5
FAR_LABEL = 9 * LABEL_SIZE
STEPS: dict[str, Any] = {"drawstyle": "steps-post"}
"""Between two modes of a front there is none, so a front goes in steps and not in slopes."""


def draw_agreement(plot: AgreementPlot, axes: Sequence[Axes] | None = None) -> Figure:
    """Draw predicted against true, a panel per quantity, on logarithmic axes.

    With `axes`, as many as there are panels, it is drawn there, in a figure of somebody's.
    """
    with styled():
        n = len(plot.panels)
        figure, panels = _canvas(axes, panels=n, width=4.6 * n, height=5.0)
        for own, panel in zip(panels, plot.panels, strict=True):
            _draw_agreement_panel(own, panel)
        if axes is None:
            figure.suptitle(plain(plot.title), fontsize=11, color=INK)
        return figure


def draw_front(plot: FrontPlot, axes: Axes | None = None) -> Figure:
    """Draw power against time: all modes, the fronts, the limit, the choice and the modes with names.

    With `axes` it is drawn there, in a figure of somebody's.
    """
    with styled():
        figure, (axes,) = _canvas(None if axes is None else [axes], panels=1, width=7.2, height=4.9)
        shown: list[Artist | tuple[Artist, ...]] = [*_draw_modes_and_fronts(axes, plot)]
        if np.isfinite(plot.limit_w):
            label = f"limit {plot.limit_w:g} W"
            shown.append(axes.axhline(plot.limit_w, color=VERMILLION, lw=1.2, ls=(0, (5, 3)), label=label))
        shown += _draw_choice(axes, plot)
        for point in plot.named.values():
            axes.update_datalim(np.column_stack([point.time_ms, point.power_w]))
        axes.set_xscale("log")
        axes.autoscale_view()
        _readable_ticks(axes.xaxis)
        axes.set_ylim(bottom=0)
        _draw_named(axes, plot)
        axes.set(xlabel="minibatch time [ms]", ylabel="power [W]")
        axes.set_title(plain(plot.title), fontsize=11, color=INK)
        # The limit may pass behind the legend, so it gets a ground of its own.
        axes.legend(handles=shown, loc="upper right", frameon=True, framealpha=0.9, edgecolor="none")
        return figure


def draw_learning(plot: LearningPlot, axes: Sequence[Axes] | None = None) -> Figure:
    """Draw the error of each method against the number of profiles, a panel per quantity.

    With `axes`, as many as there are panels, it is drawn there, in a figure of somebody's.
    """
    with styled():
        n = len(plot.panels)
        figure, panels = _canvas(axes, panels=n, width=4.6 * n, height=4.4)
        for own, (quantity, curves) in zip(panels, plot.panels.items(), strict=True):
            _draw_curves(own, quantity, curves)
        if axes is not None:
            for own in panels:
                own.legend()
            return figure
        lines = {line.get_label(): line for axes in panels for line in axes.get_lines()}
        figure.legend(
            handles=list(lines.values()),
            loc="outside lower center",
            ncols=min(4, len(lines)),
            title="median and quartiles over all runs",
            title_fontsize=8.5,
        )
        figure.suptitle(plain(plot.title), fontsize=11, color=INK)
        return figure


def draw_lines(plot: LinePlot) -> Figure:
    """Draw lines over linear axes, two panels in a row."""
    with styled():
        columns = min(len(plot.panels), 2)
        rows = math.ceil(len(plot.panels) / columns)
        figure = figure_of(width=4.6 * columns, height=3.6 * rows + 0.8)
        panels = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, panel in zip(panels, plot.panels, strict=False):
            _draw_line_panel(axes, panel)
        for axes in panels[len(plot.panels) :]:
            axes.set_axis_off()
        lines = {line.get_label(): line for axes in panels for line in axes.get_lines()}
        figure.legend(handles=list(lines.values()), loc="outside lower center", ncols=min(4, len(lines)))
        figure.suptitle(plain(plot.title), fontsize=11, color=INK)
        return figure


def _draw_agreement_panel(axes: Axes, panel: AgreementPanel) -> None:
    both = np.concatenate([panel.true, panel.predicted])
    if panel.is_log:
        scale, unit = "log", "%"
        low, high, within = both.min() / 1.1, both.max() * 1.1, panel.p95_error / 100
        ends = np.array([low, high])
        # A band down to nothing has no place on a logarithmic axis.
        lower_edge, upper_edge = ends * max(1 - within, 0.01), ends * (1 + within)
    else:
        scale, unit, margin = "linear", panel.unit, 0.05 * float(np.ptp(both))
        low, high = both.min() - margin, both.max() + margin
        ends = np.array([low, high])
        lower_edge, upper_edge = ends - panel.p95_error, ends + panel.p95_error
    band = f"95 % of {len(panel.true):,} modes: within {panel.p95_error:.1f} {unit}"
    axes.fill_between(ends, lower_edge, upper_edge, color=ORANGE, alpha=0.25, lw=0, label=band)
    # Fewer points are drawn larger and darker, so that ten of them are seen and ten thousand do not clot.
    crowd = min(1.0, 300 / len(panel.true))
    size, alpha = 3 + 17 * crowd, 0.2 + 0.65 * crowd
    axes.scatter(panel.true, panel.predicted, s=size, color=BLUE, alpha=alpha, linewidths=0, rasterized=True)
    for edge in (lower_edge, upper_edge):
        axes.plot(ends, edge, color=ORANGE, lw=1)
    axes.plot(ends, ends, color=INK, lw=0.8)
    axes.set(xscale=scale, yscale=scale, xlim=(low, high), ylim=(low, high), box_aspect=1)
    if panel.is_log:
        for axis in (axes.xaxis, axes.yaxis):
            _readable_ticks(axis)
    axes.set(
        xlabel=f"true {panel.quantity} [{panel.unit}]", ylabel=f"predicted {panel.quantity} [{panel.unit}]"
    )
    name = "mean error (MAPE)" if panel.is_log else "mean error"
    axes.set_title(f"{panel.quantity}: {name} {panel.mean_error:.1f} {unit}", color=INK)
    axes.legend(loc="upper left")


def _draw_modes_and_fronts(axes: Axes, plot: FrontPlot) -> Iterator[Artist]:
    many = len(plot.modes)
    yield axes.scatter(
        plot.modes.time_ms,
        plot.modes.power_w,
        s=5,
        color=CLOUD,
        linewidths=0,
        rasterized=True,
        label=f"all {many:,} modes, {plot.basis}" if many > 1 else f"the mode, {plot.basis}",
    )
    if len(plot.true_front):
        true = plot.true_front
        yield from axes.plot(
            true.time_ms, true.power_w, color=ORANGE, lw=3.5, alpha=0.75, label="true front", **STEPS
        )
    label = f"{plot.basis} front"
    yield from axes.plot(plot.front.time_ms, plot.front.power_w, color=BLUE, lw=1.5, label=label, **STEPS)


def _draw_named(axes: Axes, plot: FrontPlot) -> None:
    """Draw the modes with a name; the scales and limits of the axes are final by now."""
    names = [plain(name, longest=24) for name in plot.named]
    points = [(float(point.time_ms[0]), float(point.power_w[0])) for point in plot.named.values()]
    if plot.chosen is not None:
        points.append((plot.chosen.time_ms.value, plot.chosen.power_w.value))
    offsets = _label_offsets(axes, names, points)
    leader: dict[str, Any] = {"arrowstyle": "-", "color": MUTED, "lw": 0.7, "shrinkA": 0, "shrinkB": 3}
    for name, point, offset in zip(names, points, offsets, strict=False):
        axes.scatter(*point, s=30, marker="s", color=INK, zorder=4)
        axes.annotate(
            name,
            point,
            xytext=offset,
            textcoords="offset points",
            arrowprops=leader if max(map(abs, offset)) > FAR_LABEL else None,
            fontsize=LABEL_SIZE,
            color=INK,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8},
        )


def _label_offsets(
    axes: Axes, names: Sequence[str], points: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Return where each label stands from its point [pt], so that it covers no label and no point.

    `points` may go on after those that have a label. A label's size is estimated from its letters, as it is
    known exactly only once the figure is drawn.
    """
    to_pt = 72.0 / axes.figure.dpi
    places: list[list[float]] = (axes.transData.transform(points) * to_pt).tolist() if points else []
    left, bottom, right, top = (float(edge) * to_pt for edge in axes.bbox.extents)
    taken: list[Box] = [(x - 4, y - 4, x + 4, y + 4) for x, y in places]
    offsets: list[tuple[float, float]] = []
    for name, (x, y) in zip(names, places, strict=False):
        width, height = 0.62 * LABEL_SIZE * len(name), 1.25 * LABEL_SIZE
        tries = [
            (x + dx, y + dy, x + dx + width, y + dy + height)
            for far in np.arange(6) * height
            for dy in (5 + far, -5 - height - far)
            for dx in (6.0 + far, -6.0 - width - far, -width / 2)
        ]
        area = width * height
        costs = [
            sum(_overlap(box, other) for other in taken)
            + area
            - _overlap(box, (left, bottom, right, top))
            # A label that is nearer to the point of another would be read as that one's.
            + 0.2 * area * (min(_distance(box, *place) for place in places) < _distance(box, x, y))
            for box in tries
        ]
        best = tries[int(np.argmin(costs))]  # the first of equals, which is the nearest
        taken.append(best)
        offsets.append((best[0] - x, best[1] - y))
    return offsets


Box = tuple[float, float, float, float]


def _distance(box: Box, x: float, y: float) -> float:
    return math.hypot(max(box[0] - x, 0.0, x - box[2]), max(box[1] - y, 0.0, y - box[3]))


def _overlap(one: Box, other: Box) -> float:
    """Return the area that two boxes (left, bottom, right, top) share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)


def _draw_choice(axes: Axes, plot: FrontPlot) -> Iterator[Artist | tuple[Artist, ...]]:
    if plot.chosen is None:
        return
    time, power = plot.chosen.time_ms, plot.chosen.power_w
    yield axes.errorbar(
        [time.value],
        [power.value],
        xerr=_bar(time),
        yerr=_bar(power),
        fmt="o",
        ms=9,
        mfc="white",
        mew=2,
        color=VERMILLION,
        capsize=3,
        zorder=6,
        label=f"chosen, predicted: {_ms_and_w(time.value, power.value)}",
    )
    true = plot.chosen_true
    if len(true):
        yield axes.scatter(
            true.time_ms,
            true.power_w,
            s=28,
            marker="X",
            color=GREEN,
            linewidths=0,
            zorder=7,
            label=f"chosen, in truth: {_ms_and_w(true.time_ms[0], true.power_w[0])}",
        )


def _bar(interval: Interval) -> list[list[float]]:
    """Return the lengths of an error bar, none where a method has no intervals (NaN)."""
    ends = np.array([interval.value - interval.low, interval.high - interval.value])
    return np.maximum(np.nan_to_num(ends), 0).reshape(2, 1).tolist()


def _ms_and_w(time_ms: float, power_w: float) -> str:
    return f"{format_number(float(time_ms))} ms, {format_number(float(power_w))} W"


def _draw_curves(axes: Axes, quantity: str, curves: tuple[Curve, ...]) -> None:
    # A method looks the same in every plot; others take what is left, again and again.
    styles = method_styles([curve.method for curve in curves])
    for curve in curves:
        color, marker = styles[curve.method]
        label = plain(curve.method, longest=24)
        axes.fill_between(curve.profiles, curve.low_pct, curve.high_pct, color=color, alpha=0.18, lw=0)
        axes.plot(curve.profiles, curve.median_pct, color=color, marker=marker, ms=5, lw=1.6, label=label)
    axes.set(xscale="log", yscale="log", xlabel="profiles of the workload", ylabel=f"{quantity} MAPE [%]")
    counts = sorted({int(n) for curve in curves for n in curve.profiles})
    axes.set_xticks(counts, [f"{n:,}" for n in counts])
    axes.minorticks_off()
    _readable_ticks(axes.yaxis)
    axes.set_title(quantity, color=INK)


def _draw_line_panel(axes: Axes, panel: LinePanel) -> None:
    styles = method_styles([line.method for line in panel.lines])
    for line in panel.lines:
        color, marker = styles[line.method]
        label = plain(line.method, longest=32)
        axes.plot(line.x, line.y, color=color, marker=marker, ms=3.5, lw=1.4, label=label)
    axes.set(xlabel=panel.x_label, ylabel=panel.y_label)


def _readable_ticks(axis: Axis) -> None:
    """Label a logarithmic axis, at its present limits, in plain numbers."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in log_ticks(low, high) if low <= tick <= high]
    axis.set_ticks(ticks, [f"{tick:,.10g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers that cover `low` to `high` (both positive) on a logarithmic axis.

    Over more than a factor of 8 they are 1, 2 and 5 times powers of ten (the powers alone over three
    decades), else about five even steps, which a narrow range needs to have any ticks at all.
    """
    if high / low > 8:
        factors = (1.0, 2.0, 5.0) if high / low < 1000 else (1.0,)
        exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        return [factor * 10.0**exponent for exponent in exponents for factor in factors]
    raw = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(raw)) if raw > 0 else low
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * (1 - 1e-9))
    first = math.floor(low / step)
    return [step * k for k in range(first, first + 8)]


def _canvas(
    axes: Sequence[Axes] | None, *, panels: int, width: float, height: float
) -> tuple[Figure, Sequence[Axes]]:
    """Return a new figure with so many panels beside each other, or the axes that were given.

    Raises:
        ValueError: Another number of axes was given.
    """
    if axes is None:
        figure = figure_of(width=width, height=height)
        return figure, figure.subplots(1, panels, squeeze=False)[0]
    if len(axes) != panels:
        raise ValueError(f"the drawing has {counted(panels, 'panel')}, and {len(axes)} axes were given")
    return cast("Figure", axes[0].figure), axes
