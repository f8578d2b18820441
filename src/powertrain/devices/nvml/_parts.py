"""What NVML lets be changed on a GPU: locked clocks and the power limit.

Function names are those of the NVML API reference, group "Device Commands". All of them need root, on Linux
the capability SYS_ADMIN, and what they set stays until the driver is unloaded.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from powertrain.devices._clock import Clock
from powertrain.devices._hold import Settings
from powertrain.devices._parts import Part, PartedSettings
from powertrain.devices.nvml._driver import UNSUPPORTED, WITHOUT_EFFECT, NvmlGpu, code_of
from powertrain.errors import DeviceError, DevicePermissionError, UnreachableModeError
from powertrain.records import ModeTable, PowerMode
from powertrain.space import Knob, ModeSpace
from powertrain.units import milliwatts_from_watts, watts_from_milliwatts

__all__ = ["ClocksPart", "Missing", "NvmlSettings", "PowerLimitPart"]

logger = logging.getLogger(__name__)

GRAPHICS, MEMORY = 0, 2
"""nvmlClockType_t: NVML_CLOCK_GRAPHICS and NVML_CLOCK_MEM."""
VOLTA, AMPERE, UNKNOWN = 5, 7, 0xFFFFFFFF
"""nvmlDeviceArchitecture_t: graphics clocks can be locked since Volta, memory clocks since Ampere."""
LIMITS = 10
"""Power limits that are offered, besides the default one."""
SETTLE_S, POLL_S = 0.2, 0.02
"""How long a setting may take to show, and between looks at it."""


class _NvmlPart(Part):
    """What both parts have in common."""

    outlives_process = True
    missing: Mapping[str, str]
    """Knobs that there might be and are not, with why."""

    def __init__(self, gpu: NvmlGpu, *, clock: Clock) -> None:
        self._gpu, self._clock = gpu, clock

    def _shown(self, function: str, *arguments: int, wanted: int) -> int:
        """Read until what was wanted is shown, for `SETTLE_S` at most; return what is shown last."""
        end_s = self._clock.now_s() + SETTLE_S
        while (shown := int(self._gpu.ask(function, *arguments))) != wanted and self._clock.now_s() < end_s:
            self._clock.sleep_s(POLL_S)
        return shown


@final
class ClocksPart(_NvmlPart):
    """Locks the memory clock, then the graphics clock: least = greatest = asked.

    NVML tells nobody which clocks are locked, and an idle GPU rests below its lock. So a lock can be neither
    read back nor saved: it is watched, and taken away afterwards.
    """

    name = "nvml clocks"
    RESETS: Mapping[str, str] = {
        "gpu_mhz": "nvmlDeviceResetGpuLockedClocks",
        "mem_mhz": "nvmlDeviceResetMemoryLockedClocks",
    }

    def __init__(self, gpu: NvmlGpu, *, forbidden: str, clock: Clock) -> None:
        """Ask which clocks there are.

        Args:
            gpu: The GPU.
            forbidden: Why it may not be changed; empty if it may.
            clock: Tells how long a setting may take to show.
        """
        super().__init__(gpu, clock=clock)
        # Whether something may have been locked since `save`; what another process did is not known.
        self._changed = True
        self._graphics = _graphics_by_memory(gpu)
        generation = int(gpu.look("nvmlDeviceGetArchitecture", default=UNKNOWN))
        memory = tuple(self._graphics)
        no_memory = _why_not(memory, generation >= AMPERE, forbidden)
        # Where the memory clock is not a knob it is the highest while something is trained.
        reachable = (max(memory),) if memory and no_memory else memory
        graphics = tuple(sorted({mhz for at in reachable for mhz in self._graphics[at]}))
        no_graphics = _why_not(graphics, generation >= VOLTA, forbidden)
        told = {"gpu_mhz": (graphics, no_graphics), "mem_mhz": (memory, no_memory)}
        self.knobs = {knob: values for knob, (values, why) in told.items() if not why}
        self.missing = {knob: why for knob, (_, why) in told.items() if why}

    def narrowed(self, space: ModeSpace) -> ModeSpace:
        """Return a space without the clocks that exist with none of the others in it."""
        if len(self.knobs) < 2:
            return space
        graphics, memory = (space.knob(name).values for name in ("gpu_mhz", "mem_mhz"))
        both = [(g, m) for m in memory for g in graphics if g in self._graphics[m]]
        if not both:
            raise DeviceError(
                f"{self._gpu.spec}: no gpu_mhz={_listed(graphics)} exists with mem_mhz={_listed(memory)}: "
                f"with {memory[-1]:g} there are {_listed(self._graphics[memory[-1]])}"
            )
        kept = {"gpu_mhz": tuple(g for g, _ in both), "mem_mhz": tuple(m for _, m in both)}
        return ModeSpace(
            tuple(Knob(name=knob.name, values=kept.get(knob.name, knob.values)) for knob in space.knobs)
        )

    def exist(self, modes: ModeTable) -> npt.NDArray[np.bool_]:
        """Tell which modes `(n, n_knobs)` have a graphics clock that exists with their memory clock."""
        if len(self.knobs) < 2:
            return np.ones(len(modes), dtype=bool)
        graphics, memory = modes.select(("gpu_mhz", "mem_mhz")).T
        pairs = ((memory == m) & np.isin(graphics, clocks) for m, clocks in self._graphics.items())
        return np.any(list(pairs), axis=0)

    def check(self, mode: PowerMode) -> None:
        """Refuse a graphics clock that does not exist with the memory clock; name the nearest."""
        if len(self.knobs) < 2:
            return
        graphics, memory = round(mode["gpu_mhz"]), round(mode["mem_mhz"])
        clocks = self._graphics[memory]
        if graphics not in clocks:
            nearest = min(clocks, key=lambda mhz: abs(mhz - graphics))
            raise DeviceError(
                f"{self._gpu.spec}: gpu_mhz={graphics} does not exist with mem_mhz={memory}: "
                f"the nearest is {nearest:g}"
            )

    @override
    def save(self) -> Any:
        self._changed = False
        return {"locked": sorted(self.knobs)}

    @override
    def write(self, mode: PowerMode) -> None:
        for knob, function, kind in (
            ("mem_mhz", "nvmlDeviceSetMemoryLockedClocks", MEMORY),
            ("gpu_mhz", "nvmlDeviceSetGpuLockedClocks", GRAPHICS),
        ):
            if knob in self.knobs:
                mhz = round(mode[knob])
                self._change(function, mhz)
                self._watch(knob, kind, mhz)

    @override
    def lost(self, mode: PowerMode) -> str:
        return ""  # a lock cannot be read back

    @override
    def put_back(self, saved: Any) -> None:
        changed, self._changed = self._changed, True
        if not changed:
            return  # the driver refused the first lock, and would refuse this as well
        failed: list[DeviceError] = []
        for knob in saved["locked"]:
            try:
                self._gpu.ask(self.RESETS[knob])
            except DeviceError as error:  # the other clock is to be given back all the same
                failed.append(error)
        if failed:
            raise failed[0]

    @override
    def notes(self) -> tuple[str, ...]:
        told = [f"{knob} {why}." for knob, why in self.missing.items()]
        if self.knobs:
            told.append(
                f"{' and '.join(self.knobs)} lock clocks; NVML does not tell which are locked, so they are "
                "unlocked afterwards, also where somebody had locked them before (nvidia-smi -lgc, -lmc)."
            )
        return tuple(told)

    def _change(self, function: str, mhz: int) -> None:
        before, self._changed = self._changed, True
        try:
            self._gpu.ask(function, mhz, mhz)
        except DeviceError as error:
            if code_of(error) in WITHOUT_EFFECT:
                self._changed = before
            raise

    def _watch(self, knob: str, kind: int, mhz: int) -> None:
        """Give the clock of a busy GPU a moment to follow. One that does not is told, and is no failure.

        The driver may still hold it below the lock, for heat or power, and utilisation is that of the last
        second (nvmlDeviceGetUtilizationRates): the GPU may be idle again.
        """
        try:
            if not self._gpu.ask("nvmlDeviceGetUtilizationRates").gpu:
                return
            shown = self._shown("nvmlDeviceGetClockInfo", kind, wanted=mhz)
        except DeviceError as error:
            logger.debug("%s: %s cannot be watched: %s", self._gpu.spec, knob, error)
            return
        if shown != mhz:
            logger.info("%s: %s is locked at %d MHz and shows %d MHz", self._gpu.spec, knob, mhz, shown)


@final
class PowerLimitPart(_NvmlPart):
    """Sets the power limit, in whole watts between the ends that the board allows."""

    name = "nvml power limit"

    def __init__(self, gpu: NvmlGpu, *, forbidden: str, clock: Clock) -> None:
        """Ask which limits there are; the arguments are those of `ClocksPart`."""
        super().__init__(gpu, clock=clock)
        ends_mw: Sequence[int] = gpu.look("nvmlDeviceGetPowerManagementLimitConstraints", default=())
        now_mw: int | None = gpu.look("nvmlDeviceGetPowerManagementLimit", default=None)
        default_mw: int | None = gpu.look("nvmlDeviceGetPowerManagementDefaultLimit", default=None)
        self._enforced = gpu.working(("nvmlDeviceGetEnforcedPowerLimit",))
        self.default_w = math.nan if default_mw is None else watts_from_milliwatts(float(default_mw))
        self.now_w = math.nan if now_mw is None else watts_from_milliwatts(float(now_mw))
        values = _limits_w(ends_mw, self.default_w)
        why = _why_not(values, now_mw is not None, forbidden, unit="W")
        self.knobs = {} if why else {"power_limit_w": values}
        self.missing = {"power_limit_w": why} if why else {}

    @override
    def save(self) -> Any:
        return {"limit_mw": int(self._gpu.ask("nvmlDeviceGetPowerManagementLimit"))}

    @override
    def write(self, mode: PowerMode) -> None:
        limit_mw = self._set(round(milliwatts_from_watts(mode["power_limit_w"])))
        # NVML API reference, nvmlDeviceGetEnforcedPowerLimit: there are other limits besides, such as one
        # that was set out of band, through the board's management controller.
        if self._enforced and (shown_mw := self._shown(*self._enforced, wanted=limit_mw)) < limit_mw:
            raise UnreachableModeError(
                f"{self._gpu.spec}: the power limit was set to {_watts(limit_mw)} and something else holds "
                f"it to {_watts(shown_mw)}: look for a limit of the server (nvidia-smi -q -d POWER)"
            )

    @override
    def lost(self, mode: PowerMode) -> str:
        shown_mw = int(self._gpu.ask("nvmlDeviceGetPowerManagementLimit"))
        wanted_mw = round(milliwatts_from_watts(mode["power_limit_w"]))
        return "" if shown_mw == wanted_mw else f"the power limit shows {_watts(shown_mw)}"

    @override
    def put_back(self, saved: Any) -> None:
        if int(self._gpu.ask("nvmlDeviceGetPowerManagementLimit")) != saved["limit_mw"]:
            self._set(saved["limit_mw"])

    @override
    def notes(self) -> tuple[str, ...]:
        if self.missing:
            return tuple(f"{knob} {why}." for knob, why in self.missing.items())
        return (
            f"power_limit_w is what the driver keeps the board below; the default is {self.default_w:g} W.",
        )

    def _set(self, limit_mw: int) -> int:
        """Set the limit [mW] and read it back."""
        self._gpu.ask("nvmlDeviceSetPowerManagementLimit", limit_mw)
        shown_mw = self._shown("nvmlDeviceGetPowerManagementLimit", wanted=limit_mw)
        if shown_mw != limit_mw:
            raise UnreachableModeError(
                f"{self._gpu.spec}: the power limit was set to {_watts(limit_mw)} and shows "
                f"{_watts(shown_mw)}: see whether something else sets it"
            )
        return limit_mw


@final
class NvmlSettings(Settings):
    """The settings of a GPU: its parts, which clocks exist with which, and why some knobs are missing."""

    def __init__(self, parts: PartedSettings, *, clocks: ClocksPart, missing: Missing, device: str) -> None:
        self._parts, self._clocks, self._missing, self._device = parts, clocks, missing, device
        self.outlives_process = parts.outlives_process

    @override
    def check(self, mode: PowerMode) -> None:
        self._missing.refuse(mode, device=self._device)
        self._parts.check(mode)
        self._clocks.check(mode)

    @override
    def save(self) -> Mapping[str, Any]:
        return self._parts.save()

    @override
    def write(self, mode: PowerMode) -> None:
        self._parts.write(mode)

    @override
    def lost(self, mode: PowerMode) -> str:
        return self._parts.lost(mode)

    @override
    def put_back(self, saved: Mapping[str, Any]) -> None:
        self._parts.put_back(saved)


@final
@dataclass(frozen=True, kw_only=True)
class Missing:
    """Knobs that a GPU might have and does not have here."""

    why: Mapping[str, str]
    """By knob."""
    forbidden: str
    """The reason among them that is a matter of permission."""

    def refuse(self, knobs: Iterable[str], *, device: str) -> None:
        """Refuse the first of some knobs that is missing.

        Raises:
            DevicePermissionError: It is for want of a permission; the message names it.
            DeviceError: The GPU or its driver lacks it.
        """
        for knob in knobs:
            if knob in self.why:
                why = self.why[knob]
                kind = DevicePermissionError if why == self.forbidden else DeviceError
                raise kind(f"{device}: {knob} {why}")


def _graphics_by_memory(gpu: NvmlGpu) -> Mapping[float, tuple[float, ...]]:
    """Return the graphics clocks that exist with each memory clock [MHz], both ascending."""
    found: dict[float, tuple[float, ...]] = {}
    for memory in sorted(gpu.look("nvmlDeviceGetSupportedMemoryClocks", default=())):
        graphics = gpu.look("nvmlDeviceGetSupportedGraphicsClocks", memory, default=())
        if graphics:
            found[float(memory)] = tuple(sorted(float(mhz) for mhz in graphics))
    return found


def _limits_w(ends_mw: Sequence[int], default_w: float) -> tuple[float, ...]:
    """Return whole watts from end to end, with the default among them."""
    if not ends_mw:
        return ()
    low, high = (watts_from_milliwatts(float(mw)) for mw in ends_mw)
    least, most = math.ceil(low), math.floor(high)
    values = {float(round(watts)) for watts in np.linspace(least, most, LIMITS)}
    if least <= default_w <= most:
        values.add(float(round(default_w)))
    return tuple(sorted(values))


def _why_not(values: Sequence[float], supported: bool, forbidden: str, *, unit: str = "MHz") -> str:
    """Return why a knob cannot be offered; empty if it can."""
    if not values or not supported:
        return UNSUPPORTED
    if len(values) == 1:
        return f"has one value here, {values[0]:g} {unit}"
    return forbidden


def _listed(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _watts(power_mw: int) -> str:
    return f"{watts_from_milliwatts(float(power_mw)):g} W"
