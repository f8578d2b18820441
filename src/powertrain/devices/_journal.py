"""The journal of what was changed on hardware, so that it can be restored after a SIGKILL.

Before the first write to a device its state is saved in a file that reaches the disk (fsync), with the id
of the boot: after a reboot the state in the file means nothing any more. The file is removed once the device
has been restored. While a device is held its lock file is locked (flock), which ends with the process however
that ends; so a file without a locked lock is one that somebody left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from powertrain.errors import DeviceBusyError, DeviceError
from powertrain.files import read_file, write_file

__all__ = ["Entry", "Journal", "Lock", "default_folder"]

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LOCKS = Path("/proc/locks")
VERSION = 1
LARGEST_BYTES = 1 << 20
"""Of a file of the journal, which takes a few thousand."""
HASH_DIGITS = 12
"""Of a key that cannot be the name of its file as it stands."""


def default_folder() -> Path:
    """Return where journals are kept: below XDG_STATE_HOME, for root /var/lib/powertrain.

    `sudo -E` passes on that variable of the user's. Root's runs and the helper must find each other's locks
    whoever called them, so it does not count then.
    """
    state = os.environ.get("XDG_STATE_HOME")
    by_sudo = os.geteuid() == 0 and os.environ.get("SUDO_UID", "0") != "0"
    if state and not by_sudo:
        return Path(state) / "powertrain"
    if os.geteuid() == 0:
        return Path("/var/lib/powertrain")
    return Path.home() / ".local" / "state" / "powertrain"


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
@dataclass(frozen=True, kw_only=True)
class Lock:
    """A process that keeps others from a device."""

    pid: int
    since_s: float
    """Seconds since 1970."""


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
        self._boot_id, self._locks = boot_id, locks

    @contextmanager
    def locked(self, key: str) -> Generator[None]:
        """Keep every other process from holding a device while the context lasts.

        Raises:
            DeviceBusyError: Another one holds it.
            DeviceError: The folder cannot be written.
        """
        path = self._path(key).with_suffix(".lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DeviceError(
                f"cannot keep a journal in {self.folder} ({error.strerror}), and without one the device is "
                "not changed: make the folder writable, or set XDG_STATE_HOME"
            ) from error
        try:
            try:
                # The lock is the kernel's: it goes with the last descriptor, so a dead process holds none.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                owner = os.pread(lock, 32, 0).decode(errors="replace").strip()
                raise DeviceBusyError(
                    f"{key} is held by another process{f' ({owner})' if owner else ''}: "
                    "wait for it or stop it"
                ) from error
            # Only for the message to whoever comes next; the file itself stays, since removing it would let
            # two processes lock two files of one name.
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"pid {os.getpid()}\n".encode(), 0)
            _LOCKS_OF.update({lock: os.getpid()})
            yield
        finally:
            # Unlocked before it is closed: a child that was forked may still have the descriptor, and with it
            # the lock. In the child itself it is closed already, and the number may be another file's.
            if _LOCKS_OF.pop(lock, os.getpid()) == os.getpid():
                with contextlib.suppress(OSError):
                    fcntl.flock(lock, fcntl.LOCK_UN)
                os.close(lock)

    def holder(self, key: str) -> Lock | None:
        """Return who has a device locked now, None where nobody has, without getting in anybody's way.

        Trying the lock would, for a moment; the kernel lists who has which (Linux proc(5), /proc/locks).
        """
        try:
            file = self._path(key).with_suffix(".lock").stat()
            listed = self._locks.read_text(encoding="ascii")
        except OSError:
            return None
        locked = re.compile(rf"FLOCK +ADVISORY +WRITE +(\d+) +\S+:{file.st_ino} ", re.ASCII)
        found = locked.search(listed)
        # The file is written when it is locked, and at no other time.
        return None if found is None else Lock(pid=int(found[1]), since_s=file.st_mtime)

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
        name = re.sub(r"[^A-Za-z0-9]+", "-", key).strip("-")
        if name != key:
            # `/a/b` and `/a-b` are two devices, and one must never be restored to the state of the other.
            name = f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:HASH_DIGITS]}"
        return self.folder / f"{name}.json"


_LOCKS_OF: dict[int, int] = {}
"""The descriptors of locks that are held, each with the process that took it."""


def _close_in_child() -> None:
    """Close the locks of a parent in a child that was just forked: the lock goes with the last descriptor."""
    for lock in _LOCKS_OF:
        with contextlib.suppress(OSError):
            os.close(lock)


os.register_at_fork(after_in_child=_close_in_child)
