"""Measurement: which modes to profile, in which order, and measuring a workload in them."""

from powertrain.profiling._measure import FLAGS
from powertrain.profiling._order import order_modes
from powertrain.profiling._plan import Sampling, paper_grid, plan_modes, plan_space
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
    "Sampling",
    "integrate_j",
    "measured",
    "order_modes",
    "paper_grid",
    "plan_modes",
    "plan_space",
    "profile_modes",
]
