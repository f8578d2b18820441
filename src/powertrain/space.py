"""Knobs and the spaces they span: indexable grids that are never listed in full.

A `ModeSpace` knows the values of each knob; mode `i` is computed from `i` and back, so a space of a billion
modes costs as little as one of ten. Any numeric knob is allowed; the ones in `KNOWN_KNOBS` merely have a
description.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from powertrain.errors import MissingKnobError, UnknownNameError
from powertrain.records import ModeTable, PowerMode

__all__ = ["KNOWN_KNOBS", "SOFTWARE_KNOBS", "Knob", "ModeSpace"]

KNOWN_KNOBS: dict[str, str] = {
    "cpu_cores": "active CPU cores",
    "cpu_mhz": "CPU clock [MHz]",
    "gpu_mhz": "GPU clock [MHz]",
    "mem_mhz": "memory clock [MHz]",
    "power_limit_w": "power limit of the board or GPU [W]",
    "batch_size": "samples in a minibatch",
    "loader_workers": "data-loading processes",
    "precision": "arithmetic, by its bits: 32 fp32, 19 tf32, 16 bf16 (15 stands for fp16)",
    "compile": "1: torch.compile",
}
"""The knobs that PowerTrain knows by name, with what they mean."""

SOFTWARE_KNOBS: tuple[str, ...] = ("batch_size", "loader_workers", "precision", "compile")
"""Knobs that the training itself follows; the device sets the others."""


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
        """Return the position of `value`, which must be one of the knob's (to 1 part in 10^9)."""
        within = min(
            max(value, min(self.values)), max(self.values)
        )  # what is huge is as far from all of them
        near = min(self.values, key=lambda v: abs(v - within))
        if math.isclose(near, value, rel_tol=1e-9, abs_tol=1e-12):
            return self.values.index(near)
        raise ValueError(f"{self.name} has no value {value:.10g}: the nearest is {near:.10g}")


@final
@dataclass(frozen=True)
class ModeSpace:
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

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the knobs, in order."""
        return tuple(knob.name for knob in self.knobs)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each knob."""
        return tuple(len(knob.values) for knob in self.knobs)

    def __len__(self) -> int:
        return math.prod(self.shape)

    def __getitem__(self, index: int) -> PowerMode:
        size = len(self)
        if not -size <= index < size:
            raise IndexError(f"mode {index} of a space of {size}")
        rest, values = index % size, list[float]()
        for knob in reversed(self.knobs):
            rest, position = divmod(rest, len(knob.values))
            values.append(knob.values[position])
        return PowerMode(dict(zip(self.names, reversed(values), strict=True)))

    def __iter__(self) -> Iterator[PowerMode]:
        return (self[i] for i in range(len(self)))

    def __contains__(self, mode: object) -> bool:
        if not isinstance(mode, Mapping):
            return False
        try:
            self.index(mode)  # pyright: ignore[reportUnknownArgumentType]
        except (ValueError, MissingKnobError):
            return False
        return True

    def index(self, mode: Mapping[str, float]) -> int:
        """Return `i` such that `space[i] == mode`."""
        if set(mode) != set(self.names):
            raise MissingKnobError(f"the mode has {', '.join(mode)}; the space has {', '.join(self.names)}")
        i = 0
        for knob in self.knobs:
            i = i * len(knob.values) + knob.index(mode[knob.name])
        return i

    def table(self, indices: npt.ArrayLike | None = None) -> ModeTable:
        """Return the modes at `indices` (all of them by default; a mask works too) as one array."""
        chosen = np.arange(len(self)) if indices is None else np.asarray(indices)
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)
        positions = np.unravel_index(chosen, self.shape)
        columns = [np.asarray(k.values)[p] for k, p in zip(self.knobs, positions, strict=True)]
        return ModeTable(knobs=self.names, values=np.column_stack(columns).reshape(-1, len(columns)))

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

    def thinned(self, **every: int) -> ModeSpace:
        """Keep each `every`-th value of the named knobs, counted from the largest downwards.

        The largest value always stays: `space.thinned(cpu_cores=2)` keeps the even numbers of 12 cores.
        """
        for name, step in every.items():
            self.knob(name)
            if step < 1:
                raise ValueError(f"{name}={step}: thin by 1 or more")
        return ModeSpace(
            tuple(Knob(name=k.name, values=k.values[:: -every.get(k.name, 1)]) for k in self.knobs)
        )

    def limited(self, **bounds: tuple[float, float]) -> ModeSpace:
        """Keep the values of the named knobs that lie in `(low, high)`, ends included."""
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
