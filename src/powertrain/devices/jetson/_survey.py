"""What can only be found out by trying: which memory clocks can be locked, and a GPU that sleeps.

Trying changes the board, so it is done like holding a mode: under the lock, with the journal, and restored on
every way out. What was found is kept until the next boot, so that it is done once.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from typing_extensions import override

from powertrain.devices._hold import Holder, Settings
from powertrain.devices._journal import LARGEST_BYTES, Journal
from powertrain.devices._parts import Part, knobs_of, restore_tried, try_parts
from powertrain.devices._reasons import Why
from powertrain.devices.jetson._emc import EmcPart
from powertrain.devices.jetson._gpu import GpuPart
from powertrain.errors import DeviceError
from powertrain.files import read_file, write_file
from powertrain.records import PowerMode

__all__ = ["KnownClocks", "survey"]


@final
class KnownClocks:
    """Memory clocks that were found to be lockable since the boot, in a file beside the journal."""

    def __init__(self, journal: Journal, *, key: str, board: Sequence[object]) -> None:
        """Use a file of the journal's folder; `board` is all that the finding depends on."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", key).strip("-")
        self._path: Path = journal.folder / f"{name}.clocks"
        self._stamp = [journal.boot_id(), *map(str, board)]

    def read(self) -> tuple[int, ...] | None:
        """Return them [Hz]; None where they are not known."""
        try:
            # A file that anything is wrong with is a file that is not there: trying again is cheap.
            content = json.loads(read_file(self._path, most_bytes=LARGEST_BYTES))
            if content["stamp"] != self._stamp or not self._stamp[0]:
                return None
            return tuple(int(hz) for hz in content["memory_hz"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, memory_hz: Sequence[int]) -> None:
        """Keep them; where that fails they are tried again another time."""
        text = json.dumps({"stamp": self._stamp, "memory_hz": memory_hz})
        with contextlib.suppress(OSError):
            write_file(self._path, text, follow_links=False)


def survey(
    parts: Sequence[Part],
    gpu: GpuPart,
    emc: EmcPart,
    known: KnownClocks | None,
    *,
    probe: bool,
    holder: Callable[[Settings], Holder],
) -> None:
    """Complete the tables of GPU and memory.

    Args:
        parts: All of the board's, to restore what a dead process left behind.
        gpu: The part that may sleep.
        emc: The part whose clocks have to be tried.
        known: What was found before; None to try each time.
        probe: Whether anything may be tried; without, only what was found before is offered.
        holder: Makes the holder of the board from settings.

    Raises:
        DeviceError: The board could not be restored.
    """
    found = known.read() if known is not None else None
    if found is not None and emc.can_be_probed:
        emc.offer(found)
    to_probe = emc.can_be_probed and found is None
    if not probe or (found is not None and not gpu.sleeps):
        return
    # Held as a mode is, so that a kill in the middle of a trial is restored as well.
    trial = _Trial(parts, gpu, emc if to_probe else None)
    try:
        with holder(trial).hold(PowerMode(mem_mhz=1.0)):  # it has no modes yet: any will do
            pass
    except DeviceError as error:
        if trial.began:
            raise  # what was tried could not be restored: that is to be told
        if to_probe:
            emc.miss(Why.UNTRIED, f"the memory clocks could not be tried, since {error}")
        return
    if trial.lockable_hz is not None:
        emc.offer(trial.lockable_hz)
    # What was refused may have been so for a moment: then all is tried another time.
    if known is not None and found is None and not trial.refused:
        known.write(trial.lockable_hz or ())


@final
class _Trial(Settings):
    """Wakes the GPU, sees whether each knob can be set, and tries every memory clock."""

    outlives_process = True

    def __init__(self, parts: Sequence[Part], gpu: GpuPart, emc: EmcPart | None) -> None:
        self._parts, self._gpu, self._emc = parts, gpu, emc
        self.lockable_hz: tuple[int, ...] | None = None
        self.refused = False
        """Whether a part can be read and not set."""
        self.began = False

    @override
    def check(self, mode: PowerMode) -> None:
        return

    @override
    def save(self) -> Mapping[str, Any]:
        return {part.name: part.save() for part in self._parts}

    @override
    def write(self, mode: PowerMode) -> None:
        self.began = True
        if self._gpu.sleeps:
            self._gpu.prepare()
            self._gpu.look()
        before = knobs_of(self._parts)
        try_parts(self._parts)
        self.refused = knobs_of(self._parts).keys() != before.keys()
        if self._emc is not None:
            self.lockable_hz = self._emc.probe()

    @override
    def lost(self, mode: PowerMode) -> str:
        return ""

    @override
    def put_back(self, saved: Mapping[str, Any]) -> None:
        restore_tried(self._parts, saved)
