"""Counts the kernels of all workloads again and rewrites what the package keeps of them; needs PyTorch."""

from __future__ import annotations

from powertrain.workloads import WORKLOADS, counts_path, write_kernels
from powertrain.workloads._count import count_kernels

for workload in WORKLOADS.values():
    write_kernels(count_kernels(workload.build), counts_path(workload.function))
