"""The simple simulated AGX Orin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powertrain.devices import SimulatedOrin
from powertrain.records import ModeTable

ORIN = SimulatedOrin()
workloads = st.sampled_from(ORIN.workloads())
rows = st.integers(0, len(ORIN.space) - 1)


def one_step_up(row: int, knob: str) -> ModeTable:
    """Return two modes: `row`, and the same with one knob raised by one step (or equal at the top)."""
    mode = ORIN.space[row]
    values = ORIN.space.knob(knob).values
    raised = values[min(values.index(mode[knob]) + 1, len(values) - 1)]
    return ModeTable.of([mode, mode.replace(**{knob: raised})])


def stock(name: str) -> ModeTable:
    return ModeTable.of([ORIN.stock_modes()[name]])


def test_it_has_the_18096_modes_of_the_board_with_the_older_gpu_table():
    assert ORIN.space.shape == (12, 29, 13, 4)
    assert len(ORIN.modes()) == len(ORIN.space) == 18_096
    assert ORIN.space.knob("cpu_mhz").values[:2] == (115.2, 192.0)
    assert ORIN.space.knob("cpu_mhz").values[-2:] == (2188.8, 2201.6)


def test_the_papers_grid_of_even_core_counts_and_every_other_cpu_clock_fits_into_it():
    grid = ORIN.space.limited(cpu_mhz=(192.0, 2201.6)).thinned(cpu_cores=2, cpu_mhz=2)
    assert grid.shape == (6, 14, 13, 4)
    assert len(grid) == 4_368
    assert len(ORIN.measure("resnet18", grid.table())) == 4_368


def test_stock_modes_are_the_vendors_caps_rounded_down_to_the_tables():
    modes = ORIN.stock_modes()
    assert modes["MAXN"] == ORIN.space[len(ORIN.space) - 1]
    assert dict(modes["MODE_30W"]) == {
        "cpu_cores": 8,
        "cpu_mhz": 1728,
        "gpu_mhz": 522.75,
        "mem_mhz": 3199,
    }
    assert list(modes) == ["MAXN", "MODE_15W", "MODE_30W", "MODE_50W"]


def test_totals_are_plausible_for_the_board():
    assert ORIN.idle_power_w(stock("MAXN"))[0] == pytest.approx(11.8, abs=0.1)
    assert 45 <= ORIN.truth("resnet18", stock("MAXN")).power_w[0] <= 52
    assert 18 <= ORIN.truth("resnet18", stock("MODE_30W")).power_w[0] <= 23
    assert 12 <= ORIN.truth("resnet18", stock("MODE_15W")).power_w[0] <= 16
    for workload in ORIN.workloads():
        everything = ORIN.truth(workload, ORIN.modes())
        assert everything.power_w.max() < 60
        assert 5 < everything.time_ms.min() < 1000


def test_running_draws_more_than_resting_in_every_mode():
    modes = ORIN.modes()
    for workload in ORIN.workloads():
        assert (ORIN.truth(workload, modes).power_w > ORIN.idle_power_w(modes)).all()


@settings(deadline=None)
@given(workload=workloads, row=rows, knob=st.sampled_from(ORIN.space.names))
def test_raising_a_knob_never_raises_the_time(workload, row, knob):
    before, after = ORIN.truth(workload, one_step_up(row, knob)).time_ms
    assert after <= before * (1 + 1e-12)


@settings(deadline=None)
@given(workload=workloads, row=rows, knob=st.sampled_from(ORIN.space.names))
def test_power_rises_with_every_knob(workload, row, knob):
    modes = one_step_up(row, knob)
    before, after = ORIN.truth(workload, modes).power_w
    assert after > before or modes[0] == modes[1]


@settings(deadline=None)
@given(row=rows, workload=workloads, seed=st.integers(0, 2**32))
def test_noise_is_a_few_per_cent_around_the_truth(row, workload, seed):
    modes = ORIN.space.table([row])
    truth, measured = ORIN.truth(workload, modes), ORIN.measure(workload, modes, seed=seed)
    assert measured.time_ms[0] == pytest.approx(truth.time_ms[0], rel=0.1)
    assert measured.power_w[0] == pytest.approx(truth.power_w[0], rel=0.1)


def test_noise_is_unbiased_and_of_one_to_two_per_cent():
    modes = ORIN.modes()
    truth, measured = ORIN.truth("lstm", modes), ORIN.measure("lstm", modes)
    for true, got in ((truth.time_ms, measured.time_ms), (truth.power_w, measured.power_w)):
        error = np.log(got / true)
        assert abs(error.mean()) < 1e-3
        assert 0.01 < error.std() < 0.02


def test_noise_differs_between_seeds_workloads_and_modes_and_repeats_within_a_run():
    modes = ORIN.space.table([5, 6])

    def noise(workload: str, seed: int) -> np.ndarray:
        return ORIN.measure(workload, modes, seed=seed).time_ms / ORIN.truth(workload, modes).time_ms

    base = noise("lstm", 0)
    assert base[0] != base[1]
    np.testing.assert_array_equal(base, noise("lstm", 0))
    assert not np.allclose(base, noise("lstm", 1))
    assert not np.allclose(base, noise("bert_base", 0))


def test_every_kind_of_bottleneck_occurs_somewhere():
    top = ORIN.stock_modes()["MAXN"]

    def gain(workload: str, **slower: float) -> float:
        pair = ModeTable.of([top.replace(**slower), top])
        slow, fast = ORIN.truth(workload, pair).time_ms
        return slow / fast

    assert gain("bert_base", gpu_mhz=624.75) > 1.5
    assert gain("bert_base", cpu_mhz=1190.4) < 1.05
    assert gain("mobilenet_v3", cpu_mhz=1190.4) > 1.5
    assert gain("mobilenet_v3", cpu_cores=2) > 1.5
    assert gain("resnet18", mem_mhz=204.0) > 1.5
