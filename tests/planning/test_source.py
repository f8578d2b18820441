"""What says which mode comes next."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powertrain.opening import open_device
from powertrain.planning import FixedModes, as_source, order_modes
from powertrain.records import Profile

BOARD = open_device("sim:orin-nano")


def profile(mode, **others) -> Profile:
    return Profile(device="x", workload="w", mode=mode, time_ms=1.0, **others)


def asked(source):
    found = []
    while (mode := source.ask()) is not None:
        found.append(mode)
        source.tell(profile(mode))
    return found


def test_a_table_is_asked_for_in_the_order_that_was_wanted():
    modes = BOARD.space.table([900, 3, 1700, 40])
    assert asked(FixedModes(modes, order="given")) == list(modes)
    assert asked(FixedModes(modes, seed=2)) == list(modes.take(order_modes(modes, seed=2)))


@given(
    rows=st.lists(st.integers(0, 30), max_size=12), known=st.sets(st.integers(0, 30)), order=st.integers(0, 1)
)
def test_what_is_known_is_not_asked_for_and_everything_else_is_as_often_as_it_was_given(rows, known, order):
    source = FixedModes(BOARD.space.table(rows), order=("cheap", "given")[order], seed=3)
    assert source.left == len(rows)
    found = source.recall([profile(BOARD.space[row]) for row in known])
    assert found == sum(row in known for row in rows)
    assert source.left == len(rows) - found
    assert Counter(asked(source)) == Counter(BOARD.space[row] for row in rows if row not in known)
    assert source.left == 0
    assert source.ask() is None


def test_several_boards_may_ask_before_the_first_of_them_tells():
    source = FixedModes(BOARD.space.table([1, 2]), order="given")
    assert [source.ask(), source.ask(), source.ask()] == [BOARD.space[1], BOARD.space[2], None]


def test_a_source_is_taken_as_it_is():
    source = FixedModes(BOARD.space.table([1]))
    assert as_source(source) is source


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match="use 'cheap' or 'given'"):
        FixedModes(BOARD.space.table([1]), order="best")
