"""The Jetson device on every emulated board and JetPack: enumerated, held, measured, given back."""

from __future__ import annotations

import contextlib
import errno

import numpy as np
import pytest
from typing_extensions import override

from powertrain.devices import JetsonDevice, Journal, VirtualClock, open_device
from powertrain.devices._emulated import EMULATED, EmulatedSysfs, Faults
from powertrain.errors import DeviceError, DevicePermissionError, UnreachableModeError
from powertrain.profiling import profile_modes
from powertrain.records import PowerMode
from powertrain.testing import LiveDeviceSuite

COUNTS = {
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
WRITABLE = ("/sys/devices/", "/sys/kernel/debug/", "/sys/kernel/nvpmodel", "/sys/class/", "/sys/bus/")


def emulated(name: str, folder, **faults) -> tuple[EmulatedSysfs, JetsonDevice]:
    board = EmulatedSysfs(name, clock=VirtualClock(), faults=Faults(**faults))
    return board, on(board, folder)


def on(board: EmulatedSysfs, folder, *, sysfs=None) -> JetsonDevice:
    return JetsonDevice(
        sysfs=sysfs or board,
        clock=board.clock,
        journal=Journal(folder / "journal"),
        jobs=lambda workload, _data: board.job(workload),
        name=board.title,
        simulated=True,
    )


def some_modes(device: JetsonDevice) -> list[PowerMode]:
    return [device.space[i] for i in np.linspace(0, len(device.space) - 1, 5).astype(int)]


class TestOrinAgx(LiveDeviceSuite):
    @override
    def open_device(self) -> JetsonDevice:
        device = open_device("emulated:orin-agx@jp6")
        assert isinstance(device, JetsonDevice)
        return device

    @override
    def workload(self, device: JetsonDevice) -> str:
        return "resnet18"

    @override
    def state(self, device: JetsonDevice) -> object:
        board = device.sysfs
        assert isinstance(board, EmulatedSysfs)
        return board.state()


@pytest.mark.parametrize("name", COUNTS)
def test_the_modes_are_as_many_as_public_tables_give(name, tmp_path):
    _, device = emulated(name, tmp_path)
    assert len(device.space) == COUNTS[name]


@pytest.mark.parametrize("name", EMULATED)
def test_modes_from_end_to_end_are_held_and_given_back(name, tmp_path):
    board, device = emulated(name, tmp_path)
    before = board.state()
    for mode in some_modes(device):
        with device.hold(mode):
            assert device.still_holds() == ""
            held = board.mode
            assert all(held[knob] == pytest.approx(value, rel=1e-3) for knob, value in mode.items())
        assert board.state() == before
    assert all(write.path.startswith(WRITABLE) for write in board.writes)
    assert not any("pg_mask" in write.path for write in board.writes)
    assert not any(write.path.endswith("/cpu0/online") and write.text == "0" for write in board.writes)


@pytest.mark.parametrize("name", EMULATED)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_the_board_is_as_before_after_any_exception(name, error, tmp_path):
    board, device = emulated(name, tmp_path)
    before = board.state()
    with pytest.raises(error), device.hold(device.space[len(device.space) // 3]):
        raise error
    assert board.state() == before


@pytest.mark.parametrize("name", EMULATED)
def test_what_a_killed_process_left_is_given_back_from_its_journal(name, tmp_path):
    board, device = emulated(name, tmp_path)
    before = board.state()
    held = device.hold(device.space[1])
    held.__enter__()
    journal = (tmp_path / "journal").glob("*.json")
    kept = {path: path.read_bytes() for path in journal}
    held.__exit__(None, None, None)
    settings = device._holder.settings
    settings.write(device.space[1])  # as if nobody had come to give it back
    for path, content in kept.items():
        path.write_bytes(content)
    assert board.state() != before
    on(board, tmp_path).restore()  # unless the new one has given it back by itself, before it looked around
    assert board.state() == before
    assert not list((tmp_path / "journal").glob("*.json"))


@pytest.mark.parametrize("name", EMULATED)
def test_a_training_is_measured_with_the_rails_of_the_board(name, tmp_path):
    board, device = emulated(name, tmp_path)
    before = board.state()
    (profile,) = profile_modes(device, "resnet18", device.space.table([len(device.space) - 1]))
    assert profile.flags == ()
    assert profile.power_w > 1
    assert profile.extra["power_from"] == " + ".join(device.rails)
    assert "VDD_IN" not in device.rails or len(device.rails) == 1  # the total is never added to its parts
    assert {"l4t", "jetpack"} <= set(profile.extra)
    assert board.state() == before


@pytest.mark.parametrize("name", ["orin-agx@jp6", "xavier-agx@jp4", "tx2@jp4", "thor@jp7"])
def test_a_write_that_fails_anywhere_leaves_the_board_as_before(name, tmp_path):
    board, device = emulated(name, tmp_path)
    before = board.state()
    mode = device.space[2]
    start = len(board.writes)
    with device.hold(mode):
        pass
    paths = sorted({write.path for write in board.writes[start:]})
    assert len(paths) > 4
    for number, path in enumerate(paths):
        # Every file in turn refuses while the mode is set, and takes writes again when it is given back.
        other, again = emulated(name, tmp_path / str(number))
        at_rest = other.state()
        original = other.write

        def refusing(where, text, *, bad=path, write=original, board=other, left=[1]):  # noqa: B006
            if left and board.resolve(where) == bad:
                left.pop()
                raise OSError(errno.EIO, "Input/output error", where)
            write(where, text)

        object.__setattr__(other, "write", refusing)
        # A write that is tried again, or only belongs to giving back, does no harm either.
        with contextlib.suppress(DeviceError, OSError), again.hold(mode):
            assert again.still_holds() == ""
        again.restore()
        assert other.state() == at_rest, path
    assert board.state() == before


def test_a_user_without_permission_is_told_and_changes_nothing(tmp_path):
    board = EmulatedSysfs("orin-agx@jp6", clock=VirtualClock())
    device = on(board, tmp_path, sysfs=board.seen_by("nobody"))
    assert device.space.names == ("cpu_cores",)
    assert any("root" in note for note in device.notes())
    assert not board.writes
    with pytest.raises(DevicePermissionError):
        JetsonDevice("gpu_mhz=612", sysfs=board.seen_by("nobody"), clock=board.clock)


def test_a_memory_clock_that_drifts_is_no_mode_and_one_that_drifts_once_is_locked_again(tmp_path):
    board, device = emulated("orin-nano-super@jp6", tmp_path / "always", emc_drifts=100)
    before = board.state()
    with pytest.raises(UnreachableModeError, match="the memory clock was set to 665600000 Hz and is"):
        device.hold(device.space[1]).__enter__()
    assert board.state() == before
    board, device = emulated("orin-nano-super@jp6", tmp_path / "once", emc_drifts=1)
    with device.hold(device.space[1]):
        assert board.mode["mem_mhz"] == 665.6


def test_over_current_events_count_as_throttling(tmp_path):
    board, device = emulated("orin-agx@jp6", tmp_path)
    before = device.throttle_count()
    board.overcurrent(3)
    assert device.throttle_count() - before == 3


def test_a_service_that_undoes_a_setting_is_noticed(tmp_path):
    _, device = emulated("orin-agx@jp6", tmp_path, undone_after_s=4.0, undos=1)
    (profile,) = profile_modes(device, "bert", device.space.table([20]))
    assert "undone" in profile.flags
