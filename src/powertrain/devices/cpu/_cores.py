"""The knob `cpu_cores`: on how many processors this process, and what it starts, may run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, final

from typing_extensions import override

from powertrain.devices._parts import Part
from powertrain.records import PowerMode

__all__ = ["CoresPart"]


@final
class CoresPart(Part):
    """Sets the affinity of all threads of this process and of its children; no permission is needed.

    Processors are taken so that each core is used once before any is used twice.
    """

    name = "cores"
    outlives_process = False

    def __init__(self, *, sysfs: Path = Path("/sys"), proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._order = _spread(sorted(os.sched_getaffinity(0)), sysfs)
        self.knobs = {"cpu_cores": tuple(float(n) for n in range(1, len(self._order) + 1))}

    @override
    def save(self) -> Any:
        return {"pid": os.getpid(), "cpus": sorted(os.sched_getaffinity(0))}

    @override
    def write(self, mode: PowerMode) -> None:
        self._set(self._order[: int(mode["cpu_cores"])])

    @override
    def lost(self, mode: PowerMode) -> str:
        cpus = len(os.sched_getaffinity(0))
        return "" if cpus == int(mode["cpu_cores"]) else f"the process may run on {cpus} CPUs"

    @override
    def put_back(self, saved: Any) -> None:
        if saved["pid"] == os.getpid():  # else it ended with that process
            self._set(saved["cpus"])

    @override
    def notes(self) -> tuple[str, ...]:
        return (
            f"cpu_cores is the affinity of this process and of what it starts: 1 to {len(self._order)}, "
            "without any permission.",
        )

    def _set(self, cpus: Iterable[int]) -> None:
        wanted, done = set(cpus), set[int]()
        # What is started meanwhile takes after the thread that starts it; look until none is new.
        while new := set(_threads(self._proc, "self")) - done:
            for task in new:
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    os.sched_setaffinity(task, wanted)
            done |= new


def _threads(proc: Path, process: str) -> Generator[int]:
    """Yield the threads of a process and of all that descend from it, such as loading processes."""
    try:
        tasks = [int(task.name) for task in (proc / process / "task").iterdir()]
    except OSError:
        return  # it has ended
    for task in tasks:
        yield task
        with contextlib.suppress(OSError):  # it has ended, or the kernel does not list children
            children = (proc / process / "task" / str(task) / "children").read_text(encoding="ascii")
            for child in children.split():
                yield from _threads(proc, child)


def _spread(cpus: list[int], sysfs: Path) -> list[int]:
    """Order processors: the first of each core, then the second of each, and so on."""
    seen: dict[str, int] = {}
    turns: dict[int, int] = {}
    for cpu in cpus:
        path = sysfs / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        try:
            core = path.read_text(encoding="ascii").strip()
        except OSError:
            core = str(cpu)
        turns[cpu] = seen.get(core, 0)
        seen[core] = turns[cpu] + 1
    return sorted(cpus, key=lambda cpu: (turns[cpu], cpu))
