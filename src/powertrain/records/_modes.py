"""Power modes: one as a mapping, many as one array."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final, overload

import numpy as np
import numpy.typing as npt

from powertrain.errors import DataError, MissingKnobError
from powertrain.records._frames import new_frame
from powertrain.records._shown import Shown, View, rows_view

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FloatArray", "ModeTable", "PowerMode", "row_index"]

FloatArray = npt.NDArray[np.float64]


@final
class PowerMode(Mapping[str, float]):
    """One value for every knob: an immutable, hashable mapping from knob to value.

    ```pycon
    >>> fast = PowerMode(cpu_cores=12, gpu_mhz=1300.5)
    >>> fast["gpu_mhz"], str(fast)
    (1300.5, 'cpu_cores=12 gpu_mhz=1300.5')
    >>> fast.replace(gpu_mhz=624.75) == PowerMode(cpu_cores=12, gpu_mhz=624.75)
    True

    ```

    Two modes are equal when they hold the same knobs and values in any order.
    """

    __slots__ = ("_hash", "_values")

    def __init__(self, values: Mapping[str, float] | None = None, /, **knobs: float) -> None:
        merged = {**(values or {}), **knobs}
        if not merged:
            raise ValueError("a power mode needs at least one knob, and none was given")
        checked: dict[str, float] = {}
        for name, value in merged.items():
            number = float(value)
            if not math.isfinite(number):
                raise ValueError(f"knob {name} is {value!r}: give a finite number")
            checked[name] = number
        self._values = checked
        self._hash = hash(frozenset(checked.items()))

    def __getitem__(self, knob: str) -> float:
        return self._values[knob]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type[PowerMode], tuple[dict[str, float]]]:
        # The hash is another one in another process.
        return PowerMode, (self._values,)

    def __str__(self) -> str:
        return " ".join(f"{name}={value:.10g}" for name, value in self._values.items())

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value:.10g}" for name, value in self._values.items())
        return f"PowerMode({inner})"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(str(self))}</code>"

    def replace(self, **knobs: float) -> PowerMode:
        """Return a copy with some knobs changed; the knobs must exist."""
        unknown = [name for name in knobs if name not in self._values]
        if unknown:
            raise ValueError(f"mode has no knob {unknown[0]!r}: it has {', '.join(self)}")
        return PowerMode({**self._values, **knobs})

    @classmethod
    def parse(cls, text: str) -> PowerMode:
        """Read the form that `str` writes: `"cpu_cores=12 gpu_mhz=1300.5"` (commas work too)."""
        values: dict[str, float] = {}
        for part in text.replace(",", " ").split():
            name, _, value = part.partition("=")
            if name in values:
                raise ValueError(f"{text!r} gives {name} twice: give each knob one value")
            try:
                values[name] = float(name and value)
            except ValueError:
                raise ValueError(f"{part!r} is not KNOB=NUMBER, as in gpu_mhz=1300.5") from None
        return cls(values)


def row_index(rows: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return indices or a mask as an array; an empty list is no rows, though numpy makes it floats."""
    index = np.asarray(rows)
    return index if index.size else index.astype(np.int64)


@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ModeTable(Shown):
    """Many modes as one array: `values` is `(n_modes, n_knobs)`, its columns named by `knobs`.

    An index gives a `PowerMode`, a slice gives a `ModeTable`.
    """

    knobs: tuple[str, ...]
    values: FloatArray

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64, order="C")
        if values.ndim != 2 or values.shape[1] != len(self.knobs):
            raise ValueError(
                f"{len(self.knobs)} knobs need (n, {len(self.knobs)}) values, not {values.shape}"
            )
        if not np.isfinite(values).all():
            raise DataError("a mode holds NaN or infinity: every knob needs a finite number")
        object.__setattr__(self, "values", values)

    @classmethod
    def of(cls, modes: Iterable[Mapping[str, float]], knobs: Sequence[str] | None = None) -> ModeTable:
        """Stack modes; the first one's knobs, in its order, unless `knobs` says otherwise.

        Without `knobs` all modes must have the same ones: none is dropped silently.
        """
        listed = list(modes)
        names = tuple(knobs) if knobs is not None else tuple(listed[0]) if listed else ()
        try:
            rows = [[mode[name] for name in names] for mode in listed]
        except KeyError as error:
            raise MissingKnobError(f"a mode lacks the knob {error.args[0]!r}") from None
        other = next((mode for mode in listed if len(mode) != len(names)), None)
        if knobs is None and other is not None:
            raise MissingKnobError(
                f"modes have different knobs, {', '.join(names)} and {', '.join(other)}: name those to use"
            )
        return cls(knobs=names, values=np.array(rows, dtype=np.float64).reshape(len(rows), len(names)))

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> PowerMode: ...
    @overload
    def __getitem__(self, index: slice) -> ModeTable: ...
    def __getitem__(self, index: int | slice) -> PowerMode | ModeTable:
        if isinstance(index, slice):
            return ModeTable(knobs=self.knobs, values=self.values[index])
        return PowerMode(dict(zip(self.knobs, map(float, self.values[index]), strict=True)))

    def __iter__(self) -> Iterator[PowerMode]:
        return (self[i] for i in range(len(self)))

    def _view(self) -> View:
        columns = {knob: self.values[:, j] for j, knob in enumerate(self.knobs)}
        return rows_view(f"{len(self):,} modes of {', '.join(self.knobs)}", columns)

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame with a column per knob; needs pandas (the extra `tables`)."""
        return new_frame({knob: self.values[:, j] for j, knob in enumerate(self.knobs)})

    def column(self, knob: str) -> FloatArray:
        """Return the `(n_modes,)` values of one knob."""
        return self.select((knob,))[:, 0]

    def select(self, knobs: Sequence[str]) -> FloatArray:
        """Return `(n_modes, len(knobs))` values in the order of `knobs`, which must all be here."""
        missing = [name for name in knobs if name not in self.knobs]
        if missing:
            raise MissingKnobError(
                f"the modes lack the knob {', '.join(missing)}: they have {', '.join(self.knobs)}"
            )
        if tuple(knobs) == self.knobs:
            return self.values
        return self.values[:, [self.knobs.index(name) for name in knobs]]

    def take(self, rows: npt.ArrayLike) -> ModeTable:
        """Return the modes at `rows` (indices or a mask)."""
        return ModeTable(knobs=self.knobs, values=self.values[row_index(rows)])
