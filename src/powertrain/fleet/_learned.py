"""What the rounds of a client tell about its predicted front.

A predictor errs, and no two boards of a kind are equal. So each client has errors of its own: a Gaussian
process over the modes of its front, of the logarithm of measured over predicted. Neighbouring modes share
errors, and all modes share that of the board. What a round measures in one mode corrects the others as far as
they are alike. The spread of repeated rounds becomes the client's own error bar.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from powertrain.fleet._fronts import Front, Fronts
from powertrain.fleet._rounds import Clients
from powertrain.records import FloatArray, PowerMode

__all__ = ["ClientMemory", "MeasuredRound", "clients_of", "corrected"]

OVERHEAD_S = 2.0
"""Overhead of a round before one was measured: boards take 1 to 3 s to settle in a mode."""
WARM_UP_MINIBATCHES = 10.0
"""By how much the first minibatch is longer before it was measured; 112 ms for 13 ms was seen on a board."""
BOARD_REL_SD = 0.05
"""Spread of boards of one kind. Assumed."""
ROUND_REL_SD = 0.03
"""Spread of the rounds of one client before it has several. Assumed."""
ROUND_WORTH = 5.0
"""Rounds that the assumed spread counts for."""
ALIKE = 0.5
"""Correlation of the predictor's errors in modes that are far apart. Assumed."""
ALIKE_LOG_TIME = 0.5
"""Distance in the logarithm of the time over which the rest of the correlation fades. Assumed."""
FADES = 0.9
"""What a round still counts for after another one: a board in summer is not the board of the winter."""
UNSEEN = 1e6
"""Variance of a mode that was not measured."""
AT_ONCE = 2048
"""Clients whose equations are solved together, to bound the memory."""


@final
@dataclass(frozen=True, kw_only=True)
class MeasuredRound:
    """What a client measured in a round; NaN: not known."""

    row: int | None
    """The mode that was held, as a row of the client's front; None: another, which tells the overhead."""
    minibatches: int
    time_ms: float = math.nan
    """Of a minibatch, without the first."""
    energy_j: float = math.nan
    """Of a minibatch, counted as in the front."""
    overhead_s: float = math.nan
    """Time of the round without its minibatches."""
    warm_up_minibatches: float = math.nan
    """By how many minibatches' time the first one took longer."""


@final
class ClientMemory:
    """A client's front and what its rounds have told so far."""

    def __init__(self, front: Front, *, minibatches: int) -> None:
        """Know a client that has not trained yet.

        Args:
            front: As predicted.
            minibatches: Of a full round.
        """
        self.front, self.minibatches = front, minibatches
        self.overhead_s = self.warm_up_minibatches = math.nan
        self._weights = np.zeros((2, len(front)))
        self._sums = np.zeros((2, len(front)))
        self._squares, self._repeats = np.zeros(2), np.zeros(2)

    def row_of(self, mode: str) -> int | None:
        """Return which row of the front a mode is, None if it is none of them."""
        if not mode:
            return 0 if len(self.front) == 1 and not self.front.modes.knobs else None
        try:
            values = PowerMode.parse(mode)
        except ValueError:
            return None
        if set(values) != set(self.front.modes.knobs):
            return None
        asked = np.array([values[knob] for knob in self.front.modes.knobs])
        same = np.isclose(self.front.modes.values, asked, rtol=1e-9, atol=0).all(axis=1)
        return int(same.argmax()) if same.any() else None

    def learn(self, measured: MeasuredRound) -> None:
        """Take in a round that the client has trained."""
        self.overhead_s = _kept(self.overhead_s, measured.overhead_s)
        self.warm_up_minibatches = _kept(self.warm_up_minibatches, measured.warm_up_minibatches)
        row = measured.row
        if row is None:
            return
        self._weights *= FADES
        self._sums *= FADES
        pairs = (self.front.time_ms[row], measured.time_ms), (self.front.energy_j[row], measured.energy_j)
        for quantity, (predicted, value) in enumerate(pairs):
            if not (predicted > 0 and 0 < value < math.inf):
                continue
            ratio = math.log(value / predicted)
            weight = self._weights[quantity, row]
            if weight > 0:
                off = ratio - self._sums[quantity, row] / weight
                self._squares[quantity] += off**2 * weight / (weight + 1)
                self._repeats[quantity] += 1
            self._weights[quantity, row] += 1
            self._sums[quantity, row] += ratio

    @property
    def round_rel_var(self) -> FloatArray:
        """Variance of a round's time and energy around the client's own mean, `(2,)`."""
        return (ROUND_WORTH * ROUND_REL_SD**2 + self._squares) / (ROUND_WORTH + self._repeats)

    @property
    def seen(self) -> tuple[FloatArray, FloatArray]:
        """Weights and sums of the logarithms of measured over predicted, `(2, n_modes)` each."""
        return self._weights, self._sums


def _kept(known: float, value: float) -> float:
    """Return the highest of what was measured, which fades; NaN if nothing was."""
    if not 0 <= value < math.inf:
        return known
    return value if math.isnan(known) else max(value, FADES * known)


def clients_of(memories: Sequence[ClientMemory]) -> Clients:
    """Return some clients for `plan_round`, whose rows are those of `corrected`.

    An overhead that a client has not measured yet is the highest of the others, or a guess.
    """
    columns = np.array([(memory.overhead_s, memory.warm_up_minibatches) for memory in memories])
    guesses = (OVERHEAD_S, WARM_UP_MINIBATCHES)
    for column, guess in zip(columns.reshape(-1, 2).T, guesses, strict=True):
        unknown = np.isnan(column)
        column[unknown] = guess if unknown.all() else column[~unknown].max()
    overhead_s, warm_up = columns.reshape(-1, 2).T
    return Clients.of(
        np.arange(len(memories)),
        np.array([memory.minibatches for memory in memories], dtype=np.int64),
        overhead_s=overhead_s,
        warm_up_minibatches=warm_up,
    )


def corrected(memories: Sequence[ClientMemory]) -> Fronts:
    """Return the fronts of some clients, a row for each, corrected by what their rounds have told.

    The error bars of the time are those of the client's next round. Those of the energy are meant for a sum
    over all of these clients, in which the spread of single rounds averages out.
    """
    raw = Fronts.of([memory.front for memory in memories])
    shape = raw.time_ms.shape
    if not raw.time_ms.size:
        return raw
    weights, sums = np.zeros((2, 2, *shape))
    for row, memory in enumerate(memories):
        weights[:, row, : len(memory.front)], sums[:, row, : len(memory.front)] = memory.seen
    spread = np.array([memory.round_rel_var for memory in memories])
    values = np.zeros((2, 2, *shape))
    log_time = np.nan_to_num(np.log(raw.time_ms))
    for quantity, sd in enumerate((raw.time_rel_sd, raw.energy_rel_sd)):
        for first in range(0, len(memories), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            values[quantity, :, some] = _posterior(
                np.nan_to_num(sd[some]),
                log_time[some],
                weights[quantity, some],
                sums[quantity, some],
                spread[some, quantity],
            )
    (time_ratio, time_var), (energy_ratio, energy_var) = values
    time_sd = np.sqrt(time_var + spread[:, :1])
    energy_sd = np.sqrt(energy_var + spread[:, 1:] / len(memories))
    return Fronts(
        time_ms=raw.time_ms * np.exp(time_ratio),
        energy_j=raw.energy_j * np.exp(energy_ratio),
        time_rel_sd=time_sd,
        energy_rel_sd=energy_sd,
        idle_power_w=raw.idle_power_w,
    )


def _posterior(
    sd: FloatArray, log_time: FloatArray, weights: FloatArray, sums: FloatArray, spread: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the mean and the variance of each mode's own error, `(n_clients, n_modes)` each."""
    # A client has trained in few of its modes. Only those enter the equations, the most recent first.
    most = max(int((weights > 0).sum(axis=1).max()), 1)
    seen = np.argsort(-weights, axis=1, kind="stable")[:, :most]

    def of_seen(column: FloatArray) -> FloatArray:
        return np.take_along_axis(column, seen, axis=1)

    apart = np.abs(log_time[:, :, None] - of_seen(log_time)[:, None, :])
    alike = ALIKE + (1 - ALIKE) * np.exp(-apart / ALIKE_LOG_TIME)
    across = sd[:, :, None] * of_seen(sd)[:, None, :] * alike + BOARD_REL_SD**2  # (clients, modes, seen)
    within = np.take_along_axis(across, seen[:, :, None], axis=1)
    weight = of_seen(weights)
    told = weight > 0
    noise = np.where(told, spread[:, None] / np.where(told, weight, 1.0), UNSEEN)
    ratio = np.where(told, of_seen(sums) / np.where(told, weight, 1.0), 0.0)
    right = np.concatenate([ratio[:, :, None], across.transpose(0, 2, 1)], axis=2)
    solved = np.linalg.solve(within + noise[:, :, None] * np.eye(most), right)
    mean = np.einsum("cmo,co->cm", across, solved[:, :, 0])
    left = sd**2 + BOARD_REL_SD**2 - np.einsum("cmo,com->cm", across, solved[:, :, 1:])
    return mean, np.maximum(left, 0.0)
