"""Knobs and the spaces they span: grids that can be indexed without being listed.

A `ModeSpace` stores only the values of each knob and computes mode `i` from its number, so a space of 10^30
modes costs as little as one of ten. Any numeric knob is allowed; those in `powertrain.knobs` merely have a
description.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from powertrain.errors import LargeSpaceError, MissingKnobError, UnknownNameError
from powertrain.knobs import KNOWN_KNOBS as KNOWN_KNOBS
from powertrain.knobs import SOFTWARE_KNOBS as SOFTWARE_KNOBS
from powertrain.knobs import KnownKnob as KnownKnob
from powertrain.knobs import is_speed as is_speed
from powertrain.records import ModeTable, PowerMode, Shown, View

__all__ = ["KNOWN_KNOBS", "MOST_LISTED", "SOFTWARE_KNOBS", "Knob", "KnownKnob", "ModeSpace", "is_speed"]

MOST_LISTED = 10_000_000
"""Modes up to which a space is listed as one table: about a gigabyte, and a minute to predict them."""


@final
@dataclass(frozen=True, kw_only=True)
class Knob:
    """One setting and its finite list of values, ascending and distinct."""

    name: str
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        values = tuple(sorted({float(v) for v in self.values}))
        if not values or not all(map(math.isfinite, values)):
            raise ValueError(f"knob {self.name} needs at least one finite value, not {self.values!r}")
        object.__setattr__(self, "values", values)

    def index(self, value: float) -> int:
        """Return the position of `value`, which must equal one of the knob's values to 1 part in 10^9."""
        # A value far outside the range is equally far from all values in floating point: the end is nearest.
        clipped = min(max(value, self.values[0]), self.values[-1])
        nearest = min(self.values, key=lambda own: abs(own - clipped))
        # Clocks are read and written in Hz, kHz and MHz, which rounds their last digits.
        if math.isclose(nearest, value, rel_tol=1e-9, abs_tol=1e-12):
            return self.values.index(nearest)
        raise ValueError(f"{self.name} has no value {value:.10g}: the nearest is {nearest:.10g}")


@final
@dataclass(frozen=True, repr=False)
class ModeSpace(Shown):
    """All combinations of some knobs' values; mode `i` counts with the last knob fastest."""

    knobs: tuple[Knob, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "knobs", tuple(self.knobs))
        names = self.names
        if not names or len(set(names)) != len(names):
            raise ValueError(f"a mode space needs distinct knobs, not {names}")

    @classmethod
    def of(cls, values: Mapping[str, Iterable[float]]) -> ModeSpace:
        """Build a space from knob names and their values."""
        return cls(tuple(Knob(name=name, values=tuple(v)) for name, v in values.items()))

    @classmethod
    def spanned_by(cls, modes: ModeTable) -> ModeSpace:
        """Return the smallest grid that holds all of `modes`."""
        return cls.of({name: modes.values[:, j] for j, name in enumerate(modes.knobs)})

    def _view(self) -> View:
        rows = [(k.name, len(k.values), k.values[0], k.values[-1]) for k in self.knobs]
        title = f"space of {self.size:,} modes: {', '.join(self.names)}"
        return View(title=title, headings=("knob", "values", "from", "to"), rows=rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the knobs, in order."""
        return tuple(knob.name for knob in self.knobs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each knob."""
        return tuple(len(knob.values) for knob in self.knobs)

    @property
    def size(self) -> int:
        """Number of modes; `len` raises an error above `sys.maxsize`, this does not."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        if self.size > sys.maxsize:
            raise OverflowError(f"a space of {self.size:,} modes is too large for len(): use space.size")
        return self.size

    def __bool__(self) -> bool:
        # Without this, Python asks `len`, and every space has at least one mode.
        return True

    def __getitem__(self, index: int) -> PowerMode:
        places = zip(self.knobs, self._positions(index), strict=True)
        return PowerMode({knob.name: knob.values[position] for knob, position in places})

    def _positions(self, index: int) -> list[int]:
        """Return the position of mode `index` along each knob."""
        if not -self.size <= index < self.size:
            raise IndexError(f"mode {index} was asked for, and the space has {self.size:,} modes")
        rest, positions = index % self.size, list[int]()
        for length in reversed(self.shape):
            rest, position = divmod(rest, length)
            positions.append(position)
        return positions[::-1]

    def __iter__(self) -> Iterator[PowerMode]:
        return (self[i] for i in range(self.size))

    def __contains__(self, mode: object) -> bool:
        if not isinstance(mode, Mapping):
            return False
        try:
            self.index(mode)  # pyright: ignore[reportUnknownArgumentType]
        except (ValueError, MissingKnobError):
            return False
        return True

    def index(self, mode: Mapping[str, float]) -> int:
        """Return the number `i` of a mode, such that `space[i] == mode`.

        Raises:
            MissingKnobError: The mode has other knobs than the space.
            ValueError: A value is not one of its knob's.
        """
        if set(mode) != set(self.names):
            raise MissingKnobError(f"the mode has {', '.join(mode)}; the space has {', '.join(self.names)}")
        i = 0
        for knob in self.knobs:
            i = i * len(knob.values) + knob.index(mode[knob.name])
        return i

    def table(self, indices: npt.ArrayLike | None = None) -> ModeTable:
        """Return the modes at `indices` (all of them by default; a mask works too) as one array.

        Raises:
            LargeSpaceError: All modes were asked for, and there are more than `MOST_LISTED`.
            IndexError: An index is not in the space.
        """
        if indices is None:
            self._refuse_to_list()
            return self.table(np.arange(self.size))
        if self.size > np.iinfo(np.int64).max:
            # The numbers may be beyond numpy's integers, so Python's do the division.
            each = [self._positions(int(i)) for i in np.asarray(indices, dtype=object).reshape(-1)]
            return self.at(np.array(each, dtype=np.int64).reshape(-1, len(self.knobs)))
        chosen = np.asarray(indices)
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)
        chosen = np.where(chosen < 0, chosen + self.size, chosen)
        if ((chosen < 0) | (chosen >= self.size)).any():
            raise IndexError(f"a mode was asked for that is not among the {self.size:,} of the space")
        return self.at(np.stack(np.unravel_index(chosen, self.shape), axis=-1).reshape(-1, len(self.knobs)))

    def at(self, positions: npt.NDArray[np.int64]) -> ModeTable:
        """Return the modes at `(n, n_knobs)` positions along each knob's values, counted from 0."""
        columns = [np.asarray(knob.values)[positions[:, j]] for j, knob in enumerate(self.knobs)]
        return ModeTable(knobs=self.names, values=np.column_stack(columns))

    def _refuse_to_list(self) -> None:
        if self.size > MOST_LISTED:
            raise LargeSpaceError(
                f"a space of {self.size:,} modes is too large to list, more than {MOST_LISTED:,}: plan some "
                "of its modes (powertrain modes DEVICE --sample N), or give the modes in a file"
            )

    def ends(self) -> ModeTable:
        """Return two modes: every knob at its smallest value, and every knob at its largest."""
        ends = [[knob.values[end] for knob in self.knobs] for end in (0, -1)]
        return ModeTable(knobs=self.names, values=np.array(ends))

    def knob(self, name: str) -> Knob:
        """Return the knob called `name`."""
        for knob in self.knobs:
            if knob.name == name:
                return knob
        raise UnknownNameError.of("knob", name, self.names)

    def thinned(self, **steps: int) -> ModeSpace:
        """Return the space with every `step`-th value of the named knobs, counted from the largest.

        The largest value always stays: `space.thinned(cpu_cores=2)` keeps the even numbers of 12 cores.
        """
        for name, step in steps.items():
            self.knob(name)
            if step < 1:
                raise ValueError(f"{name}={step}: thin by 1 or more")
        return ModeSpace(
            tuple(Knob(name=k.name, values=k.values[:: -steps.get(k.name, 1)]) for k in self.knobs)
        )

    def limited(self, **bounds: tuple[float, float]) -> ModeSpace:
        """Return the space with those values of the named knobs that lie in `(low, high)`, ends included."""
        for name in bounds:
            self.knob(name)
        kept: list[Knob] = []
        for knob in self.knobs:
            low, high = bounds.get(knob.name, (-math.inf, math.inf))
            values = tuple(v for v in knob.values if low <= v <= high)
            if not values:
                raise ValueError(
                    f"no value of {knob.name} lies in {low:g} to {high:g}: "
                    f"it has {knob.values[0]:g} to {knob.values[-1]:g}"
                )
            kept.append(Knob(name=knob.name, values=values))
        return ModeSpace(tuple(kept))
