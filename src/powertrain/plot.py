"""Drawings for notebooks and papers: `pt.plot.front(...)` and the like.

Each function draws on axes of yours, or makes a figure, and returns the axes. They need matplotlib (the extra
`report`). `page` makes an interactive page instead, without matplotlib.

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

from powertrain.devices import AbstractDevice, is_simulated
from powertrain.records import Choice, ModeTable, Prediction, ProfileTable
from powertrain.report import (
    Goal,
    Marks,
    agreement_plot,
    draw_agreement,
    draw_front,
    draw_learning,
    front_plot,
    front_view,
    learning_plot,
    render_html,
)
from powertrain.workflow import Front, front_page, spec_to_apply

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["agreement", "front", "learning", "page"]


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
    prediction, modes = _predicted(found, modes)
    basis = "measured" if prediction.is_measured else "predicted"
    figure = draw_front(
        front_plot(prediction, modes, title=title, choice=choice, truth=truth, basis=basis), ax
    )
    return figure.axes[0] if ax is None else ax


def page(
    found: Front | Prediction | ProfileTable,
    modes: ModeTable | None = None,
    *,
    choice: Choice | None = None,
    measured: ProfileTable | None = None,
    device: AbstractDevice | None = None,
    title: str = "",
) -> str:
    """Return an interactive page in HTML: its power limit can be dragged, and each mode shows its knobs.

    The page is one file that loads nothing. Its limit starts at that of the choice. It needs no matplotlib.

    Args:
        found: A prediction, with its `modes`; a `Front`; or profiles, as they were measured.
        modes: `(n, n_knobs)` modes of a prediction.
        choice: Gives the objective, the limits and the risk; without it the fastest mode is chosen.
        measured: The profiles behind a prediction, which are marked.
        device: Stands in the command that applies the mode chosen.
        title: Stands above.

    Raises:
        TypeError: A prediction came without its modes.
        DataError: No mode has both a time and a power.
    """
    prediction, modes = _predicted(found, modes)
    view = front_view(
        prediction,
        modes,
        title=title or "Time and power",
        goal=None if choice is None else Goal.of(choice),
        marks=Marks(measured=measured),
        device=spec_to_apply(device),
    )
    return render_html(front_page(view, simulated=device is not None and is_simulated(device.name)))


def _predicted(
    found: Front | Prediction | ProfileTable, modes: ModeTable | None
) -> tuple[Prediction, ModeTable]:
    """Return predictions and their modes, whatever they are in.

    Raises:
        TypeError: A prediction came without its modes.
    """
    if isinstance(found, Front):
        return found.prediction, found.modes
    if isinstance(found, ProfileTable):
        return Prediction.measured(found), found.modes
    if modes is None:
        raise TypeError("a prediction does not know its modes: give them as the second argument")
    return found, modes


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
