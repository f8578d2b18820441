"""Energy counters of x86 processors: RAPL, through Linux's powercap."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from powertrain.units import joules_from_microjoules

__all__ = ["Rapl"]


@final
@dataclass
class _Domain:
    """One counter; it starts anew at its range (kernel documentation, power/powercap)."""

    label: str
    file: Path
    range_uj: int
    last_uj: int
    total_uj: int = 0

    def read_j(self) -> float:
        """Return the energy since the counter was opened [J]."""
        now_uj = int(self.file.read_text(encoding="ascii"))
        passed_uj = now_uj - self.last_uj
        self.total_uj += passed_uj if passed_uj >= 0 else passed_uj + self.range_uj
        self.last_uj = now_uj
        return joules_from_microjoules(float(self.total_uj))


@final
class Rapl:
    """The counters of this machine.

    The whole is `psys` where the machine has it (it counts everything), else the sum of the packages and of
    the memory beside them. Packages include their cores and graphics, which are therefore never added.
    """

    def __init__(self, *, sysfs: Path = Path("/sys")) -> None:
        self._domains: list[_Domain] = []
        self.missing = "the kernel offers no RAPL counters here"
        """Why there is none, empty if there is."""
        found: dict[str, Path] = {}
        for folder in sorted((sysfs / "class/powercap").glob("intel-rapl:*")):
            label = _text(folder / "name")
            if label.startswith(("package", "psys")):
                found[label] = folder
            elif label == "dram":
                found[
                    f"dram of {_text(sysfs / 'class/powercap' / folder.name.rpartition(':')[0] / 'name')}"
                ] = folder
        if whole := next((label for label in found if label.startswith("psys")), None):
            found = {whole: found[whole]}
        for label, folder in found.items():
            if not os.access(folder / "energy_uj", os.R_OK):
                self.missing = (
                    f"{folder / 'energy_uj'} may not be read: run as root, or let your group read it"
                )
                self._domains = []
                return
            self._domains.append(_opened(label, folder))
        if self._domains:
            self.missing = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the counters that are summed."""
        return tuple(f"RAPL {domain.label}" for domain in self._domains)

    def read_j(self) -> Mapping[str, float]:
        """Return the energy of each counter since it was opened [J]."""
        return {f"RAPL {domain.label}": domain.read_j() for domain in self._domains}


def _opened(label: str, folder: Path) -> _Domain:
    return _Domain(
        label=label,
        file=folder / "energy_uj",
        range_uj=int(_text(folder / "max_energy_range_uj") or 2**32),
        last_uj=int(_text(folder / "energy_uj")),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
