"""Which modes of a space to profile, however many it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from powertrain.errors import TooFewProfilesError
from powertrain.planning._design import Predicts, Sampling, check_request, plan_modes
from powertrain.records import ModeTable
from powertrain.space import ModeSpace

__all__ = ["Exist", "plan_space"]

Exist = Callable[[ModeTable], npt.NDArray[np.bool_]]
"""Tells which of some modes a device has, `(n_modes,)`."""

LISTED = 20_000
"""Modes up to which a space is listed in full."""
CANDIDATES = 2_000
"""Modes that are drawn from a larger one to choose from: enough for any place to have one nearby."""
DRAWS, SMALLEST_DRAW = 64, 1024
"""How often, and how many modes at a time, are drawn at random until enough distinct ones exist."""


def plan_space(
    space: ModeSpace,
    n: int,
    *,
    sampling: Sampling = "spread",
    seed: int = 0,
    exist: Exist | None = None,
    references: Sequence[Predicts] = (),
) -> ModeTable:
    """Choose `n` modes of a space to profile, in the order to measure them; a large space is never listed.

    The modes are chosen as by `plan_modes`, in a large space among 2,000 drawn ones, or twice `n` if that is
    more.

    Args:
        space: The grid to choose from.
        n: How many.
        sampling: As for `plan_modes`.
        seed: Names the design.
        references: As for `plan_modes`.
        exist: Tells which of some modes the device has, `(n_modes,)` booleans; all of them by default.

    Raises:
        TooFewProfilesError: There are fewer than `n` modes, or too few that exist were found.
        ValueError: As for `plan_modes`.
    """
    check_request(n, space.size, sampling)
    # Where most of the modes are wanted, chance would find the last ones only after many draws.
    if space.size <= LISTED or 2 * n > space.size:
        modes = space.table()
        there = modes if exist is None else modes.take(exist(modes))
    else:
        most = n if sampling == "random" else max(CANDIDATES, 2 * n)
        there = _drawn(space, n, most, np.random.default_rng(seed), exist)
    return there.take(plan_modes(there, n, sampling=sampling, seed=seed, references=references))


def _drawn(
    space: ModeSpace, least: int, most: int, rng: np.random.Generator, exist: Exist | None
) -> ModeTable:
    """Draw distinct modes that exist until there are `most`; fewer will do, but not fewer than `least`."""
    found = dict[tuple[float, ...], None]()
    for _ in range(DRAWS):
        # Knob by knob, because the number of a mode may be larger than a generator can draw.
        drawn = rng.integers(np.array(space.shape), size=(max(most, SMALLEST_DRAW), len(space.knobs)))
        modes = space.at(drawn)
        there = modes if exist is None else modes.take(exist(modes))
        found.update(dict.fromkeys(map(tuple, there.values.tolist())))
        if len(found) >= most:
            break
    if len(found) < least:
        raise TooFewProfilesError(
            f"{least} modes were asked for, and {len(found)} that exist were found among {space.size:,}: "
            "ask for fewer"
        )
    return ModeTable(knobs=space.names, values=np.array(list(found)[:most]))
