"""What is measured and predicted: one table, which every layer reads.

An entry names a quantity, its unit and its column, and says how it behaves: on which scale its errors are
even, which values exist, which way it moves when a clock rises. Stores, files, predictors, choices, tables
and plots take everything from here, so that a new quantity is one entry and no further change.

`time` and `power` are measured; `energy` and `edp` are products of powers of them. This module imports no
numpy, so that the command line can read it before it has anything to compute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

from powertrain import units
from powertrain.errors import UnknownNameError

__all__ = [
    "LARGEST",
    "POWER",
    "QUANTITIES",
    "SMALLEST",
    "TIME",
    "Quantity",
    "by_column",
    "derived",
    "find",
    "limited",
    "measured",
]

SMALLEST, LARGEST = 1e-30, 1e30
"""No number beyond these is a measurement, a limit or a setting, in whatever unit; squares and products of
those within them stay far from where arithmetic ends."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Quantity:
    """Something that is measured in a mode, or follows from what is."""

    name: str
    """What people call it, in options and messages: `"power"`."""
    column: str
    """Its name with its unit, in files, records and JSON: `"power_w"`."""
    unit: str
    """As written behind a number: `"W"`."""
    title: str
    """What exactly it is, for tables: `"power"`, `"time of a minibatch"`."""
    link: Literal["log", "linear"] = "log"
    """Scale on which its errors are even: relative (`"log"`), or absolute (`"linear"`: a temperature)."""
    low: float = 0.0
    """No value lies below this."""
    reaches_low: bool = False
    """Whether `low` itself is a value: a share in per cent can be 0, and a time cannot."""
    high: float = math.inf
    """No value lies above this."""
    reaches_high: bool = True
    """Whether `high` itself is a value; infinity never is."""
    plausible: float = math.inf
    """A larger value in a file was most likely written in another unit."""
    slope: Literal[-1, 0, 1] = 0
    """Which way it moves when a clock rises: time falls, power rises; 0 where nothing can be said."""
    after: str = ""
    """Name of the quantity that it depends on: power is the energy of a minibatch over its time."""
    powers: Mapping[str, int] = field(default_factory=dict[str, int])
    """For a derived quantity, the exponents of the measured ones; empty for one that is measured itself."""
    factor: float = 1.0
    """What the product of those powers is multiplied by, which brings it to `unit`."""
    limitable: bool = True
    """Whether a choice can be limited by it."""
    spellings: Mapping[str, Callable[[float], float]] = field(
        default_factory=dict[str, Callable[[float], float]]
    )
    """Other columns that a file may call it, each with what converts a cell."""
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    """Columns without a usable unit, each with the names to use instead."""

    @property
    def is_log(self) -> bool:
        """Whether its errors are relative."""
        return self.link == "log"

    @property
    def sd_name(self) -> str:
        """Name of its error bar in records: `"power_rel_sd"`, or `"temperature_sd"` for an absolute one."""
        return f"{self.name}_rel_sd" if self.is_log else f"{self.name}_sd"

    @property
    def noise_name(self) -> str:
        """Name of the part of its error bar that is the noise of one measurement."""
        return f"{self.name}_noise_rel_sd" if self.is_log else f"{self.name}_noise_sd"

    @property
    def se_column(self) -> str:
        """Column of the standard error of its mean in a profile."""
        return f"{self.name}_rel_se" if self.is_log else f"{self.name}_se"

    @property
    def limit_name(self) -> str:
        """Name of the limit on it: `"max_power_w"`."""
        return f"max_{self.column}"

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the quantities that have to be measured to know it."""
        return tuple(self.powers) or (self.name,)

    def __reduce__(self) -> Any:
        # The rest of the package tells quantities apart by being the very same object.
        if QUANTITIES.get(self.name) is self:
            return find, (self.name,)
        return object.__reduce_ex__(self, 2)

    def __post_init__(self) -> None:
        if self.is_log and (self.low < 0 or (self.low == 0 and self.reaches_low)):
            raise ValueError(
                f"{self.name} has relative errors and holds values without a logarithm: give it "
                'link="linear", or a low of 0 that it does not reach'
            )

    @property
    def described(self) -> str:
        """What a value of it must be, for messages."""
        if (self.low, self.reaches_low, self.high) == (0, False, math.inf):
            return f"a positive number from {SMALLEST:g} to {LARGEST:g}"
        above = f"{'of at least' if self.reaches_low else 'above'} {self.low:g} {self.unit}"
        if self.high == math.inf:
            return f"a number {above}"
        return (
            f"a number {above} and {'of at most' if self.reaches_high else 'below'} {self.high:g} {self.unit}"
        )

    def of(self, values: Mapping[str, float]) -> float:
        """Return it from measured values by column, also where it is a product; NaN where one is missing."""
        if not self.powers:
            return values.get(self.column, math.nan)
        value = self.factor
        for name, power in self.powers.items():
            value *= values.get(find(name).column, math.nan) ** power
        return value

    def holds(self, value: Any) -> Any:
        """Tell whether `value` can be one of its values; NaN, which is "not measured", is none.

        An array gives an array of answers.
        """
        above = value >= self.low if self.reaches_low else value > self.low
        if self.low == 0 and not self.reaches_low:
            above = above & (value >= SMALLEST)
        below = value <= self.high if self.reaches_high else value < self.high
        return above & below & (value <= LARGEST)


TIME = Quantity(
    name="time",
    column="time_ms",
    unit="ms",
    title="time of a minibatch",
    slope=-1,
    spellings={"time_s": units.ms_from_s, "time_us": units.ms_from_us},
    refused={
        "time": "time_ms or time_s",
        "time_min": "time_s",
        "time_h": "time_s",
        "time_ns": "time_us",
    },
)
POWER = Quantity(
    name="power",
    column="power_w",
    unit="W",
    title="power",
    slope=1,
    after="time",
    plausible=10_000.0,
    spellings={"power_mw": units.watts_from_milliwatts},
    refused={"power": "power_w or power_mw", "power_kw": "power_w", "power_uw": "power_mw"},
)
ENERGY = Quantity(
    name="energy",
    column="energy_j",
    unit="J",
    title="energy of a minibatch",
    powers={"time": 1, "power": 1},
    factor=units.energy_j(power_w=1.0, time_ms=1.0),
)
EDP = Quantity(
    name="edp",
    column="edp_js",
    unit="J s",
    title="energy-delay product",
    powers={"time": 2, "power": 1},
    factor=units.energy_j(power_w=1.0, time_ms=1.0) * units.s_from_ms(1.0),
    limitable=False,
)

QUANTITIES: dict[str, Quantity] = {q.name: q for q in (TIME, ENERGY, POWER, EDP)}
"""Every quantity by name. To add one, add an entry."""


def measured() -> tuple[Quantity, ...]:
    """Return the quantities that profiles hold."""
    return tuple(q for q in QUANTITIES.values() if not q.powers)


def derived() -> tuple[Quantity, ...]:
    """Return the quantities that follow from measured ones."""
    return tuple(q for q in QUANTITIES.values() if q.powers)


def limited() -> tuple[Quantity, ...]:
    """Return the quantities that a choice can be limited by; power, which boards run short of, first."""
    return tuple(sorted((q for q in QUANTITIES.values() if q.limitable), key=lambda q: q is not POWER))


def by_column() -> dict[str, Quantity]:
    """Return the measured quantities by their column."""
    return {q.column: q for q in QUANTITIES.values() if not q.powers}


def find(name: str) -> Quantity:
    """Return a quantity by name.

    Raises:
        UnknownNameError: There is none; the message lists the nearest.
    """
    if name not in QUANTITIES:
        raise UnknownNameError.of("quantity", name, QUANTITIES)
    return QUANTITIES[name]
