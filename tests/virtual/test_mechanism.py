"""Time and power of the simulated boards without disturbances: by construction, and plausibility."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powertrain.opening import open_device
from powertrain.records import ModeTable
from powertrain.virtual import SimulatedBoard
from powertrain.workloads import find_workload

SPECS = ("sim:orin-agx", "sim:orin-agx-r36", "sim:xavier-agx", "sim:orin-nano", "sim:orin-nano-super")
COUNTS = {
    "sim:orin-agx": 18_096,
    "sim:orin-agx-r36": 15_312,
    "sim:xavier-agx": 29_232,
    "sim:orin-nano": 1_800,
    "sim:orin-nano-super": 4_224,
}
BOARDS = {spec: open_device(spec) for spec in SPECS}
ORIN = BOARDS["sim:orin-agx"]
assert isinstance(ORIN, SimulatedBoard)

boards = st.sampled_from(list(BOARDS.values()))
workloads = st.sampled_from(ORIN.workloads())
shares = st.floats(0, 1, exclude_max=True)


def one_step_up(board: SimulatedBoard, share: float, knob: str) -> ModeTable:
    """Return a mode of the board, and the same with one knob raised by a step (or equal at the top)."""
    mode = board.space[int(share * len(board.space))]
    values = board.space.knob(knob).values
    raised = values[min(values.index(mode[knob]) + 1, len(values) - 1)]
    return ModeTable.of([mode, mode.replace(**{knob: raised})])


@pytest.mark.parametrize("spec", SPECS)
def test_a_board_has_as_many_modes_as_the_real_one(spec):
    assert len(BOARDS[spec].modes()) == COUNTS[spec]


@settings(deadline=None)
@given(board=boards, workload=workloads, share=shares, knob=st.sampled_from(ORIN.space.names))
def test_no_knob_raised_raises_the_time(board, workload, share, knob):
    before, after = board.truth(workload, one_step_up(board, share, knob)).time_ms
    assert after <= before * (1 + 1e-12)


@settings(deadline=None)
@given(board=boards, workload=workloads, share=shares, knob=st.sampled_from(ORIN.space.names))
def test_power_rises_with_every_knob_at_work_and_at_rest(board, workload, share, knob):
    modes = one_step_up(board, share, knob)
    for before, after in (board.truth(workload, modes).power_w, board.idle_power_w(modes)):
        assert after > before or modes[0] == modes[1]


@settings(deadline=None)
@given(board=boards, workload=workloads, share=shares)
def test_training_draws_more_than_resting(board, workload, share):
    modes = board.space.table([int(share * len(board.space))])
    assert board.truth(workload, modes).power_w[0] > board.idle_power_w(modes)[0]


@settings(deadline=None)
@given(board=boards, workload=st.none() | workloads, share=shares)
def test_no_rail_is_negative_and_rails_sum_to_the_total_by_the_boards_rule(board, workload, share):
    modes = board.space.table([int(share * len(board.space))])
    rails_w = {label: column[0] for label, column in board.rails_w(workload, modes).items()}
    power_w = board.idle_power_w(modes) if workload is None else board.truth(workload, modes).power_w
    assert min(rails_w.values()) >= 0
    if "VDD_IN" in rails_w:
        assert rails_w["VDD_IN"] == pytest.approx(power_w[0])
        assert rails_w["VDD_IN"] > rails_w["VDD_CPU_GPU_CV"] + rails_w["VDD_SOC"]
    else:
        assert sum(rails_w.values()) == pytest.approx(power_w[0])


@settings(deadline=None)
@given(board=boards, workload=workloads, share=shares)
def test_a_larger_minibatch_takes_longer_and_hardly_more_for_each_sample(board, workload, share):
    modes = board.space.table([int(share * len(board.space))])
    times_ms = [board.truth(f"{workload}-b{n}", modes).time_ms[0] for n in (8, 16, 32)]
    assert times_ms == sorted(times_ms)
    # Hardly: a larger minibatch fills the GPU better, but less of it stays in the cache.
    assert times_ms[2] <= 1.1 * 2 * times_ms[1] <= 1.1**2 * 4 * times_ms[0]


def test_the_minibatch_of_16_is_the_plain_name():
    modes = ORIN.space.table([0, 9_000])
    plain, named = ORIN.truth("resnet18", modes), ORIN.truth("resnet18-b16", modes)
    np.testing.assert_array_equal(plain.time_ms, named.time_ms)


def test_every_kind_of_bottleneck_occurs_somewhere():
    top = ORIN.space[len(ORIN.space) - 1]

    def gain(workload: str, **slower: float) -> float:
        pair = ModeTable.of([top.replace(**slower), top])
        slow, fast = ORIN.truth(workload, pair).time_ms
        return slow / fast

    assert gain("bert", gpu_mhz=624.75) > 1.5
    assert gain("bert", cpu_mhz=1190.4) < 1.05
    assert gain("mobilenet_v3", cpu_mhz=1190.4) > 1.5
    assert gain("mobilenet_v3", cpu_cores=2) > 1.3
    assert gain("unet", mem_mhz=665.6) > 1.5


def test_a_board_at_rest_draws_what_a_real_one_does():
    top = ORIN.space.table([len(ORIN.space) - 1])
    assert ORIN.idle_power_w(top)[0] == pytest.approx(11.8, rel=0.03)
    nano = BOARDS["sim:orin-nano"]
    assert nano.idle_power_w(nano.space.table([0]))[0] == pytest.approx(4.65, rel=0.15)


def test_energy_over_the_gpu_clock_is_u_shaped_with_its_minimum_at_612_to_714_mhz():
    board = BOARDS["sim:orin-agx-r36"]
    clocks = board.space.knob("gpu_mhz").values
    top = board.space[len(board.space) - 1]
    modes = ModeTable.of([top.replace(gpu_mhz=clock) for clock in clocks])
    rails_w = board.rails_w("bert", modes)
    energy = board.truth("bert", modes).time_ms * (rails_w["VDD_GPU_SOC"] + rails_w["VDD_CPU_CV"])
    assert 612 <= clocks[int(np.argmin(energy))] <= 714
    assert energy[0] > 1.1 * energy.min()
    assert energy[-1] > 1.2 * energy.min()


def test_stock_modes_of_few_watts_gate_parts_of_the_gpu_so_they_take_longer_than_the_same_clocks():
    stock = ORIN.stock_truth("bert")
    for name, mode in ORIN.stock_modes().items():
        ungated = ORIN.truth("bert", ModeTable.of([mode]))
        time_ms, power_w = stock[name]
        if name in ("MODE_15W", "MODE_30W"):
            assert time_ms > 1.5 * ungated.time_ms[0]
            assert power_w < ungated.power_w[0]
        else:
            assert (time_ms, power_w) == pytest.approx((ungated.time_ms[0], ungated.power_w[0]))


def test_the_kernels_of_a_workload_are_those_counted_from_its_model():
    workload = find_workload("resnet18")
    forward = workload.cost.of_phase("forward")
    # 1.82 G multiply-adds for each of 16 images, as published for ResNet-18 at 224 x 224.
    assert workload.cost.operations[forward].sum() == pytest.approx(16 * 2 * 1.82e9, rel=0.03)
