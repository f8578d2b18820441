"""A sweep that is shared out over boards measures every mode, whatever becomes of the boards."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from powertrain.fleet import BOARD, Sweep, usual_shared
from powertrain.planning import order_modes
from powertrain.records import ModeTable, Profile
from powertrain.space import ModeSpace

GRID = ModeSpace.of({"gpu_mhz": [300, 600, 900, 1200], "mem_mhz": [665, 2133, 3199], "cpu_cores": [2, 4, 6]})
MODES = GRID.table()


def profile(mode, board=None):
    extra = {} if board is None else {BOARD: board}
    return Profile(device="Orin", workload="lstm", mode=mode, time_ms=10, power_w=5, extra=extra)


def run(sweep, boards, *, events=()):
    """Let boards take batches in turn and measure them; return who measured what.

    `events` says for each batch whether its board dies in it, and after how many modes.
    """
    for board in boards:
        sweep.add(board)
    alive, log, events, came = list(boards), [], list(events), 0
    idle = 0
    while alive and idle < len(alive):
        board = alive.pop(0)
        batch = sweep.take(board)
        if batch is None:
            alive.append(board)
            idle += 1
            continue
        idle = 0
        after = events.pop(0) if events else None
        dies = after is not None and after < len(batch.modes)
        for mode in batch.modes[: after if dies else None]:
            sweep.done(board, mode)
            log.append((board, mode))
        if dies:
            sweep.lost(board)
            came += 1
            board = f"new{came}"
            sweep.add(board)
        else:
            sweep.ended(board)
        alive.append(board)
    return log


@given(
    boards=st.integers(1, 5),
    shared=st.integers(0, 6),
    batch=st.integers(1, 9),
    seed=st.integers(0, 3),
    deaths=st.lists(st.none() | st.integers(0, 8), max_size=8),
)
def test_every_mode_is_measured_once_and_shared_ones_by_every_board_that_stays(
    boards, shared, batch, seed, deaths
):
    sweep = Sweep(MODES, shared=shared, batch=batch, seed=seed)
    log = run(sweep, [f"b{i}" for i in range(boards)], events=deaths)

    measured = [mode for _, mode in log]
    own = [mode for mode in measured if mode not in sweep.shared]
    assert {*measured, *sweep.given_up} == set(MODES)
    assert len(own) == len(set(own))
    assert len(log) == len(set(log))
    assert sweep.left == sweep.missing == 0


def test_a_mode_in_which_board_after_board_dies_is_left_out():
    sweep = Sweep(MODES, batch=4)
    killer = sweep_order(MODES)[5]
    names = iter(range(100))
    board = f"b{next(names)}"
    sweep.add(board)
    while (batch := sweep.take(board)) is not None:
        for mode in batch.modes:
            if mode == killer:
                sweep.lost(board)
                board = f"b{next(names)}"
                sweep.add(board)
                break
            sweep.done(board, mode)
        else:
            sweep.ended(board)

    assert sweep.given_up == [killer]
    assert sweep.missing == 0


def sweep_order(modes):
    return list(modes.take(order_modes(modes)))


def test_one_board_measures_in_the_order_that_saves_settling():
    assert [mode for _, mode in run(Sweep(MODES, batch=5), ["b"])] == sweep_order(MODES)


def test_boards_walk_stretches_of_their_own():
    log = run(Sweep(MODES, batch=3), ["a", "b", "c"])
    changes = {
        board: sum(m1["mem_mhz"] != m2["mem_mhz"] for m1, m2 in pairs([m for b, m in log if b == board]))
        for board in "abc"
    }

    assert all(len([1 for b, _ in log if b == board]) >= 8 for board in "abc")
    assert max(changes.values()) <= 3


def pairs(items):
    return list(itertools.pairwise(items))


def test_what_was_measured_before_is_not_measured_again():
    sweep = Sweep(MODES, shared=2)
    first, second = sweep.shared
    before = [*[profile(mode) for mode in MODES if mode != second][:30], profile(first, "a")]
    known = {p.mode for p in before}

    assert sweep.recall(before) == len(known)
    log = run(sweep, ["a", "b"])
    assert {mode for _, mode in log} - {first, second} == set(MODES) - known - {second}
    assert [board for board, mode in log if mode == first] == ["b"]
    assert sorted(board for board, mode in log if mode == second) == ["a", "b"]


def test_a_board_that_comes_back_measures_no_shared_mode_twice():
    sweep = Sweep(MODES, shared=3, batch=3)
    sweep.add("a")
    batch = sweep.take("a")
    for mode in batch.modes[:2]:
        sweep.done("a", mode)
    assert batch.shared
    assert sweep.lost("a", died=False) == 1
    sweep.add("a")

    assert sweep.take("a").modes == batch.modes[2:]


@pytest.mark.parametrize(
    ("modes", "boards", "shared"), [(100, 1, 0), (0, 3, 0), (15, 2, 3), (15, 4, 1), (500, 4, 6)]
)
def test_shared_modes_add_a_fifth_at_most(modes, boards, shared):
    assert usual_shared(modes, boards) == shared


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"shared": -1}, {"shared": 1000}])
def test_a_sweep_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="batches of"):
        Sweep(MODES, **wrong)


def test_modes_may_keep_their_order():
    some = ModeTable.of(list(MODES)[::-5])

    assert [mode for _, mode in run(Sweep(some, ordered=False), ["b"])] == list(some)
