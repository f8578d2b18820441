"""Drawings of predictions, to files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from powertrain.devices import AbstractDevice, is_simulated
from powertrain.errors import DataError, PowerTrainError
from powertrain.files import why_unwritten, write_file
from powertrain.records import Choice, ModeTable, Prediction
from powertrain.report import (
    Goal,
    RunPlot,
    Stretch,
    draw_front,
    draw_learning,
    draw_run,
    front_plot,
    front_view,
    learning_plot,
    render_html,
    save_figure,
)
from powertrain.workflow._front_page import front_page, spec_to_apply
from powertrain.workflow._tune_report import Trial, TuneReport

__all__ = ["draw_errors", "draw_predicted_front", "draw_tuned_run"]


def draw_predicted_front(
    prediction: Prediction,
    modes: ModeTable,
    path: Path,
    *,
    title: str,
    choice: Choice | None = None,
    device_name: str = "",
    device: AbstractDevice | None = None,
) -> None:
    """Draw power against time of `modes`, their front, and the mode chosen, to a file.

    A PNG or SVG file is a picture. An HTML file is a page on which the limit can be dragged; it needs no
    matplotlib.
    """
    basis = "measured" if prediction.is_measured else "predicted"
    if path.suffix.lower() not in (".png", ".svg", ".html"):
        raise ValueError(f"{path.name} is not a .png, .svg or .html file: give the plot one of these endings")
    if path.suffix.lower() != ".html":
        save_figure(draw_front(front_plot(prediction, modes, title=title, choice=choice, basis=basis)), path)
        return
    spec = spec_to_apply(device)
    goal = None if choice is None else Goal.of(choice)
    view = front_view(prediction, modes, title=title, goal=goal, device=spec)
    content = render_html(front_page(view, simulated=is_simulated(device_name)))
    try:
        write_file(path, content)
    except OSError as error:
        raise PowerTrainError(f"cannot write the page {path}: {why_unwritten(path, error)}") from error


def draw_tuned_run(report: TuneReport, path: Path) -> None:
    """Draw how a tuned training went, to a PNG or SVG file: as found, trial by trial, and in the best mode.

    Raises:
        DataError: Nothing was tried.
    """
    told = [one for one in (report.found, *report.trials) if one is not None and one.ended_s == one.ended_s]
    stretches = [_stretch(one, found=one is report.found) for one in dict.fromkeys(told)]
    if not stretches:
        raise DataError("nothing was tried in this run, so there is nothing to draw")
    values = report.decision.values
    end_s = max(one.end_s for one in stretches)
    if report.state == "held" and report.training_s > end_s:
        rest = Stretch(
            kind="held",
            start_s=end_s,
            end_s=report.training_s,
            time_ms=values.get("time_ms", math.nan),
            power_w=values.get("power_w", math.nan),
        )
        stretches.append(rest)
    save_figure(
        draw_run(
            RunPlot(
                title=f"{report.workload} on {report.device}, tuned while it trains",
                stretches=tuple(stretches),
                limit_w=report.goal.get("limits", {}).get("max_power_w", math.inf),
            )
        ),
        path,
    )


def _stretch(trial: Trial, *, found: bool) -> Stretch:
    return Stretch(
        kind="found" if found else "trial",
        start_s=max(trial.ended_s - trial.duration_s, 0.0),
        end_s=trial.ended_s,
        time_ms=trial.time_ms,
        power_w=trial.power_w,
    )


def draw_errors(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the error of each method against the number of profiles, from the rows of an evaluation."""
    save_figure(draw_learning(learning_plot(rows)), path)
