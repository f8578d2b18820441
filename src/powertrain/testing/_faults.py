"""Faults put between a device and what it stands on, one at a time: a kernel's files, a driver's library."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

from typing_extensions import override

from powertrain.devices import AbstractLiveDevice
from powertrain.devices._sysfs import Sysfs
from powertrain.errors import PowerTrainError
from powertrain.records import PowerMode

__all__ = [
    "LIBRARY_FAULTS",
    "READ_FAULTS",
    "WRITE_FAULTS",
    "Fault",
    "FaultyLibrary",
    "FaultySysfs",
    "Outcome",
    "faults_of_files",
    "faults_of_library",
    "try_fault",
]


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


READ_FAULTS: Mapping[str, OSError | str] = {
    **{
        errno.errorcode[number]: _error(number)
        for number in (
            errno.EIO,
            errno.EACCES,
            errno.EPERM,
            errno.ENOENT,
            errno.EAGAIN,
            errno.EBUSY,
            errno.EINVAL,
            errno.ENODEV,
        )
    },
    # What never answers is given up by `RealSysfs` after some time, in this way.
    "hang": _error(errno.ETIMEDOUT),
    "empty": "",
    "garbage": "\ufffd\x00??",
    "word": "none",
    "float": "1.5",
    "negative": "-1",
    "zero": "0",
    "huge": "9" * 40,
    "lines": "1\n2\n3",
}
"""In which ways the kernel may answer a read: an error, or a text that is none of those expected."""
WRITE_FAULTS: Mapping[str, OSError | None] = {
    **{
        errno.errorcode[number]: _error(number)
        for number in (
            errno.EIO,
            errno.EACCES,
            errno.EPERM,
            errno.EROFS,
            errno.EBUSY,
            errno.EINVAL,
            errno.ENODEV,
            errno.ENOENT,
        )
    },
    "hang": _error(errno.ETIMEDOUT),
    "ignored": None,
}
"""In which ways it may answer a write; `ignored`: without an error, and nothing is changed."""
LIBRARY_FAULTS: Mapping[str, Any] = {
    **{f"code {code}": code for code in (1, 2, 3, 4, 6, 9, 13, 15, 16, 18, 999)},
    "not UTF-8": UnicodeDecodeError("utf-8", b"\xf8", 0, 1, "invalid start byte"),
    "no function": AttributeError("undefined symbol"),
    "library lost": OSError(errno.EIO, "Input/output error"),
    "wrong arguments": TypeError("this function takes at least 2 arguments"),
    "None": None,
    "text": "??",
    "bytes": b"\xf8\xff",
    "negative number": -1,
    "huge number": 2**64 - 1,
    "number": 7,
    "float": 0.5,
    "nothing listed": [],
    "listed texts": ["a", None],
    "an object": object(),
}
"""In which ways a binding may answer a call: with a code of NVML, another exception, or any value."""


@final
@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    where: str
    """The path of a file, or the name of a function."""
    how: str
    """One of the names in the tables above."""
    writing: bool = False
    late: bool = False
    """Whether it comes only once the device is open."""

    def __str__(self) -> str:
        return (
            f"{'write' if self.writing else 'read'} {self.where}: {self.how}{' (late)' if self.late else ''}"
        )


@final
class FaultySysfs(Sysfs):
    """The files of a board, one of which fails; it notes what is read and written."""

    def __init__(self, board: Sysfs, fault: Fault | None = None) -> None:
        """Stand before a board.

        Args:
            board: What is right otherwise.
            fault: What goes wrong; nothing if None.
        """
        self._board, self.fault = board, fault
        self.on = fault is not None and not fault.late
        self.reads: set[str] = set()
        self.writes: set[str] = set()

    @override
    def read(self, path: str) -> str:
        real = self._board.resolve(path)
        self.reads.add(real)
        if self._hits(real, writing=False):
            assert self.fault is not None
            told = READ_FAULTS[self.fault.how]
            if isinstance(told, OSError):
                raise OSError(told.errno, told.strerror, path)
            return told
        return self._board.read(path)

    @override
    def write(self, path: str, text: str) -> None:
        real = self._board.resolve(path)
        self.writes.add(real)
        if self._hits(real, writing=True):
            assert self.fault is not None
            error = WRITE_FAULTS[self.fault.how]
            if error is not None:
                raise OSError(error.errno, error.strerror, path)
            return
        self._board.write(path, text)

    @override
    def listdir(self, path: str) -> list[str]:
        return self._board.listdir(path)

    @override
    def exists(self, path: str) -> bool:
        return self._board.exists(path)

    @override
    def may_write(self, path: str) -> bool:
        forbidden = (errno.EACCES, errno.EPERM, errno.EROFS)
        if self._hits(self._board.resolve(path), writing=True) and self.fault is not None:
            error = WRITE_FAULTS[self.fault.how]
            if error is not None and error.errno in forbidden:
                return False
        return self._board.may_write(path)

    @override
    def resolve(self, path: str) -> str:
        return self._board.resolve(path)

    def _hits(self, real: str, *, writing: bool) -> bool:
        fault = self.fault
        return self.on and fault is not None and fault.where == real and fault.writing == writing


@final
class FaultyLibrary:
    """A driver's library, one of whose functions fails; it notes what is called."""

    def __init__(self, library: Any, fault: Fault | None = None) -> None:
        """Stand before a binding.

        Args:
            library: What is right otherwise.
            fault: What goes wrong; nothing if None.
        """
        self._library, self.fault = library, fault
        self.on = fault is not None and not fault.late
        self.NVMLError = library.NVMLError
        self.calls: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._library, name)
        if not callable(found):
            return found
        self.calls.add(name)

        def call(*arguments: Any) -> Any:
            fault = self.fault
            if not (self.on and fault is not None and fault.where == name):
                return found(*arguments)
            told = LIBRARY_FAULTS[fault.how]
            if isinstance(told, BaseException):
                raise told
            if fault.how.startswith("code "):
                raise self.NVMLError(told)
            return told

        return call


def faults_of_files(seen: FaultySysfs) -> Iterator[Fault]:
    """Yield every fault of every file that a device read or wrote, from the start and late."""
    for late in (False, True):
        for path in sorted(seen.reads):
            yield from (Fault(where=path, how=how, late=late) for how in READ_FAULTS)
        for path in sorted(seen.writes):
            yield from (Fault(where=path, how=how, writing=True, late=late) for how in WRITE_FAULTS)


def faults_of_library(seen: FaultyLibrary) -> Iterator[Fault]:
    """Yield every fault of every function that a device called, from the start and late."""
    for late in (False, True):
        for name in sorted(seen.calls):
            yield from (Fault(where=name, how=how, late=late) for how in LIBRARY_FAULTS)


@final
@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a device with a fault."""

    opened: bool
    knobs: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    """Knobs that are offered and could be held at none of their ends."""
    outside: str = ""
    """An exception outside PowerTrain's tree, with what was asked; empty if there was none."""
    told: str = ""
    """The error with which the device could not be opened."""


def try_fault(open_device: Callable[[], AbstractLiveDevice], start: Callable[[], None]) -> Outcome:
    """Open a device, ask it everything, and hold each knob at both ends.

    Args:
        open_device: Opens it.
        start: Called once it is open: faults that come late begin.

    Returns:
        What became of it. Sensors may raise `OSError`, as their contract says.
    """
    try:
        device = open_device()
    except PowerTrainError as error:
        return Outcome(opened=False, told=str(error))
    except Exception as error:  # the point of the trial: whatever comes is an outcome
        return Outcome(opened=False, outside=f"opening: {type(error).__name__}: {error}")
    start()
    outside = next(filter(None, (_outside(*asked) for asked in _questions(device))), "")
    refused: list[str] = []
    for knob in device.space.knobs:
        ends = dict.fromkeys((knob.values[0], knob.values[-1]))
        results = [
            _outside(f"holding {knob.name}", lambda v=v, k=knob: _hold(device, k.name, v)) for v in ends
        ]
        outside = outside or next(filter(None, results), "")
        if not any(_holds(device, knob.name, value) for value in ends):
            refused.append(knob.name)
    return Outcome(opened=True, knobs=device.space.names, refused=tuple(refused), outside=outside)


def _questions(device: AbstractLiveDevice) -> list[tuple[str, Callable[[], object]]]:
    return [
        ("notes", device.notes),
        ("modes", device.modes),
        ("stock modes", device.stock_modes),
        ("power", device.read_power),
        ("power", device.read_power),
        ("temperature", device.temperature_c),
        ("cuts", device.throttle_count),
        ("environment", device.environment),
        ("what is in force", device.in_force),
        ("state", device.state),
        ("what spoils", device.spoilt),
    ]


def _outside(what: str, ask: Callable[[], object]) -> str:
    """Ask, and return the exception that is none of the tree's; sensors may raise the kernel's."""
    try:
        ask()
    except PowerTrainError:
        return ""
    except OSError as error:
        return "" if what == "power" else f"{what}: {type(error).__name__}: {error}"
    except Exception as error:  # the point of the trial: whatever comes is an outcome
        return f"{what}: {type(error).__name__}: {error}"
    return ""


def _hold(device: AbstractLiveDevice, knob: str, value: float) -> None:
    if knob in device.space.names:
        with device.hold_some(PowerMode({knob: value})):
            device.spoilt()


def _holds(device: AbstractLiveDevice, knob: str, value: float) -> bool:
    try:
        _hold(device, knob, value)
    except Exception:  # what it is was told before
        return False
    return True
