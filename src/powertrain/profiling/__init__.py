"""Measurement: which modes to profile, and measuring a workload in them."""

from powertrain.profiling._plan import Sampling, paper_grid, plan_modes, plan_space
from powertrain.profiling._run import Procedure, profile_modes

__all__ = ["Procedure", "Sampling", "paper_grid", "plan_modes", "plan_space", "profile_modes"]
