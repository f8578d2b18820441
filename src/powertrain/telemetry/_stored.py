"""What a database says of workloads in the mode that is in force: as measured, and as predicted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from powertrain.dataset import AbstractStore
from powertrain.devices import AbstractLiveDevice
from powertrain.errors import DataError
from powertrain.models import AbstractPredictor, predictor_class
from powertrain.records import ModeTable, PowerMode, ProfileTable
from powertrain.telemetry._records import WorkloadNow

__all__ = ["StoredWorkloads"]

REFIT_S = 60.0
"""Between two fits of a workload whose profiles become more."""


@final
@dataclass(kw_only=True)
class _Known:
    """What was read of a workload, and when."""

    profiles: int
    table: ProfileTable | None
    predictor: AbstractPredictor | None
    at_s: float


@final
class StoredWorkloads:
    """Reads the profiles of one device, and fits a predictor to each workload again when there are more."""

    def __init__(
        self, store: AbstractStore, device: AbstractLiveDevice, failed: Callable[[str], None]
    ) -> None:
        """Take the store, the device, and who is told which part failed."""
        self._store, self._device, self._failed = store, device, failed
        self._known: dict[str, _Known] = {}

    def look(self, in_force: Mapping[str, tuple[float, float]]) -> tuple[WorkloadNow, ...]:
        """Return what is known of each workload in the mode that is in force.

        Where a clock is left to move, the mode is that of its upper end. Where a knob cannot be read, no mode
        is known, and nothing is said of it.
        """
        counts = {w: n for (d, w), n in self._store.counts().items() if d == self._device.name}
        for workload, count in counts.items():
            self._read(workload, count)
        ends = {name: in_force[name][1] for name in self._device.space.names if name in in_force}
        mode = PowerMode(ends) if set(ends) == set(self._device.space.names) else None
        return tuple(self._now(workload, count, mode) for workload, count in counts.items())

    def _read(self, workload: str, count: int) -> None:
        known, now_s = self._known.get(workload), time.monotonic()
        if known is not None and (known.profiles == count or now_s - known.at_s < REFIT_S):
            return
        table: ProfileTable | None = None
        predictor: AbstractPredictor | None = None
        try:
            table = self._store.table(workload=workload, device=self._device.name)
            predictor = predictor_class("gp").fit(table, seed=0)
        except DataError:
            pass  # too few profiles so far, or all are flagged
        except Exception:  # one workload that cannot be predicted hides no other
            self._failed("prediction")
        self._known[workload] = _Known(profiles=count, table=table, predictor=predictor, at_s=now_s)

    def _now(self, workload: str, count: int, mode: PowerMode | None) -> WorkloadNow:
        known = self._known[workload]
        values: dict[str, float] = {}
        if mode is not None and known.table is not None:
            values |= _measured(known.table, mode)
        if mode is not None and known.predictor is not None and set(known.predictor.knobs) == set(mode):
            predicted = known.predictor.predict(ModeTable.of([mode], known.predictor.knobs))
            values["predicted_time_ms"] = float(predicted.time_ms[0])
            values["predicted_power_w"] = float(predicted.power_w[0])
        return WorkloadNow(workload=workload, profiles=count, **values)


def _measured(table: ProfileTable, mode: PowerMode) -> dict[str, float]:
    """Return what was measured in a mode; nothing where it was not."""
    if set(table.modes.knobs) != set(mode):
        return {}
    wanted = ModeTable.of([mode], table.modes.knobs).values[0]
    rows = np.flatnonzero(np.isclose(table.modes.values, wanted).all(axis=1))
    if not len(rows):
        return {}
    return {"time_ms": float(table.time_ms[rows[0]]), "power_w": float(table.power_w[rows[0]])}
