"""The helper's loop: who is connected, who asks, whose turn it is, and who has gone.

One thread does everything, so nothing can happen to the device in between. Each turn of the loop first looks
at all that has come meanwhile: the order to stop, processes that have ended, closed connections, signs of
life, leases. Then it answers one request. So nothing that a client has sent ahead outlives the client, or
keeps another from its turn for longer than one request takes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import time
from collections.abc import Callable
from typing import final

from powertrain.devices.remote._peers import Peer, is_member, peer_of, refusal
from powertrain.devices.remote._protocol import CLAIMS, LARGEST_REQUEST, error_reply
from powertrain.errors import DeviceBusyError, DeviceError
from powertrain.helper._connection import Connection, User
from powertrain.helper._service import Service
from powertrain.units import ms_from_s

__all__ = ["Server"]

logger = logging.getLogger(__name__)

MOST_CLIENTS = 32
"""Of all users but root, who has `MOST_CLIENTS_OF_A_USER` besides."""
MOST_CLIENTS_OF_A_USER = 8
MOST_ADMITTED = 64
"""Connections that are taken from the queue in a turn, so that those who ask get theirs."""
MOST_USERS_REMEMBERED = 64
LOOK_S = 1.0
"""How often the bounds of connections are looked at; they are coarse."""
SLOWED_S = 0.01
"""How often a request that waits for its user's time is looked at."""


@final
class Server:
    """Serves clients on a listening socket until it is stopped."""

    def __init__(
        self,
        listener: socket.socket,
        service: Service,
        *,
        group: int,
        idle_s: float | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a listening Unix socket.

        Args:
            listener: Made by systemd or `listening`.
            service: What answers.
            group: Whose members may connect.
            idle_s: Without clients for so long, `run` returns; None: never.
            now_s: The clock of all bounds.
        """
        self._listener, self._service, self._group = listener, service, group
        self._idle_s, self._now_s = idle_s, now_s
        self._poll = select.poll()
        self._events: dict[int, Callable[[int], None]] = {}
        """What to do about a descriptor of which something is told."""
        self._connections: dict[int, Connection] = {}
        self._users: dict[int, User] = {}
        self._count = self._turn = 0
        self._busy_s = now_s()
        self._stopped = False
        self._wake, self._woken = socket.socketpair()

    def stop(self) -> None:
        """Make `run` return; safe in a signal's handler and from any thread."""
        self._stopped = True
        with contextlib.suppress(OSError):
            self._woken.send(b"x", socket.MSG_DONTWAIT)

    def run(self) -> bool:
        """Serve until `stop`, or until nobody was here for long; return whether the device is as before."""
        self._listener.setblocking(False)
        self._wake.setblocking(False)
        self._watch(self._listener.fileno(), select.POLLIN, lambda _: self._admit_all())
        self._watch(self._wake.fileno(), select.POLLIN, lambda _: self._woke())
        try:
            while not (self._stopped or self._idle()):
                self._look(self._wait_s())
                self._tend()
                connection = self._next()
                if connection is not None and not self._stopped:
                    self._answer(connection)
        finally:
            well = self._service.close("the helper was stopped" if self._stopped else "the helper ended")
            for connection in list(self._connections.values()):
                self._drop(connection, "the helper ended")
            self._wake.close()
            self._woken.close()
        return well

    def _woke(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake.recv(64)

    def _idle(self) -> bool:
        if self._connections or not self._service.idle:
            self._busy_s = self._now_s()
        return self._idle_s is not None and self._now_s() >= self._busy_s + self._idle_s

    def _wait_s(self) -> float | None:
        """Return how long nothing can be due."""
        # Nothing here wakes up without a reason: an idle helper costs no power.
        if self._next() is not None:
            return 0.0
        due_s = [self._service.due_s()]
        if self._connections:
            due_s.append(LOOK_S)
        elif self._idle_s is not None:
            due_s.append(self._idle_s)
        if any(connection.waits for connection in self._connections.values()):
            due_s.append(SLOWED_S)
        known_s = [time_s for time_s in due_s if time_s is not None]
        return min(known_s) if known_s else None

    def _watch(self, descriptor: int, events: int, do: Callable[[int], None]) -> None:
        self._poll.register(descriptor, events)
        self._events[descriptor] = do

    def _forget(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._events[descriptor]

    def _look(self, wait_s: float | None) -> None:
        """See to everything that has come, or that comes within a time."""
        for descriptor, events in self._poll.poll(None if wait_s is None else ms_from_s(wait_s)):
            do = self._events.get(descriptor)
            if do is not None:  # else it was dropped a moment ago
                do(events)

    def _admit_all(self) -> None:
        for _ in range(MOST_ADMITTED):
            try:
                own, _ = self._listener.accept()
            except OSError:
                return  # there is nobody else, or who was there has gone
            own.setblocking(False)
            self._admit(own)

    def _admit(self, own: socket.socket) -> None:
        self._count += 1
        # The kernel tells who connected; the process is watched from here on, so that its death is noticed
        # even while a child of it keeps the socket open.
        try:
            peer = peer_of(own, number=self._count)
            refused = self._refusal(peer)
            process = _process(peer.pid) if refused is None else None
        except OSError:
            own.close()  # it has ended
            return
        if refused is not None:
            with contextlib.suppress(OSError):
                own.send(refused)
            own.close()
            return
        connection = Connection(own, peer, process, self._user(peer.uid), self._now_s())
        connection.user.connections += 1
        self._connections[peer.number] = connection
        if process is not None:
            self._watch(process, select.POLLIN, lambda _: self._drop(connection, "its process ended"))
        self._watch(own.fileno(), connection.awaits, lambda events: self._ready(connection, events))

    def _refusal(self, peer: Peer) -> bytes | None:
        """Return what somebody is told who is let go before anything of his is read."""
        user = self._users.get(peer.uid)
        if user is not None and not user.may_connect(self._now_s()):
            return error_reply(DeviceBusyError("this user connects to the helper too often"), again=True)
        if not is_member(peer, self._group):
            logger.warning("%s is not in the group and was refused", peer)
            return error_reply(refusal(self._group))
        if user is not None and user.connections >= MOST_CLIENTS_OF_A_USER:
            return error_reply(DeviceBusyError("too many programs of this user talk to the helper: end some"))
        if peer.uid != 0 and not self._has_room(0 if user is None else user.connections):
            return error_reply(DeviceBusyError("too many programs talk to the helper"), again=True)
        return None

    def _has_room(self, connections: int) -> bool:
        """Tell whether a user with so many connections may have one more; who has the most may lose one."""
        others = [connection for connection in self._connections.values() if connection.peer.uid != 0]
        if len(others) < MOST_CLIENTS:
            return True
        most = max(connection.user.connections for connection in others)
        spare = [c for c in others if c.user.connections == most and not self._service.has(c.peer)]
        if most <= connections + 1 or not spare:
            return False
        self._drop(min(spare, key=lambda c: c.turn), "its user has the most connections")
        return True

    def _user(self, uid: int) -> User:
        """Return what is remembered of a user; of one who has had nothing lately that is nothing."""
        now_s = self._now_s()
        if len(self._users) >= MOST_USERS_REMEMBERED:
            self._users = {number: user for number, user in self._users.items() if user.counts(now_s)}
        return self._users.setdefault(uid, User(now_s))

    def _ready(self, connection: Connection, events: int) -> None:
        """Send what is to be sent, else read."""
        # Who has closed his end takes no answer any more, so what he had asked for is not done. Who has only
        # ended sending is still there.
        if events & ~(select.POLLIN | select.POLLOUT):
            self._drop(connection, "its connection was closed")
            return
        try:
            if connection.unsent:
                self._send(connection)
            elif connection.hear(self._now_s()):
                self._service.hear(connection.peer)
                self._listen(connection)
            else:
                self._drop(connection, "its connection was closed")
        except OSError:
            self._drop(connection, "its connection broke")

    def _next(self) -> Connection | None:
        """Return whose turn it is: users take turns, and so do the connections of each."""
        now_s = self._now_s()
        ready = [c for c in self._connections.values() if c.waits and c.user.may_ask(c.word, now_s)]
        return min(ready, key=lambda c: (c.user.turn, c.turn), default=None)

    def _answer(self, connection: Connection) -> None:
        """Answer one request; none before the last answer was taken, so no client makes us remember many."""
        word, user, started_s = connection.word, connection.user, self._now_s()
        self._turn += 1
        connection.turn = user.turn = self._turn
        request, error = connection.take(), None
        if len(request) > LARGEST_REQUEST:
            error = DeviceError(f"not a request: longer than {LARGEST_REQUEST} bytes")
        elif word in CLAIMS and not is_member(connection.peer, self._group):  # he was when he connected
            error = refusal(self._group)
        answer = error_reply(error) if error else self._service.handle(connection.peer, request)
        now_s = self._now_s()
        user.pay(word, now_s - started_s)
        connection.owe(answer, now_s, last=error is not None)
        try:
            self._send(connection)
        except OSError:
            self._drop(connection, "its connection broke")

    def _send(self, connection: Connection) -> None:
        connection.send()
        if not connection.unsent and connection.last:
            self._drop(connection, "it may not go on")
        else:
            self._listen(connection)

    def _listen(self, connection: Connection) -> None:
        self._poll.modify(connection.socket.fileno(), connection.awaits)

    def _tend(self) -> None:
        """End a hold without signs of life, and let go of those whose time is over."""
        now_s = self._now_s()
        for connection in self._connections.values():
            if connection.waits:  # for us, and so need not show that it is there
                self._service.hear(connection.peer)
        self._service.tend()
        for connection in list(self._connections.values()):
            if why := connection.overdue(now_s, holds=self._service.has(connection.peer)):
                self._drop(connection, why)

    def _drop(self, connection: Connection, why: str) -> None:
        if self._connections.pop(connection.peer.number, None) is None:
            return
        connection.user.connections -= 1
        self._forget(connection.socket.fileno())
        connection.socket.close()
        if connection.process is not None:
            self._forget(connection.process)
            os.close(connection.process)
        self._service.lose(connection.peer, why)


def _process(pid: int) -> int | None:
    """Return a descriptor that becomes readable when a process ends.

    A socket alone does not tell: a child of the process may have it, too. None where the kernel has none
    (pidfd_open(2) came with Linux 5.3), or where the process lives in a container and has no number here: the
    lease is left, then.
    """
    open_process = getattr(os, "pidfd_open", None)  # Python may have been built on an older Linux
    if pid <= 0 or open_process is None:
        return None
    try:
        return open_process(pid)
    except ProcessLookupError:
        raise
    except OSError:
        return None
