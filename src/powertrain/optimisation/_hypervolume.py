"""How much of the plane of two costs a front dominates, and how much more a new point is expected to."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from powertrain.optimisation._pareto import pareto_front
from powertrain.records import FloatArray

__all__ = ["hypervolume", "hypervolume_gain"]


def hypervolume(points: FloatArray, reference: FloatArray) -> float:
    """Return the area that points dominate, up to a reference point; both costs are minimised.

    Args:
        points: `(m, 2)` costs, in any order; those beyond the reference count for nothing.
        reference: `(2,)` the costs from which on nothing counts.
    """
    starts, heights = _stairs(points, reference)
    return float(np.sum(np.diff(starts[1:]) * (reference[1] - heights[1:])))


def hypervolume_gain(
    points: FloatArray, reference: FloatArray, mean: FloatArray, sd: FloatArray
) -> FloatArray:
    """Return by how much each of some uncertain points is expected to raise the hypervolume, `(n,)`.

    Exact where both costs are normal and independent. The area that a point adds is an integral, over the
    first cost from the point on, of how far the point lies below the stairs of the front. Within a step the
    stairs are level, so each step contributes a product of two expectations of one variable each. These are
    the strips of K. Yang et al., "Efficient computation of expected hypervolume improvement using box
    decomposition algorithms", Journal of Global Optimization 75 (2019).

    Args:
        points: `(m, 2)` costs that were measured.
        reference: `(2,)` as for `hypervolume`.
        mean: `(n, 2)` means of the uncertain points.
        sd: `(n, 2)` their standard deviations, above 0.
    """
    starts, heights = _stairs(points, reference)
    # How far below the start of each step the first cost is expected to be; the first step has no start.
    before = _shortfall(starts[1:], mean[:, 0], sd[:, 0])
    widths = np.diff(before, axis=1, prepend=0.0)
    return np.sum(widths * _shortfall(heights, mean[:, 1], sd[:, 1]), axis=1)


def _stairs(points: FloatArray, reference: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return where the steps of a front begin and end, `(s + 1,)`, and how high they are, `(s,)`.

    The first step, before every point, is as high as the reference and begins nowhere.
    """
    inside = points[(points < reference).all(axis=1)] if len(points) else np.empty((0, 2))
    front = inside[pareto_front(inside)]
    starts = np.concatenate([[-np.inf], front[:, 0], reference[:1]])
    return starts, np.concatenate([reference[1:], front[:, 1]])


def _shortfall(levels: FloatArray, mean: FloatArray, sd: FloatArray) -> FloatArray:
    """Return by how much normals are expected to lie below levels, counting nothing above, `(n, levels)`."""
    below = levels[None] - mean[:, None]
    z = below / sd[:, None]
    return below * ndtr(z) + sd[:, None] * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
