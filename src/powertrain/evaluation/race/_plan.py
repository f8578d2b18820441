"""Which methods race, on which targets, under which limits."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np

from powertrain.errors import DataError, UnknownNameError
from powertrain.evaluation._plan import ALL, Tables, references_of
from powertrain.evaluation.race._track import Track
from powertrain.evaluation.rivals import check_rival
from powertrain.records import FloatArray, ProfileTable

__all__ = ["Lap", "RaceLimits", "RacePlan", "laps_of"]

logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True, kw_only=True)
class RaceLimits:
    """The power limits under which each method searches."""

    values_w: tuple[float, ...] = ()
    """The limits [W]; none stands for `count` of them, evenly spaced."""
    count: int = 12

    def of(self, truth: ProfileTable) -> FloatArray:
        """Return the limits [W] for a target, each of which at least one mode keeps.

        By themselves they are spaced evenly between the least power and that of the fastest mode, both
        ends excluded: below nothing is feasible, above nothing is to be decided.
        """
        least_w = float(truth.power_w.min())
        if self.values_w:
            return np.array([limit for limit in self.values_w if limit >= least_w])
        fastest_w = float(truth.power_w[int(np.argmin(truth.time_ms))])
        if not fastest_w > least_w:
            return np.empty(0)
        return np.linspace(least_w, fastest_w, self.count + 2)[1:-1]


@final
@dataclass(frozen=True, kw_only=True)
class RacePlan:
    """Who races, and where."""

    device: str
    targets: tuple[str, ...]
    """Workloads, or `"all"`."""
    references: tuple[str, ...] = ()
    """Workloads that are known already, or `"others"`, `"same"` or `"none"` as in an evaluation."""
    reference_devices: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("tuner",)
    trials: int = 15
    limits: RaceLimits = field(default_factory=RaceLimits)
    seeds: int = 20

    def __post_init__(self) -> None:
        for name in ("targets", "references", "reference_devices", "methods"):
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name))))
        if not self.targets or not self.methods:
            raise ValueError("a race needs at least one target and one method")
        for name in self.methods:
            check_rival(name)
        for name, number in (("trials", self.trials), ("seeds", self.seeds)):
            if number < 1:
                raise ValueError(f"{name} are counted from 1, not {number}")


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Lap:
    """One target with its references and its limits."""

    track: Track
    references: tuple[ProfileTable, ...]
    limits_w: FloatArray

    @property
    def reference_names(self) -> tuple[str, ...]:
        """Names of the references; one on another device is named as `workload @ device`."""
        own = self.track.device
        return tuple(r.workload if r.device == own else f"{r.workload} @ {r.device}" for r in self.references)


def laps_of(plan: RacePlan, tracks: Mapping[str, Track], tables: Tables) -> list[Lap]:
    """Look up targets, references and limits.

    Args:
        plan: Who races, and where.
        tracks: What can be a target, by workload of the device.
        tables: What can be a reference, by `(device, workload)`.

    Raises:
        UnknownNameError: A target or a reference is unknown.
        DataError: No target has a limit under which there is something to decide.
    """
    wanted = tuple(tracks) if ALL in plan.targets and ALL not in tracks else plan.targets
    laps: list[Lap] = []
    for name in wanted:
        if name not in tracks:
            raise UnknownNameError.of(f"workload of {plan.device}", name, tracks)
        limits_w = plan.limits.of(tracks[name].truth)
        if not len(limits_w):
            logger.warning("%s on %s is left out: no limit leaves a choice", name, plan.device)
            continue
        found = references_of(plan, name, tables)
        usable = [tables[owner].averaged() for owner in found if tables[owner].has_time]
        laps.append(Lap(track=tracks[name], references=tuple(usable), limits_w=limits_w))
    if not laps:
        raise DataError(
            f"no target of {plan.device} has a limit that leaves a choice: its fastest mode draws the least"
        )
    return laps
