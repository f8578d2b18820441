"""Time, power and heat of an emulated board, from the formulas of the simulated ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import final

from powertrain.devices._clock import Clock
from powertrain.records import ModeTable, PowerMode
from powertrain.units import s_from_ms
from powertrain.virtual.emulated._boards import EMULATED
from powertrain.virtual.simulated._disturbances import Chance, Disturbances
from powertrain.virtual.simulated._mechanism import Mechanism, OperatingPoints, settled_power_w
from powertrain.virtual.simulated._records import COMPONENTS
from powertrain.virtual.simulated._state import Point, Setting, State
from powertrain.workloads import STUDY, find_workload

__all__ = ["Clocks", "Dynamics"]


@final
@dataclass(frozen=True, kw_only=True)
class Clocks:
    """What a board runs at."""

    cores: int
    cpu_mhz: float
    gpu_mhz: float
    mem_mhz: float
    tpcs: int

    def table(self) -> ModeTable:
        """Return them as a mode, which no table of clocks has to hold."""
        mode = PowerMode(
            cpu_cores=self.cores, cpu_mhz=self.cpu_mhz, gpu_mhz=self.gpu_mhz, mem_mhz=self.mem_mhz
        )
        return ModeTable.of([mode])


@final
class Dynamics:
    """Follows the clocks of a board: how long a minibatch takes, what is drawn, how warm it is."""

    def __init__(
        self,
        name: str,
        *,
        clock: Clock,
        clocks: Callable[[bool], Clocks],
        disturbances: Disturbances,
        seed: int,
    ) -> None:
        """Start at rest and warm; `clocks` tells what the board runs at, when busy or at rest."""
        # A kernel's clocks need not be in any table, so rows are numbered as pairs of clocks turn up.
        board = EMULATED[name].physics
        self._mechanism, self._heat, self._clocks = Mechanism(board), board.heat, clocks
        self._pairs: list[tuple[Clocks, Clocks]] = []
        self._rows: dict[tuple[Clocks, Clocks], int] = {}
        self._points: dict[tuple[str | None, Clocks], Point] = {}
        self._row = self._place()
        self._state = State(
            clock=clock,
            chance=Chance(disturbances, seed),
            heat=board.heat,
            greatest_w=_greatest_w(name),
            point_at=self._point_at,
            setting=Setting(row=self._row),
        )

    @property
    def throttles(self) -> int:
        """How often it has cut its clocks by itself."""
        return self._state.throttle_count

    def refresh(self) -> None:
        """Take the clocks as they are asked for now; they are in force after a moment."""
        # Only a real change starts a transition: files are read far more often than clocks move.
        row = self._place()
        if row != self._row:
            self._row = row
            self._state.change(Setting(row=row, held=True))

    def step(self, workload: str) -> None:
        """Train one minibatch."""
        self._state.step(workload)

    def step_s(self, workload: str) -> float:
        """Return how long a minibatch takes in the mean."""
        return self._point_at(workload, Setting(row=self._row)).time_s

    def watts(self, components: tuple[str, ...]) -> float:
        """Return what a sensor makes of the power of some components now."""
        sensed_w = self._state.sensed_w()
        return sum(float(sensed_w[COMPONENTS.index(name)]) for name in components)

    def celsius(self) -> float:
        """Return the temperature now."""
        return self._state.celsius()

    def _place(self) -> int:
        """Return the number of the present clocks at rest and busy."""
        pair = self._clocks(False), self._clocks(True)
        row = self._rows.setdefault(pair, len(self._pairs))
        if row == len(self._pairs):
            self._pairs.append(pair)
        return row

    def _point_at(self, workload: str | None, setting: Setting) -> Point:
        clocks = self._pairs[setting.row][workload is not None]
        # Kept, because every minibatch and every reading of a sensor asks for it.
        key = workload, clocks
        if key not in self._points:
            modes = clocks.table()
            points = (
                self._mechanism.idle(modes, tpcs=clocks.tpcs)
                if workload is None
                else self._mechanism.running(find_workload(workload), modes, tpcs=clocks.tpcs)
            )
            self._points[key] = self._point(points)
        return self._points[key]

    def _point(self, points: OperatingPoints) -> Point:
        settled_w, settled_c = settled_power_w(points, self._heat)
        return Point(
            time_s=s_from_ms(float(points.time_ms[0])),
            dynamic_w=points.dynamic_w[0],
            leakage_w=points.leakage_w[0],
            settled_w=settled_w[0],
            settled_c=float(settled_c[0]),
        )


@cache
def _greatest_w(name: str) -> float:
    """Return the power of the hungriest workload at the top of all knobs."""
    board = EMULATED[name].physics
    top, mechanism = board.space.table([len(board.space) - 1]), Mechanism(board)
    points = (mechanism.running(find_workload(workload), top) for workload in STUDY)
    return max(float(settled_power_w(point, board.heat)[0].sum()) for point in points)
