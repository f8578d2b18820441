"""Drawings for notebooks and papers: `pt.plot.front(...)` and the like.

Each function draws on axes of yours, or makes a figure, and returns the axes. They need matplotlib (the extra
`report`).

```python
import powertrain as pt

board = pt.open_device("sim:orin-agx")
predictor = pt.fit(board.measure("resnet18", pt.plan(board, 30)))
choice = pt.choose(predictor, board.modes(), max_power_w=30)
axes = pt.plot.front(predictor.predict(board.modes()), board.modes(), choice=choice)
axes.figure.savefig("front.png")
```
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from powertrain.records import Choice, ModeTable, Prediction, ProfileTable
from powertrain.report import (
    agreement_plot,
    draw_agreement,
    draw_front,
    draw_learning,
    front_plot,
    learning_plot,
)
from powertrain.workflow import Front

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["agreement", "front", "learning"]


def front(
    found: Front | Prediction | ProfileTable,
    modes: ModeTable | None = None,
    *,
    choice: Choice | None = None,
    truth: ProfileTable | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw power against time of modes, their Pareto front, and a choice with its limit.

    Args:
        found: A prediction, with its `modes`; a `Front`; or profiles, as they were measured.
        modes: `(n, n_knobs)` modes of a prediction.
        choice: The mode that was chosen.
        truth: What was measured in the same modes: its front and the truth of the choice are drawn as well.
        title: Stands above.
        ax: Where to draw; a new figure if None.

    Raises:
        TypeError: A prediction came without its modes.
        MissingExtraError: matplotlib is not installed.
    """
    basis = "predicted"
    if isinstance(found, Front):
        modes, prediction = found.modes, found.prediction
    elif isinstance(found, ProfileTable):
        basis, modes, prediction = "measured", found.modes, Prediction.measured(found)
    else:
        prediction = found
    if modes is None:
        raise TypeError("a prediction does not know its modes: give them as the second argument")
    basis = "measured" if prediction.is_measured else basis
    figure = draw_front(
        front_plot(prediction, modes, title=title, choice=choice, truth=truth, basis=basis), ax
    )
    return figure.axes[0] if ax is None else ax


def agreement(
    truth: ProfileTable,
    prediction: Prediction,
    *,
    method: str = "",
    profiled: npt.ArrayLike | None = None,
    ax: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw predicted against true values, a panel for each quantity.

    Args:
        truth: What was measured.
        prediction: Of the same modes, in the same order.
        method: How it was predicted, for the title.
        profiled: Rows (indices or a mask) of the modes that the predictor was shown; they are left out.
        ax: Where to draw, one for each quantity; a new figure if None.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = draw_agreement(agreement_plot(truth, prediction, method=method, profiled=profiled), ax)
    return list(figure.axes if ax is None else ax)


def learning(
    rows: Iterable[Mapping[str, Any]], *, title: str = "", ax: Sequence[Axes] | None = None
) -> list[Axes]:
    """Draw the error of each method against the number of profiles, a panel for each quantity.

    Args:
        rows: Those of an evaluation (`Evaluation.rows`, or its JSON).
        title: Stands above.
        ax: Where to draw, one for each quantity; a new figure if None.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = draw_learning(learning_plot(rows, title=title), ax)
    return list(figure.axes if ax is None else ax)
