"""All emulated boards: every Jetson under each generation of JetPack that runs on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, final

from powertrain.errors import UnknownNameError
from powertrain.virtual.emulated._channels import (
    AGX_ORIN_CHANNELS,
    AGX_XAVIER_CHANNELS,
    NANO_CHANNELS,
    THOR_CHANNELS,
    TX2_CHANNELS,
    module_channels,
)
from powertrain.virtual.emulated._models import DEFAULT_MODEL, POWER_MODELS
from powertrain.virtual.emulated._physics import physics_of
from powertrain.virtual.emulated._records import Channel, EmulatedBoard, Release
from powertrain.virtual.emulated._tables import (
    EMC_HZ,
    GPU_HZ,
    NANO_CPU_KHZ,
    THOR_CPU_KHZ,
    TX2_CPU_KHZ,
    carmel_and_a78_khz,
)

__all__ = ["EMULATED", "find_board"]

# R32 is JetPack 4 (Linux 4.9), R34/35 JetPack 5 (5.10), R36 JetPack 6 (5.15), R38 JetPack 7.0 (Thor) and R39
# JetPack 7.2 (6.8): rbonghi/jetson_stats:jtop/core/jetson_variables.py.
RELEASES = {
    4: Release(jetpack=4, linux="R32 (release), REVISION: 7.4", kernel=(4, 9)),
    5: Release(jetpack=5, linux="R35 (release), REVISION: 4.1", kernel=(5, 10)),
    6: Release(jetpack=6, linux="R36 (release), REVISION: 4.3", kernel=(5, 15)),
    7: Release(jetpack=7, linux="R39 (release), REVISION: 2.0", kernel=(6, 8)),
}
THOR_RELEASE = Release(jetpack=7, linux="R38 (release), REVISION: 2.0", kernel=(6, 8))


@final
@dataclass(frozen=True, kw_only=True)
class _Family:
    """A board under all its releases."""

    title: str
    model: str
    compatible: tuple[str, ...]
    soc: Literal["tegra210", "tegra186", "tegra194", "tegra234", "tegra264"]
    jetpacks: tuple[int, ...]
    policies: tuple[tuple[int, ...], ...]
    cpu_khz: tuple[int, ...]
    cpu_floor_khz: int
    cpu_clocks: tuple[str, ...]
    gpu: str
    emc: str
    channels: tuple[Channel, ...]
    conf: str
    tpcs: int
    assumed: tuple[str, ...] = ()


ORIN_POLICIES = ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11))
ORIN_FLOOR_KHZ = 729_600  # MIN_FREQ in all Orin confs
ORIN_CLOCKS = ("CPU_A78_0", "CPU_A78_1", "CPU_A78_2")
ORIN_NANO_POLICIES = ((0, 1, 2, 3), (4, 5))
CARMEL_CLOCKS = ("CPU_DENVER_0", "CPU_DENVER_1", "CPU_DENVER_2", "CPU_DENVER_3")
NX_MODEL = "NVIDIA Jetson Orin NX Engineering Reference Developer Kit"

FAMILIES = {
    "orin-agx": _Family(
        title="Jetson AGX Orin 64GB",
        model="NVIDIA Jetson AGX Orin Developer Kit",
        compatible=("nvidia,p3737-0000+p3701-0005", "nvidia,tegra234"),
        soc="tegra234",
        jetpacks=(5, 6, 7),
        policies=ORIN_POLICIES,
        cpu_khz=carmel_and_a78_khz(2_201_600),
        cpu_floor_khz=ORIN_FLOOR_KHZ,
        cpu_clocks=ORIN_CLOCKS,
        gpu="orin-agx-11",
        emc="orin",
        channels=AGX_ORIN_CHANNELS,
        conf="nvpmodel_p3701_0000.conf",
        tpcs=8,
    ),
    "orin-agx-32gb": _Family(
        title="Jetson AGX Orin 32GB",
        model="NVIDIA Jetson AGX Orin Developer Kit",
        compatible=("nvidia,p3737-0000+p3701-0004", "nvidia,tegra234"),
        soc="tegra234",
        jetpacks=(5, 6, 7),
        policies=ORIN_POLICIES[:2],
        cpu_khz=carmel_and_a78_khz(2_188_800),
        cpu_floor_khz=ORIN_FLOOR_KHZ,
        cpu_clocks=ORIN_CLOCKS[:2],
        gpu="orin-agx-32gb",
        emc="orin",
        channels=AGX_ORIN_CHANNELS,
        conf="nvpmodel_p3701_0004.conf",
        tpcs=8,
        assumed=("compatible", "all frequency tables"),
    ),
    "orin-nx-16gb": _Family(
        title="Jetson Orin NX 16GB",
        model=NX_MODEL,
        compatible=("nvidia,p3768-0000+p3767-0000", "nvidia,tegra234"),
        soc="tegra234",
        jetpacks=(5, 6, 7),
        policies=ORIN_POLICIES[:2],
        cpu_khz=carmel_and_a78_khz(1_984_000),
        cpu_floor_khz=ORIN_FLOOR_KHZ,
        cpu_clocks=ORIN_CLOCKS[:2],
        gpu="orin-nx-16gb",
        emc="orin",
        channels=module_channels("1-0040"),
        conf="nvpmodel_p3767_0000.conf",
        tpcs=8,
        assumed=("model", "memory clocks (those of the other Orin modules)"),
    ),
    "orin-nx-8gb": _Family(
        title="Jetson Orin NX 8GB",
        model=NX_MODEL,
        compatible=("nvidia,p3768-0000+p3767-0001", "nvidia,tegra234"),
        soc="tegra234",
        jetpacks=(5, 6, 7),
        policies=ORIN_NANO_POLICIES,
        cpu_khz=carmel_and_a78_khz(1_984_000),
        cpu_floor_khz=ORIN_FLOOR_KHZ,
        cpu_clocks=ORIN_CLOCKS[:2],
        gpu="orin-nx-8gb",
        emc="orin",
        channels=module_channels("1-0040"),
        conf="nvpmodel_p3767_0001.conf",
        tpcs=8,
        assumed=("model", "compatible", "GPU clocks", "memory clocks"),
    ),
    "orin-nano": _Family(
        title="Jetson Orin Nano 8GB",
        model="NVIDIA Jetson Orin Nano Developer Kit",
        compatible=("nvidia,p3768-0000+p3767-0005", "nvidia,tegra234"),
        soc="tegra234",
        jetpacks=(5, 6),
        policies=ORIN_NANO_POLICIES,
        cpu_khz=carmel_and_a78_khz(1_510_400),
        cpu_floor_khz=ORIN_FLOOR_KHZ,
        cpu_clocks=ORIN_CLOCKS[:2],
        gpu="orin-nano",
        emc="orin-nano",
        channels=module_channels("1-0040"),
        conf="nvpmodel_p3767_0003.conf",
        tpcs=8,
    ),
    "orin-nano-super": _Family(
        title="Jetson Orin Nano 8GB Super",
        model="NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        compatible=("nvidia,p3768-0000+p3767-0005", "nvidia,tegra234"),
        soc="tegra234",
        jetpacks=(6, 7),
        policies=ORIN_NANO_POLICIES,
        cpu_khz=carmel_and_a78_khz(1_728_000),
        cpu_floor_khz=ORIN_FLOOR_KHZ,
        # One parameter per CPU in the conf of Jetson Linux 36.4.3 (TIARE006/powercap_orin_ws).
        cpu_clocks=tuple(f"CPU_A78_{cpu}" for cpu in range(6)),
        gpu="orin-nano-super",
        emc="orin",
        channels=module_channels("1-0040"),
        conf="nvpmodel_p3767_0003_super.conf",
        tpcs=8,
        assumed=("compatible (that of the board before the update)", "name of the conf"),
    ),
    "xavier-agx": _Family(
        title="Jetson AGX Xavier",
        model="Jetson-AGX",
        compatible=("nvidia,p2972-0000", "nvidia,tegra194"),
        soc="tegra194",
        jetpacks=(4, 5),
        policies=((0, 1), (2, 3), (4, 5), (6, 7)),
        cpu_khz=carmel_and_a78_khz(2_265_600),
        cpu_floor_khz=1_200_000,  # MIN_FREQ in its conf, which its table lacks
        cpu_clocks=CARMEL_CLOCKS,
        gpu="xavier-agx",
        emc="xavier-agx",
        channels=AGX_XAVIER_CHANNELS,
        conf="nvpmodel_t194.conf",
        tpcs=4,
        assumed=("compatible but for the chip",),
    ),
    "xavier-nx": _Family(
        title="Jetson Xavier NX",
        model="NVIDIA Jetson Xavier NX Developer Kit",
        compatible=("nvidia,p3509-0000+p3668-0000", "nvidia,tegra194"),
        soc="tegra194",
        jetpacks=(4, 5),
        policies=((0, 1), (2, 3), (4, 5)),
        cpu_khz=carmel_and_a78_khz(1_907_200),
        cpu_floor_khz=1_190_400,
        cpu_clocks=CARMEL_CLOCKS[:3],
        gpu="xavier-nx",
        emc="xavier-nx",
        channels=module_channels("7-0040"),
        conf="nvpmodel_t194_p3668.conf",
        tpcs=4,
        assumed=("model", "compatible but for the chip", "memory clocks", "default mode"),
    ),
    "tx2": _Family(
        title="Jetson TX2",
        model="quill",
        compatible=("nvidia,quill", "nvidia,tegra186"),
        soc="tegra186",
        jetpacks=(4,),
        policies=((0, 3, 4, 5), (1, 2)),  # A57 and Denver2
        cpu_khz=TX2_CPU_KHZ,
        cpu_floor_khz=TX2_CPU_KHZ[0],
        cpu_clocks=("CPU_A57", "CPU_DENVER"),
        gpu="tx2",
        emc="tx2",
        channels=TX2_CHANNELS,
        conf="nvpmodel_t186.conf",
        tpcs=2,
        assumed=("compatible but for the chip", "one CPU table for both clusters", "policies"),
    ),
    "nano": _Family(
        title="Jetson Nano",
        model="NVIDIA Jetson Nano Developer Kit",
        compatible=("nvidia,p3449-0000+p3448-0000", "nvidia,tegra210"),
        soc="tegra210",
        jetpacks=(4,),
        policies=((0, 1, 2, 3),),
        cpu_khz=NANO_CPU_KHZ,
        cpu_floor_khz=NANO_CPU_KHZ[0],
        cpu_clocks=("CPU_A57",),
        gpu="nano",
        emc="nano",
        channels=NANO_CHANNELS,
        conf="nvpmodel_t210.conf",
        tpcs=1,
        assumed=("compatible but for the chip", "memory clocks", "name of the conf"),
    ),
    "thor": _Family(
        title="Jetson AGX Thor",
        model="NVIDIA Jetson AGX Thor Developer Kit",
        compatible=("nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"),
        soc="tegra264",
        jetpacks=(7,),
        policies=tuple((cpu, cpu + 1) for cpu in range(0, 14, 2)),
        cpu_khz=THOR_CPU_KHZ,
        cpu_floor_khz=THOR_CPU_KHZ[0],
        cpu_clocks=tuple(f"CPU_{number}" for number in range(7)),
        gpu="thor",
        emc="thor",
        channels=THOR_CHANNELS,
        conf="nvpmodel_p3834_0008.conf",
        tpcs=10,
        assumed=("all frequency tables", "names in the conf"),
    ),
}


def _board(name: str, family: _Family, jetpack: int) -> EmulatedBoard:
    # When the table of AGX Orin changed from 13 entries to 11 is not published: JetPack 6 has the new one.
    gpu_hz = GPU_HZ["orin-agx-13" if (name, jetpack) == ("orin-agx", 5) else family.gpu]
    emc_hz = EMC_HZ[family.emc]
    cores = sum(map(len, family.policies))
    key = f"{name}@jp{jetpack}"
    return EmulatedBoard(
        name=key,
        title=family.title,
        model=family.model,
        compatible=family.compatible,
        soc=family.soc,
        release=THOR_RELEASE if name == "thor" else RELEASES[jetpack],
        policies=family.policies,
        cpu_khz=family.cpu_khz,
        cpu_floor_khz=family.cpu_floor_khz,
        cpu_clocks=family.cpu_clocks,
        gpu_hz=gpu_hz,
        emc_hz=emc_hz,
        channels=family.channels,
        power_models=POWER_MODELS[name],
        default_model=DEFAULT_MODEL[name],
        conf=family.conf,
        tpcs=family.tpcs,
        physics=physics_of(key, cores=cores, cpu_khz=family.cpu_khz, gpu_hz=gpu_hz, emc_hz=emc_hz),
        # 512 was seen on an Orin Nano Super; on the others assumed.
        samples=512 if jetpack >= 6 else 64,
        assumed=family.assumed,
    )


EMULATED: Mapping[str, EmulatedBoard] = {
    f"{name}@jp{jetpack}": _board(name, family, jetpack)
    for name, family in FAMILIES.items()
    for jetpack in family.jetpacks
}
"""Every emulated board by its name, as in `orin-agx@jp6`."""


def find_board(name: str, jetpack: int | None = None) -> EmulatedBoard:
    """Return a board by its full name (`orin-agx@jp6`), or by its short one and the generation of JetPack.

    Without a generation it is the newest that the board has.

    Raises:
        UnknownNameError: There is no such board; the message lists the nearest.
    """
    if jetpack is not None:
        name = f"{name.partition('@')[0]}@jp{jetpack}"
    if "@" not in name:
        name = max((full for full in EMULATED if full.startswith(f"{name}@")), default=name)
    if name not in EMULATED:
        raise UnknownNameError.of("emulated board", name, EMULATED)
    return EMULATED[name]
