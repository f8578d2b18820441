"""A processor's clock as files of a folder: not every machine can set its own."""

from __future__ import annotations

import os
from pathlib import Path

from powertrain.devices._sysfs import RealSysfs, Sysfs

POLICY = "sys/devices/system/cpu/cpufreq/policy0"
CLOCKS_KHZ = {"scaling_min_freq": "1200000", "scaling_max_freq": "2400000"}
LIMITS_KHZ = {"cpuinfo_min_freq": "1200000", "cpuinfo_max_freq": "2400000"}
TABLE_KHZ = {"scaling_available_frequencies": "2400000 1800000 1200000"}


class ClockFiles(Sysfs):
    """The files below a folder. They take a value at once, as the kernel's do and plain files do not."""

    def __init__(self, root: Path) -> None:
        self.root, self._real = root, RealSysfs(root)

    def make(self) -> None:
        (self.root / POLICY).mkdir(parents=True)
        for name, value in {**CLOCKS_KHZ, **LIMITS_KHZ, **TABLE_KHZ}.items():
            (self.root / POLICY / name).write_text(value)

    def state(self) -> dict[str, str]:
        return {name: (self.root / POLICY / name).read_text().strip() for name in CLOCKS_KHZ}

    def read(self, path: str) -> str:
        return self._real.read(path)

    def write(self, path: str, text: str) -> None:
        # A plain file that is emptied first stays empty if the process is killed right then. All clocks have
        # as many digits.
        file = os.open(self.root / path.lstrip("/"), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(file, text.encode("ascii"))
        finally:
            os.close(file)

    def listdir(self, path: str) -> list[str]:
        return self._real.listdir(path)

    def exists(self, path: str) -> bool:
        return self._real.exists(path)

    def may_write(self, path: str) -> bool:
        return self._real.may_write(path)

    def resolve(self, path: str) -> str:
        return self._real.resolve(path)
