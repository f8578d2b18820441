"""The knob `mem_mhz`: the memory clock, locked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, final

from typing_extensions import override

from powertrain.devices._clock import Clock
from powertrain.devices._files import BECOME_ROOT, FilePart, Files, do_all, not_writable
from powertrain.devices._reasons import Reason, Why
from powertrain.devices.jetson._emc_files import DEBUGFS, candidates_hz, find_emc
from powertrain.errors import DeviceError, UnreachableModeError
from powertrain.records import PowerMode
from powertrain.units import mhz_from_hz

__all__ = ["EmcPart"]

ARRIVES_S, POLL_S = 1.0, 0.05
"""How long a lock may take to show, as long as public scripts wait; and between looks at it."""
STAYS_S, LOOK_S = 0.5, 0.1
"""How long it is watched: on Thor locks were seen to let go, by a public tool that does the same."""
TRIES = 3
UNTRIED = Reason(
    what="mem_mhz",
    why=Why.UNTRIED,
    sentence="no memory clock has been tried since the board was booted, and looking tries nothing",
    mend="run powertrain modes jetson, which tries them and restores the board",
)


@final
class EmcPart(FilePart):
    """Locks the memory clock, and reads it back: firmware rounds what it cannot do without a word.

    On an Orin Nano Super 1701.5 MHz silently became 2133 (public probe on Jetson Linux 36). So which clocks
    there are is found out by locking each candidate once; see `probe`.
    """

    name = "memory clock"

    def __init__(self, files: Files, soc: str, *, clock: Clock) -> None:
        self._files, self._clock = files, clock
        self._emc = find_emc(files)
        self.candidates_hz = candidates_hz(files, self._emc, soc) if self._emc else ()
        self._hz: dict[float, int] = {}
        self._obstacle = self._why_missing()
        self.missing = (self._obstacle or UNTRIED,)
        self.knobs: Mapping[str, tuple[float, ...]] = {}

    @property
    def can_be_probed(self) -> bool:
        """Whether there are candidates that this user may lock."""
        return self._obstacle is None

    def offer(self, lockable_hz: Sequence[int]) -> None:
        """Offer clocks that were found to stay where they are locked."""
        if not lockable_hz:
            count = len(self.candidates_hz)
            self.miss(Why.BROKEN, f"of {count} memory clocks the firmware kept none when asked")
            return
        self._hz = {mhz_from_hz(float(hz)): hz for hz in sorted(lockable_hz)}
        self.knobs, self.missing = {"mem_mhz": tuple(self._hz)}, ()

    def miss(self, why: Why, sentence: str) -> None:
        """Note why the clock is not offered."""
        self.missing = (_without(why, sentence),)

    def _why_missing(self) -> Reason | None:
        if self._emc is None:
            if self._files.sysfs.listdir(DEBUGFS):
                return _without(Why.ABSENT, "this kernel has neither bpmp/debug/clk/emc nor clk/override.emc")
            mend = f"{BECOME_ROOT}; it has to be mounted there (-v {DEBUGFS})"
            return _without(Why.FORBIDDEN, f"this user may not read {DEBUGFS}, or it is empty", mend=mend)
        for path in (self._emc.lock, self._emc.shown):
            if self._files.number(path) is None:
                told = self._files.silence(path) or f"it says {self._files.text(path)[:40]!r}"
                return _without(Why.BROKEN, f"{path} tells nothing ({told})")
        paths = (self._emc.lock, self._emc.rate)
        if forbidden := [path for path in paths if not self._files.sysfs.may_write(path)]:
            return not_writable("mem_mhz", forbidden[0])
        if not self.candidates_hz:
            return _without(Why.ABSENT, "neither the kernel nor any document lists a memory clock")
        return None

    def probe(self) -> tuple[int, ...]:
        """Lock each candidate and return those that are read back; `put_back` is the caller's.

        On a board without a load this does no harm, and takes up to a second for each that is rounded.
        """
        return tuple(hz for hz in self.candidates_hz if self._lock_is_kept(hz))

    def _lock_is_kept(self, hz: int) -> bool:
        try:
            self._lock(hz)
        except DeviceError:
            return False
        if not self._arrives(hz):
            return False
        # A lock may let go again (see STAYS_S): look once more.
        self._clock.sleep_s(LOOK_S)
        return not self._differs(hz)

    @override
    def in_force(self) -> Mapping[str, tuple[float, float]]:
        emc = self._emc
        hz = None if emc is None else self._files.number(emc.shown)
        if emc is None or not hz:
            return {}
        if self._files.text(emc.lock) == "1":
            return {"mem_mhz": (mhz_from_hz(float(hz)), mhz_from_hz(float(hz)))}
        if not self.candidates_hz:
            return {}
        cap_hz = (emc.cap and self._files.number(emc.cap)) or max(self.candidates_hz)
        least_hz = min(*self.candidates_hz, cap_hz)
        return {"mem_mhz": (mhz_from_hz(float(least_hz)), mhz_from_hz(float(cap_hz)))}

    @override
    def save(self) -> dict[str, str]:
        """Return lock and cap, and the clock if it is locked: else it moves by itself."""
        emc = self._emc
        if emc is None:
            return {}
        # The rate of an unlocked clock is what the bandwidth manager chose a moment ago: nobody asked for it.
        found = self._files.saved(path for path in (emc.lock, emc.halt, emc.cap) if path)
        if found.get(emc.lock, "0") != "0" and (hz := self._files.number(emc.shown)):
            found[emc.rate] = str(hz)
        return found

    @override
    def changes(self, mode: PowerMode) -> Iterable[str]:
        emc = self._emc
        if emc is None:
            return ()
        locked = self._files.text(emc.lock) != "0"
        return (path for path in (emc.lock, emc.halt, emc.cap, emc.rate if locked else "") if path)

    @override
    def write(self, mode: PowerMode) -> None:
        hz, wrong = self._hz[mode["mem_mhz"]], ""
        assert self._emc is not None
        # A lock may let go (see STAYS_S), so there is more than one try.
        for _ in range(TRIES):
            self._lock(hz)
            self._arrives(hz)
            wrong = self._differs(hz) or self._lets_go(hz)
            if not wrong:
                return
            self._files.change(self._emc.lock, "0")
        raise UnreachableModeError(f"{wrong}, {TRIES} times: a near one will not do for it")

    @override
    def lost(self, mode: PowerMode) -> str:
        return self._differs(self._hz[mode["mem_mhz"]])

    @override
    def put_back(self, saved: Any) -> None:
        emc = self._emc
        if emc is None or emc.lock not in saved:
            return
        steps: list[Callable[[], None]] = []
        if saved[emc.lock] != "0" and emc.rate in saved:
            steps.append(partial(self._lock_again, saved[emc.rate]))
        # Once unlocked nobody has to bring the rate back: the bandwidth manager takes over.
        steps += [
            partial(self._files.change, path, saved[path])
            for path in (emc.lock, emc.halt, emc.cap)
            if path in saved
        ]
        do_all(steps)

    @override
    def notes(self) -> tuple[str, ...]:
        if not self.knobs or self._emc is None:
            return ()
        rejected = [hz for hz in self.candidates_hz if hz not in self._hz.values()]
        told = f"mem_mhz locks {self._emc.rate}; every value was tried"
        if rejected:
            told += f", and {', '.join(f'{mhz_from_hz(float(hz)):g}' for hz in rejected)} MHz were not held"
        return (f"{told}.",)

    def _lock(self, hz: int) -> None:
        """Raise nvpmodel's cap if it is below, then lock. What is above the cap might not be reached."""
        emc, files = self._emc, self._files
        assert emc is not None
        if emc.cap and 0 < (files.number(emc.cap) or 0) < hz:
            files.put(emc.cap, str(hz))
        if emc.halt:
            files.change(emc.halt, "1")
        files.change(emc.lock, "1")
        files.put(emc.rate, str(hz))

    def _lock_again(self, rate: str) -> None:
        """Bring back the clock of somebody else's lock; wait until it shows, since `save` reads that."""
        assert self._emc is not None
        self._files.put(self._emc.rate, rate)
        self._arrives(int(rate))

    def _arrives(self, hz: int) -> bool:
        assert self._emc is not None
        end_s = self._clock.now_s() + ARRIVES_S
        while (seen := self._files.number(self._emc.shown)) != hz and self._clock.now_s() < end_s:
            self._clock.sleep_s(POLL_S)
        return seen == hz

    def _lets_go(self, hz: int) -> str:
        end_s = self._clock.now_s() + STAYS_S
        while self._clock.now_s() < end_s:
            self._clock.sleep_s(LOOK_S)
            if wrong := self._differs(hz):
                return wrong
        return ""

    def _differs(self, hz: int) -> str:
        emc = self._emc
        assert emc is not None
        seen, locked = self._files.number(emc.shown), self._files.text(emc.lock)
        if seen != hz:
            return f"the memory clock was set to {hz} Hz and is {seen} Hz"
        return "" if locked == "1" else "the memory clock was locked and is not"


def _without(why: Why, sentence: str, *, mend: str = "") -> Reason:
    return Reason(what="mem_mhz", why=why, sentence=sentence, mend=mend)
