"""What every racing method is given, and what it must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt

from powertrain.models import AbstractPredictor
from powertrain.records import FloatArray, ModeTable, PowerMode, Profile, ProfileTable
from powertrain.space import ModeSpace

__all__ = ["Grid", "Observed", "Problem", "Rival"]


def _no_references(method: str) -> Sequence[AbstractPredictor]:
    del method
    return ()


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """One limit on one target, as it is posed to every method alike."""

    modes: ModeTable
    """All modes that exist."""
    space: ModeSpace | None = None
    """The grid that they are, where they are one."""
    limit_w: float
    """The mean power that may not be exceeded [W]."""
    trials: int
    """Measurements that there will be at most."""
    minibatches: int = 10
    """How many a trial trains."""
    overhead_s: float = 3.0
    """What a trial takes besides [s]."""
    seed: int = 0
    references: Callable[[str], Sequence[AbstractPredictor]] = _no_references
    """Returns predictors of other workloads, fitted by a method."""
    memory: dict[Any, Any] = field(default_factory=dict[Any, Any])
    """What does not depend on the limit, and so is computed once for all limits of a target and a seed."""

    @cached_property
    def grid(self) -> Grid:
        """The modes as places on a grid."""
        if "grid" not in self.memory:
            self.memory["grid"] = Grid(self.modes)
        return self.memory["grid"]


class Rival(ABC):
    """A method that searches: it is asked for a mode, told what came of it, and names the best.

    `ask` gives None once the method has seen enough. `named` may be called at any time.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.seen = Observed(problem)

    @abstractmethod
    def ask(self) -> PowerMode | None:
        """Return the mode to measure next, or None."""

    def tell(self, profile: Profile) -> None:
        """Take in what came of a mode."""
        self.seen.add(profile)

    def named(self) -> PowerMode | None:
        """Return the mode that it would run now: one it believes to keep the limit, or None."""
        return self.seen.best()


@final
class Observed:
    """What was measured, repeats averaged; most methods name the best of it."""

    def __init__(self, problem: Problem) -> None:
        self._limit_w = problem.limit_w
        self.profiles: list[Profile] = []
        self._by_mode: dict[PowerMode, list[tuple[float, float]]] = {}

    def __len__(self) -> int:
        return len(self.profiles)

    def __contains__(self, mode: object) -> bool:
        return mode in self._by_mode

    def add(self, profile: Profile) -> None:
        """Take in a measurement."""
        self.profiles.append(profile)
        self._by_mode.setdefault(profile.mode, []).append((profile.time_ms, profile.power_w))

    def of(self, mode: PowerMode) -> tuple[float, float]:
        """Return mean time [ms] and power [W] of a mode that was measured."""
        time_ms, power_w = np.mean(self._by_mode[mode], axis=0)
        return float(time_ms), float(power_w)

    def keeps(self, mode: PowerMode) -> bool:
        """Tell whether a mode that was measured keeps the limit on average."""
        return self.of(mode)[1] <= self._limit_w

    def best(self) -> PowerMode | None:
        """Return the fastest mode that was measured to keep the limit; None where none does."""
        kept = [mode for mode in self._by_mode if self.keeps(mode)]
        return min(kept, key=lambda mode: self.of(mode)[0]) if kept else None

    def table(self, ends: ModeTable) -> ProfileTable:
        """Return what was measured as a predictor takes it."""
        return ProfileTable.of(self.profiles, knobs=ends.knobs, ends=ends).averaged()


@final
class Grid:
    """Modes as places along each knob. A place without a mode stands for the nearest one that exists."""

    def __init__(self, modes: ModeTable) -> None:
        self.modes = modes
        self.space = ModeSpace.spanned_by(modes)
        self.levels: list[FloatArray] = [np.asarray(knob.values) for knob in self.space.knobs]
        columns: list[npt.NDArray[np.int64]] = [
            np.searchsorted(level, modes.values[:, j]).astype(np.int64) for j, level in enumerate(self.levels)
        ]
        self.places = np.column_stack(columns)
        self.shape = self.space.shape
        listed: list[list[int]] = self.places.tolist()
        self._rows = {tuple(place): row for row, place in enumerate(listed)}

    @cached_property
    def ends(self) -> ModeTable:
        """The smallest and the largest value of each knob."""
        return self.space.ends()

    @cached_property
    def unit(self) -> FloatArray:
        """Each mode in `[0, 1]` along every knob, by its place, `(n, k)`."""
        return self.places / np.maximum(np.array(self.shape) - 1, 1)

    def row(self, place: Sequence[int]) -> int:
        """Return the row of the mode at a place, or of the nearest one."""
        clipped = np.clip(place, 0, np.array(self.shape) - 1)
        row = self._rows.get(tuple(clipped.tolist()))
        if row is not None:
            return row
        away = np.abs(self.places - clipped) / np.maximum(np.array(self.shape) - 1, 1)
        return int(np.argmin(away.sum(axis=1)))

    def place_of(self, mode: PowerMode) -> tuple[int, ...]:
        """Return the place of a mode."""
        return tuple(
            int(np.argmin(np.abs(level - mode[name])))
            for level, name in zip(self.levels, self.space.names, strict=True)
        )
