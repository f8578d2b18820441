"""The memory clock of a Jetson: which ones there are, and whether they stay where they are locked."""

from __future__ import annotations

import errno
import json

import pytest
from tests.devices.jetson.boards import (
    Changed,
    board_of,
    device_on,
    every_board,
    gpu_folder,
    memory_files,
    middle,
)

from powertrain.devices import Journal, Why
from powertrain.devices.jetson import JetsonDevice
from powertrain.errors import UnreachableModeError
from powertrain.virtual.emulated import EMULATED

NANO_SUPER, AGX, XAVIER = "orin-nano-super@jp6", "orin-agx@jp6", "xavier-agx@jp4"


def test_memory_clocks_are_tried_once_per_boot(tmp_path):
    board = board_of(AGX)
    boot_id = tmp_path / "boot_id"

    def opened() -> JetsonDevice:
        journal = Journal(tmp_path / "journal", boot_id=boot_id)
        return JetsonDevice(sysfs=board, clock=board.clock, journal=journal)

    boot_id.write_text("one")
    first, tried = opened(), len(board.writes)
    assert tried > 0
    assert opened().space.knob("mem_mhz") == first.space.knob("mem_mhz")
    assert len(board.writes) == tried
    boot_id.write_text("two")
    assert opened().space.knob("mem_mhz") == first.space.knob("mem_mhz")
    assert len(board.writes) > tried


LISTS = {
    "dvfs_table": "/sys/kernel/debug/bpmp/debug/clk/emc/dvfs_table",
    "possible_rates": "/sys/kernel/debug/bpmp/debug/emc/possible_rates",
    "available_rates": "/sys/kernel/debug/emc/available_rates",
}


@pytest.mark.parametrize(
    ("listed", "offered"),
    [
        # What a list lacks at its ends is added: the least and the greatest that firmware names.
        ({"possible_rates": "204000 665600 2133000 (kHz)"}, (204.0, 665.6, 2133.0, 3199.0)),
        ({"possible_rates": "665600000 2133000000"}, (204.0, 665.6, 2133.0, 3199.0)),
        ({"available_rates": "204000000 2133000000"}, (204.0, 2133.0, 3199.0)),
        ({"dvfs_table": "vdd_core 1600000000 650\nvdd_core 3200000000 900"}, (204.0, 665.6, 2133.0, 3199.0)),
        ({}, (204.0, 665.6, 2133.0, 3199.0)),
    ],
    ids=["kilohertz", "hertz", "upstream", "voltages", "none"],
)
def test_memory_clocks_come_from_whatever_lists_them_and_are_tried(listed, offered, tmp_path):
    board = board_of(AGX)
    texts = {path: listed.get(name) for name, path in LISTS.items()}
    device = device_on(board, tmp_path, sysfs=Changed(board, texts))
    assert device.space.knob("mem_mhz").values == offered


def test_memory_clocks_are_not_tried_where_nobody_may_and_the_reason_is_told(tmp_path):
    board = board_of(AGX)
    device = device_on(board, tmp_path, probe=False)
    assert board.writes == []
    assert any(note.startswith("No mem_mhz: no memory clock has been tried") for note in device.notes())
    assert [reason.why for reason in device.missing if reason.what == "mem_mhz"] == [Why.UNTRIED]
    holder = device_on(board, tmp_path)
    with holder.hold(middle(holder)):
        other = device_on(board, tmp_path)
        said = "No mem_mhz: the memory clocks could not be tried, since jetson is held"
        assert any(said in note for note in other.notes())


def test_known_memory_clocks_stay_offered_while_another_holds_a_board_whose_gpu_is_silent(tmp_path):
    silent: dict[str, int] = {}
    board = board_of(AGX, silent=silent)
    holder = device_on(board, tmp_path, simulated=False)
    with holder.hold(middle(holder)):
        silent[f"{gpu_folder(board)}/min_freq"] = errno.ETIMEDOUT
        other = device_on(board, tmp_path, simulated=False)
        silent.clear()
    assert other.space.knob("mem_mhz") == holder.space.knob("mem_mhz")
    assert not any(note.startswith("No mem_mhz") for note in other.notes())


def test_a_memory_clock_that_firmware_rounds_is_no_mode(tmp_path):
    board = board_of(NANO_SUPER)
    device_on(board, tmp_path, simulated=False)
    (known,) = (tmp_path / "journal").glob("*.clocks")
    content = json.loads(known.read_text())
    content["memory_hz"].append(1_600_000_000)  # a row of its table that cannot be locked
    known.write_text(json.dumps(content))
    device, before = device_on(board, tmp_path, simulated=False), board.state()
    with pytest.raises(UnreachableModeError, match="set to 1600000000 Hz and is 2133000000 Hz, 3 times"):
        device.hold(middle(device).replace(mem_mhz=1600.0)).__enter__()
    assert board.state() == before


def test_a_memory_clock_that_drifts_is_no_mode_and_one_that_drifts_once_is_locked_again(tmp_path):
    board = board_of(NANO_SUPER, emc_drifts=100)
    device, before = device_on(board, tmp_path / "always"), board.state()
    with pytest.raises(UnreachableModeError, match="the memory clock was set to 2133000000 Hz and is"):
        device.hold(middle(device)).__enter__()
    assert board.state() == before
    board = board_of(NANO_SUPER, emc_drifts=1)
    device = device_on(board, tmp_path / "once")
    with device.hold(middle(device)):
        assert board.mode["mem_mhz"] == 2133.0


def test_a_lock_that_lets_go_later_is_noticed_afterwards(tmp_path):
    board = board_of(NANO_SUPER, emc_drifts=1, emc_drift_after_s=5.0)
    device = device_on(board, tmp_path)
    with device.hold(middle(device)):
        assert device.still_holds() == ""
        board.clock.sleep_s(6.0)
        assert "the memory clock was set to 2133000000 Hz and is 665600000 Hz" in device.still_holds()


def test_memory_clocks_above_the_firmwares_own_cap_are_not_offered(tmp_path):
    board = board_of(AGX, emc_boot_cap_hz=2_133_000_000)
    before = board.state()
    device = device_on(board, tmp_path)
    assert device.space.knob("mem_mhz").values == (204.0, 665.6, 2133.0)
    with device.hold(middle(device).replace(mem_mhz=2133.0)):
        pass
    assert board.state() == before


@pytest.mark.parametrize("name", [AGX, XAVIER])
def test_a_cap_of_nvpmodels_is_raised_for_a_mode_above_it_and_given_back(name, tmp_path):
    board = board_of(name, power_model="MODE_15W")
    device, before = device_on(board, tmp_path), board.state()
    top = device.space[len(device.space) - 1]
    with device.hold(top):
        assert board.mode["mem_mhz"] == top["mem_mhz"]
    assert board.state() == before


@every_board
def test_a_lock_of_somebody_elses_is_given_back_with_its_clock(name, tmp_path):
    board = board_of(name, power_model=0)
    lock, rate = memory_files(board)
    board.write(lock, "1")
    board.write(rate, str(EMULATED[name].emc_hz[0]))
    board.clock.sleep_s(1.0)
    device, before = device_on(board, tmp_path), board.state()
    with device.hold(middle(device).replace(mem_mhz=device.space.knob("mem_mhz").values[1])):
        pass
    board.clock.sleep_s(1.0)
    assert board.state() == before
    assert board.read(rate) == str(EMULATED[name].emc_hz[0])
