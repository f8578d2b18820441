"""Exact Pareto fronts of any number of minimised costs.

Row p *dominates* row q when no cost of p is higher and at least one is lower. Three steps find the rows that
nobody dominates, all on whole columns:

1. **Pivots.** One strong row after another removes everything it dominates, while that pays. On most clouds
   this leaves a few thousand rows out of a million.
2. **Order.** What is left is sorted lexicographically, the index last. Then a row can only be beaten by one
   before it, and of equal rows the lowest index comes first, so "no cost higher" decides alone.
3. **Sweep** (two costs: a row stays when its second cost is a new minimum) or **divide and conquer** (more
   costs: the front of the first half filters the second half, in one cost less), after H. T. Kung, F. Luccio
   and F. P. Preparata, "On finding the maxima of a set of vectors", J. ACM 22 (1975) 469-476.

For n rows the worst case is O(n log n) for two costs, O(n log² n) for three and O(n (log n)^(k-1)) for k.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["pareto_front", "pareto_mask"]

BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]
Columns = npt.NDArray[Any]  # (k, n): one contiguous row per cost

SMALL = 2_048  # rows below which looking for pivots costs more than it saves
SAMPLE = 4_096  # rows among which a pivot is sought
MAX_PIVOTS = 64  # enough for seven costs; each must remove a tenth of the rows for the next to be tried
BINS = 8_192  # steps of the bounding staircase for two costs
BLOCK = 64  # rows compared each with each
PAIRS = 1 << 14  # comparisons of a part not worth dividing


def pareto_mask(costs: npt.ArrayLike) -> BoolArray:
    """Mark the rows of `(n, k)` minimised costs that no other row dominates, as `(n,)` booleans.

    Of equal rows only the lowest index is marked. A row with NaN is never marked and dominates nobody;
    infinities compare as numbers. Integers are compared as integers. No rows give an empty mask.

    Raises:
        ValueError: when `costs` is not two-dimensional with at least one column of real numbers.
    """
    table = _table(costs)
    mask = np.zeros(len(table), dtype=np.bool_)
    mask[_front(table)] = True
    return mask


def pareto_front(costs: npt.ArrayLike) -> IndexArray:
    """Return the indices of the rows that `pareto_mask` marks, by rising first cost.

    Rows that share their first cost (three costs or more) follow by the second, and so on.

    Raises:
        ValueError: as `pareto_mask`.
    """
    table = _table(costs)
    rows = _front(table)
    return rows[np.lexsort(table[rows].T[::-1])]


def _table(costs: npt.ArrayLike) -> npt.NDArray[Any]:
    table = np.asarray(costs)
    if table.shape == (0,):
        table = table.reshape(0, 1)
    if table.ndim != 2 or table.shape[1] < 1:
        raise ValueError(f"costs have shape {table.shape}: give (n, k), a row per mode and a column per cost")
    if table.dtype.kind not in "biuf":
        raise ValueError(f"costs are of type {table.dtype}: give real numbers")
    return table


def _front(table: npt.NDArray[Any]) -> IndexArray:
    """Return the indices of the front in no particular order."""
    columns = np.ascontiguousarray(table.T)
    rows: IndexArray | None = None
    if table.dtype.kind == "f" and np.isnan(columns).any():
        rows = np.flatnonzero(~np.isnan(columns).any(axis=0))
        columns = np.ascontiguousarray(columns[:, rows])
    kept = _pivoted(columns)
    if len(columns) == 2:
        kept = _below_staircase(columns, kept)
    columns = columns[:, kept]
    found = _sweep(columns) if len(columns) <= 2 else _divide(columns)
    kept = kept[found]
    return kept if rows is None else rows[kept]


def _pivoted(columns: Columns) -> IndexArray:
    """Return rows that hold the whole front: what some strong rows leave over."""
    kept = np.arange(columns.shape[1])
    for _ in range(MAX_PIVOTS):
        before = len(kept)
        if before <= SMALL:
            break
        pivot = columns[:, kept[_strong_row(columns)]]
        no_better = columns[0] >= pivot[0]
        for column, value in zip(columns[1:], pivot[1:], strict=True):
            no_better &= column >= value
        ...
    return kept
