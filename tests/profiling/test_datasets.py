"""A stand-in for a dataset that has the protocol of `tf.data.Dataset`.

Its class is looked at by frameworks, its length may be unknown, and its methods return new datasets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import powertrain as pt
from powertrain.opening import open_device

UNKNOWN = -2
"""What `cardinality` returns where nobody knows how many there are."""


class Dataset:
    """Behaves as `tf.data.Dataset` does when it is gone through eagerly."""

    element_spec = ("TensorSpec", "float32")

    def __init__(self, make: Callable[[], Iterator[Any]], count: int = UNKNOWN) -> None:
        self._make, self._count = make, count

    def __iter__(self) -> Iterator[Any]:
        return self._make()

    def __len__(self) -> int:
        if self._count == UNKNOWN:
            raise TypeError("The dataset length is unknown.")
        return self._count

    def __bool__(self) -> bool:
        return True

    def cardinality(self) -> int:
        return self._count

    def map(self, function: Callable[[Any], Any]) -> Dataset:
        return Dataset(lambda: map(function, self), self._count)

    def batch(self, size: int) -> Dataset:
        def batches() -> Iterator[Any]:
            drawn = list(self)
            return iter([drawn[i : i + size] for i in range(0, len(drawn), size)])

        return Dataset(batches, UNKNOWN if self._count == UNKNOWN else -(-self._count // size))

    def prefetch(self, size: int) -> Dataset:
        del size
        return Dataset(lambda: iter(list(self)), self._count)


@pytest.fixture
def numbers() -> Dataset:
    return Dataset(lambda: iter(range(10)), 10)


def test_it_passes_for_the_dataset(numbers):
    measured = pt.measured(numbers)
    assert isinstance(measured, Dataset)
    assert len(measured) == measured.cardinality() == 10
    assert measured.element_spec == numbers.element_spec
    assert list(measured) == list(measured) == list(range(10))
    assert list(measured.map(lambda value: 2 * value).batch(4).prefetch(1)) == list(
        numbers.map(lambda value: 2 * value).batch(4)
    )


def test_a_length_that_is_unknown_stays_unknown():
    measured = pt.measured(Dataset(lambda: iter(range(3))))
    with pytest.raises(TypeError, match="unknown"):
        len(measured)
    assert measured
    assert measured.cardinality() == UNKNOWN
    assert list(measured) == [0, 1, 2]


def test_it_is_measured_epoch_after_epoch_and_what_is_made_of_it_is_not(numbers):
    board = open_device("sim:orin-nano")
    job = board.job("lstm")
    measured = pt.measured(numbers.batch(2))
    with pt.open_store() as store, pt.measuring(board, "mine", pt.plan(board, 2), store) as profiles:
        for _ in measured.map(len):  # a new dataset, of which nobody asked to measure the loop
            pass
        assert profiles == []
        for _ in range(100):
            for _ in measured:
                job.step()
    assert len(profiles) == 2
