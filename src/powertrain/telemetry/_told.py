"""What a run tells of itself, kept for whoever asks on another thread."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import final

from powertrain.profiling import Glance
from powertrain.records import Profile
from powertrain.telemetry._records import RunNow, WorkloadNow
from powertrain.workflow import Trial, TuneReport

__all__ = ["ToldRun"]

KEPT, EXCEEDED, FLAGGED = "kept", "exceeded", "flagged"
OUTCOMES = (KEPT, EXCEEDED, FLAGGED)


@final
class ToldRun:
    """Takes in what happens, on the thread where it happens; the records that it gives are never changed."""

    def __init__(self, command: str) -> None:
        """Take the command's name."""
        self._lock = threading.Lock()
        self._run = RunNow(command=command)
        self._workloads: dict[str, WorkloadNow] = {}
        self._measured: dict[str, Counter[str]] = {}

    def now(self) -> tuple[RunNow, tuple[WorkloadNow, ...]]:
        """Return what is known now."""
        with self._lock:
            return self._run, tuple(self._workloads.values())

    def kept(self, profile: Profile) -> None:
        """Take in a profile that was measured and kept."""
        with self._lock:
            measured = self._measured.setdefault(profile.workload, Counter())
            measured[FLAGGED if profile.flags else KEPT] += 1
            self._run = replace(self._run, workload=profile.workload, trials=_all(measured))
            if not profile.flags:
                self._workloads[profile.workload] = WorkloadNow(
                    workload=profile.workload, time_ms=profile.time_ms, power_w=profile.power_w
                )

    def told(self, report: TuneReport, limits: Mapping[str, float], hard_limit_w: float) -> None:
        """Take in how a tuning stands."""
        run = RunNow(
            command=self._run.command,
            workload=report.workload,
            objective=str(report.goal.get("objective", "")),
            state=report.state,
            limits=limits,
            hard_limit_w=hard_limit_w if math.isfinite(hard_limit_w) else math.nan,
            trials=_all(Counter(_outcome(trial) for trial in report.trials if not trial.recalled)),
            minibatches=report.minibatches,
            changes=len(report.changes),
        )
        with self._lock:
            self._run = run
            self._workloads = {report.workload: _of_tuning(report)}

    def looked(self, glance: Glance, minibatches: int) -> None:
        """Take in how a tuned training goes in the mode that is held."""
        with self._lock:
            self._run = replace(self._run, minibatches=minibatches)
            before = self._workloads.get(self._run.workload)
            if before is not None:
                now = replace(before, time_ms=glance.time_ms, power_w=glance.power_w)
                self._workloads[self._run.workload] = now


def _of_tuning(report: TuneReport) -> WorkloadNow:
    """Return how the training went when that was last measured, and how it is expected to go."""
    last = report.trials[-1] if report.trials else report.found
    if report.state in ("as found", "restored"):
        last = report.found
    expected: Mapping[str, float] = {}
    if report.state == "held":
        last, expected = None, report.decision.values  # the first look tells how it goes
    usable = last is not None and not last.flags
    return WorkloadNow(
        workload=report.workload,
        time_ms=last.time_ms if last is not None and usable else math.nan,
        power_w=last.power_w if last is not None and usable else math.nan,
        predicted_time_ms=expected.get("time_ms", math.nan),
        predicted_power_w=expected.get("power_w", math.nan),
    )


def _outcome(trial: Trial) -> str:
    if trial.flags:
        return FLAGGED
    return EXCEEDED if trial.keeps is False else KEPT


def _all(counts: Counter[str]) -> dict[str, int]:
    """Return every outcome, so that a rate can be told from the first one on."""
    return {outcome: counts[outcome] for outcome in OUTCOMES}
