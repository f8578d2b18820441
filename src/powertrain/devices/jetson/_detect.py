"""Which Jetson this is: module, chip, release of its software."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import final

from powertrain.devices._sysfs import Sysfs
from powertrain.errors import DeviceError
from powertrain.wording import visible

__all__ = ["Identity", "identify", "in_container", "jetson_here"]

# /proc/device-tree is a link to the second, which a container may see where it lacks the first.
DEVICE_TREES = ("/proc/device-tree", "/sys/firmware/devicetree/base")
RELEASE = "/etc/nv_tegra_release"
"""A line such as `# R36 (release), REVISION: 4.3, ...`; containers often lack it."""
KERNEL = "/proc/sys/kernel/osrelease"
CONTAINERS = ("/.dockerenv", "/run/.containerenv")

MODULES = {
    "p3701-0000": "Jetson AGX Orin Developer Kit",  # 32 GB, but all 12 cores (jetson_stats' tegrastats tests)
    "p3701-0004": "Jetson AGX Orin 32GB",
    "p3701-0005": "Jetson AGX Orin 64GB",
    "p3767-0000": "Jetson Orin NX 16GB",
    "p3767-0001": "Jetson Orin NX 8GB",
    "p3767-0003": "Jetson Orin Nano 8GB",
    "p3767-0004": "Jetson Orin Nano 4GB",
    "p3767-0005": "Jetson Orin Nano 8GB",
    "p3834-0008": "Jetson AGX Thor",
    "p2888": "Jetson AGX Xavier",
    "p3668": "Jetson Xavier NX",
    "p3310": "Jetson TX2",
    "p3448": "Jetson Nano",
}
"""Names by module id, or by its first half (rbonghi/jetson_stats:jtop/core/jetson_variables.py)."""
MODELS = {"Jetson-AGX": "Jetson AGX Xavier", "quill": "Jetson TX2"}
"""Names of boards whose device trees name no module (model strings in public read-outs)."""

JETPACKS = {32: 4, 34: 5, 35: 5, 36: 6, 38: 7, 39: 7}
"""JetPack by Jetson Linux release (rbonghi/jetson_stats:jtop/core/jetson_variables.py)."""

MODULE = re.compile(r"\bp(?:2888|3310|3448|3489|3636|3668|3701|3767|3834)(?:-\d{4})?\b", re.ASCII)
SOC = re.compile(r"\bnvidia,(tegra\d{3})\b", re.ASCII)


@final
@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a board says of itself; a text that it does not tell is empty."""

    model: str
    """As its device tree has it."""
    module: str
    """Id of the module, as in `p3701-0005`: the carrier board does not matter."""
    soc: str
    """The chip, as in `tegra234`."""
    l4t: str
    """Release of Jetson Linux, as in `36.4.3`."""
    kernel: str

    @property
    def jetpack(self) -> str:
        """Generation of JetPack."""
        major = self.l4t.partition(".")[0]
        return str(JETPACKS.get(int(major), "")) if major else ""

    @property
    def title(self) -> str:
        """What the board is called. The same module with the Super configuration is another board."""
        known = MODULES.get(self.module) or MODULES.get(self.module.partition("-")[0])
        name = known or MODELS.get(self.model) or self.model.removeprefix("NVIDIA ") or f"Jetson ({self.soc})"
        return f"{name} Super" if self.model.endswith("Super") and not name.endswith("Super") else name


def jetson_here(sysfs: Sysfs) -> bool:
    """Tell whether this is a Jetson, at the cost of reading one file."""
    return SOC.search(_tree_text(sysfs, "compatible")) is not None


def in_container(sysfs: Sysfs) -> bool:
    """Tell whether this process runs in a container, as far as can be seen."""
    return any(sysfs.exists(mark) for mark in CONTAINERS)


def identify(sysfs: Sysfs) -> Identity:
    """Read which board this is.

    Raises:
        DeviceError: It is not a Jetson.
    """
    compatible, model = _tree_text(sysfs, "compatible"), _tree_text(sysfs, "model")
    soc = SOC.search(compatible)
    if soc is None:
        found = f"says {compatible!r}" if compatible else "is not there"
        raise DeviceError(
            f"this is not a Jetson: {DEVICE_TREES[0]}/compatible {found}; see powertrain devices"
        )
    # Boards of others than NVIDIA change the first half of "carrier+module", so look anywhere. The longest is
    # the most exact: p3701-0005, and not p3701, of which there are several.
    modules = sorted(MODULE.findall(compatible), key=len)
    release = re.search(r"R(\d{1,3})\b.*?REVISION:\s*(\d[\d.]*)", sysfs.read_or(RELEASE), re.ASCII)
    return Identity(
        model=model,
        module=modules[-1] if modules else "",
        soc=soc[1],
        l4t=f"{int(release[1])}.{release[2].rstrip('.')}" if release else "",
        kernel=sysfs.read_or(KERNEL),
    )


def _tree_text(sysfs: Sysfs, name: str) -> str:
    """Return a text of the device tree; strings in it end with NUL."""
    for tree in DEVICE_TREES:
        text = sysfs.read_or(f"{tree}/{name}")
        if text:
            return visible(" ".join(text.replace("\0", " ").split()))
    return ""
