"""Modes worth choosing from in a space that is too large to predict in full.

A search starts from the best of many modes drawn at random. From each it moves to the best neighbour, over
and over, until no neighbour is better. Neighbours differ in one knob (by any amount, or by steps that double
where it has many values), or in two knobs by one step each. Steps in two knobs are needed at a limit, where
one knob can rise only when another falls.

The result need not be the best mode of the space, only one that no small change improves.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product
from typing import final

import numpy as np
import numpy.typing as npt

from powertrain.optimisation._choose import Objective
from powertrain.optimisation._limits import bounds, value_of
from powertrain.quantities import find
from powertrain.records import FloatArray, Limits, ModeTable, Prediction
from powertrain.space import ModeSpace

__all__ = ["search_modes"]

Positions = npt.NDArray[np.int64]
"""`(n, n_knobs)` places of modes along the values of each knob."""

DRAWN = 20_000
"""Modes drawn at random: what a predictor answers for in a fraction of a second."""
STARTS = 16
"""How many of the best of them are starts of a search.

Of 54 choices on a grid of 1,627,920 modes, 4 starts missed the best mode in 7, by 0.3 % at most; 16 in none.
"""
MOST_LOOKED = 100_000
"""Modes after which no further start is taken: of many knobs each move looks at thousands."""
MOST_MOVES = 200
"""Moves after which a search ends anyway."""
MOST_TRIED = 64
"""Values of a knob up to which a move tries all of them."""
MOST_PAIRED = 60
"""Knobs up to which two are moved together: pairs grow as the square of their number."""


def search_modes(
    predict: Callable[[ModeTable], Prediction],
    space: ModeSpace,
    *,
    objective: Objective = "time",
    limits: Limits | None = None,
    risk: float = 0.05,
    exist: Callable[[ModeTable], npt.NDArray[np.bool_]] | None = None,
    seed: int = 0,
) -> ModeTable:
    """Return all modes that a search for the best one looked at, each once; `choose` finds the best of them.

    A space of no more modes than it would draw is looked at in full.

    Args:
        predict: Predicts any modes of the space.
        space: Where to search; it is never listed.
        objective: What to minimise.
        limits: What the mode has to keep, none by default.
        risk: As for `choose`.
        exist: Tells which of some modes the device has, `(n_modes,)` booleans; all of them by default.
        seed: Of the modes drawn at random.

    Raises:
        DataError: The objective or a limit needs a quantity that the predictor never saw.
        ValueError: The risk is not between 0 and 1.
    """
    if space.size <= DRAWN:
        modes = space.table()
        return modes if exist is None else modes.take(exist(modes))
    rng = np.random.default_rng(seed)
    shape = np.array(space.shape)
    ends = np.stack([np.zeros_like(shape), shape - 1])
    look = _Look(predict, space, objective, limits or Limits(), risk, exist)
    drawn = look.best_first(np.vstack([ends, rng.integers(shape, size=(DRAWN, len(shape)))]))
    for start in drawn[:STARTS]:
        _climb(look, start, shape)
        if sum(map(len, look.seen)) > MOST_LOOKED:
            break
    return space.at(np.unique(np.vstack(look.seen), axis=0))


@final
class _Look:
    """Predicts modes, ranks them, and remembers what it has seen."""

    def __init__(
        self,
        predict: Callable[[ModeTable], Prediction],
        space: ModeSpace,
        objective: Objective,
        limits: Limits,
        risk: float,
        exist: Callable[[ModeTable], npt.NDArray[np.bool_]] | None,
    ) -> None:
        self._predict, self._space, self._exist = predict, space, exist
        self._goal, self._limits, self._risk = find(objective), limits, risk
        self.seen: list[Positions] = [np.zeros((0, len(space.knobs)), dtype=np.int64)]

    def best_first(self, places: Positions) -> Positions:
        """Return those of some modes that exist, the best first."""
        if self._exist is not None:
            places = places[self._exist(self._space.at(places))]
        if not len(places):
            return places
        self.seen.append(places)
        prediction = self._predict(self._space.at(places))
        value = value_of(prediction, self._goal, asked=f"objective {self._goal.name}")
        # A mode that exceeds a limit by less is better, whatever its objective: the way to where it is kept.
        return places[np.lexsort((np.nan_to_num(value, nan=np.inf), self._excess(prediction)))]

    def _excess(self, prediction: Prediction) -> FloatArray:
        """Return how far each mode is beyond the limit that it exceeds most, as a share of it; 0 if none."""
        worst = np.zeros(len(prediction))
        asked = self._limits.active()
        for name, bound in bounds(prediction, self._limits, risk=self._risk).items():
            over = (np.nan_to_num(bound, nan=np.inf) - asked[name]) / max(abs(asked[name]), 1e-12)
            worst = np.maximum(worst, over)
        return worst


def _climb(look: _Look, start: npt.NDArray[np.int64], shape: npt.NDArray[np.int64]) -> None:
    """Move from a mode to its best neighbour until none is better."""
    here = start
    for _ in range(MOST_MOVES):
        # The mode itself comes first, so that an equal neighbour does not count as better.
        best = look.best_first(np.vstack([here, _neighbours(here, shape)]))[0]
        if np.array_equal(best, here):
            return
        here = best


def _neighbours(here: npt.NDArray[np.int64], shape: npt.NDArray[np.int64]) -> Positions:
    """Return the modes that differ in one knob, or in two knobs by one step each."""
    found: list[npt.NDArray[np.int64]] = []
    for j, length in enumerate(shape.tolist()):
        found += [_moved(here, {j: place}) for place in _other_places(int(here[j]), length)]
    pairs = combinations(range(len(shape)), 2) if len(shape) <= MOST_PAIRED else ()
    for (i, j), (up, along) in product(pairs, product((-1, 1), repeat=2)):
        found.append(_moved(here, {i: int(here[i]) + up, j: int(here[j]) + along}))
    places = np.array(found, dtype=np.int64).reshape(-1, len(shape))
    return places[((places >= 0) & (places < shape)).all(axis=1)]


def _other_places(place: int, length: int) -> list[int]:
    """Return all other places along a knob, or of a long one those at 1, 2, 4, ... steps either way."""
    if length <= MOST_TRIED:
        return [other for other in range(length) if other != place]
    steps = [1 << i for i in range(length.bit_length())]
    return [other for step in steps for other in (place - step, place + step) if 0 <= other < length]


def _moved(here: npt.NDArray[np.int64], to: dict[int, int]) -> npt.NDArray[np.int64]:
    place = here.copy()
    for j, value in to.items():
        place[j] = value
    return place
