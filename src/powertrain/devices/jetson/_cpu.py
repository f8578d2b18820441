"""The knob `cpu_mhz`: one clock for all processors that are on line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, final

from typing_extensions import override

from powertrain.devices._files import FilePart, Files, do_all, not_writable
from powertrain.devices._reasons import Reason, Why
from powertrain.devices.jetson._cores import CPU, Cores
from powertrain.devices.jetson._limits import UsualLimits
from powertrain.errors import UnreachableModeError
from powertrain.records import PowerMode
from powertrain.units import khz_from_mhz, mhz_from_khz
from powertrain.wording import counted

__all__ = ["CpuClockPart"]


LEAST_MHZ = 1.0
"""Less in a table is no clock."""
LEAST_SHARE = 0.9
"""Of the clock that was set at which it still counts as reached: counters measure over half a millisecond."""


@final
@dataclass(frozen=True, kw_only=True)
class Policy:
    """Processors that share a clock."""

    path: str
    cpus: tuple[int, ...]
    table_khz: tuple[int, ...]
    """None where all its processors are off line: then its files do not answer."""

    @property
    def least(self) -> str:
        """File of the least clock [kHz]."""
        return f"{self.path}/scaling_min_freq"

    @property
    def greatest(self) -> str:
        """File of the greatest clock [kHz]."""
        return f"{self.path}/scaling_max_freq"

    @property
    def governor(self) -> str:
        """File of the governor, which is left alone: least = greatest holds under any."""
        return f"{self.path}/scaling_governor"


@final
class CpuClockPart(FilePart):
    """Holds each policy that has a processor in the mode at one clock: least = greatest = asked.

    Linux Documentation/admin-guide/pm/cpufreq.rst. How processors are grouped differs between boards and
    releases (Orin 4, Xavier 2, or all: Jetson Linux tegra194-cpufreq.c), so it is read from the board.
    """

    name = "cpu clocks"

    def __init__(self, files: Files, cores: Cores, usual: UsualLimits) -> None:
        self._files, self._cores, self._usual = files, cores, usual
        self._policies = _find_policies(files, cores)
        tables = [policy.table_khz for policy in self._policies if policy.table_khz]
        # TX2's clusters might have different tables (not published): what both have can be set.
        common = sorted(set[int]().union(*tables[:1]).intersection(*tables))
        self._khz = {mhz_from_khz(float(khz)): khz for khz in common}
        self._ends = (min(map(min, tables)), max(map(max, tables))) if tables else (0, 0)
        reason = self._why_missing()
        self.missing = () if reason is None else (reason,)
        self.knobs: Mapping[str, tuple[float, ...]] = {} if reason else {"cpu_mhz": tuple(self._khz)}

    def _why_missing(self) -> Reason | None:
        if not self._policies:
            return _absent("the kernel offers no cpufreq")
        if not self._khz:
            return _absent("there is no scaling_available_frequencies, or the clusters have none in common")
        for policy in self._answering():
            silent = (path for path in (policy.least, policy.greatest) if not self._files.number(path))
            path = next(silent, "" if policy.table_khz else f"{policy.path}/scaling_available_frequencies")
            if path:
                told = self._files.silence(path) or f"it says {self._files.text(path)[:40]!r}"
                return Reason(what="cpu_mhz", why=Why.BROKEN, sentence=f"{path} tells no clock ({told})")
        paths = (path for policy in self._policies for path in (policy.least, policy.greatest))
        forbidden = (path for path in paths if not self._files.sysfs.may_write(path))
        return next((not_writable("cpu_mhz", path) for path in forbidden), None)

    @override
    def in_force(self) -> Mapping[str, tuple[float, float]]:
        answering = list(self._answering())
        least_khz = [khz for policy in answering if (khz := self._files.number(policy.least))]
        greatest_khz = [khz for policy in answering if (khz := self._files.number(policy.greatest))]
        if not least_khz or not greatest_khz:
            return {}
        ends_khz = min(least_khz), max(greatest_khz)
        return {"cpu_mhz": (mhz_from_khz(float(ends_khz[0])), mhz_from_khz(float(ends_khz[1])))}

    @override
    def save(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for policy in self._answering():
            ends = self._files.number(policy.least), self._files.number(policy.greatest)
            if not ends[0] or not ends[1]:  # it answers nothing, or what cannot be
                continue
            # What shows may be what heat leaves of it: only what somebody asked for is to be restored.
            table_mhz = [mhz_from_khz(float(khz)) for khz in self._table(policy)]
            shown_mhz = mhz_from_khz(float(ends[0])), mhz_from_khz(float(ends[1]))
            asked_mhz = self._usual.asked("cpu_mhz", table_mhz, shown_mhz=shown_mhz)
            for path, mhz in zip((policy.least, policy.greatest), asked_mhz, strict=True):
                found[path] = str(round(khz_from_mhz(mhz)))
            found |= self._files.saved([policy.governor])
        return found

    @override
    def changes(self, mode: PowerMode) -> Iterable[str]:
        return (path for policy in self._in(mode) for path in (policy.least, policy.greatest))

    @override
    def write(self, mode: PowerMode) -> None:
        khz = self._khz[mode["cpu_mhz"]]
        for policy in self._in(mode):
            # A cluster that was off line when the board was opened shows its table only now.
            table = self._table(policy)
            if khz not in table:
                raise UnreachableModeError(f"{policy.path} lacks {khz} kHz: it has {table[0]} to {table[-1]}")
            self._set(policy, str(khz), str(khz))
        if lost := self.lost(mode):
            raise UnreachableModeError(f"{lost}: a hot board, or a service, limits it")

    @override
    def lost(self, mode: PowerMode) -> str:
        khz = self._khz[mode["cpu_mhz"]]
        for policy in self._in(mode):
            seen = self._files.text(policy.least), self._files.text(policy.greatest)
            if seen != (str(khz), str(khz)):
                shown = f"{seen[0]} to {seen[1]} kHz" if seen[0] and seen[1] else "nothing"
                return f"{policy.path} was set to {khz} kHz and shows {shown}"
        return ""

    @override
    def capped(self, mode: PowerMode) -> str:
        """Compare the fastest clock that runs with what was set.

        `cpuinfo_cur_freq` is measured by counters (Jetson Linux tegra194-cpufreq.c), `scaling_cur_freq` is
        what was asked for.
        """
        khz = self._khz[mode["cpu_mhz"]]
        names = ("cpuinfo_cur_freq", "scaling_cur_freq")
        shown = [
            next((seen for name in names if (seen := self._files.number(f"{policy.path}/{name}"))), 0)
            for policy in self._in(mode)
        ]
        fastest = max(shown, default=0)
        if not 0 < fastest < LEAST_SHARE * khz:
            return ""
        return f"the processors were set to {khz} kHz and run at {fastest} kHz"

    @override
    def put_back(self, saved: Any) -> None:
        # Each file by itself: one that refuses keeps no other back.
        do_all(step for policy in self._policies for step in self._restoring(policy, saved))

    @override
    def notes(self) -> tuple[str, ...]:
        if not self.knobs:
            return ()
        return (f"cpu_mhz sets {counted(len(self._policies), 'cpufreq policy')}, each once.",)

    def _restoring(self, policy: Policy, saved: Mapping[str, str]) -> Iterable[Callable[[], None]]:
        """Yield the steps that bring a policy back."""
        if policy.least not in saved or policy.greatest not in saved:
            return
        yield partial(self._wake, policy)
        for path, khz in self._ordered(policy, saved[policy.least], saved[policy.greatest]):
            yield partial(self._files.put, path, khz)
        if saved.get(policy.governor):
            yield partial(self._files.change, policy.governor, saved[policy.governor])

    def _wake(self, policy: Policy) -> None:
        # It was off line before and was changed since, so one of its processors has to answer for it; the
        # part that comes last takes that off line again.
        if self._cores.on_line().isdisjoint(policy.cpus):
            self._cores.switch(policy.cpus[0], on=True)

    def _set(self, policy: Policy, least: str, greatest: str) -> None:
        for path, khz in self._ordered(policy, least, greatest):
            self._files.put(path, khz)

    def _ordered(self, policy: Policy, least: str, greatest: str) -> tuple[tuple[str, str], ...]:
        """Return limits in the order that is legal on every kernel: floor, greatest, least.

        Linux 4.9 (JetPack 4) refuses a least clock above the greatest. nvpmodel raises the floor (729600 kHz
        on Orin), so without the first write the lowest clocks could not be reached there.
        """
        floor = self._files.number(f"{policy.path}/cpuinfo_min_freq") or self._table(policy)[0]
        return (policy.least, str(floor)), (policy.greatest, greatest), (policy.least, least)

    def _table(self, policy: Policy) -> tuple[int, ...]:
        """Return the table of a policy; those of the others where it did not answer yet."""
        listed = policy.table_khz or self._files.numbers(f"{policy.path}/scaling_available_frequencies")
        return listed or self._ends

    def _in(self, mode: PowerMode) -> Iterable[Policy]:
        """Return the policies of processors that are on in a mode."""
        wanted = self._cores.of(mode)
        return (policy for policy in self._policies if not wanted.isdisjoint(policy.cpus))

    def _answering(self) -> Iterable[Policy]:
        on_line = self._cores.on_line()
        return (policy for policy in self._policies if not on_line.isdisjoint(policy.cpus))


def _absent(sentence: str) -> Reason:
    return Reason(what="cpu_mhz", why=Why.ABSENT, sentence=sentence)


def _find_policies(files: Files, cores: Cores) -> list[Policy]:
    """Return all policies with their processors, also those that are off line."""
    linked = {cpu: files.sysfs.resolve(f"{CPU}/cpu{cpu}/cpufreq") for cpu in cores.order}
    found: list[Policy] = []
    for path in files.sysfs.glob(f"{CPU}/cpufreq/policy*"):
        real = files.sysfs.resolve(path)
        # `related_cpus` has all of them, on line or not, but answers only while one is; the links stay.
        listed = files.numbers(f"{path}/related_cpus")
        cpus = [cpu for cpu in cores.order if cpu in listed or (not listed and linked[cpu] == real)]
        if cpus:
            told = files.numbers(f"{path}/scaling_available_frequencies")
            table = tuple(khz for khz in told if mhz_from_khz(float(khz)) >= LEAST_MHZ)
            found.append(Policy(path=path, cpus=tuple(sorted(cpus)), table_khz=table))
    return sorted(found, key=lambda policy: policy.cpus[0])
