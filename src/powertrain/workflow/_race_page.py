"""What a race found: a table, a drawing, and a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np

from powertrain.devices import is_simulated
from powertrain.errors import MissingExtraError
from powertrain.evaluation import Race, RaceRow, RaceSummary, summarise_race
from powertrain.files import write_file
from powertrain.report import (
    Column,
    Illustration,
    Line,
    LinePanel,
    LinePlot,
    ReportPage,
    Section,
    Table,
    draw_lines,
    figure_svg,
    render_html,
    save_figure,
)
from powertrain.wording import counted

__all__ = ["draw_race", "race_plot", "race_table", "write_race_page"]

HIGHEST_PCT = 50.0
"""Regret that is drawn at the most: what lies above says only that a method has not found anything yet."""
FRONT_METHODS = frozenset({"tuner-front", "optuna-nsga2", "botorch-nehvi"})
"""Methods that search for the front of time and power."""
FRONT_NOTE = " Front: share of the area under the true front that the modes measured dominate, median."
EXCESS_LABEL = "limits exceeded by > 2 % [%]"


def race_table(race: Race, *, at: Sequence[int]) -> Table:
    """Return the methods after some numbers of trials, over all targets, limits and seeds."""
    lines = [line for line in race.summary if line.trials in set(at)]
    plan = race.plan
    what = counted(len({row.target for row in race.rows}), "target")
    front = bool(set(plan.methods) & FRONT_METHODS)
    rows = [
        (
            line.method,
            line.trials,
            _fixed(line.median_regret_pct),
            _fixed(line.p90_regret_pct),
            _fixed(line.none_named_pct, 1),
            _fixed(line.infeasible_pct, 1),
            _fixed(line.exceeded_by_2pct_pct, 1),
            _fixed(line.median_cost_s, 0),
            *([_fixed(line.median_hypervolume_pct, 1)] if front else []),
        )
        for line in lines
    ]
    return Table.of(
        f"{what} on {plan.device}, {counted(lines[0].cases if lines else 0, 'case')} a method",
        (
            "method",
            "trials",
            Column(name="median regret", unit="%"),
            Column(name="90th percentile", unit="%"),
            Column(name="none named", unit="%"),
            Column(name="exceeded", unit="%"),
            Column(name="by > 2 %", unit="%"),
            Column(name="profiled", unit="s"),
            *([Column(name="front", unit="%")] if front else []),
        ),
        rows,
        note="Regret: how much slower the mode named is in truth than the best under the limit; ∞ where no "
        "mode is named. Exceeded: share of the modes named that break the limit in truth."
        + FRONT_NOTE
        * front,
    )


def race_plot(rows: Sequence[RaceRow], *, title: str = "") -> LinePlot:
    """Return regret and violations against trials and against seconds.

    Regret is the 90th percentile over the cases, drawn up to 50 %.
    """
    summary = summarise_race(rows)
    regret = f"regret, 90th percentile [%], up to {HIGHEST_PCT:g}"

    def panel(
        x: Callable[[RaceSummary], float], x_label: str, y: Callable[[RaceSummary], float], y_label: str
    ):
        by_method = {line.method: [one for one in summary if one.method == line.method] for line in summary}
        lines = [
            Line(method=name, x=np.array([x(one) for one in own]), y=np.array([y(one) for one in own]))
            for name, own in by_method.items()
        ]
        return LinePanel(x_label=x_label, y_label=y_label, lines=tuple(lines))

    def height(line: RaceSummary) -> float:
        return min(line.p90_regret_pct, HIGHEST_PCT)

    seconds = "profiled, median [s]"
    return LinePlot(
        title=title or "Regret and violations",
        panels=(
            panel(lambda one: one.trials, "trials", height, regret),
            panel(lambda one: one.median_cost_s, seconds, height, regret),
            panel(lambda one: one.trials, "trials", lambda one: one.exceeded_by_2pct_pct, EXCESS_LABEL),
            panel(lambda one: one.median_cost_s, seconds, lambda one: one.exceeded_by_2pct_pct, EXCESS_LABEL),
        ),
    )


def draw_race(rows: Sequence[RaceRow], path: Path, *, title: str = "") -> None:
    """Draw regret and violations to a PNG or SVG file."""
    save_figure(draw_lines(race_plot(rows, title=title)), path)


def write_race_page(race: Race, path: Path) -> None:
    """Write the table and the drawing as one page; without matplotlib the table alone."""
    plan = race.plan
    try:
        svg = figure_svg(draw_lines(race_plot(race.rows)))
        caption = "Regret and violations against the number of trials, and against what they took."
        drawings, remarks = (Illustration(svg=svg, caption=caption),), ()
    except MissingExtraError as error:
        drawings, remarks = (), (f"No drawing: {error}.",)
    table = race_table(race, at=range(1, plan.trials + 1))
    page = ReportPage(
        title=f"A race on {plan.device}",
        lead=f"{counted(len(plan.methods), 'method')}, {counted(plan.trials, 'trial')} each.",
        simulated=f"{plan.device} is made of formulas." if is_simulated(plan.device) else "",
        sections=(
            Section(title="Every method", paragraphs=remarks, tables=(table,), illustrations=drawings),
        ),
        footer=f"Made by PowerTrain {version('powertrain')} on {date.today().isoformat()}.",
    )
    write_file(path, render_html(page))


def _fixed(value: float, decimals: int = 2) -> str:
    return "∞" if np.isinf(value) else f"{round(value, decimals) + 0.0:.{decimals}f}"
