"""What every device promises, checked on each of them."""

from __future__ import annotations

import numpy as np
from typing_extensions import override

from powertrain.devices import AbstractDevice, ReplayDevice, SimulatedBoard, open_device
from powertrain.records import ModeTable, ProfileTable
from powertrain.testing import DeviceSuite, LiveDeviceSuite


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


class TestReplay(DeviceSuite):
    @override
    def open_device(self) -> AbstractDevice:
        return replayed()


class BoardSuite(LiveDeviceSuite):
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
