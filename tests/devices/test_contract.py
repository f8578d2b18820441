"""What every device promises, checked on each of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from typing_extensions import override

from powertrain.devices import Journal
from powertrain.devices.cpu import CpuDevice
from powertrain.opening import open_device
from powertrain.records import ModeTable, ProfileTable
from powertrain.testing import LiveDeviceSuite, TabulatedDeviceSuite
from powertrain.virtual import ReplayDevice, SimulatedBoard


def replayed() -> ReplayDevice:
    modes = ModeTable(
        knobs=("gpu_mhz", "power_limit_w"), values=np.array([[300.5, 20], [300.5, 30], [900, 30], [1200, 40]])
    )
    first = ProfileTable(
        device="Toy board",
        workload="bert",
        modes=modes,
        time_ms=np.array([40.0, 39, 14, 10]),
        power_w=np.array([9.0, 9.1, 20, 31]),
    )
    second = ProfileTable(
        device="Toy board",
        workload="lstm",
        modes=modes.take([3, 0]),
        time_ms=np.array([2.0, 7]),
        power_w=np.full(2, np.nan),
    )
    return ReplayDevice([first, second], spec="replay:toy.csv")


class TestReplay(TabulatedDeviceSuite, LiveDeviceSuite):
    @override
    def open_device(self) -> ReplayDevice:
        return replayed()

    @override
    def state(self, device: ReplayDevice) -> object:
        return device.mode


TRAINING = """
def make(batch_size=4):
    while True:
        sum(range(20_000 * batch_size))
        yield
"""


class TestCpu(LiveDeviceSuite):
    """The machine that this runs on, whatever it has."""

    @pytest.fixture(autouse=True)
    def training(self, tmp_path):
        (tmp_path / "train.py").write_text(TRAINING)
        self.folder = tmp_path

    @override
    def open_device(self) -> CpuDevice:
        cores = ",".join(str(n + 1) for n in range(min(len(os.sched_getaffinity(0)), 2)))
        return CpuDevice(
            f"cpu_cores={cores}&batch_size=1,2,3,4,5,6,7,8", journal=Journal(self.folder / "journal")
        )

    @override
    def workload(self, device: CpuDevice) -> str:
        return f"{self.folder / 'train.py'}:make"

    @override
    def state(self, device: CpuDevice) -> object:
        return {int(t.name): os.sched_getaffinity(int(t.name)) for t in Path("/proc/self/task").iterdir()}


class BoardSuite(TabulatedDeviceSuite, LiveDeviceSuite):
    spec: str

    @override
    def open_device(self) -> SimulatedBoard:
        board = open_device(self.spec)
        assert isinstance(board, SimulatedBoard)
        return board

    @override
    def state(self, device: SimulatedBoard) -> object:
        return device.mode


class TestOrinAgx(BoardSuite):
    spec = "sim:orin-agx"


class TestOrinAgxR36(BoardSuite):
    spec = "sim:orin-agx-r36"


class TestXavierAgx(BoardSuite):
    spec = "sim:xavier-agx"


class TestOrinNano(BoardSuite):
    spec = "sim:orin-nano"


class TestOrinNanoSuper(BoardSuite):
    spec = "sim:orin-nano-super"
