"""Which mode each client of a round trains in, and for how many minibatches.

A round of `n` clients ends when the last of them has finished. Each of them has to finish in time with
probability `1 - risk / n`. Then the round does so with at least `1 - risk`, however the errors of its clients
depend on each other (Boole's inequality).

Given the time of a round, the clients do not affect each other: the best mode of each has the least energy of
those that are in time. So a deadline takes one look at each client. An energy budget takes the shortest round
whose least energy keeps it, of all times at which some client's best mode changes. Both are exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, final

import numpy as np
import numpy.typing as npt

from powertrain.fleet._fronts import Fronts
from powertrain.records import FloatArray, check_risk
from powertrain.units import s_from_ms

__all__ = ["LEFT_OUT", "Clients", "RoundPlan", "plan_round"]

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

LEFT_OUT = -1
"""In place of a mode."""
HALVINGS = 60
"""Of a share between 0 and 1, after which it is as exact as a number can be."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Clients:
    """Who may take part in a round; each column is `(n_clients,)`, a single number holds for all."""

    front: IntArray
    """Row of its front. Clients with boards of one kind may share a front."""
    minibatches: IntArray
    """That a full round has for it."""
    overhead_s: FloatArray
    """Time of a round that no mode changes: for setting the mode, loading the model and the like."""
    warm_up_minibatches: FloatArray
    """By how many minibatches' time the first one takes longer."""

    @classmethod
    def of(
        cls,
        front: npt.ArrayLike,
        minibatches: npt.ArrayLike,
        *,
        overhead_s: npt.ArrayLike = 0.0,
        warm_up_minibatches: npt.ArrayLike = 0.0,
    ) -> Clients:
        """Take columns, or numbers that hold for all.

        Raises:
            ValueError: A number is negative or not finite, or the lengths differ.
        """
        given = np.atleast_1d(front), minibatches, overhead_s, warm_up_minibatches
        rows, wanted, overhead, warm_up = np.broadcast_arrays(*given)
        for name, column in (("minibatches", wanted), ("overhead_s", overhead), ("warm-up", warm_up)):
            if not (np.isfinite(column) & (column >= 0)).all():
                raise ValueError(f"{name} of a client is not a number of at least 0: give one")
        return cls(
            front=rows.astype(np.int64),
            minibatches=wanted.astype(np.int64),
            overhead_s=overhead.astype(float),
            warm_up_minibatches=warm_up.astype(float),
        )

    def __len__(self) -> int:
        return len(self.front)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class RoundPlan:
    """What each client of a round is to do; each column is `(n_clients,)`."""

    mode: IntArray
    """Column of its front, `LEFT_OUT` where the client is left out."""
    minibatches: IntArray
    """To train; 0 where it is left out."""
    fewer: BoolArray
    """Whether a client trains, and fewer minibatches than a full round has."""
    time_s: FloatArray
    """Predicted; 0 where it is left out."""
    latest_s: FloatArray
    """By when the client has finished with the probability that was asked."""
    energy_j: FloatArray
    """Predicted; 0 where it is left out or not known."""

    @property
    def left_out(self) -> BoolArray:
        """Whether a client does not train."""
        return self.mode == LEFT_OUT

    @property
    def round_s(self) -> float:
        """By when all have finished with the probability that was asked [s]."""
        return float(self.latest_s.max(initial=0.0))

    @property
    def total_j(self) -> float:
        """Predicted energy of all clients together [J]."""
        return float(self.energy_j.sum())


def plan_round(
    fronts: Fronts,
    clients: Clients,
    *,
    deadline_s: float = math.inf,
    max_energy_j: float = math.inf,
    risk: float = 0.01,
    least_minibatches: int = 1,
) -> RoundPlan:
    """Choose the mode and the minibatches of each client.

    - With a deadline, each client gets its mode of the least energy in which it finishes in time, where only
      what is above the power of a waiting board counts. One that
      cannot finish in time gets as many minibatches as it can train by then. Fewer than `least_minibatches`
      are not worth a round, so then it is left out.
    - With an energy budget, the round is the shortest whose energy keeps it. If no mode saves enough, all
      clients train the same share of their minibatches, the largest that keeps the budget.
    - With both, the round is the one of the least energy that meets the deadline. The minibatches are cut as
      above if that exceeds the budget.
    - With neither, each client gets its fastest mode.

    Args:
        fronts: What is predicted; a row for each kind of board, or for each client.
        clients: Who may take part.
        deadline_s: When the round has to end, after its beginning [s].
        max_energy_j: Most energy of all clients together [J]. The sum of what each of them stays below with
            probability `1 - risk` has to keep it. Clients whose energy is not known count as nothing.
        risk: Accepted probability that the round misses its deadline.
        least_minibatches: Fewest that a client takes part with, unless a full round has fewer for it.

    Raises:
        ValueError: A limit is not above 0, the risk not between 0 and 1, or a front does not exist.
    """
    check_risk(risk)
    if not (deadline_s > 0 and max_energy_j > 0 and least_minibatches >= 1):
        raise ValueError(
            f"deadline_s={deadline_s:g}, max_energy_j={max_energy_j:g}, "
            f"least_minibatches={least_minibatches}: give numbers above 0"
        )
    if len(clients) and not (clients.front.min() >= 0 and clients.front.max() < len(fronts)):
        raise ValueError(f"a client's front is none of the {len(fronts)} fronts: number them from 0")
    table = _Table.of(fronts, clients, risk=risk, counts_energy=math.isfinite(max_energy_j))
    least = np.minimum(least_minibatches, clients.minibatches)
    if not math.isfinite(deadline_s) and not math.isfinite(max_energy_j):
        return table.plan(table.fastest_s(clients.minibatches), clients.minibatches)
    wanted = table.most_minibatches(deadline_s, least)
    if table.least_j(deadline_s, wanted) > max_energy_j:
        wanted = _cut(table, wanted, least, deadline_s=deadline_s, max_energy_j=max_energy_j)
    if math.isfinite(deadline_s):
        return table.plan(np.full(len(clients), deadline_s), wanted)
    shortest_s = table.shortest_s(wanted, max_energy_j)
    return table.plan(np.full(len(clients), shortest_s), wanted)


def _cut(
    table: _Table, wanted: IntArray, least: IntArray, *, deadline_s: float, max_energy_j: float
) -> IntArray:
    """Return the minibatches of the largest share that keeps a budget; fewer minibatches never cost more."""

    def cut(share: float) -> IntArray:
        few = np.minimum(wanted, np.floor(share * table.clients.minibatches)).astype(np.int64)
        return np.where(few < least, 0, few)

    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        share = (low + high) / 2
        if table.least_j(deadline_s, cut(share)) <= max_energy_j:
            low = share
        else:
            high = share
    return cut(low)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Table:
    """The modes of each front by rising time, each with the best of those up to it."""

    clients: Clients
    time_s: FloatArray
    """`(n_fronts, n_modes)` time of a minibatch."""
    late_s: FloatArray
    """The same at the quantile that was asked, rising along each row; infinite after the last mode."""
    energy_j: FloatArray
    """Energy of a minibatch as predicted."""
    cost_j: FloatArray
    """The least energy of a minibatch, as it counts, among the modes up to this one."""
    best: IntArray
    """Which of the sorted modes has it."""
    order: IntArray
    """Column of the front of each sorted mode."""

    @classmethod
    def of(cls, fronts: Fronts, clients: Clients, *, risk: float, counts_energy: bool) -> _Table:
        z = NormalDist().inv_cdf(1 - risk / max(len(clients), 1))
        time_s, energy_j = s_from_ms(fronts.time_ms), np.nan_to_num(fronts.energy_j, nan=0.0)
        # Without a budget, the least energy is the one that is expected, above what is drawn anyway.
        cost_j = energy_j - fronts.idle_power_w[:, None] * time_s
        with np.errstate(over="ignore"):
            late_s = time_s * np.exp(z * np.nan_to_num(fronts.time_rel_sd))
            if counts_energy:
                energy_z = NormalDist().inv_cdf(1 - risk)
                cost_j = energy_j * np.exp(energy_z * np.nan_to_num(fronts.energy_rel_sd))
        late_s = np.where(np.isnan(late_s), np.inf, late_s)
        order = np.argsort(late_s, axis=1, kind="stable")

        def ordered(column: FloatArray) -> FloatArray:
            return np.take_along_axis(column, order, axis=1)

        costs = np.where(np.isinf(ordered(late_s)), np.inf, ordered(cost_j))
        least = np.minimum.accumulate(costs, axis=1)
        columns: IntArray = np.arange(costs.shape[1], dtype=np.int64)
        best = np.maximum.accumulate(np.where(_lower(costs, least), columns, 0), axis=1)
        return cls(
            clients=clients,
            time_s=ordered(time_s),
            late_s=ordered(late_s),
            energy_j=ordered(energy_j),
            cost_j=least,
            best=best,
            order=order,
        )

    def _amounts(self, wanted: IntArray) -> FloatArray:
        """Return how many minibatches' time and energy the clients take, warm-up included."""
        return wanted + self.clients.warm_up_minibatches

    def latest_s(self, wanted: IntArray) -> FloatArray:
        """Return when each client has finished in each mode, `(n_clients, n_modes)`."""
        late_s, amounts = self.late_s[self.clients.front], self._amounts(wanted)[:, None]
        spent_s = np.full(late_s.shape, np.inf)
        np.multiply(amounts, late_s, out=spent_s, where=np.isfinite(late_s))  # there is no mode elsewhere
        return self.clients.overhead_s[:, None] + spent_s

    def fastest_s(self, wanted: IntArray) -> FloatArray:
        """Return when each client has finished in its fastest mode."""
        return self.latest_s(wanted)[:, 0]

    def most_minibatches(self, deadline_s: float, least: IntArray) -> IntArray:
        """Return how many minibatches each client can train by the deadline; 0 for too few."""
        full = self.clients.minibatches
        if not math.isfinite(deadline_s):
            return full
        fastest_s = self.late_s[self.clients.front, 0]
        left_s = deadline_s - self.clients.overhead_s
        found = np.floor(left_s / fastest_s - self.clients.warm_up_minibatches)
        found = np.clip(found, 0, full).astype(np.int64)
        found = np.where(self.fastest_s(full) <= deadline_s, full, found)
        # Rounding may have made it one too many.
        found = np.where(self.fastest_s(found) <= deadline_s, found, np.maximum(found - 1, 0))
        return np.where(found < least, 0, found)

    def least_j(self, by_s: float, wanted: IntArray) -> float:
        """Return the least energy of a round that ends by some time, as it counts."""
        place = self._last_in_time(np.full(len(self.clients), by_s), wanted)
        costs_j = self.cost_j[self.clients.front, place] * self._amounts(wanted)
        return float(costs_j[wanted > 0].sum())

    def _last_in_time(self, by_s: FloatArray, wanted: IntArray) -> IntArray:
        """Return the slowest mode of each client that is in time; the fastest if none is."""
        count = (self.latest_s(wanted) <= by_s[:, None]).sum(axis=1)
        # Columns after the last mode are in time where there is no deadline.
        modes = np.isfinite(self.late_s).sum(axis=1)[self.clients.front]
        return np.maximum(np.minimum(count, modes) - 1, 0)

    def shortest_s(self, wanted: IntArray, max_energy_j: float) -> float:
        """Return the shortest time of a round within a budget, which its least energy keeps."""
        trains = wanted > 0
        if not trains.any():
            return math.inf
        latest_s = self.latest_s(wanted)[trains]
        first_s = float(latest_s[:, 0].max())
        costs_j = (self.cost_j[self.clients.front] * self._amounts(wanted)[:, None])[trains]
        saved_j = costs_j[:, :-1] - costs_j[:, 1:]
        useful = (saved_j > 0) & np.isfinite(latest_s[:, 1:])
        at_s = latest_s[:, 1:][useful]
        order = np.argsort(at_s, kind="stable")
        at_s, saved_j = at_s[order], saved_j[useful][order]
        later = at_s > first_s
        begun_j = self.least_j(first_s, wanted)
        total_j = np.concatenate([[begun_j], begun_j - np.cumsum(saved_j[later])])
        times_s = np.concatenate([[first_s], at_s[later]])
        place = int(np.searchsorted(-total_j, -max_energy_j, side="left"))
        # Sums in another order differ in the last digits; the plan's own sum has to keep the budget.
        place = max(min(place, len(times_s) - 1) - 1, 0)
        while place < len(times_s) - 1 and self.least_j(float(times_s[place]), wanted) > max_energy_j:
            place += 1
        return float(times_s[place])

    def plan(self, by_s: FloatArray, wanted: IntArray) -> RoundPlan:
        """Return the plan of the least energy in which each client ends by its time."""
        rows, amounts = self.clients.front, self._amounts(wanted)
        chosen = self.best[rows, self._last_in_time(by_s, wanted)]
        trains = wanted > 0

        def of(column: FloatArray) -> FloatArray:
            return column[rows, chosen]

        def when_training(column: FloatArray) -> Any:
            return np.where(trains, column, 0.0)

        overhead_s = self.clients.overhead_s
        return RoundPlan(
            mode=np.where(trains, self.order[rows, chosen], LEFT_OUT),
            minibatches=wanted,
            fewer=trains & (wanted < self.clients.minibatches),
            time_s=when_training(overhead_s + amounts * of(self.time_s)),
            latest_s=when_training(overhead_s + amounts * of(self.late_s)),
            energy_j=when_training(amounts * of(self.energy_j)),
        )


def _lower(costs: FloatArray, least: FloatArray) -> BoolArray:
    """Mark where a cost is lower than all before it in its row."""
    before = np.concatenate([np.full((len(costs), 1), np.inf), least[:, :-1]], axis=1)
    return costs < before
