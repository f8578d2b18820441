"""Measurement: a workload in a mode, by whoever trains it."""

from powertrain.profiling._following import FollowingSession, Orders
from powertrain.profiling._measure import FLAGS
from powertrain.profiling._measured import measured, pause, stand_in, step
from powertrain.profiling._options import Progress, RunKeywords, RunOptions
from powertrain.profiling._procedure import Procedure
from powertrain.profiling._reports import AllMeasured, Loop, Session, active_session
from powertrain.profiling._run import Driver, check_software, prepare_job, profile_modes, run_modes
from powertrain.profiling._sampler import Sampler, integrate_j
from powertrain.profiling._session import LoopSession
from powertrain.profiling._tuning import Director, Glance, Watching, tune_modes

__all__ = [
    "FLAGS",
    "AllMeasured",
    "Director",
    "Driver",
    "FollowingSession",
    "Glance",
    "Loop",
    "LoopSession",
    "Orders",
    "Procedure",
    "Progress",
    "RunKeywords",
    "RunOptions",
    "Sampler",
    "Session",
    "Watching",
    "active_session",
    "check_software",
    "integrate_j",
    "measured",
    "pause",
    "prepare_job",
    "profile_modes",
    "run_modes",
    "stand_in",
    "step",
    "tune_modes",
]
