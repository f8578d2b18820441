from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powertrain.errors import LargeSpaceError, MissingKnobError, UnknownNameError
from powertrain.records import ModeTable, PowerMode
from powertrain.space import Knob, ModeSpace

ORIN_SHAPE = {"cpu_cores": range(1, 13), "cpu_mhz": range(29), "gpu_mhz": range(13), "mem_mhz": range(4)}
VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5)
SPACES = st.dictionaries(st.sampled_from("abcd"), VALUES, min_size=1).map(ModeSpace.of)


@pytest.fixture
def space():
    return ModeSpace.of({"cpu_cores": [2, 4], "gpu_mhz": [306, 612, 1300.5]})


# Knobs


def test_the_values_of_a_knob_are_sorted_and_distinct():
    assert Knob(name="a", values=(3, 1, 2, 1)).values == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("values", [(), (1, math.nan), (math.inf,)])
def test_a_knob_without_finite_values_is_refused(values):
    with pytest.raises(ValueError, match="needs at least one finite value"):
        Knob(name="a", values=values)


def test_a_value_is_found_despite_rounding_and_the_nearest_is_named_otherwise():
    knob = Knob(name="gpu_mhz", values=(306, 1300.5))
    assert knob.index(1300.5 * (1 + 1e-12)) == 1
    with pytest.raises(ValueError, match=r"gpu_mhz has no value 1300: the nearest is 1300\.5"):
        knob.index(1300)
    with pytest.raises(ValueError, match="no value nan"):
        knob.index(math.nan)


# Modes and numbers


def test_the_last_knob_counts_fastest(space):
    assert [tuple(mode.values()) for mode in space][:4] == [(2, 306), (2, 612), (2, 1300.5), (4, 306)]
    assert space[-1] == PowerMode(cpu_cores=4, gpu_mhz=1300.5)
    assert (len(space), space.shape, space.names) == (6, (2, 3), ("cpu_cores", "gpu_mhz"))


@given(SPACES, st.data())
def test_a_mode_and_its_number_lead_to_each_other(space, data):
    i = data.draw(st.integers(0, len(space) - 1))
    assert space.index(space[i]) == i
    assert space[i] in space
    assert space[i - len(space)] == space[i]


@given(SPACES)
def test_the_table_of_a_space_holds_its_modes_in_order(space):
    table = space.table()
    assert table.knobs == space.names
    assert list(table) == list(space)
    assert ModeSpace.spanned_by(table) == space


def test_a_table_may_hold_some_modes_in_any_order(space):
    assert list(space.table([5, 0, 5])) == [space[5], space[0], space[5]]
    assert len(space.table([])) == 0


def test_numbers_out_of_range_are_refused(space):
    for index in (6, -7):
        with pytest.raises(IndexError):
            space[index]


def test_a_vast_space_costs_nothing():
    vast = ModeSpace.of({name: range(1000) for name in "abcdef"})
    assert len(vast) == 10**18
    assert vast[10**18 - 1] == PowerMode(dict.fromkeys("abcdef", 999))
    assert vast.index(vast[123456789012345678]) == 123456789012345678


BEYOND_64_BITS = ModeSpace.of({f"k{i}": range(10) for i in range(30)})


@given(st.integers(0, 10**30 - 1))
def test_spaces_beyond_64_bits_are_counted_and_indexed(i):
    assert BEYOND_64_BITS.size == 10**30
    assert BEYOND_64_BITS.index(BEYOND_64_BITS[i]) == i
    assert list(BEYOND_64_BITS.table([i, -1])) == [BEYOND_64_BITS[i], BEYOND_64_BITS[-1]]
    assert len(BEYOND_64_BITS.table([])) == 0


def test_a_length_that_python_cannot_hold_is_refused_with_what_to_use():
    with pytest.raises(OverflowError, match=r"use space\.size"):
        len(BEYOND_64_BITS)
    assert BEYOND_64_BITS


def test_a_space_too_large_to_list_says_how_to_take_some_of_its_modes():
    with pytest.raises(LargeSpaceError, match=r"1,000,000,000,000 modes is too large .* --sample N"):
        ModeSpace.of({name: range(1000) for name in "abcd"}).table()


@pytest.mark.parametrize("space", [BEYOND_64_BITS, ModeSpace.of({"a": [1, 2], "b": [3]})])
def test_a_table_of_numbers_out_of_range_is_refused(space):
    for index in (space.size, -space.size - 1):
        with pytest.raises(IndexError, match="was asked for"):
            space.table([index])


@given(SPACES)
def test_the_ends_of_a_space_are_its_first_and_its_last_mode(space):
    assert list(space.ends()) == [space[0], space[-1]]


def test_modes_are_found_by_their_position_along_each_knob(space):
    assert list(space.at(np.array([[0, 2], [1, 0]]))) == [
        PowerMode(cpu_cores=2, gpu_mhz=1300.5),
        PowerMode(cpu_cores=4, gpu_mhz=306),
    ]


def test_a_space_of_other_knobs_does_not_hold_a_mode(space):
    assert {"gpu_mhz": 306} not in space
    assert {"cpu_cores": 3, "gpu_mhz": 306} not in space
    assert 7 not in space
    with pytest.raises(MissingKnobError, match="the mode has gpu_mhz; the space has cpu_cores, gpu_mhz"):
        space.index({"gpu_mhz": 306})


@pytest.mark.parametrize("knobs", [(), (Knob(name="a", values=(1,)), Knob(name="a", values=(2,)))])
def test_a_space_needs_distinct_knobs(knobs):
    with pytest.raises(ValueError, match="needs distinct knobs"):
        ModeSpace(knobs)


def test_the_grid_around_some_modes_is_the_smallest():
    modes = ModeTable(knobs=("a", "b"), values=np.array([[1.0, 5.0], [2.0, 5.0], [1.0, 5.0]]))
    assert ModeSpace.spanned_by(modes) == ModeSpace.of({"a": [1, 2], "b": [5]})


# Parts of a space


def test_thinning_gives_the_grid_of_the_paper():
    orin = ModeSpace.of(ORIN_SHAPE)
    assert len(orin) == 18_096
    assert len(orin.thinned(cpu_cores=2)) == 9_048
    assert orin.thinned(cpu_cores=2, cpu_mhz=2).shape == (6, 15, 13, 4)


@given(SPACES, st.integers(1, 7))
def test_thinning_keeps_the_largest_value_and_adds_none(space, every):
    thin = space.thinned(**dict.fromkeys(space.names, every))
    for before, after in zip(space.knobs, thin.knobs, strict=True):
        assert after.values[-1] == before.values[-1]
        assert set(after.values) <= set(before.values)
        assert len(after.values) == math.ceil(len(before.values) / every)


@given(SPACES, st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)).map(sorted))
def test_limiting_keeps_just_the_values_within(space, bounds):
    knob = space.knobs[0]
    within = [value for value in knob.values if bounds[0] <= value <= bounds[1]]
    if within:
        assert space.limited(**{knob.name: tuple(bounds)}).knob(knob.name).values == tuple(within)
    else:
        with pytest.raises(ValueError, match=f"no value of {knob.name} lies in"):
            space.limited(**{knob.name: tuple(bounds)})


def test_unknown_knobs_and_steps_below_one_are_refused(space):
    with pytest.raises(UnknownNameError, match="unknown knob 'gpu_hz': did you mean 'gpu_mhz'"):
        space.thinned(gpu_hz=2)
    with pytest.raises(UnknownNameError, match="unknown knob"):
        space.limited(x=(0, 1))
    with pytest.raises(ValueError, match="gpu_mhz=0: thin by 1 or more"):
        space.thinned(gpu_mhz=0)


@pytest.mark.parametrize(("value", "nearest"), [(1e99, 3), (-1e99, 1), (2.2, 2)])
def test_a_value_that_a_knob_lacks_is_told_its_nearest(value, nearest):
    with pytest.raises(ValueError, match=f"the nearest is {nearest}$"):
        Knob(name="k", values=(1.0, 2.0, 3.0)).index(value)
