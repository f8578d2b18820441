"""Energy counters of x86 processors: RAPL, through Linux's powercap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from powertrain.devices._files import FORBIDDEN, Files, reason_of
from powertrain.devices._reasons import Reason, Why
from powertrain.devices._sysfs import Sysfs
from powertrain.units import joules_from_microjoules

__all__ = ["Rapl"]

POWERCAP = "/sys/class/powercap"
USUAL_RANGE_UJ = 2**32
"""Where a counter does not tell its range: it has 32 bits."""


@final
@dataclass
class _Domain:
    """One counter; it starts anew at its range (kernel documentation, power/powercap)."""

    label: str
    sysfs: Sysfs
    path: str
    range_uj: int
    last_uj: int
    total_uj: int = 0

    def read_j(self) -> float:
        """Return the energy since the counter was opened [J]."""
        # One that started anew twice since the last look would be misread; it takes far longer than a mode.
        now_uj = int(self.sysfs.read(self.path))
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

    def __init__(self, sysfs: Sysfs) -> None:
        self._files = Files(sysfs)
        self._domains: list[_Domain] = []
        folders = self._folders()
        # A sum of those counters alone that may be read would not be the machine's energy: all or none.
        self.missing = _absent() if not folders else self._unreadable(folders)
        """Why there are none; None where there are."""
        if self.missing is None:
            self._domains = [self._opened(label, folder) for label, folder in folders.items()]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the counters that are summed."""
        return tuple(f"RAPL {domain.label}" for domain in self._domains)

    def read_j(self) -> Mapping[str, float]:
        """Return the energy of each counter since it was opened [J].

        Raises:
            OSError: A counter does not answer.
            ValueError: It answers with something that is not a number.
        """
        return {f"RAPL {domain.label}": domain.read_j() for domain in self._domains}

    def _folders(self) -> dict[str, str]:
        """Return the folders of the counters that are summed, by label."""
        found: dict[str, str] = {}
        for folder in self._files.sysfs.glob(f"{POWERCAP}/intel-rapl:*"):
            label = self._files.text(f"{folder}/name")
            if label.startswith(("package", "psys")):
                found[label] = folder
            elif label == "dram":
                package = self._files.text(f"{folder.rpartition(':')[0]}/name")
                found[f"dram of {package}"] = folder
        whole = next((label for label in found if label.startswith("psys")), None)
        return found if whole is None else {whole: found[whole]}

    def _unreadable(self, folders: Mapping[str, str]) -> Reason | None:
        """Return why the first counter that cannot be read cannot; None where all can."""
        for path in (f"{folder}/energy_uj" for folder in folders.values()):
            try:
                self._files.sysfs.read(path)
            except OSError as error:
                if error.errno in FORBIDDEN:
                    mend = "run as root, or let your group read it"
                    return _no_power(Why.FORBIDDEN, f"this user may not read {path}", mend)
                return _no_power(Why.BROKEN, f"{path} does not answer ({reason_of(error)})")
        return None

    def _opened(self, label: str, folder: str) -> _Domain:
        return _Domain(
            label=label,
            sysfs=self._files.sysfs,
            path=f"{folder}/energy_uj",
            range_uj=self._files.number(f"{folder}/max_energy_range_uj") or USUAL_RANGE_UJ,
            last_uj=self._files.number(f"{folder}/energy_uj") or 0,
        )


def _absent() -> Reason:
    return _no_power(Why.ABSENT, "the kernel offers no RAPL counters here")


def _no_power(why: Why, sentence: str, mend: str = "") -> Reason:
    consequence = "so profiles have times alone"
    return Reason(what="power sensor", why=why, sentence=sentence, mend=mend, consequence=consequence)
