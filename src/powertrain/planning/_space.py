"""Which modes of a space to profile, however many it has."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from powertrain.errors import TooFewProfilesError
from powertrain.planning._design import MANY_KNOBS, Sampling, check_request, plan_modes
from powertrain.records import ModeTable
from powertrain.space import ModeSpace

__all__ = ["Exist", "plan_space"]

Exist = Callable[[ModeTable], npt.NDArray[np.bool_]]
"""Tells which of some modes a device has, `(n_modes,)`."""

CANDIDATES = 20_000
"""Modes up to which a space is listed, and which are drawn from a larger one with one or two knobs.

They are enough for the largest gaps to be found.
"""
SOBOL_ROUNDS = 4
"""How often a Sobol sequence is continued when several of its points lead to one mode."""
DRAWS, SMALLEST_DRAW = 64, 1024
"""How often, and how many modes at a time, are drawn at random until enough distinct ones exist."""


def plan_space(
    space: ModeSpace, n: int, *, sampling: Sampling = "spread", seed: int = 0, exist: Exist | None = None
) -> ModeTable:
    """Choose `n` modes of a space to profile, in the order to measure them; a large space is never listed.

    The modes are chosen as by `plan_modes`. In a large space, points of the Sobol sequence are taken directly
    to the grid, and with one or two knobs the farthest mode is looked for among 20,000 drawn ones.

    Args:
        space: The grid to choose from.
        n: How many.
        sampling: As for `plan_modes`.
        seed: Names the design.
        exist: Tells which of some modes the device has, `(n_modes,)` booleans; all of them by default.

    Raises:
        TooFewProfilesError: There are fewer than `n` modes, or too few that exist were found.
        ValueError: As for `plan_modes`.
    """
    check_request(n, space.size, sampling)
    # Where most of the modes are wanted, chance would find the last ones only after many draws.
    if space.size <= CANDIDATES or 2 * n > space.size:
        return _chosen(space.table(), n, sampling=sampling, seed=seed, exist=exist)
    varying = sum(len(knob.values) > 1 for knob in space.knobs)
    rng = np.random.default_rng(seed)
    if sampling == "spread" and varying < MANY_KNOBS:
        drawn = _drawn(space, max(CANDIDATES, 2 * n), rng)
        modes = ModeTable(knobs=space.names, values=np.vstack([space.ends().values, drawn.values]))
        distinct = ModeTable(knobs=space.names, values=np.unique(modes.values, axis=0))
        return _chosen(distinct, n, sampling=sampling, seed=seed, exist=exist)
    points = _sobol_points(space, n, rng) if sampling == "spread" else iter(())
    return _first_distinct(space, n, points, rng, exist)


def _chosen(modes: ModeTable, n: int, *, sampling: Sampling, seed: int, exist: Exist | None) -> ModeTable:
    there = modes if exist is None else modes.take(exist(modes))
    return there.take(plan_modes(there, n, sampling=sampling, seed=seed))


def _drawn(space: ModeSpace, n: int, rng: np.random.Generator) -> ModeTable:
    # Knob by knob, because the number of a mode may be larger than a generator can draw.
    return space.at(rng.integers(np.array(space.shape), size=(n, len(space.knobs))))


def _sobol_points(space: ModeSpace, n: int, rng: np.random.Generator) -> Iterator[ModeTable]:
    """Yield modes at points of a scrambled Sobol sequence (Owen, 1998): `n` rounded up, then as many again.

    To cut a knob's range into as many equal parts as it has values is to take each point to the nearest mode
    in ranks.
    """
    from scipy.stats import qmc  # takes longer to import than the rest of this package

    shape = np.array(space.shape)
    sequence = qmc.Sobol(len(shape), scramble=True, seed=rng)
    for _ in range(SOBOL_ROUNDS):
        points = sequence.random(1 << max(n - 1, 1).bit_length())
        yield space.at(np.minimum((points * shape).astype(np.int64), shape - 1))


def _first_distinct(
    space: ModeSpace,
    n: int,
    proposals: Iterator[ModeTable],
    rng: np.random.Generator,
    exist: Exist | None,
) -> ModeTable:
    """Return the first `n` distinct modes that exist among the proposed ones, and then among drawn ones.

    A Sobol sequence over many knobs with two values each visits some combinations only very late, so that
    its points alone may not suffice.
    """
    drawn = (_drawn(space, max(n, SMALLEST_DRAW), rng) for _ in range(DRAWS))
    found = dict[tuple[float, ...], None]()
    for modes in itertools.chain(proposals, drawn):
        there = modes if exist is None else modes.take(exist(modes))
        found.update(dict.fromkeys(map(tuple, there.values.tolist())))
        if len(found) >= n:
            return ModeTable(knobs=space.names, values=np.array(list(found)[:n]))
    raise TooFewProfilesError(
        f"{n} modes were asked for, and {len(found)} that exist were found among {space.size:,}: "
        "ask for fewer"
    )
