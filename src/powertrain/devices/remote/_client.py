"""The helper's client: one connection, and a thread that shows that its process is alive while it holds."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import socket
import struct
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from powertrain.devices.remote._peers import group_name, peer_of
from powertrain.devices.remote._protocol import (
    DEFAULT_SOCKET,
    LARGEST_REPLY,
    SOCKET_VARIABLE,
    Request,
    encode_request,
    parse_reply,
    refused_for_now,
)
from powertrain.devices.remote._records import Description, HelperStatus, Sensors
from powertrain.errors import DeviceError, DevicePermissionError, PowerTrainError
from powertrain.records import PowerMode

__all__ = ["HelperClient", "helper_here"]

TIMEOUT_S = 60.0
"""For an answer. The helper may have to be started first, look at the board and try its memory clocks."""
AGAIN_S = 0.05
"""Until somebody who was refused for now asks again."""
LEAVE_S = 5.0
"""For the helper to notice that a connection was ended."""
BEATS_PER_LEASE = 4
"""Signs of life, so that a few may come late."""


@final
class HelperClient:
    """Talks to a helper. It connects at the first request, and again after a restart of the helper.

    Safe to use from several threads; not in a process that was forked from the one that made it.
    """

    def __init__(self, path: Path = DEFAULT_SOCKET, *, timeout_s: float = TIMEOUT_S) -> None:
        """Name the helper's socket; nothing is sent yet."""
        self.path = path
        self._timeout_s, self._process = timeout_s, os.getpid()
        self._lock = threading.RLock()
        self._socket: socket.socket | None = None
        self._description: Description | None = None
        self._claims: set[str] = set()
        self._lost = ""
        self._quiet = threading.Event()
        self._asking = False

    def describe(self) -> Description:
        """Return what the helper holds; asked once.

        Raises:
            DeviceError: There is no helper.
            DevicePermissionError: This user may not use it.
        """
        if self._description is None:
            self._description = Description.of(self._ask(Request(do="describe")))
        return self._description

    def status(self) -> HelperStatus:
        """Return who holds the device now."""
        return HelperStatus.of(self._ask(Request(do="status")))

    def read(self) -> Sensors:
        """Read the device's sensors, also those that only root may read."""
        return Sensors.of(self._ask(Request(do="read")))

    def hold(self, mode: PowerMode) -> None:
        """Have the device put into a mode until `release`, or until this process is gone.

        Raises:
            DeviceBusyError: Somebody else holds it; the message says who.
            DeviceError, MissingKnobError: It has no such mode.
            UnreachableModeError: It took another one; the state before is back.
        """
        self._claim("hold", Request(do="hold", mode=mode))

    def release(self) -> None:
        """Have it restored; without a hold this does nothing.

        Raises:
            DeviceError: It was restored before, because the connection broke or the lease ran out: the mode
                was not in force all the time.
        """
        self._unclaim("hold", Request(do="release"))

    def reserve(self) -> None:
        """Keep other clients away, between one hold and the next as well, until `free`."""
        self._claim("reserve", Request(do="reserve"))

    def free(self) -> None:
        """Let others have the device."""
        self._unclaim("reserve", Request(do="free"))

    def lost(self) -> str:
        """Return why the mode that is held is no longer in force, empty if it is."""
        self._refuse_forked()
        with self._lock:
            if self._lost or "hold" not in self._claims:
                return self._lost or "it was restored meanwhile"
            try:
                return str(self._ask(Request(do="check"))["lost"])
            except (PowerTrainError, KeyError) as error:
                return self._lost or str(error)

    def close(self) -> None:
        """Leave; what is held is restored."""
        with self._lock:
            self._claims.clear()
            self._quiet.set()
            self._disconnect()

    def __del__(self) -> None:
        # A device that nobody refers to any more; one that holds is kept alive by its thread.
        self._disconnect()

    def _claim(self, what: str, request: Request) -> None:
        self._refuse_forked()
        with self._lock:
            # The signs of life begin with the first claim and end with the last.
            lease_s = self.describe().lease_s
            if not self._claims:
                self._lost = ""
            self._ask(request)
            self._claims.add(what)
            if len(self._claims) == 1:
                self._quiet = threading.Event()
                threading.Thread(
                    target=self._show_life,
                    args=(self._quiet, lease_s / BEATS_PER_LEASE),
                    name="powertrain-helper-beat",
                    daemon=True,
                ).start()

    def _unclaim(self, what: str, request: Request) -> None:
        if os.getpid() != self._process:
            return  # a fork, that holds nothing itself
        with self._lock:
            if self._asking:
                self._leave()
                return
            # A loss is told once, by the release of the mode that it took: who measured must hear of it.
            lost, self._lost = self._lost, ""
            if lost and what == "hold":
                raise DeviceError(lost)
            if what not in self._claims:
                return
            try:
                self._ask(request)
            except PowerTrainError:
                self._lost = ""  # the error says it
                raise
            finally:
                self._claims.discard(what)
                if not self._claims:
                    self._quiet.set()

    def _show_life(self, quiet: threading.Event, every_s: float) -> None:
        while not quiet.wait(every_s):
            with self._lock:
                if quiet.is_set():
                    return
                try:
                    self._ask(Request(do="beat"))
                except PowerTrainError as error:
                    self._lose(str(error))
                    return

    def _lose(self, why: str) -> None:
        if self._claims:
            self._lost = why
            self._claims.clear()
            self._quiet.set()

    def _ask(self, request: Request) -> Mapping[str, Any]:
        """Send a request and return what was answered; who is refused for now asks again for a while."""
        self._refuse_forked()
        with self._lock:
            until_s = time.monotonic() + self._timeout_s
            line = self._answer_to(request)
            while refused_for_now(line) and time.monotonic() < until_s:
                self._disconnect()  # as the helper did
                time.sleep(AGAIN_S)
                line = self._answer_to(request)
        return parse_reply(line)

    def _answer_to(self, request: Request) -> bytes:
        """Send a request and return the answer's line; a connection that went stale is made anew once."""
        fresh = self._socket is None
        try:
            return self._exchange(encode_request(request))
        except OSError as error:
            if self._claims:
                self._lose("the helper vanished: the device has been restored, or is when it starts again")
                raise DeviceError(self._lost) from error
            if fresh:
                raise DeviceError(f"the helper at {self.path} does not answer: {_why(error)}") from error
            return self._answer_to(request)

    def _exchange(self, line: bytes) -> bytes:
        """Send a line and return the next; a connection on which that was interrupted is of no more use."""
        if self._asking:
            raise DeviceError(
                "the helper is being asked something already: a signal's handler may only release"
            )
        self._asking = True
        try:
            if self._socket is None:
                self._socket = _connect(self.path, self._timeout_s)
            with contextlib.suppress(BrokenPipeError):  # who is refused is told why before he has asked
                self._socket.sendall(line)
            received = bytearray()
            while not received.endswith(b"\n"):
                data = self._socket.recv(LARGEST_REPLY)
                if not data or len(received) > LARGEST_REPLY:
                    raise ConnectionError("it ended the connection")
                received += data
        except BaseException:
            self._disconnect()
            raise
        finally:
            self._asking = False
        return bytes(received)

    def _leave(self) -> None:
        """Restore from within a signal's handler that came in the middle of a request.

        Half an answer may have been read, so the connection is ended, which restores as well. Somebody else
        on a connection of his own then sees when that is done.
        """
        self._claims.clear()
        self._quiet.set()
        self._disconnect()
        other, until_s = HelperClient(self.path, timeout_s=LEAVE_S), time.monotonic() + LEAVE_S
        with contextlib.suppress(PowerTrainError):  # a helper that has gone restores when it starts again
            while other.status().pid == self._process and time.monotonic() < until_s:
                time.sleep(0.01)
        other.close()

    def _refuse_forked(self) -> None:
        if os.getpid() != self._process:
            raise DeviceError("a forked process may not speak to the helper: the one that it came from does")

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def helper_here() -> HelperClient | None:
    """Return a client of this machine's helper, whether it answers or not; None if there is none."""
    path = Path(os.environ.get(SOCKET_VARIABLE, DEFAULT_SOCKET))
    try:
        return HelperClient(path) if path.is_socket() else None
    except OSError:  # a folder on the way may not be entered
        return None


def _connect(path: Path, timeout_s: float) -> socket.socket:
    try:
        own = _connected(path, timeout_s)
    except PermissionError as error:
        raise DevicePermissionError(_how_to_join(path)) from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise DeviceError(f"no helper is at {path}: sudo powertrain setup-helper") from error
    server = peer_of(own)
    if server.uid not in (0, os.geteuid()):
        own.close()
        raise DevicePermissionError(f"who listens at {path} is {server}, not root: it is not trusted")
    own.settimeout(timeout_s)
    return own


def _connected(path: Path, timeout_s: float) -> socket.socket:
    """Connect; where too many wait at the socket already, wait with them until the time is over."""
    until_s = time.monotonic() + timeout_s
    while (left_s := until_s - time.monotonic()) > 0:
        own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # The kernel lets those who wait in one after the other. With a timeout of Python's a socket does
            # not wait: it finds room or fails at once.
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", math.ceil(left_s), 0))
            own.connect(str(path))
            own.getpeername()
        except BlockingIOError:
            own.close()
        except OSError as error:
            own.close()
            if error.errno != errno.ENOTCONN:  # so a signal in the middle leaves it
                raise
        except BaseException:
            own.close()
            raise
        else:
            return own
    raise TimeoutError


def _how_to_join(path: Path) -> str:
    group = group_name(path.stat().st_gid)
    return f"this user is not in the group {group}: sudo usermod -aG {group} $USER, then log out and in again"


def _why(error: OSError) -> str:
    return "it took too long" if isinstance(error, TimeoutError) else error.strerror or str(error)
