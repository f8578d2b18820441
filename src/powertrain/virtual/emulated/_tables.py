"""Frequency tables of Jetson kernels, with where each was published."""

from __future__ import annotations

from powertrain.units import hz_from_mhz

__all__ = [
    "EMC_HZ",
    "GPU_HZ",
    "NANO_CPU_KHZ",
    "THOR_CPU_KHZ",
    "TX2_CPU_KHZ",
    "carmel_and_a78_khz",
]


def carmel_and_a78_khz(top_khz: int) -> tuple[int, ...]:
    """Return the CPU table of Xavier and Orin: 115200 + 76800 k, then the true maximum.

    Jetson Linux 5.10 drivers/cpufreq/tegra194-cpufreq.c (init_freq_table); full lists read on boards in
    Trouvaille1/EcoEdgeInfer:nvpmplus.py and HazemAbdelhafez/variability:pyutils/hosts/agx.py agree.
    """
    return (*range(115_200, top_khz, 76_800), top_khz)


def _hz(*mhz: float) -> tuple[int, ...]:
    return tuple(round(hz_from_mhz(clock)) for clock in mhz)


TX2_CPU_KHZ = tuple(range(345_600, 2_035_201, 153_600))  # jingchen95/ERASE:DVFS_Impact.sh
NANO_CPU_KHZ = (  # Trouvaille1/EcoEdgeInfer:nvpmplus.py
    *(102_000, 204_000, 307_200, 403_200, 518_400, 614_400, 710_400, 825_600, 921_600, 1_036_800),
    *(1_132_800, 1_224_000, 1_326_000, 1_428_000, 1_479_000),
)
# Asked for by a public sweep tool for Thor, and rounded by the board: not its table. Assumed.
THOR_CPU_KHZ = (*range(648_000, 2_484_001, 108_000), 2_601_000)

GPU_HZ = {
    # Scripts of the time of the PowerTrain study; MLPerf inference v3.0 configurations use entries of it.
    "orin-agx-13": _hz(
        *(114.75, 216.75, 318.75, 420.75, 522.75, 624.75, 726.75, 828.75, 930.75),
        *(1032.75, 1134.75, 1236.75, 1300.5),
    ),
    # Trouvaille1/EcoEdgeInfer:nvpmplus.py; esainulab/slmdvfs (Jetson Linux 36.4.7).
    "orin-agx-11": _hz(*range(306, 1225, 102), 1300.5),
    # A greatest clock of 930.75 MHz is hinted at in public; the entries are assumed.
    "orin-agx-32gb": _hz(*range(306, 919, 102), 930.75),
    "orin-nx-16gb": _hz(*range(306, 919, 102)),  # a list read on a board
    "orin-nx-8gb": _hz(*range(306, 715, 102), 765),  # assumed
    "orin-nano": _hz(306, 408, 510, 612, 624.75),  # both ends: jetson_clocks --show
    "orin-nano-super": _hz(*range(306, 1021, 102)),  # TIARE006/powercap_orin_ws:logs/unlocked_full.csv
    # HazemAbdelhafez/variability:pyutils/hosts/agx.py.
    "xavier-agx": _hz(
        *(114.75, 216.75, 318.75, 420.75, 522.75, 624.75, 675.75),
        *(828.75, 905.25, 1032.75, 1198.5, 1236.75, 1338.75, 1377),
    ),
    # Trouvaille1/EcoEdgeInfer:nvpmplus.py.
    "xavier-nx": _hz(114.75, *range(204, 511, 102), 599.25, *(701.25 + 51 * k for k in range(9))),
    # thynics/jetson_dvfs:profiling/tegrastats_util/frequencies.py.
    "tx2": _hz(
        *(114.75, 216.75, 318.75, 420.75, 522.75, 624.75, 726.75, 854.25, 930.75),
        *(1032.75, 1122, 1236.75, 1300.5),
    ),
    "nano": _hz(*(76.8 * k for k in range(1, 13))),  # Trouvaille1/EcoEdgeInfer:nvpmplus.py
    "thor": _hz(*range(54, 1576, 9)),  # a public plan of experiments on a board; by default at least 315
}
EMC_HZ = {
    # Probed on an Orin Nano Super with Jetson Linux 36; the PowerTrain study used these four on AGX Orin.
    "orin": _hz(204, 665.6, 2133, 3199),
    "orin-nano": _hz(204, 665.6, 2133),  # derived from the greatest, which jetson_clocks --show prints
    # HazemAbdelhafez/variability:pyutils/hosts/agx.py.
    "xavier-agx": _hz(204, 408, 665.6, 800, 1065.6, 1331.2, 1600, 1866, 2133),
    "xavier-nx": _hz(204, 408, 665.6, 800, 1065.6, 1331.2, 1600, 1866),  # only the last two are published
    # jingchen95/ERASE:DVFS_Impact.sh; dipayan2/osldvfs:JetsonTX2/scripts/run_benchmark.py.
    "tx2": _hz(40.8, 68, 102, 204, 408, 665.6, 800, 1062.4, 1331.2, 1600, 1866),
    "nano": _hz(204, 408, 665.6, 800, 1065.6, 1331.2, 1600),  # of TX1, the same chip; assumed
    "thor": _hz(665.6, 2750, 3200, 4266),  # targets of locks in a public sweep tool
}
