"""Whether the kernel takes what is written to the clocks: found out once per boot, by changing nothing.

A file of cpufreq can be writable and refuse every value, as in some virtual machines. So each is given the
value that it shows. That is done under the device's lock and with its journal, like holding a mode: between
reading a value and writing it back, another process might restore another one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, final

from typing_extensions import override

from powertrain.devices._hold import Holder, Settings
from powertrain.devices._journal import Journal
from powertrain.devices._parts import Part, restore_tried, try_parts
from powertrain.errors import DeviceError
from powertrain.files import read_file, write_file
from powertrain.records import PowerMode

__all__ = ["try_once"]

LONGEST_ID = 256
"""Characters of the file that says in which boot the clocks were tried; the id of a boot has 36."""


def try_once(part: Part, journal: Journal, holder: Callable[[Settings], Holder]) -> None:
    """Try a part out, unless that went well since the boot; one that is refused offers no knob any more.

    While another process holds the device nothing is tried, and the part is taken to work.

    Args:
        part: The one whose knobs are in question.
        journal: In whose folder is kept when it went well.
        holder: Makes the holder of the device from settings.

    Raises:
        DeviceError: The trial changed something that could not be restored.
    """
    if not part.knobs:
        return
    path, boot_id = journal.folder / f"{part.name}.tried", journal.boot_id()
    with contextlib.suppress(OSError, ValueError):
        if boot_id and read_file(path, most_bytes=LONGEST_ID).decode() == boot_id:
            return
    trial = _Trial(part)
    try:
        with holder(trial).hold(PowerMode(cpu_mhz=1.0)):  # the trial sets what is in force, whatever this is
            pass
    except DeviceError:
        if trial.began:
            raise
        return
    if boot_id and part.knobs:
        with contextlib.suppress(OSError):  # then it is tried again another time
            write_file(path, boot_id, follow_links=False)


@final
class _Trial(Settings):
    outlives_process = True

    def __init__(self, part: Part) -> None:
        self._part, self.began = part, False

    @override
    def check(self, mode: PowerMode) -> None:
        return

    @override
    def save(self) -> Mapping[str, Any]:
        return {self._part.name: self._part.save()}

    @override
    def write(self, mode: PowerMode) -> None:
        self.began = True
        try_parts([self._part])

    @override
    def lost(self, mode: PowerMode) -> str:
        return ""

    @override
    def put_back(self, saved: Mapping[str, Any]) -> None:
        restore_tried([self._part], saved)
