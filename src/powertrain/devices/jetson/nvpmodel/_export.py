"""Writing a power mode as a mode of nvpmodel, so that it can be deployed without PowerTrain."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

from powertrain.devices.jetson.nvpmodel._parse import parse_conf
from powertrain.devices.jetson.nvpmodel._records import NvpConf, NvpMode, NvpParam, NvpSetting
from powertrain.errors import DeviceError, MissingKnobError
from powertrain.records import PowerMode
from powertrain.space import SOFTWARE_KNOBS, ModeSpace
from powertrain.units import hz_from_mhz, khz_from_mhz

__all__ = ["ExportedMode", "export_mode", "free_id"]

FIRST_ID = 10
"""Ids of stock modes are 0 to 8 (the confs); a release may add one, so a gap is left. Gaps are legal."""
LAST_ID = 9999
"""nvpmodel keeps the id in four digits."""

KNOBS = ("cpu_cores", "cpu_mhz", "gpu_mhz", "mem_mhz")


@final
@dataclass(frozen=True, kw_only=True)
class ExportedMode:
    """A power mode in the words of a conf."""

    id: int
    name: str
    like: str
    """The stock mode from which everything is taken that the power mode does not say."""
    block: str
    """Its POWER_MODEL section, to be put before PM_CONFIG."""
    whole: str
    """The whole conf with the section in it, for `nvpmodel -f FILE -m ID`."""
    warnings: tuple[str, ...]
    """What the section cannot say, or says differently, one sentence each."""


def export_mode(
    conf: NvpConf,
    mode: PowerMode,
    name: str,
    *,
    like: NvpMode | None = None,
    space: ModeSpace | None = None,
    order: Sequence[int] | None = None,
) -> ExportedMode:
    """Write a power mode as a mode of a conf.

    Least and greatest clock are both set, so that the clock is held. Partitions of the GPU, accelerators and
    all else stay as in `like`: another mask of partitions would need a reboot.

    Args:
        conf: The board's.
        mode: The power mode; knobs of the training are left out, knobs that it lacks stay as in `like`.
        name: Of the new mode: upper-case letters, digits and underscores, as the confs have them.
        like: The mode that should be in force before; the conf's default if None.
        space: The board's whole space. With it a memory clock at the end of its table becomes "no cap".
        order: In which processors are switched on for `cpu_cores`; 0, 1, 2 and so on if None.

    Raises:
        ValueError: The name breaks nvpmodel's rule or is taken.
        MissingKnobError: nvpmodel has no words for a knob.
        DeviceError: The conf declares nothing for a knob, or has no id left.
    """
    _check_name(name, conf)
    hardware = {knob: value for knob, value in mode.items() if knob not in SOFTWARE_KNOBS}
    if not hardware:
        raise MissingKnobError(
            f"the mode {mode} sets nothing that nvpmodel has: name one of {', '.join(KNOBS)}"
        )
    if unknown := [knob for knob in hardware if knob not in KNOBS]:
        raise MissingKnobError(f"nvpmodel has no {', '.join(unknown)}: it sets {', '.join(KNOBS)}")
    base = conf.default_mode if like is None else like
    number = free_id(conf)
    lines = _Lines(conf, base, hardware, space, order).written()
    warnings = _warnings(mode, base)
    block = "\n".join(
        (
            f"# PowerTrain: {mode}",
            f"# All that is not cores and clocks is taken from {base.name} (ID {base.id}).",
            *(f"# {warning}" for warning in warnings),
            f"< POWER_MODEL ID={number} NAME={name} >",
            *lines,
            "",
        )
    )
    whole = _inserted(conf.text, block)
    parse_conf(whole, path=f"{conf.path} with {name}")  # what is written must be readable
    return ExportedMode(
        id=number, name=name, like=base.name, block=block, whole=whole, warnings=tuple(warnings)
    )


def free_id(conf: NvpConf) -> int:
    """Return the id for a new mode: the first from 10 on that the conf does not use."""
    used = {mode.id for mode in conf.modes}
    for number in range(FIRST_ID, LAST_ID + 1):
        if number not in used:
            return number
    raise DeviceError(f"{conf.path} uses all ids from {FIRST_ID} to {LAST_ID}: remove a mode from it")


def _check_name(name: str, conf: NvpConf) -> None:
    """Refuse a name that nvpmodel would not take; the rule is that of its confs."""
    if not re.fullmatch(r"[A-Z0-9_]{1,40}", name, re.ASCII):
        better = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")[:40]
        hint = f", as in {better}" if better else ""
        raise ValueError(f"{name!r} is not a name for nvpmodel: use upper-case letters, digits and _{hint}")
    if name in {mode.name for mode in conf.modes}:
        raise ValueError(f"{conf.path} has a mode called {name} already: give another name")


def _warnings(mode: PowerMode, base: NvpMode) -> list[str]:
    found: list[str] = []
    if "mem_mhz" in mode:
        # Under the cap the bandwidth manager still moves it (NVIDIA/skills:skills/jetson-customize-clocks).
        clock = f"{mode['mem_mhz']:.10g} MHz"
        found.append(f"EMC MAX_FREQ is a cap, not a pin: under it the memory clock moves, up to {clock}.")
    if software := [knob for knob in mode if knob in SOFTWARE_KNOBS]:
        found.append(f"Not in here, because the training sets it: {', '.join(software)}.")
    if any("pg_mask" in f"{s.param.name} {s.arg}".lower() for s in base.settings):
        found.append(
            f"The partitions of the GPU are those of {base.name}; if others are in force, nvpmodel may ask "
            "for a reboot and set nothing."
        )
    return found


@final
class _Lines:
    """The lines of a new mode: those of another, with cores and clocks replaced where they stood."""

    def __init__(
        self,
        conf: NvpConf,
        base: NvpMode,
        wanted: dict[str, float],
        space: ModeSpace | None,
        order: Sequence[int] | None,
    ) -> None:
        self._conf, self._base, self._wanted, self._space = conf, base, wanted, space
        cpus = sorted({cpu for param in conf.params for cpu in param.cpus.values()})
        self._online: Sequence[int] = base.online
        if "cpu_cores" in wanted:
            count, known = int(wanted["cpu_cores"]), cpus if order is None else list(order)
            if not 1 <= count <= len(known):
                raise DeviceError(f"{conf.path} declares {len(cpus)} processors, and {count} were asked for")
            self._online = known[:count]

    def written(self) -> list[str]:
        """Return the lines in the order of the other mode; what it lacked comes last."""
        replaced = {
            "cpu_cores": self._cores,
            "cpu_mhz": self._cpu,
            "gpu_mhz": self._gpu,
            "mem_mhz": self._mem,
        }
        due = {knob: write for knob, write in replaced.items() if knob in self._wanted}
        if "cpu_cores" in due and "cpu_mhz" not in due:
            due["cpu_mhz"] = self._cpu_as_before  # other clusters are on now
        lines, written = list[str](), set[str]()
        for setting in self._base.settings:
            knob = setting.param.knob
            if knob in due:
                lines += self._taken(due, knob)
                written.add(knob)
            elif knob not in written:
                lines.append(_line(setting.param, setting.arg, setting.value))
        for knob in tuple(due):
            lines += self._taken(due, knob)
        return lines

    def _taken(self, due: dict[str, Callable[[], list[str]]], knob: str) -> list[str]:
        lines = due.pop(knob)()
        if not lines:
            raise DeviceError(f"{self._conf.path} has no PARAM that sets {knob}: export the mode without it")
        return lines

    def _params(self, knob: str) -> list[NvpParam]:
        return [param for param in self._conf.params if param.knob == knob]

    def _cores(self) -> list[str]:
        # TX2's conf declares cpu0 and never sets it: where it cannot be switched off it may have no file.
        ever_set = {(s.param.name, s.arg) for mode in self._conf.modes for s in mode.settings}
        return [
            _line(param, arg, str(int(cpu in self._online)))
            for param in self._params("cpu_cores")
            for arg, cpu in param.cpus.items()
            if (param.name, arg) in ever_set
        ]

    def _cpu(self) -> list[str]:
        khz = round(khz_from_mhz(self._wanted["cpu_mhz"]))
        # A cluster without a processor that is on has no clock to set; the stock modes leave it out as well.
        params = [param for param in self._params("cpu_mhz") if param.cpu in self._online]
        return [line for param in params for line in _held(param, khz)]

    def _cpu_as_before(self) -> list[str]:
        before = [setting for setting in self._base.settings if setting.param.knob == "cpu_mhz"]
        values = {setting.arg: setting.value for setting in reversed(before)}
        params = [param for param in self._params("cpu_mhz") if param.cpu in self._online]
        return [_line(param, arg, values[arg]) for param in params for arg in sorted(values, reverse=True)]

    def _gpu(self) -> list[str]:
        hz = round(hz_from_mhz(self._wanted["gpu_mhz"]))
        return [line for param in self._params("gpu_mhz") for line in _held(param, hz)]

    def _mem(self) -> list[str]:
        value = str(round(hz_from_mhz(self._wanted["mem_mhz"])))
        table = self._space.knob("mem_mhz").values if self._space and "mem_mhz" in self._space.names else ()
        if table and math.isclose(self._wanted["mem_mhz"], table[-1], rel_tol=1e-9):
            value = self._no_memory_cap() or value
        return [_line(param, "MAX_FREQ", value) for param in self._params("mem_mhz")]

    def _no_memory_cap(self) -> str:
        """Return the conf's own word for no cap on the memory clock.

        Public scripts that write modes for AGX Orin note that its greatest clock is not taken as a number.
        """
        settings = (setting for mode in self._conf.modes for setting in mode.settings)
        return next((s.value for s in settings if s.param.knob == "mem_mhz" and _lifts(s)), "")


def _lifts(setting: NvpSetting) -> bool:
    return setting.arg == "MAX_FREQ" and math.isinf(setting.cap_mhz)


def _held(param: NvpParam, clock: int) -> list[str]:
    """Return the lines that hold a clock, in the order of the stock modes."""
    ends = [end for end in ("MIN_FREQ", "MAX_FREQ") if end in param.args or f"{end}_KNEXT" in param.args]
    return [_line(param, end, str(clock)) for end in ends]


def _line(param: NvpParam, arg: str, value: str) -> str:
    return f"{param.name} {arg} {value}"


def _inserted(text: str, block: str) -> str:
    """Put a section before PM_CONFIG and the comment that belongs to it."""
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if re.match(r"\s*<\s*PM_CONFIG\b", line))
    while at and lines[at - 1].lstrip().startswith("#"):
        at -= 1
    return "\n".join((*lines[:at], *block.splitlines(), "", *lines[at:], ""))
