"""A made-up processor and a made-up GPU, for trials that no machine at hand could stand."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from typing import Any, final

from typing_extensions import override

from powertrain.devices._sysfs import Sysfs
from powertrain.units import microwatts_from_watts, milliwatts_from_watts

__all__ = ["MadeUpNvml", "MadeUpProcessor"]

CPU = "/sys/devices/system/cpu"
RAPL = "/sys/class/powercap/intel-rapl"
CLOCKS_KHZ = (1_200_000, 1_800_000, 2_400_000)
PACKAGE_W, MEMORY_W, GPU_W = 40.0, 5.0, 60.0
FIRST_UJ, FIRST_MJ = 5_000_000, 123_456
"""What the counters show at first, in the units of the kernel and of NVML."""


@final
class MadeUpProcessor(Sysfs):
    """A server with two sockets: four cpufreq policies, counters of packages and memory, sensors of heat."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """Make it; its counters follow a clock."""
        self._now_s = now_s
        self._files: dict[str, Callable[[], str]] = {}
        self._written: dict[str, str] = {}
        self._put("/proc/cpuinfo", "processor\t: 0\nmodel name\t: Made-up Processor 7\n")
        for n in range(4):
            self._policy(f"{CPU}/cpufreq/policy{n}")
            self._put(f"{CPU}/cpu{n}/topology/thread_siblings_list", str(n))
            self._put(f"{CPU}/cpu{n}/thermal_throttle/core_throttle_count", "0")
        for n in range(2):
            self._counter(f"{RAPL}:{n}", f"package-{n}", PACKAGE_W)
            self._counter(f"{RAPL}:{n}:0", "dram", MEMORY_W)
        self._put("/sys/class/hwmon/hwmon0/name", "coretemp")
        self._put("/sys/class/hwmon/hwmon0/temp1_input", "51000")
        self._put("/sys/class/hwmon/hwmon0/temp2_input", "49000")

    def state(self) -> dict[str, str]:
        """Return what a run may change."""
        return dict(self._written)

    def _put(self, path: str, text: str) -> None:
        self._files[path] = lambda: text

    def _policy(self, folder: str) -> None:
        self._put(f"{folder}/scaling_available_frequencies", " ".join(map(str, reversed(CLOCKS_KHZ))))
        self._put(f"{folder}/cpuinfo_min_freq", str(CLOCKS_KHZ[0]))
        self._put(f"{folder}/cpuinfo_max_freq", str(CLOCKS_KHZ[-1]))
        for name, khz in (("min", CLOCKS_KHZ[0]), ("max", CLOCKS_KHZ[-1])):
            path = f"{folder}/scaling_{name}_freq"
            self._written[path] = str(khz)
            self._files[path] = lambda path=path: self._written[path]
        self._files[f"{folder}/scaling_cur_freq"] = lambda: self._written[f"{folder}/scaling_max_freq"]

    def _counter(self, folder: str, label: str, watts: float) -> None:
        self._put(f"{folder}/name", label)
        self._put(f"{folder}/max_energy_range_uj", "262143328850")
        self._put(f"{folder}/constraint_0_power_limit_uw", "125000000")
        self._files[f"{folder}/energy_uj"] = lambda: str(
            FIRST_UJ + round(microwatts_from_watts(watts) * self._now_s())
        )

    @override
    def read(self, path: str) -> str:
        if path not in self._files:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._files[path]().strip(" \t\r\n")

    @override
    def write(self, path: str, text: str) -> None:
        if path not in self._written:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
        if not text.isdecimal():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        self._written[path] = text

    @override
    def listdir(self, path: str) -> list[str]:
        start = f"{path.rstrip('/')}/"
        inside = (file.removeprefix(start) for file in self._files if file.startswith(start))
        return sorted({rest.partition("/")[0] for rest in inside})

    @override
    def exists(self, path: str) -> bool:
        return path in self._files or bool(self.listdir(path))

    @override
    def may_write(self, path: str) -> bool:
        return path in self._written

    @override
    def resolve(self, path: str) -> str:
        return path


class MadeUpError(Exception):
    """An error of the made-up library, with NVML's number of it."""

    def __init__(self, value: int) -> None:
        super().__init__(f"error {value}")
        self.value = value


NOT_SUPPORTED, INVALID = 3, 2
ANSWERS: dict[str, Any] = {
    "nvmlInit": None,
    "nvmlDeviceGetCount": 1,
    "nvmlDeviceGetHandleByIndex": 0,
    "nvmlDeviceGetName": "Made-up GPU",
    "nvmlDeviceGetUUID": "GPU-00000000-0000-0000-0000-000000000000",
    "nvmlDeviceGetSupportedMemoryClocks": [2600, 1600],
    "nvmlDeviceGetSupportedGraphicsClocks": [1500, 1200, 900],
    "nvmlDeviceGetArchitecture": 9,
    "nvmlDeviceGetPowerManagementLimitConstraints": [100_000, 400_000],
    "nvmlDeviceGetPowerManagementDefaultLimit": 400_000,
    "nvmlDeviceGetPowerUsage": 60_000,
    "nvmlDeviceGetCurrentClocksEventReasons": 0,
    "nvmlDeviceGetTemperatureV": 40,
    "nvmlSystemGetDriverVersion": "550.1",
    "nvmlSystemGetNVMLVersion": "12.550",
    "nvmlSystemGetCudaDriverVersion_v2": 12040,
    "nvmlDeviceGetMaxPcieLinkWidth": 16,
    "nvmlDeviceGetMaxPcieLinkGeneration": 4,
    "nvmlDeviceGetPersistenceMode": 1,
    "nvmlDeviceGetComputeRunningProcesses": [],
    "nvmlDeviceGetMPSComputeRunningProcesses": [],
    "nvmlDeviceGetProcessUtilization": [],
}


@final
class MadeUpNvml:
    """A binding to a driver that shows one GPU, at rest at 60 W."""

    NVMLError = MadeUpError

    def __init__(self, now_s: Callable[[], float]) -> None:
        """Make it; its counter follows a clock."""
        self._now_s = now_s
        self.limit_mw = 400_000
        self.locked: dict[str, int] = {}

    def state(self) -> dict[str, int]:
        """Return what a run may change."""
        return {"limit_mw": self.limit_mw, **self.locked}

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml"):
            raise AttributeError(name)
        return partial(self._answer, name)

    def _answer(self, name: str, *arguments: Any) -> Any:
        if name in ANSWERS:
            return ANSWERS[name]
        if name == "nvmlDeviceGetTotalEnergyConsumption":
            return FIRST_MJ + round(milliwatts_from_watts(GPU_W) * self._now_s())
        if name == "nvmlDeviceGetUtilizationRates":
            return _Rates()
        if name == "nvmlDeviceGetClockInfo":
            return self.locked.get("graphics" if arguments[1] == 0 else "memory", 345)
        if name in ("nvmlDeviceGetPowerManagementLimit", "nvmlDeviceGetEnforcedPowerLimit"):
            return self.limit_mw
        if name == "nvmlDeviceSetPowerManagementLimit":
            return self._set_limit(arguments[1])
        if name.endswith("LockedClocks"):
            return self._lock("memory" if "Memory" in name else "graphics", name, *arguments[1:])
        raise MadeUpError(NOT_SUPPORTED)

    def _set_limit(self, limit_mw: int) -> None:
        if not 100_000 <= limit_mw <= 400_000:
            raise MadeUpError(INVALID)
        self.limit_mw = limit_mw

    def _lock(self, what: str, name: str, *clocks: int) -> None:
        if "Reset" in name:
            self.locked.pop(what, None)
            return
        if clocks[0] > clocks[1]:
            raise MadeUpError(INVALID)
        self.locked[what] = clocks[1]


@final
class _Rates:
    gpu = 0
    memory = 0
