"""Profiles by the million: the same values as a list of `Profile`, as columns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final, overload

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from powertrain import quantities
from powertrain.errors import DataError, MissingKnobError
from powertrain.records._modes import FloatArray, ModeTable, PowerMode, row_index
from powertrain.records._profile import Profile
from powertrain.records._table import ProfileTable, checked_column

__all__ = ["Coded", "ManyProfiles", "Owner"]

NAN = float("nan")
Codes = npt.NDArray[np.int32]
Owner = tuple[str, str]
"""Device and workload."""
BY_THEMSELVES = frozenset(["power_from"])
"""Extras that decide what may be averaged; `ProfileTable.of` knows them."""


@final
@dataclass(frozen=True, eq=False)
class Coded:
    """A column of few distinct values: `values[codes[i]]` is that of row i, and -1 stands for none."""

    values: Sequence[Any]
    codes: Codes

    @classmethod
    def of(cls, cells: Iterable[Any]) -> Coded:
        """Code any hashable values."""
        known: dict[Any, int] = {}
        codes = np.fromiter((known.setdefault(cell, len(known)) for cell in cells), dtype=np.int32)
        return cls(tuple(known), codes)

    @classmethod
    def constant(cls, value: Any, n: int) -> Coded:
        """Return a column of one value."""
        return cls((value,), np.zeros(n, dtype=np.int32))

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Any) -> Coded:
        """Return the rows at indices, a mask or a slice."""
        return Coded(self.values, np.asarray(self.codes[rows], dtype=np.int32))

    def __getitem__(self, row: int) -> Any:
        code = self.codes[row]
        return None if code < 0 else self.values[code]

    def present(self) -> list[Any]:
        """Return the values that occur, in order of first appearance."""
        codes, first = np.unique(self.codes, return_index=True)
        ordered: list[int] = codes[np.argsort(first)].tolist()
        return [self.values[code] for code in ordered if code >= 0]


@final
class ManyProfiles(Sequence[Profile]):
    """Profiles of any devices and workloads, as columns: a sequence of `Profile` in a tenth of the memory.

    An index gives a `Profile`, a slice gives `ManyProfiles`. It equals any sequence of equal profiles.
    """

    __slots__ = ("duration_s", "extras", "flags", "knobs", "owners", "se", "settings", "values")

    owners: Coded
    """Of `(device, workload)`."""
    knobs: tuple[str, ...]
    settings: FloatArray
    """`(n, n_knobs)`; NaN where a mode has no such knob."""
    values: Mapping[str, FloatArray]
    """`(n,)` by column of a quantity, NaN where not measured."""
    se: Mapping[str, FloatArray]
    """`(n,)` standard errors by column of a quantity."""
    duration_s: FloatArray
    flags: Coded
    """Of tuples of text."""
    extras: Mapping[str, Coded]
    """Texts by name; -1 where a profile has none of that name."""

    def __init__(
        self,
        *,
        owners: Coded,
        knobs: Sequence[str],
        settings: npt.ArrayLike,
        values: Mapping[str, npt.ArrayLike],
        se: Mapping[str, npt.ArrayLike] | None = None,
        duration_s: npt.ArrayLike | None = None,
        flags: Coded | None = None,
        extras: Mapping[str, Coded] | None = None,
    ) -> None:
        """Check and keep columns of equal length.

        Raises:
            DataError: A value cannot be one of its quantity, or a row holds nothing and no flag says why.
        """
        n, known = len(owners), quantities.by_column()
        if not all(device and workload for device, workload in owners.values):
            raise DataError("a profile needs a device and a workload, and one of them is empty")
        self.owners, self.knobs = owners, tuple(knobs)
        self.settings = np.asarray(settings, dtype=np.float64).reshape(n, len(self.knobs))
        self.values = {c: checked_column(known.get(c), c, column, n) for c, column in values.items()}
        self.se = {c: np.asarray(column, dtype=np.float64) for c, column in (se or {}).items()}
        self.duration_s = np.full(n, NAN) if duration_s is None else np.asarray(duration_s, dtype=np.float64)
        self.flags = Coded.constant((), n) if flags is None else flags
        self.extras = dict(extras or {})
        for column in (*self.se.values(), self.duration_s):
            if ((column < 0) | (column > quantities.LARGEST)).any():
                raise DataError(
                    f"a standard error or a duration is negative or above {quantities.LARGEST:g}: give at "
                    "least 0, or NaN"
                )
        nothing = np.all([np.isnan(column) for column in self.values.values()] or [np.ones(n, bool)], axis=0)
        if (nothing & ~self.flagged).any():
            row = int(np.flatnonzero(nothing & ~self.flagged)[0])
            raise DataError(f"the profile of {self.mode(row)} has neither a time nor a power")
        if self.knobs and np.isnan(self.settings).all(axis=1).any():
            raise DataError("a power mode needs at least one knob, and none was given")

    @classmethod
    def of(cls, profiles: Iterable[Profile]) -> ManyProfiles:
        """Put profiles into columns."""
        if isinstance(profiles, ManyProfiles):
            return profiles
        listed = list(profiles)
        knobs = list(dict.fromkeys(name for p in listed for name in p.mode))
        extras = dict.fromkeys(name for p in listed for name in p.extra)
        known = quantities.by_column()
        return cls(
            owners=Coded.of((p.device, p.workload) for p in listed),
            knobs=knobs,
            settings=np.array([[p.mode.get(k, NAN) for k in knobs] for p in listed]).reshape(
                len(listed), len(knobs)
            ),
            values={c: np.array([p.values.get(c, NAN) for p in listed]) for c in known},
            se={c: np.array([p.se.get(c, NAN) for p in listed]) for c in known},
            duration_s=np.array([p.duration_s for p in listed]),
            flags=Coded.of(tuple(p.flags) for p in listed),
            extras={name: _with_gaps([p.extra.get(name) for p in listed]) for name in extras},
        )

    def __len__(self) -> int:
        return len(self.owners)

    @overload
    def __getitem__(self, index: int) -> Profile: ...
    @overload
    def __getitem__(self, index: slice) -> ManyProfiles: ...
    @override
    def __getitem__(self, index: int | slice) -> Profile | ManyProfiles:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        row = range(len(self))[index]
        device, workload = self.owners[row]
        return Profile(
            device=device,
            workload=workload,
            mode=self.mode(row),
            values={c: float(column[row]) for c, column in self.values.items()},
            se={c: float(column[row]) for c, column in self.se.items()},
            duration_s=float(self.duration_s[row]),
            flags=self.flags[row],
            extra={name: text for name, column in self.extras.items() if (text := column[row]) is not None},
        )

    @override
    def __iter__(self) -> Iterator[Profile]:
        return (self[row] for row in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return list(self) == list(other)  # pyright: ignore[reportUnknownArgumentType]

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return f"<{len(self):,} profiles of {len(self.owners.present()):,} workloads>"

    def __add__(self, other: Sequence[Profile]) -> list[Profile]:
        return [*self, *other]

    def mode(self, row: int) -> PowerMode:
        """Return the mode of one profile."""
        cells = self.settings[row].tolist()
        return PowerMode({k: v for k, v in zip(self.knobs, cells, strict=True) if v == v})

    @property
    def flagged(self) -> npt.NDArray[np.bool_]:
        """`(n,)` whether a profile has a flag."""
        return np.array([bool(flags) for flags in self.flags.values], dtype=np.bool_)[self.flags.codes]

    def take(self, rows: npt.ArrayLike) -> ManyProfiles:
        """Return the profiles at `rows` (indices or a mask)."""
        index = row_index(rows)
        taken = ManyProfiles.__new__(ManyProfiles)
        taken.owners, taken.knobs = self.owners.take(index), self.knobs
        taken.settings = self.settings[index]
        taken.values = {c: column[index] for c, column in self.values.items()}
        taken.se = {c: column[index] for c, column in self.se.items()}
        taken.duration_s, taken.flags = self.duration_s[index], self.flags.take(index)
        taken.extras = {name: column.take(index) for name, column in self.extras.items()}
        return taken

    def by_owner(self) -> dict[Owner, ManyProfiles]:
        """Return the profiles of each workload on each device, in order of first appearance."""
        codes, first = np.unique(self.owners.codes, return_index=True)
        ordered = codes[np.argsort(first)]
        if len(ordered) == 1:
            return {self.owners.values[ordered[0]]: self}
        order = np.argsort(self.owners.codes, kind="stable")
        ends = np.searchsorted(self.owners.codes[order], [codes, codes + 1])
        parts = dict(zip(codes.tolist(), ends.T.tolist(), strict=True))
        return {self.owners.values[c]: self.take(order[slice(*parts[c])]) for c in ordered.tolist()}

    def tables(self) -> dict[Owner, ProfileTable]:
        """Return the unflagged profiles by `(device, workload)`, in order of appearance, repeats averaged."""
        usable = self.take(~self.flagged)
        return {owner: part.table().averaged() for owner, part in usable.by_owner().items()}

    def table(self, *, knobs: Sequence[str] | None = None, ends: ModeTable | None = None) -> ProfileTable:
        """Return the unflagged profiles of one workload on one device, as `ProfileTable.of` does."""
        if BY_THEMSELVES & set(self.extras):
            return ProfileTable.of(self, knobs=knobs, ends=ends)
        kept = self.take(~self.flagged)
        owners = kept.owners.present()
        if len(owners) != 1:
            return ProfileTable.of(kept, knobs=knobs, ends=ends)  # which says what is wrong
        return ProfileTable(
            device=owners[0][0],
            workload=owners[0][1],
            modes=kept.modes(knobs),
            columns=kept.values,
            se=kept.se,
            ends=ends,
        )

    def modes(self, knobs: Sequence[str] | None = None) -> ModeTable:
        """Return the modes, `(n, n_knobs)`: of the knobs that all have, or of `knobs`.

        Raises:
            MissingKnobError: A mode lacks one of `knobs`, or the modes have different ones.
        """
        there = ~np.isnan(self.settings)
        names = self.knobs if knobs is None else tuple(knobs)
        if knobs is None:
            names = tuple(
                k
                for k, any_row in zip(self.knobs, np.asarray(there.any(axis=0)).tolist(), strict=True)
                if any_row
            )
        if lacking := [name for name in names if name not in self.knobs]:
            raise MissingKnobError(f"a mode lacks the knob {lacking[0]!r}")
        places = [self.knobs.index(name) for name in names]
        whole = there[:, places].all(axis=0)
        if not whole.all():
            name = names[int(np.flatnonzero(~whole)[0])]
            raise MissingKnobError(
                f"a mode lacks the knob {name!r}"
                if knobs is not None
                else f"modes have different knobs, and some have no {name}: name those to use"
            )
        return ModeTable(knobs=names, values=self.settings[:, places])

    def digests(self) -> npt.NDArray[np.uint64]:
        """Return `(n, 2)` numbers: the same for equal profiles, and 128 bits of chance apart for others."""
        total = np.zeros((len(self), 2), dtype=np.uint64)
        columns = [("mode", k, self.settings[:, j]) for j, k in enumerate(self.knobs)]
        columns += [("value", c, column) for c, column in self.values.items()]
        columns += [("se", c, column) for c, column in self.se.items()]
        for kind, name, column in [*columns, ("cost", "", self.duration_s)]:
            bits = (column + 0.0).view(np.uint64)[:, None] ^ _seed(kind, name)
            total += np.where(np.isnan(column)[:, None], np.uint64(0), _mixed(bits))
        texts = [("owner", "", self.owners), ("flags", "", self.flags)]
        texts += [("extra", name, column) for name, column in self.extras.items()]
        for kind, name, column in texts:
            seeds = [_seed(kind, name, repr(value)) for value in column.values]
            total += np.array([*seeds, [0, 0]], dtype=np.uint64).reshape(-1, 2)[column.codes]
        return total


def _with_gaps(cells: Sequence[str | None]) -> Coded:
    known: dict[str, int] = {}
    codes = [-1 if cell is None else known.setdefault(cell, len(known)) for cell in cells]
    return Coded(tuple(known), np.array(codes, dtype=np.int32))


def _seed(*words: str) -> npt.NDArray[np.uint64]:
    text = "\0".join(words).encode("utf-8", "surrogatepass")
    return np.frombuffer(hashlib.blake2b(text, digest_size=16).digest(), dtype=np.uint64)


def _mixed(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread every bit over all (the finaliser of splitmix64, by Sebastiano Vigna)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
