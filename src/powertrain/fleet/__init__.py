"""Fleets: what is decided for many boards at once, whatever engine carries it out."""

from __future__ import annotations

from powertrain.fleet._job_view import Baseline, JobView, job_view, saving
from powertrain.fleet._json import fleet_json
from powertrain.fleet._kept import WORKER, Answer, Kept, Workers
from powertrain.fleet._known import known_modes
from powertrain.fleet._node import (
    NodeChoice,
    NodeDecision,
    NodeModes,
    budget_w_of,
    label_value,
    node_decision,
)
from powertrain.fleet._overview import (
    BestSoFar,
    BoardNow,
    FleetNow,
    Job,
    LiveRun,
    StoreReading,
    fleet_now,
    read_store,
)
from powertrain.fleet._watch import FleetWatch

__all__ = [
    "WORKER",
    "Answer",
    "Baseline",
    "BestSoFar",
    "BoardNow",
    "FleetNow",
    "FleetWatch",
    "Job",
    "JobView",
    "Kept",
    "LiveRun",
    "NodeChoice",
    "NodeDecision",
    "NodeModes",
    "StoreReading",
    "Workers",
    "budget_w_of",
    "fleet_json",
    "fleet_now",
    "job_view",
    "known_modes",
    "label_value",
    "node_decision",
    "read_store",
    "saving",
]
