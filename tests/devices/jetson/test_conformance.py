"""What holds on every emulated board under every JetPack: enumerated, held, measured, restored."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.devices.jetson.boards import (
    ALLOWED,
    CPU,
    SOME_BOARDS,
    Between,
    Killed,
    board_of,
    device_on,
    every_board,
    memory_files,
    middle,
    some_boards,
)
from typing_extensions import override

from powertrain.devices import Journal
from powertrain.devices.jetson import JetsonDevice
from powertrain.errors import DeviceError
from powertrain.profiling import profile_modes
from powertrain.records import PowerMode
from powertrain.testing import LiveDeviceSuite
from powertrain.virtual.emulated import EMULATED, EmulatedSysfs

PUBLISHED = {
    "orin-agx@jp5": 18_096,
    "orin-agx@jp6": 15_312,
    "orin-agx@jp7": 15_312,
    "orin-nano@jp5": 1_800,
    "orin-nano@jp6": 1_800,
    "orin-nano-super@jp6": 4_224,
    "orin-nano-super@jp7": 4_224,
    "xavier-agx@jp4": 29_232,
    "xavier-agx@jp5": 29_232,
    "tx2@jp4": 10_296,
}
"""Modes of a board, from tables that were read on real ones."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_modes_are_as_many_as_public_tables_give(name, tmp_path):
    assert len(device_on(board_of(name), tmp_path).space) == PUBLISHED[name]


@every_board
def test_the_tables_are_the_boards_own(name, tmp_path):
    board = board_of(name)
    device, tables = device_on(board, tmp_path), EMULATED[name]
    assert device.space.names == ("cpu_cores", "cpu_mhz", "gpu_mhz", "mem_mhz")
    lengths = (len(tables.cpus), len(tables.cpu_khz), len(tables.gpu_hz), len(tables.emc_hz))
    assert device.space.shape == lengths


@every_board
def test_looking_at_a_board_leaves_it_as_it_was(name, tmp_path):
    board = board_of(name)
    before = board.state()
    device_on(board, tmp_path)
    assert board.state() == before
    assert all(write.errno == 0 and ALLOWED.fullmatch(write.path) for write in board.writes)


@every_board
def test_both_ends_of_every_knob_are_reached_by_legal_writes_and_given_back(name, tmp_path):
    board = board_of(name)
    device = device_on(board, tmp_path)
    before, usual = board.state(), middle(device)
    ends = [usual.replace(**{k.name: end}) for k in device.space.knobs for end in (k.values[0], k.values[-1])]
    for mode in ends:
        with device.hold(mode):
            assert board.mode == pytest.approx(dict(mode), rel=1e-12)
            assert device.still_holds() == ""
        assert board.state() == before
    assert all(ALLOWED.fullmatch(write.path) for write in board.writes)
    # Above all none with EINVAL, which crossed limits give under JetPack 4.
    assert {write.errno for write in board.writes} == {0}


@every_board
def test_files_are_written_in_the_safe_order(name, tmp_path):
    board = board_of(name)
    device = device_on(board, tmp_path)
    with untidy(board):
        start = len(board.writes)
        with device.hold(middle(device).replace(cpu_cores=2)):
            written = [stage(write.path, write.text) for write in board.writes[start:]]
            off = [write.path for write in board.writes[start:] if stage(write.path, write.text) == 5]
            start = len(board.writes)
        back = [stage(write.path, write.text) for write in board.writes[start:]]
    clocks = [number for number in written if number != 3]  # the GPU's power comes before any clock
    assert clocks == sorted(clocks)
    assert set(written) >= {1, 2, 3, 4, 5}
    assert off == sorted(off, key=lambda path: int(path.split("/cpu")[-1].split("/")[0]), reverse=True)
    assert back[0] == 1
    assert back[-1] == 5


def stage(path: str, text: str) -> int:
    """Return the place of a write in the safe order."""
    if path.endswith("/online"):
        return 1 if text == "1" else 5
    return 2 if path.startswith(CPU) else 3 if path.startswith("/sys/devices/") else 4


@contextmanager
def untidy(board: EmulatedSysfs) -> Generator[None]:
    """Start from nobody's stock mode: clusters and single processors off, a clock limited, another locked."""
    tables = board.board
    board.apply(tables.default_model)
    first, *others = tables.policies
    off = [cpu for cpu in (*(others[-1] if others else ()), first[1]) if cpu]
    lock, rate = memory_files(board)
    board.write(lock, "1")
    board.write(rate, str(tables.emc_hz[0]))
    board.clock.sleep_s(1.0)
    board.write(f"{CPU}/cpufreq/policy0/scaling_max_freq", str(tables.cpu_khz[-2]))
    for cpu in off:
        board.write(f"{CPU}/cpu{cpu}/online", "0")
    yield


def modes_that_change_everything(device: JetsonDevice) -> list[PowerMode]:
    """Return one mode with all processors on, and one with two, on which a board is busy both ways."""
    lowest = PowerMode({knob.name: knob.values[0] for knob in device.space.knobs})
    return [
        middle(device).replace(cpu_cores=device.space.knob("cpu_cores").values[-1]),
        lowest.replace(cpu_cores=2),
    ]


@some_boards
def test_whichever_write_is_refused_the_board_is_afterwards_as_before(name, tmp_path):
    board = board_of(name)
    between = Between(board)
    device = device_on(board, tmp_path, sysfs=between)
    with untidy(board):
        before = board.state()
        for mode in modes_that_change_everything(device):
            number = 0
            while True:
                between.arm(number, "refused")
                with contextlib.suppress(DeviceError), device.hold(mode):
                    assert board.mode == pytest.approx(dict(mode), rel=1e-12)
                assert board.state() == before, number
                assert not device.restore()
                if not between.went_off:
                    break
                number += 1
            assert number > 10


@some_boards
def test_killed_after_any_write_another_process_gives_the_board_back(name, tmp_path):
    board = board_of(name)
    with untidy(board):
        before = board.state()
        mode = modes_that_change_everything(device_on(board, tmp_path))[name < "orin-nano"]
        number, went_off = 0, True
        while went_off:
            went_off = killed_at(number, board, mode, tmp_path)
            assert board.state() == before, number
            number += 1
        assert number > 10


def killed_at(number: int, board: EmulatedSysfs, mode: PowerMode, folder) -> bool:
    """Hold a mode and be killed after a write; then restore as `powertrain restore` does."""
    between = Between(board)
    # Not as an emulated board, so that memory clocks are known from the first time and tried no more.
    device = device_on(board, folder, sysfs=between, simulated=False)
    assert "mem_mhz" in device.space.names
    between.arm(number, "killed")
    with contextlib.suppress(Killed), device.hold(mode):
        pass
    after = device_on(board, folder, probe=False)
    assert after.restore() or not between.went_off or not Journal(folder / "journal").devices()
    assert not after.restore()
    return between.went_off


@pytest.mark.parametrize("name", ["orin-agx@jp6", "xavier-agx@jp4", "nano@jp4", "thor@jp7"])
def test_killed_while_giving_back_what_another_left_a_third_process_gives_it_back(name, tmp_path):
    board = board_of(name)
    with untidy(board):
        before = board.state()
        first = Between(board)
        device = device_on(board, tmp_path, sysfs=first)
        mode = modes_that_change_everything(device)[0]
        went_off, number = True, 0
        while went_off:
            first = Between(board)
            device = device_on(board, tmp_path, sysfs=first)
            first.arm(12, "killed")
            with contextlib.suppress(Killed), device.hold(mode):
                pass
            second = Between(board)
            after = device_on(board, tmp_path, sysfs=second, probe=False)
            second.arm(number, "killed")
            with contextlib.suppress(Killed):
                after.restore()
            device_on(board, tmp_path, probe=False).restore()
            assert board.state() == before, number
            went_off, number = second.went_off, number + 1


@pytest.mark.parametrize("name", ["orin-agx@jp6", "xavier-agx@jp4", "nano@jp4"])
def test_killed_while_memory_clocks_are_tried_the_next_process_gives_the_board_back(name, tmp_path):
    board = board_of(name)
    before = board.state()
    went_off, number = True, 0
    while went_off:
        between = Between(board)
        between.arm(number, "killed")
        with contextlib.suppress(Killed):
            device_on(board, tmp_path, sysfs=between)
        device_on(board, tmp_path, probe=False).restore()
        assert board.state() == before, number
        went_off, number = between.went_off, number + 1
    assert number > 5


@every_board
def test_a_training_is_measured_with_the_rails_of_the_board(name, tmp_path):
    board = board_of(name)
    device = device_on(board, tmp_path)
    before = board.state()
    (profile,) = profile_modes(device, "resnet18", device.space.table([len(device.space) - 1]))
    assert profile.flags == ()
    assert profile.power_w > 1
    assert profile.extra["power_from"] == " + ".join(device.rails)
    assert {"l4t", "jetpack", "nvpmodel_mode"} <= set(profile.extra)
    assert board.state() == before


class TestSuite(LiveDeviceSuite):
    """The suite of live devices, on every kind of board."""

    @pytest.fixture(autouse=True, params=SOME_BOARDS)
    def _take_board(self, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        self.name, self.folder = request.param, tmp_path

    @override
    def open_device(self) -> JetsonDevice:
        return device_on(board_of(self.name), self.folder)

    @override
    def workload(self, device: JetsonDevice) -> str:
        return "resnet18"

    @override
    def state(self, device: JetsonDevice) -> object:
        assert isinstance(device.sysfs, EmulatedSysfs)
        return device.sysfs.state()
