"""Stock nvpmodel modes, as in the confs that LineageOS ships (android_device_nvidia_*:nvpmodel/*.conf)."""

from __future__ import annotations

from powertrain.virtual.emulated._records import PowerModel

__all__ = ["DEFAULT_MODEL", "POWER_MODELS"]

MHZ = 1_000_000
"""Hertz of a megahertz, as the confs write them."""


def _cpus(count: int) -> tuple[int, ...]:
    return tuple(range(count))


def _model(
    number: int,
    name: str,
    online: int | tuple[int, ...],
    caps: tuple[int | None, int | None, int | None] = (None, None, None),
    masks: tuple[int | None, int | None] = (None, None),
    gpu_least_hz: int | None = None,
) -> PowerModel:
    cpu_khz, gpu_hz, emc_hz = caps
    return PowerModel(
        id=number,
        name=name,
        online=online if isinstance(online, tuple) else _cpus(online),
        cpu_khz=cpu_khz,
        gpu_hz=gpu_hz,
        emc_hz=emc_hz,
        tpc_mask=masks[0],
        fbp_mask=masks[1],
        gpu_least_hz=gpu_least_hz,
    )


A57_ONLY = (0, 3, 4, 5)
XAVIER_15W_EMC, XAVIER_30W = 1_331_200_000, (900 * MHZ, 1600 * MHZ)
NX_GPU, NX_GPU_10W = 1_109_250_000, 803_250_000
THOR_GPU_LEAST = 315 * MHZ  # its table begins at 54 MHz: a public plan of experiments on a board in MAXN

POWER_MODELS: dict[str, tuple[PowerModel, ...]] = {
    "orin-agx": (  # nvpmodel_p3701_0000.conf
        _model(0, "MAXN", 12, masks=(0, None)),
        _model(1, "MODE_15W", 4, (1_113_600, 408 * MHZ, 2133 * MHZ), (248, None)),
        _model(2, "MODE_30W", 8, (1_728_000, 612 * MHZ, None), (240, None)),
        _model(3, "MODE_50W", 12, (1_497_600, 816 * MHZ, None), (0, None)),
    ),
    "orin-agx-32gb": (  # nvpmodel_p3701_0004.conf
        _model(0, "MAXN", 8, masks=(128, None)),
        _model(1, "MODE_15W", 4, (1_113_600, 408 * MHZ, 2133 * MHZ), (248, None)),
        _model(2, "MODE_30W", 8, (1_728_000, 612 * MHZ, None), (240, None)),
        _model(3, "MODE_40W", 8, (1_497_600, 816 * MHZ, None), (128, None)),
    ),
    "orin-nx-16gb": (  # nvpmodel_p3767_0000.conf
        _model(0, "MAXN", 8, masks=(240, 2)),
        _model(1, "10W", 4, (1_190_400, 612 * MHZ, 2133 * MHZ), (252, 2)),
        _model(2, "15W", 4, (1_651_200, 612 * MHZ, None), (252, 2)),
        _model(3, "25W", 8, (1_497_600, 408 * MHZ, None), (240, 2)),
    ),
    "orin-nx-8gb": (  # nvpmodel_p3767_0001.conf
        _model(0, "MAXN", 6, masks=(240, 2)),
        _model(1, "10W", 4, (1_190_400, 612 * MHZ, 2133 * MHZ), (252, 2)),
        _model(2, "15W", 4, (1_420_800, 612 * MHZ, None), (252, 2)),
        _model(3, "20W", 6, (1_497_600, 408 * MHZ, None), (240, 2)),
    ),
    "orin-nano": (  # nvpmodel_p3767_0003.conf
        _model(0, "15W", 6, masks=(240, 2)),
        _model(1, "7W", 4, (960_000, 408 * MHZ, 2133 * MHZ), (252, 2)),
    ),
    "orin-nano-super": (  # public lists of the Super modes; the masks of MAXN_SUPER were seen live
        _model(0, "15W", 6, (1_497_600, 612 * MHZ, 2133 * MHZ), (240, 2)),
        _model(1, "25W", 6, (1_344_000, 918 * MHZ, 3199 * MHZ), (240, 2)),
        _model(2, "MAXN_SUPER", 6, masks=(240, 2)),
        _model(3, "7W", 4, (960_000, 408 * MHZ, 2133 * MHZ), (252, 2)),
    ),
    "xavier-agx": (  # nvpmodel_t194.conf
        _model(0, "MAXN", 8, masks=(0, None)),
        _model(1, "MODE_10W", 2, (1_200_000, 520 * MHZ, 1_065_600_000), (5, None)),
        _model(2, "MODE_15W", 4, (1_200_000, 670 * MHZ, XAVIER_15W_EMC), (0, None)),
        _model(3, "MODE_30W_ALL", 8, (1_200_000, *XAVIER_30W), (0, None)),
        _model(4, "MODE_30W_6CORE", 6, (1_450_000, *XAVIER_30W), (0, None)),
        _model(5, "MODE_30W_4CORE", 4, (1_780_000, *XAVIER_30W), (0, None)),
        _model(6, "MODE_30W_2CORE", 2, (2_100_000, *XAVIER_30W), (0, None)),
        _model(7, "MODE_15W_DESKTOP", 4, (2_188_800, 670 * MHZ, XAVIER_15W_EMC), (0, None), 318_750_000),
    ),
    "xavier-nx": (  # nvpmodel_t194_p3668.conf
        _model(0, "MODE_15W_2CORE", 2, (1_907_200, NX_GPU, 1600 * MHZ), (1, None)),
        _model(1, "MODE_15W_4CORE", 4, (1_420_800, NX_GPU, 1600 * MHZ), (1, None)),
        _model(2, "MODE_15W_6CORE", 6, (1_420_800, NX_GPU, 1600 * MHZ), (1, None)),
        _model(3, "MODE_10W_2CORE", 2, (1_497_600, NX_GPU_10W, 1600 * MHZ), (1, None)),
        _model(4, "MODE_10W_4CORE", 4, (1_190_400, NX_GPU_10W, 1600 * MHZ), (1, None)),
        _model(5, "MODE_10W_DESKTOP", 4, (1_907_200, 510 * MHZ, 1600 * MHZ), (1, None)),
        _model(6, "MODE_20W_2CORE", 2, (1_907_200, NX_GPU, 1866 * MHZ), (1, None)),
        _model(7, "MODE_20W_4CORE", 4, (1_420_800, NX_GPU, 1866 * MHZ), (1, None)),
        _model(8, "MODE_20W_6CORE", 6, (1_420_800, NX_GPU, 1866 * MHZ), (1, None)),
    ),
    "tx2": (  # nvpmodel_t186.conf
        _model(0, "MAXN", 6),
        _model(1, "MAXQ", A57_ONLY, (1_200_000, 850 * MHZ, 1_331_200_000)),
        _model(2, "MAXP_CORE_ALL", 6, (1_400_000, 1120 * MHZ, 1600 * MHZ)),
        _model(3, "MAXP_CORE_ARM", A57_ONLY, (2_000_000, 1120 * MHZ, 1600 * MHZ)),
    ),
    "nano": (  # rbonghi/jetson_stats:tests/nvpmodel
        _model(0, "MAXN", 4),
        _model(1, "5W", 2, (918_000, 640 * MHZ, 1600 * MHZ)),
    ),
    "thor": (  # tables derived from confs in public; modes 2 and 3 need a reboot for the GPU mask
        _model(0, "MAXN", 14, (2_601_000, 1575 * MHZ, 4266 * MHZ), gpu_least_hz=THOR_GPU_LEAST),
        _model(1, "120W", 14, (2_601_000, 1386 * MHZ, 4266 * MHZ), gpu_least_hz=THOR_GPU_LEAST),
        _model(2, "90W", 12, (2_601_000, 1530 * MHZ, 4266 * MHZ), gpu_least_hz=THOR_GPU_LEAST),
        _model(3, "70W", 12, (1_998_000, 1530 * MHZ, 4266 * MHZ), gpu_least_hz=THOR_GPU_LEAST),
    ),
}
"""By the name of the board."""

DEFAULT_MODEL = {
    "orin-agx": 2,
    "orin-agx-32gb": 2,
    "orin-nx-16gb": 2,
    "orin-nx-8gb": 2,
    "orin-nano": 0,
    "orin-nano-super": 1,
    "xavier-agx": 2,  # rbonghi/jetson_stats tests; LineageOS has 7
    "xavier-nx": 5,  # LineageOS; that of Jetson Linux is not published where we looked
    "tx2": 2,
    "nano": 0,
    "thor": 1,
}
"""The one that the board boots in, as the conf says."""
