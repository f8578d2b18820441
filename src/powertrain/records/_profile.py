"""One profile: what was measured for a workload in a mode."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

from powertrain import quantities
from powertrain.errors import DataError
from powertrain.quantities import Quantity
from powertrain.records._modes import PowerMode
from powertrain.records._shown import View, view_html
from powertrain.units import energy_j

__all__ = ["NAN", "Profile", "file_under", "of_one_sum", "sum_of"]

logger = logging.getLogger(__name__)

NAN = float("nan")
POWER_FROM = "power_from"
"""Under which a profile says of what its power is the sum, as in `VDD_GPU_SOC + VDD_CPU_CV`."""


@final
@dataclass(frozen=True, init=False, eq=False)
class Profile:
    """What was measured for one workload on one device in one power mode.

    A profile may lack any quantity (NaN); all of them only if a flag says why. Profiles with `flags` (a
    throttled clock, a drift) are kept and left out of fits. Two profiles are equal when all their fields are,
    and not measured equals not measured.
    """

    device: str
    workload: str
    mode: PowerMode
    values: Mapping[str, float]
    """What was measured, by column (`"time_ms"`); a column that is not there was not measured."""
    se: Mapping[str, float]
    """Standard error of the mean, by column: relative to it for quantities with relative errors."""
    duration_s: float
    """What measuring this mode cost: settling, warm-up and minibatches [s]."""
    flags: tuple[str, ...]
    extra: Mapping[str, str] = field(hash=False)
    """Anything else that came with the measurement, by column name."""

    def __init__(
        self,
        *,
        device: str,
        workload: str,
        mode: PowerMode,
        values: Mapping[str, float] | None = None,
        se: Mapping[str, float] | None = None,
        duration_s: float = NAN,
        flags: tuple[str, ...] = (),
        extra: Mapping[str, str] | None = None,
        **named: float,
    ) -> None:
        """Check and keep what was measured.

        Args:
            device: Name of the device.
            workload: Name of the workload.
            mode: Mode it was in.
            values: What was measured, by column; NaN is "not measured".
            se: Standard errors by column.
            duration_s: What it cost [s].
            flags: Reasons to leave it out of fits.
            extra: Whatever else came with it, as text.
            named: The same by keyword: `time_ms=12.5`, `time_rel_se=0.01`.

        Raises:
            DataError: A value cannot be one of its quantity, or nothing was measured and no flag says why.
            TypeError: A keyword is not a column of a quantity.
        """
        if not device or not workload:
            raise DataError("a profile needs a device and a workload, and one of them is empty")
        known, errors = dict(values or {}), dict(se or {})
        for name, value in named.items():
            file_under(name, value, known, errors)
        columns = quantities.by_column()
        for column, value in list(known.items()):
            if value != value:
                del known[column]
            elif column not in columns or not columns[column].holds(value):
                raise _refusal(columns.get(column), column, value)
        for column, value in list(errors.items()):
            if value != value:
                del errors[column]
            elif not 0 <= value <= quantities.LARGEST:
                name = columns[column].se_column if column in columns else column
                raise _out_of_range(name, value)
        if duration_s < 0 or duration_s > quantities.LARGEST:
            raise _out_of_range("duration_s", duration_s)
        if not known and not flags:
            raise DataError(f"the profile of {mode} has neither a time nor a power")
        write = object.__setattr__
        write(self, "device", device)
        write(self, "workload", workload)
        write(self, "mode", mode)
        write(self, "values", known)
        write(self, "se", errors)
        write(self, "duration_s", duration_s)
        write(self, "flags", flags)
        write(self, "extra", extra or {})

    @property
    def time_ms(self) -> float:
        """Mean time of one minibatch [ms] (or of whatever unit of work the workload repeats)."""
        return self.values.get("time_ms", NAN)

    @property
    def power_w(self) -> float:
        """Mean power while it ran [W]."""
        return self.values.get("power_w", NAN)

    @property
    def time_rel_se(self) -> float:
        """Standard error of the mean time, relative to it."""
        return self.se.get("time_ms", NAN)

    @property
    def power_rel_se(self) -> float:
        """Standard error of the mean power, relative to it."""
        return self.se.get("power_w", NAN)

    @property
    def energy_j(self) -> float:
        """Energy of one minibatch [J]; NaN where time or power was not measured."""
        return energy_j(power_w=self.power_w, time_ms=self.time_ms)

    def _repr_html_(self) -> str:
        cells = {**self.mode, **self.values}
        title = f"{self.workload} on {self.device}"
        return view_html(View(title=title, headings=list(cells), rows=[list(cells.values())]))

    def _identity(self) -> tuple[object, ...]:
        cost_s = None if math.isnan(self.duration_s) else self.duration_s
        return (
            *(self.device, self.workload, self.mode, cost_s, tuple(self.flags)),
            *(frozenset(self.values.items()), frozenset(self.se.items())),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Profile):
            return NotImplemented
        return self._identity() == other._identity() and dict(self.extra) == dict(other.extra)

    def __hash__(self) -> int:
        return hash(self._identity())


def file_under(name: str, value: float, values: dict[str, float], se: dict[str, float]) -> None:
    """File a keyword under the column that it is a value or a standard error of."""
    for quantity in quantities.measured():
        if name == quantity.column:
            values[name] = value
            return
        if name == quantity.se_column:
            se[quantity.column] = value
            return
    raise TypeError(f"{name!r} is not a column of a profile: there are {', '.join(quantities.by_column())}")


def _out_of_range(name: str, value: float) -> DataError:
    return DataError(f"{name} is {value!r}: give a number from 0 to {quantities.LARGEST:g}, or NaN")


def _refusal(quantity: Quantity | None, column: str, value: float) -> Exception:
    if quantity is None:
        known = ", ".join(quantities.by_column())
        return TypeError(f"{column!r} is not a column of a profile: there are {known}")
    return DataError(f"{column} is {value!r}: a measurement is {quantity.described}, or NaN for none")


def sum_of(profile: Profile) -> frozenset[str]:
    """Return the rails or counters whose sum the power of a profile is; none where it does not say."""
    text = profile.extra.get(POWER_FROM, "")
    return frozenset(rail.strip() for rail in text.split(" + ") if rail.strip())


def of_one_sum(profiles: Sequence[Profile]) -> list[Profile]:
    """Return profiles whose powers can be compared.

    Those by another sum than the latest keep their times alone, and a warning tells how many these are. One
    that does not say what its power is a sum of, as from a file, is taken to fit.
    """
    latest = next((found for profile in reversed(profiles) if (found := sum_of(profile))), frozenset[str]())
    others = [profile for profile in profiles if sum_of(profile) and sum_of(profile) != latest]
    if not others:
        return list(profiles)
    logger.warning(
        "the power of %s of %s profiles of %s is the sum of %s, and of the latest that of %s: only the "
        "latest are used for power; measure the others again (profile --again), or choose the rails",
        f"{len(others):,}",
        f"{len(profiles):,}",
        profiles[0].workload,
        others[0].extra[POWER_FROM],
        " + ".join(sorted(latest)),
    )
    left = set(map(id, others))
    return [_without_power(profile) if id(profile) in left else profile for profile in profiles]


def _without_power(profile: Profile) -> Profile:
    values = {column: value for column, value in profile.values.items() if column != "power_w"}
    se = {column: value for column, value in profile.se.items() if column != "power_w"}
    # Of one without a time nothing is left: flagged, no table takes it.
    flags = profile.flags if values else ("other_sum",)
    return replace(profile, values=values, se=se, flags=flags)
