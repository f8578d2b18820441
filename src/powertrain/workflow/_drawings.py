"""Drawings of predictions, to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from powertrain.records import Choice, ModeTable, Prediction
from powertrain.report import draw_front, draw_learning, front_plot, learning_plot, save_figure

__all__ = ["draw_errors", "draw_predicted_front"]


def draw_predicted_front(
    prediction: Prediction, modes: ModeTable, path: Path, *, title: str, choice: Choice | None = None
) -> None:
    """Draw power against time of `modes`, their front, and the mode chosen, to a PNG or SVG file."""
    plot = front_plot(prediction, modes, title=title, choice=choice)
    save_figure(draw_front(plot), path)


def draw_errors(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw the error of each method against the number of profiles, from the rows of an evaluation."""
    save_figure(draw_learning(learning_plot(rows)), path)
