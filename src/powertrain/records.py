"""The frozen values that cross layers: modes, profiles, predictions, choices.

Single values (`PowerMode`, `Profile`, `Choice`) are what a person reads and a store keeps. Tables
(`ModeTable`, `ProfileTable`, `Prediction`) are the same things by the thousand, as numpy columns, and are
what the mathematics works on. "Not measured" is NaN throughout, never zero and never `None`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
import numpy.typing as npt

from powertrain import units
from powertrain.errors import DataError, MissingKnobError

__all__ = [
    "Choice",
    "FloatArray",
    "Interval",
    "Limits",
    "ModeTable",
    "PowerMode",
    "Prediction",
    "Profile",
    "ProfileTable",
]

FloatArray = npt.NDArray[np.float64]

NAN = float("nan")


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


def _positive_or_nan(name: str, value: float) -> None:
    if not (math.isnan(value) or (value > 0 and math.isfinite(value))):
        raise DataError(f"{name} is {value!r}: a measurement is a positive number, or NaN for none")


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """What was measured for one workload on one device in one power mode.

    A profile may lack time or power (NaN); both only if a flag says why. Profiles with `flags` (a throttled
    clock, a drift) are kept and left out of fits. Two profiles are equal when all their fields are, and not
    measured equals not measured.
    """

    device: str
    workload: str
    mode: PowerMode
    time_ms: float = NAN
    """Mean time of one minibatch [ms] (or of whatever unit of work the workload repeats)."""
    power_w: float = NAN
    """Mean power while it ran [W]."""
    time_rel_se: float = NAN
    """Standard error of the mean time, relative to it."""
    power_rel_se: float = NAN
    """Standard error of the mean power, relative to it."""
    duration_s: float = NAN
    """What measuring this mode cost: settling, warm-up and minibatches [s]."""
    flags: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """Anything else that came with the measurement, by column name."""

    def __post_init__(self) -> None:
        if not self.device or not self.workload:
            raise DataError("a profile needs a device and a workload, and one of them is empty")
        for name in ("time_ms", "power_w"):
            _positive_or_nan(name, getattr(self, name))
        for name in ("time_rel_se", "power_rel_se", "duration_s"):
            value: float = getattr(self, name)
            if value < 0 or math.isinf(value):
                raise DataError(f"{name} is {value!r}: give a number of at least 0, or NaN")
        if math.isnan(self.time_ms) and math.isnan(self.power_w) and not self.flags:
            raise DataError(f"the profile of {self.mode} has neither a time nor a power")

    def _identity(self) -> tuple[object, ...]:
        # NaN differs from itself, so a generated __eq__ would call a profile read back another one.
        numbers = (self.time_ms, self.power_w, self.time_rel_se, self.power_rel_se, self.duration_s)
        measured = tuple(None if math.isnan(number) else number for number in numbers)
        return (self.device, self.workload, self.mode, measured, tuple(self.flags))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Profile):
            return NotImplemented
        return self._identity() == other._identity() and dict(self.extra) == dict(other.extra)

    def __hash__(self) -> int:
        return hash(self._identity())

    @property
    def energy_j(self) -> float:
        """Energy of one minibatch [J]; NaN where time or power was not measured."""
        return units.energy_j(power_w=self.power_w, time_ms=self.time_ms)


def _rows(rows: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return indices or a mask as an array; an empty list is no rows, though numpy makes it floats."""
    index = np.asarray(rows)
    return index if index.size else index.astype(np.int64)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class ModeTable:
    """Many modes as one array: `values` is `(n_modes, n_knobs)`, its columns named by `knobs`."""

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

    def __getitem__(self, index: int) -> PowerMode:
        return PowerMode(dict(zip(self.knobs, map(float, self.values[index]), strict=True)))

    def __iter__(self) -> Iterator[PowerMode]:
        return (self[i] for i in range(len(self)))

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
        return ModeTable(knobs=self.knobs, values=self.values[_rows(rows)])


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class ProfileTable:
    """The profiles of one workload on one device, as columns of equal length."""

    device: str
    workload: str
    modes: ModeTable
    time_ms: FloatArray
    """`(n,)` minibatch time [ms], NaN where not measured."""
    power_w: FloatArray
    """`(n,)` power [W], NaN where not measured."""

    def __post_init__(self) -> None:
        for name in ("time_ms", "power_w"):
            column = np.asarray(getattr(self, name), dtype=np.float64)
            if column.shape != (len(self.modes),):
                raise ValueError(f"{name} has shape {column.shape} for {len(self.modes)} modes")
            if not (np.isnan(column) | ((column > 0) & np.isfinite(column))).all():
                raise DataError(f"{name} holds zero, negative or infinite values: drop those profiles")
            object.__setattr__(self, name, column)

    @classmethod
    def of(cls, profiles: Iterable[Profile], *, knobs: Sequence[str] | None = None) -> ProfileTable:
        """Stack the profiles of one workload on one device, leaving out the flagged ones."""
        kept = [p for p in profiles if not p.flags]
        if not kept:
            raise DataError("there are no usable profiles: all are flagged, or none was given")
        owners = {(p.device, p.workload) for p in kept}
        if len(owners) > 1:
            raise DataError(f"profiles of {len(owners)} workloads or devices were mixed: give one")
        return cls(
            device=kept[0].device,
            workload=kept[0].workload,
            modes=ModeTable.of((p.mode for p in kept), knobs),
            time_ms=np.array([p.time_ms for p in kept]),
            power_w=np.array([p.power_w for p in kept]),
        )

    def __len__(self) -> int:
        return len(self.modes)

    @property
    def has_time(self) -> bool:
        """Whether any profile has a time."""
        return bool(np.isfinite(self.time_ms).any())

    @property
    def has_power(self) -> bool:
        """Whether any profile has a power."""
        return bool(np.isfinite(self.power_w).any())

    def take(self, rows: npt.ArrayLike) -> ProfileTable:
        """Return the profiles at `rows` (indices or a mask)."""
        index = _rows(rows)
        return replace(
            self, modes=self.modes.take(index), time_ms=self.time_ms[index], power_w=self.power_w[index]
        )

    def averaged(self) -> ProfileTable:
        """Return one row per distinct mode, in order of first appearance: means over repeats.

        NaN entries are left out of a mean; a mode without any keeps NaN.
        """
        _, first, group = np.unique(self.modes.values, axis=0, return_index=True, return_inverse=True)
        if len(first) == len(self):
            return self
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        group = rank[group.reshape(-1)]

        def mean(column: FloatArray) -> FloatArray:
            seen = np.isfinite(column)
            count = np.bincount(group[seen], minlength=len(first))
            total = np.bincount(group[seen], weights=column[seen], minlength=len(first))
            return np.where(count > 0, total / np.maximum(count, 1), np.nan)

        return replace(
            self,
            modes=self.modes.take(np.sort(first)),
            time_ms=mean(self.time_ms),
            power_w=mean(self.power_w),
        )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """Time and power of many modes with their error bars, each array `(n_modes,)`.

    The error is multiplicative: the logarithm of the truth is taken as normal around the logarithm of the
    predicted value with standard deviation `*_rel_sd`. A quantity that the predictor was never shown is NaN
    throughout; a method without error bars has `*_rel_sd` NaN.
    """

    time_ms: FloatArray
    power_w: FloatArray
    time_rel_sd: FloatArray
    """Error bar of a new measurement of the time, repeat-to-repeat noise included."""
    power_rel_sd: FloatArray
    time_noise_rel_sd: FloatArray | None = None
    """The part of `time_rel_sd` that is noise of one measurement; None: not told apart (zero)."""
    power_noise_rel_sd: FloatArray | None = None

    def __post_init__(self) -> None:
        for name in ("time_noise_rel_sd", "power_noise_rel_sd"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, np.zeros(np.shape(self.time_ms)))
        shapes = {np.shape(getattr(self, name)) for name in self.__dataclass_fields__}
        if len(shapes) != 1:
            raise ValueError(f"the arrays must have one shape, not {sorted(shapes)}")

    def __len__(self) -> int:
        return len(self.time_ms)

    @property
    def time_mean_rel_sd(self) -> FloatArray:
        """Error bar of the mean time of a mode over many repeats, `(n_modes,)`."""
        return _without(self.time_rel_sd, self.time_noise_rel_sd)

    @property
    def power_mean_rel_sd(self) -> FloatArray:
        """Error bar of the mean power of a mode over many repeats, `(n_modes,)`: what a limit is about."""
        return _without(self.power_rel_sd, self.power_noise_rel_sd)

    @property
    def energy_j(self) -> FloatArray:
        """Energy of one minibatch [J], `(n_modes,)`."""
        return units.energy_j(power_w=self.power_w, time_ms=self.time_ms)

    @property
    def energy_rel_sd(self) -> FloatArray:
        """Relative error bar of the energy, taking the errors of time and power as independent."""
        return np.hypot(self.time_rel_sd, self.power_rel_sd)

    def take(self, rows: npt.ArrayLike) -> Prediction:
        """Return the predictions at `rows` (indices or a mask)."""
        index = _rows(rows)
        return Prediction(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})


def _without(whole: FloatArray, part: FloatArray | None) -> FloatArray:
    return np.sqrt(np.maximum(whole**2 - (0.0 if part is None else part**2), 0.0))


@final
@dataclass(frozen=True, kw_only=True)
class Interval:
    """A predicted value with the ends of its central 90 % interval."""

    value: float
    low: float
    high: float


@final
@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a choice must keep; infinity is no limit."""

    max_power_w: float = math.inf
    max_time_ms: float = math.inf
    max_energy_j: float = math.inf

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value: float = getattr(self, name)
            if not value > 0:
                raise ValueError(f"{name} is {value!r}: a limit is a positive number")

    def active(self) -> dict[str, float]:
        """Return the limits that are set, by name."""
        return {n: getattr(self, n) for n in self.__dataclass_fields__ if math.isfinite(getattr(self, n))}


@final
@dataclass(frozen=True, kw_only=True)
class Choice:
    """The best mode under limits, what is predicted for it, and why it was taken."""

    mode: PowerMode
    index: int
    """Row of the mode in the table that was chosen from."""
    time_ms: Interval
    power_w: Interval
    energy_j: Interval
    """Energy of one minibatch [J]."""
    objective: str
    limits: Limits
    risk: float
    why: str
    """One sentence: how many modes kept the limits, and what the choice is best at."""
    next_best: PowerMode | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
