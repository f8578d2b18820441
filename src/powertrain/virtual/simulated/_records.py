"""The record that a simulated board is: what is published of it, and what had to be assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, final

import numpy as np

from powertrain.records import FloatArray, PowerMode
from powertrain.space import ModeSpace

__all__ = ["COMPONENTS", "Board", "Cpu", "Gpu", "Heat", "Memory", "Rail", "Rest", "Stock", "Voltage"]

COMPONENTS = ("cpu", "gpu", "cv", "soc", "memory", "system")
"""What draws power. `cv` are the vision accelerators, which no training uses: they rest on every board."""


@final
@dataclass(frozen=True, kw_only=True)
class Voltage:
    """A supply voltage over its clock, both as shares of the top: a floor, then a straight line."""

    floor: float
    knee: float
    """Share of the top clock up to which the floor holds."""

    def at(self, clock: FloatArray) -> FloatArray:
        """Return the relative voltage for clocks given as shares of the top clock."""
        slope = (1.0 - self.floor) / (1.0 - self.knee)
        return np.maximum(self.floor, 1.0 + slope * (clock - 1.0))


@final
@dataclass(frozen=True, kw_only=True)
class Cpu:
    """The CPU cluster."""

    cycles_factor: float
    """Cycles for the work of one cycle of a Cortex-A78AE: differs with the width of the core."""
    stall_ns: tuple[float, float]
    """Latency of a cache miss [ns] at the top memory clock: what no clock changes, and what falls with it."""
    voltage: Voltage
    busy_w: float
    """Dynamic power of one busy core at the top clock."""
    tree_w: float
    """Dynamic power of one idle core that is online, at the top clock."""
    leakage_w: float
    """Of one core that is online, at the top voltage and 45 degrees C."""


@final
@dataclass(frozen=True, kw_only=True)
class Gpu:
    """The GPU: clusters (TPCs) of two multiprocessors (SMs) each."""

    tpcs: int
    cores_per_tpc: int
    """CUDA cores; each does one multiply-add per cycle."""
    tensor_flops_per_core: float
    """Operations per cycle and CUDA core that convolutions may use by default (TF32 on Ampere); 0 without."""
    l2_bytes: float
    stream_bytes_per_cycle: float
    """Bytes per cycle that one TPC can keep moving from memory."""
    voltage: Voltage
    fp32_pj_per_flop: float
    """Energy of an operation on CUDA cores at the top voltage, everything in the GPU included."""
    tensor_pj_per_flop: float
    byte_pj: float
    """Energy to move a byte between memory controller and cores at the top voltage."""
    active_w: float
    """What clocks its busy parts besides: dynamic power of the whole GPU, busy, at the top clock."""
    tree_w: float
    """Dynamic power of the whole GPU, powered and idle, at the top clock."""
    leakage_w: float
    """Of the whole GPU, at the top voltage and 45 degrees C."""


@final
@dataclass(frozen=True, kw_only=True)
class Memory:
    """DRAM and its way to the chip."""

    bytes_per_cycle: float
    """At the memory clock, both edges."""
    rest_w: tuple[float, float]
    """Of the DRAM at rest: refresh, and what is added at the top clock."""
    soc_w: float
    """Of controller and fabric on the chip at the top clock, at rest."""
    dram_pj_per_byte: float
    soc_pj_per_byte: float


@final
@dataclass(frozen=True, kw_only=True)
class Rest:
    """What is always on, and the storage that training data comes from."""

    soc_w: float
    cv_w: float
    system_w: float
    storage_mb_per_s: float


@final
@dataclass(frozen=True, kw_only=True)
class Heat:
    """One thermal mass under a fan at fixed speed."""

    ambient_c: float
    k_per_w: float
    time_constant_s: float


@final
@dataclass(frozen=True, kw_only=True)
class Rail:
    """One channel of the board's power monitors."""

    label: str
    components: tuple[str, ...]
    """Whose power it carries."""
    step_w: float
    """Least difference between two readings."""
    role: Literal["part", "total", "subset"] = "part"


@final
@dataclass(frozen=True, kw_only=True)
class Stock:
    """A mode that the vendor ships: a mode of the space, and how many clusters of the GPU stay on."""

    mode: PowerMode
    tpcs: int


@final
@dataclass(frozen=True, kw_only=True)
class Board:
    """A Jetson as the simulation knows it."""

    spec: str
    title: str
    space: ModeSpace
    cpu: Cpu
    gpu: Gpu
    memory: Memory
    rest: Rest
    heat: Heat
    rails: tuple[Rail, ...]
    stock: Mapping[str, Stock] = field(default_factory=dict[str, Stock])
    default_stock: str = ""
    """The stock mode that the board boots in."""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        totals = [rail for rail in self.rails if rail.role == "total"]
        counted = [c for rail in totals or self.rails for c in rail.components if rail.role != "subset"]
        if sorted(counted) != sorted(COMPONENTS):
            raise ValueError(f"the rails of {self.title} count {counted}: each component counts once")

    def top(self, knob: str) -> float:
        """Return the largest value of a knob."""
        return self.space.knob(knob).values[-1]
