"""A drawing of a training that was tuned: time and power as it went on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

import numpy as np

from powertrain.report._style import BLUE, MUTED, ORANGE, VERMILLION, figure_of, plain, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["RunPlot", "Stretch", "draw_run"]

STYLES = {"found": ("as found", MUTED), "trial": ("trials", ORANGE), "held": ("best mode", BLUE)}
"""What a stretch is called, and its colour."""


@final
@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of a training in one state of the device."""

    kind: Literal["found", "trial", "held"]
    start_s: float
    """After the training began [s]."""
    end_s: float
    time_ms: float
    power_w: float
    """NaN where it was not measured."""


@final
@dataclass(frozen=True, kw_only=True)
class RunPlot:
    """A training as it went on."""

    title: str
    stretches: tuple[Stretch, ...]
    """In their order; one at least."""
    limit_w: float
    """Limit on the power [W]; infinity: none."""


def draw_run(plot: RunPlot) -> Figure:
    """Draw the time of a minibatch above, and the power with its limit below, against time."""
    has_power = any(stretch.power_w == stretch.power_w for stretch in plot.stretches)
    with styled():
        figure = figure_of(width=7.2, height=4.4 if has_power else 2.8)
        panels: list[Axes] = list(figure.subplots(1 + has_power, 1, sharex=True, squeeze=False)[:, 0])
        _draw(panels[0], plot, [stretch.time_ms for stretch in plot.stretches])
        panels[0].set(ylabel="minibatch time [ms]")
        if has_power:
            _draw(panels[1], plot, [stretch.power_w for stretch in plot.stretches])
            panels[1].set(ylabel="power [W]")
            if np.isfinite(plot.limit_w):
                label = f"limit {plot.limit_w:g} W"
                panels[1].axhline(plot.limit_w, color=VERMILLION, lw=1.2, ls=(0, (5, 3)), label=label)
        panels[-1].set(xlabel="time since the training began [s]")
        panels[-1].legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none")
        figure.suptitle(plain(plot.title), fontsize=11)
        return figure


def _draw(axes: Axes, plot: RunPlot, values: list[float]) -> None:
    for kind, (label, colour) in STYLES.items():
        chosen = [(s, v) for s, v in zip(plot.stretches, values, strict=True) if s.kind == kind and v == v]
        if chosen:
            starts, ends = [s.start_s for s, _ in chosen], [s.end_s for s, _ in chosen]
            axes.hlines([v for _, v in chosen], starts, ends, colors=colour, lw=3, label=label)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
