"""Power monitors, temperatures, the fan and the counters of over-current events."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from typing import final

from powertrain.units import (
    microohms_from_milliohms,
    microwatts_from_watts,
    millicelsius_from_celsius,
    millivolts_from_microvolts,
    milliwatts_from_microwatts,
)
from powertrain.virtual.emulated._dynamics import Dynamics
from powertrain.virtual.emulated._nodes import Node, number_of, refuse
from powertrain.virtual.emulated._records import Channel, EmulatedBoard, Faults

__all__ = ["Sensors"]

SHUNT_UV = 40.0
"""Least step of an INA3221 over its shunt, and its steps of the bus voltage [mV]: data sheet."""
BUS_STEP_MV = 8
CONVERSION_MS = 0.14
"""Of one bus and of one shunt voltage: the shortest that the chip has."""
HWMON = "/sys/class/hwmon"
TRIP_C = 99.0
"""At which a zone makes the kernel limit clocks: seen on an Orin Nano."""


@final
class Sensors:
    """Everything that a board can be asked about itself."""

    def __init__(
        self,
        board: EmulatedBoard,
        faults: Faults,
        dynamics: Dynamics,
        *,
        overcurrents: Callable[[], int],
        limited: Mapping[str, Callable[[], bool]],
    ) -> None:
        self._board, self._faults, self._dynamics = board, faults, dynamics
        self._overcurrents, self._limited = overcurrents, limited
        self._fan_pwm, self._fan_enable = 80, 2
        self._failures = dict.fromkeys(faults.sensor_errors, 0)
        self._chips: dict[str, list[Channel]] = {}
        for channel in board.channels:
            self._chips.setdefault(channel.chip, []).append(channel)
        self._hwmon: dict[str, str] = {}

    def state(self) -> dict[str, str]:
        """Return what a run may change."""
        found = {self._fan_path: str(self._fan_pwm)}
        if self._board.release.jetpack >= 7:
            found[f"{self._fan_path}_enable"] = str(self._fan_enable)
        return found

    def nodes(self) -> Mapping[str, Node]:
        """Return the files."""
        nodes = self._zones() | self._fan() | self._cooling()
        if self._board.soc in ("tegra234", "tegra264"):
            nodes |= self._overcurrent()
        for chip, channels in self._chips.items():
            if channels[0].label == "VIN":
                nodes |= self._ina238(chip, channels[0])
            elif self._board.release.power_by_iio:
                nodes |= self._iio(chip, channels)
            else:
                nodes |= self._ina3221(chip, channels)
        return nodes

    def links(self) -> Mapping[str, str]:
        """Return the ways by class and by driver; the numbers of hwmon differ between boards."""
        links = {path: target for target, path in self._hwmon.items()}
        driver = "ina3221x" if self._board.release.power_by_iio else "ina3221"
        for chip, channels in self._chips.items():
            name = "ina238" if channels[0].label == "VIN" else driver
            links[f"/sys/bus/i2c/drivers/{name}/{chip}"] = _i2c(chip)
            links[f"/sys/bus/i2c/devices/{chip}"] = _i2c(chip)
        return links

    def _add_hwmon(self, folder: str) -> str:
        """Give a chip its number; return its files' folder."""
        # Numbers of hwmon are an accident of the boot; whoever relies on them is to fail here.
        number = (len(self._hwmon) + self._board.release.jetpack) % 7
        path = f"{folder}/hwmon{number}"
        self._hwmon[path] = f"{HWMON}/hwmon{number}"
        return path

    def _ina3221(self, chip: str, channels: list[Channel]) -> dict[str, Node]:
        """Return what the driver ina3221 shows (Linux Documentation/hwmon/ina3221.rst)."""
        base = self._add_hwmon(f"{_i2c(chip)}/hwmon")
        interval = round(len(channels) * self._board.samples * 2 * CONVERSION_MS)
        files: dict[str, Node] = {
            "name": Node.text("ina3221"),
            "samples": _setting(str(self._board.samples)),
            "update_interval": _setting(str(interval)),
            "in7_label": Node.text("sum of shunt voltages"),
            "in7_input": Node.text("0"),
        }
        for channel in channels:
            n = channel.number
            files[f"in{n}_label"] = Node.text(channel.label)
            files[f"in{n}_enable"] = _setting("1")
            files[f"in{n}_input"] = self._sensor(channel, lambda c=channel: str(_bus_mv(c)))
            files[f"curr{n}_input"] = self._sensor(channel, lambda c=channel: str(self._current_ma(c)))
            files[f"in{n + 3}_input"] = self._sensor(
                channel,
                lambda c=channel: str(round(millivolts_from_microvolts(self._current_ma(c) * c.shunt_mohm))),
            )
            files[f"curr{n}_max"] = _setting("32760")
            files[f"curr{n}_crit"] = _setting("32760")
            files[f"shunt{n}_resistor"] = Node.text(str(round(microohms_from_milliohms(channel.shunt_mohm))))
        return {f"{base}/{name}": node for name, node in files.items()}

    def _ina238(self, chip: str, channel: Channel) -> dict[str, Node]:
        """Return what the driver ina238 shows: power1_input in microwatts (jetson_stats PR 900)."""
        base = self._add_hwmon(f"{_i2c(chip)}/hwmon")
        files = {
            "name": Node.text("ina238"),
            "in1_input": self._sensor(channel, lambda: str(_bus_mv(channel))),
            "curr1_input": self._sensor(channel, lambda: str(self._current_ma(channel))),
            "power1_input": self._sensor(
                channel, lambda: str(round(_bus_mv(channel) * self._current_ma(channel)))
            ),
        }
        return {f"{base}/{name}": node for name, node in files.items()}

    def _iio(self, chip: str, channels: list[Channel]) -> dict[str, Node]:
        """Return what ina3221x of JetPack 4 shows: mW, mV and mA (rbonghi/jetson_stats)."""
        place = list(self._chips).index(chip)
        base = f"{_i2c(chip)}/iio:device{place}"
        files: dict[str, Node] = {"name": Node.text("ina3221x")}
        for channel in channels:
            k = channel.number - 1
            files[f"rail_name_{k}"] = Node.text(channel.label)
            files[f"in_voltage{k}_input"] = self._sensor(channel, lambda c=channel: str(_bus_mv(c)))
            files[f"in_current{k}_input"] = self._sensor(channel, lambda c=channel: str(self._current_ma(c)))
            files[f"in_power{k}_input"] = self._sensor(
                channel,
                lambda c=channel: str(round(milliwatts_from_microwatts(_bus_mv(c) * self._current_ma(c)))),
            )
            files[f"crit_current_limit_{k}"] = _setting("32760")
        return {f"{base}/{name}": node for name, node in files.items()}

    def _current_ma(self, channel: Channel) -> int:
        if not channel.components:
            return 0
        # The chip measures the voltage over a shunt in steps, so small currents are read coarsely.
        exact_ma = microwatts_from_watts(self._dynamics.watts(channel.components)) / _bus_mv(channel)
        step_ma = SHUNT_UV / channel.shunt_mohm
        return round(step_ma * round(exact_ma / step_ma))

    def _sensor(self, channel: Channel, read: Callable[[], str]) -> Node:
        def guarded() -> str:
            number = self._faults.sensor_errors.get(channel.label)
            if number is not None:
                self._failures[channel.label] += 1
                last = self._faults.sensor_errors_last
                if last is None or self._failures[channel.label] <= last:
                    raise refuse(number)
            return read()

        return Node(read=guarded, mode=0o400 if self._faults.sensors_root_only else 0o444)

    def _overcurrent(self) -> dict[str, Node]:
        """Return the counters of soctherm: under-voltage, mean and instantaneous current.

        Orin: its driver. Thor: a public plan of experiments on a board reads the third.
        """
        base = self._add_hwmon("/sys/devices/platform/soctherm-oc-event/hwmon")
        nodes = {f"{base}/name": Node.text("soctherm_oc")}
        for number in (1, 2, 3):
            count = (lambda: str(self._overcurrents())) if number == 3 else (lambda: "0")
            nodes[f"{base}/oc{number}_event_cnt"] = Node(read=count)
            nodes[f"{base}/oc{number}_throt_en"] = _setting("1")
        return nodes

    def _zones(self) -> dict[str, Node]:
        nodes: dict[str, Node] = {}
        for place, name in enumerate(_zone_names(self._board)):
            base = f"/sys/class/thermal/thermal_zone{place}"
            nodes[f"{base}/type"] = Node.text(name)
            nodes[f"{base}/temp"] = Node(read=lambda name=name: self._temperature(name))
            nodes[f"{base}/trip_point_0_type"] = Node.text("passive")
            nodes[f"{base}/trip_point_0_temp"] = Node.text(str(round(millicelsius_from_celsius(TRIP_C))))
        return nodes

    def _cooling(self) -> dict[str, Node]:
        """Return what the thermal framework cools with, as an Orin Nano of Jetson Linux 36 shows it.

        Public clock records name `cpufreq-cpu0`, `cpufreq-cpu4` and `devfreq-17000000.gpu`. What older
        releases show is not published where we looked: here they show none.
        """
        nodes: dict[str, Node] = {}
        if self._board.release.jetpack < 6:
            return nodes
        for place, (name, limited) in enumerate(self._limited.items()):
            base = f"/sys/class/thermal/cooling_device{place}"
            nodes[f"{base}/type"] = Node.text(name)
            nodes[f"{base}/cur_state"] = Node(read=lambda limited=limited: str(int(limited())))
        return nodes

    def _temperature(self, zone: str) -> str:
        name = zone.lower()
        if name.startswith("cv"):
            # Nothing there is powered: TIARE006/powercap_orin_ws; -256 degrees in jetson_stats' tests.
            if self._board.release.jetpack == 5:
                return "-256000"
            raise refuse(errno.EAGAIN)
        if name == "pmic-die":
            return "100000"  # a constant in every public tegrastats line of these boards
        # While clocks are limited every zone of the chip shows the trip point, whatever the load.
        if any(limited() for limited in self._limited.values()):
            return str(round(millicelsius_from_celsius(TRIP_C)))
        warmer = {"gpu": 1.0, "tj": 1.5}.get(name.partition("-")[0], 0.0)
        return str(round(millicelsius_from_celsius(self._dynamics.celsius() + warmer)))

    @property
    def _fan_path(self) -> str:
        """The file of the fan: jetson_clocks of each generation."""
        if self._board.release.jetpack == 4:
            return "/sys/devices/pwm-fan/target_pwm"
        return "/sys/devices/platform/pwm-fan/hwmon/hwmon9/pwm1"

    def _fan(self) -> dict[str, Node]:
        def write(text: str) -> None:
            pwm = number_of(text)
            if pwm > 255:
                raise refuse(errno.EINVAL)
            self._fan_pwm = pwm

        def enable(text: str) -> None:
            self._fan_enable = number_of(text)

        path = self._fan_path
        nodes = {path: Node.writable(lambda: str(self._fan_pwm), write)}
        if self._board.release.jetpack >= 5:
            folder = path.rpartition("/")[0]
            self._hwmon[folder] = f"{HWMON}/hwmon9"
            nodes[f"{folder}/name"] = Node.text("pwmfan")
        if self._board.release.jetpack >= 7:
            nodes[f"{path}_enable"] = Node.writable(lambda: str(self._fan_enable), enable)
        return nodes


def _i2c(chip: str) -> str:
    return f"/sys/devices/platform/c240000.i2c/i2c-{chip.partition('-')[0]}/{chip}"


def _bus_mv(channel: Channel) -> int:
    return round(channel.bus_mv / BUS_STEP_MV) * BUS_STEP_MV


def _setting(text: str) -> Node:
    """Return a file that root may write but nobody here has a reason to."""

    def refused(_: str) -> None:
        raise refuse(errno.EINVAL)

    return Node(read=lambda: text, write=refused, mode=0o644)


def _zone_names(board: EmulatedBoard) -> tuple[str, ...]:
    """Return the zones as tegrastats names them on each generation (jetson_stats' tests)."""
    if board.soc == "tegra210":
        return ("AO-therm", "CPU-therm", "GPU-therm", "PLL-therm", "PMIC-Die", "thermal-fan-est")
    if board.soc == "tegra186":
        return ("BCPU-therm", "MCPU-therm", "GPU-therm", "PLL-therm", "Tboard_tegra", "PMIC-Die")
    if board.soc == "tegra194":
        return ("CPU-therm", "GPU-therm", "AUX-therm", "AO-therm", "PMIC-Die")
    parts = ("cpu", "gpu", *(("cv0", "cv1", "cv2") if board.soc == "tegra234" else ()), "soc0", "tj")
    if board.release.jetpack == 5:
        return tuple(f"{part.upper() if part != 'tj' else part}-therm" for part in parts)
    return tuple(f"{part}-thermal" for part in parts)
