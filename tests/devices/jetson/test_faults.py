"""What may go wrong with a Jetson, and what becomes of it."""

from __future__ import annotations

import errno
import json
import math

import pytest
from tests.devices.jetson.boards import CPU, EMC, Changed, board_of, device_on, middle

from powertrain.devices import Journal
from powertrain.errors import DeviceError, DevicePermissionError, UnreachableModeError
from powertrain.profiling import profile_modes
from powertrain.records import PowerMode

KNOBS = ("cpu_cores", "cpu_mhz", "gpu_mhz", "mem_mhz")
NANO_SUPER, AGX, XAVIER = "orin-nano-super@jp6", "orin-agx@jp6", "xavier-agx@jp4"


@pytest.mark.parametrize("name", [AGX, "orin-agx@jp5", XAVIER])
def test_a_limit_that_only_heat_set_is_not_given_back_as_the_users(name, tmp_path):
    cool = board_of(name, power_model="MAXN").state()
    heat = {"thermal_gpu_hz": 600_000_000, "thermal_cpu_khz": 1_000_000, "thermal_until_s": 30.0}
    board = board_of(name, power_model="MAXN", **heat)
    device = device_on(board, tmp_path)
    gpu_mhz = next(mhz for mhz in device.space.knob("gpu_mhz").values if mhz > 300)
    with device.hold(middle(device).replace(gpu_mhz=gpu_mhz, cpu_mhz=499.2)):
        pass
    board.clock.sleep_s(60.0)
    assert board.state() == cool


def test_a_locked_clock_that_heat_narrowed_is_locked_again_at_its_cap(tmp_path):
    board = board_of(AGX, power_model="MAXN", thermal_gpu_hz=918_000_000, thermal_until_s=30.0)
    least = next(path for path in board.state() if path.endswith("17000000.gpu/min_freq"))
    board.write(least, "1300500000")  # as jetson_clocks does
    before = board.state()
    device = device_on(board, tmp_path)
    with device.hold(middle(device).replace(gpu_mhz=510.0)):
        pass
    assert board.state() == before


def test_a_mode_above_what_heat_allows_is_refused_and_says_so(tmp_path):
    board = board_of(AGX, thermal_gpu_hz=600_000_000)
    device, before = device_on(board, tmp_path), board.state()
    with (
        pytest.raises(UnreachableModeError, match=r"816000000 Hz and its limits are .*hot"),
        device.hold(middle(device)),
    ):
        pass
    assert board.state() == before


def test_a_gpu_whose_node_is_hidden_is_woken_looked_at_and_left_to_sleep(tmp_path):
    board = board_of(AGX, gpu_hidden=True)
    before = board.state()
    device = device_on(board, tmp_path)
    assert len(device.space) == 15_312
    assert board.state() == before
    with device.hold(middle(device)):
        assert board.mode["gpu_mhz"] == middle(device)["gpu_mhz"]
    assert board.state() == before


def test_a_hidden_gpu_of_a_user_who_may_not_wake_it_is_missing_with_the_reason(tmp_path):
    board = board_of(AGX, gpu_hidden=True)
    device = device_on(board, tmp_path, sysfs=board.seen_by("nobody"))
    assert any(note.startswith("No gpu_mhz") and "once it was used" in note for note in device.notes())


def test_a_gpu_clock_that_is_never_reached_is_no_mode(tmp_path):
    board = board_of(AGX, gpu_unreachable_hz=frozenset({816_000_000}))
    device, before = device_on(board, tmp_path), board.state()
    with pytest.raises(UnreachableModeError, match="816000000 Hz and runs at 714000000 Hz"):
        device.hold(middle(device).replace(gpu_mhz=816.0)).__enter__()
    assert board.state() == before


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


def test_a_lock_of_somebody_elses_is_given_back_with_its_clock(tmp_path):
    board = board_of(AGX)
    board.write(f"{EMC}/mrq_rate_locked", "1")
    board.write(f"{EMC}/rate", "3199000000")
    board.clock.sleep_s(1.0)
    device, before = device_on(board, tmp_path), board.state()
    with device.hold(middle(device).replace(mem_mhz=665.6)):
        pass
    board.clock.sleep_s(1.0)
    assert board.state() == before
    assert board.read(f"{EMC}/rate") == "3199000000"


def test_without_debugfs_the_other_knobs_stay_and_the_reason_is_told(tmp_path):
    board = board_of(AGX, no_debugfs=True)
    device, before = device_on(board, tmp_path), board.state()
    assert device.space.names == ("cpu_cores", "cpu_mhz", "gpu_mhz")
    assert any(n.startswith("No mem_mhz: it needs /sys/kernel/debug") for n in device.notes())
    assert set(device.stock_modes()) == {"MAXN", "MODE_15W", "MODE_30W", "MODE_50W"}
    with device.hold(middle(device)):
        assert board.mode["gpu_mhz"] == middle(device)["gpu_mhz"]
    assert board.state() == before
    with pytest.raises(DevicePermissionError, match="mem_mhz needs /sys/kernel/debug"):
        device_on(board, tmp_path, "mem_mhz=2133")
    with pytest.raises(DevicePermissionError, match="mem_mhz needs /sys/kernel/debug"):
        device.hold(PowerMode({**middle(device), "mem_mhz": 2133.0})).__enter__()


def test_where_all_of_sys_is_read_only_nothing_is_tried(tmp_path):
    board = board_of(AGX, read_only=True)
    device = device_on(board, tmp_path)
    assert device.space.names == ("cpu_cores",)
    assert any("--privileged" in note for note in device.notes())
    assert board.writes == []


def test_a_user_without_permission_reads_everything_and_changes_nothing(tmp_path):
    board = board_of(AGX)
    device = device_on(board, tmp_path, sysfs=board.seen_by("nobody"))
    assert device.space.names == ("cpu_cores",)  # as on any machine, by affinity
    assert device.read_power().power_w > 1
    assert device.temperature_c() > 20
    missing = [note for note in device.notes() if note.startswith("No ")]
    assert [note.partition(":")[0] for note in missing] == [f"No {knob}" for knob in KNOBS]
    assert all("root" in note for note in missing)
    with pytest.raises(DevicePermissionError, match=r"gpu_mhz needs .*min_freq"):
        device_on(board, tmp_path, "gpu_mhz=612", sysfs=board.seen_by("nobody"))
    assert board.writes == []


def test_power_monitors_that_are_roots_are_named_and_not_guessed(tmp_path):
    board = board_of("orin-agx@jp5", sensors_root_only=True)
    assert device_on(board, tmp_path).read_power().power_w > 1
    device = device_on(board, tmp_path, sysfs=board.seen_by("nobody"))
    assert device.rails == ()
    assert any(note.startswith("No power sensor") and "root" in note for note in device.notes())
    with pytest.raises(DeviceError, match="no power sensor"):
        device.read_power()


def test_a_monitor_that_is_busy_is_asked_again_and_one_that_is_dead_is_an_error(tmp_path):
    board = board_of("orin-nano@jp6", sensor_errors={"VDD_IN": errno.EAGAIN}, sensor_errors_last=3)
    device = device_on(board, tmp_path)  # the first three are those of looking at it
    assert device.read_power().power_w > 1
    board = board_of("orin-nano@jp6", sensor_errors={"VDD_IN": errno.EIO})
    with pytest.raises(OSError, match="Input/output"):
        device_on(board, tmp_path).read_power()


def test_a_rail_that_is_not_summed_may_fail(tmp_path):
    board = board_of("orin-nano@jp6", sensor_errors={"VDD_SOC": errno.EIO})
    reading = device_on(board, tmp_path).read_power()
    assert set(reading.rails_w) == {"VDD_IN", "VDD_CPU_GPU_CV"}
    assert reading.power_w == reading.rails_w["VDD_IN"]


def test_over_current_events_and_heat_count_as_throttling(tmp_path):
    board = board_of(AGX)
    device = device_on(board, tmp_path)
    before = device.throttle_count()
    board.overcurrent(3)
    assert device.throttle_count() - before == 3
    hot = device_on(board_of(AGX, thermal_gpu_hz=918_000_000), tmp_path)
    assert hot.throttle_count() < hot.throttle_count()


def test_a_service_that_undoes_a_setting_is_noticed_and_the_board_given_back(tmp_path):
    board = board_of(AGX, undone_after_s=4.0, undos=1)
    device = device_on(board, tmp_path)
    before = board.state()
    (profile,) = profile_modes(device, "bert", device.space.table([20]))
    assert "undone" in profile.flags
    assert board.state() == before


def test_a_service_that_undoes_a_setting_at_once_makes_the_mode_unreachable(tmp_path):
    board = board_of(AGX)
    device, before = device_on(board, tmp_path), board.state()
    original = board.write

    def undoing(path: str, text: str) -> None:
        original(path, text)
        if path.endswith("mrq_rate_locked") and text == "1":
            original(f"{CPU}/cpufreq/policy0/scaling_max_freq", "729600")

    object.__setattr__(board, "write", undoing)
    with pytest.raises(UnreachableModeError, match=r"policy0 was set to .* something else sets it"):
        device.hold(middle(device)).__enter__()
    object.__setattr__(board, "write", original)
    assert board.state() == before


def test_limits_that_a_kernel_forgets_while_a_cluster_is_off_line_are_written_again(tmp_path):
    board = board_of(AGX, power_model="MODE_50W", limits_forgotten=True)
    device, before = device_on(board, tmp_path), board.state()
    with device.hold(middle(device).replace(cpu_cores=2)):
        pass
    assert board.state() == before


def test_a_file_that_refuses_for_good_leaves_the_rest_given_back_and_the_journal_for_later(tmp_path):
    refused: dict[str, int] = {}
    board = board_of(AGX, refused=refused)
    device, before = device_on(board, tmp_path), board.state()
    held = device.hold(middle(device))
    held.__enter__()
    stuck = f"{CPU}/cpufreq/policy0/scaling_max_freq"
    refused[stuck] = errno.EBUSY
    with pytest.raises(DeviceError, match=r"scaling_max_freq does not take \d+ \(Device or resource busy\)"):
        held.__exit__(None, None, None)
    differing = {path for path, text in board.state().items() if before[path] != text}
    assert differing <= {stuck, stuck.replace("max", "min")}
    refused.clear()
    assert device.restore()
    assert board.state() == before
    assert not Journal(tmp_path / "journal").devices()


def test_without_a_conf_there_are_no_stock_modes_and_the_reason_is_told(tmp_path):
    board = board_of(AGX)
    texts = {"/etc/nvpmodel.conf": None, "/etc/nvpmodel/nvpmodel_p3701_0000.conf": None}
    device = device_on(board, tmp_path, sysfs=Changed(board, texts))
    assert device.stock_modes() == {}
    assert any(note.startswith("no stock modes: /etc/nvpmodel.conf") for note in device.notes())
    assert "nvpmodel_mode" not in device.environment()
    assert math.isfinite(device.read_power().power_w)
