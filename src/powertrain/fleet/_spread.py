"""How much equal boards differ, from the modes that several of them measured.

The logarithm of what a board measures in a mode is what the mode does, plus what the board does, plus noise:
`log y[mode, board] = m[mode] + b[board] + e`. The board's part is a factor, the same in every mode, relative
to the geometric mean of the boards. It is fitted by least squares with Huber's weights (P. J. Huber, "Robust
Estimation of a Location Parameter", 1964), so that a single measurement gone wrong does not count for much.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import numpy.typing as npt

from powertrain.fleet._sweep import BOARD
from powertrain.quantities import POWER, TIME, Quantity
from powertrain.records import FloatArray, PowerMode, Profile

__all__ = ["LEVELLED", "BoardFactor", "QuantitySpread", "Spread", "levelled", "spread_of"]

LEVELLED = "levelled"
"""Under which a profile says by which factors its board was taken out."""
HUBER = 1.345
"""Residuals beyond so many standard deviations count less; 95 % efficient where noise is normal."""
ROUNDS = 50
MAD_TO_SD = 1.4826
TINY = 1e-12
"""Residuals below this are rounding."""


@final
@dataclass(frozen=True, kw_only=True)
class BoardFactor:
    """How a board differs from the mean of its equals, in one quantity."""

    board: str
    factor: float
    """What it measures over what the mean board measures: 1.02 is 2 % more. NaN: it cannot be compared."""
    rel_se: float
    """Standard error of the factor, relative to it; NaN where too few modes are shared to tell."""
    taken_out: float
    """The factor as it is taken out: nearer to 1 the less of it is known, and 1 where nothing is known."""
    modes: int
    """Modes that it shares with others."""


@final
@dataclass(frozen=True, kw_only=True)
class QuantitySpread:
    """How boards differ in one quantity."""

    boards: tuple[BoardFactor, ...]
    rel_sd: float
    """Standard deviation of the boards' factors, without what chance adds to it; NaN: not known."""
    noise_rel_sd: float
    """Of a single measurement of a mode, once mode and board are known; NaN: not known."""

    def of(self, board: str) -> BoardFactor | None:
        """Return one of the boards; None if it measured nothing."""
        return next((found for found in self.boards if found.board == board), None)


@final
@dataclass(frozen=True, kw_only=True)
class Spread:
    """How boards differ, by quantity (`"time"`, `"power"`)."""

    quantities: Mapping[str, QuantitySpread]

    @property
    def known(self) -> bool:
        """Whether any two boards could be compared."""
        return any(math.isfinite(b.factor) for q in self.quantities.values() for b in q.boards)


def spread_of(profiles: Iterable[Profile]) -> Spread:
    """Estimate how boards differ, from profiles of one workload that say which board measured them.

    Profiles with flags, and those that name no board, do not count. Boards that share no mode with the
    others, also not by way of a third, cannot be compared with them. Then the largest group is compared.

    Returns:
        Factors on time and power. With two boards and one shared mode, the errors are those that the profiles
        tell of themselves, which leave out how a board differs from one visit of a mode to the next.
    """
    usable = [p for p in profiles if BOARD in p.extra and not p.flags]
    return Spread(quantities={quantity.name: _spread(usable, quantity) for quantity in (TIME, POWER)})


def levelled(profiles: Sequence[Profile], spread: Spread | None = None) -> list[Profile]:
    """Return profiles as the mean of the boards would have given them.

    Each time and power is divided by the factor of its board, as far as that is known (`taken_out`). What was
    levelled before, or names no board, stays as it is.

    Args:
        profiles: Of one workload.
        spread: How the boards differ; by default as the profiles themselves show.
    """
    known = spread_of(profiles) if spread is None else spread
    return [_levelled(profile, known) for profile in profiles]


def _levelled(profile: Profile, spread: Spread) -> Profile:
    board = profile.extra.get(BOARD)
    if board is None or LEVELLED in profile.extra:
        return profile
    values, said = dict(profile.values), list[str]()
    for quantity in (TIME, POWER):
        found = spread.quantities[quantity.name].of(board)
        if found is not None and found.taken_out != 1 and quantity.column in values:
            values[quantity.column] /= found.taken_out
            said.append(f"{quantity.name} / {found.taken_out:.6g}")
    if not said:
        return profile
    # Errors are relative, so they stay as they are.
    return replace(profile, values=values, extra={**profile.extra, LEVELLED: ", ".join(said)})


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Data:
    """Measurements of one quantity in modes that several boards measured."""

    mode: npt.NDArray[np.int64]
    """`(n,)`"""
    board: npt.NDArray[np.int64]
    """`(n,)`"""
    log: FloatArray
    """`(n,)`"""
    rel_se: FloatArray
    """`(n,)` as the profiles tell of themselves."""
    boards: tuple[str, ...]


def _spread(profiles: Sequence[Profile], quantity: Quantity) -> QuantitySpread:
    named = sorted({profile.extra[BOARD] for profile in profiles})
    data = _shared(profiles, quantity)
    shares = {name: len(set(data.mode[data.board == i])) for i, name in enumerate(data.boards)}
    effects, se, noise = _fitted(data) if len(data.boards) > 1 else (np.zeros(0), np.zeros(0), math.nan)
    place = {name: i for i, name in enumerate(data.boards)} if len(effects) else {}
    sd = _true_sd(effects, se)
    boards = tuple(
        _factor(name, effects, se, sd, place.get(name), modes=shares.get(name, 0)) for name in named
    )
    return QuantitySpread(boards=boards, rel_sd=sd, noise_rel_sd=noise)


def _factor(
    name: str, effects: FloatArray, se: FloatArray, sd: float, at: int | None, *, modes: int
) -> BoardFactor:
    if at is None:
        return BoardFactor(board=name, factor=math.nan, rel_se=math.nan, taken_out=1.0, modes=0)
    effect, error = float(effects[at]), float(se[at])
    # What chance alone could have done is not the board's: the share of it that is real is taken out. Effects
    # add up to zero, so that they vary a little less than the boards.
    real = sd**2 * (len(effects) - 1) / len(effects)
    share = real / (real + error**2) if real > 0 else 0.0
    return BoardFactor(
        board=name,
        factor=math.exp(effect),
        rel_se=error,
        taken_out=math.exp(share * effect),
        modes=modes,
    )


def _shared(profiles: Sequence[Profile], quantity: Quantity) -> _Data:
    """Gather the measurements of modes that several boards have, of the largest group of boards."""
    rows: list[tuple[PowerMode, str, float, float]] = [
        (p.mode, p.extra[BOARD], math.log(value), p.se.get(quantity.column, math.nan))
        for p in profiles
        if (value := p.values.get(quantity.column, math.nan)) > 0
    ]
    of_mode: dict[PowerMode, set[str]] = {}
    for mode, board, *_ in rows:
        of_mode.setdefault(mode, set()).add(board)
    several = {mode: boards for mode, boards in of_mode.items() if len(boards) > 1}
    group = _largest_group(several.values())
    rows = [row for row in rows if row[0] in several and row[1] in group]
    modes = {mode: i for i, mode in enumerate(dict.fromkeys(row[0] for row in rows))}
    boards = {board: i for i, board in enumerate(sorted({row[1] for row in rows}))}
    return _Data(
        mode=np.array([modes[row[0]] for row in rows], dtype=np.int64),
        board=np.array([boards[row[1]] for row in rows], dtype=np.int64),
        log=np.array([row[2] for row in rows], dtype=float),
        rel_se=np.array([row[3] for row in rows], dtype=float),
        boards=tuple(boards),
    )


def _largest_group(together: Iterable[set[str]]) -> set[str]:
    """Return the most boards that can be compared, directly or by way of others."""
    groups: list[set[str]] = []
    for boards in together:
        joined = set(boards).union(*(group for group in groups if group & boards))
        groups = [group for group in groups if not group & boards] + [joined]
    return max(groups, key=lambda group: (len(group), sorted(group)), default=set[str]())


def _fitted(data: _Data) -> tuple[FloatArray, FloatArray, float]:
    """Return `(n_boards,)` effects in logarithms, their standard errors, and the sd of one measurement."""
    n, n_boards, n_modes = len(data.log), len(data.boards), int(data.mode.max()) + 1
    design = np.zeros((n, n_boards))
    # The last board is minus the sum of the others, so that effects add up to zero.
    design[np.arange(n), data.board] = 1.0
    contrasts = np.vstack([np.eye(n_boards - 1), -np.ones((1, n_boards - 1))])
    weights = np.ones(n)
    free = n - n_modes - (n_boards - 1)
    effects, scale, within = np.zeros(n_boards), 0.0, design @ contrasts
    for _ in range(ROUNDS):
        before = effects
        within = _centred(design @ contrasts, data.mode, weights)
        target = _centred(data.log[:, None], data.mode, weights)[:, 0]
        root = np.sqrt(weights)
        solved = np.linalg.lstsq(within * root[:, None], target * root, rcond=None)[0]
        effects = contrasts @ solved
        residual = target - within @ solved
        scale = _scale(residual, weights, free, n)
        beyond = np.maximum(np.abs(residual), TINY)
        weights = np.minimum(1.0, np.maximum(HUBER * scale, TINY) / beyond)
        if np.abs(effects - before).max() < 1e-12:
            break
    information = within.T @ (weights[:, None] * within)
    covariance = contrasts @ np.linalg.pinv(information) @ contrasts.T
    own = _own_noise(data)
    noise = max(scale, own) if free > 0 else own
    return effects, noise * np.sqrt(np.maximum(np.diag(covariance), 0.0)), noise


def _centred(columns: FloatArray, mode: npt.NDArray[np.int64], weights: FloatArray) -> FloatArray:
    """Return columns less their weighted mean of each mode."""
    total = np.bincount(mode, weights)
    means = np.stack([np.bincount(mode, weights * column) / total for column in columns.T], axis=1)
    return columns - means[mode]


def _scale(residual: FloatArray, weights: FloatArray, free: int, n: int) -> float:
    """Return a robust standard deviation; residuals of a fit are smaller than the noise, by what it took."""
    if free <= 0:
        return 0.0
    median = MAD_TO_SD * float(np.median(np.abs(residual))) * math.sqrt(n / free)
    if median > 0:
        return median
    return math.sqrt(float((weights * residual**2).sum()) / free)


def _own_noise(data: _Data) -> float:
    """Return what the profiles tell of their own errors; NaN where they tell nothing."""
    told = data.rel_se[np.isfinite(data.rel_se)]
    return math.sqrt(float((told**2).mean())) if len(told) else math.nan


def _true_sd(effects: FloatArray, se: FloatArray) -> float:
    """Return the standard deviation of effects without what their errors add; NaN where that is unknown."""
    if len(effects) < 2 or not np.isfinite(se).all():
        return math.nan
    # Effects add up to zero, so one of them is no news; their errors are smaller by the same share.
    n = len(effects)
    return math.sqrt(max(float((effects**2).sum()) / (n - 1) - float((se**2).sum()) / (n - 1), 0.0))
