"""Who may do what on an emulated board, and what may go wrong."""

from __future__ import annotations

import errno

import pytest
from tests.virtual.emulated.kernels import CPU, every_board, gpu_folder

from powertrain.devices import VirtualClock
from powertrain.devices._sysfs import Sysfs
from powertrain.errors import DeviceError, UnknownNameError
from powertrain.virtual.emulated import EmulatedSysfs, Faults

EMC = "/sys/kernel/debug/bpmp/debug/clk/emc"
POLICY = f"{CPU}/cpufreq/policy0"


def errno_of(board: Sysfs, path: str, text: str | None = None) -> int:
    try:
        if text is None:
            board.read(path)
        else:
            board.write(path, text)
    except OSError as error:
        return error.errno or -1
    return 0


@every_board
def test_another_user_may_read_clocks_and_write_nothing(name: str):
    board = EmulatedSysfs(name, user="nobody")
    before = board.state()
    assert board.read(f"{POLICY}/scaling_max_freq").isdecimal()
    assert board.read(f"{gpu_folder(board)}/available_frequencies")
    for path in board.files.nodes:
        assert not board.may_write(path)
        assert errno_of(board, path, "0") in (errno.EACCES, errno.ENOENT)
    assert board.state() == before


def test_debugfs_is_roots():
    board = EmulatedSysfs("orin-agx@jp6")
    other = board.seen_by("nobody")
    assert board.read(f"{EMC}/rate").isdecimal()
    assert (errno_of(other, f"{EMC}/rate"), other.exists(f"{EMC}/rate")) == (errno.EACCES, False)
    assert (other.exists("/sys/kernel/debug"), other.listdir("/sys/kernel/debug")) == (True, [])
    assert errno_of(other, f"{POLICY}/cpuinfo_cur_freq") == errno.EACCES
    assert board.may_write(f"{EMC}/rate")


def test_the_older_cap_may_not_even_be_read_by_others():
    older, newer = EmulatedSysfs("orin-agx@jp5", user="me"), EmulatedSysfs("orin-agx@jp6", user="me")
    assert errno_of(older, "/sys/kernel/nvpmodel_emc_cap/emc_iso_cap") == errno.EACCES
    assert errno_of(newer, "/sys/kernel/nvpmodel_clk_cap/emc") == 0


def test_users_see_the_same_board():
    board = EmulatedSysfs("orin-agx@jp6")
    other = board.seen_by("nobody")
    board.write(f"{POLICY}/scaling_max_freq", "1036800")
    assert other.read(f"{POLICY}/scaling_max_freq") == "1036800"
    assert errno_of(other, f"{POLICY}/scaling_max_freq", "1190400") == errno.EACCES
    assert other.resolve(f"{CPU}/cpu1/cpufreq") == POLICY
    assert errno_of(board, f"{POLICY}/scaling_max_freq", "1190400") == 0


def test_a_container_lacks_debugfs_or_may_not_write():
    bare = EmulatedSysfs("orin-agx@jp6", faults=Faults(no_debugfs=True))
    assert errno_of(bare, f"{EMC}/rate") == errno.ENOENT
    assert bare.listdir("/sys/kernel/debug") == []
    fixed = EmulatedSysfs("orin-agx@jp6", faults=Faults(read_only=True))
    assert not fixed.may_write(f"{POLICY}/scaling_max_freq")
    assert errno_of(fixed, f"{POLICY}/scaling_max_freq", "1036800") == errno.EROFS


def test_power_monitors_may_be_roots():
    board = EmulatedSysfs("xavier-nx@jp5", faults=Faults(sensors_root_only=True))
    current = board.glob("/sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/curr1_input")[0]
    assert errno_of(board.seen_by("nobody"), current) == errno.EACCES
    assert errno_of(board, current) == 0


def test_what_cannot_be_read_or_written_says_why():
    board = EmulatedSysfs("orin-agx@jp6")
    assert errno_of(board, "/sys/nothing") == errno.ENOENT
    assert errno_of(board, POLICY) == errno.EISDIR
    assert errno_of(board, f"{POLICY}/related_cpus", "0") == errno.EACCES
    assert board.listdir("/sys/nothing") == []


def test_every_write_is_logged_with_its_outcome():
    board = EmulatedSysfs("orin-agx@jp6", faults=Faults(refused={f"{POLICY}/scaling_governor": errno.EIO}))
    board.write(f"{CPU}/cpu1/cpufreq/scaling_max_freq", "1036800")
    assert errno_of(board, f"{POLICY}/scaling_governor", "userspace") == errno.EIO
    seen = [(write.path, write.text, write.errno) for write in board.writes]
    assert seen == [
        (f"{POLICY}/scaling_max_freq", "1036800", 0),
        (f"{POLICY}/scaling_governor", "userspace", errno.EIO),
    ]


def test_a_service_puts_the_stock_mode_back():
    clock = VirtualClock()
    board = EmulatedSysfs("orin-agx@jp6", clock=clock, faults=Faults(undone_after_s=5.0))
    before = board.state()
    board.write(f"{POLICY}/scaling_max_freq", "1036800")
    board.write(f"{CPU}/cpu7/online", "0")
    clock.sleep_s(4.9)
    assert board.read(f"{POLICY}/scaling_max_freq") == "1036800"
    clock.sleep_s(0.2)
    assert board.state() == before
    board.write(f"{POLICY}/scaling_max_freq", "1036800")
    clock.sleep_s(10)
    assert board.read(f"{POLICY}/scaling_max_freq") == "1036800"


def test_the_state_holds_what_every_accepted_write_changed():
    board = EmulatedSysfs("orin-agx@jp6", power_model="MAXN")
    gpu = board.resolve(gpu_folder(board))
    for path, text in (
        (f"{CPU}/cpu3/online", "0"),
        (f"{POLICY}/scaling_min_freq", "960000"),
        (f"{POLICY}/scaling_max_freq", "1036800"),
        (f"{POLICY}/scaling_governor", "performance"),
        (f"{gpu}/min_freq", "408000000"),
        (f"{gpu}/max_freq", "510000000"),
        (f"{gpu}/governor", "performance"),
        ("/sys/devices/platform/17000000.gpu/railgate_enable", "0"),
        ("/sys/devices/platform/17000000.gpu/power/control", "on"),
        (f"{EMC}/mrq_rate_locked", "1"),
        (f"{EMC}/rate", "665600000"),
        (f"{EMC}/state", "1"),
        ("/sys/kernel/debug/bpmp/debug/bwmgr/bwmgr_halt", "1"),
        ("/sys/kernel/nvpmodel_clk_cap/emc", "2133000000"),
        ("/sys/devices/platform/pwm-fan/hwmon/hwmon9/pwm1", "255"),
    ):
        before = board.state()
        board.write(path, text)
        after = board.state()
        changed = {key for key in after if after[key] != before.get(key)}
        # A lock keeps the rate that was asked for last.
        assert changed - {f"{EMC}/rate"} == {path} - {f"{EMC}/rate"}
        assert after[path] == text


def test_a_stock_mode_is_applied_as_nvpmodel_does():
    board = EmulatedSysfs("orin-agx@jp6")
    board.apply("MODE_50W")
    assert board.read("/var/lib/nvpmodel/status") == "pmode:0003"
    assert board.mode == {"cpu_cores": 12, "cpu_mhz": 1497.6, "gpu_mhz": 816, "mem_mhz": 3199}


def test_a_board_trains_workloads_that_exist_on_no_data(tmp_path):
    board = EmulatedSysfs("orin-agx@jp6")
    with pytest.raises(UnknownNameError):
        board.job("resnet19")
    with pytest.raises(DeviceError, match="no data"):
        board.job("resnet18", data=tmp_path)
