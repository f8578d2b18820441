"""Power: the board's rails by label, and what the whole board draws by its rule."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import final

from powertrain.devices._files import Files, whole_number
from powertrain.devices._reasons import Reason, Why
from powertrain.devices._sysfs import Sysfs
from powertrain.errors import DeviceError
from powertrain.units import s_from_ms, watts_from_microwatts, watts_from_milliwatts

__all__ = ["MAYBE_NESTED", "Averaging", "PowerRails", "summed_rails", "total_w"]

TRIES = 3
"""Of a read that says EAGAIN, as public tools do."""
UNCONNECTED = ("NC", "")
"""Labels of channels that carry nothing (rbonghi/jetson_stats:jtop/core/power.py)."""
WHOLE_RAILS = ("VDD_IN", "POM_5V_IN", "VIN")
"""Rails that carry the whole module; the others are parts of it and never added.

VDD_IN: Orin NX and Nano, Xavier NX ("total power of module", NVIDIA forum 200883), TX2. POM_5V_IN: Nano
(forum 73608). VIN: Thor (rbonghi/jetson_stats PR 900).
"""
SUMMED_RAILS = (
    (("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), ("VDDQ_VDD2_1V8AO",)),
    (("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"), ()),
)
"""Boards without such a rail: AGX Orin and AGX Xavier. Those that all have to be there, and those that may.

AGX Xavier: rbonghi/jetson_stats issue 51. AGX Orin: jtop adds the four, and so does
kevinhe5/IISWC2026-Artifact-Paper-177, where tegrastats of Jetson Linux 36 leaves the optional one out.
"""
MAYBE_NESTED = ("VIN_SYS_5V0", "VDDQ_VDD2_1V8AO")
"""Whether AGX Orin's first carries the second, which is then counted twice, is not published.

Read-outs of both at 4.97 V would fit. `powertrain devices` says so, and every rail is recorded by itself.
"""


@final
@dataclass(frozen=True, kw_only=True)
class Averaging:
    """How power monitors average, as they say themselves; NaN where they do not."""

    samples: float
    update_interval_ms: float

    @property
    def window_s(self) -> float:
        """Time over which a reading is averaged.

        Linux Documentation/hwmon/ina3221.rst: `update_interval` is channels x samples x conversion time.
        """
        return s_from_ms(self.update_interval_ms)


def summed_rails(labels: Iterable[str]) -> tuple[str, ...]:
    """Return the rails whose sum is the board's power; none where it cannot be told.

    The rail that carries all, else those of a board that is known to have none. Others, such as those of
    monitors on somebody's carrier board, are never added.
    """
    found = [label for label in labels if label not in UNCONNECTED]
    # A rail of the whole board stands alone: a sum would count its parts once more.
    total = next((label for label in WHOLE_RAILS if label in found), None)
    if total is not None:
        return (total,)
    for needed, optional in SUMMED_RAILS:
        if set(needed) <= set(found):
            return tuple(label for label in found if label in needed or label in optional)
    return ()


def total_w(rails_w: Mapping[str, float], summed: Iterable[str]) -> float:
    """Return the board's power; NaN where one of the rails that are summed is missing."""
    found = [rails_w.get(label, math.nan) for label in summed]
    return sum(found) if found else math.nan


@final
class PowerRails:
    """The power monitors of a board: INA3221 by hwmon or iio, and Thor's INA238.

    Numbers of buses and of hwmon differ between boards, so they are found by chip and label.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._reads: dict[str, Callable[[], float]] = {}
        self._settings: list[str] = []
        self.missing: Reason | None = None
        """Why the board's power cannot be told; None where it can."""
        self._find()
        # A sum of the rails that this user happens to be allowed to read would not be the board's power.
        wanted = summed_rails(self._reads)
        self._reads = {label: read for label, read in self._reads.items() if self._may_read(label)}
        self.labels = tuple(self._reads)
        self.summed = wanted if set(wanted) <= set(self.labels) else ()
        self.averaging = self._averaging()
        if self.summed:
            self.missing = None  # what may not be read is not summed here
        elif self.missing is None:
            self.missing = _no_power(Why.ABSENT, self._what_is_lacking())

    def read_w(self) -> dict[str, float]:
        """Return the power of each rail now, without those that do not answer and are not summed.

        Raises:
            OSError: A monitor does not answer.
            DeviceError: It answers with something that is not a number.
        """
        found: dict[str, float] = {}
        for label, read in self._reads.items():
            try:
                found[label] = read()
            except (OSError, DeviceError):
                if label in self.summed:
                    raise
        return found

    def _what_is_lacking(self) -> str:
        if not self.labels:
            return "no power monitor (ina3221, ina238) was found in /sys"
        return f"the rails {', '.join(self.labels)} are not the whole board's, and none that is was found"

    def _find(self) -> None:
        sysfs = self._files.sysfs
        for chip in sorted(sysfs.glob("/sys/class/hwmon/hwmon*"), key=sysfs.resolve):  # by bus and address
            name = self._files.text(f"{chip}/name")
            if name == "ina3221":
                self._add_ina3221(chip)
            elif name == "ina238" and sysfs.exists(f"{chip}/power1_input"):
                self._add("VIN", partial(self._microwatts, f"{chip}/power1_input"))
        for place in ("/sys/bus/i2c/drivers/ina3221x/*/iio:device*", "/sys/bus/iio/devices/iio:device*"):
            for chip in sysfs.glob(place):
                self._add_iio(chip)

    def _add_ina3221(self, chip: str) -> None:
        """Add the three channels; 4 to 6 are shunt voltages and 7 is their sum (ina3221.rst)."""
        self._settings.append(chip)
        for n in (1, 2, 3):
            off = self._files.text(f"{chip}/in{n}_enable") == "0"
            if not off and self._files.sysfs.exists(f"{chip}/curr{n}_input"):
                self._add(self._files.text(f"{chip}/in{n}_label"), partial(self._mv_by_ma, chip, n))

    def _add_iio(self, chip: str) -> None:
        """Add the channels of JetPack 4's driver, which multiplies by itself."""
        for k in range(3):
            path = f"{chip}/in_power{k}_input"
            if self._files.sysfs.exists(path):
                self._add(self._files.text(f"{chip}/rail_name_{k}"), partial(self._milliwatts, path))

    def _add(self, label: str, read: Callable[[], float]) -> None:
        label = " ".join(label.split())
        if label not in UNCONNECTED:
            self._reads.setdefault(label, read)

    def _may_read(self, label: str) -> bool:
        """Tell whether this user may read a rail; one that fails otherwise may work later."""
        try:
            self._reads[label]()
        except PermissionError as error:
            self.missing = _no_power(
                Why.FORBIDDEN,
                f"{error.filename or label} may be read by root alone, as on release 35.5",
                mend="run as root, or sudo chmod a+r it after each boot",
            )
            return False
        except (OSError, DeviceError):
            return True
        return True

    def _averaging(self) -> Averaging:
        found: list[tuple[float, float]] = []
        for chip in self._settings:
            numbers = (self._files.number(f"{chip}/{name}") for name in ("samples", "update_interval"))
            samples, interval = (math.nan if number is None else float(number) for number in numbers)
            if not math.isnan(interval):
                found.append((interval, samples))
        interval, samples = max(found, default=(math.nan, math.nan))
        return Averaging(samples=samples, update_interval_ms=interval)

    def _mv_by_ma(self, chip: str, channel: int) -> float:
        """Return millivolts times milliamperes: microwatts."""
        millivolts = _number(self._files.sysfs, f"{chip}/in{channel}_input")
        return watts_from_microwatts(millivolts * _number(self._files.sysfs, f"{chip}/curr{channel}_input"))

    def _milliwatts(self, path: str) -> float:
        return watts_from_milliwatts(_number(self._files.sysfs, path))

    def _microwatts(self, path: str) -> float:
        return watts_from_microwatts(_number(self._files.sysfs, path))


def _no_power(why: Why, sentence: str, *, mend: str = "") -> Reason:
    consequence = "so profiles have times alone"
    return Reason(what="power sensor", why=why, sentence=sentence, mend=mend, consequence=consequence)


def _number(sysfs: Sysfs, path: str) -> float:
    for attempt in range(TRIES):
        try:
            text = sysfs.read(path)
        except OSError as error:
            if error.errno != errno.EAGAIN or attempt == TRIES - 1:
                raise
            continue
        number = whole_number(text.removeprefix("-"))
        if number is None:
            raise DeviceError(f"{path} says {text[:40]!r}, which is not a number")
        return float(-number if text.startswith("-") else number)
    raise AssertionError("unreachable")
