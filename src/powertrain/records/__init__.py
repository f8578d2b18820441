"""The frozen values that cross layers: modes, profiles, predictions, choices.

Single values (`PowerMode`, `Profile`, `Choice`) are what a person reads and a store keeps. Tables
(`ModeTable`, `ProfileTable`, `Prediction`) are the same things by the thousand, as numpy columns, and are
what the mathematics works on. "Not measured" is NaN throughout, never zero and never `None`. Which
quantities there are says `powertrain.quantities`.
"""

from __future__ import annotations

from powertrain.records._choice import Choice, Interval, Limits
from powertrain.records._frames import flat_frame, new_frame
from powertrain.records._many import Coded, ManyProfiles, Owner
from powertrain.records._modes import FloatArray, ModeTable, PowerMode
from powertrain.records._prediction import CENTRAL_90, Z90, Estimate, Prediction, check_risk, quantile
from powertrain.records._profile import Profile, of_one_sum, sum_of
from powertrain.records._shown import Shown, View, rows_view
from powertrain.records._table import ProfileTable, distinct_rows

__all__ = [
    "CENTRAL_90",
    "Z90",
    "Choice",
    "Coded",
    "Estimate",
    "FloatArray",
    "Interval",
    "Limits",
    "ManyProfiles",
    "ModeTable",
    "Owner",
    "PowerMode",
    "Prediction",
    "Profile",
    "ProfileTable",
    "Shown",
    "View",
    "check_risk",
    "distinct_rows",
    "flat_frame",
    "new_frame",
    "of_one_sum",
    "quantile",
    "rows_view",
    "sum_of",
]
