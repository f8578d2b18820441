"""How emulated firmware takes what is asked of the memory clock."""

from __future__ import annotations

import errno

import pytest
from tests.virtual.emulated.kernels import CPU, every_board

from powertrain.virtual.emulated import EMULATED, EmulatedSysfs, Faults

BPMP = "/sys/kernel/debug/bpmp/debug"
EMC = f"{BPMP}/clk/emc"
NANO = "/sys/kernel/debug/clk/override.emc"


def lock(board: EmulatedSysfs, hz: int) -> int:
    """Lock the memory clock as jetson_clocks does; return what is read back."""
    if board.board.soc == "tegra210":
        board.write(f"{NANO}/clk_update_rate", str(hz))
        board.write(f"{NANO}/clk_state", "1")
        board.clock.sleep_s(1)
        return int(board.read("/sys/kernel/debug/clk/emc/clk_rate"))
    board.write(f"{EMC}/mrq_rate_locked", "1")
    board.write(f"{EMC}/rate", str(hz))
    board.clock.sleep_s(1)
    return int(board.read(f"{EMC}/rate"))


@every_board
def test_every_clock_of_the_table_can_be_locked_without_a_cap(name: str):
    board = EmulatedSysfs(name)
    cap = "clk_cap/emc" if EMULATED[name].release.jetpack >= 6 else "emc_cap/emc_iso_cap"
    board.write(f"/sys/kernel/nvpmodel_{cap}", "0")
    assert [lock(board, hz) for hz in EMULATED[name].emc_hz] == list(EMULATED[name].emc_hz)


@pytest.mark.parametrize(
    ("asked", "taken"), [(1, 204), (205, 665.6), (1701.5, 2133), (2750, 3199), (3200, 3199)]
)
def test_a_request_is_rounded_up_without_a_word(asked: float, taken: float):
    board = EmulatedSysfs("orin-nano-super@jp6", power_model="MAXN_SUPER")
    assert lock(board, round(asked * 1e6)) == round(taken * 1e6)


@every_board
def test_a_cap_limits_what_a_lock_reaches(name: str):
    board, table = EmulatedSysfs(name), EMULATED[name].emc_hz
    cap = "clk_cap/emc" if EMULATED[name].release.jetpack >= 6 else "emc_cap/emc_iso_cap"
    board.write(f"/sys/kernel/nvpmodel_{cap}", str(table[1]))
    assert lock(board, table[-1]) == table[1]


def test_newer_kernels_show_the_cap_that_is_in_force_and_older_ones_the_number():
    newer, older = EmulatedSysfs("orin-agx@jp6"), EmulatedSysfs("orin-agx@jp5")
    newer.write("/sys/kernel/nvpmodel_clk_cap/emc", "1000000000")
    older.write("/sys/kernel/nvpmodel_emc_cap/emc_iso_cap", "1000000000")
    assert newer.read("/sys/kernel/nvpmodel_clk_cap/emc") == "2133000000"
    assert older.read("/sys/kernel/nvpmodel_emc_cap/emc_iso_cap") == "1000000000"


def test_without_its_service_the_firmware_keeps_its_own_cap():
    board = EmulatedSysfs("orin-agx@jp6", faults=Faults(emc_boot_cap_hz=2_133_000_000))
    board.write("/sys/kernel/nvpmodel_clk_cap/emc", "3199000000")
    assert lock(board, 3_199_000_000) == 2_133_000_000


def test_a_lock_may_drift_and_hold_when_it_is_tried_again():
    board = EmulatedSysfs("orin-agx@jp6", faults=Faults(emc_drifts=1))
    assert lock(board, 2_133_000_000) == 665_600_000
    assert board.read(f"{EMC}/mrq_rate_locked") == "1"
    board.write(f"{EMC}/mrq_rate_locked", "0")
    assert lock(board, 2_133_000_000) == 2_133_000_000


def test_unlocked_it_follows_the_clock_of_the_cpu_and_the_load():
    board = EmulatedSysfs("orin-agx@jp6", power_model="MAXN")
    rates: list[str] = []
    for policy in (0, 4, 8):
        board.write(f"{CPU}/cpufreq/policy{policy}/scaling_min_freq", "115200")
        board.write(f"{CPU}/cpufreq/policy{policy}/scaling_governor", "powersave")
    for governor in ("powersave", "performance"):
        for policy in (0, 4, 8):
            board.write(f"{CPU}/cpufreq/policy{policy}/scaling_governor", governor)
        board.clock.sleep_s(1)
        rates.append(board.read(f"{EMC}/rate"))
    assert rates == ["204000000", "3199000000"]
    assert board.mode["mem_mhz"] == 3199


@pytest.mark.parametrize("name", ["xavier-agx@jp4", "xavier-agx@jp5", "orin-agx@jp5"])
def test_older_releases_list_the_clocks_in_a_folder(name: str):
    names = EmulatedSysfs(name).listdir(f"{BPMP}/emc/tables/regular")
    assert sorted(int(khz) * 1000 for khz in names) == list(EMULATED[name].emc_hz)


def test_newer_releases_list_points_of_which_not_all_can_be_locked():
    board = EmulatedSysfs("orin-nano-super@jp6", power_model="MAXN_SUPER")
    rows = [row.split() for row in board.read(f"{EMC}/dvfs_table").splitlines()]
    points = [int(row[1]) for row in rows if "vdd_core" in row]
    lockable = [hz for hz in points if lock(board, hz) == hz]
    assert set(lockable) < set(points)
    assert [204_000_000, *lockable] == list(EMULATED["orin-nano-super@jp6"].emc_hz)
    assert board.read(f"{EMC}/min_rate") == "204000000"


def test_flags_take_nothing_but_0_and_1():
    board = EmulatedSysfs("orin-agx@jp6")
    for text in ("2", "yes", "-1", ""):
        with pytest.raises(OSError, match="Invalid") as refused:
            board.write(f"{EMC}/mrq_rate_locked", text)
        assert refused.value.errno == errno.EINVAL


def test_on_thor_the_clock_stays_below_the_top_until_its_least_is_raised():
    board = EmulatedSysfs("thor@jp7")
    assert board.mode["mem_mhz"] == 3200
    board.write("/sys/class/devfreq/bwmgr/min_freq", "4266000000")
    assert board.mode["mem_mhz"] == 4266
    board.clock.sleep_s(1)
    assert board.read("/sys/class/devfreq/bwmgr/cur_freq") == "4266000000"
