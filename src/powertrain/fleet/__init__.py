"""Fleets: what is decided for many boards at once, whatever engine carries it out."""

from __future__ import annotations

from powertrain.fleet._address import head_address
from powertrain.fleet._board import (
    BoardFacts,
    Draw,
    Order,
    Work,
    facts,
    measured,
    model_slug,
    planned,
    status,
)
from powertrain.fleet._driver import (
    Died,
    Engine,
    FleetOptions,
    FleetProfiled,
    Happened,
    Sharing,
    Wanted,
    profile_fleet,
    sharing,
)
from powertrain.fleet._fronts import MOST_MODES, Front, Fronts
from powertrain.fleet._job_view import Baseline, JobView, job_view, saving
from powertrain.fleet._json import fleet_json
from powertrain.fleet._kept import WORKER, Answer, Kept, Workers
from powertrain.fleet._known import known_modes
from powertrain.fleet._learned import ClientMemory, MeasuredRound, clients_of, corrected
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
from powertrain.fleet._rounds import LEFT_OUT, Clients, RoundPlan, plan_round
from powertrain.fleet._spread import BoardFactor, QuantitySpread, Spread, levelled, spread_of
from powertrain.fleet._sweep import BATCH, BOARD, Batch, Sweep, usual_shared
from powertrain.fleet._tuning import FleetTuned, tune_fleet
from powertrain.fleet._watch import FleetWatch

__all__ = [
    "BATCH",
    "BOARD",
    "LEFT_OUT",
    "MOST_MODES",
    "WORKER",
    "Answer",
    "Baseline",
    "Batch",
    "BestSoFar",
    "BoardFactor",
    "BoardFacts",
    "BoardNow",
    "ClientMemory",
    "Clients",
    "Died",
    "Draw",
    "Engine",
    "FleetNow",
    "FleetOptions",
    "FleetProfiled",
    "FleetTuned",
    "FleetWatch",
    "Front",
    "Fronts",
    "Happened",
    "Job",
    "JobView",
    "Kept",
    "LiveRun",
    "MeasuredRound",
    "NodeChoice",
    "NodeDecision",
    "NodeModes",
    "Order",
    "QuantitySpread",
    "RoundPlan",
    "Sharing",
    "Spread",
    "StoreReading",
    "Sweep",
    "Wanted",
    "Work",
    "Workers",
    "budget_w_of",
    "clients_of",
    "corrected",
    "facts",
    "fleet_json",
    "fleet_now",
    "head_address",
    "job_view",
    "known_modes",
    "label_value",
    "levelled",
    "measured",
    "model_slug",
    "node_decision",
    "plan_round",
    "planned",
    "profile_fleet",
    "read_store",
    "saving",
    "sharing",
    "spread_of",
    "status",
    "tune_fleet",
    "usual_shared",
]
