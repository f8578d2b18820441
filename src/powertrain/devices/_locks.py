"""Which process holds which device, for all processes of a user to see.

A lock file for each device is locked (flock) by who holds it, alone or together with others. The lock ends
with the process, however that ends. Beside it each process notes what it holds and since when. A note counts
only while the kernel lists its process among those that have the lock.

Whoever can open a lock file can lock it, even if only for reading. So its folder is made for its owner alone,
and so is the file: else any user could keep the owner from holding the device, and from restoring it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from powertrain.errors import DeviceBusyError, DeviceError
from powertrain.files import read_file

__all__ = ["LOCKS", "Claim", "Lock", "Locks", "file_name"]

LOCKS = Path("/proc/locks")
HASH_DIGITS = 12
"""Of a key that cannot be the name of its file as it stands."""
LARGEST_NOTE_BYTES = 1 << 16
MOST_ANCESTORS = 100


@final
@dataclass(frozen=True, kw_only=True)
class Lock:
    """A process that holds a device."""

    pid: int
    since_s: float
    """Seconds since 1970."""
    key: str = ""
    """The device's."""
    spec: str = ""
    """What opens the device; empty where the process has not noted it."""
    device: str = ""
    """Its name."""
    mode: str = ""
    """The mode that it is in; empty between two modes."""


@final
class Claim:
    """What a process holds, as it is noted for the others."""

    def __init__(self, path: Path | None, lock: Lock) -> None:
        """Note it in a file, if there is one."""
        self._path, self._lock = path, lock
        self._write()

    def note(self, mode: Mapping[str, float] | None) -> None:
        """Note in which mode the device is now."""
        self._lock = replace(self._lock, mode="" if mode is None else str(mode))
        self._write()

    def forget(self) -> None:
        """Remove the note."""
        if self._path is not None and os.getpid() == self._lock.pid:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _write(self) -> None:
        # Not forced to the disk: after a loss of power nobody holds anything.
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.write_text(json.dumps(vars(self._lock)), encoding="utf-8")


@final
class Locks:
    """A folder with a lock file for each device."""

    def __init__(self, folder: Path, *, listed: Path = LOCKS) -> None:
        """Use a folder, which is made when something is first locked.

        Args:
            folder: Where lock files are.
            listed: The kernel's list of all locks.
        """
        self.folder, self._listed = folder, listed

    @contextmanager
    def locked(
        self, key: str, *, spec: str = "", device: str = "", alone: bool = True, needed: bool = True
    ) -> Generator[Claim]:
        """Keep other processes from a device while the context lasts.

        Args:
            key: The device's.
            spec: What opens it, for others to see.
            device: Its name, for others to see.
            alone: Whether nobody else may hold it; else only who wants it alone is kept from it.
            needed: Whether something could go wrong without the lock. If not, a folder that cannot be written
                does no harm, and a process may have what it holds itself, or the process that started it.

        Raises:
            DeviceBusyError: Another one holds it.
            DeviceError: The folder cannot be written.
        """
        try:
            lock = self._open(key)
        except OSError as error:
            if needed:
                raise DeviceError(
                    f"cannot keep a journal in {self.folder} ({error.strerror}), and without one the device "
                    "is not changed: make the folder writable, or set XDG_STATE_HOME"
                ) from error
            yield Claim(None, Lock(pid=os.getpid(), since_s=time.time()))
            return
        locked_by = os.getpid()
        _OPEN.add(lock)
        try:
            own = self._lock(lock, key, alone=alone, needed=needed)
            note = self._note(key, os.getpid()) if own else None
            lasts = Lock(pid=os.getpid(), since_s=time.time(), key=key, spec=spec, device=device)
            claim = Claim(note, lasts)
            try:
                yield claim
            finally:
                claim.forget()
        finally:
            if os.getpid() == locked_by:
                # Processes that were forked meanwhile have the descriptor as well, and would keep the lock.
                fcntl.flock(lock, fcntl.LOCK_UN)
                _OPEN.discard(lock)
                os.close(lock)  # in a fork it is closed already, and the number may be another file's

    def holders(self, key: str) -> tuple[Lock, ...]:
        """Return who holds a device now, the first of them first, without getting in anybody's way.

        Trying the lock would, for a moment; the kernel lists who has which (Linux proc(5), /proc/locks).
        """
        try:
            file = self._path(key).stat()
            listed = self._listed.read_text(encoding="ascii")
        except OSError:
            return ()
        locked = re.compile(rf"FLOCK +ADVISORY +(?:WRITE|READ) +(\d+) +\S+:{file.st_ino} ", re.ASCII)
        # The file is written when it is locked, and at no other time.
        found = {int(pid): self._noted(key, int(pid), file.st_mtime) for pid in locked.findall(listed)}
        return tuple(sorted(found.values(), key=lambda lock: (lock.since_s, lock.pid)))

    def held(self) -> tuple[Lock, ...]:
        """Return all devices that are held now, as far as their processes have noted which they are."""
        found: dict[str, tuple[Lock, ...]] = {}
        for path in sorted(self.folder.glob("*.held")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                key = str(json.loads(read_file(path, most_bytes=LARGEST_NOTE_BYTES))["key"])
                found[key] = self.holders(key)
        return tuple(lock for locks in found.values() for lock in locks)

    def _open(self, key: str) -> int:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = self.folder.stat()
        if os.geteuid() == 0 != folder.st_uid:
            raise PermissionError(errno.EPERM, f"it belongs to user {folder.st_uid}, and root runs this")
        # A link may lead to any file of root's, which is emptied when it is locked.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(self._path(key), flags, 0o600)
        state = os.fstat(lock)
        if state.st_uid == os.geteuid() and state.st_mode & 0o077:  # an older version made it for all to read
            os.fchmod(lock, 0o600)
        return lock

    def _lock(self, lock: int, key: str, *, alone: bool, needed: bool) -> bool:
        """Lock the file; return whether it is locked, and not held already by us or by who started us."""
        try:
            # The lock is the kernel's: it goes with the last descriptor, so a dead process holds none.
            fcntl.flock(lock, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError as error:
            others = [holder.pid for holder in self.holders(key)]
            if not needed and others and set(others) <= {os.getpid(), *_ancestors()}:
                return False
            written = os.pread(lock, 32, 0).decode(errors="replace").strip()
            owner = ", ".join(f"pid {pid}" for pid in others) or written
            raise DeviceBusyError(
                f"{key} is held by another process{f' ({owner})' if owner else ''}: wait for it or stop it; "
                "powertrain status tells more"
            ) from error
        # Only to tell the time, and who it is where the kernel does not list locks. The file itself stays:
        # removing it would let two processes lock two files of one name.
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"pid {os.getpid()}\n".encode(), 0)
        return True

    def _noted(self, key: str, pid: int, since_s: float) -> Lock:
        """Return what a process has noted of what it holds; at least since when."""
        try:
            content: dict[str, Any] = json.loads(
                read_file(self._note(key, pid), most_bytes=LARGEST_NOTE_BYTES)
            )
            return Lock(
                pid=pid,
                key=key,
                since_s=float(content["since_s"]),
                spec=str(content["spec"]),
                device=str(content["device"]),
                mode=str(content["mode"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return Lock(pid=pid, since_s=since_s, key=key)

    def _path(self, key: str) -> Path:
        return self.folder / f"{file_name(key)}.lock"

    def _note(self, key: str, pid: int) -> Path:
        return self.folder / f"{file_name(key)}.{pid}.held"


def file_name(key: str) -> str:
    """Return how the files of a device begin; each key has a name of its own, also where it holds a path."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", key).strip("-")
    if name != key:
        # `/a/b` and `/a-b` are two devices, and one must never be restored to the state of the other.
        name = f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:HASH_DIGITS]}"
    return name


def _ancestors() -> list[int]:
    """Return the processes that started this one."""
    found: list[int] = []
    pid = os.getppid()
    while pid > 0 and len(found) < MOST_ANCESTORS:
        found.append(pid)
        try:
            # The name of a program, in brackets, may hold anything (Linux proc(5), /proc/PID/stat).
            told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            pid = int(told.rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
    return found


_OPEN: set[int] = set()
"""The descriptors of locks that this process has."""


def _close_in_child() -> None:
    """Close the locks of a parent in a fork: else they would outlive the parent with it."""
    for lock in _OPEN:
        with contextlib.suppress(OSError):
            os.close(lock)
    _OPEN.clear()


os.register_at_fork(after_in_child=_close_in_child)
