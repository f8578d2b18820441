"""What was measured so far, as a decision needs it: one row a mode, and which rows keep the limits."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import final

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from powertrain import quantities
from powertrain.optimisation import pareto_front
from powertrain.quantities import POWER, TIME, Quantity
from powertrain.records import FloatArray, PowerMode, Profile, ProfileTable
from powertrain.tuning._goal import FRONT, Decision, FrontMode, Goal

__all__ = ["Trials"]

BoolArray = npt.NDArray[np.bool_]


@final
class Trials:
    """The trials of a tuner. A flagged profile counts as a trial, and nothing is decided by its numbers."""

    def __init__(self, knobs: tuple[str, ...], goal: Goal) -> None:
        self.knobs, self._goal = knobs, goal
        self.profiles: list[Profile] = []
        self.table: ProfileTable | None = None
        """The unflagged ones with repeats averaged; None where there is none."""

    def __len__(self) -> int:
        return len(self.profiles)

    def add(self, profile: Profile, *, at: int | None = None) -> None:
        """Take in a measurement, at the end or at a place among the others."""
        self.profiles.insert(len(self.profiles) if at is None else at, profile)
        usable = [p for p in self.profiles if not p.flags]
        self.table = ProfileTable.of(usable, knobs=self.knobs).averaged() if usable else None

    @property
    def distinct(self) -> int:
        """How many modes were measured without a flag."""
        return 0 if self.table is None else len(self.table)

    def known(self) -> set[PowerMode]:
        """Return every mode that was tried, also those that failed."""
        return {profile.mode for profile in self.profiles}

    def value(self, quantity: Quantity) -> FloatArray:
        """Return a quantity of each mode, `(n,)`, NaN where it was not measured."""
        table = self._table()
        if not quantity.powers:
            return table.columns[quantity.column]
        product = np.full(len(table), quantity.factor)
        for name, power in quantity.powers.items():
            product = product * table.columns[quantities.find(name).column] ** power
        return product

    def keeps(self) -> BoolArray:
        """Mark the modes whose means keep every limit, `(n,)`."""
        return self._keep(0.0)

    def confirmed(self) -> BoolArray:
        """Mark the modes whose confidence intervals keep every limit, or that keep it measured twice."""
        z = NormalDist().inv_cdf(1 - self._goal.risk)
        return self._keep(max(z, 0.0)) | (self.keeps() & (self._table().repeats > 1))

    def chance_of_keeping(self, quantity: Quantity, limit: float, noise: float) -> FloatArray:
        """Return how likely each mode's mean keeps a limit after one more measurement, `(n,)`.

        `noise` is the standard deviation of a measurement, on the scale of the quantity's errors.
        """
        value, repeats = self.value(quantity), self._table().repeats
        over = np.log(value) - np.log(limit) if quantity.is_log else value - limit
        # The next measurement scatters about the true mean, which itself is known by the repeats so far.
        sd = max(noise, 1e-9) * np.sqrt(1 + 1 / repeats)
        return ndtr(-over * (repeats + 1) / sd)

    def _keep(self, z: float) -> BoolArray:
        mask = np.ones(self.distinct, dtype=np.bool_)
        for quantity, limit in self._goal.limits.by_quantity().items():
            mask &= self._upper(quantity, z) <= limit
        return mask

    def _upper(self, quantity: Quantity, z: float) -> FloatArray:
        """Return the mean and `z` standard errors; an error that is not known counts as none."""
        table, value = self._table(), self.value(quantity)
        if not z:
            return value
        parts = quantity.powers or {quantity.name: 1}
        columns = {quantities.find(name).column: power for name, power in parts.items()}
        variance = sum((power * np.nan_to_num(table.se[c])) ** 2 for c, power in columns.items())
        se = np.sqrt(variance)
        return value * np.exp(z * se) if quantity.is_log else value + z * se

    def misses(self) -> int:
        """Return how many modes in a row, the last ones, broke a limit."""
        if self.table is None:
            return 0
        kept = np.flatnonzero(self.keeps())
        return self.distinct - (int(kept[-1]) + 1 if len(kept) else 0)

    def best(self) -> int | None:
        """Return the row of the best mode that keeps the limits; of equals the first that was measured."""
        if self.table is None:
            return None
        goal = self.value(self._goal.quantity)
        kept = self.keeps() & np.isfinite(goal)
        return int(np.argmin(np.where(kept, goal, np.inf))) if kept.any() else None

    def _chosen(self) -> int | None:
        """Return the best row whose confidence intervals keep the limits; if there is none, the best."""
        best = self.best()
        if best is None:
            return None
        goal = self.value(self._goal.quantity)
        sure = self.confirmed() & np.isfinite(goal)
        return int(np.argmin(np.where(sure, goal, np.inf))) if sure.any() else best

    def decision(self, why: str) -> Decision:
        """Name the best mode that was measured to keep the limits."""
        row = self._chosen()
        if row is None or self.table is None:
            return Decision(mode=None, trials=len(self), why=self._nearest() or why)
        return Decision(
            mode=self.table.modes[row],
            values=self._known(row),
            confirmed=bool(self.confirmed()[row]),
            trials=len(self),
            why=why,
            front=self._front_modes() if self._goal.objective == FRONT else (),
        )

    def front(self) -> list[int]:
        """Return the rows on the front of time and power within the limits, by rising time."""
        if self.table is None:
            return []
        costs = np.column_stack([self.value(TIME), self.value(POWER)])
        kept = self.keeps()[:, None]
        return [int(row) for row in pareto_front(np.where(kept, costs, np.nan))]

    def _front_modes(self) -> tuple[FrontMode, ...]:
        return tuple(
            FrontMode(mode=self._table().modes[row], values=self._known(row)) for row in self.front()
        )

    def _known(self, row: int) -> dict[str, float]:
        """Return what was measured in a mode, by column."""
        columns = self._table().columns
        return {column: float(values[row]) for column, values in columns.items() if np.isfinite(values[row])}

    def _nearest(self) -> str:
        """Say which mode came nearest to the limits, and by how much it misses them."""
        limits = self._goal.limits.by_quantity()
        if self.table is None or not limits:
            return ""
        excess = {q: self.value(q) / limit for q, limit in limits.items()}
        worst = np.max([np.where(np.isfinite(e), e, np.inf) for e in excess.values()], axis=0)
        row = int(np.argmin(worst))
        misses = [
            f"{q.name} {self.value(q)[row]:.4g} {q.unit} (limit {limit:.4g})"
            for q, limit in limits.items()
            if excess[q][row] > 1
        ]
        nearest = f"the nearest, {self.table.modes[row]}, has {' and '.join(misses)}"
        return f"none of {len(self.table)} modes measured keeps the limits: {nearest}"

    def _table(self) -> ProfileTable:
        if self.table is None:
            raise ValueError("nothing was measured yet")
        return self.table


def rows_of(profiles: Sequence[Profile]) -> list[dict[str, object]]:
    """Return profiles as JSON values, NaN left out."""
    return [
        {
            "device": p.device,
            "workload": p.workload,
            "mode": dict(p.mode),
            "values": dict(p.values),
            "se": dict(p.se),
            "flags": list(p.flags),
        }
        for p in profiles
    ]
