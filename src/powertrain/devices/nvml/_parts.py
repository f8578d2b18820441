"""What NVML lets be changed on a GPU: locked clocks and the power limit.

Function names are those of the NVML API reference, group "Device Commands". All of them need root, on Linux
the capability SYS_ADMIN, and what they set stays until the driver is unloaded.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from powertrain.devices._clock import Clock
from powertrain.devices._parts import Part
from powertrain.devices._reasons import Reason, Why
from powertrain.devices.nvml._driver import (
    FATAL,
    FUNCTION_NOT_FOUND,
    INVALID_ARGUMENT,
    NO_PERMISSION,
    NOT_SUPPORTED,
    UNSUPPORTED,
    WITHOUT_EFFECT,
    NvmlGpu,
    code_of,
)
from powertrain.errors import DeviceError, UnknownModeError, UnreachableModeError
from powertrain.records import ModeTable, PowerMode
from powertrain.space import Knob, ModeSpace
from powertrain.units import milliwatts_from_watts, watts_from_milliwatts

__all__ = ["ClocksPart", "PowerLimitPart"]

logger = logging.getLogger(__name__)

GRAPHICS, MEMORY = 0, 2
"""nvmlClockType_t: NVML_CLOCK_GRAPHICS and NVML_CLOCK_MEM."""
VOLTA, AMPERE, NO_ARCHITECTURE = 5, 7, 0xFFFFFFFF
"""nvmlDeviceArchitecture_t: graphics clocks can be locked since Volta, memory clocks since Ampere."""
LOCKS = {"gpu_mhz": "nvmlDeviceSetGpuLockedClocks", "mem_mhz": "nvmlDeviceSetMemoryLockedClocks"}
SET_LIMIT = "nvmlDeviceSetPowerManagementLimit"
FAR_OFF = 10
"""How many times beyond its ends a limit that a board tells is taken for no limit."""
BEYOND_MW = 1000
"""How far beyond the greatest limit of the board one is asked for that the driver refuses."""
CROSSED = (1, 0)
"""A least clock above the greatest: no valid combination, which a driver that can lock refuses as such (NVML
API reference, INVALID_ARGUMENT), and one that cannot as not supported. Nothing is changed by either."""
LIMIT_STEPS = 10
"""Power limits that are offered, besides the default one."""
CLOCK_PAIR = frozenset({"gpu_mhz", "mem_mhz"})
"""Knobs whose values do not all exist with one another."""
REASONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")
IDLE, POWER_CAP = 0x01, 0x04
"""nvmlClocksEventReasons: nothing runs; the power limit lowers the clocks."""
OFF_LOCK = 0.05
"""How far from its lock a clock may run, relative: the driver rounds to its own steps."""
SETTLE_S, POLL_S = 0.2, 0.02
"""How long a setting may take to show, and between looks at it."""


class _NvmlPart(Part):
    """What both parts have in common."""

    outlives_process = True

    def __init__(self, gpu: NvmlGpu, *, clock: Clock) -> None:
        self._gpu, self._clock = gpu, clock

    def _shown(self, function: str, *arguments: int, wanted: int) -> int:
        """Read until what was wanted is shown, for `SETTLE_S` at most; return what is shown last."""
        end_s = self._clock.now_s() + SETTLE_S
        while (shown := self._gpu.number(function, *arguments)) != wanted and self._clock.now_s() < end_s:
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

    def __init__(self, gpu: NvmlGpu, *, forbidden: Reason | None, clock: Clock, tries: bool = False) -> None:
        """Ask which clocks there are.

        Args:
            gpu: The GPU.
            forbidden: Why it may not be changed; None if it may.
            clock: Tells how long a setting may take to show.
            tries: Whether to find out, by calls that change nothing, if a knob can be set at all.
        """
        super().__init__(gpu, clock=clock)
        # Whether something may have been locked since `begin`; what another process did is not known.
        self._changed = True
        self._graphics = _graphics_by_memory(gpu)
        architecture = gpu.find("nvmlDeviceGetArchitecture")
        generation = NO_ARCHITECTURE if architecture is None else architecture
        memory = tuple(self._graphics)
        no_memory = _why_missing("mem_mhz", memory, generation >= AMPERE, forbidden)
        # Where the memory clock cannot be locked by anybody it is the highest while something is trained.
        fixed = no_memory is not None and no_memory.why is not Why.FORBIDDEN
        reachable = (max(memory),) if memory and fixed else memory
        graphics = tuple(sorted({mhz for at in reachable for mhz in self._graphics[at]}))
        no_graphics = _why_missing("gpu_mhz", graphics, generation >= VOLTA, forbidden)
        self._ends = {
            "gpu_mhz": tuple(mhz for clocks in self._graphics.values() for mhz in (clocks[0], clocks[-1])),
            "mem_mhz": memory,
        }
        if tries:
            no_graphics = no_graphics or self._why_refused("gpu_mhz")
            no_memory = no_memory or self._why_refused("mem_mhz")
        told = {"gpu_mhz": (graphics, no_graphics), "mem_mhz": (memory, no_memory)}
        self.knobs = {knob: values for knob, (values, reason) in told.items() if reason is None}
        self.missing = tuple(reason for _, reason in told.values() if reason is not None)

    def _why_refused(self, knob: str) -> Reason | None:
        """Return why nobody can lock a clock, by a lock that no driver may take; None if somebody can."""
        if not self._gpu.knows(self.RESETS[knob]):
            sentence = f"the installed nvidia-ml-py has no {self.RESETS[knob]}, which unlocks it"
            return Reason(what=knob, why=Why.ABSENT, sentence=sentence, mend="install a newer one")
        try:
            reason, is_certain = _refused(self._gpu, knob, LOCKS[knob], *CROSSED)
            if is_certain:
                return reason
            # No answer that is documented: a lock to all clocks says more, and slows nothing down.
            self._gpu.change(LOCKS[knob], *self._whole(knob))
            self._gpu.change(self.RESETS[knob])
        except DeviceError as error:
            return Reason(what=knob, why=Why.BROKEN, sentence=str(error))
        return None

    def _whole(self, knob: str) -> tuple[int, int]:
        """Return the lowest and the highest value of a clock [MHz]."""
        return round(min(self._ends[knob])), round(max(self._ends[knob]))

    def narrowed(self, space: ModeSpace) -> ModeSpace:
        """Return a space without the clocks that exist with none of the others in it."""
        if not CLOCK_PAIR.issubset(space.names):
            return space
        graphics, memory = (space.knob(name).values for name in ("gpu_mhz", "mem_mhz"))
        both = [(g, m) for m in memory for g in graphics if g in self._graphics.get(m, ())]
        if not both:
            raise UnknownModeError(
                f"{self._gpu.spec}: no gpu_mhz={_listed(graphics)} exists with mem_mhz={_listed(memory)}: "
                f"with {memory[-1]:g} there are {_listed(self._graphics.get(memory[-1], ()))}"
            )
        kept = {"gpu_mhz": tuple(g for g, _ in both), "mem_mhz": tuple(m for _, m in both)}
        return ModeSpace(
            tuple(Knob(name=knob.name, values=kept.get(knob.name, knob.values)) for knob in space.knobs)
        )

    def exist(self, modes: ModeTable) -> npt.NDArray[np.bool_]:
        """Tell which modes `(n, n_knobs)` have a graphics clock that exists with their memory clock."""
        if not CLOCK_PAIR.issubset(modes.knobs):
            return np.ones(len(modes), dtype=bool)
        graphics, memory = modes.select(("gpu_mhz", "mem_mhz")).T
        pairs = ((memory == m) & np.isin(graphics, clocks) for m, clocks in self._graphics.items())
        return np.any(list(pairs), axis=0)

    @override
    def check(self, mode: PowerMode) -> None:
        """Refuse a graphics clock that does not exist with the memory clock; name the nearest."""
        if not CLOCK_PAIR.issubset(mode):
            return
        graphics, memory = round(mode["gpu_mhz"]), round(mode["mem_mhz"])
        clocks = self._graphics[memory]
        if graphics not in clocks:
            nearest = min(clocks, key=lambda mhz: abs(mhz - graphics))
            raise UnknownModeError(
                f"{self._gpu.spec}: gpu_mhz={graphics} does not exist with mem_mhz={memory}: "
                f"the nearest is {nearest:g}"
            )

    @override
    def save(self) -> Any:
        return {"locked": sorted(self.knobs)}

    @override
    def begin(self) -> None:
        self._changed = False

    @override
    def write(self, mode: PowerMode) -> None:
        for knob, kind in (("mem_mhz", MEMORY), ("gpu_mhz", GRAPHICS)):
            if knob in self.knobs and knob in mode:
                mhz = round(mode[knob])
                self._change(LOCKS[knob], mhz)
                self._watch(knob, kind, mhz)

    @override
    def lost(self, mode: PowerMode) -> str:
        return ""  # a lock cannot be read back

    def off_lock(self, mode: PowerMode) -> tuple[str, str]:
        """Return which clock of a busy GPU runs below its lock, and which above it; empty where none does.

        A power limit may hold clocks below their lock: that belongs to the mode. What the driver does not
        tell is not judged.
        """
        try:
            reasons = next(
                (self._gpu.number(name) for name in REASONS if self._gpu.find(name) is not None), 0
            )
            if reasons & (IDLE | POWER_CAP) or not self._gpu.is_busy():
                return "", ""
            for knob, kind in (("gpu_mhz", GRAPHICS), ("mem_mhz", MEMORY)):
                if knob not in mode:
                    continue
                wanted, shown = round(mode[knob]), self._gpu.number("nvmlDeviceGetClockInfo", kind)
                told = f"{knob} is locked at {wanted} and runs at {shown}"
                if shown < (1 - OFF_LOCK) * wanted:
                    return told, ""
                if shown > (1 + OFF_LOCK) * wanted:
                    return "", told
        except DeviceError:
            pass
        return "", ""

    @override
    def capped(self, mode: PowerMode) -> str:
        return self.off_lock(mode)[0]

    @override
    def put_back(self, saved: Any) -> None:
        changed, self._changed = self._changed, True
        if not changed:
            return  # the driver refused the first lock, and would refuse this as well
        failed: list[DeviceError] = []
        for knob in saved["locked"]:
            try:
                self._unlock(knob)
            except DeviceError as error:  # the other clock is to be unlocked all the same
                failed.append(error)
        if failed:
            raise failed[0]

    def _unlock(self, knob: str) -> None:
        try:
            self._gpu.change(self.RESETS[knob])
        except DeviceError as error:
            if not self._ends.get(knob):
                raise
            try:
                self._gpu.change(LOCKS[knob], *self._whole(knob))
            except DeviceError:
                raise error from None
            # Between the ends a clock runs as if it was not locked.
            logger.warning("%s; %s is locked to the whole of its range instead", error, knob)

    @override
    def notes(self) -> tuple[str, ...]:
        if not self.knobs:
            return ()
        return (
            f"{' and '.join(self.knobs)} lock clocks; NVML does not tell which are locked, so they are "
            "unlocked afterwards, even if somebody had locked them before (nvidia-smi -lgc, -lmc).",
        )

    def _change(self, function: str, mhz: int) -> None:
        before, self._changed = self._changed, True
        try:
            self._gpu.change(function, mhz, mhz)
        except DeviceError as error:
            if code_of(error) in WITHOUT_EFFECT:
                self._changed = before
            raise

    def _watch(self, knob: str, kind: int, mhz: int) -> None:
        """Give the clock of a busy GPU a moment to follow. One that does not is told, and is not a failure.

        The driver may still hold it below the lock, for heat or power, and utilisation is that of the last
        second (nvmlDeviceGetUtilizationRates): the GPU may be idle again.
        """
        try:
            if not self._gpu.is_busy():
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

    def __init__(
        self,
        gpu: NvmlGpu,
        *,
        forbidden: Reason | None,
        clock: Clock,
        tries: bool = False,
        pinned_w: float | None = None,
    ) -> None:
        """Ask which limits there are.

        Args:
            gpu: The GPU.
            forbidden: Why it may not be changed; None if it may.
            clock: Tells how long a setting may take to show.
            tries: Whether to find out, by calls that change nothing, if the limit can be set at all.
            pinned_w: The one limit that the user asks for; None: any.
        """
        super().__init__(gpu, clock=clock)
        # As for the clocks.
        self._changed = True
        # Asked once: what a board allows does not change while it is in use.
        ends_mw = gpu.find_all("nvmlDeviceGetPowerManagementLimitConstraints")
        now_mw = gpu.find("nvmlDeviceGetPowerManagementLimit")
        ends_known = len(ends_mw) == 2
        if now_mw is not None and ends_known and not ends_mw[0] / FAR_OFF <= now_mw <= ends_mw[1] * FAR_OFF:
            now_mw = None  # no limit of such a board: what it tells could not be restored
        default_mw = gpu.find("nvmlDeviceGetPowerManagementDefaultLimit")
        self._enforced = gpu.working(("nvmlDeviceGetEnforcedPowerLimit",))
        enforced_mw = gpu.find(*self._enforced) if self._enforced else None
        if enforced_mw is not None and ends_known and enforced_mw < ends_mw[0] / FAR_OFF:
            self._enforced = None  # no limit of such a board either
        self.default_w = math.nan if default_mw is None else watts_from_milliwatts(float(default_mw))
        self.now_w = math.nan if now_mw is None else watts_from_milliwatts(float(now_mw))
        self.most_w = (
            watts_from_milliwatts(float(ends_mw[1])) if len(ends_mw) == 2 and ends_mw[1] else math.inf
        )
        """The greatest limit that the board allows; infinity where it tells none."""
        self.least_w = watts_from_milliwatts(float(ends_mw[0])) if len(ends_mw) == 2 else 0.0
        """The least; 0 where it tells none."""
        values = _limits_w(ends_mw, self.default_w)
        reason = _why_missing("power_limit_w", values, now_mw is not None, forbidden, unit="W")
        if reason is None and tries and now_mw is not None:
            reason = self._why_refused(ends_mw[1], now_mw)
            if reason is not None and pinned_w == self.now_w:
                # Nobody can set it, and nobody has to: what is in force is not written.
                reason, values = None, (self.now_w,)
        self.knobs = {} if reason else {"power_limit_w": values}
        self.missing = () if reason is None else (reason,)

    def _why_refused(self, most_mw: int, now_mw: int) -> Reason | None:
        """Return why nobody can set the limit, by asking for one that is out of range; else None."""
        try:
            reason, is_certain = _refused(self._gpu, "power_limit_w", SET_LIMIT, most_mw + BEYOND_MW)
            # A driver that takes any limit gets back its own. One whose answer is not documented may take
            # that.
            if not is_certain or self._gpu.find("nvmlDeviceGetPowerManagementLimit") != now_mw:
                self._gpu.change(SET_LIMIT, now_mw)
        except DeviceError as error:
            return Reason(what="power_limit_w", why=Why.BROKEN, sentence=str(error))
        return reason

    @override
    def in_force(self) -> Mapping[str, tuple[float, float]]:
        limit_mw = self._gpu.find("nvmlDeviceGetPowerManagementLimit")
        if limit_mw is None:
            return {}
        limit_w = watts_from_milliwatts(float(limit_mw))
        return {"power_limit_w": (limit_w, limit_w)}

    @override
    def save(self) -> Any:
        return {"limit_mw": self._gpu.number("nvmlDeviceGetPowerManagementLimit")}

    @override
    def begin(self) -> None:
        self._changed = False

    @override
    def write(self, mode: PowerMode) -> None:
        limit_mw = round(milliwatts_from_watts(mode["power_limit_w"]))
        # What is in force is not written: some boards show a limit that nobody can set.
        if self._gpu.number("nvmlDeviceGetPowerManagementLimit") != limit_mw:
            self._changed = True
            self._set(limit_mw)
        # NVML API reference, nvmlDeviceGetEnforcedPowerLimit: there are other limits besides, such as one
        # that was set out of band, through the board's management controller.
        if self._enforced and (shown_mw := self._shown(*self._enforced, wanted=limit_mw)) < limit_mw:
            raise UnreachableModeError(
                f"{self._gpu.spec}: the power limit was set to {_watts(limit_mw)} and something else holds "
                f"it to {_watts(shown_mw)}: look for a limit of the server (nvidia-smi -q -d POWER)"
            )

    @override
    def lost(self, mode: PowerMode) -> str:
        shown_mw = self._gpu.number("nvmlDeviceGetPowerManagementLimit")
        wanted_mw = round(milliwatts_from_watts(mode["power_limit_w"]))
        if shown_mw != wanted_mw:
            return f"the power limit shows {_watts(shown_mw)}"
        enforced_mw = self._gpu.find(*self._enforced) if self._enforced else None
        if enforced_mw is not None and enforced_mw < wanted_mw:
            return f"the power limit is {_watts(wanted_mw)}, and something holds it to {_watts(enforced_mw)}"
        return ""

    def moved(self, mode: PowerMode | None) -> str:
        """Return that a limit which no mode sets is no longer the one that was found; empty if it is."""
        sets = mode is not None and "power_limit_w" in mode
        shown_mw = None if sets else self._gpu.find("nvmlDeviceGetPowerManagementLimit")
        if shown_mw is None or math.isnan(self.now_w) or watts_from_milliwatts(float(shown_mw)) == self.now_w:
            return ""
        return f"the power limit was {self.now_w:g} W and shows {_watts(shown_mw)}"

    @override
    def put_back(self, saved: Any) -> None:
        changed, self._changed = self._changed, True
        # A limit that somebody else has set meanwhile, and this never, is theirs.
        if changed and self._gpu.number("nvmlDeviceGetPowerManagementLimit") != saved["limit_mw"]:
            self._set(saved["limit_mw"])

    @override
    def notes(self) -> tuple[str, ...]:
        if not self.knobs:
            return ()
        return (
            f"power_limit_w is what the driver keeps the board below; the default is {self.default_w:g} W.",
        )

    def _set(self, limit_mw: int) -> None:
        """Set the limit [mW] and read it back."""
        self._gpu.change(SET_LIMIT, limit_mw)
        shown_mw = self._shown("nvmlDeviceGetPowerManagementLimit", wanted=limit_mw)
        if shown_mw != limit_mw:
            raise UnreachableModeError(
                f"{self._gpu.spec}: the power limit was set to {_watts(limit_mw)} and shows "
                f"{_watts(shown_mw)}: see whether something else sets it"
            )


def _graphics_by_memory(gpu: NvmlGpu) -> Mapping[float, tuple[float, ...]]:
    """Return the graphics clocks that exist with each memory clock [MHz], both ascending."""
    found: dict[float, tuple[float, ...]] = {}
    # A clock of 0 is none.
    for memory in sorted(filter(None, gpu.find_all("nvmlDeviceGetSupportedMemoryClocks"))):
        graphics = set(filter(None, gpu.find_all("nvmlDeviceGetSupportedGraphicsClocks", memory)))
        if graphics:
            found[float(memory)] = tuple(sorted(float(mhz) for mhz in graphics))
    return found


def _limits_w(ends_mw: Sequence[int], default_w: float) -> tuple[float, ...]:
    """Return whole watts from end to end, with the default among them."""
    if len(ends_mw) != 2 or not 0 < ends_mw[0] <= ends_mw[1]:
        return ()
    low, high = (watts_from_milliwatts(float(mw)) for mw in ends_mw)
    # Inwards: the driver refuses a limit that is a milliwatt beyond its ends.
    least, most = math.ceil(low), math.floor(high)
    values = {float(round(watts)) for watts in np.linspace(least, most, LIMIT_STEPS)}
    if least <= default_w <= most:
        values.add(float(round(default_w)))
    return tuple(sorted(values))


def _why_missing(
    knob: str, values: Sequence[float], supported: bool, forbidden: Reason | None, *, unit: str = "MHz"
) -> Reason | None:
    """Return why a knob cannot be offered; None if it can."""
    if not values or not supported:
        return Reason(what=knob, why=Why.ABSENT, sentence=UNSUPPORTED)
    if len(values) == 1:
        return Reason(what=knob, why=Why.FIXED, sentence=f"it has one value here, {values[0]:g} {unit}")
    return None if forbidden is None else replace(forbidden, what=knob)


def _refused(gpu: NvmlGpu, knob: str, function: str, *arguments: int) -> tuple[Reason | None, bool]:
    """Return why nobody can set a knob, by a call that is to be refused; None if somebody can.

    And whether that is certain: the driver refused in a way that is documented for such a call.
    """
    try:
        gpu.change(function, *arguments)
    except DeviceError as error:
        code = code_of(error)
        if code in (NOT_SUPPORTED, FUNCTION_NOT_FOUND):
            mend = "install a newer NVIDIA driver" if code == FUNCTION_NOT_FOUND else ""
            sentence = f"{UNSUPPORTED}: {function} is refused"
            return Reason(what=knob, why=Why.ABSENT, sentence=sentence, mend=mend), True
        if code == NO_PERMISSION and gpu.setter is not None:
            return Reason(what=knob, why=Why.FORBIDDEN, sentence=str(error)), True
        if code == NO_PERMISSION:
            return Reason(
                what=knob,
                why=Why.FORBIDDEN,
                sentence="changing it needs root, and the driver does not take this process for it",
                mend="start the container with --cap-add=SYS_ADMIN, or run on the machine itself",
            ), True
        # No error of the driver's, so that the binding cannot call it; or one after which nothing is
        # answered.
        if code is None or code in FATAL:
            return Reason(what=knob, why=Why.BROKEN, sentence=str(error)), True
        return None, code == INVALID_ARGUMENT
    return None, False  # it was taken


def _listed(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _watts(power_mw: int) -> str:
    return f"{watts_from_milliwatts(float(power_mw)):g} W"
