from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powertrain.errors import DataError, MissingKnobError, UnknownNameError
from powertrain.evaluation import EvaluationPlan, LimitSweep, resolve
from powertrain.records import ModeTable


@pytest.fixture
def plan(board_name):
    return EvaluationPlan(device=board_name, targets=("lstm",), references=("resnet18",), profiles=(5,))


def names(target):
    return list(target.reference_names)


@pytest.mark.parametrize(
    ("text", "values"),
    [("17:20:1", (17, 18, 19, 20)), ("10:11:0.5", (10, 10.5, 11)), ("30", (30,)), ("5:7:3", (5,))],
)
def test_limits_are_read_with_both_ends_included(text, values):
    assert LimitSweep.parse(text).values_w == pytest.approx(values)


@pytest.mark.parametrize(
    "text", ["", "17:50", "50:17:1", "1:2:0", "1:2:x", "0:5:1", "nan:2:1", "auto:x", "auto:0"]
)
def test_limits_of_another_form_are_refused(text):
    with pytest.raises(ValueError, match=r"LOW|HIGH|1 to"):
        LimitSweep.parse(text)


def test_a_sweep_of_millions_of_limits_is_refused():
    with pytest.raises(ValueError, match="larger STEP"):
        LimitSweep.parse("1:50:0.000001")


@given(st.integers(2, 100), st.lists(st.floats(1, 100), min_size=2, max_size=50))
def test_automatic_limits_run_from_the_5th_percentile_of_power_to_its_maximum(count, powers):
    limits = LimitSweep.parse(f"auto:{count}").limits_w(np.array(powers))

    assert len(limits) == count
    assert limits[0] == pytest.approx(np.percentile(powers, 5))
    assert limits[-1] == max(powers)


def test_a_named_reference_is_found_on_the_targets_device(plan, grid):
    (target,) = resolve(plan, grid)

    assert target.table.workload == "lstm"
    assert names(target) == ["resnet18"]


def test_others_are_all_workloads_but_the_target(plan, grid):
    (target,) = resolve(dataclasses.replace(plan, references=("others",)), grid)

    assert names(target) == ["resnet18", "mobilenet_v3"]


def test_all_targets_take_turns(plan, grid):
    targets = resolve(dataclasses.replace(plan, targets=("all",), references=("others",)), grid)

    assert [t.table.workload for t in targets] == ["resnet18", "mobilenet_v3", "lstm"]
    assert all(t.table.workload not in names(t) for t in targets)


def test_of_all_targets_those_that_cannot_be_scored_are_left_out_with_a_warning(plan, grid, caplog):
    plan = dataclasses.replace(
        plan, targets=("all",), references=("same",), reference_devices=("Another board",)
    )
    targets = resolve(plan, grid)

    assert [target.table.workload for target in targets] == ["resnet18"]
    assert "lstm is left out of the targets" in caplog.text
    with pytest.raises(DataError, match="ask for at most"):
        resolve(dataclasses.replace(plan, profiles=(1000,)), grid)


def test_the_same_workload_on_another_device_is_a_reference(plan, grid):
    for reference in ("same", "resnet18"):
        (target,) = resolve(
            dataclasses.replace(
                plan, targets=("resnet18",), references=(reference,), reference_devices=("Another board",)
            ),
            grid,
        )

        assert names(target) == ["resnet18 @ Another board"]


def test_references_are_every_workload_on_every_device_that_exists(plan, grid, board_name):
    (target,) = resolve(
        dataclasses.replace(
            plan,
            references=("resnet18", "mobilenet_v3"),
            reference_devices=(board_name, "Another board"),
        ),
        grid,
    )

    assert names(target) == ["resnet18", "resnet18 @ Another board", "mobilenet_v3"]


def test_the_target_is_never_its_own_reference(plan, grid, caplog):
    (target,) = resolve(dataclasses.replace(plan, references=("lstm", "resnet18")), grid)

    assert names(target) == ["resnet18"]
    assert "lstm" in caplog.text
    assert "left out" in caplog.text


def test_a_target_with_nothing_but_itself_as_reference_is_refused(plan, grid):
    with pytest.raises(UnknownNameError, match="but the target itself"):
        resolve(dataclasses.replace(plan, references=("lstm",)), grid)


def test_references_none_of_which_exist_are_refused_with_the_nearest_name(plan, grid):
    with pytest.raises(UnknownNameError, match="did you mean 'resnet18'"):
        resolve(dataclasses.replace(plan, references=("resnet81",)), grid)


@pytest.mark.parametrize("targets", [("lstm",), ("all",)])
@pytest.mark.parametrize(
    ("asked", "near"), [("resnet81", "resnet18"), ("mobilnet", "mobilenet_v3"), ("othrs", "others")]
)
def test_one_reference_of_several_that_does_not_exist_is_refused_with_the_nearest_name(
    plan, grid, targets, asked, near
):
    plan = dataclasses.replace(plan, targets=targets, references=("lstm", "resnet18", asked))
    with pytest.raises(UnknownNameError, match=f"unknown reference on .* '{asked}': did you mean '{near}'"):
        resolve(plan, grid)


def test_a_reference_that_exists_but_on_none_of_the_reference_devices_is_refused(plan, grid):
    plan = dataclasses.replace(
        plan, references=("resnet18", "mobilenet_v3"), reference_devices=("Another board",)
    )
    with pytest.raises(UnknownNameError, match="unknown reference on Another board 'mobilenet_v3'"):
        resolve(plan, grid)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": "Jetson AGX"}, "unknown device 'Jetson AGX': did you mean 'Jetson AGX Orin"),
        ({"targets": ("lstn",)}, "did you mean 'lstm'"),
        ({"reference_devices": ("Other board",)}, "did you mean 'Another board'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(plan, grid, change, message):
    with pytest.raises(UnknownNameError, match=message):
        resolve(dataclasses.replace(plan, **change), grid)


def test_as_many_profiles_as_there_are_modes_are_refused(plan, grid):
    modes = len(grid[plan.device, "lstm"])
    resolve(dataclasses.replace(plan, profiles=(modes - 1,)), grid)

    with pytest.raises(DataError, match=f"ask for at most {modes - 1}"):
        resolve(dataclasses.replace(plan, profiles=(5, modes)), grid)


@pytest.mark.parametrize("lacking", ["reference", "target"])
def test_knobs_that_one_side_lacks_are_refused_with_their_names(plan, grid, lacking):
    tables = dict(grid)
    owner = (plan.device, "resnet18" if lacking == "reference" else "lstm")
    knobs = ("cpu_cores", "cpu_mhz")
    values = tables[owner].modes.select(knobs)
    tables[owner] = dataclasses.replace(tables[owner], modes=ModeTable(knobs=knobs, values=values))

    with pytest.raises(MissingKnobError, match=f"{owner[1]} on .* lacks the knob gpu_mhz, mem_mhz"):
        resolve(plan, tables)


def test_limits_that_no_mode_keeps_are_left_out_and_all_of_them_refused(plan, grid, caplog):
    power_w = grid[plan.device, "lstm"].power_w
    low, high = float(power_w.min()), float(power_w.max())
    (target,) = resolve(dataclasses.replace(plan, limits=LimitSweep(values_w=(low / 2, high))), grid)

    assert list(target.limits_w) == [high]
    assert "1 limits below" in caplog.text
    with pytest.raises(DataError, match="least power"):
        resolve(dataclasses.replace(plan, limits=LimitSweep(values_w=(low / 3, low / 2))), grid)


def test_choices_are_not_scored_where_a_quantity_is_missing(plan, grid, caplog):
    tables = dict(grid)
    table = tables[plan.device, "lstm"]
    tables[plan.device, "lstm"] = dataclasses.replace(table, time_ms=np.full(len(table), np.nan))
    (target,) = resolve(dataclasses.replace(plan, limits=LimitSweep()), tables)

    assert len(target.limits_w) == 0
    assert "no time" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"targets": ()},
        {"methods": ()},
        {"profiles": (0,)},
        {"seeds": 0},
        {"risks": (0.0,)},
        {"risks": (1.0,)},
        {"references": (), "reference_devices": ("Another board",)},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(plan, change):
    with pytest.raises(ValueError):  # noqa: PT011
        dataclasses.replace(plan, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"profiles": (5, 0, -2)}, "profiles are counted from 1, not 0, -2"),
        ({"seeds": 0}, "seeds are counted from 1, not 0"),
        ({"risks": (0.05, 0.0, 1.5)}, "a risk lies between 0 and 1, ends excluded, not at 0, 1.5"),
    ],
)
def test_a_number_that_makes_no_sense_is_named(plan, change, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        dataclasses.replace(plan, **change)


def test_limits_that_make_no_sense_are_named():
    with pytest.raises(ValueError, match=r"^power limits are positive numbers, not 0, inf$"):
        LimitSweep(values_w=(20, 0, np.inf))
    with pytest.raises(ValueError, match=r"^a sweep has 1 to 10000 power limits, not 0$"):
        LimitSweep(count=0)
