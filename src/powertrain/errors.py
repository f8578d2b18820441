"""Every error that PowerTrain raises on purpose.

```
PowerTrainError
├── DataError                   what was measured, or a file of it, cannot be used
│   ├── CsvError                a CSV file breaks the form, with the line it breaks it on
│   ├── TooFewProfilesError     fewer profiles than the method needs
│   └── MissingKnobError        modes, profiles or a reference lack a knob
├── UnknownNameError            a device, workload, method, knob or file that is not there
├── StoreError                  the profile database cannot be read or written
│   ├── CorruptStoreError       it is damaged, or no PowerTrain database
│   └── NewerStoreError         a later version of PowerTrain wrote it
├── CheckpointError             a predictor file cannot be read or written
├── DeviceError                 a device is absent, or refuses
│   ├── DevicePermissionError   this user may not change it; the message names the permission
│   ├── DeviceBusyError         another process holds it
│   ├── UnknownModeError        it has no such mode, value or option (also an UnknownNameError)
│   └── UnreachableModeError    it was put into a mode, and what was read back is another
├── WorkloadError               a training failed while it was measured
│   ├── WorkloadMemoryError     a minibatch did not fit into memory
│   └── ProgramError            a program that was measured raised an exception or exited with an error
├── NoFeasibleModeError         no mode keeps the limits
├── FleetError                  the engine of a fleet cannot be reached, or no board of it can be used
├── LargeSpaceError             a mode space has more modes than can be listed
└── MissingExtraError           an optional dependency is not installed
```

A message says what was found, what was asked and what to do, in one line. Arguments that are wrong in
themselves (a negative risk, an unknown keyword) are plain `ValueError`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "CorruptStoreError",
    "CsvError",
    "DataError",
    "DeviceBusyError",
    "DeviceError",
    "DevicePermissionError",
    "FleetError",
    "LargeSpaceError",
    "MissingExtraError",
    "MissingKnobError",
    "NewerStoreError",
    "NoFeasibleModeError",
    "PowerTrainError",
    "ProgramError",
    "StoreError",
    "TooFewProfilesError",
    "UnknownModeError",
    "UnknownNameError",
    "UnreachableModeError",
    "WorkloadError",
    "WorkloadMemoryError",
]


class PowerTrainError(Exception):
    """Anything that PowerTrain refuses to do, with the reason in one line."""


class DataError(PowerTrainError):
    """Measurements cannot be used as they are."""


class CsvError(DataError):
    """A CSV file breaks the form that PowerTrain reads."""


class TooFewProfilesError(DataError):
    """A method was given fewer profiles than it can work with."""


class MissingKnobError(DataError):
    """Modes, profiles or a reference lack a knob that the other side has."""


class UnknownNameError(PowerTrainError):
    """A name does not exist. The message lists the nearest."""

    nearest: tuple[str, ...] = ()
    """Known names that are much like it."""

    @classmethod
    def of(cls, kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
        """Build the error for a `kind` ("workload", "device", ...) called `name`.

        The message names up to three close matches, else up to eight of the known names.
        """
        names = sorted(set(known))
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        lower = [n for n in names if name.lower() in n.lower() and n not in close]
        nearest = (close + lower)[:3]
        if nearest:
            hint = f"did you mean {' or '.join(map(repr, nearest))}?"
        elif names:
            more = f" and {len(names) - 8} more" if len(names) > 8 else ""
            hint = f"there are {', '.join(map(repr, names[:8]))}{more}"
        else:
            hint = "there are none"
        error = cls(f"unknown {kind} {name!r}: {hint}")
        error.nearest = tuple(nearest)
        return error


class StoreError(PowerTrainError):
    """The profile database cannot be read or written."""


class CorruptStoreError(StoreError):
    """The file is damaged, or is not a PowerTrain database."""


class NewerStoreError(StoreError):
    """The database was written by a later version of PowerTrain."""


class CheckpointError(PowerTrainError):
    """A predictor file cannot be read or written."""


class DeviceError(PowerTrainError):
    """A device is absent, or refuses a request."""


class DevicePermissionError(DeviceError):
    """This user may not change the device. Nothing was written."""


class DeviceBusyError(DeviceError):
    """Another process holds the device in a mode."""


class UnknownModeError(DeviceError, UnknownNameError):
    """The device has no such mode, no such value of a knob, or no such option."""


class UnreachableModeError(DeviceError):
    """The mode that was read back is not the mode that was set. The device was restored."""


class WorkloadError(PowerTrainError):
    """A training failed while it was measured. The message names its exception."""


class WorkloadMemoryError(WorkloadError):
    """A minibatch did not fit into memory."""


class ProgramError(WorkloadError):
    """A program that was measured raised an exception, or exited with a code other than 0."""

    def __init__(self, message: str, *, exit_code: int = 1, trace: str = "") -> None:
        """Keep what the program would have left: its exit code and, after an exception, its traceback."""
        super().__init__(message)
        self.exit_code, self.trace = exit_code, trace

    def adding(self, remark: str) -> ProgramError:
        """Return the error with a remark at the end of its message."""
        return ProgramError(f"{self}; {remark}", exit_code=self.exit_code, trace=self.trace)


class NoFeasibleModeError(PowerTrainError):
    """No mode keeps the limits. The message names the nearest mode and by how much it misses them."""


class FleetError(PowerTrainError):
    """The engine that carries a fleet cannot be reached, or no board of the fleet can be used."""


class LargeSpaceError(PowerTrainError):
    """A mode space has too many modes to list. The message says how to take some of them."""


class MissingExtraError(PowerTrainError):
    """An optional dependency is needed and not installed."""

    @classmethod
    def of(cls, package: str, *, extra: str, purpose: str) -> MissingExtraError:
        """Build the error for `package`, which `pip install 'powertrain[extra]'` brings."""
        return cls(f"{purpose} needs {package}, which is not installed: pip install 'powertrain[{extra}]'")
