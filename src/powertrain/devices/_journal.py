"""The journal of what was changed on hardware, so that it can be restored after a SIGKILL.

Before the first write to a device its state is saved in a file that reaches the disk (fsync), with the id
of the boot: after a reboot the state in the file means nothing any more. The file is removed once the device
has been restored. While a device is held its lock file is locked (flock), which ends with the process however
that ends; so a file without a locked lock is one that somebody left behind.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from powertrain.devices._locks import LOCKS, Locks, file_name
from powertrain.errors import DeviceError
from powertrain.files import read_file, state_folder, write_file

__all__ = ["Entry", "Journal", "default_folder"]

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
VERSION = 1
LARGEST_BYTES = 1 << 20
"""Of a file of the journal, which takes a few thousand."""


def default_folder() -> Path:
    """Return where journals are kept.

    Raises:
        DeviceError: This user has no home, and somebody else has made the folder that takes its place.
    """
    try:
        return state_folder()
    except OSError as error:
        raise DeviceError(error.strerror) from error


@final
@dataclass(frozen=True, kw_only=True)
class Entry:
    """The state of a device before somebody changed it."""

    spec: str
    """What opens the device again."""
    device: str
    pid: int
    boot_id: str
    saved: Mapping[str, Any]
    """The state, in the device's own words."""


@final
class Journal:
    """A folder with a file for each device that is held, or was left behind."""

    def __init__(self, folder: Path | None = None, *, boot_id: Path = BOOT_ID, locks: Path = LOCKS) -> None:
        """Use a folder, which is made when something is first written.

        Args:
            folder: `default_folder()` if None.
            boot_id: The kernel's file with the id of this boot.
            locks: The kernel's list of all locks.
        """
        self.folder = default_folder() if folder is None else folder
        self.locks = Locks(self.folder, listed=locks)
        self._boot_id = boot_id

    def keep(self, key: str, *, spec: str, device: str, saved: Mapping[str, Any]) -> None:
        """Save the state of a device before it is changed; when this returns it is on the disk."""
        content = {
            "version": VERSION,
            "spec": spec,
            "device": device,
            "pid": os.getpid(),
            "boot_id": self.boot_id(),
            "saved": saved,
        }
        path = self._path(key)
        # The file takes its name only when it is whole and on the disk: whoever loses power at any moment
        # finds the old journal or the new one.
        try:
            write_file(path, json.dumps(content, indent=1), follow_links=False)
        except OSError as error:
            raise DeviceError(
                f"cannot write the journal {path} ({error.strerror}): {device} is left as it is"
            ) from error

    def forget(self, key: str) -> None:
        """Remove what was kept of a device: it has been restored."""
        self._path(key).unlink(missing_ok=True)

    def left_behind(self, key: str) -> Entry | None:
        """Return what was kept of a device, if anything, and the machine has not been booted since."""
        path = self._path(key)
        try:
            content = json.loads(read_file(path, most_bytes=LARGEST_BYTES))
            entry = Entry(
                spec=content["spec"],
                device=content["device"],
                pid=int(content["pid"]),
                boot_id=content["boot_id"],
                saved=dict(content["saved"]),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DeviceError(
                f"the journal {path} cannot be read ({error}): check the device by hand, then delete the file"
            ) from error
        if entry.boot_id != self.boot_id():
            # The reboot has restored the device. What is set there now is this boot's: nobody's to change.
            self.forget(key)
            return None
        return entry

    def devices(self) -> list[str]:
        """Return the keys of all devices of which something was kept."""
        return sorted(path.stem for path in self.folder.glob("*.json"))

    def boot_id(self) -> str:
        """Return the id of this boot, empty where the kernel does not tell."""
        try:
            return self._boot_id.read_text(encoding="ascii").strip()
        except OSError:
            return ""

    def _path(self, key: str) -> Path:
        """Return the file of a device; each key has one of its own, also where it holds a path."""
        return self.folder / f"{file_name(key)}.json"
