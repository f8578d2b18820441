"""Measurement: a workload in a mode, by whoever trains it."""

from powertrain.profiling._measure import FLAGS
from powertrain.profiling._procedure import Procedure
from powertrain.profiling._run import profile_modes
from powertrain.profiling._sampler import Sampler, integrate_j
from powertrain.profiling._session import AllMeasured, ProfilingSession, measured

__all__ = [
    "FLAGS",
    "AllMeasured",
    "Procedure",
    "ProfilingSession",
    "Sampler",
    "integrate_j",
    "measured",
    "profile_modes",
]
