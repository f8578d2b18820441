"""A race: methods that search for the best mode, step by step, on data whose truth is known."""

from __future__ import annotations

from powertrain.evaluation.race._plan import RaceLimits, RacePlan, laps_of
from powertrain.evaluation.race._rows import RaceRow
from powertrain.evaluation.race._run import Race, RaceInterruptedError, race
from powertrain.evaluation.race._summary import RaceSummary, summarise_race
from powertrain.evaluation.race._track import Track, track_of_board, track_of_table

__all__ = [
    "Race",
    "RaceInterruptedError",
    "RaceLimits",
    "RacePlan",
    "RaceRow",
    "RaceSummary",
    "Track",
    "laps_of",
    "race",
    "summarise_race",
    "track_of_board",
    "track_of_table",
]
