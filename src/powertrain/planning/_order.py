"""The order in which modes are measured: few costly changes, and small steps in power."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from powertrain.records import FloatArray, ModeTable
from powertrain.space import SOFTWARE_KNOBS

__all__ = ["order_modes"]

CHANGE_COST = {
    **dict.fromkeys(SOFTWARE_KNOBS, 8.0),  # the training is set up anew
    "mem_mhz": 2.0,  # memory takes seconds to settle where other clocks take less than one
}
"""How much a change of a knob counts beside its size; 0 for knobs that are not listed."""
MOST_TO_TOUR = 2_000
"""Modes up to which the nearest is looked for; more are walked through in rows, there and back."""


def order_modes(modes: ModeTable, *, seed: int = 0) -> npt.NDArray[np.int64]:
    """Return an order to measure modes in that saves settling, `(n,)` rows of `modes`.

    The order starts at a mode drawn by the seed and always goes on to the nearest mode that is left. Knobs
    that cost much to change, because the training is set up anew or the board settles slowly, then change
    rarely. The others change by small steps, and so does power. Temperature and slow sensors remember the
    mode before, and a small step leaves little to remember. Another seed starts elsewhere and takes another
    way, so that a drift over one run cannot pass for the effect of a knob in all of them.
    """
    if len(modes) < 3:
        return np.arange(len(modes))
    rng = np.random.default_rng(seed)
    places, costs = _places(modes, rng)
    if len(modes) > MOST_TO_TOUR:
        return _serpentine(places, costs)
    return _nearest_first(places, costs, int(rng.integers(len(modes))))


def _places(modes: ModeTable, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return the ranks of each knob, 0 to 1, reversed by chance, and what changing the knob costs."""
    places, costs = np.zeros(modes.values.shape), np.zeros(len(modes.knobs))
    for j, knob in enumerate(modes.knobs):
        levels, rank = np.unique(modes.values[:, j], return_inverse=True)
        places[:, j] = rank / max(len(levels) - 1, 1)
        # A walk in rows always starts in a corner: reversed knobs are how its seeds differ.
        if rng.random() < 0.5:
            places[:, j] = 1 - places[:, j]
        costs[j] = CHANGE_COST.get(knob, 0.0)
    return places, costs


def _nearest_first(places: FloatArray, costs: FloatArray, start: int) -> npt.NDArray[np.int64]:
    left = np.ones(len(places), dtype=bool)
    order = [start]
    left[start] = False
    while len(order) < len(places):
        # A change of a costly knob counts by itself, and any knob by how far it moves.
        step = np.abs(places - places[order[-1]])
        distance = (step + costs * (step > 0)).sum(axis=1)
        distance[~left] = np.inf
        order.append(int(np.argmin(distance)))
        left[order[-1]] = False
    return np.array(order, dtype=np.int64)


def _serpentine(places: FloatArray, costs: FloatArray) -> npt.NDArray[np.int64]:
    """Walk a grid in rows, each opposite to the one before, so that costly knobs change least often."""
    by_cost = np.argsort(-costs, kind="stable")
    walked: list[npt.NDArray[np.int64]] = []
    backwards = np.zeros(len(places), dtype=bool)
    for j in by_cost:
        levels, rank = np.unique(places[:, j], return_inverse=True)
        # A reflected code: every other row is walked backwards. Which rows follows from the parity of their
        # number; the number itself grows beyond 64 bits with many knobs.
        rank = np.where(backwards, len(levels) - 1 - rank, rank)
        walked.append(rank)
        backwards = (backwards & (len(levels) % 2 == 1)) ^ (rank % 2 == 1)
    return np.lexsort(walked[::-1])
