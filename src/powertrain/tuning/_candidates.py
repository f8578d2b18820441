"""Which modes are weighed for the next trial: all of a small space, of a large one what a search meets."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import numpy as np

from powertrain.planning import plan_modes, plan_space
from powertrain.records import FloatArray, ModeTable, PowerMode
from powertrain.space import ModeSpace

__all__ = ["Candidates"]

LISTED = 4096
"""Modes up to which all are weighed: two predictions of so many take some 20 ms."""
DRAWN = 2048
"""Modes drawn at random from a larger space."""
LEADERS, ROUNDS = 4, 6
"""Best ones whose neighbours are looked at, and how often at most."""
NEIGHBOURS = 24
"""Values of a knob that are tried from one mode, evenly over its range and beside it."""

Weigh = Callable[[ModeTable], FloatArray]


@final
class Candidates:
    """The modes of a device, listed or not."""

    def __init__(self, modes: ModeSpace | ModeTable, *, seed: int) -> None:
        """Take a grid, which is never listed if it is large, or the modes that exist."""
        self._space = modes if isinstance(modes, ModeSpace) else None
        small = self._space is None or self._space.size <= LISTED
        self._table = (modes.table() if isinstance(modes, ModeSpace) else modes) if small else None
        self._seed = seed
        self.knobs = modes.names if isinstance(modes, ModeSpace) else modes.knobs
        self.ends = modes.ends() if isinstance(modes, ModeSpace) else _ends_of(modes)

    @property
    def count(self) -> int:
        """How many modes there are."""
        return len(self._table) if self._table is not None else self._grid().size

    def has(self, mode: PowerMode) -> bool:
        """Tell whether a mode is one of them."""
        if self._space is not None:
            return mode in self._space
        assert self._table is not None
        values = [mode[knob] for knob in self._table.knobs]
        return bool((self._table.values == values).all(axis=1).any())

    def spread(self, n: int) -> ModeTable:
        """Return modes spread over the space, `n` or as many as there are."""
        n = min(n, self.count)
        if self._table is None:
            return plan_space(self._grid(), n, seed=self._seed)
        return self._table.take(plan_modes(self._table, n, seed=self._seed))

    def best(
        self, weigh: Weigh, *, around: ModeTable | None, tried: set[PowerMode], turn: int, climbs: bool = True
    ) -> PowerMode | None:
        """Return the mode that weighs most and was not tried; None where every mode was.

        Args:
            weigh: Returns what each mode is worth, `(n,)`.
            around: Modes whose neighbours are looked at in a large space.
            tried: Modes to leave out.
            turn: Names the draw of a large space.
            climbs: Whether the best of the draw are improved step by step.
        """
        if self._table is not None and len(self._table) <= LISTED:
            return _heaviest(self._table, weigh(self._table), tried)
        rng = np.random.default_rng([self._seed, turn])
        if self._space is None:
            assert self._table is not None
            drawn = self._table.take(np.sort(rng.choice(len(self._table), LISTED, replace=False)))
            return _heaviest(drawn, weigh(drawn), tried)
        if not climbs:
            drawn = self._draw(rng)
            return _heaviest(drawn, weigh(drawn), tried)
        return self._searched(weigh, around, tried, rng)

    def _draw(self, rng: np.random.Generator) -> ModeTable:
        """Return modes drawn from a large space."""
        space = self._grid()
        return space.at(np.column_stack([rng.integers(0, length, DRAWN) for length in space.shape]))

    def _searched(
        self, weigh: Weigh, around: ModeTable | None, tried: set[PowerMode], rng: np.random.Generator
    ) -> PowerMode | None:
        """Climb from the best of a draw, and from what is known to be good, by steps along one knob."""
        space = self._grid()
        positions = np.column_stack([rng.integers(0, length, DRAWN) for length in space.shape])
        if around is not None and len(around):
            positions = np.vstack([positions, self._neighbours(self._places(around))])
        worth = weigh(space.at(positions))
        for _ in range(ROUNDS):
            leaders = positions[np.argsort(-worth, kind="stable")[:LEADERS]]
            more = self._neighbours(leaders)
            found = weigh(space.at(more))
            better = found.max() > worth.max() * (1 + 1e-9)
            positions, worth = np.vstack([positions, more]), np.concatenate([worth, found])
            if not better:
                break
        return _heaviest(space.at(positions), worth, tried)

    def _neighbours(self, places: np.ndarray) -> np.ndarray:
        """Return the places that differ in one knob, `(m, n_knobs)`."""
        out: list[np.ndarray] = []
        for j, length in enumerate(self._grid().shape):
            values = np.unique(np.linspace(0, length - 1, min(length, NEIGHBOURS)).round().astype(np.int64))
            beside = np.clip(places[:, j][:, None] + np.array([-2, -1, 1, 2]), 0, length - 1)
            for place, near in zip(places, beside, strict=True):
                column = np.unique(np.concatenate([values, near]))
                moved = np.repeat(place[None], len(column), axis=0)
                moved[:, j] = column
                out.append(moved)
        return np.vstack(out)

    def _places(self, modes: ModeTable) -> np.ndarray:
        knobs = self._grid().knobs
        return np.array([[knob.index(mode[knob.name]) for knob in knobs] for mode in modes])

    def _grid(self) -> ModeSpace:
        if self._space is None:
            raise ValueError("the modes are a table, not a grid")
        return self._space


def _ends_of(modes: ModeTable) -> ModeTable:
    values = np.stack([modes.values.min(axis=0), modes.values.max(axis=0)])
    return ModeTable(knobs=modes.knobs, values=values)


def _heaviest(modes: ModeTable, worth: FloatArray, tried: set[PowerMode]) -> PowerMode | None:
    for row in np.argsort(-worth, kind="stable"):
        if (mode := modes[int(row)]) not in tried:
            return mode
    return None
