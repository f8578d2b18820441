"""Exact Pareto fronts of any number of minimised costs.

Row p *dominates* row q when no cost of p is higher and at least one is lower. Three steps find the rows that
nobody dominates, all on whole columns:

1. **Prefilter.** Rows that dominate much of a sample (pivots) remove all rows that they dominate. Where
   pivots remove too little, a staircase drawn on a coarse grid does better. Both leave a small part of most
   clouds.
2. **Order.** The rest is sorted by the first cost, ties by the next cost and finally by index. Then a row can
   be beaten only by one before it, and "no cost is higher" decides alone, so that the first of equal rows
   stays.
3. **Sweep** (two costs). A row stays when its second cost is a new minimum.
   **Divide and conquer** (more costs). The front of the first half filters the second half in one cost less,
   after H. T. Kung, F. Luccio and F. P. Preparata, "On finding the maxima of a set of vectors", J. ACM 22
   (1975) 469-476. Blocks of `BLOCK` rows are compared through sets of bits, 64 pairs at a time.

For n rows the worst case is O(n log n) for two costs, O(n log² n) for three and O(n (log n)^(k-1)) for k.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["pareto_front", "pareto_mask"]

BoolArray = npt.NDArray[np.bool_]
IndexArray = npt.NDArray[np.intp]
Column = npt.NDArray[Any]  # (n,): one cost of all rows, of any real type
Columns = Sequence[Column]

# Tuned on the clouds of benchmarks/fronts.py; no value changes a result.
SMALL = 2_048  # rows below which pivots cost more than they save
SAMPLE = 512  # rows of the sample in which pivots are sought
CANDIDATES = 64  # how many of its best are tried
LEAST_GAIN = {2: 0.4}  # share of the sample that a pivot must remove, by number of costs: sorting is cheap,
LEAST_GAIN_ELSE = 0.1  # dividing is not
MANY = {2: 50_000}  # rows from which a staircase costs less than it saves, by number of costs
MANY_ELSE = 8_192
STEPS = {2: 8_192}  # steps of the staircase along each cost but the last, by number of costs
CELLS = 65_536  # or else cells of its grid altogether; also the rows that it is drawn from
FEWEST_STEPS = 6  # below which the grid of many costs is too coarse to be of use
BLOCK = 1_024  # rows that are compared each with each
SLICE = 4_096  # rows compared with a block at once, so that the sets stay in the cache
ONE = np.uint64(1)


def pareto_mask(costs: npt.ArrayLike) -> BoolArray:
    """Mark the rows of `(n, k)` minimised costs that no other row dominates, as `(n,)` booleans.

    Of equal rows only the lowest index is marked. A row with NaN is never marked and dominates nobody;
    infinities compare as numbers do. Integers are compared as integers. No rows give an empty mask.

    Raises:
        ValueError: when `costs` is not two-dimensional with at least one column of real numbers.
    """
    table = _table(costs)
    mask = np.zeros(len(table), dtype=np.bool_)
    mask[_front(table)] = True
    return mask


def pareto_front(costs: npt.ArrayLike) -> IndexArray:
    """Return the indices of the rows that `pareto_mask` marks, by rising first cost.

    Rows that share their first cost (with three costs or more) follow by the second, and so on.

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
    if table.dtype.kind == "b":
        # False and true count as 0 and 1, which numpy can subtract only as numbers.
        return table.view(np.uint8)
    if table.dtype.kind == "f":
        return table.astype(np.result_type(table.dtype, np.float64), copy=False)
    return table


def _front(table: npt.NDArray[Any]) -> IndexArray:
    """Return the indices of the front in no particular order."""
    # Each step works on whole columns, which lie closer together in memory than the rows of a table.
    columns: Columns = list(table.T)
    rows = np.arange(len(table))
    if table.dtype.kind == "f" and (missing := np.isnan(table)).any():
        columns, rows = _kept(columns, rows, ~np.any(missing, axis=1))
    if len(columns) == 1:
        return rows[columns[0].argmin()][None] if len(rows) else rows
    columns, rows = _without_beaten_by_pivots(columns, rows)
    columns, rows = _without_above_staircase(columns, rows)
    return rows[_sweep(*columns) if len(columns) == 2 else _divide(columns)]


def _kept(columns: Columns, rows: IndexArray, keep: BoolArray) -> tuple[Columns, IndexArray]:
    at = np.flatnonzero(keep)
    return [column[at] for column in columns], rows[at]


# Step 1


def _without_beaten_by_pivots(columns: Columns, rows: IndexArray) -> tuple[Columns, IndexArray]:
    """Drop rows that some strong rows dominate, as long as a round removes at least a fifth."""
    before = np.inf
    while SMALL < len(rows) <= 0.8 * before:
        before = len(rows)
        for pivot in _pivots(columns):
            keep = columns[0] < pivot[0]
            twins = np.flatnonzero(columns[0] == pivot[0])
            for column, value in zip(columns[1:], pivot[1:], strict=True):
                keep |= column < value
                twins = twins[column[twins] == value]
            keep[twins[0]] = True  # the pivot itself, or its equal with the lowest index
            columns, rows = _kept(columns, rows, keep)
    return columns, rows


def _pivots(columns: Columns) -> Iterator[list[Any]]:
    """Yield rows of a regular sample, each the one that dominates most of what the former left of it."""
    step = -(-len(columns[0]) // SAMPLE)
    sample = [column[::step] for column in columns]
    # A row that ranks low in all costs together is likely to dominate many; ranks make costs comparable.
    best = np.argsort(sum(np.argsort(np.argsort(column)) for column in sample))[:CANDIDATES]
    beats = np.ones((len(best), len(sample[0])), dtype=np.bool_)
    for column in sample:
        beats &= column[best, None] <= column
    least = LEAST_GAIN.get(len(columns), LEAST_GAIN_ELSE) * len(sample[0])
    while True:
        gains = np.count_nonzero(beats, axis=1)
        winner = int(gains.argmax())
        if gains[winner] < least:
            return
        yield [column[best[winner]] for column in sample]
        beats &= ~beats[winner]


def _without_above_staircase(columns: Columns, rows: IndexArray) -> tuple[Columns, IndexArray]:
    """Drop rows above a staircase, as long as that removes at least three tenths of a sample.

    All costs but the last are put into bins. The staircase is the lowest last cost that a sampled row has in
    bins all lower. A bin rises with its cost, rounded or not, so that such a row is truly lower in all.
    """
    k = len(columns)
    while len(rows) >= MANY.get(k, MANY_ELSE):
        step = -(-len(rows) // CELLS)
        sample = [column[::step] for column in columns]
        steps = STEPS.get(k, int(min(len(rows), CELLS) ** (1 / (k - 1))))
        scales = [_scale(column, steps) for column in columns[:-1]]
        if steps < FEWEST_STEPS or not all(0 < factor < np.inf for _, factor in scales):
            break  # too many costs, or one of them all equal or infinite
        cells = _cells(sample, scales, steps)
        stairs = _staircase(cells, sample[-1], columns[-1].max(), steps=steps, axes=k - 1)
        if np.mean(sample[-1] <= stairs[cells]) > 0.7:
            break
        columns, rows = _kept(columns, rows, columns[-1] <= stairs[_cells(columns, scales, steps)])
    return columns, rows


def _scale(column: Column, steps: int) -> tuple[float, float]:
    """Return the lowest value and the bins per unit."""
    low, high = float(column.min()), float(column.max())
    return low, steps / (high - low) if high > low else 0.0


def _cells(columns: Columns, scales: Sequence[tuple[float, float]], steps: int) -> npt.NDArray[np.int32]:
    """Return the cell of each row in a flat grid with two more bins than `steps` along each axis."""
    cells = np.zeros(len(columns[0]), dtype=np.int32)
    for column, (low, factor) in zip(columns[:-1], scales, strict=True):
        cells *= steps + 2
        cells += ((column - low) * factor).astype(np.int32)
    return cells


def _staircase(cells: npt.NDArray[np.int32], last: Column, top: Any, *, steps: int, axes: int) -> Column:
    """Return, for every cell, the lowest `last` in cells lower along all axes, or `top`."""
    width = steps + 2
    one_up = sum(width**axis for axis in range(axes))
    stairs = np.full(width**axes, top)
    np.minimum.at(stairs, cells + one_up, last)
    stairs = stairs.reshape((width,) * axes)
    for axis in range(axes):
        stairs = np.minimum.accumulate(stairs, axis=axis)
    return stairs.reshape(-1)


# Steps 2 and 3


def _sweep(x: Column, y: Column) -> IndexArray:
    """Return the front of two costs."""
    order = np.argsort(x)
    ordered = y[order]
    # A rough pass first: most rows go, so that the exact order of ties is worked out for few.
    order = order[ordered <= np.minimum.accumulate(ordered)]
    if _has_ties(x[order]):
        order.sort()  # lexsort is stable: the index decides last
        order = order[np.lexsort((y[order], x[order]))]
    ordered = y[order]
    new_minimum = np.ones(len(order), dtype=np.bool_)
    new_minimum[1:] = ordered[1:] < np.minimum.accumulate(ordered)[:-1]
    return order[new_minimum]


def _has_ties(ordered: Column) -> bool:
    return bool((ordered[1:] == ordered[:-1]).any())


def _divide(columns: Columns) -> IndexArray:
    """Return the front of three or more costs."""
    order = np.argsort(columns[0])
    if _has_ties(columns[0][order]):
        order = np.lexsort(tuple(columns[::-1]))
    rest = [column[order] for column in columns[1:]]
    alive = np.ones(len(order), dtype=np.bool_)
    _conquer(rest, alive, np.argsort(rest[-2], kind="stable"), 0, len(order))
    return order[alive]


def _conquer(rest: Columns, alive: BoolArray, rows: IndexArray, start: int, stop: int) -> None:
    """Mark as not alive what is beaten among `rows`, which lie in `start` to `stop`, by rising `rest[-2]`."""
    if len(rows) <= BLOCK:
        alive[rows[_beaten_within(rest, rows)]] = False
        return
    middle = (start + stop) // 2
    later = rows >= middle
    _conquer(rest, alive, rows[~later], start, middle)
    if len(rest) == 2:
        beaten = _beaten_in_order(rest[-1][rows], strong=~later & alive[rows]) & later
        alive[rows[beaten]] = False
    else:
        strong, weak = rows[~later & alive[rows]], rows[later]
        alive[weak[_beaten(rest, strong, weak)]] = False
    _conquer(rest, alive, rows[later & alive[rows]], middle, stop)


def _beaten_in_order(y: Column, *, strong: BoolArray) -> BoolArray:
    """Mark the entries of `y` that a strong one before them (or they themselves) does not exceed."""
    if not strong.any():
        return np.zeros(len(y), dtype=np.bool_)
    beaten = np.minimum.accumulate(np.where(strong, y, y.max())) <= y
    beaten[: strong.argmax()] = False  # nothing strong so far: the filling may equal a true cost
    return beaten


def _beaten(costs: Columns, strong: IndexArray, weak: IndexArray) -> BoolArray:
    """Mark the rows `weak` that one of `strong` does not exceed in any cost; both by rising `costs[-2]`."""
    beaten = np.zeros(len(weak), dtype=np.bool_)
    if not len(strong) or not len(weak):
        return beaten
    if len(costs) == 2:
        x, y = costs
        before = np.searchsorted(x[strong], x[weak], side="right")
        return (before > 0) & (np.minimum.accumulate(y[strong])[before - 1] <= y[weak])
    if len(strong) <= BLOCK:
        for i in range(0, len(weak), SLICE):
            beaten[i : i + SLICE] = _beaten_by_block(costs, strong, weak[i : i + SLICE])
        return beaten
    of_strong, of_weak = costs[0][strong], costs[0][weak]
    both = np.concatenate((of_strong, of_weak))
    pivot = np.partition(both, len(both) // 2)[len(both) // 2]
    beaten |= _beaten_from(costs[1:], strong[of_strong <= pivot], weak, of_weak >= pivot)
    beaten |= _beaten_from(costs, strong[of_strong < pivot], weak, of_weak < pivot)
    beaten |= _beaten_from(costs, strong[of_strong > pivot], weak, (of_weak > pivot) & ~beaten)
    return beaten


def _beaten_from(costs: Columns, strong: IndexArray, weak: IndexArray, among: BoolArray) -> BoolArray:
    beaten = np.zeros(len(weak), dtype=np.bool_)
    beaten[among] = _beaten(costs, strong, weak[among])
    return beaten


def _beaten_by_block(costs: Columns, strong: IndexArray, weak: IndexArray) -> BoolArray:
    """Do as `_beaten`, for at most `BLOCK` strong rows: meet, cost by cost, the sets that do not exceed."""
    sets: npt.NDArray[np.uint64] | None = None
    for column in costs:
        order = np.argsort(column[strong])
        count = np.searchsorted(column[strong[order]], column[weak], side="right")
        lower = _growing_sets(order)[count]
        sets = lower if sets is None else np.bitwise_and(sets, lower, out=sets)
    assert sets is not None
    return np.any(sets, axis=1)


def _beaten_within(rest: Columns, rows: IndexArray) -> BoolArray:
    """Mark which of at most `BLOCK` rows an earlier one of them does not exceed in `rest`.

    The rows come by rising `rest[-2]`. A row that beats another is before it there, and so in every order
    whose ties are left as they come: ranks tell all.
    """
    position = np.arange(len(rows))
    sets = _growing_sets(position)[:-1]
    rank = np.empty_like(position)
    for column in (rows, *(column[rows] for column in (*rest[:-2], rest[-1]))):
        order = np.argsort(column, kind="stable")
        rank[order] = position
        sets = sets & _growing_sets(order)[rank]
    return np.any(sets, axis=1)


def _growing_sets(order: IndexArray) -> npt.NDArray[np.uint64]:
    """Return `(m + 1, words)` sets of bits, row i the first i of `order`, a permutation of 0 to m - 1."""
    sets = np.zeros((len(order) + 1, -(-len(order) // 64)), dtype=np.uint64)
    sets[np.arange(1, len(order) + 1), order >> 6] = ONE << (order & 63).astype(np.uint64)
    return np.bitwise_or.accumulate(sets, axis=0)
