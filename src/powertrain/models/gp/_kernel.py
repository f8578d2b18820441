"""The Matern-5/2 kernel, for few modes in double precision and for many in single."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from powertrain.records import FloatArray

__all__ = ["correlations", "matern", "single_product", "squared_distances"]

Floats = TypeVar("Floats", FloatArray, npt.NDArray[np.float32])

CHUNK = 1024
"""Modes whose kernel is worked out at a time: what a core's own cache holds."""


def squared_distances(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the `(n_a, n_b)` squared distances between the rows of two tables."""
    left, right = _factors(a, b)
    squares: FloatArray = left @ right
    return np.maximum(squares, 0.0, out=squares)


def correlations(modes: FloatArray, profiled: FloatArray) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yield some modes at a time, with their `(m, n)` Matern-5/2 correlations with `n` profiles.

    This is most of a prediction's time. So the arrays fit a core's cache, the next one is written over the
    last, and they are of single precision: it moves values by less than 1 part in 10,000 and error bars by
    less than 1 in 1,000.
    """
    left, right = _factors(modes, profiled)
    size = min(CHUNK, len(modes)), len(profiled)
    squares, out = np.empty(size), np.empty((2, *size), dtype=np.float32)
    for start in range(0, len(modes), CHUNK):
        some = left[start : start + CHUNK]
        apart = np.matmul(some, right, out=squares[: len(some)])
        # Differences of large numbers, so they are worked out in double precision.
        single = out[0, : len(some)]
        single[:] = apart
        np.maximum(single, 0.0, out=single)
        yield slice(start, start + CHUNK), matern(single, out=out[1, : len(some)])


def single_product(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the product of two tables of finite numbers in single precision.

    The library multiplies whole registers. What lies beyond the last column does not count, but now and then
    it raises a warning.
    """
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        return left @ right


def matern(squares: Floats, out: Floats | None = None) -> Floats:
    """Return the Matern-5/2 correlation at squared distances, which are overwritten."""
    squares *= 5.0
    correlation = np.empty_like(squares) if out is None else out
    np.divide(squares, 3.0, out=correlation)
    np.sqrt(squares, out=squares)
    correlation += squares
    correlation += 1.0
    np.negative(squares, out=squares)
    correlation *= np.exp(squares, out=squares)
    return correlation


def _factors(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return two matrices whose product is what `squared_distances` returns."""
    left = np.column_stack([-2.0 * a, (a * a).sum(1), np.ones(len(a))])
    return left, np.column_stack([b, np.ones(len(b)), (b * b).sum(1)]).T
