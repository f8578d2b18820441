"""What the tests of the Jetson device share: emulated boards, and what goes wrong between them and it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, final

import pytest
from typing_extensions import override

from powertrain.devices import Journal, VirtualClock
from powertrain.devices._sysfs import Sysfs
from powertrain.devices.jetson import JetsonDevice
from powertrain.records import PowerMode
from powertrain.virtual.emulated import EMULATED, EmulatedSysfs, Faults

__all__ = [
    "ALLOWED",
    "CPU",
    "SOME_BOARDS",
    "Between",
    "Changed",
    "Killed",
    "board_of",
    "device_on",
    "every_board",
    "gpu_folder",
    "memory_files",
    "middle",
    "some_boards",
]

CPU = "/sys/devices/system/cpu"
EMC = "/sys/kernel/debug/bpmp/debug/clk/emc"
every_board = pytest.mark.parametrize("name", EMULATED)

KINDS = (
    *("orin-agx@jp5", "orin-nx-16gb@jp6", "orin-nano-super@jp7", "xavier-agx@jp4", "xavier-nx@jp5"),
    *("tx2@jp4", "nano@jp4", "thor@jp7"),
)
"""A board for each chip and each JetPack on it: others have the same files, and other clocks and cores."""
SOME_BOARDS = tuple(EMULATED) if os.environ.get("POWERTRAIN_TESTS") == "thorough" else KINDS
some_boards = pytest.mark.parametrize("name", SOME_BOARDS)

ALLOWED = re.compile(
    r"""
      /sys/devices/system/cpu/cpu[1-9]\d*/online
    | /sys/devices/system/cpu/cpufreq/policy\d+/scaling_(min_freq|max_freq|governor)
    | /sys/devices/(platform/)?(bus@0/)?(57|17)000000\.\w+/(railgate_enable|power/control)
    | /sys/devices/(platform/)?(bus@0/)?(57|17)000000\.\w+/devfreq/[\w.-]+/(min|max)_freq
    | /sys/devices/platform/bus@0/d0b0000000\.pcie/pci0000:00/0000:00:00\.0/0000:01:00\.0/power/control
    | /sys/devices/platform/bus@0/d0b0000000\.pcie/[\w:./]+/gpu-gpc-0/devfreq/gpu-gpc-0/(min|max)_freq
    | /sys/kernel/debug/bpmp/debug/(clk/emc/(mrq_rate_locked|rate)|bwmgr/bwmgr_halt)
    | /sys/kernel/debug/clk/override\.emc/(clk_state|clk_update_rate)
    | /sys/kernel/nvpmodel_(clk_cap/emc|emc_cap/emc_iso_cap)
    """,
    re.VERBOSE | re.ASCII,
)
"""What may ever be written: not processor 0's, masks of clusters, the GPU's governor or the fan."""


class Killed(BaseException):
    """The process is gone: nothing that it would have done any more is done."""


@final
class Between(Sysfs):
    """Stands between the device and a board, and lets one write in turn go wrong."""

    def __init__(self, board: Sysfs) -> None:
        self._board = board
        self._countdown: int | None = None
        self._how: Literal["refused", "killed"] = "refused"
        self._dead = False

    def arm(self, number: int, how: Literal["refused", "killed"]) -> None:
        """Refuse the write of this number, from 0, once; or be killed right after it."""
        self._countdown, self._how = number, how

    @property
    def went_off(self) -> bool:
        """Whether it has happened."""
        return self._countdown is None

    @override
    def write(self, path: str, text: str) -> None:
        self._live()
        if self._countdown is not None:
            self._countdown -= 1
            if self._countdown < 0:
                self._countdown = None
                if self._how == "refused":
                    raise OSError(errno.EIO, "Input/output error", path)
                self._board.write(path, text)
                self._dead = True
                raise Killed
        self._board.write(path, text)

    @override
    def read(self, path: str) -> str:
        self._live()
        return self._board.read(path)

    @override
    def listdir(self, path: str) -> list[str]:
        self._live()
        return self._board.listdir(path)

    @override
    def exists(self, path: str) -> bool:
        self._live()
        return self._board.exists(path)

    @override
    def may_write(self, path: str) -> bool:
        self._live()
        return self._board.may_write(path)

    @override
    def resolve(self, path: str) -> str:
        return self._board.resolve(path)

    def _live(self) -> None:
        if self._dead:
            raise Killed


@final
class Changed(Sysfs):
    """A board some of whose files say something else, or are not there (None)."""

    def __init__(self, board: Sysfs, texts: Mapping[str, str | None]) -> None:
        self._board, self._texts = board, texts

    @override
    def read(self, path: str) -> str:
        for known, text in self._texts.items():
            if path == known or self._board.resolve(path) == known:
                if text is None:
                    raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
                return text
        return self._board.read(path)

    @override
    def write(self, path: str, text: str) -> None:
        self._board.write(path, text)

    @override
    def listdir(self, path: str) -> list[str]:
        names = self._board.listdir(path)
        added = [known.rpartition("/")[2] for known in self._texts if known.rpartition("/")[0] == path]
        return sorted(name for name in {*names, *added} if self._texts.get(f"{path}/{name}", "") is not None)

    @override
    def exists(self, path: str) -> bool:
        return self._texts[path] is not None if path in self._texts else self._board.exists(path)

    @override
    def may_write(self, path: str) -> bool:
        return self._board.may_write(path)

    @override
    def resolve(self, path: str) -> str:
        return self._board.resolve(path)


def board_of(name: str, *, power_model: str | int | None = None, **faults: Any) -> EmulatedSysfs:
    """Boot a board on a virtual clock."""
    return EmulatedSysfs(name, clock=VirtualClock(), power_model=power_model, faults=Faults(**faults))


def device_on(
    board: EmulatedSysfs, folder: Path, options: str = "", *, sysfs: Sysfs | None = None, **more: Any
) -> JetsonDevice:
    """Open a board as another process would: with an eye of its own, and the journal in the folder."""
    return JetsonDevice(
        options,
        sysfs=sysfs or board,
        clock=board.clock,
        journal=Journal(folder / "journal"),
        jobs=lambda workload, _data: board.job(workload),
        name=board.title,
        **{"simulated": True, **more},
    )


def gpu_folder(board: Sysfs) -> str:
    """Return the GPU's devfreq folder, by its real path."""
    nodes = board.glob("/sys/class/devfreq/*")  # others on these boards have no choice of governors
    return board.resolve(next(node for node in nodes if board.exists(f"{node}/available_governors")))


def memory_files(board: Sysfs) -> tuple[str, str]:
    """Return the files that lock the memory clock, and say at what."""
    nano = "/sys/kernel/debug/clk/override.emc"
    if board.exists(nano):
        return f"{nano}/clk_state", f"{nano}/clk_update_rate"
    return f"{EMC}/mrq_rate_locked", f"{EMC}/rate"


def middle(device: JetsonDevice) -> PowerMode:
    """Return the mode in the middle of each knob."""
    return PowerMode({knob.name: knob.values[len(knob.values) // 2] for knob in device.space.knobs})
