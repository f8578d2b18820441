"""The knob `cpu_mhz`: the clock of all processors, through Linux's cpufreq."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, final

from typing_extensions import override

from powertrain.devices._files import Files, do_all, not_writable
from powertrain.devices._parts import Part
from powertrain.devices._reasons import Reason, Why
from powertrain.devices._sysfs import Sysfs
from powertrain.errors import UnreachableModeError
from powertrain.records import PowerMode
from powertrain.units import mhz_from_khz
from powertrain.wording import counted

__all__ = ["CpuClockPart"]

CPUFREQ = "/sys/devices/system/cpu/cpufreq"
LEAST_SHARE = 0.9
"""Of the clock that was set at which it still counts as reached: processors round to 100 MHz."""
STEPS = 8
"""Clocks that are offered where the driver takes any between two ends."""


@final
@dataclass(frozen=True, kw_only=True)
class _Policy:
    """Processors that share a clock, by the files of cpufreq."""

    path: str
    clocks_khz: tuple[int, ...]
    """Those that it can be set to, ascending; none where cpufreq does not tell."""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def least(self) -> str:
        return f"{self.path}/scaling_min_freq"

    @property
    def greatest(self) -> str:
        return f"{self.path}/scaling_max_freq"

    listed: bool
    """Whether the driver lists them; else any between the first and the last can be set."""

    def nearest_khz(self, khz: int) -> int:
        """Return the clock of this policy that is nearest to one; those of others may go further."""
        if self.listed:
            return min(self.clocks_khz, key=lambda own: (abs(own - khz), own))
        return min(max(khz, self.clocks_khz[0]), self.clocks_khz[-1])


@final
class CpuClockPart(Part):
    """Holds all policies at one clock: least = greatest = asked.

    Kernel documentation, admin-guide/pm/cpufreq: `scaling_min_freq`, `scaling_max_freq` and
    `scaling_available_frequencies` (some drivers lack the last) in kHz, one directory per policy.
    """

    name = "cpufreq"
    outlives_process = True

    def __init__(self, sysfs: Sysfs) -> None:
        self._files = Files(sysfs)
        found = _find_policies(self._files)
        # Processors that are off line answer nothing; they are not set, and keep nobody from setting the
        # others.
        self._policies = [policy for policy in found if policy.clocks_khz and self._answers(policy)]
        self._left_out = [policy.name for policy in found if policy not in self._policies]
        self._khz = {mhz_from_khz(float(khz)): khz for khz in _offered_khz(self._policies)}
        self.missing = tuple(self._why_missing(found))
        self.knobs: Mapping[str, tuple[float, ...]] = {} if self.missing else {"cpu_mhz": tuple(self._khz)}

    def _answers(self, policy: _Policy) -> bool:
        return None not in self._shown(policy)

    def _why_missing(self, found: list[_Policy]) -> Iterable[Reason]:
        if not found:
            yield _absent("the kernel offers no cpufreq here")
        elif not any(policy.clocks_khz for policy in found):
            yield _absent("cpufreq tells no clocks here")
        elif not self._policies:
            path = found[0].least
            silence = self._files.silence(path) or f"it says {self._files.text(path)[:40]!r}"
            yield Reason(what="cpu_mhz", why=Why.BROKEN, sentence=f"{path} does not answer ({silence})")
        elif len(self._khz) == 1:
            (mhz,) = self._khz
            yield Reason(what="cpu_mhz", why=Why.FIXED, sentence=f"it has one value here, {mhz:g} MHz")
        else:
            paths = (path for policy in self._policies for path in (policy.least, policy.greatest))
            forbidden = (path for path in paths if not self._files.sysfs.may_write(path))
            # The first is enough: whoever gets the permission gets it for all of them.
            yield from (not_writable("cpu_mhz", path) for path in list(forbidden)[:1])

    @override
    def in_force(self) -> Mapping[str, tuple[float, float]]:
        shown = [self._shown(policy) for policy in self._policies]
        least_khz = [least for least, _ in shown if least is not None]
        greatest_khz = [greatest for _, greatest in shown if greatest is not None]
        if not least_khz or not greatest_khz:
            return {}
        ends_khz = min(least_khz), max(greatest_khz)
        return {"cpu_mhz": (mhz_from_khz(float(ends_khz[0])), mhz_from_khz(float(ends_khz[1])))}

    @override
    def save(self) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for policy in self._policies:
            least, greatest = self._shown(policy)
            # A policy whose processors are all off line does not answer; it is not changed either.
            if least is not None and greatest is not None:
                found[policy.name] = [least, greatest]
        return found

    @override
    def changes(self, mode: PowerMode) -> Iterable[str]:
        return (policy.name for policy in self._policies)

    @override
    def write(self, mode: PowerMode) -> None:
        for policy in self._policies:
            khz = policy.nearest_khz(self._khz[mode["cpu_mhz"]])
            self._set(policy, khz, khz)
        if lost := self.lost(mode):
            raise UnreachableModeError(f"{lost}: something else limits its clock, such as heat")

    @override
    def lost(self, mode: PowerMode) -> str:
        for policy in self._policies:
            wanted = policy.nearest_khz(self._khz[mode["cpu_mhz"]])
            seen = self._shown(policy)
            if seen != (wanted, wanted):
                return f"{policy.name} was set to {wanted} kHz and shows {seen[0]} to {seen[1]} kHz"
        return ""

    @override
    def capped(self, mode: PowerMode) -> str:
        """Compare the clocks that run with those that were set: the fastest, since idle processors rest.

        `scaling_cur_freq` is what runs where the processor tells (x86: counters of the last tick), else what
        was asked of the hardware (admin-guide/pm/cpufreq).
        """
        shares: list[tuple[float, int, int]] = []
        for policy in self._policies:
            wanted = policy.nearest_khz(self._khz[mode["cpu_mhz"]])
            if khz := self._files.number(f"{policy.path}/scaling_cur_freq"):
                shares.append((khz / wanted, khz, wanted))
        share, khz, wanted = max(shares, default=(1.0, 0, 0))
        return f"the processors were set to {wanted} kHz and run at {khz} kHz" if share < LEAST_SHARE else ""

    @override
    def try_out(self) -> None:
        """Write to each file what it shows: nobody's clock changes for a trial."""
        for policy in self._policies:
            least, greatest = self._shown(policy)
            if least is not None and greatest is not None:
                self._files.put(policy.greatest, str(greatest))
                self._files.put(policy.least, str(least))

    @override
    def put_back(self, saved: Any) -> None:
        # Each file by itself, in an order that is legal on every kernel: one that refuses keeps no other
        # back.
        do_all(
            partial(self._files.put, path, str(khz))
            for policy in self._policies
            if policy.name in saved
            for path, khz in self._ordered(policy, *saved[policy.name])
        )

    @override
    def differences(self, saved: Mapping[str, Any]) -> tuple[str, ...]:
        shown = self.save()
        return tuple(
            f"{name} was restored as {ends} kHz and shows {shown[name]} kHz"
            for name, ends in saved.items()
            if name in shown and shown[name] != ends
        )

    @override
    def notes(self) -> tuple[str, ...]:
        if not self.knobs:
            return ()
        told = f"cpu_mhz sets {counted(len(self._policies), 'cpufreq policy')}"
        if self._left_out:
            told += (
                f"; {', '.join(self._left_out)} do not answer, as where processors are off line, and are left"
            )
        return (f"{told}.",)

    def _set(self, policy: _Policy, least: int, greatest: int) -> None:
        for path, khz in self._ordered(policy, least, greatest):
            self._files.put(path, str(khz))

    def _ordered(self, policy: _Policy, least: int, greatest: int) -> tuple[tuple[str, int], ...]:
        """Return what to write, in an order that is legal on every kernel: the lowest clock, greatest, least.

        Kernels before 5.3 refuse a least clock above the greatest, and a greatest below the least.
        """
        floor = policy.clocks_khz[0]
        return (policy.least, floor), (policy.greatest, greatest), (policy.least, least)

    def _shown(self, policy: _Policy) -> tuple[int | None, int | None]:
        # A clock of 0 is none: nothing would come of restoring it.
        return self._files.number(policy.least) or None, self._files.number(policy.greatest) or None


def _absent(sentence: str) -> Reason:
    return Reason(what="cpu_mhz", why=Why.ABSENT, sentence=sentence)


def _find_policies(files: Files) -> list[_Policy]:
    """Return the policies by their numbers, which sort differently as text: policy10, policy2."""
    paths = files.sysfs.glob(f"{CPUFREQ}/policy*")
    numbered = {path: path.removeprefix(f"{CPUFREQ}/policy") for path in paths}
    ordered = sorted((path for path in paths if numbered[path].isdecimal()), key=lambda p: int(numbered[p]))
    return [_policy(files, path) for path in ordered]


def _policy(files: Files, path: str) -> _Policy:
    """Return a policy with the clocks that it lists, else with its ends; none where it does not answer."""
    # Intel's and AMD's own drivers list no clocks: they take any number between two ends.
    low, high = (files.number(f"{path}/cpuinfo_{end}_freq") for end in ("min", "max"))
    # What the firmware forbids cannot be set (acpi-cpufreq; admin-guide/pm/cpufreq: bios_limit).
    if high and (most := files.number(f"{path}/bios_limit")) and most >= (low or 1):
        high = min(high, most)
    table = files.numbers(f"{path}/scaling_available_frequencies")
    # What is no clock of the processor's, whatever the list is, cannot be set.
    if listed := tuple(khz for khz in table if (low or 1) <= khz <= (high or khz)):
        return _Policy(path=path, clocks_khz=listed, listed=True)
    ends = (low, high) if low and high and low <= high else ()
    return _Policy(path=path, clocks_khz=tuple(sorted(set(ends))), listed=False)


def _offered_khz(policies: list[_Policy]) -> list[int]:
    """Return the clocks that all policies together are offered with; each takes the nearest that it has.

    Of tables the longest, and what others have beyond its ends; without any, even steps over what all can do,
    and the highest. Ends of single processors, which differ from one to the next, make no clocks of their
    own.
    """
    tables = [policy.clocks_khz for policy in policies if policy.listed]
    if tables:
        longest = max(tables, key=len)
        others = {khz for table in tables for khz in table}
        return sorted({*longest, *(khz for khz in others if not longest[0] <= khz <= longest[-1])})
    ends = [policy.clocks_khz for policy in policies]
    if not ends:
        return []
    low, high = max(clocks[0] for clocks in ends), min(clocks[-1] for clocks in ends)
    if low > high:
        low, high = min(clocks[0] for clocks in ends), max(clocks[-1] for clocks in ends)
    steps = {round(low + (high - low) * step / (STEPS - 1)) for step in range(STEPS)}
    return sorted({*steps, max(clocks[-1] for clocks in ends)})
