"""Counts the kernels of all workloads again and rewrites what the package keeps of them; needs PyTorch."""

from __future__ import annotations

from functools import partial

from powertrain.workloads import WORKLOADS, build_task, counts_path, write_kernels
from powertrain.workloads._count import count_kernels

for name, workload in WORKLOADS.items():
    write_kernels(count_kernels(partial(build_task, name)), counts_path(workload.net.partition(":")[2]))
