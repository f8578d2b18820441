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

__all__ = [
    "ALL",
    "OTHERS",
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
    "Progress",
    "ReferenceFit",
    "Spread",
    "Summary",
    "Tables",
    "Target",
    "Worth",
    "coverage90",
    "evaluate",
    "excess_w",
    "mape",
    "p95_ape",
    "resolve",
    "summarise",
    "time_penalty",
    "worth_of",
]
