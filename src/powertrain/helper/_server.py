"""The helper's loop: connections, their bounds, and the death of those at their other ends.

One thread does everything, so nothing can happen to the device in between. A client can neither block it nor
make it remember more than its bounds: requests are read when the answer before has been taken, and no faster
than `REQUESTS_PER_S`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
import time
from collections.abc import Callable
from typing import final

from powertrain.devices.remote._peers import Peer, is_member, peer_of, refusal
from powertrain.devices.remote._protocol import LARGEST_REQUEST, error_reply
from powertrain.errors import DeviceBusyError, DeviceError
from powertrain.helper._service import Service

__all__ = ["Server"]

logger = logging.getLogger(__name__)

MOST_CLIENTS = 32
MOST_CLIENTS_OF_A_USER = 8
REQUESTS_PER_S, BURST = 100.0, 200.0
"""Sampling at 20 Hz and signs of life take a fifth of it."""
REQUEST_TIME_S = 5.0
"""For a request to arrive whole, and for an answer to be taken."""
QUIET_TIME_S = 60.0
"""After which a client that holds nothing and says nothing is let go."""


@final
class _Connection:
    """One client: what it has sent and not yet been answered, and what it has not yet taken."""

    def __init__(self, own: socket.socket, peer: Peer, process: int | None, now_s: float) -> None:
        self.socket, self.peer, self.process = own, peer, process
        self.received, self.unsent = bytearray(), b""
        self.heard_s = self.since_s = self._filled_s = now_s
        self._allowance = BURST
        self.last = False
        """Whether it is let go once it has taken the answer."""

    @property
    def whole(self) -> bool:
        """Whether a whole request has arrived."""
        return b"\n" in self.received

    def allowed(self, now_s: float) -> bool:
        """Count a request; tell whether it may be answered now."""
        self._allowance = min(BURST, self._allowance + REQUESTS_PER_S * (now_s - self._filled_s))
        self._filled_s = now_s
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def overdue(self, now_s: float) -> str:
        """Return why its time is over, empty if it is not."""
        if self.unsent and now_s > self.since_s + REQUEST_TIME_S:
            return "it did not take its answer"
        if self.received and not self.whole and now_s > self.since_s + REQUEST_TIME_S:
            return "it did not finish its request"
        return ""


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
        self._selector = selectors.DefaultSelector()
        self._connections: dict[int, _Connection] = {}
        self._count = 0
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
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake, selectors.EVENT_READ, self._woke)
        try:
            while not (self._stopped or self._idle()):
                for key, _ in self._selector.select(self._wait_s()):
                    key.data()
                self._service.tend()
                self._tend()
        finally:
            well = self._service.close("the helper was stopped" if self._stopped else "the helper ended")
            for connection in list(self._connections.values()):
                self._drop(connection, "the helper ended")
            self._selector.close()
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
        due_s = [self._service.due_s()]
        if self._connections:
            due_s.append(1.0)  # their bounds are coarse
        elif self._idle_s is not None:
            due_s.append(self._idle_s)
        if any(self._throttled(connection) for connection in self._connections.values()):
            due_s.append(1 / REQUESTS_PER_S)
        known_s = [time_s for time_s in due_s if time_s is not None]
        return min(known_s) if known_s else None

    def _accept(self) -> None:
        try:
            own, _ = self._listener.accept()
        except OSError:
            return  # it has gone again
        own.setblocking(False)
        self._count += 1
        # The kernel tells who connected; the process is watched from here on, so that its death is noticed
        # even while a child of it keeps the socket open.
        try:
            peer = peer_of(own, number=self._count)
            process = _process(peer.pid)
        except OSError:
            own.close()  # it has ended
            return
        refused = self._refused(peer)
        if refused is not None:
            with contextlib.suppress(OSError):
                own.send(error_reply(refused))
            own.close()
            _close(process)
            return
        connection = _Connection(own, peer, process, self._now_s())
        self._connections[peer.number] = connection
        if process is not None:
            self._selector.register(
                process, selectors.EVENT_READ, lambda: self._drop(connection, "its process ended")
            )
        self._listen(connection)

    def _refused(self, peer: Peer) -> DeviceError | None:
        """Return why somebody is let go before anything of his is read."""
        if not is_member(peer, self._group):
            logger.warning("%s is not in the group and was refused", peer)
            return refusal(self._group)
        own = sum(connection.peer.uid == peer.uid for connection in self._connections.values())
        if own >= MOST_CLIENTS_OF_A_USER or len(self._connections) >= MOST_CLIENTS:
            return DeviceBusyError("too many programs talk to the helper: end some")
        return None

    def _ready(self, connection: _Connection) -> None:
        """Send what is to be sent, else read; one step, so that all clients get their turns."""
        if connection.peer.number not in self._connections:
            return
        try:
            if connection.unsent:
                self._send(connection)
            else:
                self._receive(connection)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._drop(connection, "its connection broke")

    def _receive(self, connection: _Connection) -> None:
        data = connection.socket.recv(LARGEST_REQUEST)
        if not data:
            self._drop(connection, "its connection was closed")
            return
        now_s = self._now_s()
        if not connection.received:
            connection.since_s = now_s
        connection.received += data
        connection.heard_s = now_s
        self._answer(connection)

    def _answer(self, connection: _Connection) -> None:
        """Answer as many requests as are whole and allowed, one at a time."""
        while connection.whole and not connection.unsent and connection.allowed(self._now_s()):
            # One answer at a time, and none before the last was taken: a client cannot make us remember many.
            line, _, rest = bytes(connection.received).partition(b"\n")
            connection.received[:] = rest
            connection.unsent = self._service.handle(connection.peer, line)
            connection.since_s = self._now_s()
            self._send(connection)
            if connection.peer.number not in self._connections:
                return
        if len(connection.received) >= LARGEST_REQUEST and not connection.whole:
            connection.received.clear()
            connection.unsent = error_reply(
                DeviceError(f"not a request: longer than {LARGEST_REQUEST} bytes")
            )
            connection.last = True
            self._send(connection)
        self._listen(connection)

    def _send(self, connection: _Connection) -> None:
        with contextlib.suppress(BlockingIOError):
            connection.unsent = connection.unsent[connection.socket.send(connection.unsent) :]
        if not connection.unsent and connection.last:
            self._drop(connection, "it broke the protocol")
        elif connection.peer.number in self._connections:
            self._listen(connection)

    def _throttled(self, connection: _Connection) -> bool:
        return connection.whole and not connection.unsent

    def _listen(self, connection: _Connection) -> None:
        """Wait for what it needs next: room to send, more to read, or neither while it is slowed."""
        if connection.peer.number not in self._connections:
            return
        with contextlib.suppress(KeyError):
            self._selector.unregister(connection.socket)
        if not self._throttled(connection):
            event = selectors.EVENT_WRITE if connection.unsent else selectors.EVENT_READ
            self._selector.register(connection.socket, event, lambda: self._ready(connection))

    def _tend(self) -> None:
        """Go on with slowed connections, and let go of those whose time is over."""
        now_s = self._now_s()
        for connection in list(self._connections.values()):
            if self._throttled(connection):
                try:
                    self._answer(connection)
                except OSError:
                    self._drop(connection, "its connection broke")
                    continue
            quiet = now_s > connection.heard_s + QUIET_TIME_S and not self._service.has(connection.peer)
            if why := connection.overdue(now_s) or ("it said nothing" if quiet else ""):
                self._drop(connection, why)

    def _drop(self, connection: _Connection, why: str) -> None:
        if self._connections.pop(connection.peer.number, None) is None:
            return
        with contextlib.suppress(KeyError):
            self._selector.unregister(connection.socket)
        if connection.process is not None:
            self._selector.unregister(connection.process)
        connection.socket.close()
        _close(connection.process)
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


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
