"""How emulated kernels take what is written to the clocks of CPU and GPU."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.virtual.emulated.kernels import CPU, every_board, gpu_folder, gpu_power

from powertrain.virtual.emulated import EMULATED, EmulatedSysfs, Faults

POLICY = f"{CPU}/cpufreq/policy0"


def errno_of_writing(board: EmulatedSysfs, path: str, text: str) -> int:
    try:
        board.write(path, text)
    except OSError as error:
        return error.errno or -1
    return 0


def shown(board: EmulatedSysfs, base: str, kind: str) -> tuple[str, str]:
    return board.read(f"{base}/{kind}min_freq"), board.read(f"{base}/{kind}max_freq")


@pytest.mark.parametrize("name", ["xavier-agx@jp4", "tx2@jp4", "nano@jp4"])
def test_kernels_4_refuse_crossed_limits_and_keep_what_was(name: str):
    board = EmulatedSysfs(name, power_model=0)
    for base, kind, table in (
        (POLICY, "scaling_", EMULATED[name].cpu_khz),
        (gpu_folder(board), "", EMULATED[name].gpu_hz),
    ):
        board.write(f"{base}/{kind}min_freq", str(table[5]))
        before = shown(board, base, kind)
        assert errno_of_writing(board, f"{base}/{kind}max_freq", str(table[3])) == errno.EINVAL
        assert shown(board, base, kind) == before


@pytest.mark.parametrize("name", ["xavier-agx@jp5", "orin-agx@jp5", "orin-agx@jp6", "thor@jp7"])
def test_kernels_5_and_later_take_crossed_limits_and_the_greatest_wins(name: str):
    board = EmulatedSysfs(name, power_model=0)
    for base, kind, table in (
        (POLICY, "scaling_", EMULATED[name].cpu_khz),
        (gpu_folder(board), "", EMULATED[name].gpu_hz),
    ):
        board.write(f"{base}/{kind}min_freq", str(table[5]))
        board.write(f"{base}/{kind}max_freq", str(table[3]))
        assert shown(board, base, kind) == (str(table[3]), str(table[3]))
        # The least clock was kept and is in force again once there is room for it.
        board.write(f"{base}/{kind}max_freq", str(table[-1]))
        assert shown(board, base, kind) == (str(table[5]), str(table[-1]))


@every_board
def test_least_greatest_least_is_a_legal_order_up_and_down(name: str):
    board = EmulatedSysfs(name, power_model=0)
    for base, kind, table in (
        (POLICY, "scaling_", EMULATED[name].cpu_khz),
        (gpu_folder(board), "", EMULATED[name].gpu_hz),
    ):
        for clock in (table[-1], table[0], table[len(table) // 2]):
            board.write(f"{base}/{kind}min_freq", str(table[0]))
            board.write(f"{base}/{kind}max_freq", str(clock))
            board.write(f"{base}/{kind}min_freq", str(clock))
            assert shown(board, base, kind) == (str(clock), str(clock))
            board.write(gpu_power(board), "on")
            board.clock.sleep_s(0.1)
            at_rest = "0" if name.startswith("thor") and not kind else str(clock)
            assert board.read(f"{base}/{kind}cur_freq") == at_rest


def test_a_clock_that_the_table_lacks_goes_to_the_nearest():
    board = EmulatedSysfs("nano@jp4")
    gpu = gpu_folder(board)
    for file in ("min_freq", "max_freq"):
        board.write(f"{gpu}/{file}", "600000000")
    board.write(f"{gpu}/device/railgate_enable", "0")
    board.clock.sleep_s(0.1)
    assert board.read(f"{gpu}/cur_freq") == "614400000"


@pytest.mark.parametrize(
    ("name", "on_store", "on_show"),
    [
        ("xavier-agx@jp4", errno.EINVAL, 0),
        ("orin-agx@jp5", errno.EINVAL, 0),
        ("orin-agx@jp6", errno.EBUSY, errno.EBUSY),
        ("orin-agx@jp7", errno.EBUSY, errno.EBUSY),
    ],
)
def test_a_policy_whose_cpus_are_all_off_line_refuses(name: str, on_store: int, on_show: int):
    board = EmulatedSysfs(name)
    policy = f"{CPU}/cpufreq/policy{EMULATED[name].policies[-1][0]}"
    assert errno_of_writing(board, f"{policy}/scaling_max_freq", "1190400") == on_store
    if on_show:
        with pytest.raises(OSError, match="busy"):
            board.read(f"{policy}/related_cpus")
    else:
        assert board.read(f"{policy}/affected_cpus") == ""


def test_a_policy_comes_back_as_it_was_unless_the_kernel_forgets_its_limits():
    shown_after: list[tuple[str, str]] = []
    for forgotten in (False, True):
        board = EmulatedSysfs("orin-agx@jp6", power_model="MAXN", faults=Faults(limits_forgotten=forgotten))
        policy = f"{CPU}/cpufreq/policy8"
        board.write(f"{policy}/scaling_max_freq", "1036800")
        for cpu in (11, 10, 9, 8):
            board.write(f"{CPU}/cpu{cpu}/online", "0")
        board.write(f"{CPU}/cpu8/online", "1")
        shown_after.append(shown(board, policy, "scaling_"))
    assert shown_after == [("729600", "1036800"), ("115200", "2201600")]


@every_board
def test_cpu_0_stays_on_line(name: str):
    board = EmulatedSysfs(name)
    assert errno_of_writing(board, f"{CPU}/cpu0/online", "0") == errno.EPERM
    assert board.read(f"{CPU}/cpu0/online") == "1"
    assert board.read(f"{CPU}/online").startswith("0")


def test_lists_of_cpus_are_written_as_the_kernel_writes_them():
    board = EmulatedSysfs("tx2@jp4", power_model="MAXQ")
    assert board.read(f"{CPU}/online") == "0,3-5"
    assert board.read(f"{CPU}/offline") == "1-2"
    assert board.read(f"{CPU}/possible") == "0-5"


@given(text=st.text(st.characters(exclude_characters="\0"), max_size=12))
def test_what_is_no_number_is_refused(text: str):
    board = EmulatedSysfs("orin-agx@jp6")
    before = board.state()
    number = errno_of_writing(board, f"{POLICY}/scaling_max_freq", text)
    assert (number == 0) == (text.isascii() and text.strip(" \t\n").isdecimal())
    if number:
        assert (number, board.state()) == (errno.EINVAL, before)


def test_a_clock_is_set_by_the_userspace_governor_and_only_then():
    board = EmulatedSysfs("orin-agx@jp6")
    assert errno_of_writing(board, f"{POLICY}/scaling_setspeed", "1036800") == errno.EINVAL
    assert board.read(f"{POLICY}/scaling_setspeed") == "<unsupported>"
    board.write(f"{POLICY}/scaling_governor", "userspace")
    board.write(f"{POLICY}/scaling_setspeed", "1036800")
    assert board.read(f"{POLICY}/scaling_cur_freq") == "1036800"
    assert errno_of_writing(board, f"{POLICY}/scaling_governor", "turbo") == errno.EINVAL
    gpu = gpu_folder(board)
    assert not board.exists(f"{gpu}/userspace/set_freq")
    board.write(f"{gpu}/governor", "userspace")
    board.write(f"{gpu}/userspace/set_freq", "510000000")
    assert board.read(f"{gpu}/userspace/set_freq") == "510000000"


def test_a_thermal_limit_narrows_what_is_shown_and_not_what_was_asked():
    faults = Faults(thermal_cpu_khz=1_036_800, thermal_gpu_hz=408_000_000, thermal_until_s=10)
    board = EmulatedSysfs("orin-agx@jp6", faults=faults)
    asked = board.state()
    assert shown(board, POLICY, "scaling_") == ("729600", "1036800")
    assert board.read(f"{gpu_folder(board)}/max_freq") == "408000000"
    board.clock.sleep_s(10)
    assert shown(board, POLICY, "scaling_") == ("729600", "1728000")
    assert board.state() == asked


@pytest.mark.parametrize("name", ["xavier-agx@jp4", "orin-agx@jp5", "orin-agx@jp6"])
def test_masks_of_the_gpu_cannot_be_written_once_it_was_used(name: str):
    board = EmulatedSysfs(name)
    expected = errno.ENODEV if name.endswith("jp4") else errno.EBUSY
    assert errno_of_writing(board, f"{gpu_folder(board)}/device/tpc_pg_mask", "0") == expected


def test_a_gpu_without_power_does_not_show_the_clock_that_was_asked():
    board = EmulatedSysfs("orin-agx@jp6")
    gpu = gpu_folder(board)
    for file in ("max_freq", "min_freq"):
        board.write(f"{gpu}/{file}", "510000000")
    board.clock.sleep_s(1)
    assert board.read(f"{gpu}/cur_freq") == "306000000"
    board.write(f"{gpu}/device/railgate_enable", "0")
    assert board.read(f"{gpu}/cur_freq") == "510000000"


def test_a_clock_takes_a_moment():
    board = EmulatedSysfs("orin-agx@jp6")
    gpu = gpu_folder(board)
    board.write(f"{gpu}/device/railgate_enable", "0")
    board.clock.sleep_s(1)
    before = board.read(f"{gpu}/cur_freq")
    board.write(f"{gpu}/min_freq", "612000000")
    assert board.read(f"{gpu}/cur_freq") == before
    board.clock.sleep_s(0.1)
    assert board.read(f"{gpu}/cur_freq") == "612000000"


def test_a_hidden_gpu_appears_when_rail_gating_is_switched_off_or_something_runs():
    for wake in (
        lambda board: board.write("/sys/devices/platform/17000000.gpu/railgate_enable", "0"),
        lambda board: board.job("resnet18").step(),
    ):
        board = EmulatedSysfs("orin-agx@jp6", faults=Faults(gpu_hidden=True))
        assert "17000000.gpu" not in board.listdir("/sys/class/devfreq")
        assert not board.exists("/sys/devices/platform/17000000.gpu/devfreq_dev/max_freq")
        wake(board)
        assert "17000000.gpu" in board.listdir("/sys/class/devfreq")
        assert board.exists("/sys/devices/platform/17000000.gpu/devfreq_dev/max_freq")


def test_a_gpu_may_be_unable_to_reach_a_clock_of_its_own_table():
    board = EmulatedSysfs("orin-agx@jp6", faults=Faults(gpu_unreachable_hz=frozenset({510_000_000})))
    gpu = gpu_folder(board)
    board.write(f"{gpu}/device/railgate_enable", "0")
    for file in ("max_freq", "min_freq"):
        board.write(f"{gpu}/{file}", "510000000")
    board.clock.sleep_s(1)
    assert board.read(f"{gpu}/max_freq") == "510000000"
    assert board.read(f"{gpu}/cur_freq") == "408000000"
