"""The simulated boards: records of published constants, each with its source or marked as assumed.

Tables of clocks, cores, rails, stock modes and peak rates are NVIDIA's. Voltage curves, energies and
efficiencies are not published; they were set once, from public measurements on real boards
(`docs/simulated-boards.md` has both side by side), before any method was scored on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from powertrain.records import PowerMode
from powertrain.space import Knob, ModeSpace
from powertrain.virtual.simulated._records import (
    COMPONENTS,
    Board,
    Cpu,
    Gpu,
    Heat,
    Memory,
    Rail,
    Rest,
    Stock,
    Voltage,
)

__all__ = ["BOARDS"]


# The kernel's table of CPU clocks: 115.2 MHz + 76.8 k and the true maximum appended (tegra194-cpufreq).
def _cpu_mhz(top_mhz: float) -> tuple[float, ...]:
    grid = [round(115.2 + 76.8 * k, 1) for k in range(math.ceil((top_mhz - 115.2) / 76.8))]
    return (*grid, top_mhz)


def _space(cores: int, cpu_top_mhz: float, gpu_mhz: Sequence[float], mem_mhz: Sequence[float]) -> ModeSpace:
    return ModeSpace.of(
        {
            "cpu_cores": range(1, cores + 1),
            "cpu_mhz": _cpu_mhz(cpu_top_mhz),
            "gpu_mhz": gpu_mhz,
            "mem_mhz": mem_mhz,
        }
    )


MAX = math.inf
"""No cap."""

Caps = tuple[float, float, float, float, int]
"""Cores, caps on the CPU, GPU and memory clock [MHz], and GPU clusters left on."""


def _stock(space: ModeSpace, caps: Mapping[str, Caps]) -> dict[str, Stock]:
    """Return stock modes; a cap that the table lacks takes the nearest entry.

    Nearest, because the confs' 408, 612 and 816 MHz then become the 420.75, 624.75 and 828.75 MHz that
    guides of the releases with the older table name.
    """
    return {
        name: Stock(
            mode=PowerMode(
                {k.name: _nearest(k, cap) for k, cap in zip(space.knobs, limits[:4], strict=True)}
            ),
            tpcs=limits[4],
        )
        for name, limits in caps.items()
    }


def _nearest(knob: Knob, cap: float) -> float:
    return knob.values[-1] if math.isinf(cap) else min(knob.values, key=lambda value: abs(value - cap))


# Orin.
# Chip: Tegra234, Samsung 8 nm; Cortex-A78AE; Ampere GPU, 128 CUDA cores and 4 tensor cores per SM, 4 MB L2
# and 2048 cores on AGX (technical brief of the AGX Orin series). 170 sparse INT8 TOPS of 64 tensor cores at
# 1.3 GHz are 128 TF32 multiply-adds per cycle and tensor core: 8 operations per cycle and CUDA core.
# PyTorch uses TF32 for convolutions and not for matrix products, unless told otherwise.
#
# Stress tests on an AGX Orin in its stock modes (forum t/323456): VDD_GPU_SOC 40.4, 18.4, 7.6 and 5.2 W with
# 8, 8, 4 and 3 TPCs at 1300, 828, 612 and 408 MHz. Less 3 W for the SoC that is 4.7, 1.9, 1.15 and 0.73 W
# per TPC, so a voltage of 1, 0.81, 0.72 and 0.71 of the top: a floor of 0.70 up to 43 % of the top clock.
# VDD_CPU_CV 15.2, 6.0, 5.6 and 1.6 W with 12, 12, 8 and 4 cores at 2202, 1498, 1728 and 1114 MHz: 1.27, 0.5,
# 0.7 and 0.4 W per core, so 1, 0.77, 0.84: a floor of 0.70 up to 55 %.
ORIN_GPU_V = Voltage(floor=0.70, knee=0.43)
ORIN_CPU_V = Voltage(floor=0.70, knee=0.55)

ORIN_CPU = Cpu(
    cycles_factor=1.0,
    stall_ns=(70.0, 40.0),  # assumed: about 110 ns to LPDDR5 at its top clock
    voltage=ORIN_CPU_V,
    busy_w=1.10,  # 1.27 W per core in the stress test, less leakage and tree
    tree_w=0.04,  # assumed
    leakage_w=0.06,  # assumed
)
AGX_ORIN_GPU = Gpu(
    tpcs=8,
    cores_per_tpc=256,
    tensor_flops_per_core=8.0,
    l2_bytes=4e6,
    stream_bytes_per_cycle=48.0,  # assumed
    voltage=ORIN_GPU_V,
    fp32_pj_per_flop=4.2,  # with active_w, 34 W at 5.3 TFLOPS: the stress test less SoC and leakage
    tensor_pj_per_flop=2.2,  # this and byte_pj: from the power of a measured ResNet-50 training
    byte_pj=95.0,
    active_w=10.0,  # assumed
    tree_w=1.6,  # assumed
    leakage_w=2.2,  # assumed
)
AGX_ORIN_MEMORY = Memory(
    bytes_per_cycle=64.0,  # 256 bit: 204.8 GB/s at 3200 MHz
    rest_w=(0.5, 1.3),  # assumed
    soc_w=1.2,  # assumed
    dram_pj_per_byte=60.0,  # this and the next: 12 pJ per bit with PHY, controller and converters; assumed
    soc_pj_per_byte=40.0,
)
ORIN_MEM_MHZ = (204.0, 665.6, 2133.0, 3199.0)
OLD_GPU_MHZ = (
    *(114.75, 216.75, 318.75, 420.75, 522.75, 624.75, 726.75),
    *(828.75, 930.75, 1032.75, 1134.75, 1236.75, 1300.5),
)
NEW_GPU_MHZ = (306, 408, 510, 612, 714, 816, 918, 1020, 1122, 1224, 1300.5)

# nvpmodel_p3701_0000.conf (Jetson Linux R35). tpc_pg_mask 248 and 240 turn 5 and 4 of the 8 clusters off.
AGX_ORIN_CAPS: Mapping[str, Caps] = {
    "MAXN": (12, MAX, MAX, MAX, 8),
    "MODE_15W": (4, 1113.6, 408, 2133, 3),
    "MODE_30W": (8, 1728, 612, MAX, 4),
    "MODE_50W": (12, 1497.6, 816, MAX, 8),
}


def _agx_orin(spec: str, gpu_mhz: Sequence[float], note: str) -> Board:
    space = _space(12, 2201.6, gpu_mhz, ORIN_MEM_MHZ)
    return Board(
        spec=spec,
        title="Jetson AGX Orin 64GB",
        space=space,
        cpu=ORIN_CPU,
        gpu=AGX_ORIN_GPU,
        memory=AGX_ORIN_MEMORY,
        # At rest with all clocks at the top the three rails of a board sum to 11.8 W.
        rest=Rest(soc_w=1.9, cv_w=0.3, system_w=2.1, storage_mb_per_s=1500.0),  # NVMe
        heat=Heat(ambient_c=25.0, k_per_w=0.7, time_constant_s=90.0),  # assumed
        # INA3221 at 1-0040: 2 milliohm shunts on 20 V rails (0.4 W steps) and on 5 V (0.1 W steps).
        rails=(
            Rail(label="VDD_GPU_SOC", components=("gpu", "soc"), step_w=0.398),
            Rail(label="VDD_CPU_CV", components=("cpu", "cv"), step_w=0.398),
            Rail(label="VIN_SYS_5V0", components=("memory", "system"), step_w=0.099),
        ),
        stock=_stock(space, AGX_ORIN_CAPS),
        default_stock="MODE_30W",
        notes=(note, "Board power is the sum of its three rails, as on the real board."),
    )


ORIN_NANO_GPU = replace(
    AGX_ORIN_GPU,
    tpcs=4,  # 1024 CUDA cores; half of the AGX's clusters, so half of what all of them draw
    l2_bytes=2e6,  # assumed
    # Energies are per operation at the top voltage of this module, whose top clock is lower: see _scaled.
    active_w=5.0,
    tree_w=0.8,
    leakage_w=1.1,
)


def _orin_nano(
    spec: str,
    title: str,
    cpu_top_mhz: float,
    gpu_mhz: Sequence[float],
    mem_mhz: Sequence[float],
    caps: Mapping[str, Caps],
    default: str,
    note: str,
) -> Board:
    space = _space(6, cpu_top_mhz, gpu_mhz, mem_mhz)
    return Board(
        spec=spec,
        title=title,
        space=space,
        cpu=_cpu_below(ORIN_CPU, cpu_top_mhz / 2201.6),
        gpu=_gpu_below(ORIN_NANO_GPU, gpu_mhz[-1] / 1300.5),
        memory=Memory(
            bytes_per_cycle=32.0,  # 128 bit: 68 GB/s at 2133 MHz, 102 at 3199
            rest_w=(0.3, 0.7 * mem_mhz[-1] / 3199),
            soc_w=0.6 * mem_mhz[-1] / 3199,
            dram_pj_per_byte=60.0,
            soc_pj_per_byte=40.0,
        ),
        # A board at rest with low clocks: VDD_IN 4.65 W, of which VDD_SOC 1.5 W and VDD_CPU_GPU_CV 0.6 W.
        rest=Rest(soc_w=1.3, cv_w=0.1, system_w=1.8, storage_mb_per_s=1500.0),
        heat=Heat(ambient_c=25.0, k_per_w=1.6, time_constant_s=60.0),  # assumed
        # INA3221 at 1-0040: 5 milliohm shunts, 8 mA on 5 V. VDD_IN is the total, the others parts of it.
        rails=(
            Rail(label="VDD_IN", components=COMPONENTS, step_w=0.040, role="total"),
            Rail(label="VDD_CPU_GPU_CV", components=("cpu", "gpu", "cv"), step_w=0.040, role="subset"),
            Rail(label="VDD_SOC", components=("soc",), step_w=0.040, role="subset"),
        ),
        stock=_stock(space, caps),
        default_stock=default,
        notes=(note, "Board power is VDD_IN, as on the real board."),
    )


def _cpu_below(cpu: Cpu, share: float) -> Cpu:
    """Return the same cores with a lower top clock, at that clock's lower voltage."""
    v = float(cpu.voltage.at(np.array(share)))
    return replace(
        cpu,
        voltage=_voltage_below(cpu.voltage, share),
        busy_w=cpu.busy_w * share * v**2,
        tree_w=cpu.tree_w * share * v**2,
        leakage_w=cpu.leakage_w * v,
    )


def _gpu_below(gpu: Gpu, share: float) -> Gpu:
    """Return the same GPU with a lower top clock, at that clock's lower voltage."""
    v = float(gpu.voltage.at(np.array(share)))
    return replace(
        gpu,
        voltage=_voltage_below(gpu.voltage, share),
        fp32_pj_per_flop=gpu.fp32_pj_per_flop * v**2,
        tensor_pj_per_flop=gpu.tensor_pj_per_flop * v**2,
        byte_pj=gpu.byte_pj * v**2,
        active_w=gpu.active_w * share * v**2,
        tree_w=gpu.tree_w * share * v**2,
        leakage_w=gpu.leakage_w * v,
    )


def _voltage_below(voltage: Voltage, share: float) -> Voltage:
    return Voltage(floor=voltage.floor / float(voltage.at(np.array(share))), knee=voltage.knee / share)


# Xavier.
# Tegra194, TSMC 12 nm; 8 Carmel cores; Volta GPU of 4 TPCs, 512 CUDA cores at 1377 MHz (1.41 TFLOPS); its
# tensor cores take half precision only, so fp32 training runs on the CUDA cores. L2 of 512 kB.
XAVIER_MEM_MHZ = (204.0, 408.0, 665.6, 800.0, 1065.6, 1331.2, 1600.0, 1866.0, 2133.0)
XAVIER_GPU_MHZ = (
    *(114.75, 216.75, 318.75, 420.75, 522.75, 624.75, 675.75),
    *(828.75, 905.25, 1032.75, 1198.5, 1236.75, 1338.75, 1377.0),
)
# nvpmodel_t194.conf. tpc_pg_mask 5 turns two of the four clusters off.
XAVIER_CAPS: Mapping[str, Caps] = {
    "MAXN": (8, MAX, MAX, MAX, 4),
    "MODE_10W": (2, 1200, 520, 1065.6, 2),
    "MODE_15W": (4, 1200, 670, 1331.2, 4),
    "MODE_30W_ALL": (8, 1200, 900, 1600, 4),
    "MODE_30W_6CORE": (6, 1450, 900, 1600, 4),
    "MODE_30W_4CORE": (4, 1780, 900, 1600, 4),
    "MODE_30W_2CORE": (2, 2100, 900, 1600, 4),
    "MODE_15W_DESKTOP": (4, 2188.8, 670, 1331.2, 4),
}


def _xavier() -> Board:
    space = _space(8, 2265.6, XAVIER_GPU_MHZ, XAVIER_MEM_MHZ)
    return Board(
        spec="sim:xavier-agx",
        title="Jetson AGX Xavier",
        space=space,
        cpu=Cpu(
            cycles_factor=1.15,  # assumed: Carmel does a little less per cycle on branchy code
            stall_ns=(80.0, 60.0),  # assumed
            voltage=Voltage(floor=0.68, knee=0.45),  # assumed
            busy_w=1.9,  # assumed
            tree_w=0.08,
            leakage_w=0.12,
        ),
        gpu=Gpu(
            tpcs=4,
            cores_per_tpc=128,
            tensor_flops_per_core=0.0,
            l2_bytes=512e3,
            stream_bytes_per_cycle=48.0,  # assumed
            voltage=Voltage(floor=0.62, knee=0.35),  # assumed: about 0.65 to 1.05 V
            fp32_pj_per_flop=8.0,  # assumed: 12 nm
            tensor_pj_per_flop=0.0,
            byte_pj=120.0,  # assumed: 12 nm
            active_w=6.0,
            tree_w=1.2,
            leakage_w=1.2,
        ),
        memory=Memory(
            bytes_per_cycle=64.0,  # 256 bit: 136.5 GB/s at 2133 MHz
            rest_w=(0.4, 0.8),
            soc_w=1.0,
            dram_pj_per_byte=70.0,  # LPDDR4x, assumed
            soc_pj_per_byte=45.0,
        ),
        # Rails of a board at rest in a stock mode: GPU 1.2, CPU 0.4, SOC 2.5, CV 0, VDDRQ 0.2, SYS5V 2.7 W.
        rest=Rest(soc_w=1.6, cv_w=0.0, system_w=2.7, storage_mb_per_s=300.0),  # eMMC
        heat=Heat(ambient_c=25.0, k_per_w=0.9, time_constant_s=80.0),  # assumed
        # INA3221 at 1-0040 and 1-0041: 5 milliohm shunts, 8 mA; about 0.15 W on the 19 V rails.
        rails=(
            Rail(label="GPU", components=("gpu",), step_w=0.152),
            Rail(label="CPU", components=("cpu",), step_w=0.152),
            Rail(label="SOC", components=("soc",), step_w=0.152),
            Rail(label="CV", components=("cv",), step_w=0.152),
            Rail(label="VDDRQ", components=("memory",), step_w=0.152),
            Rail(label="SYS5V", components=("system",), step_w=0.040),
        ),
        stock=_stock(space, XAVIER_CAPS),
        default_stock="MODE_15W",
        notes=("29,232 modes: 9 memory clocks.", "Board power is the sum of its six rails."),
    )


BOARDS: Mapping[str, Board] = {
    board.spec: board
    for board in (
        _agx_orin(
            "sim:orin-agx", OLD_GPU_MHZ, "18,096 modes: the 13 GPU clocks of older JetPack 5 releases."
        ),
        _agx_orin(
            "sim:orin-agx-r36", NEW_GPU_MHZ, "15,312 modes: the 11 GPU clocks of Jetson Linux R36 and later."
        ),
        _xavier(),
        _orin_nano(
            "sim:orin-nano",
            "Jetson Orin Nano 8GB",
            1510.4,
            (306.0, 408.0, 510.0, 612.0, 624.75),
            (204.0, 665.6, 2133.0),
            # nvpmodel_p3767_0003.conf; of the 8 clusters of the die 4 are usable, mask 252 leaves 2.
            {"15W": (6, MAX, MAX, MAX, 4), "7W": (4, 960, 408, 2133, 2)},
            "15W",
            "1,800 modes: the configuration before the Super update.",
        ),
        _orin_nano(
            "sim:orin-nano-super",
            "Jetson Orin Nano 8GB Super",
            1728.0,
            (306.0, 408.0, 510.0, 612.0, 714.0, 816.0, 918.0, 1020.0),
            ORIN_MEM_MHZ,
            {
                "15W": (6, 1497.6, 612, 2133, 4),
                "25W": (6, 1344, 918, 3199, 4),
                "MAXN_SUPER": (6, MAX, MAX, MAX, 4),
                "7W": (4, 960, 408, 2133, 2),
            },
            "25W",
            "4,224 modes: the configuration after the Super update.",
        ),
    )
}
"""All simulated boards by the spec that opens them."""
