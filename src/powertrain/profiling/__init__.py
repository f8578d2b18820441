"""Measurement: which modes to profile (and, in time, the profiler itself)."""

from powertrain.profiling._plan import Sampling, plan_modes, plan_space

__all__ = ["Sampling", "plan_modes", "plan_space"]
