"""A kind of device as a table entry: the specs it takes, how one is opened, which of them are here.

A folder of devices ends in one `DeviceKind`, and `powertrain.opening` lists the kinds. Packages of others add
theirs as entry points of the group `powertrain.devices`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from powertrain.devices._base import AbstractDevice
from powertrain.errors import UnknownNameError
from powertrain.records import ProfileTable

__all__ = ["DeviceKind", "DeviceSpec", "Opening", "ServiceNeeds", "TableReader"]

TableReader = Callable[[Path], Iterable[ProfileTable]]


@final
@dataclass(frozen=True)
class DeviceSpec:
    """The text that names a device, in its pieces: `nvml:0?gpu_mhz=990` is KIND:WHICH?OPTIONS."""

    text: str
    """All of it, as a person typed it."""

    @property
    def kind(self) -> str:
        """What comes before the first colon or question mark, as in `nvml`."""
        return re.split("[:?]", self.text, maxsplit=1)[0]

    @property
    def name(self) -> str:
        """The spec without its options, as in `nvml:0`."""
        return self.text.partition("?")[0]

    @property
    def which(self) -> str:
        """What comes between the colon and the options, as in `0`; empty where there is no colon."""
        return self.name.partition(":")[2]

    @property
    def options(self) -> str:
        """What follows the question mark, as in `gpu_mhz=990`."""
        return self.text.partition("?")[2]

    @property
    def rest(self) -> str:
        """Everything after the colon. File names may contain question marks."""
        return self.text.partition(":")[2]

    def refuse_which(self) -> None:
        """Refuse a spec with a colon, for a kind with only one device on a machine.

        Raises:
            UnknownNameError: There is something after the colon.
        """
        if self.name != self.kind:
            raise UnknownNameError.of("device", self.name, [self.kind])


@final
@dataclass(frozen=True, kw_only=True)
class Opening:
    """How to open a device."""

    read_tables: TableReader | None = None
    """Reads the profiles of a file, one table per device and workload; needed for a replay."""
    probe: bool = True
    """Whether memory clocks may be tried, which changes a board for a few seconds."""
    for_others: bool = False
    """Whether it is to be held for other processes, as `powertrain-helper` does.

    Then it asks no helper itself, and has no knob that belongs to this process alone.
    """


@final
@dataclass(frozen=True, kw_only=True)
class ServiceNeeds:
    """What root's helper must be let do to hold a device, where systemd forbids it all else."""

    writable: tuple[str, ...] = ()
    """Files and folders that it writes; one that begins with a hyphen may be missing."""
    capabilities: tuple[str, ...] = ()
    """Capabilities of the kernel that it needs besides owning its files, as in `CAP_SYS_ADMIN`."""
    devices: str = ""
    """Nodes in /dev that it opens, as `DeviceAllow=` of systemd.resource-control(5) has them."""


def _nothing_found() -> tuple[str, ...]:
    return ()


@final
@dataclass(frozen=True, kw_only=True)
class DeviceKind:
    """One kind of device, such as the GPUs behind one driver."""

    name: str
    """What its specs begin with, up to a colon or question mark."""
    forms: tuple[str, ...]
    """The specs that it takes, for help and for messages; upper-case words stand for something."""
    open: Callable[[DeviceSpec, Opening], AbstractDevice]
    """Opens one; raises `UnknownNameError` or `DeviceError` if there is no such device."""
    find: Callable[[], tuple[str, ...]] = _nothing_found
    """Return the specs of those that this machine has; a stand-in for hardware is never found."""
    service: Callable[[DeviceSpec, Path], ServiceNeeds] | None = None
    """Return what a helper needs to hold one; the second argument is the root of the machine's files.

    Raises `DeviceError` where the machine has none such. None: a helper has no use for this kind.
    """
