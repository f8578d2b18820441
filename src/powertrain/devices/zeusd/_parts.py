"""What zeusd lets be changed on a GPU of any vendor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, final

import numpy as np
from typing_extensions import override

from powertrain.devices._parts import Part
from powertrain.devices._reasons import Reason, Why
from powertrain.devices.zeusd._gpu import ZeusdGpu
from powertrain.errors import DeviceError, UnreachableModeError
from powertrain.records import PowerMode
from powertrain.units import milliwatts_from_watts, watts_from_milliwatts

__all__ = ["LimitPart", "LocksPart"]

LIMIT_STEPS = 10
LOCKS = {"mem_mhz": "set_mem_locked_clocks", "gpu_mhz": "set_gpu_locked_clocks"}
UNTOLD = Reason(
    what="gpu_mhz",
    why=Why.UNTRIED,
    sentence="zeusd does not tell which clocks this GPU has",
    mend="name the clocks to offer, as in zeusd:0?gpu_mhz=900,1200,1500",
)


@final
class LimitPart(Part):
    """Sets the power limit, in whole watts between the ends that the board allows."""

    name = "zeusd power limit"
    outlives_process = True

    def __init__(self, gpu: ZeusdGpu) -> None:
        """Ask which limits there are."""
        self._gpu = gpu
        ends = [gpu.find("get_power_limit_constraints", f"{end}_power_limit_mw") for end in ("min", "max")]
        low, high = (None if end is None else watts_from_milliwatts(float(end)) for end in ends)
        now = gpu.find("get_power_limit", "power_limit_mw")
        self.most_w = high or math.inf
        """The greatest limit that the board allows; infinity where it tells none."""
        self.knobs: Mapping[str, tuple[float, ...]] = {}
        if now is None or low is None or not high or not 0 < low < high:
            told = "this GPU or this version of zeusd does not tell its limits"
            self.missing = (Reason(what="power_limit_w", why=Why.ABSENT, sentence=told),)
        else:
            steps = np.linspace(math.ceil(low), math.floor(high), LIMIT_STEPS)
            self.knobs = {"power_limit_w": tuple(sorted({float(round(watts)) for watts in steps}))}

    @override
    def in_force(self) -> Mapping[str, tuple[float, float]]:
        limit_w = watts_from_milliwatts(float(self._now_mw()))
        return {"power_limit_w": (limit_w, limit_w)}

    @override
    def save(self) -> Mapping[str, Any]:
        return {"limit_mw": self._now_mw()}

    @override
    def write(self, mode: PowerMode) -> None:
        self._set(round(milliwatts_from_watts(mode["power_limit_w"])))

    @override
    def lost(self, mode: PowerMode) -> str:
        shown_w = watts_from_milliwatts(float(self._now_mw()))
        return "" if shown_w == mode["power_limit_w"] else f"the power limit shows {shown_w:g} W"

    @override
    def put_back(self, saved: Any) -> None:
        self._set(saved["limit_mw"])

    @override
    def notes(self) -> tuple[str, ...]:
        return ("power_limit_w is what the driver keeps the board below.",) if self.knobs else ()

    def _now_mw(self) -> int:
        return self._gpu.number_of("get_power_limit", "power_limit_mw")

    def _set(self, limit_mw: int) -> None:
        if self._now_mw() == limit_mw:
            return
        self._gpu.change("set_power_limit", power_limit_mw=limit_mw)
        if (shown_mw := self._now_mw()) != limit_mw:
            wanted_w, shown_w = (watts_from_milliwatts(float(mw)) for mw in (limit_mw, shown_mw))
            raise UnreachableModeError(
                f"{self._gpu.spec}: the power limit was set to {wanted_w:g} W and shows {shown_w:g} W: see "
                "whether something else sets it"
            )


@final
class LocksPart(Part):
    """Locks the clocks that the user names, since zeusd tells none.

    Nor does it tell which are locked. So a lock can be neither read back nor saved: all are taken away
    afterwards, in one request, since an AMD GPU cannot take away one alone.
    """

    name = "zeusd clocks"
    outlives_process = True

    def __init__(self, gpu: ZeusdGpu, clocks: Mapping[str, tuple[float, ...]]) -> None:
        """Take the clocks to offer [MHz]; nothing is asked."""
        self._gpu, self.knobs = gpu, dict(clocks)
        self.missing = () if "gpu_mhz" in clocks else (UNTOLD,)
        self._changed = True
        """Whether something may have been locked since `begin`; what another process did is not known."""

    @override
    def save(self) -> Mapping[str, Any]:
        return {"locked": sorted(self.knobs)}

    @override
    def begin(self) -> None:
        self._changed = False

    @override
    def write(self, mode: PowerMode) -> None:
        for knob, command in LOCKS.items():
            if knob in self.knobs and knob in mode:
                self._changed = True
                mhz = round(mode[knob])
                try:
                    self._gpu.change(command, min_clock_mhz=mhz, max_clock_mhz=mhz)
                except DeviceError as error:
                    raise DeviceError(f"{knob}={mhz} is refused: {error}") from error

    @override
    def lost(self, mode: PowerMode) -> str:
        return ""  # a lock cannot be read back

    @override
    def put_back(self, saved: Any) -> None:
        changed, self._changed = self._changed, True
        if changed:
            self._gpu.change("reset_locked_clocks")

    @override
    def notes(self) -> tuple[str, ...]:
        if not self.knobs:
            return ()
        return (
            f"{' and '.join(self.knobs)} lock clocks that you have named; nobody can read locks back, so all "
            "are taken away afterwards, even if somebody had locked clocks before.",
        )
