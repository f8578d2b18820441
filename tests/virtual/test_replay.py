"""Replaying tables of measurements."""

from __future__ import annotations

import numpy as np
import pytest

from powertrain.errors import DataError, DeviceError
from powertrain.records import ModeTable, PowerMode, ProfileTable
from powertrain.virtual import ReplayDevice


def table(workload: str = "bert", device: str = "Toy", **columns: list[float]) -> ProfileTable:
    time_ms, power_w = columns.pop("time_ms"), columns.pop("power_w")
    values = np.array(list(columns.values()), dtype=float).T
    return ProfileTable(
        device=device,
        workload=workload,
        modes=ModeTable(knobs=tuple(columns), values=values),
        time_ms=np.array(time_ms),
        power_w=np.array(power_w),
    )


def test_repeats_of_a_mode_are_averaged_and_gaps_left_out():
    device = ReplayDevice([table(gpu_mhz=[600, 600, 900], time_ms=[10, 12, 7], power_w=[np.nan, 5, 8])])
    found = device.measure("bert", ModeTable.of([PowerMode(gpu_mhz=600)]))
    assert (found.time_ms[0], found.power_w[0]) == (11, 5)
    assert len(device.modes()) == 2


def test_its_modes_are_those_of_all_workloads_together():
    device = ReplayDevice(
        [
            table(gpu_mhz=[900, 600], time_ms=[1, 2], power_w=[3, 4]),
            table("lstm", gpu_mhz=[300, 600], time_ms=[1, 2], power_w=[3, 4]),
        ]
    )
    assert device.modes().values.ravel().tolist() == [900, 600, 300]
    assert device.modes(workload="lstm").values.ravel().tolist() == [300, 600]
    assert device.space.knob("gpu_mhz").values == (300, 600, 900)


def test_a_mode_measured_for_another_workload_only_is_refused_with_the_nearest_of_this_one():
    device = ReplayDevice(
        [
            table(gpu_mhz=[600, 300], mem_mhz=[10, 2000], time_ms=[1, 2], power_w=[3, 4]),
            table("lstm", gpu_mhz=[310], mem_mhz=[900], time_ms=[1], power_w=[3]),
        ]
    )
    with pytest.raises(
        DeviceError, match=r"gpu_mhz=310 mem_mhz=900: the nearest .* gpu_mhz=300 mem_mhz=2000"
    ):
        device.measure("bert", ModeTable.of([PowerMode(gpu_mhz=310, mem_mhz=900)]))


def test_the_seed_changes_nothing():
    device = ReplayDevice([table(gpu_mhz=[600, 900], time_ms=[10, 7], power_w=[5, 8])])
    first, second = (device.measure("bert", device.modes(), seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(first.time_ms, second.time_ms)


def test_a_knob_at_zero_is_found():
    device = ReplayDevice([table(loader_workers=[0, 2], time_ms=[10, 7], power_w=[5, 8])])
    assert device.measure("bert", ModeTable.of([PowerMode(loader_workers=-0.0)])).time_ms[0] == 10


def test_columns_in_another_order_are_brought_together():
    device = ReplayDevice(
        [
            table(a=[1, 2], b=[3, 4], time_ms=[1, 2], power_w=[3, 4]),
            table("lstm", b=[3], a=[1], time_ms=[9], power_w=[3]),
        ]
    )
    assert device.measure("lstm", ModeTable.of([PowerMode(a=1, b=3)])).time_ms[0] == 9
    assert len(device.modes()) == 2


def test_it_says_which_quantity_is_missing():
    device = ReplayDevice([table(gpu_mhz=[600, 900], time_ms=[np.nan] * 2, power_w=[5, 8])])
    assert "No time was measured for bert." in device.notes()


def test_the_replay_of_a_simulated_board_stays_simulated():
    device = ReplayDevice([table(device="Orin (simulated)", gpu_mhz=[6], time_ms=[1], power_w=[2])])
    assert device.simulated


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ([], "nothing to replay"),
        (
            [table(a=[1], time_ms=[1], power_w=[1]), table(device="B", a=[1], time_ms=[1], power_w=[1])],
            "2 dev",
        ),
        ([table(a=[1], time_ms=[1], power_w=[1]), table("x", b=[1], time_ms=[1], power_w=[1])], "over b"),
        ([table(a=[1], time_ms=[1], power_w=[1]), table(a=[2], time_ms=[1], power_w=[1])], "given twice"),
    ],
)
def test_tables_that_do_not_belong_together_are_refused(tables, says):
    with pytest.raises(DataError, match=says):
        ReplayDevice(tables)
