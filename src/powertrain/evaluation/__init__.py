"""Evaluation: methods scored on data whose truth is known."""

from __future__ import annotations

from powertrain.evaluation._plan import ALL, OTHERS, SAME, EvaluationPlan, LimitSweep, Tables, Target, resolve
from powertrain.evaluation._rows import Case, ChoiceRow, ErrorRow
from powertrain.evaluation._run import (
    Evaluation,
    EvaluationInterruptedError,
    Progress,
    ReferenceFit,
    evaluate,
)
from powertrain.evaluation._scores import coverage90, excess_w, mape, p95_ape, time_penalty
from powertrain.evaluation._summary import ChoiceSummary, ErrorSummary, Spread, Summary, summarise
from powertrain.evaluation._worth import Worth, worth_of
from powertrain.evaluation.race import (
    Race,
    RaceInterruptedError,
    RaceLimits,
    RacePlan,
    RaceRow,
    RaceSummary,
    Track,
    race,
    summarise_race,
    track_of_board,
    track_of_table,
)
from powertrain.evaluation.rivals import RIVALS, Problem, Rival, rival_of

__all__ = [
    "ALL",
    "OTHERS",
    "RIVALS",
    "SAME",
    "Case",
    "ChoiceRow",
    "ChoiceSummary",
    "ErrorRow",
    "ErrorSummary",
    "Evaluation",
    "EvaluationInterruptedError",
    "EvaluationPlan",
    "LimitSweep",
    "Problem",
    "Progress",
    "Race",
    "RaceInterruptedError",
    "RaceLimits",
    "RacePlan",
    "RaceRow",
    "RaceSummary",
    "ReferenceFit",
    "Rival",
    "Spread",
    "Summary",
    "Tables",
    "Target",
    "Track",
    "Worth",
    "coverage90",
    "evaluate",
    "excess_w",
    "mape",
    "p95_ape",
    "race",
    "resolve",
    "rival_of",
    "summarise",
    "summarise_race",
    "time_penalty",
    "track_of_board",
    "track_of_table",
    "worth_of",
]
