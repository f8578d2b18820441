"""The knob `cpu_mhz`: the clock of all processors, through Linux's cpufreq."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from typing_extensions import override

from powertrain.devices._parts import Part
from powertrain.errors import DeviceError, UnreachableModeError
from powertrain.records import PowerMode
from powertrain.units import mhz_from_khz

__all__ = ["CpuClockPart"]

STEPS = 8
"""Clocks that are offered where the driver takes any between two ends."""


@final
class CpuClockPart(Part):
    """Holds all policies at one clock: least = greatest = asked.

    Kernel documentation, admin-guide/pm/cpufreq: `scaling_min_freq`, `scaling_max_freq` and
    `scaling_available_frequencies` (some drivers lack the last) in kHz, one directory per policy.
    """

    name = "cpufreq"
    outlives_process = True

    def __init__(self, *, sysfs: Path = Path("/sys")) -> None:
        self._policies = sorted(
            (sysfs / "devices/system/cpu/cpufreq").glob("policy*"), key=lambda path: int(path.name[6:])
        )
        tables = [_clocks_khz(policy) for policy in self._policies]
        self._khz = {mhz_from_khz(float(khz)): khz for khz in sorted({k for t in tables for k in t})}
        self._ends = dict(zip(self._policies, ((t[0], t[-1]) for t in tables if t), strict=False))
        self._missing = self._why_not(tables)
        self.knobs: Mapping[str, tuple[float, ...]] = (
            {} if self._missing else {"cpu_mhz": tuple(sorted(self._khz))}
        )

    def _why_not(self, tables: list[list[int]]) -> str:
        if not self._policies:
            return "the kernel offers no cpufreq here"
        if not all(tables):
            return "cpufreq tells no clocks"
        for policy in self._policies:
            for file in ("scaling_min_freq", "scaling_max_freq"):
                if not os.access(policy / file, os.W_OK):
                    return f"{policy / file} may not be written: run as root"
        return ""

    @override
    def save(self) -> Any:
        return {
            policy.name: [_read_khz(policy / "scaling_min_freq"), _read_khz(policy / "scaling_max_freq")]
            for policy in self._policies
        }

    @override
    def write(self, mode: PowerMode) -> None:
        khz = self._khz[mode["cpu_mhz"]]
        for policy in self._policies:
            low, high = self._ends[policy]
            self._put(policy, low, min(max(khz, low), high), pin=True)

    @override
    def lost(self, mode: PowerMode) -> str:
        for policy in self._policies:
            low, high = self._ends[policy]
            wanted = min(max(self._khz[mode["cpu_mhz"]], low), high)
            seen = _read_khz(policy / "scaling_min_freq"), _read_khz(policy / "scaling_max_freq")
            if seen != (wanted, wanted):
                return f"{policy.name} shows {seen[0]} to {seen[1]} kHz"
        return ""

    @override
    def put_back(self, saved: Any) -> None:
        for policy in self._policies:
            if policy.name in saved:
                least, greatest = saved[policy.name]
                self._put(policy, least, greatest, pin=False)

    @override
    def notes(self) -> tuple[str, ...]:
        if self._missing:
            return (f"No cpu_mhz: {self._missing}.",)
        return (f"cpu_mhz sets {len(self._policies)} cpufreq policies.",)

    def _put(self, policy: Path, least: int, greatest: int, *, pin: bool) -> None:
        """Write both ends in an order that is legal on every kernel, and read them back."""
        wanted = (greatest if pin else least, greatest)
        low = self._ends[policy][0]
        try:
            for file, khz in (
                ("scaling_min_freq", low),
                ("scaling_max_freq", greatest),
                ("scaling_min_freq", wanted[0]),
            ):
                (policy / file).write_text(str(khz), encoding="ascii")
        except OSError as error:
            raise DeviceError(f"cannot set the clock of {policy}: {error.strerror}") from error
        seen = _read_khz(policy / "scaling_min_freq"), _read_khz(policy / "scaling_max_freq")
        if pin and seen != wanted:
            raise UnreachableModeError(
                f"{policy.name} was set to {wanted[1]} kHz and shows {seen[0]} to {seen[1]} kHz: "
                "something else "
                "limits its clock"
            )


def _clocks_khz(policy: Path) -> list[int]:
    """Return the clocks that a policy can be set to, ascending."""
    try:
        listed = (policy / "scaling_available_frequencies").read_text(encoding="ascii").split()
        return sorted({int(khz) for khz in listed})
    except (OSError, ValueError):
        pass
    try:
        low, high = (_read_khz(policy / f"cpuinfo_{end}_freq") for end in ("min", "max"))
    except (OSError, ValueError):
        return []
    return sorted({round(low + (high - low) * step / (STEPS - 1)) for step in range(STEPS)})


def _read_khz(path: Path) -> int:
    return int(path.read_text(encoding="ascii"))
