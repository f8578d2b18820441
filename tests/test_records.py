from __future__ import annotations

import dataclasses
import math
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powertrain.errors import DataError, MissingKnobError
from powertrain.records import (
    Limits,
    ModeTable,
    PowerMode,
    Prediction,
    Profile,
    ProfileTable,
)

NAN = float("nan")
MODE = PowerMode(cpu_cores=12, gpu_mhz=1300.5)
PROFILE = Profile(device="Orin", workload="w", mode=MODE, time_ms=4.0, power_w=25.0)
VALUES = st.floats(allow_nan=False, allow_infinity=False)
MODES = st.dictionaries(st.text(max_size=8), VALUES, min_size=1, max_size=4).map(PowerMode)


def profile_of(gpu_mhz: float, *, time_ms: float = NAN, power_w: float = NAN, **others) -> Profile:
    return dataclasses.replace(
        PROFILE, mode=PowerMode(gpu_mhz=gpu_mhz), time_ms=time_ms, power_w=power_w, **others
    )


# Modes


@given(MODES)
def test_a_mode_is_a_mapping_that_equals_itself_in_any_order_of_knobs(mode):
    turned = PowerMode(dict(reversed(list(mode.items()))))
    assert turned == mode == dict(mode)
    assert hash(turned) == hash(mode)
    assert list(turned) == list(mode)[::-1]
    assert len({turned, mode}) == 1


@given(MODES)
def test_a_mode_survives_pickling(mode):
    copy = pickle.loads(pickle.dumps(mode))
    assert copy == mode
    assert hash(copy) == hash(mode)


def test_a_mode_from_another_process_is_found_in_a_set():
    code = (
        "import pickle, sys, powertrain.records as r; sys.stdout.buffer.write(pickle.dumps(r.PowerMode(a=1)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert pickle.loads(ran.stdout) in {PowerMode(a=1)}


@given(st.dictionaries(st.from_regex(r"[a-z_]+", fullmatch=True), st.integers(-(10**9), 10**9), min_size=1))
def test_the_text_of_a_mode_reads_back(values):
    mode = PowerMode(values)
    assert PowerMode.parse(str(mode)) == mode
    assert PowerMode.parse(str(mode).replace(" ", ", ")) == mode


def test_a_mode_shows_its_knobs():
    assert str(MODE) == "cpu_cores=12 gpu_mhz=1300.5"
    assert repr(MODE) == "PowerMode(cpu_cores=12, gpu_mhz=1300.5)"


@pytest.mark.parametrize("text", ["gpu_mhz", "gpu_mhz=fast", "=5", "1300", "gpu_mhz=1300=2"])
def test_text_that_is_no_mode_is_refused(text):
    with pytest.raises(ValueError, match="is not KNOB=NUMBER"):
        PowerMode.parse(text)


def test_a_mode_needs_knobs_and_finite_numbers():
    for text in ("", " , "):
        with pytest.raises(ValueError, match="at least one knob"):
            PowerMode.parse(text)
    for bad in (NAN, math.inf):
        with pytest.raises(ValueError, match="give a finite number"):
            PowerMode(gpu_mhz=bad)


def test_replacing_changes_a_copy_and_knows_the_knobs():
    assert MODE.replace(gpu_mhz=624) == PowerMode(cpu_cores=12, gpu_mhz=624)
    assert MODE["gpu_mhz"] == 1300.5
    with pytest.raises(ValueError, match="no knob 'gpu_hz': it has cpu_cores, gpu_mhz"):
        MODE.replace(gpu_hz=1)


# Profiles


def test_the_energy_of_a_profile_is_power_by_time():
    assert PROFILE.energy_j == 0.1
    assert math.isnan(dataclasses.replace(PROFILE, power_w=NAN).energy_j)


def test_profiles_that_lack_the_same_are_equal_and_hash_alike():
    first, second = (dataclasses.replace(PROFILE, power_w=float("nan"), extra={"a": "b"}) for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    assert first != dataclasses.replace(first, power_w=1.0)
    assert first != dataclasses.replace(first, extra={})
    assert first != "profile"


def test_a_profile_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PROFILE.time_ms = 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": ""}, "needs a device and a workload"),
        ({"workload": ""}, "needs a device and a workload"),
        ({"time_ms": 0.0}, "time_ms is 0.0: a measurement is a positive number"),
        ({"power_w": -1.0}, "power_w is -1.0"),
        ({"power_w": math.inf}, "power_w is inf"),
        ({"time_rel_se": -0.1}, "time_rel_se is -0.1: give a number from 0"),
        ({"duration_s": math.inf}, "duration_s is inf"),
        ({"time_ms": NAN, "power_w": NAN}, "has neither a time nor a power"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        dataclasses.replace(PROFILE, **change)


# Tables of modes


@given(st.lists(st.builds(lambda b, a: PowerMode(b=b, a=a), VALUES, VALUES), max_size=5))
def test_a_table_of_modes_gives_them_back(modes):
    table = ModeTable.of(modes, None if modes else ("b", "a"))
    assert (list(table), len(table), table.knobs) == (modes, len(modes), ("b", "a"))


def test_columns_of_a_table_are_chosen_by_name():
    table = ModeTable(knobs=("a", "b"), values=[[1, 2], [3, 4]])
    np.testing.assert_array_equal(table.column("b"), [2, 4])
    np.testing.assert_array_equal(table.select(("b", "a")), [[2, 1], [4, 3]])
    np.testing.assert_array_equal(table.take([False, True]).values, [[3, 4]])
    with pytest.raises(MissingKnobError, match="the modes lack the knob c, d: they have a, b"):
        table.select(("a", "c", "d"))


def test_modes_that_lack_a_knob_of_the_table_are_refused():
    with pytest.raises(MissingKnobError, match="lacks the knob 'gpu_mhz'"):
        ModeTable.of([MODE, PowerMode(cpu_cores=1)])
    with pytest.raises(MissingKnobError, match="lacks the knob 'mem_mhz'"):
        ModeTable.of([MODE], ("mem_mhz",))


@pytest.mark.parametrize(
    ("values", "error"), [([1, 2], ValueError), ([[1, 2, 3]], ValueError), ([[1, NAN]], DataError)]
)
def test_a_table_of_the_wrong_shape_or_with_nan_is_refused(values, error):
    with pytest.raises(error):
        ModeTable(knobs=("a", "b"), values=values)


# Tables of profiles


def test_a_table_leaves_flagged_profiles_out():
    table = ProfileTable.of([profile_of(1, time_ms=1), profile_of(2, time_ms=2, flags=("drift",))])
    assert (len(table), table.has_time, table.has_power) == (1, True, False)


def test_a_table_of_nothing_usable_or_of_two_workloads_is_refused():
    for profiles in ([], [profile_of(1, time_ms=1, flags=("drift",))]):
        with pytest.raises(DataError, match="no usable profiles"):
            ProfileTable.of(profiles)
    with pytest.raises(DataError, match="profiles of 2 workloads or devices were mixed"):
        ProfileTable.of([PROFILE, dataclasses.replace(PROFILE, device="Nano")])


@pytest.mark.parametrize("bad", [[0.0], [-1.0], [math.inf]])
def test_a_table_refuses_impossible_measurements(bad):
    modes = ModeTable(knobs=("a",), values=[[1]])
    with pytest.raises(DataError, match="zero, negative or infinite"):
        ProfileTable(device="d", workload="w", modes=modes, time_ms=np.array(bad), power_w=np.array([1.0]))
    with pytest.raises(ValueError, match="for 1 modes"):
        ProfileTable(device="d", workload="w", modes=modes, time_ms=np.ones(2), power_w=np.ones(1))


def test_averaging_keeps_one_row_per_mode_in_order_of_appearance():
    repeats = [profile_of(9, time_ms=2), profile_of(1, power_w=5), profile_of(9, time_ms=4, power_w=7)]
    averaged = ProfileTable.of(repeats).averaged()
    np.testing.assert_array_equal(averaged.modes.column("gpu_mhz"), [9, 1])
    np.testing.assert_array_equal(averaged.time_ms, [3, NAN])
    np.testing.assert_array_equal(averaged.power_w, [7, 5])


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(1, 100)), min_size=1, max_size=20))
def test_averaging_is_the_mean_by_mode_and_changes_nothing_twice(rows):
    table = ProfileTable.of([profile_of(mode, time_ms=time_ms) for mode, time_ms in rows]).averaged()
    expected = {mode: np.mean([t for m, t in rows if m == mode]) for mode, _ in rows}
    np.testing.assert_array_equal(table.modes.column("gpu_mhz"), list(expected))
    np.testing.assert_allclose(table.time_ms, list(expected.values()))
    assert table.averaged() is table


def test_rows_are_taken_by_number_or_mask():
    table = ProfileTable.of([profile_of(i, time_ms=i) for i in (1, 2, 3)])
    np.testing.assert_array_equal(table.take([2, 0]).time_ms, [3, 1])
    np.testing.assert_array_equal(table.take(table.time_ms > 1).modes.column("gpu_mhz"), [2, 3])


# Predictions and limits


def test_a_prediction_multiplies_to_energy_and_adds_independent_errors():
    two = np.array([1.0, 2.0])
    prediction = Prediction(time_ms=two * 1000, power_w=two, time_rel_sd=two * 3, power_rel_sd=two * 4)
    np.testing.assert_array_equal(prediction.energy_j, [1.0, 4.0])
    np.testing.assert_array_equal(prediction.energy_rel_sd, [5.0, 10.0])
    np.testing.assert_array_equal(prediction.take([1]).power_w, [2.0])
    assert len(prediction) == 2


def test_the_arrays_of_a_prediction_have_one_shape():
    with pytest.raises(ValueError, match="must have one shape"):
        Prediction(time_ms=np.ones(2), power_w=np.ones(2), time_rel_sd=np.ones(2), power_rel_sd=np.ones(3))


def test_limits_are_positive_and_those_set_are_active():
    assert Limits(max_power_w=30).active() == {"max_power_w": 30}
    assert Limits().active() == {}
    for bad in (0.0, -1.0, NAN):
        with pytest.raises(ValueError, match="a limit is a positive number"):
            Limits(max_time_ms=bad)


def test_a_mode_that_gives_a_knob_twice_is_refused():
    with pytest.raises(ValueError, match="gives gpu_mhz twice"):
        PowerMode.parse("gpu_mhz=1 cpu_mhz=2 gpu_mhz=3")


class TestRepeats:
    def table(self, **columns) -> ProfileTable:
        modes = ModeTable(knobs=("x",), values=np.array([[1.0], [2.0], [1.0], [1.0]]))
        return ProfileTable(device="d", workload="w", modes=modes, **columns)

    def test_are_counted_and_the_error_of_their_mean_is_how_far_they_lie_apart(self):
        table = self.table(time_ms=[9.0, 5.0, 10.0, 11.0], time_rel_se=[0.001, 0.02, 0.001, 0.001])

        averaged = table.averaged()

        np.testing.assert_array_equal(averaged.repeats, [3, 1])
        np.testing.assert_allclose(averaged.time_ms, [10.0, 5.0])
        # Three values with a standard deviation of 1: their mean is known to 1 / sqrt(3), of 10.
        np.testing.assert_allclose(averaged.se["time_ms"], [0.1 / np.sqrt(3), 0.02])

    def test_that_were_averaged_before_count_for_what_they_are_the_mean_of(self):
        table = dataclasses.replace(self.table(power_w=[10.0, 5.0, 20.0, 20.0]), repeats=[2, 1, 1, 1])

        averaged = table.averaged()

        np.testing.assert_array_equal(averaged.repeats, [4, 1])
        np.testing.assert_allclose(averaged.power_w, [15.0, 5.0])

    def test_without_a_measurement_are_left_out(self):
        averaged = self.table(power_w=[np.nan, np.nan, 20.0, np.nan]).averaged()

        np.testing.assert_array_equal(averaged.power_w, [20.0, np.nan])
        assert np.isnan(averaged.se["power_w"]).all()
