"""The profiles of a workload as columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final, overload

import numpy as np
import numpy.typing as npt

from powertrain import quantities
from powertrain.errors import DataError
from powertrain.quantities import POWER, TIME, Quantity
from powertrain.records._frames import KNOBS, new_frame
from powertrain.records._modes import FloatArray, ModeTable, row_index
from powertrain.records._parts import parts_of_frame
from powertrain.records._profile import NAN, Profile, file_under, of_one_sum
from powertrain.records._shown import Shown, View, rows_view

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ProfileTable", "checked_column", "codes_of_rows", "distinct_rows"]

IntArray = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, init=False, eq=False, repr=False)
class ProfileTable(Shown):
    """The profiles of one workload on one device, as columns of equal length.

    An index gives a `Profile`, a slice gives a `ProfileTable`.
    """

    device: str
    workload: str
    modes: ModeTable
    columns: Mapping[str, FloatArray]
    """Every measured quantity by column: `(n,)` values, NaN where it was not measured."""
    se: Mapping[str, FloatArray]
    """`(n,)` standard error of each mean by column, relative for quantities with relative errors; NaN where
    it is not known."""
    repeats: IntArray
    """`(n,)` how many measurements each row is the mean of."""
    ends: ModeTable | None
    """The device's smallest and largest value of each knob, `(2, n_knobs)`, which a few profiles may not
    reach; None where nobody knows."""

    def __init__(
        self,
        *,
        device: str,
        workload: str,
        modes: ModeTable,
        columns: Mapping[str, npt.ArrayLike] | None = None,
        se: Mapping[str, npt.ArrayLike] | None = None,
        repeats: npt.ArrayLike | None = None,
        ends: ModeTable | None = None,
        **named: npt.ArrayLike,
    ) -> None:
        """Check and keep columns.

        Args:
            device: Name of the device.
            workload: Name of the workload.
            modes: `(n, n_knobs)` modes.
            columns: `(n,)` values by column; a measured quantity that is not there is NaN throughout.
            se: `(n,)` standard errors by column.
            repeats: `(n,)` measurements that each row is the mean of; one each by default.
            ends: The device's smallest and largest value of each knob.
            named: Columns by keyword: `time_ms=[12.5, 13.0]`, `time_rel_se=[0.01, 0.02]`.

        Raises:
            DataError: A column holds a value that its quantity cannot have.
            ValueError: A column has another length than `modes`.
            TypeError: A keyword is not a column of a quantity.
        """
        values, errors = dict(columns or {}), dict(se or {})
        for name, column in named.items():
            file_under(name, column, values, errors)  # pyright: ignore[reportArgumentType]
        n, known = len(modes), quantities.by_column()
        nothing = np.full(n, NAN)
        checked = dict.fromkeys(known, nothing)
        for name, column in values.items():
            checked[name] = checked_column(known.get(name), name, column, n)
        write = object.__setattr__
        write(self, "device", device)
        write(self, "workload", workload)
        write(self, "modes", modes)
        write(self, "columns", checked)
        write(self, "se", {c: _of_length(known[c].se_column, errors.get(c, nothing), n) for c in known})
        counted = np.ones(n, dtype=np.int64) if repeats is None else np.asarray(repeats, dtype=np.int64)
        write(self, "repeats", _of_length("repeats", counted, n).astype(np.int64))
        write(self, "ends", ends)

    @classmethod
    def of(
        cls, profiles: Iterable[Profile], *, knobs: Sequence[str] | None = None, ends: ModeTable | None = None
    ) -> ProfileTable:
        """Stack the profiles of one workload on one device, leaving out the flagged ones.

        Powers that are sums of other rails than the latest profile's are left out as well, with a warning.
        """
        kept = [p for p in of_one_sum([p for p in profiles if not p.flags]) if not p.flags]
        if not kept:
            raise DataError("there are no usable profiles: all are flagged, or none was given")
        owners = {(p.device, p.workload) for p in kept}
        if len(owners) > 1:
            raise DataError(f"profiles of {len(owners)} workloads or devices were mixed: give one")
        columns = quantities.by_column()
        return cls(
            device=kept[0].device,
            workload=kept[0].workload,
            modes=ModeTable.of((p.mode for p in kept), knobs),
            columns={c: np.array([p.values.get(c, NAN) for p in kept]) for c in columns},
            se={c: np.array([p.se.get(c, NAN) for p in kept]) for c in columns},
            ends=ends,
        )

    @classmethod
    def from_pandas(
        cls,
        frame: Any,
        *,
        device: str | None = None,
        workload: str | None = None,
        knobs: Sequence[str] | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> ProfileTable:
        """Take the profiles of one workload from a data frame of pandas or polars, a row per measurement.

        Columns are known by their names, in any usual spelling and unit, as for `read_profiles`. Rows with a
        text in `flags`, and those with neither time nor power, are left out.

        Args:
            frame: The data frame; of another library, whatever pandas can take over.
            device: Name of the device, for a frame without such a column.
            workload: Name of the workload, likewise.
            knobs: The columns that are knobs.
            columns: What columns are, by their names in the frame: `{"GPU Freq": "gpu_mhz"}`.

        Raises:
            DataError: A column is not known, holds what its quantity cannot have, or the frame holds several
                workloads.
            MissingKnobError: One of `knobs` is not a column.
        """
        parts = parts_of_frame(frame, device=device, workload=workload, knobs=knobs, mapping=columns)
        return cls(**parts)

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame: device, workload, the knobs, and what was measured, with standard errors.

        `ProfileTable.from_pandas` takes it back. It needs pandas (the extra `tables`).
        """
        known = quantities.by_column()
        errors = {known[c].se_column: cells for c, cells in self.se.items() if not np.isnan(cells).all()}
        frame = new_frame(
            {
                "device": [self.device] * len(self),
                "workload": [self.workload] * len(self),
                **{knob: self.modes.values[:, j] for j, knob in enumerate(self.modes.knobs)},
                **{q.column: self.columns[q.column] for q in self.measured},
                **errors,
                **({"repeats": self.repeats} if (self.repeats != 1).any() else {}),
            }
        )
        frame.attrs[KNOBS] = list(self.modes.knobs)
        return frame

    @overload
    def __getitem__(self, index: int) -> Profile: ...
    @overload
    def __getitem__(self, index: slice) -> ProfileTable: ...
    def __getitem__(self, index: int | slice) -> Profile | ProfileTable:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        row = range(len(self))[index]
        return Profile(
            device=self.device,
            workload=self.workload,
            mode=self.modes[row],
            values={c: float(column[row]) for c, column in self.columns.items()},
            se={c: float(column[row]) for c, column in self.se.items()},
        )

    def _view(self) -> View:
        title = f"{len(self):,} profiles of {self.workload} on {self.device}"
        columns = {knob: self.modes.values[:, j] for j, knob in enumerate(self.modes.knobs)}
        return rows_view(title, columns | {q.column: self.columns[q.column] for q in self.measured})

    def __len__(self) -> int:
        return len(self.modes)

    @property
    def time_ms(self) -> FloatArray:
        """`(n,)` minibatch time [ms], NaN where not measured."""
        return self.columns[TIME.column]

    @property
    def power_w(self) -> FloatArray:
        """`(n,)` power [W], NaN where not measured."""
        return self.columns[POWER.column]

    def has(self, quantity: Quantity) -> bool:
        """Tell whether any profile has a measured quantity."""
        return bool(np.isfinite(self.columns[quantity.column]).any())

    @property
    def measured(self) -> tuple[Quantity, ...]:
        """The quantities that at least one profile has."""
        return tuple(q for q in quantities.measured() if self.has(q))

    @property
    def has_time(self) -> bool:
        """Whether any profile has a time."""
        return self.has(TIME)

    @property
    def has_power(self) -> bool:
        """Whether any profile has a power."""
        return self.has(POWER)

    def within(self, ends: ModeTable) -> ProfileTable:
        """Return the same profiles with the device's smallest and largest value of each knob."""
        return replace(self, ends=ends)

    def take(self, rows: npt.ArrayLike) -> ProfileTable:
        """Return the profiles at `rows` (indices or a mask)."""
        index = row_index(rows)
        return replace(
            self,
            modes=self.modes.take(index),
            columns={c: values[index] for c, values in self.columns.items()},
            se={c: values[index] for c, values in self.se.items()},
            repeats=self.repeats[index],
        )

    def averaged(self) -> ProfileTable:
        """Return one row per distinct mode, in order of first appearance: means over repeats.

        NaN entries are left out of a mean; a mode without any keeps NaN. The standard error of a mean of
        repeats is taken from how far they lie apart, since what differs between two visits of a mode
        does not show within one.
        """
        _, first, group = np.unique(codes_of_rows(self.modes.values), return_index=True, return_inverse=True)
        if len(first) == len(self):
            return self
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        groups = _Groups(rank[group.reshape(-1)], len(first))
        known = quantities.by_column()
        means = {c: groups.mean(values, self.repeats) for c, values in self.columns.items()}
        return replace(
            self,
            modes=self.modes.take(np.sort(first)),
            columns=means,
            se={c: groups.se(known[c], self.columns[c], means[c], self.se[c]) for c in means},
            repeats=np.bincount(groups.of, weights=self.repeats, minlength=groups.n),
        )


def codes_of_rows(rows: FloatArray) -> IntArray:
    """Return a number per row, `(n,)`, the same for equal rows alone: columns sort faster than rows."""
    codes = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        _, code = np.unique(column, return_inverse=True)
        code = code.reshape(-1)
        width = int(code.max(initial=0)) + 1
        if codes.max(initial=0) > np.iinfo(np.int64).max // width - 1:
            codes = np.unique(codes, return_inverse=True)[1].reshape(-1)
        codes = codes * width + code
    return codes


def distinct_rows(rows: FloatArray) -> int:
    """Return how many different rows there are; NaN counts as equal to NaN."""
    return len(np.unique(codes_of_rows(rows)))


@final
@dataclass(frozen=True)
class _Groups:
    """Rows that repeat a mode: the group of each row, and how many groups there are."""

    of: npt.NDArray[np.intp]
    n: int

    def mean(self, column: FloatArray, weights: IntArray) -> FloatArray:
        """Return the mean of each group, `(n,)`, without what was not measured."""
        seen = np.isfinite(column)
        count = np.bincount(self.of[seen], weights=weights[seen], minlength=self.n)
        total = np.bincount(self.of[seen], weights=(column * weights)[seen], minlength=self.n)
        return np.where(count > 0, total / np.maximum(count, 1), NAN)

    def se(self, quantity: Quantity, column: FloatArray, mean: FloatArray, own: FloatArray) -> FloatArray:
        """Return the standard error of each mean, `(n,)`: that of its one row where nothing repeats it."""
        seen = np.isfinite(column)
        scale = mean if quantity.is_log else np.ones_like(mean)
        off = (column - mean[self.of]) / scale[self.of]
        count = np.bincount(self.of[seen], minlength=self.n)
        squares = np.bincount(self.of[seen], weights=off[seen] ** 2, minlength=self.n)
        single = np.full(self.n, NAN)
        single[self.of[seen]] = own[seen]
        spread = np.sqrt(squares / np.maximum(count - 1, 1) / np.maximum(count, 1))
        return np.where(count > 1, spread, single)


def _of_length(name: str, column: npt.ArrayLike, n: int) -> FloatArray:
    array = np.asarray(column, dtype=np.float64)
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape} for {n} modes")
    return array


def checked_column(quantity: Quantity | None, name: str, column: npt.ArrayLike, n: int) -> FloatArray:
    """Return a column of a quantity as `(n,)` numbers, each of which it can have, or NaN."""
    if quantity is None:
        known = ", ".join(quantities.by_column())
        raise TypeError(f"{name!r} is not a column of a profile: there are {known}")
    array = _of_length(name, column, n)
    if not (np.isnan(array) | (quantity.holds(array))).all():
        bad = "zero, negative or infinite values" if quantity.low == 0 else "values that cannot be"
        raise DataError(f"{name} holds {bad}: drop those profiles")
    return array
