"""Whether a device can be trusted, first part: what it shows when it is only read."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from powertrain.devices import AbstractDevice, AbstractLiveDevice, PowerReading, live
from powertrain.errors import PowerTrainError
from powertrain.records import PowerMode
from powertrain.selftest._nesting import nesting_checks
from powertrain.selftest._records import Check
from powertrain.units import ms_from_s

__all__ = ["PERIOD_S", "Check", "SelfTest", "Trial", "differing", "inspect_device"]

READINGS = 3
"""Of the power: few, since a person waits, and enough to see a sensor fail."""
PERIOD_S = 0.2
"""Between readings: public measurements have an INA3221 read in about 5 ms and averaging for far longer."""
SLOW_READING_MS = 100.0
"""A reading that takes longer cannot be taken ten times a second."""
PLAUSIBLE_CHIP_C = (-40.0, 130.0)
"""Temperatures that a chip can have while it works; beyond them its sensor is broken, or switched off."""


@final
@dataclass(frozen=True, kw_only=True)
class Trial:
    """One mode that was held for a moment."""

    mode: PowerMode
    held: bool
    """Whether it was set, was still set afterwards, and the state before came back."""
    problem: str = ""
    power_w: float = math.nan
    """Mean over the second half, while the processor worked."""
    rails_w: Mapping[str, float] = field(default_factory=dict[str, float])
    """The same of each rail: of some it is not published which others they carry."""
    temperature_c: float = math.nan
    setting_s: float = math.nan
    """Time until the mode was set and read back, on the device's clock."""


@final
@dataclass(frozen=True, kw_only=True)
class SelfTest:
    """What was found on a device."""

    device: str
    spec: str
    simulated: bool
    software: Mapping[str, str]
    """Versions of what reads the device."""
    environment: Mapping[str, str]
    """What the device says of its own."""
    knobs: Mapping[str, tuple[float, ...]]
    modes: int
    stock_modes: Mapping[str, PowerMode]
    rails: tuple[str, ...]
    """Those that are summed."""
    readings: tuple[PowerReading, ...]
    reading_ms: float
    """What one reading cost, on the machine's clock; NaN without a sensor."""
    temperature_c: float
    throttle_count: int
    notes: tuple[str, ...]
    checks: tuple[Check, ...]
    trials: tuple[Trial, ...] = ()
    """None where nothing was set."""

    @property
    def failed(self) -> tuple[Check, ...]:
        """What was not as it should be."""
        return tuple(check for check in self.checks if not check.ok)


def inspect_device(device: AbstractDevice, *, timer: Callable[[], float] = time.perf_counter) -> SelfTest:
    """Look at a live device without changing it.

    Args:
        device: Of any kind that can hold a mode.
        timer: Tells what a reading costs [s].

    Raises:
        DeviceError: The device is not live.
    """
    board = live(device)
    # Only reads: what this finds must be the same for a user who may change nothing.
    readings, reading_s, problem = _readings(board, timer)
    reading_ms, temperature_c = ms_from_s(reading_s), board.temperature_c()
    stock = board.stock_modes()
    checks = (
        _modes_check(board),
        _power_check(board, readings, problem),
        *((_cost_check(reading_ms),) if readings else ()),
        _temperature_check(temperature_c),
        Check(
            name="stock modes",
            ok=all(mode in board.space for mode in stock.values()),
            says=f"{len(stock)}: {', '.join(stock)}." if stock else "None are known.",
        ),
        _state_check(board),
        *nesting_checks(board),
    )
    return SelfTest(
        device=board.name,
        spec=board.spec,
        simulated=board.simulated,
        software=_software(),
        environment=dict(board.environment()),
        knobs={knob.name: knob.values for knob in board.space.knobs},
        modes=len(board.modes()),
        stock_modes=stock,
        rails=board.rails,
        readings=tuple(readings),
        reading_ms=reading_ms,
        temperature_c=temperature_c,
        throttle_count=board.throttle_count(),
        notes=board.notes(),
        checks=checks,
    )


def _software() -> dict[str, str]:
    from importlib.metadata import version

    return {
        "powertrain": version("powertrain"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _readings(board: AbstractLiveDevice, timer: Callable[[], float]) -> tuple[list[PowerReading], float, str]:
    """Take some readings; return them, what one cost [s], and why there are no more."""
    taken: list[PowerReading] = []
    if not board.rails:
        return taken, math.nan, ""
    spent_s = 0.0
    for _ in range(READINGS):
        # The board's clock passes the time and the machine's measures the cost: the first may be virtual.
        board.clock.sleep_s(PERIOD_S)
        before_s = timer()
        try:
            taken.append(board.read_power())
        except (PowerTrainError, OSError) as error:
            return taken, spent_s / len(taken) if taken else math.nan, str(error)
        spent_s += timer() - before_s
    return taken, spent_s / READINGS, ""


def _modes_check(board: AbstractLiveDevice) -> Check:
    counts = " x ".join(f"{len(knob.values)} {knob.name}" for knob in board.space.knobs)
    found = len(board.modes())
    return Check(name="modes", ok=found > 0, says=f"{found:,} ({counts}).")


def _power_check(board: AbstractLiveDevice, readings: list[PowerReading], problem: str) -> Check:
    if not board.rails:
        return Check(name="power", ok=True, says="There is no sensor: times alone can be measured.")
    shown = ", ".join(f"{reading.power_w:.2f}" for reading in readings)
    says = f"{shown or 'Nothing'} W from {' + '.join(board.rails)}."
    if problem:
        return Check(name="power", ok=False, says=f"{says} Then it failed: {problem}")
    return Check(name="power", ok=bool(readings) and readings[-1].power_w > 0, says=says)


def _cost_check(reading_ms: float) -> Check:
    ok = reading_ms < SLOW_READING_MS
    return Check(
        name="a reading's cost",
        ok=ok,
        says=f"{reading_ms:.2f} ms{'' if ok else ': too slow for ten readings a second'}.",
    )


def _temperature_check(celsius: float) -> Check:
    if math.isnan(celsius):
        return Check(name="temperature", ok=True, says="It cannot be read.")
    low, high = PLAUSIBLE_CHIP_C
    return Check(name="temperature", ok=low < celsius < high, says=f"{celsius:.1f} degrees C.")


def _state_check(board: AbstractLiveDevice) -> Check:
    """See whether the settings that a mode changes can be read, and stay what they are."""
    # A setting that moves by itself could never be compared with the one before a trial.
    try:
        first = board.state()
        board.clock.sleep_s(PERIOD_S)
        moved = differing(first, board.state())
    except (PowerTrainError, OSError) as error:
        return Check(name="settings", ok=False, says=f"They cannot be read: {error}")
    if moved:
        return Check(name="settings", ok=False, says=f"Somebody else changes them: {', '.join(moved)}.")
    says = "They are readable and steady." if first else "It tells none, so there is nothing to compare."
    return Check(name="settings", ok=True, says=says)


def differing(one: Any, other: Any, path: str = "") -> list[str]:
    """Return where two states differ."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return [] if one == other else [f"{path} {one!r} became {other!r}"]
    found: list[str] = []
    for key in {**one, **other}:  # pyright: ignore[reportUnknownVariableType]
        place = f"{path}.{key}".strip(".")
        found += differing(one.get(key), other.get(key), place)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    return found
