"""An emulated NVIDIA driver library, which the real binding loads; see `nvml_emulated.c`."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

from tests.processes import Process

from powertrain.devices import Journal
from powertrain.devices._sysfs import RealSysfs
from powertrain.devices.nvml import NvmlDevice

SOURCE = Path(__file__).with_name("nvml_emulated.c")
LIBRARY = "libnvidia-ml.so.1"
AT_REST = {"limit_mw": 700_000, "graphics_lock": 0, "memory_lock": 0}
UNKNOWN, NOT_SUPPORTED, GPU_IS_LOST = 999, 3, 15

CHILD = """
import sys, time
from pathlib import Path
from powertrain.devices import Journal
from powertrain.devices._sysfs import RealSysfs
from powertrain.devices.nvml import NvmlDevice

folder = Path(sys.argv[1])
device = NvmlDevice(
    int(sys.argv[2]),
    "cpu_cores=1",
    journal=Journal(folder / "journal"),
    sysfs=RealSysfs(folder / "root"),
    euid=lambda: 0,
)
"""
HOLD = """
with device.hold(device.modes()[0]):
    print("held", flush=True)
    time.sleep(60)
"""
RESTORE = """
print(device.restore(), device.restore())
"""


def compile_emulated(compiler: str, to: Path, *flags: str) -> Path:
    """Compile the emulated library, under the name that the binding asks the system's loader for."""
    shared = [compiler, "-shared", "-fPIC", "-O1", f"-Wl,-soname,{LIBRARY}", *flags]
    subprocess.run([*shared, "-o", str(to), str(SOURCE), "-lm", "-lpthread"], check=True)
    return to


class EmulatedDriver:
    """The state of the emulated GPUs, and devices of them; all in one folder."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._library, self.folder = library, folder
        self._functions = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        self._functions.emulated_get.restype = ctypes.c_int64
        # Files that tell no capabilities: the tests are the same as root, as a user and in a container.
        self.root = folder / "root"
        self.root.mkdir()

    def get(self, name: str, *, gpu: int = 0) -> int:
        return self._functions.emulated_get(gpu, name.encode())

    def set(self, *, gpu: int = 0, **values: int) -> None:
        for name, value in values.items():
            self._functions.emulated_set(gpu, name.encode(), ctypes.c_int64(value))

    def fail(self, function: str, code: int, *, after: int = 0) -> None:
        """Let a function fail from its `after + 1`th call on."""
        self._functions.emulated_fail(function.encode(), code, after)

    def settings(self, *, gpu: int = 0) -> dict[str, int]:
        return {name: self.get(name, gpu=gpu) for name in AT_REST}

    def kept(self) -> list[str]:
        """Return the keys of what the journal keeps."""
        return sorted(path.stem for path in (self.folder / "journal").glob("*.json"))

    def open(self, options: str = "cpu_cores=1", *, index: int = 0, **given: object) -> NvmlDevice:
        """Open an emulated GPU as root would, or as the arguments say."""
        usual = {
            "journal": Journal(self.folder / "journal"),
            "sysfs": RealSysfs(self.root),
            "euid": lambda: 0,
        }
        return NvmlDevice(index, options, **{**usual, **given})

    def start(self, code: str, *, gpu: int = 0) -> Process:
        """Start a process that opens an emulated GPU, by the loader's own search for the library."""
        path = os.pathsep.join(filter(None, (str(self._library.parent), os.environ.get("LD_LIBRARY_PATH"))))
        return Process(
            [sys.executable, "-c", CHILD + code, str(self.folder), str(gpu)],
            env={**os.environ, "LD_LIBRARY_PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
