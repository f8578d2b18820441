"""A first, simple simulated Jetson AGX Orin: mechanisms on one page, for trials without a board.

Time: a minibatch takes as long as the slower of its data loading (on the CPU) and its training step. The step
is launched by one core and runs on the GPU as two classes of kernels, each bound by arithmetic or by memory.
Power: what the board draws at rest, clock trees, and the energy that a minibatch switches over its time.

By construction a faster clock or one more core never makes a minibatch slower (each term of the time falls or
stays), and always makes power rise (no energy of a minibatch falls, its time does not rise, and the board at
rest draws more).

The tables of clocks are NVIDIA's. Everything marked "assumed" was set by hand so that totals come out
plausible: about 11.8 W at rest and just under 50 W for a ResNet, both at full clocks. It is a test bed for
methods, and no number of it is a statement about a real board.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from powertrain.devices._base import SIMULATED_SUFFIX, AbstractDevice
from powertrain.errors import DeviceError
from powertrain.records import FloatArray, ModeTable, PowerMode, ProfileTable
from powertrain.space import Knob, ModeSpace
from powertrain.units import ms_from_s

__all__ = ["SimulatedOrin"]

# AGX Orin 64 GB: 12 cores; 29 CPU clocks, 115.2 MHz + 76.8 k and the true maximum appended (the rule of
# NVIDIA's tegra194-cpufreq driver, and what boards with Jetson Linux R36 list); 13 GPU clocks as in older
# JetPack 5 (later releases have 11); 4 lockable memory clocks. 12 x 29 x 13 x 4 = 18,096 modes.
CPU_MHZ = (*(round(115.2 + 76.8 * k, 1) for k in range(28)), 2201.6)
GPU_MHZ = (
    *(114.75, 216.75, 318.75, 420.75, 522.75, 624.75, 726.75),
    *(828.75, 930.75, 1032.75, 1134.75, 1236.75, 1300.5),
)
MEM_MHZ = (204.0, 665.6, 2133.0, 3199.0)
SPACE = ModeSpace.of({"cpu_cores": range(1, 13), "cpu_mhz": CPU_MHZ, "gpu_mhz": GPU_MHZ, "mem_mhz": MEM_MHZ})
TOP_CPU_MHZ, TOP_GPU_MHZ, TOP_MEM_MHZ = CPU_MHZ[-1], GPU_MHZ[-1], MEM_MHZ[-1]

# nvpmodel_p3701_0000.conf (Jetson Linux R35): cores, then caps on the CPU, GPU and memory clock [MHz]. A cap
# that the table lacks counts as the nearest value below it. The 15 W and 30 W modes also gate 5 and 4 of the
# 8 clusters of GPU cores (TPCs), which is not modelled.
UNCAPPED = float("inf")
STOCK_CAPS = {
    "MAXN": (12.0, UNCAPPED, UNCAPPED, UNCAPPED),
    "MODE_15W": (4.0, 1113.6, 408.0, 2133.0),
    "MODE_30W": (8.0, 1728.0, 612.0, UNCAPPED),
    "MODE_50W": (12.0, 1497.6, 816.0, UNCAPPED),
}

GFLOPS_PER_MHZ = 2 * 2048e-3  # 2048 CUDA cores, one multiply-add per cycle each
DENSE_SHARE, LIGHT_SHARE = 0.65, 0.10  # of that peak, reached by dense and by element-wise kernels; assumed
MEM_GB_PER_S_PER_MHZ = 0.064  # 256 bit, double data rate: 204.8 GB/s at 3199 MHz
MEM_SHARE = 0.75  # of that peak, reached by streaming kernels; assumed
GPU_GB_PER_S_PER_MHZ = 0.40  # what the GPU's own clock lets through; assumed
LAUNCH_MCYCLES = 0.022  # CPU cycles to launch one kernel from Python, 10 us at full clock; assumed
LOADER_WORKERS = 4  # data-loading processes, as in PyTorch scripts for this board
SHARPNESS = 6.0  # how abruptly the slower of two overlapping stages takes over; assumed
NOISE_REL_SD = 0.015  # of one measured time or power; assumed

# Watts, all assumed: at rest with every knob at its top the sum is 11.8 W, as seen on a board (three rails).
BASE_W = 4.65
CORE_LEAK_W, GPU_LEAK_W = 0.1, 2.4  # of one core and of the GPU, at top voltage
MEM_REST_W = (0.35, 3.2)  # refresh, and what rises with the memory clock
CORE_TREE_W, GPU_TREE_W = 0.13, 6.0  # clock trees of a core and of the GPU, at top clock
CORE_BUSY_W, GPU_BUSY_W = 1.1, 29.0  # switched by a busy core and by dense kernels, at top clock
STREAM_SHARE = 0.12  # power of the GPU streaming memory at the top clocks, as a share of GPU_BUSY_W
TRAFFIC_J_PER_GB = 0.07
CPU_LOW_V, GPU_LOW_V = 0.62, 0.72  # lowest voltage, as a share of the highest


@final
@dataclass(frozen=True, kw_only=True)
class _Workload:
    """What one minibatch of 16 samples asks of the board, forward and backward and optimiser."""

    dense_gflop: float
    """Convolutions and matrix products: 3 x the forward pass x 16 samples."""
    dense_gb: float
    light_gb: float
    """Memory traffic of element-wise kernels: activations, normalisation, optimiser."""
    launches: float
    """Kernels launched one by one from Python."""
    host_mcycles: float
    """CPU work of the training process that nothing overlaps: Python, copies, synchronisation."""
    loader_mcycles: float
    """CPU work of decoding and augmenting, over all loader processes."""
    loader_gb: float


# Forward pass of one sample: ResNet-18 1.82 and MobileNet v3 large 0.23 G multiply-adds at 224 x 224
# (torchvision), YOLO v8n 8.7 GFLOP at 640 x 640 (Ultralytics), BERT base about 22.4 GFLOP at 128 tokens
# (2 x 85 M weights x 128, and attention). The LSTM, and all bytes, launches and CPU cycles, are assumed.
WORKLOADS: Mapping[str, _Workload] = {
    "resnet18": _Workload(
        dense_gflop=175.0,
        dense_gb=1.0,
        light_gb=1.6,
        launches=500,
        host_mcycles=4.0,
        loader_mcycles=330.0,
        loader_gb=0.20,
    ),
    "mobilenet_v3": _Workload(
        dense_gflop=22.0,
        dense_gb=0.9,
        light_gb=2.4,
        launches=1500,
        host_mcycles=4.0,
        loader_mcycles=560.0,
        loader_gb=0.35,
    ),
    "yolo_v8n": _Workload(
        dense_gflop=418.0,
        dense_gb=3.0,
        light_gb=5.0,
        launches=2600,
        host_mcycles=25.0,
        loader_mcycles=880.0,
        loader_gb=0.90,
    ),
    "bert_base": _Workload(
        dense_gflop=1075.0,
        dense_gb=7.0,
        light_gb=9.0,
        launches=2800,
        host_mcycles=6.0,
        loader_mcycles=15.0,
        loader_gb=0.01,
    ),
    "lstm": _Workload(
        dense_gflop=11.0,
        dense_gb=0.4,
        light_gb=0.25,
        launches=640,
        host_mcycles=4.0,
        loader_mcycles=6.0,
        loader_gb=0.01,
    ),
}


@final
class SimulatedOrin(AbstractDevice):
    """A Jetson AGX Orin 64GB made of formulas; see the module for what they are worth.

    Beyond the contract it knows the `truth`, which no real board tells.
    """

    SPEC: ClassVar[str] = "sim:orin-agx"

    def __init__(self) -> None:
        self.name = "Jetson AGX Orin 64GB" + SIMULATED_SUFFIX
        self.spec = self.SPEC
        self.simulated = True
        self.space = SPACE

    @override
    def modes(self, *, workload: str | None = None) -> ModeTable:
        if workload is not None:
            self._check_workload(workload)
        return self.space.table()

    @override
    def workloads(self) -> tuple[str, ...]:
        return tuple(WORKLOADS)

    @override
    def stock_modes(self) -> dict[str, PowerMode]:
        return {name: _capped(caps) for name, caps in STOCK_CAPS.items()}

    @override
    def measure(self, workload: str, modes: ModeTable, *, seed: int = 0) -> ProfileTable:
        """Return the truth with log-normal noise of 1.5 % on time and on power (see `AbstractDevice`)."""
        exact = self.truth(workload, modes)
        # One draw for every mode of the space, then a look-up: a mode's noise cannot depend on its company.
        rng = np.random.default_rng([seed, zlib.crc32(workload.encode())])
        noise = np.exp(NOISE_REL_SD * rng.standard_normal((len(self.space), 2)))[self._rows(exact.modes)]
        return ProfileTable(
            device=self.name,
            workload=workload,
            modes=exact.modes,
            time_ms=exact.time_ms * noise[:, 0],
            power_w=exact.power_w * noise[:, 1],
        )

    @override
    def notes(self) -> tuple[str, ...]:
        return (
            "Simulated by simple formulas: no number of it is a statement about a real board.",
            f"{len(self.space):,} modes: clocks of an AGX Orin 64GB with an older JetPack 5 (13 GPU clocks).",
            "Not modelled: heat, throttling, and the gated GPU parts of the 15 W and 30 W stock modes.",
        )

    def truth(self, workload: str, modes: ModeTable) -> ProfileTable:
        """Return time [ms] and power [W] without noise; takes and raises what `measure` does."""
        self._check_workload(workload)
        own = self._in_own_order(modes)
        self._rows(own)
        work, clocks = WORKLOADS[workload], _Clocks.of(own)
        time_s = _minibatch_s(work, clocks)
        running_w = clocks.cores * CORE_TREE_W * clocks.cpu_fv2 + GPU_TREE_W * clocks.gpu_fv2
        power_w = _rest_w(clocks) + running_w + _minibatch_j(work, clocks) / time_s
        return ProfileTable(
            device=self.name, workload=workload, modes=own, time_ms=ms_from_s(time_s), power_w=power_w
        )

    def idle_power_w(self, modes: ModeTable) -> FloatArray:
        """Return the power [W] at rest in each mode, `(n,)`."""
        own = self._in_own_order(modes)
        self._rows(own)
        return _rest_w(_Clocks.of(own))

    def _rows(self, modes: ModeTable) -> npt.NDArray[np.int64]:
        """Return the place of each mode in the space; a value off the tables is refused."""
        row = np.zeros(len(modes), dtype=np.int64)
        for knob in self.space.knobs:
            row = row * len(knob.values) + _positions(knob, modes.column(knob.name), self.name)
        return row


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Clocks:
    """Columns `(n,)` of some modes, and what follows from them alone."""

    cores: FloatArray
    cpu_mhz: FloatArray
    gpu_mhz: FloatArray
    mem_mhz: FloatArray
    cpu_v: FloatArray
    """Voltage as a share of the highest; the same for `gpu_v`."""
    gpu_v: FloatArray

    @classmethod
    def of(cls, modes: ModeTable) -> _Clocks:
        cpu_mhz, gpu_mhz = modes.column("cpu_mhz"), modes.column("gpu_mhz")
        return cls(
            cores=modes.column("cpu_cores"),
            cpu_mhz=cpu_mhz,
            gpu_mhz=gpu_mhz,
            mem_mhz=modes.column("mem_mhz"),
            cpu_v=_voltage(cpu_mhz / TOP_CPU_MHZ, CPU_LOW_V),
            gpu_v=_voltage(gpu_mhz / TOP_GPU_MHZ, GPU_LOW_V),
        )

    @property
    def cpu_fv2(self) -> FloatArray:
        """Clock times voltage squared, 1 at the top; the same for `gpu_fv2`."""
        return self.cpu_mhz / TOP_CPU_MHZ * self.cpu_v**2

    @property
    def gpu_fv2(self) -> FloatArray:
        return self.gpu_mhz / TOP_GPU_MHZ * self.gpu_v**2


def _minibatch_s(work: _Workload, at: _Clocks) -> FloatArray:
    """Return the time of one minibatch [s]."""
    gb_per_s = MEM_SHARE * MEM_GB_PER_S_PER_MHZ * at.mem_mhz
    gpu_s_per_gb = 1 / gb_per_s + 1 / (GPU_GB_PER_S_PER_MHZ * at.gpu_mhz)
    dense_s = work.dense_gflop / (DENSE_SHARE * GFLOPS_PER_MHZ * at.gpu_mhz)
    light_s = work.light_gb / (LIGHT_SHARE * GFLOPS_PER_MHZ * at.gpu_mhz)  # about one operation per byte
    gpu_s = _slower(dense_s, work.dense_gb * gpu_s_per_gb) + _slower(light_s, work.light_gb * gpu_s_per_gb)
    launch_s = LAUNCH_MCYCLES * work.launches / at.cpu_mhz
    host_s = work.host_mcycles / at.cpu_mhz
    step_s = _slower(gpu_s, launch_s) + host_s
    loader_s = work.loader_mcycles / at.cpu_mhz
    loading_s = loader_s / np.minimum(LOADER_WORKERS, at.cores) + work.loader_gb / gb_per_s
    # The loader and the training process share the cores: with few of them, the sum of their work counts.
    shared_s = (loader_s + launch_s + host_s) / at.cores
    return _slower(step_s, loading_s, shared_s)


def _minibatch_j(work: _Workload, at: _Clocks) -> FloatArray:
    """Return the energy that one minibatch switches [J]: work done, at the voltage it is done at."""
    cpu_s = (work.loader_mcycles + work.host_mcycles + LAUNCH_MCYCLES * work.launches) / TOP_CPU_MHZ
    dense_s = work.dense_gflop / (DENSE_SHARE * GFLOPS_PER_MHZ * TOP_GPU_MHZ)
    gpu_gb = work.dense_gb + work.light_gb
    stream_s = gpu_gb / (MEM_SHARE * MEM_GB_PER_S_PER_MHZ * TOP_MEM_MHZ)
    cpu_j = CORE_BUSY_W * cpu_s * at.cpu_v**2
    gpu_j = GPU_BUSY_W * (dense_s + STREAM_SHARE * stream_s) * at.gpu_v**2
    return cpu_j + gpu_j + TRAFFIC_J_PER_GB * (gpu_gb + work.loader_gb)


def _rest_w(at: _Clocks) -> FloatArray:
    """Return what the board draws with clocks set and nothing to do [W]."""
    refresh_w, mem_w = MEM_REST_W
    leak_w = CORE_LEAK_W * at.cores * at.cpu_v**2 + GPU_LEAK_W * at.gpu_v**2
    return BASE_W + refresh_w + mem_w * at.mem_mhz / TOP_MEM_MHZ + leak_w


def _voltage(clock: FloatArray, low: float) -> FloatArray:
    """Return the voltage for a clock, both as shares of the top; the curve is assumed."""
    return low + (1 - low) * clock**1.5


def _slower(*stages_s: FloatArray) -> FloatArray:
    """Return a smooth maximum of overlapping stages: at least the slowest, at most the sum."""
    return np.sum([s**SHARPNESS for s in stages_s], axis=0) ** (1 / SHARPNESS)


def _positions(knob: Knob, column: FloatArray, device: str) -> npt.NDArray[np.int64]:
    """Return for each value its place in the knob's table (to 1 part in 10^9)."""
    table = np.asarray(knob.values)
    middles = (table[1:] + table[:-1]) / 2
    place = np.searchsorted(middles, column)
    off = ~np.isclose(table[place], column, rtol=1e-9, atol=0)
    if off.any():
        asked, near = column[off][0], table[place][off][0]
        raise DeviceError(f"{device} has no {knob.name}={asked:.10g}: the nearest is {near:.10g}")
    return place.astype(np.int64)


def _capped(caps: tuple[float, ...]) -> PowerMode:
    """Return the mode with each knob at its greatest value within the cap."""
    values = {k.name: max(v for v in k.values if v <= cap) for k, cap in zip(SPACE.knobs, caps, strict=True)}
    return PowerMode(values)
