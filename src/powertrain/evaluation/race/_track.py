"""One target of a race: what measuring a mode gives, again and again, and what is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, final

import numpy as np
import numpy.typing as npt

from powertrain.errors import DataError
from powertrain.optimisation import hypervolume, pareto_front
from powertrain.records import FloatArray, ModeTable, Profile, ProfileTable
from powertrain.space import ModeSpace
from powertrain.units import s_from_ms

__all__ = ["MINIBATCHES", "OVERHEAD_S", "Track", "track_of_board", "track_of_table"]

MINIBATCHES = 10
"""What a trial trains."""
LONG_MS = 1000.0
"""A unit of work that takes longer than this is an epoch or a whole run, of which a trial does one."""
OVERHEAD_S = 3.0
"""What a trial takes besides: the mode is changed, and clocks and power settle [s]."""
BEYOND = 0.1
"""How far beyond both ends of the true front its area is counted, in widths of the front."""
VISITS = 16
"""Measurements of a mode that are drawn on a simulated board; later ones begin with the first again."""


class Simulated(Protocol):
    """A board that knows the truth."""

    name: str
    space: ModeSpace

    def truth(self, workload: str, modes: ModeTable) -> ProfileTable:
        """Return mean time and power."""
        ...

    def measure(self, workload: str, modes: ModeTable, *, seed: int = 0) -> ProfileTable:
        """Return what measuring gives."""
        ...


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """A target whose every mode was measured, some of them several times."""

    truth: ProfileTable
    """One row per mode: time and power of each."""
    visits_ms: FloatArray
    """`(n, v)` what each visit of a mode measures [ms]; a row is filled from the left, the rest NaN."""
    visits_w: FloatArray
    space: ModeSpace | None = None
    """The grid that the modes are, where they are one."""

    @property
    def device(self) -> str:
        """Name of the device."""
        return self.truth.device

    @property
    def workload(self) -> str:
        """Name of the target."""
        return self.truth.workload

    @cached_property
    def minibatches(self) -> int:
        """How many a trial trains: one where the unit of work is long."""
        return 1 if float(np.median(self.truth.time_ms)) > LONG_MS else MINIBATCHES

    @cached_property
    def _rows(self) -> dict[tuple[float, ...], int]:
        return {tuple(values): row for row, values in enumerate(self.truth.modes.values.tolist())}

    def row(self, mode: dict[str, float] | object) -> int:
        """Return the row of a mode, which must be one of the modes."""
        values = tuple(mode[knob] for knob in self.truth.modes.knobs)  # pyright: ignore
        return self._rows[values]

    def measured(self, row: int, *, visit: int, seed: int) -> Profile:
        """Return what a visit of a mode measures: another one each time, as far as there are several."""
        count = int(np.isfinite(self.visits_ms[row]).sum())
        # The seed names where the visits begin, so that seeds differ where measurements do.
        i = (visit + 7 * seed + row) % count
        time_ms, power_w = float(self.visits_ms[row, i]), float(self.visits_w[row, i])
        return Profile(
            device=self.device,
            workload=self.workload,
            mode=self.truth.modes[row],
            time_ms=time_ms,
            power_w=power_w,
            duration_s=OVERHEAD_S + self.minibatches * s_from_ms(time_ms),
        )

    def hypervolume_pct(self, rows: Sequence[int]) -> float:
        """Return how much of the area under the true front some modes dominate in truth [%]."""
        costs, reference, whole = self._front
        return 100 * hypervolume(costs[list(rows)], reference) / whole

    @cached_property
    def _front(self) -> tuple[FloatArray, FloatArray, float]:
        """Logarithms of time and power of all modes, a point beyond the true front, the area up to it."""
        costs = np.log(np.column_stack([self.truth.time_ms, self.truth.power_w]))
        front = costs[pareto_front(costs)]
        high, width = front.max(axis=0), np.maximum(np.ptp(front, axis=0), 1e-3)
        reference = high + BEYOND * width
        return costs, reference, hypervolume(front, reference)

    @cached_property
    def noise_pct(self) -> float:
        """How far repeats of the power are apart, the median coefficient of variation; 0: no repeats."""
        known = np.isfinite(self.visits_w).sum(axis=1) > 1
        if not known.any():
            return 0.0
        some = self.visits_w[known]
        return float(100 * np.median(np.nanstd(some, axis=1, ddof=1) / np.nanmean(some, axis=1)))


def track_of_table(table: ProfileTable) -> Track:
    """Make a track of measurements: rows that repeat a mode are its visits, and their mean is the truth.

    Raises:
        DataError: No mode has both a time and a power.
    """
    known = table.take(np.isfinite(table.time_ms) & np.isfinite(table.power_w))
    if not len(known):
        lacking = "time" if not table.has_time else "power"
        raise DataError(
            f"{table.workload} on {table.device} has no {lacking} beside the other: nothing can race on it"
        )
    truth = known.averaged()
    order = {tuple(values): row for row, values in enumerate(truth.modes.values.tolist())}
    row_of = np.array([order[tuple(values)] for values in known.modes.values.tolist()])
    visit = _number_within(row_of)
    shape = len(truth), int(visit.max()) + 1
    visits_ms, visits_w = np.full(shape, np.nan), np.full(shape, np.nan)
    visits_ms[row_of, visit], visits_w[row_of, visit] = known.time_ms, known.power_w
    return Track(truth=truth, visits_ms=visits_ms, visits_w=visits_w)


def track_of_board(board: Simulated, workload: str) -> Track:
    """Make a track of a simulated board, which knows the truth; every visit has noise of its own."""
    modes = board.space.table()
    measured = [board.measure(workload, modes, seed=visit) for visit in range(VISITS)]
    return Track(
        truth=board.truth(workload, modes),
        visits_ms=np.stack([table.time_ms for table in measured], axis=1),
        visits_w=np.stack([table.power_w for table in measured], axis=1),
        space=board.space,
    )


def _number_within(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for each entry how many equal ones come before it, `(n,)`."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    first = np.searchsorted(ordered, ordered, side="left")
    number = np.empty_like(groups)
    number[order] = np.arange(len(groups)) - first
    return number
