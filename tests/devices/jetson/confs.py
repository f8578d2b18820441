"""Confs of nvpmodel in the vocabulary of real ones, written by these tests; they stand for no release."""

from __future__ import annotations

from collections.abc import Sequence

CPUFREQ = "/sys/devices/system/cpu/cpu{}/cpufreq"
GPU = "/sys/devices/17000000.ga10b/devfreq/17000000.ga10b"
GPU_NEXT = "/sys/devices/platform/17000000.gpu/devfreq_dev"


def clock(name: str, folder: str, later: str, *, files: tuple[str, str, str]) -> str:
    """Return a CLOCK section with the paths of two kernels."""
    ends = zip(("FREQ_TABLE", "MAX_FREQ", "MIN_FREQ"), files, strict=True)
    lines = [(f"{arg} {folder}/{file}", f"{arg}_KNEXT {later}/{file}") for arg, file in ends]
    return "\n".join(
        (f"< PARAM TYPE=CLOCK NAME={name} >", *(a for a, _ in lines), *(b for _, b in lines), "")
    )


def params(cores: int, clusters: Sequence[int]) -> str:
    """Return the PARAM sections of a board whose clusters begin at these processors."""
    online = "\n".join(f"CORE_{n} /sys/devices/system/cpu/cpu{n}/online" for n in range(cores))
    cpu = ("scaling_available_frequencies", "scaling_max_freq", "scaling_min_freq")
    gpu = ("available_frequencies", "max_freq", "min_freq")
    return "\n".join(
        (
            "# PARAM sections",
            f"< PARAM TYPE=FILE NAME=CPU_ONLINE >\n{online}\n",
            "< PARAM TYPE=FILE NAME=TPC_POWER_GATING >",
            "TPC_PG_MASK /sys/devices/gpu.0/tpc_pg_mask",
            "TPC_PG_MASK_KNEXT /sys/devices/platform/gpu.0/tpc_pg_mask\n",
            "< PARAM TYPE=FILE NAME=GPU_POWER_CONTROL_ENABLE >",
            "GPU_PWR_CNTL_EN /sys/devices/gpu.0/power/control\n",
            "< PARAM TYPE=FILE NAME=GPU_POWER_CONTROL_DISABLE >",
            "GPU_PWR_CNTL_DIS /sys/devices/gpu.0/power/control\n",
            *(
                clock(f"CPU_A78_{i}", CPUFREQ.format(first), CPUFREQ.format(first), files=cpu)
                for i, first in enumerate(clusters)
            ),
            clock("GPU", GPU, GPU_NEXT, files=gpu),
            "<PARAM TYPE=CLOCK NAME=EMC >",
            "MAX_FREQ /sys/kernel/nvpmodel_emc_cap/emc_iso_cap",
            "MAX_FREQ_KNEXT /sys/kernel/nvpmodel_clk_cap/emc\n",
            "< PARAM TYPE=CLOCK NAME=DLA0_CORE >",
            "MAX_FREQ /sys/devices/platform/host1x/nvdla0/acm/clk_cap/dla0_core\n",
            "< PARAM TYPE=HWMON NAME=VDDIN_OC_LIMIT >",
            "WARN /sys/devices/platform/c250000.i2c/i2c-7/7-0040/hwmon curr1_max\n",
        )
    )


def model(
    number: int,
    name: str,
    *,
    cores: int,
    online: int,
    clusters: Sequence[int],
    caps: tuple[int, int, int] = (-1, -1, -1),
    mask: int = 240,
) -> str:
    """Return a POWER_MODEL section; `caps` are CPU [kHz], GPU and EMC [Hz]."""
    return "\n".join(
        (
            f"< POWER_MODEL ID={number} NAME={name} >",
            *(f"CPU_ONLINE CORE_{n} {int(n < online)}" for n in range(cores)),
            f"TPC_POWER_GATING TPC_PG_MASK {mask}",
            "GPU_POWER_CONTROL_ENABLE GPU_PWR_CNTL_EN on",
            *(
                f"CPU_A78_{i} MIN_FREQ 729600\nCPU_A78_{i} MAX_FREQ {caps[0]}"
                for i, first in enumerate(clusters)
                if first < online
            ),
            "GPU MIN_FREQ 0",
            f"GPU MAX_FREQ {caps[1]}",
            "GPU_POWER_CONTROL_DISABLE GPU_PWR_CNTL_DIS auto",
            f"EMC MAX_FREQ {caps[2]}",
            "DLA0_CORE MAX_FREQ 614400000",
            "VDDIN_OC_LIMIT WARN 3000",
            "",
        )
    )


def orin_like(cores: int = 12, clusters: Sequence[int] = (0, 4, 8)) -> str:
    """Return a conf with three modes, the last of which is the default."""
    four = min(4, cores)
    return "\n".join(
        (
            params(cores, clusters),
            model(0, "MAXN", cores=cores, online=cores, clusters=clusters, mask=0),
            model(
                1,
                "MODE_15W",
                cores=cores,
                online=four,
                clusters=clusters,
                caps=(1113600, 408000000, 2133000000),
                mask=248,
            ),
            model(2, "MODE_30W", cores=cores, online=cores, clusters=clusters, caps=(1728000, 612000000, 0)),
            "# mandatory section to configure the default power mode",
            "< PM_CONFIG DEFAULT=2 >",
            "< FAN_CONFIG DEFAULT=quiet >",
            "",
        )
    )


TX2_LIKE = """\
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online
CORE_1 /sys/devices/system/cpu/cpu1/online
CORE_2 /sys/devices/system/cpu/cpu2/online
CORE_3 /sys/devices/system/cpu/cpu3/online
CORE_4 /sys/devices/system/cpu/cpu4/online
CORE_5 /sys/devices/system/cpu/cpu5/online

< PARAM TYPE=CLOCK NAME=CPU_A57 >
MAX_FREQ /sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq
MIN_FREQ /sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq

< PARAM TYPE=CLOCK NAME=CPU_DENVER >
MAX_FREQ /sys/devices/system/cpu/cpu1/cpufreq/scaling_max_freq
MIN_FREQ /sys/devices/system/cpu/cpu1/cpufreq/scaling_min_freq

< PARAM TYPE=CLOCK NAME=GPU >
MAX_FREQ /sys/devices/17000000.gp10b/devfreq/17000000.gp10b/max_freq
MIN_FREQ /sys/devices/17000000.gp10b/devfreq/17000000.gp10b/min_freq

< PARAM TYPE=CLOCK NAME=EMC >
MAX_FREQ /sys/kernel/nvpmodel_emc_cap/emc_iso_cap

< POWER_MODEL ID=1 NAME=MAXQ >
CPU_ONLINE CORE_1 0
CPU_ONLINE CORE_2 0
CPU_ONLINE CORE_3 1
CPU_ONLINE CORE_4 1
CPU_ONLINE CORE_5 1
CPU_A57 MAX_FREQ 1200000
GPU MAX_FREQ 850000000
EMC MAX_FREQ 1331200000

< PM_CONFIG DEFAULT=1 >
"""
