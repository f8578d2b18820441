"""Measurement: a workload in a mode, by whoever trains it."""

from powertrain.profiling._measure import FLAGS
from powertrain.profiling._measured import measured, pause, step
from powertrain.profiling._options import Progress, RunKeywords, RunOptions
from powertrain.profiling._procedure import Procedure
from powertrain.profiling._run import profile_modes
from powertrain.profiling._sampler import Sampler, integrate_j
from powertrain.profiling._session import AllMeasured, Loop, ProfilingSession, active_session

__all__ = [
    "FLAGS",
    "AllMeasured",
    "Loop",
    "Procedure",
    "ProfilingSession",
    "Progress",
    "RunKeywords",
    "RunOptions",
    "Sampler",
    "active_session",
    "integrate_j",
    "measured",
    "pause",
    "profile_modes",
    "step",
]
