"""Who is at the other end of a socket, and whether they may be there."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from powertrain.errors import DevicePermissionError, UnknownNameError

__all__ = ["Peer", "group_id", "group_name", "is_member", "peer_of", "refusal", "user_name"]

UCRED = struct.Struct("iII")
"""`struct ucred` of unix(7): pid, uid, gid of whoever called connect(2), as the kernel saw them."""


@final
@dataclass(frozen=True, kw_only=True)
class Peer:
    """A client on one connection."""

    number: int
    """Of the connection, never used twice."""
    pid: int
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"process {self.pid} of user {user_name(self.uid)}"


def peer_of(connection: socket.socket, *, number: int = 0) -> Peer:
    """Return who connected; the kernel vouches for it (SO_PEERCRED)."""
    pid, uid, gid = UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
    return Peer(number=number, pid=pid, uid=uid, gid=gid)


def user_name(uid: int) -> str:
    """Return a user's name, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_id(name: str) -> int:
    """Return the number of a group that is given by name or number.

    Raises:
        UnknownNameError: There is no such group.
    """
    if name.isdecimal():
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise UnknownNameError(f"there is no group {name!r}: sudo powertrain setup-helper makes it") from None


def groups_of(uid: int) -> set[int]:
    """Return the groups of a user in the system's database; none for a user that it does not know."""
    # The database and not the process: who was taken out of a group keeps it in processes started before, and
    # may have left a program that gives it to whoever runs it (setgid). In a namespace of users a process can
    # be many users, of whom the database knows none.
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return set()
    return set(os.getgrouplist(user.pw_name, user.pw_gid))


def is_member(peer: Peer, group: int, *, groups_of: Callable[[int], set[int]] = groups_of) -> bool:
    """Tell whether a client is root, or a user whom the system knows and who is in a group now."""
    return peer.uid == 0 or group in groups_of(peer.uid)


def refusal(group: int) -> DevicePermissionError:
    """Return what somebody is told who is not in the group."""
    return DevicePermissionError(f"only root and members of the group {group_name(group)} may use the helper")


def group_name(group: int) -> str:
    """Return a group's name, or its number where it has none."""
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)
