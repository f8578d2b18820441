"""Which modes to profile: seeded designs over listed modes."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from powertrain.errors import TooFewProfilesError
from powertrain.records import FloatArray, ModeTable
from powertrain.space import ModeSpace
from powertrain.wording import counted

__all__ = ["MANY_KNOBS", "Sampling", "check_request", "paper_grid", "plan_modes"]

Sampling = Literal["spread", "random"]

MANY_KNOBS = 3
"""Varying knobs from which on a low-discrepancy sequence serves better than the farthest mode."""
LOG_WEIGHT, RANK_WEIGHT = 0.7, 1.0
"""Weights of the two coordinates of a knob; either alone is worse on some data (`benchmarks/ablation.py`)."""
JITTER = 0.3
"""Spread of the log-normal factor on distances: seeds differ, and no two designs are far from the best."""


def plan_modes(
    modes: ModeTable, n: int, *, sampling: Sampling = "spread", seed: int = 0
) -> npt.NDArray[np.int64]:
    """Choose `n` distinct rows of `modes` to profile, as `(n,)` indices in the order to measure them.

    `"random"` draws without replacement, as the paper does. `"spread"` covers the modes evenly, in a way that
    depends on how many knobs vary:

    - With three knobs or more, it takes scrambled points of a Sobol sequence in the ranks of the knobs, each
      to the nearest mode that is left. There are too many corners to visit with few profiles.
    - With one or two knobs, it takes the fastest and the slowest corner, and then always the mode that is
      farthest from all chosen ones. A distance adds up the logarithms of the knobs, which follow the
      physics, and their ranks, which follow the modes over which errors count. The seed jitters the
      distances.
    - With one knob and up to three profiles, it takes the centres of equal parts and leaves nothing to
      chance. The ends are where the curve is least typical, and would weigh too much among so few.

    Args:
        modes: What to choose from.
        n: How many.
        sampling: `"spread"` or `"random"`.
        seed: Names the design.

    Raises:
        TooFewProfilesError: `n` is more than the modes there are.
        ValueError: `n` is less than 1, or the sampling is unknown.
    """
    check_request(n, len(modes), sampling)
    rng = np.random.default_rng(seed)
    if sampling == "random":
        return rng.permutation(len(modes))[:n]
    coordinates, varying = _coordinates(modes.values)
    if varying == 1 and n <= 3:
        order = np.argsort(coordinates.sum(1), kind="stable")
        # Rounded up: the middle of an even number of modes is the faster of the two.
        centres = np.ceil((np.arange(n) + 0.5) / n * len(modes) - 1).astype(np.int64)
        return order[centres]
    if varying >= MANY_KNOBS:
        return _low_discrepancy(modes.values, n, rng)
    return _farthest_first(coordinates, n, rng)


def check_request(n: int, there_are: int, sampling: str) -> None:
    """Refuse a number of modes that cannot be chosen, and an unknown way of choosing; see `plan_modes`."""
    if n < 1:
        raise ValueError(f"{counted(n, 'mode')} asked for: ask for 1 or more")
    if n > there_are:
        raise TooFewProfilesError(f"{n} modes were asked for, but there are {there_are:,}: ask for fewer")
    if sampling not in get_args(Sampling):
        raise ValueError(f"unknown sampling {sampling!r}: use 'spread' or 'random'")


def paper_grid(space: ModeSpace) -> ModeSpace:
    """Return the grid on which the paper profiled its reference: 4,368 modes of an AGX Orin.

    Every other number of cores and every other CPU clock, counted from the largest; of an odd number of
    clocks the smallest is left out, which gives the paper's 6 x 14 x 13 x 4.
    """
    clocks = space.knob("cpu_mhz").values
    thinned = space.thinned(cpu_cores=2, cpu_mhz=2)
    return thinned.limited(cpu_mhz=(clocks[1], clocks[-1])) if len(clocks) % 2 else thinned


def _coordinates(values: FloatArray) -> tuple[FloatArray, int]:
    """Return each varying knob in log (half weight) and rank coordinates, both 0 to 1, and their number."""
    columns: list[FloatArray] = []
    for column in values.T:
        levels, rank = np.unique(column, return_inverse=True)
        if len(levels) == 1:
            continue
        shifted = np.log(levels if levels[0] > 0 else levels - levels[0] + 1)
        columns.append(LOG_WEIGHT * ((shifted - shifted[0]) / (shifted[-1] - shifted[0]))[rank])
        columns.append(RANK_WEIGHT * rank / (len(levels) - 1))
    if not columns:
        return np.zeros((len(values), 1)), 0
    return np.stack(columns, axis=1), len(columns) // 2


def _low_discrepancy(values: FloatArray, n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Take points of a scrambled Sobol sequence (Owen, 1998) to the nearest modes in ranks, each once."""
    from scipy.stats import qmc  # takes longer to import than the rest of this package

    # In the middle of its equal share of 0 to 1, each value is nearest to as many points as any other.
    columns: list[FloatArray] = []
    for column in values.T:
        levels, rank = np.unique(column, return_inverse=True)
        if len(levels) > 1:
            columns.append((rank + 0.5) / len(levels))
    places = np.stack(columns, axis=1)
    sequence = qmc.Sobol(places.shape[1], scramble=True, seed=rng)
    # A Sobol sequence is balanced in whole powers of two; the first n points of one serve best.
    points = sequence.random_base2(max(n - 1, 1).bit_length())
    chosen: list[int] = []
    free = np.zeros(len(places))
    for point in points[:n]:
        row = int(np.argmin(((places - point) ** 2).sum(1) + free))
        chosen.append(row)
        free[row] = np.inf
    return np.array(chosen, dtype=np.int64)


def _farthest_first(coordinates: FloatArray, n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Pick rows greedily, each the farthest from those before it (Gonzalez, 1985), with jitter."""
    total = coordinates.sum(1)
    chosen = [int(np.argmax(total)), int(np.argmin(total))][:n]
    # Modes that are all alike have one corner, which must not be chosen twice.
    if len(set(chosen)) < len(chosen):
        chosen = chosen[:1]
    nearest = np.full(len(coordinates), np.inf)
    while True:
        # Two modes are new in the first round and one in each later one; to count one twice is harmless.
        for row in chosen[-2:]:
            np.minimum(nearest, ((coordinates - coordinates[row]) ** 2).sum(1), out=nearest)
        if len(chosen) == n:
            return np.array(chosen, dtype=np.int64)
        score = nearest * np.exp(rng.normal(0.0, JITTER, len(nearest)))
        score[chosen] = -1.0
        chosen.append(int(np.argmax(score)))
