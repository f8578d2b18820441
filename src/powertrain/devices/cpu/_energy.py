"""Energy counters of x86 processors: RAPL, through Linux's powercap."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import final

from powertrain.devices._files import FORBIDDEN, Files, reason_of, whole_number
from powertrain.devices._reasons import Reason, Why
from powertrain.devices._sysfs import Sysfs
from powertrain.errors import DeviceError
from powertrain.units import joules_from_microjoules, watts_from_microwatts
from powertrain.wording import visible

__all__ = ["Counted", "Rapl"]

POWERCAP = "/sys/class/powercap"
MOST_W = 2000.0
"""More than a processor draws, where the kernel tells no limit of it (AMD): the largest are rated 500 W."""
OVER_LIMIT = 2.0
"""How far above its greatest power limit one step is believed: limits are means over some time."""
OVER_OTHERS = 20.0
"""How far above the middle of the steps before it one is believed."""
ANOTHER_LOAD = 2.0
"""How far apart steps in a row may be that are one load: a processor that rested and now works."""
AT_END = 2.0
"""The same for a step at which a counter began anew: was it at the end of its range, or for another
reason?"""
REMEMBERED, LEAST_REMEMBERED = 16, 3
SLACK_S = 0.01
"""Counters move about every millisecond: a step may hold the energy of a little more than its time."""
STILL_S = 1.0
"""A counter that stays the same for so long does not count: an idle processor draws something, too."""
STILL_BESIDE_S = 0.1
"""The same while another counter moves. All of a virtual machine's move together, about once a second."""
LEAST_AFTER = 0.5
"""Of the middle of the steps before it: what a counter that stood still shows at least when it moves again.
One that shows less has lost the energy of that time."""
LEAST_LIMIT_W = 1.0
"""Below this a power limit is none: no processor with such counters works with so little."""
MOST_LIMITS = 8
"""Power limits of one counter that are looked for; three are known (long term, short term, peak)."""


@final
@dataclass(frozen=True, kw_only=True)
class Counted:
    """What the counters showed at one moment."""

    energy_j: float
    """Since they were opened, without the steps that were dropped."""
    least_j: float
    """The same of counters that the first ones include; NaN where there are none."""
    dropped: str
    """Why the time since the last look is left out; empty where it counts."""


@final
@dataclass
class _Domain:
    """One counter; it starts anew at its range (kernel documentation, power/powercap)."""

    label: str
    sysfs: Sysfs
    path: str
    range_uj: int | None
    """None where the kernel does not tell it, or tells 0."""
    limit_w: float
    """Its greatest power limit; infinity where it has none."""
    last_uj: int
    last_s: float
    total_j: float = 0.0
    dropped: str = ""
    """Why the energy since the last successful look at all counters is not known."""
    before_w: deque[float] = field(default_factory=lambda: deque[float](maxlen=REMEMBERED))
    """The powers of the steps that were believed, the latest."""
    refused_w: list[float] = field(default_factory=list[float])
    """Those of the steps in a row that were too high beside the ones before."""
    still_s: float = 0.0
    """How long it has shown the same, at the last look."""

    def look(self, now_s: float) -> None:
        """Add the energy since the last look, or note why it is left out.

        Raises:
            OSError: The counter does not answer.
            DeviceError: It answers with something that is no number, or stands still.
        """
        text = self.sysfs.read(self.path)
        now_uj = whole_number(text)
        if now_uj is None:
            raise DeviceError(f"{self.path} says {text[:40]!r}, which is no energy")
        elapsed_s, passed_uj = now_s - self.last_s, now_uj - self.last_uj
        if passed_uj == 0:
            self.still_s = elapsed_s
            if elapsed_s > STILL_S:
                raise DeviceError(f"{self.path} stands still at {text}, so it counts nothing")
            return
        stood_s, self.still_s = self.still_s, 0.0
        at_end = passed_uj < 0
        known = self.range_uj is not None and max(self.last_uj, now_uj) <= self.range_uj
        if at_end and known and self.range_uj is not None:
            # One that started anew twice since the last look would be misread; it takes far longer than a
            # mode.
            passed_uj += self.range_uj
        passed_j = joules_from_microjoules(float(passed_uj))
        self.last_uj, self.last_s = now_uj, now_s
        if passed_j < 0 or passed_j > self._most_w(at_end=at_end) * (elapsed_s + SLACK_S):
            what = "began anew before the end of its range" if at_end else "rose by more than can be drawn"
            self.dropped = f"the counter of {self.label} {what}"
            if not at_end:
                self._refuse(passed_j / (elapsed_s + SLACK_S))
            return
        self.refused_w.clear()
        lost_w = LEAST_AFTER * median(self.before_w) if len(self.before_w) >= LEAST_REMEMBERED else 0.0
        if stood_s >= STILL_BESIDE_S and passed_j < lost_w * elapsed_s:
            self.dropped = f"the counter of {self.label} stood still"
            return
        self.total_j += passed_j
        if elapsed_s >= SLACK_S:
            self.before_w.append(passed_j / elapsed_s)

    def _refuse(self, power_w: float) -> None:
        """Note a step that was too high; several that agree are another load, believed from then on."""
        self.refused_w.append(power_w)
        if max(self.refused_w) > ANOTHER_LOAD * min(self.refused_w):
            self.refused_w = [power_w]
        if len(self.refused_w) >= LEAST_REMEMBERED:
            self.before_w.clear()
            self.refused_w.clear()

    def _most_w(self, *, at_end: bool) -> float:
        """Return the greatest power that a step is believed to have been."""
        most_w = OVER_LIMIT * self.limit_w if math.isfinite(self.limit_w) else MOST_W
        if len(self.before_w) < LEAST_REMEMBERED:
            return most_w
        # To drop a step costs nothing, and to believe a false one spoils the mean.
        others_w = AT_END * max(self.before_w) if at_end else OVER_OTHERS * median(self.before_w)
        return min(most_w, others_w)


@final
class Rapl:
    """The counters of this machine.

    The whole is `psys` where the machine has it (it counts everything), else the sum of the packages and of
    the memory beside them. Packages include their cores and graphics, which are therefore never added.
    """

    def __init__(self, sysfs: Sysfs, *, now_s: float) -> None:
        """Look for them at a moment of the clock on which they will be read."""
        self._files = Files(sysfs)
        self._domains: list[_Domain] = []
        self._parts: list[_Domain] = []
        folders, unnamed = self._folders()
        whole = next((label for label in folders if label.startswith("psys")), None)
        if whole is not None and self._counts_nothing(folders[whole], folders):
            del folders[whole]
            whole = None
        summed = folders if whole is None else {whole: folders[whole]}
        # A sum of those counters alone that may be read would not be the machine's energy: all or none.
        self.missing = (unnamed if whole is None else None) or (
            self._unreadable(summed) if summed else _absent()
        )
        """Why there are none; None where there are."""
        if self.missing is None:
            self._domains = [self._opened(label, folder, now_s) for label, folder in summed.items()]
            packages = {label: f for label, f in folders.items() if label.startswith("package")}
            if whole is not None and packages and self._unreadable(packages) is None:
                self._parts = [self._opened(label, folder, now_s) for label, folder in packages.items()]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the counters that are summed."""
        return tuple(f"RAPL {domain.label}" for domain in self._domains)

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the counters that the first include, and which they are compared with."""
        return tuple(f"RAPL {domain.label}" for domain in self._parts)

    def look(self, now_s: float) -> Counted:
        """Read all counters.

        Args:
            now_s: The present time [s].

        Raises:
            OSError: A counter does not answer.
            DeviceError: It answers with something that is no number, or stands still.
        """
        before_j = _total_j(self._domains)
        for domain in self._domains:
            domain.look(now_s)
        # The sum of those that move would be told as the power of all.
        still = next((domain for domain in self._domains if domain.still_s > STILL_BESIDE_S), None)
        if still is not None and _total_j(self._domains) != before_j:
            raise DeviceError(f"{still.path} stands still while others count, so the sum is not known")
        # What was dropped while another counter failed is told with the first look that succeeds.
        dropped = "; ".join(domain.dropped for domain in self._domains if domain.dropped)
        for domain in self._domains:
            domain.dropped = ""
        return Counted(energy_j=_total_j(self._domains), least_j=self._least_j(now_s), dropped=dropped)

    def _least_j(self, now_s: float) -> float:
        """Return the energy of the parts; NaN for good once one of them cannot be told."""
        try:
            for domain in self._parts:
                domain.look(now_s)
        except (OSError, DeviceError):
            self._parts = []
        if any(domain.dropped for domain in self._parts):
            self._parts = []
        return _total_j(self._parts) if self._parts else math.nan

    def _folders(self) -> tuple[dict[str, str], Reason | None]:
        """Return the folders of all counters that are not parts of packages, by distinct labels.

        And why one of them may be missing: its name does not answer, so it may be a package.
        """
        found: dict[str, str] = {}
        unnamed: Reason | None = None
        for folder in self._files.sysfs.glob(f"{POWERCAP}/intel-rapl:*"):
            label = visible(self._files.text(f"{folder}/name").rstrip("\0"))
            inner = folder.count(":") > 1
            if label == "dram":
                if self._files.text(f"{folder}/energy_uj") == "0":
                    continue  # some processors have the counter and never count
                package = folder.rpartition(":")[0]
                label = f"dram of {self._files.text(f'{package}/name')}" if inner else label
            elif not label.isascii() or not label:
                what = self._files.silence(f"{folder}/name") or f"it says {label[:40]!r}"
                unnamed = _no_power(Why.BROKEN, f"{folder}/name does not tell what is counted ({what})")
                continue
            elif inner or not label.startswith(("package", "psys")):
                continue  # of the parts of a package only its memory is beside it
            # Two of one name are two: none of them may be lost.
            found[label if label not in found else f"{label} ({folder.rpartition('/')[2]})"] = folder
        return found, unnamed

    def _counts_nothing(self, folder: str, folders: Mapping[str, str]) -> bool:
        """Tell whether the counter of the whole platform shows 0 while that of a package has counted."""
        others = (self._files.number(f"{other}/energy_uj") for other in folders.values())
        return self._files.text(f"{folder}/energy_uj") == "0" and any(others)

    def _unreadable(self, folders: Mapping[str, str]) -> Reason | None:
        """Return why the first counter that cannot be read cannot; None where all can."""
        for path in (f"{folder}/energy_uj" for folder in folders.values()):
            try:
                text = self._files.sysfs.read(path)
            except OSError as error:
                if error.errno in FORBIDDEN:
                    mend = "run as root, or let your group read it"
                    return _no_power(Why.FORBIDDEN, f"this user may not read {path}", mend)
                return _no_power(Why.BROKEN, f"{path} does not answer ({reason_of(error)})")
            if whole_number(text) is None:
                return _no_power(Why.BROKEN, f"{path} says {text[:40]!r}, which is no energy")
        return None

    def _opened(self, label: str, folder: str, now_s: float) -> _Domain:
        return _Domain(
            label=label,
            sysfs=self._files.sysfs,
            path=f"{folder}/energy_uj",
            range_uj=self._files.number(f"{folder}/max_energy_range_uj") or None,
            limit_w=self._limit_w(folder),
            last_uj=self._files.number(f"{folder}/energy_uj") or 0,
            last_s=now_s,
        )

    def _limit_w(self, folder: str) -> float:
        """Return the greatest power limit of what a counter counts; infinity where it has none."""
        names = (
            f"constraint_{n}_{kind}"
            for n in range(MOST_LIMITS)
            for kind in ("power_limit_uw", "max_power_uw")
        )
        limits_uw = [limit for name in names if (limit := self._files.number(f"{folder}/{name}"))]
        # Firmware that limits nothing writes thousands of watts: then the limit says nothing.
        limit_w = watts_from_microwatts(float(max(limits_uw, default=0)))
        in_force = self._files.text(f"{folder}/enabled") != "0"
        return limit_w if in_force and LEAST_LIMIT_W <= limit_w < MOST_W else math.inf


def _total_j(domains: Iterable[_Domain]) -> float:
    return math.fsum(domain.total_j for domain in domains)


def _absent() -> Reason:
    return _no_power(Why.ABSENT, "the kernel offers no RAPL counters here")


def _no_power(why: Why, sentence: str, mend: str = "") -> Reason:
    consequence = "so profiles have times alone"
    return Reason(what="power sensor", why=why, sentence=sentence, mend=mend, consequence=consequence)
