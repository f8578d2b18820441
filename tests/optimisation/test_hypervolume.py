"""The area that a front dominates, and how much a new point is expected to add to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from powertrain.optimisation import hypervolume, hypervolume_gain

REFERENCE = np.array([6.0, 5.0])
places = hnp.arrays(np.int64, st.tuples(st.integers(0, 8), st.just(2)), elements=st.integers(0, 7))


@given(places)
def test_the_area_is_that_of_the_cells_with_a_point_below_and_left_of_them(points):
    cells = np.stack(np.meshgrid(np.arange(6), np.arange(5), indexing="ij"), axis=-1).reshape(-1, 1, 2)
    dominated = (points[None] <= cells).all(axis=2).any(axis=1).sum() if len(points) else 0
    assert hypervolume(points.astype(float), REFERENCE) == dominated


@given(places, st.tuples(st.integers(0, 7), st.integers(0, 7)))
def test_a_point_that_is_certain_adds_what_it_dominates_alone(points, new):
    points, new = points.astype(float), np.array([new], dtype=float)
    added = hypervolume(np.vstack([points, new]), REFERENCE) - hypervolume(points, REFERENCE)
    gain = hypervolume_gain(points, REFERENCE, new, np.full((1, 2), 1e-9))
    assert gain[0] == pytest.approx(added, abs=1e-6)


def test_what_a_point_is_expected_to_add_is_the_mean_over_where_it_may_be():
    rng = np.random.default_rng(0)
    points, reference = rng.normal(size=(5, 2)), np.array([1.5, 1.2])
    mean, sd = (
        np.array([[0.2, -0.4], [-1.0, 0.5], [1.0, 1.0]]),
        np.array([[0.5, 0.3], [0.2, 0.9], [1.0, 1.0]]),
    )
    gains = hypervolume_gain(points, reference, mean, sd)
    for gain, centre, spread in zip(gains, mean, sd, strict=True):
        drawn = centre + spread * rng.standard_normal((2000, 2))
        areas = [hypervolume(np.vstack([points, one]), reference) for one in drawn]
        added = np.array(areas) - hypervolume(points, reference)
        assert gain == pytest.approx(added.mean(), abs=4 * added.std() / 2000**0.5)
