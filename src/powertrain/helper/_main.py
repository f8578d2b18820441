"""`powertrain-helper`: the process that root runs."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from powertrain.devices._base import AbstractLiveDevice
from powertrain.devices._journal import Journal
from powertrain.devices._locks import file_name
from powertrain.devices.remote._peers import group_id
from powertrain.devices.remote._protocol import DEFAULT_GROUP, DEFAULT_SOCKET
from powertrain.errors import DeviceError, PowerTrainError
from powertrain.helper._audit import DEFAULT_AUDIT, Audit
from powertrain.helper._listen import inherited, listening
from powertrain.helper._server import Server
from powertrain.helper._service import DEFAULT_LEASE_S, Service
from powertrain.wording import visible

__all__ = ["main"]

DEFAULT_STATE = Path("/var/lib")
DEFAULT_IDLE_S = 300.0
LEAST_LEASE_S = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, or until idle where systemd starts it again; 0: the device is as it was before."""
    given = _parser().parse_args(arguments)
    journal = logging.StreamHandler(sys.stderr)
    journal.setFormatter(_Visible("%(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[journal], level=logging.INFO)
    try:
        return _run(given)
    except KeyboardInterrupt:  # stopped while it tried the board's clocks, which have been restored
        return 0
    except (PowerTrainError, OSError) as error:
        sys.stderr.write(f"error: {visible(' '.join(str(error).split()))}\n")
        return 1


class _Visible(logging.Formatter):
    """Spells out control characters, which would steer the terminal of whoever reads the journal."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="powertrain-helper",
        description="Hold power modes for the members of a group, and restore the device when they go. "
        "systemd starts it: sudo powertrain setup-helper.",
    )
    parser.add_argument("--device", default="jetson", metavar="SPEC", help="what it holds (%(default)s)")
    parser.add_argument("--socket", type=Path, default=DEFAULT_SOCKET, metavar="PATH", help="%(default)s")
    parser.add_argument("--group", default=DEFAULT_GROUP, metavar="NAME", help="who may use it (%(default)s)")
    parser.add_argument("--audit", type=Path, default=DEFAULT_AUDIT, metavar="FILE", help="%(default)s")
    parser.add_argument(
        "--lease",
        type=_seconds,
        default=DEFAULT_LEASE_S,
        metavar="SECONDS",
        help="time without a sign of life after which a client loses the device (%(default)g)",
    )
    parser.add_argument(
        "--idle",
        type=_seconds,
        default=DEFAULT_IDLE_S,
        metavar="SECONDS",
        help="time without clients after which it ends, if systemd started it (%(default)g)",
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=DEFAULT_STATE,
        metavar="FOLDER",
        help="its journal is in FOLDER/powertrain (%(default)s)",
    )
    parser.add_argument(
        "--foreground", action="store_true", help="make the socket itself and stay until stopped"
    )
    parser.add_argument("--restore", action="store_true", help="restore what was left behind, and end")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not LEAST_LEASE_S <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not from {LEAST_LEASE_S:g} to 1000000")
    return value


def _run(given: argparse.Namespace) -> int:
    # In this order: systemd's socket is in the environment, which has to be gone before anything is opened.
    os.umask(0o027)
    passed = inherited(os.environ)
    _forget_environment(given.state)
    left = Journal().devices()
    device = _device(given.device)
    # To open a board may mean to try its clocks, and before that it is restored.
    by_opening = file_name(device.key) in set(left) - set(Journal().devices())
    service = Service(device, audit=Audit(given.audit), lease_s=given.lease)
    # Before anything else is served: a helper that was killed may have left the device in a mode.
    well = service.restore(by_opening=by_opening)
    if given.restore:
        return 0 if well else 1
    if passed is None and not given.foreground:
        raise DeviceError("no socket was passed: let systemd start the helper, or give --foreground")
    group = group_id(given.group)
    if passed is not None:
        return _serve(passed, service, group, idle_s=None if given.foreground else given.idle)
    with listening(given.socket, group=group) as own:
        return _serve(own, service, group, idle_s=None)


def _forget_environment(state: Path) -> None:
    """Let nothing in the environment steer a root process, but for where the journal is."""
    os.environ.clear()
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    os.environ["XDG_STATE_HOME"] = str(state)
    folder = state / "powertrain"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)  # others could lock the journal, and so keep the device from being held


def _device(spec: str) -> AbstractLiveDevice:
    from powertrain.opening import open_device

    device = open_device(spec, for_others=True)
    if not isinstance(device, AbstractLiveDevice):
        raise DeviceError(f"{device.name} cannot be held in a mode: give a live device")
    return device


def _serve(listener: socket.socket, service: Service, group: int, *, idle_s: float | None) -> int:
    server = Server(listener, service, group=group, idle_s=idle_s)
    with _stopped_by_signals(server):
        logging.getLogger(__name__).info("ready")
        return 0 if server.run() else 1


@contextmanager
def _stopped_by_signals(server: Server) -> Generator[None]:
    """End in order on SIGTERM, SIGINT and SIGHUP; what is held then, `Held` has restored before."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        server.stop()

    before = {n: signal.signal(n, stop) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
