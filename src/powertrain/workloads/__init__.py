"""What a training minibatch asks of a machine: real models, and their kernels as counted.

Nothing here needs PyTorch but `build_task` and counting itself (`python -m powertrain.workloads`).
"""

from __future__ import annotations

from powertrain.workloads._catalogue import (
    STUDY,
    WORKLOADS,
    InputPipeline,
    Workload,
    build_task,
    counts_path,
    find_workload,
)
from powertrain.workloads._cost import KINDS, PHASES, Kernel, WorkloadCost, read_kernels, write_kernels

__all__ = [
    "KINDS",
    "PHASES",
    "STUDY",
    "WORKLOADS",
    "InputPipeline",
    "Kernel",
    "Workload",
    "WorkloadCost",
    "build_task",
    "counts_path",
    "find_workload",
    "read_kernels",
    "write_kernels",
]
