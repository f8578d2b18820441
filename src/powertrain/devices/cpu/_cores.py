"""The knob `cpu_cores`: on how many processors this process, and what it starts, may run."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping
from typing import Any, final

from typing_extensions import override

from powertrain.devices._files import reason_of
from powertrain.devices._parts import Part
from powertrain.devices._sysfs import RealSysfs, Sysfs
from powertrain.errors import UnreachableModeError
from powertrain.records import PowerMode

__all__ = ["CoresPart", "run_on"]


@final
class CoresPart(Part):
    """Sets the affinity of all threads of this process and of its children; no permission is needed.

    Processors are taken so that each core is used once before any is used twice.
    """

    name = "cores"
    outlives_process = False

    def __init__(self, sysfs: Sysfs | None = None) -> None:
        """Look at the processors that this process may run on.

        Args:
            sysfs: Tells which of them are two threads of one core; this machine's by default.
        """
        # Threads are always this machine's, whatever stands for the hardware: their affinity is set.
        self._processes = RealSysfs()
        self._order = _spread(sorted(os.sched_getaffinity(0)), sysfs or self._processes)
        self.knobs = {"cpu_cores": tuple(float(n) for n in range(1, len(self._order) + 1))}

    @override
    def in_force(self) -> Mapping[str, tuple[float, float]]:
        cpus = float(len(os.sched_getaffinity(0)))
        return {"cpu_cores": (cpus, cpus)}

    @override
    def save(self) -> Mapping[str, Any]:
        return {"pid": os.getpid(), "cpus": sorted(os.sched_getaffinity(0))}

    @override
    def write(self, mode: PowerMode) -> None:
        run_on(self._order[: int(mode["cpu_cores"])], self._processes)

    @override
    def lost(self, mode: PowerMode) -> str:
        cpus = len(os.sched_getaffinity(0))
        return "" if cpus == int(mode["cpu_cores"]) else f"the process may run on {cpus} CPUs"

    @override
    def put_back(self, saved: Any) -> None:
        if saved["pid"] == os.getpid():  # else it ended with that process
            run_on(saved["cpus"], self._processes)

    @override
    def notes(self) -> tuple[str, ...]:
        return (
            f"cpu_cores is the affinity of this process and of what it starts: 1 to {len(self._order)}, "
            "without any permission.",
        )


def run_on(cpus: Iterable[int], processes: Sysfs | None = None) -> None:
    """Let all threads of this process, and of what it has started, run on some processors and no others.

    Raises:
        UnreachableModeError: The kernel refuses, as where a container was given other processors meanwhile.
    """
    wanted, done = set(cpus), set[int]()
    refused: OSError | None = None
    # What is started meanwhile takes after the thread that starts it; look until none is new.
    while new := set(_threads(processes or RealSysfs(), "self")) - done:
        for task in new:
            try:
                os.sched_setaffinity(task, wanted)
            except ProcessLookupError:  # it has ended
                continue
            except OSError as error:  # the others get their turn all the same
                refused = refused or error
        done |= new
    if refused is not None:
        allowed = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        raise UnreachableModeError(
            f"this process may not be put on the processors {','.join(map(str, sorted(wanted)))} "
            f"({reason_of(refused)}): those that it may use have changed since the device was opened, and "
            f"now are {allowed}; start it again, or give its container its processors back"
        )


def _threads(processes: Sysfs, process: str) -> Generator[int]:
    """Yield the threads of a process and of all that descend from it, such as loading processes."""
    folder = f"/proc/{process}/task"
    for task in processes.listdir(folder):
        yield int(task)
        # Empty where the thread has ended, or the kernel does not list children.
        for child in processes.read_or(f"{folder}/{task}/children").split():
            yield from _threads(processes, child)


def _spread(cpus: list[int], sysfs: Sysfs) -> list[int]:
    """Order processors: the first of each core, then the second of each, and so on."""
    seen: dict[str, int] = {}
    turns: dict[int, int] = {}
    for cpu in cpus:
        path = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        core = sysfs.read_or(path, str(cpu))
        turns[cpu] = seen.get(core, 0)
        seen[core] = turns[cpu] + 1
    return sorted(cpus, key=lambda cpu: (turns[cpu], cpu))
