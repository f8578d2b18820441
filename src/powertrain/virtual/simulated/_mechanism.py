"""Time and power of a training minibatch on a board, from mechanism.

**Time.** Data-loading processes on the CPU and the training step run as a pipeline; the slower sets the pace.
The step is a queue: one core launches kernels in order, the GPU runs each when it has been launched and its
predecessor is done, and the process waits for the last one. A kernel takes as long as the slower of its
arithmetic and its memory traffic (a roofline), never less than a latency.

**Power.** Each component draws what it leaks, what its clocks switch at rest, and the energy of the minibatch
over its time: energies belong to operations, bytes and cycles of work, and grow with the square of the
voltage at which the work is done.

**Monotone by construction.** Every time above falls or stays as a clock or the number of cores rises, and so
does their combination. Energies of a minibatch depend on no clock but through the voltage, which never falls
as the clock rises, and power at rest rises with every knob: so power rises with every knob, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import numpy.typing as npt

from powertrain.records import FloatArray, ModeTable
from powertrain.units import (
    bytes_from_megabytes,
    cycles_from_megacycles,
    hz_from_mhz,
    joules_from_picojoules,
    ms_from_s,
    s_from_ns,
)
from powertrain.virtual.simulated._records import COMPONENTS, Board, Heat
from powertrain.workloads import Workload, WorkloadCost

__all__ = ["Mechanism", "OperatingPoints", "leakage_factor", "settled_power_w"]

# Kernels on the GPU.
# Share of the peak rate of the units they use, by kind; assumed, of the size that libraries reach.
PEAK_SHARE = {
    "conv": 0.60,
    "depthwise": 0.15,
    "matmul": 0.75,
    "attention": 0.50,
    "optimiser": 0.25,
}
OTHER_PEAK_SHARE = 0.25
TENSOR_PEAK_SHARE = 0.35  # of the tensor cores' peak, by convolutions in TF32; assumed
MEMORY_SHARE = 0.80  # of the peak bandwidth, by streaming kernels; assumed
OVERLAP = 4.0  # how well arithmetic and traffic of a kernel overlap: the power of a p-norm; assumed
FILL_PARTS_PER_CORE = 4.0  # parallel parts per CUDA core at which a kernel reaches half its rate; assumed
SPLIT_OPERATIONS = 1024.0  # libraries split sums of more operations than this per output; assumed
LATENCY_GPU_CYCLES, LATENCY_MEM_CYCLES = 2500.0, 1000.0  # of starting and draining a kernel; assumed
L2_SHARE = 0.5  # of a kernel's traffic that a cache as large as it can spare the memory; assumed

# The training process on the CPU.
# Cycles of a Cortex-A78AE to launch a kernel from eager PyTorch: Python, dispatcher, autograd, driver. About
# 14 us forward and 9 us backward (no Python) at 2.2 GHz, stalls apart; assumed: twice those of a desktop.
LAUNCH_CYCLES = {"load": 60e3, "forward": 30e3, "backward": 20e3, "update": 30e3}
STEP_CYCLES = 3e6  # loop, next minibatch from the loader, logging, per step; assumed
MISSES_PER_CYCLE = 1.4e-3  # that stall the core, of such code: a quarter of its time at the top; assumed

# The data loader.
LOADER_WORKERS = 4  # as in PyTorch scripts for these boards
LOADER_MISSES_PER_BYTE = 1 / 640  # a miss for every tenth cache line: prefetching hides the rest; assumed
PACE = 8.0  # how abruptly the slower of two overlapping stages sets the pace; assumed

LEAKAGE_REFERENCE_C = 45.0
LEAKAGE_PER_K = 0.015  # assumed: doubles in 46 K


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class OperatingPoints:
    """What a board does in some modes, before heat: columns of powers as in `COMPONENTS`."""

    time_ms: FloatArray
    """`(n,)` time of a minibatch [ms]; NaN at rest."""
    dynamic_w: FloatArray
    """`(n, 6)`"""
    leakage_w: FloatArray
    """`(n, 6)` at the reference temperature; it grows with `leakage_factor`."""


def leakage_factor(temperature_c: float) -> float:
    """Return by how much leakage differs from that at 45 degrees C."""
    return math.exp(LEAKAGE_PER_K * (temperature_c - LEAKAGE_REFERENCE_C))


def settled_power_w(points: OperatingPoints, heat: Heat) -> tuple[FloatArray, FloatArray]:
    """Return power `(n, 6)` [W] and temperature `(n,)` [degrees C] once the board has warmed through."""
    dynamic_w, leakage_w = points.dynamic_w.sum(axis=1), points.leakage_w.sum(axis=1)
    temperature_c = np.full(len(dynamic_w), heat.ambient_c)
    for _ in range(40):  # contracts by a tenth or better each time
        leaking = np.exp(LEAKAGE_PER_K * (temperature_c - LEAKAGE_REFERENCE_C))
        temperature_c = heat.ambient_c + heat.k_per_w * (dynamic_w + leakage_w * leaking)
    leaking = np.exp(LEAKAGE_PER_K * (temperature_c - LEAKAGE_REFERENCE_C))
    return points.dynamic_w + points.leakage_w * leaking[:, None], temperature_c


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Clocks:
    """Columns `(n,)` of some modes, and what follows from them alone."""

    board: Board
    cores: FloatArray
    cpu_mhz: FloatArray
    gpu_mhz: FloatArray
    mem_mhz: FloatArray
    tpcs: int

    @classmethod
    def of(cls, board: Board, modes: ModeTable, tpcs: int | None) -> _Clocks:
        return cls(
            board=board,
            cores=modes.column("cpu_cores"),
            cpu_mhz=modes.column("cpu_mhz"),
            gpu_mhz=modes.column("gpu_mhz"),
            mem_mhz=modes.column("mem_mhz"),
            tpcs=board.gpu.tpcs if tpcs is None else tpcs,
        )

    @cached_property
    def cpu_v2(self) -> FloatArray:
        """Square of the relative voltage; the same for `gpu_v2`."""
        return self.board.cpu.voltage.at(self.cpu_mhz / self.board.top("cpu_mhz")) ** 2

    @cached_property
    def gpu_v2(self) -> FloatArray:
        return self.board.gpu.voltage.at(self.gpu_mhz / self.board.top("gpu_mhz")) ** 2

    @cached_property
    def stall_s(self) -> FloatArray:
        """Time of one cache miss of the CPU."""
        fixed_ns, memory_ns = self.board.cpu.stall_ns
        return s_from_ns(fixed_ns + memory_ns * self.board.top("mem_mhz") / self.mem_mhz)

    @cached_property
    def cpu_fv2(self) -> FloatArray:
        """Clock times voltage squared, 1 at the top; the same for `gpu_fv2`."""
        return self.cpu_mhz / self.board.top("cpu_mhz") * self.cpu_v2

    @cached_property
    def gpu_fv2(self) -> FloatArray:
        return self.gpu_mhz / self.board.top("gpu_mhz") * self.gpu_v2

    @property
    def gpu_share(self) -> float:
        """Share of the GPU's clusters that is on."""
        return self.tpcs / self.board.gpu.tpcs


@final
class Mechanism:
    """Computes operating points of one board."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def idle(self, modes: ModeTable, *, tpcs: int | None = None) -> OperatingPoints:
        """Return the board at rest, clocks set and nothing to do.

        Args:
            modes: `(n, 4)` modes of the board.
            tpcs: Clusters of the GPU that are on; all by default.
        """
        at = _Clocks.of(self.board, modes, tpcs)
        return OperatingPoints(
            time_ms=np.full(len(modes), np.nan), dynamic_w=self._rest_w(at), leakage_w=self._leakage_w(at)
        )

    def running(self, workload: Workload, modes: ModeTable, *, tpcs: int | None = None) -> OperatingPoints:
        """Return the board while it trains `workload`; arguments as of `idle`."""
        at = _Clocks.of(self.board, modes, tpcs)
        work = _Work.of(workload, self.board, at.tpcs)
        time_s = work.minibatch_s(at)
        # The training process works or, by CUDA's default, spins until the GPU is done: one core never rests.
        spinning_w = _columns(len(modes), cpu=self.board.cpu.busy_w * at.cpu_fv2)
        return OperatingPoints(
            time_ms=ms_from_s(time_s),
            dynamic_w=self._rest_w(at) + spinning_w + work.energy_j(at) / time_s[:, None],
            leakage_w=self._leakage_w(at),
        )

    def _rest_w(self, at: _Clocks) -> FloatArray:
        """Return what clock trees, memory and the rest draw with nothing to do, `(n, 6)`."""
        cpu, gpu, memory, rest = self.board.cpu, self.board.gpu, self.board.memory, self.board.rest
        mem = at.mem_mhz / self.board.top("mem_mhz")
        refresh_w, memory_w = memory.rest_w
        return _columns(
            len(mem),
            cpu=cpu.tree_w * at.cores * at.cpu_fv2,
            gpu=gpu.tree_w * at.gpu_share * at.gpu_fv2,
            cv=rest.cv_w,
            soc=rest.soc_w + memory.soc_w * mem,
            memory=refresh_w + memory_w * mem,
            system=rest.system_w,
        )

    def _leakage_w(self, at: _Clocks) -> FloatArray:
        return _columns(
            len(at.cores),
            cpu=self.board.cpu.leakage_w * at.cores * np.sqrt(at.cpu_v2),
            gpu=self.board.gpu.leakage_w * at.gpu_share * np.sqrt(at.gpu_v2),
        )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Work:
    """One minibatch of a workload on one board, with the counts that no clock changes."""

    board: Board
    cost: WorkloadCost
    math_cycles: FloatArray
    """`(n_kernels,)` GPU cycles of arithmetic."""
    stream_cycles: FloatArray
    """`(n_kernels,)` GPU cycles of traffic."""
    dram_bytes: FloatArray
    """`(n_kernels,)` traffic that the L2 cache does not spare the memory."""
    launch_cycles: FloatArray
    """`(n_kernels,)` CPU cycles."""
    loader_cycles: float
    loader_bytes: float
    storage_bytes: float

    @classmethod
    def of(cls, workload: Workload, board: Board, tpcs: int) -> _Work:
        cost, gpu = workload.cost, board.gpu
        cores = tpcs * gpu.cores_per_tpc
        # Dense kernels share out their outputs, and sums of more terms than these; the others every element.
        dense = cost.of_kind("conv", "depthwise", "matmul", "attention")
        parts = np.where(dense, np.maximum(cost.outputs, cost.operations / SPLIT_OPERATIONS), cost.operations)
        fill = parts / (parts + FILL_PARTS_PER_CORE * cores)
        rate = 2.0 * cores * np.array([PEAK_SHARE.get(kind, OTHER_PEAK_SHARE) for kind in cost.kinds])
        if gpu.tensor_flops_per_core:
            tensor_rate = TENSOR_PEAK_SHARE * gpu.tensor_flops_per_core * cores
            rate = np.where(cost.of_kind("conv"), tensor_rate, rate)
        spared = L2_SHARE * np.clip(gpu.l2_bytes / np.maximum(cost.traffic_bytes, 1.0), 0.0, 1.0)
        launches = cost.launches * np.array([LAUNCH_CYCLES[phase] for phase in cost.phases])
        pipeline, samples = workload.pipeline, workload.minibatch
        return cls(
            board=board,
            cost=cost,
            math_cycles=cost.operations / (rate * fill),
            stream_cycles=cost.traffic_bytes / (gpu.stream_bytes_per_cycle * tpcs * fill),
            dram_bytes=cost.traffic_bytes * (1.0 - spared),
            launch_cycles=launches * board.cpu.cycles_factor,
            loader_cycles=cycles_from_megacycles(pipeline.cpu_mcycles) * samples * board.cpu.cycles_factor,
            loader_bytes=pipeline.dram_bytes * samples,
            storage_bytes=pipeline.storage_bytes * samples,
        )

    def minibatch_s(self, at: _Clocks) -> FloatArray:
        """Return the time of one minibatch in steady state [s], `(n,)`."""
        # Seconds of one CPU cycle of the training process, stalls on memory included.
        cycle_s = 1.0 / hz_from_mhz(at.cpu_mhz) + MISSES_PER_CYCLE * at.stall_s
        step_s = self._step_s(at, cycle_s)
        loader_s = self.loader_cycles / hz_from_mhz(at.cpu_mhz)
        loader_s = loader_s + self.loader_bytes * LOADER_MISSES_PER_BYTE * at.stall_s
        main_s = self._main_cycles * cycle_s
        loading_s = loader_s / np.minimum(LOADER_WORKERS, at.cores)
        # Loader and training process share the cores: with few of them, the sum of their work counts.
        shared_s = (loader_s + main_s) / at.cores
        storage_s = np.full_like(
            step_s, self.storage_bytes / bytes_from_megabytes(self.board.rest.storage_mb_per_s)
        )
        return _slowest(step_s, loading_s, shared_s, storage_s)

    @property
    def _main_cycles(self) -> float:
        return float(self.launch_cycles.sum()) + STEP_CYCLES * self.board.cpu.cycles_factor

    def _step_s(self, at: _Clocks, cycle_s: FloatArray) -> FloatArray:
        """Return the time from the first launch to the end of the last kernel, and the loop around it.

        Kernel `i` starts when it has been launched and kernel `i - 1` is done. So the last ends at the
        largest, over `j`, of the time to launch kernels up to `j` plus the time to run `j` and all after it.
        """
        launched = np.cumsum(self.launch_cycles)
        pairs, place = _distinct(at.gpu_mhz, at.mem_mhz)
        # What is left to run from each kernel on, for each pair of clocks: (n_pairs, n_kernels).
        left_s = np.cumsum(self._kernels_s(pairs)[:, ::-1], axis=1)[:, ::-1]
        triples, triple_of = _distinct(cycle_s, place.astype(np.float64))
        ends = np.empty(len(triples))
        for pair in range(len(pairs)):
            rows = np.flatnonzero(triples[:, 1] == pair)
            for row in rows:
                ends[row] = np.max(triples[row, 0] * launched + left_s[pair])
        return ends[triple_of] + STEP_CYCLES * self.board.cpu.cycles_factor * cycle_s

    def _kernels_s(self, pairs: FloatArray) -> FloatArray:
        """Return the time of each kernel alone, `(n_pairs, n_kernels)`, at pairs of GPU and memory clock."""
        gpu_hz, mem_hz = hz_from_mhz(pairs[:, :1]), hz_from_mhz(pairs[:, 1:])
        bytes_per_s = MEMORY_SHARE * self.board.memory.bytes_per_cycle * mem_hz
        math_s = self.math_cycles / gpu_hz
        traffic_s = np.maximum(self.stream_cycles / gpu_hz, self.dram_bytes / bytes_per_s)
        busy_s = (math_s**OVERLAP + traffic_s**OVERLAP) ** (1 / OVERLAP)
        return busy_s + self.cost.launches * (LATENCY_GPU_CYCLES / gpu_hz + LATENCY_MEM_CYCLES / mem_hz)

    def energy_j(self, at: _Clocks) -> FloatArray:
        """Return the energy that one minibatch switches [J], `(n, 6)`."""
        cpu, gpu, memory = self.board.cpu, self.board.gpu, self.board.memory
        cpu_j = cpu.busy_w * self.loader_cycles / hz_from_mhz(self.board.top("cpu_mhz"))
        tensor = self.cost.of_kind("conv") & bool(gpu.tensor_flops_per_core)
        flop_pj = np.where(tensor, gpu.tensor_pj_per_flop, gpu.fp32_pj_per_flop)
        switched_pj = flop_pj * self.cost.operations + gpu.byte_pj * self.cost.traffic_bytes
        # Cycles in which the GPU has work; stalls on memory are clock-gated, so they do not count.
        cycles = np.maximum(self.math_cycles, self.stream_cycles) + LATENCY_GPU_CYCLES * self.cost.launches
        active_j = gpu.active_w * at.gpu_share * float(cycles.sum()) / hz_from_mhz(self.board.top("gpu_mhz"))
        moved_bytes = float(self.dram_bytes.sum()) + self.loader_bytes + self.storage_bytes
        return _columns(
            len(at.cores),
            cpu=cpu_j * at.cpu_v2,
            gpu=(joules_from_picojoules(float(switched_pj.sum())) + active_j) * at.gpu_v2,
            soc=joules_from_picojoules(memory.soc_pj_per_byte * moved_bytes),
            memory=joules_from_picojoules(memory.dram_pj_per_byte * moved_bytes),
        )


def _columns(rows: int, **components: FloatArray | float) -> FloatArray:
    """Return `(rows, 6)` from columns by the name of their component; those not named are 0."""
    out = np.zeros((rows, len(COMPONENTS)))
    for name, column in components.items():
        out[:, COMPONENTS.index(name)] = column
    return out


def _distinct(first: FloatArray, second: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return the distinct pairs of two columns, and for each row the place of its own."""
    pairs, place = np.unique(np.stack([first, second], axis=1), axis=0, return_inverse=True)
    return pairs, place.reshape(-1)


def _slowest(*stages_s: FloatArray) -> FloatArray:
    """Return a smooth maximum of overlapping stages: at least the slowest, at most the sum."""
    return np.sum([stage**PACE for stage in stages_s], axis=0) ** (1 / PACE)
