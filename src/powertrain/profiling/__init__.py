"""Measurement: a workload in a mode, by whoever trains it."""

from powertrain.profiling._following import FollowingSession, Orders
from powertrain.profiling._measure import FLAGS
from powertrain.profiling._measured import measured, pause, step
from powertrain.profiling._options import Progress, RunKeywords, RunOptions
from powertrain.profiling._procedure import Procedure
from powertrain.profiling._reports import AllMeasured, Loop, Session, active_session
from powertrain.profiling._run import profile_modes
from powertrain.profiling._sampler import Sampler, integrate_j
from powertrain.profiling._session import ProfilingSession

__all__ = [
    "FLAGS",
    "AllMeasured",
    "FollowingSession",
    "Loop",
    "Orders",
    "Procedure",
    "ProfilingSession",
    "Progress",
    "RunKeywords",
    "RunOptions",
    "Sampler",
    "Session",
    "active_session",
    "integrate_j",
    "measured",
    "pause",
    "profile_modes",
    "step",
]
