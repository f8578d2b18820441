"""Fleets: what is decided for many boards at once, whatever engine carries it out."""

from __future__ import annotations

from powertrain.fleet._fronts import MOST_MODES, Front, Fronts
from powertrain.fleet._job_view import Baseline, JobView, job_view, saving
from powertrain.fleet._json import fleet_json
from powertrain.fleet._kept import WORKER, Answer, Kept, Workers
from powertrain.fleet._learned import (
    ClientMemory,
    MeasuredRound,
    clients_of,
    corrected,
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
from powertrain.fleet._rounds import LEFT_OUT, Clients, RoundPlan, plan_round
from powertrain.fleet._watch import FleetWatch

__all__ = [
    "LEFT_OUT",
    "MOST_MODES",
    "WORKER",
    "Answer",
    "Baseline",
    "BestSoFar",
    "BoardNow",
    "ClientMemory",
    "Clients",
    "FleetNow",
    "FleetWatch",
    "Front",
    "Fronts",
    "Job",
    "JobView",
    "Kept",
    "LiveRun",
    "MeasuredRound",
    "RoundPlan",
    "StoreReading",
    "Workers",
    "clients_of",
    "corrected",
    "fleet_json",
    "fleet_now",
    "job_view",
    "plan_round",
    "read_store",
    "saving",
]
