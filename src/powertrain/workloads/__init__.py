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
from powertrain.workloads._job import Job
from powertrain.workloads._open import JOB_FORMS, check_job_name, cuda_index, job_name, open_job, open_own
from powertrain.workloads._own import OwnJob, evaluates, synchronise, torch_description
from powertrain.workloads._threads import TorchThreads

__all__ = [
    "JOB_FORMS",
    "KINDS",
    "PHASES",
    "STUDY",
    "WORKLOADS",
    "InputPipeline",
    "Job",
    "Kernel",
    "OwnJob",
    "TorchThreads",
    "Workload",
    "WorkloadCost",
    "build_task",
    "check_job_name",
    "counts_path",
    "cuda_index",
    "evaluates",
    "find_workload",
    "job_name",
    "open_job",
    "open_own",
    "read_kernels",
    "synchronise",
    "torch_description",
    "write_kernels",
]
