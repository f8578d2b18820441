"""What the tests of the helper share: a helper in a thread, and a clock that it goes by."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE_S

from powertrain.devices import AbstractLiveDevice
from powertrain.devices.remote._peers import Peer
from powertrain.helper._audit import Audit
from powertrain.helper._listen import listening
from powertrain.helper._server import Server
from powertrain.helper._service import Service
from powertrain.opening import open_device
from powertrain.virtual import SimulatedBoard

__all__ = ["ALICE", "BOB", "FakeTime", "Served", "ask", "board", "raw", "served", "service_of"]

ALICE = Peer(number=1, pid=1000, uid=1001, gid=1001)
BOB = Peer(number=2, pid=2000, uid=1002, gid=1002)


class FakeTime:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_s(self, duration_s: float) -> None:
        self.now_s += duration_s


class Served:
    """A helper that runs."""

    def __init__(self, path: Path, server: Server, log: io.StringIO) -> None:
        self.path, self.server, self._log = path, server, log

    def audited(self) -> list[tuple[str, str]]:
        """Return what the log says: what was done, and what came of it."""
        lines = [json.loads(line) for line in self._log.getvalue().splitlines()]
        return [(line["what"], line["outcome"].partition(":")[0]) for line in lines]


def board(folder: Path | None = None) -> SimulatedBoard:
    """Return a simulated board, its mode in a file of a folder if one is given."""
    device = open_device("sim:orin-agx" + (f"?state={folder / 'board.json'}" if folder else ""))
    assert isinstance(device, SimulatedBoard)
    return device


def service_of(device: AbstractLiveDevice, **more: Any) -> Service:
    """Return what answers for a device, with its log in memory."""
    return Service(device, **{"audit": Audit(None, stream=io.StringIO()), **more})


def ask(service: Service, peer: Peer, do: str, **more: Any) -> dict[str, Any]:
    """Ask something as a client would, and return the answer."""
    return json.loads(service.handle(peer, json.dumps({"v": 1, "do": do, **more}).encode()))


@contextmanager
def served(
    device: AbstractLiveDevice,
    folder: Path,
    *,
    group: int | None = None,
    now_s: Callable[[], float] = time.monotonic,
) -> Generator[Served]:
    """Run a helper in a thread; in the end it must have restored everything."""
    log, path = io.StringIO(), folder / "run/helper.sock"
    group = os.getgid() if group is None else group
    with listening(path, group=os.getgid()) as listener:
        service = service_of(device, audit=Audit(None, stream=log), now_s=now_s)
        server = Server(listener, service, group=group, now_s=now_s)
        well: list[bool] = []
        thread = threading.Thread(target=lambda: well.append(server.run()))
        thread.start()
        try:
            yield Served(path, server, log)
        finally:
            server.stop()
            thread.join(PATIENCE_S)
        assert well == [True]


@contextmanager
def raw(path: Path) -> Generator[socket.socket]:
    """Connect without a client's manners."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as own:
        own.settimeout(PATIENCE_S)
        own.connect(str(path))
        yield own
