"""How values show themselves: one line where they are printed, a small table in a notebook."""

from __future__ import annotations

import html
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

__all__ = ["Shown", "View", "rows_view", "view_html"]

_ENDS = 5
"""Rows that are shown from the beginning and from the end of a long table."""


@final
@dataclass(frozen=True, kw_only=True)
class View:
    """What is shown of a value."""

    title: str
    """One line that says what it is."""
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    left_out: int = 0
    """How many rows there are between the first and the last that are shown."""


class Shown(ABC):
    """A value with a line for `repr` and a table for notebooks."""

    @abstractmethod
    def _view(self) -> View:
        """Return what is shown."""

    def __repr__(self) -> str:
        return f"<{self._view().title}>"

    def _repr_html_(self) -> str:
        return view_html(self._view())


def view_html(view: View) -> str:
    """Return a view as a table for a notebook."""
    title = f"<strong>{html.escape(view.title)}</strong>"
    if not view.rows:
        return f"<div>{title}</div>"
    heads = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in view.headings)
    lines = ["<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in view.rows]
    if view.left_out:
        lines.insert(_ENDS, f'<tr><td colspan="{len(view.headings)}">… {view.left_out:,} more …</td></tr>')
    head = f"<thead><tr>{heads}</tr></thead>" if heads else ""
    return f"<div>{title}<table>{head}<tbody>{''.join(lines)}</tbody></table></div>"


def rows_view(title: str, columns: Mapping[str, npt.NDArray[Any]]) -> View:
    """Return the view of columns of equal length: of many rows, the first and the last."""
    n = len(next(iter(columns.values()))) if columns else 0
    whole = n <= 2 * _ENDS
    rows = np.arange(n) if whole else np.r_[0:_ENDS, n - _ENDS : n]
    cells = [np.asarray(column)[rows].tolist() for column in columns.values()]
    return View(
        title=title,
        headings=list(columns),
        rows=list(zip(*cells, strict=True)),
        left_out=0 if whole else n - 2 * _ENDS,
    )


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return html.escape(str(value))
