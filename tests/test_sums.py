"""Powers that are sums of different rails: never in one table, and told."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from powertrain.dataset import open_store
from powertrain.devices import Journal, VirtualClock
from powertrain.devices.jetson import JetsonDevice
from powertrain.errors import DataError
from powertrain.records import PowerMode, Profile, ProfileTable
from powertrain.virtual.emulated import EmulatedSysfs
from powertrain.workflow import profile

OLD, NEW = "A + B + C", "B + A"


def profile_of(mhz: float, power_from: str, **values) -> Profile:
    extra = {"power_from": power_from} if power_from else {}
    return Profile(device="board", workload="w", mode=PowerMode(gpu_mhz=mhz), extra=extra, **values)


def test_of_two_sums_the_latest_gives_the_powers_and_both_give_times(caplog):
    profiles = [
        profile_of(100, OLD, time_ms=9.0, power_w=30.0),
        profile_of(200, NEW, time_ms=7.0, power_w=20.0),
        profile_of(300, "A + B", time_ms=5.0, power_w=21.0),
        profile_of(400, "", time_ms=4.0, power_w=22.0),
    ]
    with caplog.at_level(logging.WARNING):
        table = ProfileTable.of(profiles)
    assert np.isnan(table.power_w[0])
    assert table.power_w[1:].tolist() == [20.0, 21.0, 22.0]
    assert table.time_ms.tolist() == [9.0, 7.0, 5.0, 4.0]
    assert "the power of 1 of 4 profiles of w is the sum of A + B + C" in caplog.text


def test_one_sum_is_taken_as_it_is_without_a_word(caplog):
    table = ProfileTable.of([profile_of(mhz, OLD, power_w=30.0) for mhz in (100, 200)])
    assert table.power_w.tolist() == [30.0, 30.0]
    assert not caplog.records


def test_a_profile_of_the_old_sum_without_a_time_is_left_out():
    table = ProfileTable.of([profile_of(100, OLD, power_w=30.0), profile_of(200, NEW, power_w=20.0)])
    assert table.power_w.tolist() == [20.0]
    with pytest.raises(DataError):
        ProfileTable.of([])


def test_a_run_into_a_database_of_the_old_sum_says_so_and_measures_again(tmp_path, caplog):
    def board(options: str = "") -> JetsonDevice:
        sysfs = EmulatedSysfs("orin-agx@jp6", clock=VirtualClock())
        return JetsonDevice(
            options,
            sysfs=sysfs,
            clock=sysfs.clock,
            journal=Journal(tmp_path / "journal"),
            jobs=lambda workload, _: sysfs.job(workload),
            name=sysfs.title,
            simulated=True,
        )

    old = board("rails=VDD_GPU_SOC,VDD_CPU_CV,VIN_SYS_5V0,VDDQ_VDD2_1V8AO")
    modes = old.space.table([10_000])
    with open_store(str(tmp_path / "profiles.db")) as store:
        assert profile(old, "lstm", modes, store).measured == 1
        with caplog.at_level(logging.WARNING):
            done = profile(board(), "lstm", modes, store)
        assert (done.measured, done.kept) == (1, 0)
        assert "They are not mixed" in caplog.text
        assert profile(old, "lstm", modes, store).kept == 1
        kept = store.profiles()
        table = store.table(workload="lstm")
    assert kept[0].power_w > kept[1].power_w
    assert table.power_w.tolist() == [kept[1].power_w]
