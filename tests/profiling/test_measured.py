"""The stand-in for a loader: nobody can tell it from the loader, and the training is the same."""

from __future__ import annotations

import contextlib
import copy
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sized

import pytest

import powertrain as pt
from powertrain.opening import open_device
from powertrain.profiling import AllMeasured


class Loader:
    """A loader with all that people ask of one."""

    def __init__(self, batches: int = 5) -> None:
        self.dataset = list(range(2 * batches))
        self.batch_size = 2
        self.epoch = None
        self.passes = 0

    def __len__(self) -> int:
        return len(self.dataset) // self.batch_size

    def __iter__(self):
        self.passes += 1
        for first in range(0, len(self.dataset), self.batch_size):
            yield self.dataset[first : first + self.batch_size]

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class Endless:
    """A loader without length."""

    def __iter__(self):
        while True:
            yield 1


@pytest.fixture
def store(tmp_path):
    with pt.open_store(tmp_path / "p.db") as store:
        yield store


@pytest.fixture
def board():
    return open_device("sim:orin-agx?off=noise")


def test_each_loop_is_a_fresh_epoch():
    loader = pt.measured(Loader())
    epochs = [list(loader) for _ in range(50)]
    assert all(epoch == list(Loader()) for epoch in epochs)


def test_each_loop_is_a_fresh_epoch_while_measuring_too(board, store):
    loader = pt.measured(Loader())
    with pt.measuring(board, "mine", board.space.table([9_000]), store):
        epochs = [list(loader) for _ in range(50)]
    assert all(epoch == list(Loader()) for epoch in epochs)


def test_a_script_that_wraps_its_loader_before_the_epochs_trains_all_of_its_steps(tmp_path):
    (tmp_path / "train.py").write_text(
        "import powertrain as pt\n"
        "loader = pt.measured([1.0] * 63)\n"
        "print(sum(1 for epoch in range(50) for batch in loader))\n"
    )
    ran = subprocess.run(
        [sys.executable, tmp_path / "train.py"], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "3150\n"


def test_it_passes_for_the_loader():
    loader = Loader()
    stand_in = pt.measured(loader)
    assert isinstance(stand_in, Loader)
    assert isinstance(stand_in, Sized)
    assert not isinstance(stand_in, Iterator)
    assert len(stand_in) == len(loader) == 5
    assert stand_in.dataset is loader.dataset
    assert (stand_in.batch_size, bool(stand_in)) == (2, True)
    assert vars(stand_in) is vars(loader)
    assert set(dir(loader)) <= set(dir(stand_in))
    stand_in.set_epoch(7)
    stand_in.batch_size = 5
    stand_in.sampler = "mine"
    assert (loader.epoch, loader.batch_size, loader.sampler) == (7, 5, "mine")
    del stand_in.sampler
    assert not hasattr(loader, "sampler")
    with pytest.raises(AttributeError, match="'Loader' object has no attribute 'nothing'"):
        stand_in.nothing  # noqa: B018
    assert "Loader" in repr(stand_in)


def test_a_loader_without_length_has_none():
    stand_in = pt.measured(Endless())
    assert not isinstance(stand_in, Sized)
    with pytest.raises(TypeError, match=r"has no len\(\)"):
        len(stand_in)
    assert bool(stand_in)


def test_a_list_stays_a_list():
    stand_in = pt.measured([3, 4, 5])
    assert (stand_in[1], 4 in stand_in, len(stand_in), list(reversed(stand_in))) == (4, True, 3, [5, 4, 3])
    stand_in[0] = 9
    assert list(stand_in) == [9, 4, 5]
    assert not pt.measured([])


def test_a_generator_stays_one_shot(board, store):
    def batches():
        yield from "abcdef"

    stand_in = pt.measured(batches())
    assert isinstance(stand_in, Iterator)
    assert next(stand_in) == "a"
    assert [batch for batch, _ in zip(stand_in, range(2), strict=False)] == ["b", "c"]
    with pt.measuring(board, "mine", board.space.table([1]), store):
        assert list(stand_in) == ["e", "f"]  # zip had drawn one more
        assert next(stand_in, None) is None
    assert list(stand_in) == []


def test_without_a_profiler_the_loop_is_the_loop_over_the_loader_itself():
    batches = [1, 2, 3]
    assert type(iter(pt.measured(batches))) is type(iter(batches))
    generator = (batch for batch in batches)
    assert iter(pt.measured(generator)) is generator


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_stands_for_a_copy(copied, board, store):
    original = pt.measured(Loader(400), every=2)
    other = copied(original)
    other.batch_size = 4
    assert (original.batch_size, other.batch_size) == (2, 4)
    assert next(iter(other)) == [0, 1, 2, 3]
    job = board.job("lstm")
    with pt.measuring(board, "mine", board.space.table([9_000]), store) as found:
        for _ in other:
            job.step()
    # Two of the loader's minibatches make a step.
    assert found[0].time_ms == pytest.approx(
        2 * board.truth("lstm", board.space.table([9_000])).time_ms[0], rel=0.02
    )


def test_a_stand_in_of_a_stand_in_reports_each_minibatch_once(board, store):
    job, modes = board.job("lstm"), board.space.table([9_000])
    with pt.measuring(board, "mine", modes, store) as found:
        for _ in pt.measured(pt.measured([0] * 400)):
            job.step()
    assert found[0].time_ms == pytest.approx(board.truth("lstm", modes).time_ms[0], rel=0.02)


def test_what_cannot_be_iterated_over_is_refused():
    with pytest.raises(TypeError, match="iterable of minibatches, and was given int"):
        pt.measured(5)  # type: ignore[type-var]
    with pytest.raises(ValueError, match="every=0"):
        pt.measured([1], every=0)
    with pytest.raises(ValueError, match="every=0"):
        pt.step(every=0)


def trained_ms(found, board):
    (profile,) = found
    assert profile.flags == ()
    return profile.time_ms / board.truth("lstm", board.space.table([9_000])).time_ms[0]


def test_of_nested_loops_the_inner_one_is_measured(board, store):
    job, modes = board.job("lstm"), board.space.table([9_000])
    with pt.measuring(board, "mine", modes, store) as found:
        for _ in pt.measured(range(10)):  # epochs
            for _ in pt.measured(range(60)):
                job.step()
    assert trained_ms(found, board) == pytest.approx(1, rel=0.02)


def test_of_loaders_in_step_the_first_is_measured(board, store):
    job, modes = board.job("lstm"), board.space.table([9_000])
    with pt.measuring(board, "mine", modes, store) as found:
        for _ in zip(pt.measured(range(400)), pt.measured(range(400)), strict=True):
            job.step()
    assert trained_ms(found, board) == pytest.approx(1, rel=0.02)


def test_a_loop_around_a_loop_over_the_same_minibatches_reports_each_once(board, store):
    job, modes = board.job("lstm"), board.space.table([9_000])

    def with_a_bar(batches):
        yield from batches

    with pt.measuring(board, "mine", modes, store) as found:
        for _ in pt.measured(with_a_bar(pt.measured(range(400)))):
            job.step()
    assert trained_ms(found, board) == pytest.approx(1, rel=0.02)


def test_a_look_at_the_first_minibatches_does_not_keep_the_training_from_being_measured(board, store):
    loader, job = pt.measured(range(400)), board.job("lstm")
    with pt.measuring(board, "mine", board.space.table([9_000]), store) as found:
        shapes = iter(loader)
        assert [next(shapes), next(shapes)] == [0, 1]
        for _ in loader:
            job.step()
    assert trained_ms(found, board) == pytest.approx(1, rel=0.02)


def test_where_every_minibatch_is_the_first_of_a_loop_of_its_own_each_counts(board, store):
    loader, job = pt.measured([1, 2, 3]), board.job("lstm")
    with pt.measuring(board, "mine", board.space.table([9_000]), store) as found:
        for _ in range(400):
            assert next(iter(loader)) == 1
            job.step()
    assert trained_ms(found, board) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("left_by", ["break", "exception"])
def test_a_loop_that_is_left_in_the_middle_does_not_count_further(board, store, left_by):
    loader, job = pt.measured(range(1_000)), board.job("lstm")

    def epoch() -> None:
        for batch in loader:
            job.step()
            if batch == 30 and left_by == "break":
                break
            if batch == 30:
                raise ZeroDivisionError

    with pt.measuring(board, "mine", board.space.table([9_000]), store) as found:
        for _ in range(10):
            with contextlib.suppress(ZeroDivisionError):
                epoch()
            board.clock.sleep_s(30.0)
    assert trained_ms(found, board) == pytest.approx(1, rel=0.02)


def test_an_evaluation_in_the_middle_of_a_loop_is_left_out_with_a_pause(board, store):
    job, modes = board.job("lstm"), board.space.table([9_000])
    with pt.measuring(board, "mine", modes, store) as found:
        for batch in pt.measured(range(400)):
            job.step()
            if batch % 20 == 0:
                board.clock.sleep_s(30.0)
                pt.pause()
    assert trained_ms(found, board) == pytest.approx(1, rel=0.02)


def test_a_loop_without_a_loader_reports_its_steps(board, store):
    job, modes = board.job("lstm"), board.space.table([9_000])
    pt.step()  # nothing measures
    pt.pause()
    with pt.measuring(board, "mine", modes, store) as found:
        for _ in range(400):
            job.step()
            pt.step()
    assert trained_ms(found, board) == pytest.approx(1, rel=0.02)


def test_where_gradients_are_accumulated_a_step_is_one_of_the_optimiser(board, store):
    job, modes = board.job("lstm"), board.space.table([9_000])
    with pt.measuring(board, "mine", modes, store) as found:
        for batch in range(2_000):
            job.step()
            if batch % 4 == 3:
                board.clock.sleep_s(0.1)  # the optimiser
            pt.step(every=4)
    truth_ms = board.truth("lstm", modes).time_ms[0]
    assert found[0].flags == ()
    assert found[0].time_ms == pytest.approx(4 * truth_ms + 100, rel=0.03)


def test_a_training_can_be_ended_from_within_any_of_its_loops(board, store):
    job, seen = board.job("lstm"), []
    modes = board.space.table([9_000])
    with pytest.raises(AllMeasured), pt.measuring(board, "mine", modes, store, stop=True):  # noqa: PT012
        for epoch in range(100):
            for _ in pt.measured(Loader(30)):
                job.step()
                seen.append(epoch)
    assert 10 < len(seen) < 2_000
