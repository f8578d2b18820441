"""Which modes to profile: seeded designs over listed modes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from powertrain.errors import PowerTrainError, TooFewProfilesError
from powertrain.planning._undisturbed import undisturbed
from powertrain.planning._variance import MOST, least_variance
from powertrain.records import FloatArray, ModeTable, Prediction
from powertrain.space import ModeSpace
from powertrain.wording import counted

__all__ = ["Predicts", "Sampling", "check_request", "paper_grid", "plan_modes"]

Sampling = Literal["spread", "random"]

LOG_SHARE = 0.4
"""Of the logarithm in the place of a knob, the rest its rank; either alone is worse on some data
(`benchmarks/ablation.py`)."""
DIFFERENCE = 2.0
"""How far a target may differ from the mean of its references, in what they differ from each other."""
DRAWN = 8
"""Modes among which the farthest is taken when a plan is filled up."""


class Predicts(Protocol):
    """Whatever predicts modes, such as a predictor of a reference."""

    def glance(self, modes: ModeTable) -> Prediction:
        """Predict `modes`, without remarks on them."""
        ...


def plan_modes(
    modes: ModeTable,
    n: int,
    *,
    sampling: Sampling = "spread",
    seed: int = 0,
    references: Sequence[Predicts] = (),
) -> npt.NDArray[np.int64]:
    """Choose `n` distinct rows of `modes` to profile, as `(n,)` indices in the order to measure them.

    `"random"` draws without replacement, as the paper does. `"spread"` takes the modes that leave the least
    expected variance in all others, and beyond 64 such as lie far from those. Distances are between places
    by logarithm and rank together: logarithms follow the physics, ranks the modes over which errors count.
    The seed draws which modes are looked at and how much each counts. From 10 modes on, plans are nested:
    the plan of 20 begins with that of 10. Over a single knob, up to three profiles are at the centres of
    equal parts, which leaves nothing to chance.

    Args:
        modes: What to choose from.
        n: How many.
        sampling: `"spread"` or `"random"`.
        seed: Names the design.
        references: Predictors of other workloads on the same device. With two or more, a spread plan looks
            where they differ most, since there the profiles tell which of them the target resembles.

    Raises:
        TooFewProfilesError: `n` is more than the modes there are.
        ValueError: `n` is less than 1, or the sampling is unknown.
    """
    check_request(n, len(modes), sampling)
    with undisturbed():
        rows = _planned(modes, n, sampling, seed, references)
    if len(rows) != n or len(np.unique(rows)) != n:
        raise PowerTrainError(f"the plan has {len(np.unique(rows))} of {n} distinct modes: plan again")
    return rows


def _planned(
    modes: ModeTable, n: int, sampling: Sampling, seed: int, references: Sequence[Predicts]
) -> npt.NDArray[np.int64]:
    """Do what `plan_modes` says."""
    rng = np.random.default_rng(seed)
    if sampling == "random":
        return rng.permutation(len(modes))[:n]
    coordinates = _coordinates(modes.values)
    varying = coordinates.shape[1]
    if varying == 1 and n <= 3:
        order = np.argsort(coordinates.sum(1), kind="stable")
        # Rounded up: the middle of an even number of modes is the faster of the two.
        centres = np.ceil((np.arange(n) + 0.5) / n * len(modes) - 1).astype(np.int64)
        return order[centres]
    if not varying:
        return rng.permutation(len(modes))[:n]
    first = least_variance(coordinates, min(n, MOST), rng, directions=_differences(modes, references))
    return _filled_up(coordinates, n, first.tolist(), rng)


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


def _coordinates(values: FloatArray) -> FloatArray:
    """Return `(n, n_varying)`: the place of each varying knob from 0 to 1, by its logarithm and its rank."""
    columns: list[FloatArray] = []
    for column in values.T:
        levels, rank = np.unique(column, return_inverse=True)
        if len(levels) == 1:
            continue
        shifted = np.log(levels if levels[0] > 0 else levels - levels[0] + 1)
        logs = (shifted - shifted[0]) / (shifted[-1] - shifted[0])
        ranks = np.arange(len(levels)) / (len(levels) - 1)
        columns.append((LOG_SHARE * logs + (1.0 - LOG_SHARE) * ranks)[rank])
    return np.stack(columns, axis=1) if columns else np.zeros((len(values), 0))


def _differences(
    modes: ModeTable, references: Sequence[Predicts]
) -> Callable[[npt.NDArray[np.int64]], FloatArray] | None:
    """Return what tells of some rows how the references differ from their mean; None for less than two."""
    if len(references) < 2:
        return None

    def of(rows: npt.NDArray[np.int64]) -> FloatArray:
        predicted = [reference.glance(modes.take(rows)) for reference in references]
        found: list[FloatArray] = []
        for name in predicted[0].estimates:
            known = [p.of(name) for p in predicted if p.of(name).is_known]
            logs = [np.log(e.value) if e.quantity.is_log else e.value / (e.value.std() or 1.0) for e in known]
            if len(logs) > 1:
                surfaces = np.stack(logs, axis=1)
                off = surfaces - surfaces.mean(axis=1, keepdims=True)
                found.append(off * (DIFFERENCE / (len(logs) - 1) ** 0.5))
        # Each quantity has its say.
        return np.concatenate(found, axis=1) / len(found) ** 0.5 if found else np.zeros((len(rows), 1))

    return of


def _filled_up(
    coordinates: FloatArray, n: int, chosen: Sequence[int], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Add rows up to `n`: each the farthest from those before it among a few drawn ones (Mitchell, 1991).

    Among all, the farthest would be one corner after the other.
    """
    rows = list(chosen)
    nearest = np.full(len(coordinates), np.inf)
    for row in rows:
        np.minimum(nearest, ((coordinates - coordinates[row]) ** 2).sum(1), out=nearest)
    left = rng.permutation(np.setdiff1d(np.arange(len(coordinates)), rows))
    while len(rows) < n:
        few = left[:DRAWN]
        best = int(np.argmax(nearest[few]))
        rows.append(int(few[best]))
        np.minimum(nearest, ((coordinates - coordinates[rows[-1]]) ** 2).sum(1), out=nearest)
        # The others are drawn again later.
        left = np.concatenate([left[DRAWN:], np.delete(few, best)])
    return np.array(rows, dtype=np.int64)
