"""Several processes of one training on one board, without starting any."""

from __future__ import annotations

import os

import pytest

import powertrain as pt
from powertrain.errors import WorkloadError
from powertrain.opening import open_device
from powertrain.profiling import AllMeasured, FollowingSession, Orders
from powertrain.workflow import Program, _ranks, follow_script, rank_here
from powertrain.workflow._ranks import OrdersFile


@pytest.mark.parametrize(
    ("environ", "leads", "follows"),
    [
        ({}, False, False),
        ({"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "WORLD_SIZE": "1"}, False, False),
        ({"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"}, True, False),
        ({"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"}, False, True),
    ],
)
def test_the_first_process_of_several_measures_and_the_others_follow(environ, leads, follows):
    rank = rank_here(environ)
    assert (rank.leads, rank.follows) == (leads, follows)


def test_a_training_over_several_boards_is_refused():
    with pytest.raises(WorkloadError, match="one board at a time"):
        rank_here({"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4"})


def test_orders_are_what_was_given_last(tmp_path):
    leader, follower = OrdersFile(tmp_path), OrdersFile(tmp_path)
    assert follower.read() == Orders()
    leader.give()
    assert follower.wait() == Orders()
    leader.give(cpus=[0, 1])
    leader.give(ends_at=7)
    assert follower.read() == Orders(cpus=(0, 1), ends_at=7)


def test_orders_of_trainings_that_have_ended_are_removed_and_those_of_others_stay(tmp_path):
    uid, parent = os.getuid(), os.getppid()
    old = tmp_path / f"{_ranks.PREFIX}{uid}-{parent}-12-0"
    other = tmp_path / f"{_ranks.PREFIX}{uid}-{os.getpid()}-{_ranks._started(os.getpid())}-0"
    for path in (old, other):
        path.write_text("{}")
    OrdersFile(tmp_path).give()
    assert not old.exists()
    assert other.exists()


def test_a_follower_goes_where_it_is_told_and_ends_where_it_is_told():
    orders, taken, seen = [Orders()], [], []
    session = FollowingSession(lambda: orders[0], evaluates=lambda: False, run_on=taken.append)
    with session.active(), pytest.raises(AllMeasured):  # noqa: PT012
        for batch in pt.measured(range(100)):
            seen.append(batch)
            orders[0] = Orders(cpus=(0, 1)) if batch < 10 else Orders(cpus=(1,), ends_at=20)
    assert taken == [(0, 1), (1,), None]
    assert seen == list(range(19))  # the twentieth report is that of the draw after it


@pytest.fixture
def follower(monkeypatch, tmp_path):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(_ranks.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "train.py").write_text("import pathlib\npathlib.Path(__file__ + '.ran').touch()")
    return tmp_path / "train.py"


def test_a_follower_trains_nothing_where_nothing_is_left_to_measure(follower):
    OrdersFile().give(ends_at=0)
    follow_script(Program(target=str(follower)))
    assert not follower.with_name("train.py.ran").exists()
    OrdersFile().give(ends_at=None)
    follow_script(Program(target=str(follower)))
    assert follower.with_name("train.py.ran").exists()


def test_a_follower_that_is_told_nothing_says_so(follower, monkeypatch):
    monkeypatch.setattr(_ranks, "PATIENCE_S", 0.1)
    with pytest.raises(WorkloadError, match="LOCAL_RANK 0 did not begin"):
        follow_script(Program(target=str(follower)))


def test_measuring_in_a_follower_measures_nothing_and_trains_all(follower, tmp_path):
    board = open_device("sim:orin-nano")
    before = board.mode
    with (
        pt.open_store(tmp_path / "p.db") as store,
        pt.measuring(board, "mine", board.space.table([5]), store) as found,
    ):
        assert [board.mode for _ in pt.measured(range(50))] == [before] * 50
    assert found == []
