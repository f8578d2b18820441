"""What a conf of nvpmodel says, as records, and what one of its modes means in a board's mode space."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from powertrain.errors import UnknownNameError
from powertrain.records import PowerMode
from powertrain.space import ModeSpace
from powertrain.units import mhz_from_hz, mhz_from_khz

__all__ = ["NvpConf", "NvpMode", "NvpParam", "NvpSetting", "rounded_clock"]

GREATEST = (2**31 - 1, 2**63 - 1)
"""What nvpmodel makes of -1, on older and newer releases (`nvpmodel -q --verbose`)."""

_CPU_ONLINE = re.compile(r"/cpu(\d+)/online", re.ASCII)
_CPU_CLOCK = re.compile(r"/(?:cpu(\d+)/cpufreq|cpufreq/policy(\d+))/", re.ASCII)
_MEMORY_CAP = re.compile(r"/nvpmodel_emc_cap/|/nvpmodel_clk_cap/emc|/bwmgr/", re.ASCII)
# The GPU's devfreq folder is called after its chip up to L4T 35 and `17000000.gpu` from 36 on (the confs), on
# Thor `gpu-gpc-0`, beside which `gpu-nvd-0` is the video engine's (rbonghi/jetson_stats issue 885).
_GPU_CLOCK = re.compile(r"/devfreq.*/|/devfreq_dev/", re.ASCII)
_GPU_NAME = re.compile(r"/(?:\w+\.)?(?:gpu|gv11b|gp10b|ga10b|gb10b)(?:-gpc-\d+)?/", re.ASCII)


@final
@dataclass(frozen=True, kw_only=True)
class NvpParam:
    """A name that the conf gives to some files of the kernel."""

    name: str
    kind: str
    """FILE, CLOCK or HWMON."""
    args: Mapping[str, str] = field(hash=False)
    """What stands behind each of its arguments: a path, for HWMON with a name behind it."""

    @property
    def knob(self) -> str | None:
        """The knob whose clock it caps, or `cpu_cores`; None where it is something else."""
        if self.kind == "FILE":
            return "cpu_cores" if self.cpus else None
        if self.kind != "CLOCK":
            return None
        paths = self._caps
        if any(_CPU_CLOCK.search(path) for path in paths):
            return "cpu_mhz"
        if any(_MEMORY_CAP.search(path) for path in paths):
            return "mem_mhz"
        gpu = any(_GPU_CLOCK.search(path) and _GPU_NAME.search(path) for path in paths)
        return "gpu_mhz" if gpu else None

    @property
    def cpus(self) -> dict[str, int]:
        """The processor that each argument switches, where the arguments switch processors."""
        found = {arg: _CPU_ONLINE.search(path) for arg, path in self.args.items()}
        return {arg: int(match[1]) for arg, match in found.items() if match}

    @property
    def cpu(self) -> int:
        """The processor whose clock it caps (and those that share it), -1 where it caps another clock."""
        for path in self._caps:
            if match := _CPU_CLOCK.search(path):
                return int(match[1] or match[2])
        return -1

    @property
    def _caps(self) -> list[str]:
        return [path for arg, path in self.args.items() if arg.startswith("MAX_FREQ")]


@final
@dataclass(frozen=True, kw_only=True)
class NvpSetting:
    """One line of a mode."""

    param: NvpParam
    arg: str
    value: str

    @property
    def cap_mhz(self) -> float:
        """The cap that it puts on a clock [MHz]; infinity where it lifts the cap."""
        number = int(self.value)
        # Of the memory 0 lifts the cap as well (the confs of TX2 and of L4T 35; the kernel's emc_iso_cap).
        if number < 0 or number in GREATEST or (number == 0 and self.param.knob == "mem_mhz"):
            return math.inf
        return mhz_from_khz(float(number)) if self.param.knob == "cpu_mhz" else mhz_from_hz(float(number))


@final
@dataclass(frozen=True, kw_only=True)
class NvpMode:
    """One of the vendor's modes: caps under which the clocks still move."""

    id: int
    name: str
    settings: tuple[NvpSetting, ...]
    online: tuple[int, ...]
    """The processors that it leaves on; 0 is always one, whether or not the conf says so."""

    def mode_in(self, space: ModeSpace, *, order: Sequence[int] | None = None) -> PowerMode | None:
        """Return the power mode in which all clocks are at this mode's caps.

        Args:
            space: The board's, with its whole tables: a cap is rounded to them.
            order: In which the device switches processors on for `cpu_cores`; 0, 1, 2 and so on if None.

        Returns:
            None where no mode of the space says it: the space has a knob that nvpmodel lacks, clusters have
            different caps, or the processors that are on are not the first of `order`.
        """
        values: dict[str, float] = {}
        for knob in space.knobs:
            if knob.name == "cpu_cores":
                value = self._cores(knob.values, order)
            else:
                value = self._clock(knob.name, knob.values)
            if value is None:
                return None
            values[knob.name] = value
        return PowerMode(values)

    def caps_mhz(self, knob: str) -> tuple[float, ...]:
        """Return the caps that it puts on a clock, each once; several where clusters differ."""
        caps = {
            setting.cap_mhz: None
            for setting in self.settings
            if setting.arg == "MAX_FREQ"
            and setting.param.knob == knob
            and (knob != "cpu_mhz" or setting.param.cpu in self.online)
        }
        return tuple(caps)

    def _cores(self, values: Sequence[float], order: Sequence[int] | None) -> float | None:
        count = len(self.online)
        first = range(count) if order is None else order[:count]
        return float(count) if set(first) == set(self.online) and count in values else None

    def _clock(self, knob: str, table: Sequence[float]) -> float | None:
        if knob not in ("cpu_mhz", "gpu_mhz", "mem_mhz"):
            return None
        clocks = {rounded_clock(cap_mhz, table) for cap_mhz in self.caps_mhz(knob) or (math.inf,)}
        return clocks.pop() if len(clocks) == 1 else None


def rounded_clock(cap_mhz: float, table: Sequence[float]) -> float:
    """Return the clock that nvpmodel makes of a cap [MHz]: the nearest of the table, its end for infinity.

    NVIDIA/skills:skills/jetson-customize-nvpmodel/SKILL.md says that other values are silently rounded, not
    in which direction. Public outputs of `jetson_clocks --show` have both: on an AGX Xavier in MODE_15W
    670 MHz became 675.75 and 1200 became 1190.4; on a Nano in 5W 640 became 614.4 and 918 became 921.6. Each
    is the nearest. That a tie goes downwards is assumed.
    """
    if math.isinf(cap_mhz):
        return max(table)
    return min(table, key=lambda clock_mhz: (abs(clock_mhz - cap_mhz), clock_mhz))


@final
@dataclass(frozen=True, kw_only=True)
class NvpConf:
    """What a conf file says."""

    path: str
    """Where it is, with links followed."""
    params: tuple[NvpParam, ...]
    modes: tuple[NvpMode, ...]
    """In the order of the file; ids may have gaps."""
    default: int
    """Id of the mode in which the board boots the first time."""
    fan: str = ""
    """The fan's profile, where the conf names one."""
    text: str = field(default="", repr=False)

    def mode(self, name: str) -> NvpMode:
        """Return the mode of a name or an id; an unknown one raises `UnknownNameError`."""
        for mode in self.modes:
            if name in (mode.name, str(mode.id)):
                return mode
        raise UnknownNameError.of(f"mode of {self.path}", name, [mode.name for mode in self.modes])

    @property
    def default_mode(self) -> NvpMode:
        """The mode in which the board boots the first time."""
        return next(mode for mode in self.modes if mode.id == self.default)
