"""The knob `cpu_cores`: processors that are on line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, final

from typing_extensions import override

from powertrain.devices._clock import Clock
from powertrain.devices._files import FilePart, Files, do_all, not_writable
from powertrain.devices._reasons import Reason, Why
from powertrain.errors import UnreachableModeError
from powertrain.records import PowerMode

__all__ = ["CPU", "Cores", "CoresOffPart", "CoresOnPart"]

CPU = "/sys/devices/system/cpu"
STATUS = "/proc/self/status"
STATES = ("0", "1")
"""What the file of a processor says: off line, on line."""
ALLOWED_S, POLL_S = 1.0, 0.05
"""How long the kernel may take to let this process run on what came on line; and between looks at it."""


@final
class Cores:
    """The processors of a board, in the order in which `cpu_cores` counts them.

    Stock nvpmodel modes leave 0 to k-1 on. Those of TX2 drop its two Denver cores first, 1 and 2
    (LineageOS/android_device_nvidia_quill:nvpmodel/nvpmodel_t186.conf); so does this.
    """

    def __init__(self, files: Files, soc: str) -> None:
        self._files = files
        found = (re.fullmatch(r"cpu(\d+)", name, re.ASCII) for name in files.sysfs.listdir(CPU))
        # Processor 0 stays on: taking it off line has kept boards from booting
        # (NVIDIA/skills:skills/jetson-customize-nvpmodel/SKILL.md). Often it has no such file at all.
        cpus = {0, *(int(m[1]) for m in found if m and files.sysfs.exists(f"{CPU}/{m[0]}/online"))}
        last = {1, 2} if soc == "tegra186" else set[int]()
        self.order = tuple(sorted(cpus, key=lambda cpu: (cpu in last, cpu)))
        self.permitted = all(files.sysfs.may_write(self.path(cpu)) for cpu in cpus if cpu)
        """Whether this user may switch them."""
        # One that does not tell whether it is on could not be restored, and no mode could count it.
        silent = (self.path(cpu) for cpu in self.order if cpu and files.text(self.path(cpu)) not in STATES)
        self.silent = next(silent, "")
        """The file of the first that does not tell whether it is on; empty where all do."""
        self.switchable = self.permitted and not self.silent

    def of(self, mode: PowerMode) -> frozenset[int]:
        """Return the processors that are on in a mode; all that are, where it does not switch them."""
        if not self.switchable or "cpu_cores" not in mode:
            return self.on_line()
        return frozenset(self.order[: int(mode["cpu_cores"])])

    def on_line(self) -> frozenset[int]:
        """Return the processors that are on now."""
        return frozenset(cpu for cpu in self.order if not cpu or self._files.text(self.path(cpu)) != "0")

    def switch(self, cpu: int, *, on: bool) -> None:
        """Take a processor on line or off; 0 is left alone."""
        if cpu:
            self._files.change(self.path(cpu), "1" if on else "0")

    def set_again(self) -> None:
        """Write to each processor's file what it says: the kernel does nothing, unless it refuses."""
        for path, text in self.saved().items():
            self._files.put(path, text)

    def kept_out(self, cpus: frozenset[int]) -> frozenset[int]:
        """Return those of some processors on which this process may not run, as far as can be told.

        When processors come back on line, a container's set of them is not widened (mlcommons/
        inference_results_v3.0: README_Jetson), and a training in it would stay on the others.
        """
        found = re.search(r"^Cpus_allowed_list:\s*(\S+)$", self._files.text(STATUS), re.MULTILINE | re.ASCII)
        return cpus - _ranges(found[1]) if found else frozenset()

    def saved(self) -> dict[str, str]:
        """Return which processors are on, by their files."""
        return self._files.saved(self.path(cpu) for cpu in self.order if cpu)

    def path(self, cpu: int) -> str:
        """Return the file that switches a processor."""
        return f"{CPU}/cpu{cpu}/online"


@final
class CoresOnPart(FilePart):
    """Comes first: takes processors on line that a mode needs. Restored last: takes off what was off."""

    name = "cores on"
    comes_first = True

    def __init__(self, cores: Cores, *, clock: Clock) -> None:
        self._cores, self._clock = cores, clock
        allowed = cores.switchable
        counts = tuple(float(n) for n in range(1, len(cores.order) + 1))
        self.knobs: Mapping[str, tuple[float, ...]] = {"cpu_cores": counts} if allowed else {}
        self.missing = () if allowed else (self._why_missing(),)

    def _why_missing(self) -> Reason:
        if not self._cores.permitted:
            return not_writable("cpu_cores", f"{CPU}/cpu*/online")
        sentence = f"{self._cores.silent} does not tell whether the processor is on line"
        return Reason(what="cpu_cores", why=Why.BROKEN, sentence=sentence)

    @override
    def in_force(self) -> Mapping[str, tuple[float, float]]:
        cpus = float(len(self._cores.on_line()))
        return {"cpu_cores": (cpus, cpus)}

    @override
    def save(self) -> dict[str, str]:
        return self._cores.saved()

    @override
    def write(self, mode: PowerMode) -> None:
        # On first, off last: a mode never has fewer processors than it or the one before, not for a moment.
        wanted = self._cores.of(mode)
        for cpu in sorted(wanted):
            self._cores.switch(cpu, on=True)
        end_s = self._clock.now_s() + ALLOWED_S
        while (out := self._cores.kept_out(wanted)) and self._clock.now_s() < end_s:
            self._clock.sleep_s(POLL_S)
        if out:
            raise UnreachableModeError(
                f"processors {_listed(out)} are on line, but this process may not run on them: start it, or "
                "its container, again while they are (a container keeps to what was on line), without taskset"
            )

    @override
    def try_out(self) -> None:
        self._cores.set_again()

    @override
    def lost(self, mode: PowerMode) -> str:
        wanted, seen = self._cores.of(mode), self._cores.on_line()
        if seen == wanted:
            return ""
        return f"processors {_listed(seen)} are on line and not {_listed(wanted)}"

    @override
    def put_back(self, saved: Any) -> None:
        off = [cpu for cpu in reversed(self._cores.order) if saved.get(self._cores.path(cpu)) == "0"]
        do_all(partial(self._cores.switch, cpu, on=False) for cpu in off)

    @override
    def notes(self) -> tuple[str, ...]:
        if not self.knobs:
            return ()
        order = self._cores.order
        told = f"cpu_cores takes processors off line from the last on: 1 to {len(order)}; 0 always stays"
        if list(order) != sorted(order):
            told += f", and they come in the order {_listed(order)}"
        return (f"{told}.",)


@final
class CoresOffPart(FilePart):
    """Comes last: takes the surplus off line, after all clocks. Restored first, for their files to answer.

    Files of a cpufreq policy without a processor on line give EBUSY, EINVAL or ENOENT (Linux cpufreq.c).
    """

    name = "cores off"

    def __init__(self, cores: Cores, knobs: Mapping[str, tuple[float, ...]]) -> None:
        self._cores, self.knobs = cores, knobs

    @override
    def save(self) -> dict[str, str]:
        return self._cores.saved()

    @override
    def write(self, mode: PowerMode) -> None:
        # Backwards, so that whatever interrupts this leaves the first processors on, which every mode has.
        wanted = self._cores.of(mode)
        for cpu in sorted(self._cores.on_line() - wanted, reverse=True):
            self._cores.switch(cpu, on=False)
        seen = self._cores.on_line()
        if seen != wanted:
            raise UnreachableModeError(
                f"processors {_listed(wanted)} were to be on line and {_listed(seen)} are: "
                "does a service switch them?"
            )

    @override
    def try_out(self) -> None:
        self._cores.set_again()

    @override
    def lost(self, mode: PowerMode) -> str:
        return ""  # the other part tells

    @override
    def put_back(self, saved: Any) -> None:
        on = [cpu for cpu in sorted(self._cores.order) if saved.get(self._cores.path(cpu)) == "1"]
        do_all(partial(self._cores.switch, cpu, on=True) for cpu in on)

    @override
    def notes(self) -> tuple[str, ...]:
        return ()


def _ranges(text: str) -> frozenset[int]:
    """Read a list of processors as the kernel writes it: `0-3,6`."""
    found: set[int] = set()
    for first, last in re.findall(r"(\d{1,4})(?:-(\d{1,4}))?", text, re.ASCII):
        found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _listed(cpus: frozenset[int] | tuple[int, ...]) -> str:
    return ",".join(map(str, sorted(cpus) if isinstance(cpus, frozenset) else cpus))
