"""The paper's study on simulated boards, as one run that can be stopped and resumed."""

from __future__ import annotations

from powertrain.study._outputs import study_html, study_summary, write_study
from powertrain.study._plan import BOARD, PARTS, REFERENCE, Case, Settings, Trial
from powertrain.study._run import StudyResult, run_study
from powertrain.study._tables import study_tables, targets_table

__all__ = [
    "BOARD",
    "PARTS",
    "REFERENCE",
    "Case",
    "Settings",
    "StudyResult",
    "Trial",
    "run_study",
    "study_html",
    "study_summary",
    "study_tables",
    "targets_table",
    "write_study",
]
