"""Which other processes use a GPU while something is measured on it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any, final

from powertrain.devices._sysfs import Sysfs
from powertrain.devices.nvml._driver import NvmlGpu
from powertrain.errors import DeviceError

__all__ = ["Neighbours"]

LISTS = ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetMPSComputeRunningProcesses")
"""NVML API reference: processes with a compute context. A desktop's are graphics contexts and not among
them."""
USAGE = "nvmlDeviceGetProcessUtilization"
BUSY_PERCENT = 5
"""Of the time that a process keeps the multiprocessors or the memory busy: less spoils no measurement."""
MOST_GENERATIONS = 64


@final
class Neighbours:
    """Tells which processes share the GPU with this one and what it has started.

    NVML lists who has a context, and on many GPUs how busy each keeps the GPU. Who only has a context
    disturbs nobody, so where usage is told that decides.
    """

    def __init__(self, gpu: NvmlGpu, sysfs: Sysfs, *, pid: Callable[[], int] = os.getpid) -> None:
        self._gpu, self._sysfs, self._pid = gpu, sysfs, pid
        # Asked once here: a binding looks a function up under a lock when it is first called.
        self._lists = [name for name in LISTS if self._told(name) is not None]
        self._told(USAGE, 0)
        self._since = 0

    def busy(self) -> str:
        """Return who else uses the GPU now, by process and name; empty if nobody, as far as NVML tells."""
        running = {pid for name in self._lists for pid in _pids(self._told(name))}
        used = self._used()
        candidates = running if used is None else used
        others = sorted(pid for pid in candidates if not self._is_ours(pid))
        unseen = [pid for pid in others if not self._sysfs.exists(f"/proc/{pid}")]
        # A container does not see the numbers that the driver has for its processes: one of them is this one.
        if unseen and not any(self._is_ours(pid) for pid in running):
            others.remove(unseen[0])
        return ", ".join(map(self._named, others))

    def _used(self) -> set[int] | None:
        """Return who kept the GPU busy since the last look; None where that is not told."""
        samples = self._told(USAGE, self._since)
        if not samples:
            return None
        self._since = max((_whole(getattr(s, "timeStamp", 0)) for s in samples), default=self._since)
        return {
            _whole(getattr(sample, "pid", 0))
            for sample in samples
            if max(_whole(getattr(sample, name, 0)) for name in ("smUtil", "memUtil")) >= BUSY_PERCENT
        } - {0}

    def _told(self, function: str, *arguments: Any) -> list[Any] | None:
        try:
            told = self._gpu.ask(function, *arguments)
        except DeviceError:
            return None
        return list(told) if isinstance(told, (list, tuple)) else None  # pyright: ignore[reportUnknownArgumentType]

    def _is_ours(self, pid: int) -> bool:
        """Tell whether a process is this one, descends from it, or belongs to the same job of a shell."""
        own = self._pid()
        group = self._stat(own)[1]
        for _ in range(MOST_GENERATIONS):
            if pid == own:
                return True
            parent, its_group = self._stat(pid)
            if group and its_group == group:
                return True
            if parent <= 1:
                return False
            pid = parent
        return False

    def _stat(self, pid: int) -> tuple[int, int]:
        """Return parent and process group of a process, zeros where it is not seen (Linux proc(5))."""
        # The name stands in brackets and may hold any character, brackets and blanks as well.
        text = self._sysfs.read_or(f"/proc/{pid}/stat").rpartition(")")[2]
        found = re.match(r"\s*\S\s+(\d{1,9})\s+(\d{1,9})\s", text, re.ASCII)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    def _named(self, pid: int) -> str:
        name = "".join(c for c in self._sysfs.read_or(f"/proc/{pid}/comm") if c.isprintable())
        return f"process {pid} ({name})" if name else f"process {pid}"


def _pids(processes: Iterable[Any] | None) -> set[int]:
    return {_whole(getattr(process, "pid", 0)) for process in processes or ()} - {0}


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
