"""What may go wrong with a Jetson, and what becomes of it."""

from __future__ import annotations

import errno
import math

import pytest
from tests.devices.jetson.boards import (
    CPU,
    Changed,
    board_of,
    device_on,
    every_board,
    gpu_folder,
    memory_files,
    middle,
)

from powertrain.devices import Journal
from powertrain.errors import DeviceError, DevicePermissionError, UnreachableModeError
from powertrain.profiling import profile_modes
from powertrain.records import PowerMode
from powertrain.virtual.emulated import EMULATED

KNOBS = ("cpu_cores", "cpu_mhz", "gpu_mhz", "mem_mhz")
AGX = "orin-agx@jp6"


@every_board
def test_a_limit_that_only_heat_set_is_not_given_back_as_the_users(name, tmp_path):
    cool, tables = board_of(name, power_model=0).state(), EMULATED[name]
    gpu_hz, cpu_khz = (table[len(table) // 2] for table in (tables.gpu_hz, tables.cpu_khz))
    heat = {"thermal_gpu_hz": gpu_hz, "thermal_cpu_khz": cpu_khz, "thermal_until_s": 30.0}
    board = board_of(name, power_model=0, **heat)
    device = device_on(board, tmp_path)
    with device.hold(middle(device)):
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


@every_board
def test_a_gpu_that_never_answers_is_missing_in_one_line_and_the_others_are_set(name, tmp_path):
    path = f"{gpu_folder(board_of(name))}/min_freq"
    board = board_of(name, silent={path: errno.ETIMEDOUT})
    device, before = device_on(board, tmp_path), board.state()
    assert device.space.names == ("cpu_cores", "cpu_mhz", "mem_mhz")
    assert f"No gpu_mhz: {path} does not answer (Connection timed out)." in device.notes()
    with device.hold(middle(device)):
        assert board.mode["cpu_mhz"] == pytest.approx(middle(device)["cpu_mhz"])
    assert board.state() == before
    assert not any("freq" in write.path for write in board.writes if "/devfreq/" in write.path)
    with pytest.raises(DeviceError, match=r"no gpu_mhz: .*min_freq does not answer"):
        device_on(board, tmp_path, "gpu_mhz=612")


@every_board
@pytest.mark.parametrize("knob", ["cpu_mhz", "gpu_mhz", "mem_mhz"])
def test_what_does_not_tell_what_it_is_set_to_is_not_changed(name, knob, tmp_path):
    silent: dict[str, int] = {}
    board = board_of(name, silent=silent)
    device, before = device_on(board, tmp_path), board.state()
    path = {
        "cpu_mhz": f"{CPU}/cpufreq/policy0/scaling_min_freq",
        "gpu_mhz": f"{gpu_folder(board)}/min_freq",
        "mem_mhz": memory_files(board)[0],
    }[knob]
    silent[path] = errno.ETIMEDOUT
    start = len(board.writes)
    with (
        pytest.raises(UnreachableModeError, match=f"{path} does not tell .* nobody could restore it"),
        device.hold(middle(device)),
    ):
        pass
    silent.clear()
    assert not any(write.path == path for write in board.writes[start:])
    assert board.state() == before


def test_a_gpu_that_answers_once_it_has_power_is_woken_and_looked_at(tmp_path):
    silent = {f"{gpu_folder(board_of(AGX))}/min_freq": errno.ETIMEDOUT}
    board = board_of(AGX, silent=silent)
    original = board.write

    def answering(path: str, text: str) -> None:
        original(path, text)
        if path.endswith("railgate_enable") and text == "0":
            silent.clear()

    object.__setattr__(board, "write", answering)
    before = board.state()
    assert "gpu_mhz" in device_on(board, tmp_path).space.names
    assert board.state() == before


def test_processors_that_a_container_keeps_from_this_process_are_told(tmp_path):
    board = board_of(AGX, power_model="MODE_15W")
    said = "Name:\tpython\nCpus_allowed_list:\t0-3,6\nMems_allowed:\t1"
    inside = Changed(board, {"/proc/self/status": said})
    device, before = device_on(board, tmp_path, sysfs=inside), board.state()
    with device.hold(middle(device).replace(cpu_cores=4)):
        pass
    with (
        pytest.raises(UnreachableModeError, match="processors 4,5,7 are on line, but this process may not"),
        device.hold(middle(device).replace(cpu_cores=8)),
    ):
        pass
    assert board.state() == before


def test_a_hidden_gpu_of_a_user_who_may_not_wake_it_is_missing_with_the_reason(tmp_path):
    board = board_of(AGX, gpu_hidden=True)
    device = device_on(board, tmp_path, sysfs=board.seen_by("nobody"))
    assert any(note.startswith("No gpu_mhz") and "once the GPU was used" in note for note in device.notes())


def test_a_gpu_clock_that_is_never_reached_is_no_mode(tmp_path):
    board = board_of(AGX, gpu_unreachable_hz=frozenset({816_000_000}))
    device, before = device_on(board, tmp_path), board.state()
    with pytest.raises(UnreachableModeError, match="816000000 Hz and runs at 714000000 Hz"):
        device.hold(middle(device).replace(gpu_mhz=816.0)).__enter__()
    assert board.state() == before


@every_board
def test_without_debugfs_the_other_knobs_stay_and_the_reason_is_told(name, tmp_path):
    board = board_of(name, no_debugfs=True)
    device, before = device_on(board, tmp_path), board.state()
    assert device.space.names == ("cpu_cores", "cpu_mhz", "gpu_mhz")
    assert any(n.startswith("No mem_mhz: this user may not read /sys/kernel/debug") for n in device.notes())
    assert list(device.stock_modes()) == [model.name for model in EMULATED[name].power_models]
    with device.hold(middle(device)):
        assert board.mode["gpu_mhz"] == middle(device)["gpu_mhz"]
    assert board.state() == before
    with pytest.raises(DevicePermissionError, match="no mem_mhz: this user may not read /sys/kernel/debug"):
        device_on(board, tmp_path, "mem_mhz=2133")
    with pytest.raises(DevicePermissionError, match="no mem_mhz: this user may not read /sys/kernel/debug"):
        device.hold(PowerMode({**middle(device), "mem_mhz": 2133.0})).__enter__()


@every_board
def test_where_all_of_sys_is_read_only_nothing_is_tried(name, tmp_path):
    board = board_of(name, read_only=True)
    device = device_on(board, tmp_path)
    assert device.space.names == ("cpu_cores",)
    assert any("--privileged" in note for note in device.notes())
    assert board.writes == []


@every_board
def test_a_user_without_permission_reads_everything_and_changes_nothing(name, tmp_path):
    board = board_of(name)
    device = device_on(board, tmp_path, sysfs=board.seen_by("nobody"))
    assert device.space.names == ("cpu_cores",)  # as on any machine, by affinity
    assert device.read_power().power_w > 0.5
    assert device.temperature_c() > 20
    missing = [note for note in device.notes() if note.startswith("No ")]
    told = [note.partition(":")[0] for note in missing]
    assert told == ["No cpu_cores of the board itself", *(f"No {knob}" for knob in KNOBS[1:])]
    assert all("root" in note for note in missing)
    with pytest.raises(DevicePermissionError, match=r"no gpu_mhz: this user may not write .*min_freq"):
        device_on(board, tmp_path, "gpu_mhz=612", sysfs=board.seen_by("nobody"))
    assert board.writes == []


@every_board
def test_over_current_events_count_as_throttling_or_it_is_told_that_nobody_counts_them(name, tmp_path):
    board = board_of(name)
    device = device_on(board, tmp_path)
    before = device.throttle_count()
    board.overcurrent(3)
    counted = name.startswith(("orin", "thor"))
    assert device.throttle_count() - before == 3 * counted
    assert any("Over-current events are counted." in note for note in device.notes()) == counted


def test_heat_counts_as_throttling_whenever_it_is_seen(tmp_path):
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


@every_board
def test_limits_that_a_kernel_forgets_while_a_cluster_is_off_line_are_written_again(name, tmp_path):
    most = max(EMULATED[name].power_models, key=lambda model: (len(model.online), model.cpu_khz is not None))
    board = board_of(name, power_model=most.id, limits_forgotten=True)
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


@every_board
def test_a_gpu_that_is_woken_and_lists_no_clocks_is_missing_and_given_back(name, tmp_path):
    awake = board_of(name)
    device = device_on(awake, tmp_path / "awake")
    with device.hold(middle(device)):
        table = f"{gpu_folder(awake)}/available_frequencies"
    board = board_of(name)
    before = board.state()
    device = device_on(board, tmp_path, sysfs=Changed(board, {table: ""}))
    assert "gpu_mhz" not in device.space.names
    assert board.state() == before
