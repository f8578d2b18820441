"""The helper's socket: passed by systemd, or made here with the same owner and permissions."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from powertrain.errors import DeviceBusyError, DeviceError

__all__ = ["inherited", "listening"]

FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""
BACKLOG = socket.SOMAXCONN
"""Connections that wait to be taken, as many as systemd lets wait."""


def inherited(environment: Mapping[str, str], *, pid: int | None = None) -> socket.socket | None:
    """Return the socket that systemd listens on for us, None if it passed none.

    As sd_listen_fds(3) has it: LISTEN_PID is our process, LISTEN_FDS tells how many descriptors there are
    from 3 on. Exactly one listening Unix stream socket is taken.

    Raises:
        DeviceError: Something else was passed.
    """
    if environment.get("LISTEN_PID") != str(os.getpid() if pid is None else pid):
        return None
    if environment.get("LISTEN_FDS") != "1":
        raise DeviceError(
            "systemd passed not one socket: install the units anew, sudo powertrain setup-helper"
        )
    try:
        # systemd passes it on to children by default, which would keep the socket open after our end.
        os.set_inheritable(FIRST_DESCRIPTOR, False)
        passed = socket.socket(fileno=FIRST_DESCRIPTOR)
        listens = passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise DeviceError(f"what systemd passed is not a socket ({error.strerror})") from error
    if passed.family != socket.AF_UNIX or passed.type != socket.SOCK_STREAM or not listens:
        raise DeviceError("what systemd passed is not a listening Unix stream socket")
    return passed


@contextmanager
def listening(path: Path, *, group: int) -> Generator[socket.socket]:
    """Listen at a path while the context lasts, for root and the members of a group.

    Raises:
        DeviceBusyError: Another helper listens there.
        DeviceError: The folder is not only ours to write, or the socket cannot be made.
    """
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True)
            path.parent.chmod(0o755)  # whatever the umask: members must get through
        _refuse_shared(path.parent)
        _remove_stale(path)
        own = _bound(path, group=group)
    except OSError as error:
        raise DeviceError(f"cannot listen at {path}: {error.strerror or error}") from error
    try:
        yield own
    finally:
        own.close()
        with contextlib.suppress(OSError):
            path.unlink()


def _bound(path: Path, *, group: int) -> socket.socket:
    own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777)  # nobody may connect until it belongs to the group
    try:
        own.bind(str(path))
        os.chown(path, -1, group)
        path.chmod(0o660)
        own.listen(BACKLOG)
    except OSError:
        own.close()
        raise
    finally:
        os.umask(before)
    return own


def _refuse_shared(folder: Path) -> None:
    """Refuse a folder in which somebody else could put a socket of his in the place of ours."""
    state = folder.stat()
    if state.st_uid != os.geteuid() or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise DeviceError(f"{folder} is not only its owner's to write: give the socket a folder of its own")


def _remove_stale(path: Path) -> None:
    if not path.is_socket():
        return  # bind refuses whatever else is there
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise DeviceBusyError(f"another helper listens at {path}: stop it first")
