"""The lines that tegrastats prints, as a fallback where the power sensors themselves cannot be read.

Names of fields come and go between releases (NVIDIA/skills, jetson-diagnostic: tegrastats-fields.md), so a
line is read by the shape of its fields, as they stand in public logs:

- `VDD_IN 1038/1134` (L4T 32), `VDD_IN 4654mW/4654mW` (34 to 38), `VDD_IN 4093mW/4463mW/4832mW` (39): power
  now and its mean since the start. In a public log of L4T 39 the third number is the greatest so far.
- `GPU@28C`, `cpu@48C/48C` (39): temperatures, now and the greatest; -256 stands for a sensor that is off.
- `CPU [1%@1833,off]`, `CPU [0%,5%,off]@2601` (Thor), `EMC_FREQ 0%@2133`, `EMC_FREQ @4266`,
  `GR3D_FREQ 14%@[407,407]`, `VIC off`: loads and clocks [MHz].
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, final

from powertrain.devices._clock import Clock, MonotonicClock
from powertrain.errors import DeviceError
from powertrain.units import watts_from_milliwatts

__all__ = ["TegrastatsReader", "TegrastatsReading", "parse_tegrastats"]

_NUMBER = r"\d{1,9}(?:\.\d{1,9})?"
# A monitor's zero is off by a step or two, so an idle rail may read below it.
_RAIL = re.compile(
    rf"(?<!\S)([A-Za-z]\w*) (-?{_NUMBER})(?:mW(?:/-?{_NUMBER}mW){{0,2}}|(?:/-?{_NUMBER}){{1,2}})(?!\S)",
    re.ASCII,
)
_TEMPERATURE = re.compile(rf"(?<!\S)([A-Za-z][\w.-]*)@(-?{_NUMBER})C(?:/-?{_NUMBER}C)?(?!\S)", re.ASCII)
_CLOCK = re.compile(
    rf"(?<!\S)([A-Za-z]\w*) (?:{_NUMBER}%)?@(?:({_NUMBER})(?!\S)|\[([^\]\s]*)\])",
    re.ASCII,
)
_CPUS = re.compile(rf"(?<!\S)CPU \[([^\]\s]*)\](?:@({_NUMBER}))?", re.ASCII)
_COLDEST_C = -200.0


@final
@dataclass(frozen=True, kw_only=True)
class TegrastatsReading:
    """What one line says; a field that the line lacks is absent."""

    time_s: float
    """When the line was read, on the reader's clock; NaN for a line from a file."""
    rails_w: Mapping[str, float] = field(hash=False)
    """Power now, by the names of the rails; what is not connected (NC) is left out."""
    clocks_mhz: Mapping[str, tuple[float, ...]] = field(hash=False)
    """By name without `_FREQ`: one clock or several; those of `CPU` are NaN where a core is off."""
    temperatures_c: Mapping[str, float] = field(hash=False)
    """By name, as the zones have them; a Nano's PMIC always says 100."""


def parse_tegrastats(line: str, *, time_s: float = math.nan) -> TegrastatsReading:
    """Read a line of tegrastats; what has none of the known shapes is passed over, whatever it is."""
    # Of two fields with one name the first counts; NC marks a channel that is not connected.
    rails_w: dict[str, float] = {}
    for name, power_mw in _RAIL.findall(line):
        if name != "NC":
            rails_w.setdefault(name, watts_from_milliwatts(float(power_mw)))
    temperatures_c = {name: float(text) for name, text in _TEMPERATURE.findall(line)}
    return TegrastatsReading(
        time_s=time_s,
        rails_w=rails_w,
        clocks_mhz=_clocks_mhz(line),
        temperatures_c={name: celsius for name, celsius in temperatures_c.items() if celsius > _COLDEST_C},
    )


def _clocks_mhz(line: str) -> dict[str, tuple[float, ...]]:
    found: dict[str, tuple[float, ...]] = {}
    if cpus := _CPUS.search(line):
        found["CPU"] = tuple(_cpu_mhz(core, cpus[2]) for core in cpus[1].split(","))
    for name, one, several in _CLOCK.findall(line):
        numbers = [_mhz(text) for text in several.split(",")] if several else [_mhz(one)]
        clocks = tuple(number for number in numbers if not math.isnan(number))
        if clocks:
            found.setdefault(name.removesuffix("_FREQ"), clocks)
    return found


def _cpu_mhz(core: str, shared: str | None) -> float:
    """Return the clock of one core from `1%@1833`, or from `1%` and the clock that all share."""
    if not re.fullmatch(rf"{_NUMBER}%(?:@{_NUMBER})?", core, re.ASCII):
        return math.nan
    return _mhz(core.partition("@")[2] or shared or "")


def _mhz(text: str) -> float:
    return float(text) if re.fullmatch(_NUMBER, text, re.ASCII) else math.nan


LONGEST_LINE = 65536
"""Characters after which a line is cut, so that a program that never ends one cannot fill the memory."""


@final
class TegrastatsReader:
    """Runs tegrastats and keeps its latest line that has a power in it; a context manager."""

    def __init__(
        self,
        command: Sequence[str] = ("tegrastats", "--interval", "100"),
        *,
        clock: Clock | None = None,
        stale_s: float = 1.0,
    ) -> None:
        """Start it.

        Args:
            command: The program and its arguments. It prints a line each period; less than 100 ms it does not
                keep (public measurements on AGX Orin).
            clock: Tells when a line came; the monotonic one by default.
            stale_s: Age at which the latest line is not an answer any more.

        Raises:
            DeviceError: It cannot be run.
        """
        self._name, self._stale_s = command[0], stale_s
        self._clock = MonotonicClock() if clock is None else clock
        self._arrived = threading.Condition()
        self._latest: TegrastatsReading | None = None
        self._lines = 0
        try:
            # Its own session: Ctrl-C at the terminal is for us, who then end it. Without us its pipe breaks.
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise DeviceError(
                f"no power from {self._name}: it cannot be run ({error.strerror}); it belongs to JetPack, "
                "and in a container it has to be mounted"
            ) from error
        assert self._child.stdout is not None
        self._thread = threading.Thread(
            target=self._read, args=(self._child.stdout,), name="powertrain-tegrastats", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> TegrastatsReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def latest(
        self, *, wait_s: float = 0.0, until: Callable[[TegrastatsReading], bool] | None = None
    ) -> TegrastatsReading:
        """Return the latest line, waiting so long for the first one, or for the first that will do.

        Raises:
            DeviceError: There is none yet, the latest is stale, or tegrastats has ended.
        """
        with self._arrived:
            self._arrived.wait_for(lambda: self._will_do(until) or self._ended, timeout=wait_s)
            latest = self._latest
        # An old line is worse than none: it would be taken for the power of another mode.
        if latest is not None:
            age_s = self._clock.now_s() - latest.time_s
            if age_s <= self._stale_s:
                return latest
            state = f"its latest line is {age_s:.1f} s old"
        elif self._lines:
            state = f"none of its {self._lines} lines has a power in it"
        else:
            state = "it has printed nothing yet"
        ended = f", and it ended with code {self._child.poll()}" if self._ended else ""
        raise DeviceError(f"no power from {self._name}: {state}{ended}")

    def close(self) -> None:
        """End it, and what it has started; a second time does nothing."""
        # The program may be a wrapper that has started the real one, so the whole group is ended.
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._child.poll() is None:
                os.killpg(self._child.pid, number)  # it leads a group of its own
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._child.wait(timeout=1.0)
        self._thread.join(timeout=1.0)

    def _will_do(self, until: Callable[[TegrastatsReading], bool] | None) -> bool:
        return self._latest is not None and (until is None or until(self._latest))

    @property
    def _ended(self) -> bool:
        return self._child.poll() is not None

    def _read(self, stream: IO[str]) -> None:
        # Runs on a thread until the program ends, or its pipe breaks.
        with stream:
            while line := stream.readline(LONGEST_LINE):
                reading = parse_tegrastats(line, time_s=self._clock.now_s())
                with self._arrived:
                    self._lines += 1
                    if reading.rails_w:
                        self._latest = reading
                        self._arrived.notify_all()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout=1.0)
        with self._arrived:
            self._arrived.notify_all()
