"""What the tests of emulated boards share."""

from __future__ import annotations

import pytest

from powertrain.virtual.emulated import EMULATED, EmulatedSysfs

CPU = "/sys/devices/system/cpu"
every_board = pytest.mark.parametrize("name", EMULATED)


def gpu_folder(board: EmulatedSysfs) -> str:
    """Return the GPU's devfreq folder, found as tools find it."""
    for link in board.glob("/sys/class/devfreq/*"):
        of_node = board.read_or(f"{link}/device/of_node/name").strip("\0")
        if of_node in ("gpu", "gp10b", "gv11b", "ga10b") or link.endswith("gpu-gpc-0"):
            return link
    raise AssertionError("no GPU")


def gpu_power(board: EmulatedSysfs) -> str:
    """Return the file that keeps the GPU's power on; Thor's is that of its PCI device."""
    thor = "/sys/bus/pci/devices/0000:01:00.0"
    device = thor if board.exists(thor) else board.resolve(f"{gpu_folder(board)}/device")
    return f"{device}/power/control"
