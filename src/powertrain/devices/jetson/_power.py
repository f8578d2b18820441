"""Power: the board's rails by label, and what the whole board draws by its rule."""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import final

from powertrain.devices._files import Files, whole_number
from powertrain.devices._reasons import Reason, Why
from powertrain.devices._sysfs import Sysfs
from powertrain.devices.jetson._rails import UNCONNECTED, rails_of, summed_rails
from powertrain.errors import DeviceError
from powertrain.units import s_from_ms, watts_from_microwatts, watts_from_milliwatts
from powertrain.wording import visible

__all__ = ["Averaging", "PowerRails", "summed_rails"]

ADDRESS = re.compile(r"[0-9]{1,3}-[0-9a-f]{4}", re.ASCII)
"""Bus and address of an I2C device in sysfs (Linux Documentation/i2c/i2c-sysfs.rst)."""
TRIES = 3
"""Of a read that says EAGAIN, as public tools do."""


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


@final
class PowerRails:
    """The power monitors of a board: INA3221 by hwmon or iio, and Thor's INA238.

    Numbers of buses and of hwmon differ between boards, so they are found by chip and label.
    """

    def __init__(self, files: Files, *, asked: Sequence[str] = ()) -> None:
        """Look for them.

        Args:
            files: The board's.
            asked: Rails that are to be added in the place of the table's.

        Raises:
            DeviceError: One of these is not there.
        """
        self._files = files
        self._reads: dict[str, Callable[[], float]] = {}
        self._settings: list[str] = []
        self.missing: Reason | None = None
        """Why the board's power cannot be told; None where it can."""
        self._find()
        # A sum of the rails that this user happens to be allowed to read would not be the board's power.
        self.rule = rails_of(self._reads, asked=asked)
        wanted = self.rule.summed
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
        told = f"the rails {', '.join(self.labels)} are not the whole board's, and none that is was found"
        twice = any(" channel " in label for label in self.labels)
        return (
            f"{told}; two channels have one label: say which is added, as in rails=LABEL" if twice else told
        )

    def _find(self) -> None:
        self._found: list[tuple[str, str, Callable[[], float]]] = []
        self._look_for_chips()
        # Of one label there is one rail. Two are told apart by their places, and none of them is the whole.
        labels = [label for label, _, _ in self._found]
        for label, place, read in self._found:
            self._reads[label if labels.count(label) == 1 else f"{label} ({place})"] = read

    def _look_for_chips(self) -> None:
        sysfs, seen = self._files.sysfs, set[str]()
        for chip in sorted(sysfs.glob("/sys/class/hwmon/hwmon*"), key=sysfs.resolve):  # by bus and address
            name = self._files.text(f"{chip}/name")
            if name == "ina3221":
                self._add_ina3221(chip)
            elif name == "ina238" and sysfs.exists(f"{chip}/power1_input"):
                self._add("VIN", chip, 1, partial(self._microwatts, f"{chip}/power1_input"))
        for place in ("/sys/bus/i2c/drivers/ina3221x/*/iio:device*", "/sys/bus/iio/devices/iio:device*"):
            for chip in sysfs.glob(place):
                if (real := sysfs.resolve(chip)) not in seen:  # both lead to one device
                    seen.add(real)
                    self._add_iio(chip)

    def _add_ina3221(self, chip: str) -> None:
        """Add the three channels; 4 to 6 are shunt voltages and 7 is their sum (ina3221.rst)."""
        self._settings.append(chip)
        for n in (1, 2, 3):
            off = self._files.text(f"{chip}/in{n}_enable") == "0"
            if not off and self._files.sysfs.exists(f"{chip}/curr{n}_input"):
                label = self._files.text(f"{chip}/in{n}_label")
                self._add(label, chip, n, partial(self._mv_by_ma, chip, n))

    def _add_iio(self, chip: str) -> None:
        """Add the channels of JetPack 4's driver, which multiplies by itself."""
        for k in range(3):
            path = f"{chip}/in_power{k}_input"
            if self._files.sysfs.exists(path):
                label = self._files.text(f"{chip}/rail_name_{k}")
                self._add(label, chip, k + 1, partial(self._milliwatts, path))

    def _add(self, label: str, chip: str, channel: int, read: Callable[[], float]) -> None:
        label = visible(" ".join(label.split()))
        if label not in UNCONNECTED:
            self._found.append(
                (label, f"{_address(self._files.sysfs.resolve(chip))} channel {channel}", read)
            )

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


def _address(path: str) -> str:
    """Return the address of a chip on its bus, as in `1-0040`, else the name of its folder."""
    parts = path.split("/")
    return next((part for part in reversed(parts) if ADDRESS.fullmatch(part)), parts[-1])


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
