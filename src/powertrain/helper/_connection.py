"""A client of the helper, and its user: what was asked, what is owed, and how much time is left to whom."""

from __future__ import annotations

import contextlib
import select
import socket
from typing import final

from powertrain.devices.remote._peers import Peer
from powertrain.devices.remote._protocol import CHANGES, LARGEST_REQUEST, word_of

__all__ = ["Connection", "User"]

SHARE = 0.5
"""Of the helper's time, which a user may take for changes of the device, and once more for all else."""
MOST_CHANGING_S, MOST_ASKING_S = 5.0, 1.0
"""What can be saved of it, and owed."""
LEAST_COST_S = 0.0025
"""Of a request or a connection: a user has 200 a second. Sampling at 20 Hz and signs of life take a tenth."""
REQUEST_TIME_S = 5.0
"""For a request to arrive whole, and for an answer to be taken."""
AHEAD_TIME_S = 30.0
"""For the requests that a client has sent without waiting for answers."""
QUIET_TIME_S = 60.0
"""After which a client that holds nothing and says nothing is let go."""


@final
class _Budget:
    """Time that grows by `SHARE` of what passes, up to a most, and is spent."""

    def __init__(self, most_s: float, now_s: float) -> None:
        self._left_s = self._most_s = most_s
        self._counted_s = now_s

    def left_s(self, now_s: float) -> float:
        """Return what is left; less than nothing if it was overdrawn."""
        self._left_s = min(self._most_s, self._left_s + SHARE * (now_s - self._counted_s))
        self._counted_s = now_s
        return self._left_s

    def is_full(self, now_s: float) -> bool:
        return self.left_s(now_s) >= self._most_s

    def pay(self, cost_s: float) -> None:
        # Bounded, for a helper that was itself stopped in the middle of a request.
        self._left_s = max(self._left_s - cost_s, -self._most_s)


@final
class User:
    """What all connections of a user share.

    Changing the device is paid for apart from the rest: a program that often changes modes has to wait with
    the next one, but its sensors are read, and its modes restored, at once.
    """

    def __init__(self, now_s: float) -> None:
        self.connections = self.turn = 0
        self._changing = _Budget(MOST_CHANGING_S, now_s)
        self._asking = _Budget(MOST_ASKING_S, now_s)

    def may_connect(self, now_s: float) -> bool:
        """Count a connection; tell whether there may be one now."""
        if self._asking.left_s(now_s) <= 0:
            return False
        self._asking.pay(LEAST_COST_S)
        return True

    def may_ask(self, word: str, now_s: float) -> bool:
        """Tell whether a request may be answered now."""
        if word == "hold" and self._changing.left_s(now_s) <= 0:
            return False
        return self._asking.left_s(now_s) > 0

    def pay(self, word: str, took_s: float) -> None:
        """Take what an answer took from the user's time."""
        if word in CHANGES:
            self._changing.pay(took_s)
            took_s = 0.0
        self._asking.pay(max(took_s, LEAST_COST_S))

    def counts(self, now_s: float) -> bool:
        """Tell whether there is anything to be remembered."""
        return self.connections > 0 or not (self._changing.is_full(now_s) and self._asking.is_full(now_s))


@final
class Connection:
    """One client: what it has sent and was not yet answered, and what it has not yet taken."""

    def __init__(self, own: socket.socket, peer: Peer, process: int | None, user: User, now_s: float) -> None:
        self.socket, self.peer, self.process, self.user = own, peer, process, user
        self.request, self.word = b"", ""
        """The next request, as soon as it has come whole, and what it asks for."""
        self.unsent = b""
        self.last = False
        """Whether it is let go once it has taken the answer."""
        self.turn = 0
        self._received = bytearray()
        self._heard_s = self._since_s = now_s

    @property
    def waits(self) -> bool:
        """Whether a request of it waits for its turn."""
        return bool(self.request) and not self.unsent

    @property
    def awaits(self) -> int:
        """What is to be told of its socket: that it has room, or more to read; that it is closed, always."""
        return select.POLLOUT if self.unsent else 0 if self.waits else select.POLLIN

    def hear(self, now_s: float) -> bool:
        """Read what has come, up to a whole request; tell whether the client can go on sending."""
        with contextlib.suppress(BlockingIOError, InterruptedError):
            while not self.request:
                data = self.socket.recv(LARGEST_REQUEST)
                if not data:
                    return False
                if not self._received:
                    self._since_s = now_s
                self._received += data
                self._heard_s = now_s
                self._look_ahead()
        return True

    def take(self) -> bytes:
        """Return the request whose turn it is, and have the next one wait."""
        request, self.request, self.word = self.request, b"", ""
        self._look_ahead()
        return request

    def owe(self, answer: bytes, now_s: float, *, last: bool = False) -> None:
        """Have an answer to send."""
        self.unsent, self.last, self._since_s = answer, last, now_s

    def send(self) -> None:
        """Send as much of the answer as there is room for."""
        with contextlib.suppress(BlockingIOError, InterruptedError):
            self.unsent = self.unsent[self.socket.send(self.unsent) :]

    def overdue(self, now_s: float, *, holds: bool) -> str:
        """Return why its time is over, empty if it is not."""
        late = now_s > self._since_s + REQUEST_TIME_S
        if self.unsent:
            return "it did not take its answer" if late else ""
        if self.request:
            ahead = bool(self._received) and now_s > self._heard_s + AHEAD_TIME_S
            return "it sent more than it waited for" if ahead else ""
        if self._received:
            return "it did not finish its request" if late else ""
        return "" if holds or now_s <= self._heard_s + QUIET_TIME_S else "it said nothing"

    def _look_ahead(self) -> None:
        """Set the next request apart; what is longer than any is one, which is refused."""
        line, end, rest = self._received.partition(b"\n")
        if end or len(line) > LARGEST_REQUEST:
            self.request, self._received = bytes(line + end), rest
            self.word = word_of(self.request)
