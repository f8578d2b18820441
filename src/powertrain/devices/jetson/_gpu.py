"""The knob `gpu_mhz`: the GPU's devfreq node, wherever this release put it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, final

from typing_extensions import override

from powertrain.devices._clock import Clock
from powertrain.devices._files import FilePart, Files, do_all, not_writable
from powertrain.devices._reasons import Reason, Why
from powertrain.devices.jetson._limits import UsualLimits
from powertrain.errors import UnreachableModeError
from powertrain.records import PowerMode
from powertrain.units import hz_from_mhz, mhz_from_hz

__all__ = ["GpuPart"]

GPU_NAMES = frozenset({"gv11b", "gp10b", "ga10b", "gb10b", "gpu"})
"""Names of GPUs in the device tree (rbonghi/jetson_stats:jtop/core/gpu.py,
KernelTuner/kernel_tuner:kernel_tuner/observers/tegra.py)."""
THOR_NODE = re.compile(r"gpu-gpc-\d+", re.ASCII)
"""Thor's, which has no node in the device tree; `gpu-nvd-0` is its video engine (jetson_stats issue 885)."""
LEAST_MHZ = 1.0
"""Less in a table is no clock: the lowest of these GPUs is 76.8 MHz."""
THOR_MASK = "/opt/nvidia/l4t-gpusetup/gpu_pg_mask"
"""`gpu_pg_mask_param=512`, as it is at the next boot (anduril/jetpack-nixos:modules/nvpmodel.nix)."""
GPU_FOLDER = re.compile(r"(?:[0-9a-f]+\.)?(?:gv11b|gp10b|ga10b|gb10b|gpu)(?:\.\d+)?", re.ASCII)
BUSES = ("/sys/devices", "/sys/devices/platform", "/sys/devices/platform/bus@0")
"""Folders that have held the GPU's: stock nvpmodel confs up to L4T 35; `nvpmodel -q --verbose` of 36.4.3
(TIARE006/powercap_orin_ws); joshua41057/neural-operator-jetson-benchmark:harness/preflight_clocks.sh."""
POWER_STATES = ("0", "1", "on", "auto")
"""What a switch of the GPU's power says: `railgate_enable`, or `power/control` of runtime power
management."""
ARRIVES_S, POLL_S = 1.0, 0.02
"""How long the clock may take to be what was asked: Kernel Tuner polls until it is; and between looks."""


@final
class GpuPart(FilePart):
    """Holds the GPU at one clock: least = greatest = asked, whatever the governor, and its rail on.

    A GPU without power shows no clock, so rail gating is off meanwhile (jetson_clocks, Kernel Tuner), or
    where there is no such switch, runtime power management. Masks of its clusters (`tpc_pg_mask`) are never
    touched: after the first use they can only be changed by a reboot (OE4T/meta-tegra issues 1268, 1864).
    """

    name = "gpu clock"

    def __init__(self, files: Files, usual: UsualLimits, *, clock: Clock) -> None:
        self._files, self._usual, self._clock = files, usual, clock
        self.folder = _find_folder(files)
        self.node = ""
        self._hz: dict[float, int] = {}
        self.missing: tuple[Reason, ...] = ()
        self.knobs: Mapping[str, tuple[float, ...]] = {}
        self.look()

    def look(self) -> None:
        """Look for the node and its table. It may be missing until the GPU has had power once.

        Jetson Linux's jetson_clocks therefore switches rail gating off, and looks again.
        """
        self.node = _find_node(self._files, self.folder)
        if self.node and not self.folder:
            self.folder = _folder_of(self._files, self.node)
        table = self._files.numbers(f"{self.node}/available_frequencies") if self.node else ()
        listed = {mhz_from_hz(float(hz)): hz for hz in table}
        self._hz = {mhz: hz for mhz, hz in listed.items() if mhz >= LEAST_MHZ}
        reason = self._why_missing()
        self.missing = () if reason is None else (reason,)
        self.knobs = {} if reason else {"gpu_mhz": tuple(self._hz)}

    @property
    def sleeps(self) -> bool:
        """Whether the node is missing or silent, which power may change, and we may switch that on."""
        asleep = not self.node or self._silence()
        return bool(asleep) and any(map(self._files.sysfs.may_write, self._power_files()))

    def masks(self) -> dict[str, str]:
        """Return the masks of GPU clusters that are off, as set at boot, by name; empty where not known.

        Two modules that are sold as the same may have different clusters on (public logs of Orin Nanos).
        """
        tpc = self._files.text(f"{self.folder}/tpc_pg_mask") if self.folder else ""
        return {"tpc_pg_mask": tpc, "gpu_pg_mask": self._files.text(THOR_MASK).partition("=")[2]}

    def _why_missing(self) -> Reason | None:
        if not self.node:
            return _without(
                Why.ABSENT,
                "the kernel shows no devfreq node of the GPU",
                mend="look again once the GPU was used, after which it may appear",
            )
        if not self._hz:
            return _without(Why.ABSENT, f"{self.node} lists no available_frequencies")
        if silence := self._silence():
            return _without(Why.BROKEN, silence)
        paths = (self._least, self._greatest)
        forbidden = (path for path in paths if not self._files.sysfs.may_write(path))
        return next((not_writable("gpu_mhz", path) for path in forbidden), None)

    def _silence(self) -> str:
        """Return which of the limits cannot be read, and why; empty where both can."""
        for path in (self._least, self._greatest, f"{self.node}/cur_freq"):
            if why := self._files.silence(path):
                return f"{path} does not answer ({why})"
            if self._files.number(path) is None:
                return f"{path} says {self._files.text(path)[:40]!r}, which is no clock"
        return "" if self._files.number(self._greatest) else f"{self._greatest} says 0, which is no clock"

    @override
    def in_force(self) -> Mapping[str, tuple[float, float]]:
        if not self.node:
            return {}
        ends_hz = self._files.number(self._least), self._files.number(self._greatest)
        if ends_hz[0] is None or ends_hz[1] is None:
            return {}
        return {"gpu_mhz": (mhz_from_hz(float(ends_hz[0])), mhz_from_hz(float(ends_hz[1])))}

    @override
    def save(self) -> dict[str, str]:
        saved = self._files.saved(self._power_files())
        found = {path: text for path, text in saved.items() if text in POWER_STATES}
        ends = self._files.number(self._least), self._files.number(self._greatest)
        if self._hz and ends[0] is not None and ends[1] is not None:
            shown_mhz = mhz_from_hz(float(ends[0])), mhz_from_hz(float(ends[1]))
            asked_mhz = self._usual.asked("gpu_mhz", list(self._hz), shown_mhz=shown_mhz)
            for path, mhz in zip((self._least, self._greatest), asked_mhz, strict=True):
                found[path] = str(round(hz_from_mhz(mhz)))
        return found

    @override
    def prepare(self) -> None:
        for path in self._power_files():
            # What tells nothing that could be restored is left alone.
            if self._files.text(path) in POWER_STATES and self._files.sysfs.may_write(path):
                self._files.change(path, _awake(path))
        # Its files come back with its power, a little later.
        end_s = self._clock.now_s() + ARRIVES_S
        while not self._files.sysfs.exists(self._least) and self._clock.now_s() < end_s:
            self._clock.sleep_s(POLL_S)

    @override
    def changes(self, mode: PowerMode) -> Iterable[str]:
        return (self._least, self._greatest)

    @override
    def write(self, mode: PowerMode) -> None:
        hz = self._hz[mode["gpu_mhz"]]
        self._set(str(hz), str(hz))
        end_s = self._clock.now_s() + ARRIVES_S
        while (lost := self.lost(mode)) and self._clock.now_s() < end_s:
            self._clock.sleep_s(POLL_S)
        if lost:
            raise UnreachableModeError(f"{lost}: a hot board limits it, or its table has what it cannot do")

    @override
    def lost(self, mode: PowerMode) -> str:
        hz = self._hz[mode["gpu_mhz"]]
        seen = self._files.number(self._least), self._files.number(self._greatest)
        if seen != (hz, hz):
            return f"the GPU was set to {hz} Hz and its limits are {seen[0]} to {seen[1]} Hz"
        # Since PM QoS limits are accepted whatever they are; the clock tells what became of them.
        path = f"{self.node}/cur_freq"
        now = self._files.number(path)
        if now is None:
            return f"the GPU was set to {hz} Hz and {path} does not tell its clock"
        # Thor's clock is 0 at rest (public records of runs on boards), whatever its power switch says.
        if now not in (0, hz) and self._is_awake():
            return f"the GPU was set to {hz} Hz and runs at {now} Hz"
        return ""

    @override
    def put_back(self, saved: Any) -> None:
        # Limits first: without power their files would not answer. Each by itself: one that refuses keeps
        # no other back.
        steps = [partial(self._files.put, path, text) for path, text in self._ordered_limits(saved)]
        steps += [partial(self._restore_power, saved, path) for path in self._power_files()]
        do_all(steps)

    @override
    def notes(self) -> tuple[str, ...]:
        if not self.knobs:
            return ()
        return (f"gpu_mhz sets {self.node}.",)

    @property
    def _least(self) -> str:
        return f"{self.node}/min_freq"

    @property
    def _greatest(self) -> str:
        return f"{self.node}/max_freq"

    def _power_files(self) -> Iterable[str]:
        """Return the one switch that keeps the GPU's power on: rail gating, else runtime power management."""
        if not self.folder:
            return ()
        names = (f"{self.folder}/railgate_enable", f"{self.folder}/power/control")
        return tuple(path for path in names if self._files.sysfs.exists(path))[:1]

    def _is_awake(self) -> bool:
        return all(self._files.text(path) == _awake(path) for path in self._power_files())

    def _set(self, least: str, greatest: str) -> None:
        for path, text in self._ordered(least, greatest):
            self._files.put(path, text)

    def _ordered(self, least: str, greatest: str) -> list[tuple[str, str]]:
        """Return limits in the order that is legal on every kernel: floor, greatest, least.

        Linux 4.x devfreq.c (JetPack 4) refuses crossed limits with EINVAL; since 5.5 both are always accepted
        and the greatest wins.
        """
        # The table of a GPU may fail to answer just when it is restored.
        floor = [(self._least, str(min(self._hz.values())))] if self._hz else []
        return [*floor, (self._greatest, greatest), (self._least, least)]

    def _ordered_limits(self, saved: Mapping[str, str]) -> list[tuple[str, str]]:
        if self._least not in saved or self._greatest not in saved:
            return []
        return self._ordered(saved[self._least], saved[self._greatest])

    def _restore_power(self, saved: Mapping[str, str], path: str) -> None:
        if path in saved:
            self._files.change(path, saved[path])


def _without(why: Why, sentence: str, *, mend: str = "") -> Reason:
    return Reason(what="gpu_mhz", why=why, sentence=sentence, mend=mend)


def _awake(path: str) -> str:
    return "0" if path.endswith("railgate_enable") else "on"


def _find_node(files: Files, folder: str) -> str:
    """Return the GPU's devfreq folder, empty where there is none yet."""
    sysfs = files.sysfs
    for node in sysfs.glob("/sys/class/devfreq/*"):
        of_node = files.text(f"{node}/device/of_node/name").replace("\0", "").strip()
        if of_node in GPU_NAMES or THOR_NODE.fullmatch(node.rpartition("/")[2]):
            return sysfs.resolve(node)
    inside = [*sysfs.glob(f"{folder}/devfreq/*"), f"{folder}/devfreq_dev"] if folder else []
    return next((sysfs.resolve(node) for node in inside if sysfs.exists(f"{node}/min_freq")), "")


def _folder_of(files: Files, node: str) -> str:
    """Return the folder of the GPU to which a devfreq node belongs.

    Thor's are those of parts of a PCI device, which has the switch of the power: `0000:01:00.0/gpu-gpc-0` in
    public scripts for Jetson Linux 38.2, `0000:01:00.0/power/control` in rbonghi/jetson_stats PR 738.
    """
    folder = files.sysfs.resolve(f"{node}/device")
    above, _, name = folder.rpartition("/")
    return above if THOR_NODE.fullmatch(name) else folder


def _find_folder(files: Files) -> str:
    """Return the folder of the GPU itself, which is there while its devfreq node may not be."""
    for bus in BUSES:
        for name in files.sysfs.listdir(bus):
            switches = (f"{bus}/{name}/railgate_enable", f"{bus}/{name}/power/control")
            if GPU_FOLDER.fullmatch(name) and any(map(files.sysfs.exists, switches)):
                return files.sysfs.resolve(f"{bus}/{name}")
    return ""
