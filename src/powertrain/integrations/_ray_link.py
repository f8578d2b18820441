"""Connecting to a cluster of Ray, and being quiet about it."""

# Ray may be absent where types are checked, and then nothing is known of its types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import Any

from powertrain.errors import FleetError
from powertrain.integrations._extras import needed

__all__ = ["LOCAL", "joined", "ray"]

ray = needed("ray", package="Ray", extra="ray")

LOCAL = "local"
"""Stands for workers on this machine alone, which end with the run."""
CONNECT_S = 5.0
"""For a server to accept a connection, and to answer."""
SETTINGS, FRAME_HEAD = 4, 9
"""Of HTTP/2: the type of a frame of settings, and the bytes of the head of any frame."""


@contextmanager
def joined(address: str, *, jobs: int | None = None) -> Generator[None]:
    """Be connected to a cluster while the context lasts; a process that is connected already stays so.

    Args:
        address: `HOST:PORT` of the head, `auto` for the cluster that this machine belongs to, or `local` for
            workers on this machine that end with the context.
        jobs: How many workers, if they are local; as many as there are cores if None.

    Raises:
        FleetError: Nothing answers there, or this machine cannot take part.
    """
    place = _found(address)
    if ray.is_initialized():
        yield
        return
    where: dict[str, Any] = {"address": place}
    if address == LOCAL:
        where |= {"num_cpus": jobs, "include_dashboard": False}
    with _quietly(), _on_loopback() if address == LOCAL else nullcontext():
        before = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
            raise FleetError(_unreachable(place, error)) from error
        finally:
            # Ray takes SIGTERM, and would end this process without a word about what is kept.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _on_loopback() -> Generator[None]:
    """Have the servers of a cluster that is started here listen on loopback only: whoever reaches them rules.

    This is what Ray does on other systems than Linux.
    """
    constants = needed("ray._private.ray_constants", package="Ray", extra="ray")
    name, before = constants.ENABLE_RAY_CLUSTERS_ENV_VAR, constants.ENABLE_RAY_CLUSTER
    given = os.environ.get(name)
    os.environ[name], constants.ENABLE_RAY_CLUSTER = "0", False  # of children, and of this process
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before
        if given is None:
            os.environ.pop(name)
        else:
            os.environ[name] = given


def _found(address: str) -> str:
    """Return where a server of Ray answers, in seconds; Ray itself would try for minutes, or for ever.

    Raises:
        FleetError: None answers.
    """
    if address == LOCAL:
        return address
    where = _own_cluster() if address == "auto" else address
    host, mark, port = where.rpartition(":")
    if where.startswith("ray://") or not mark or not port.isdecimal() or not host:
        raise FleetError(
            f"{where!r} is no address of a cluster: give HOST:PORT of its head, such as 10.0.0.1:6379"
        )
    try:
        answers = _speaks_http2(host, int(port))
        reason = "something else listens there"
    except (OSError, OverflowError) as error:
        answers, reason = False, getattr(error, "strerror", None) or str(error)
    if not answers:
        raise FleetError(
            f"no Ray server answers at {where} ({reason}): start one there with ray start --head"
        )
    return where


def _own_cluster() -> str:
    services = needed("ray._private.services", package="Ray", extra="ray")
    try:
        found: str | None = services.canonicalize_bootstrap_address("auto")
    except ConnectionError:
        found = None
    if found is None:
        raise FleetError(
            "this machine belongs to no cluster of Ray: run ray start first, or give --address HOST:PORT"
        )
    return found


def _speaks_http2(host: str, port: int) -> bool:
    """Tell whether a server sends its settings (RFC 9113, 3.4), as every gRPC server does at once."""
    with socket.create_connection((host, port), timeout=CONNECT_S) as link:
        link.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, SETTINGS, 0, 0, 0, 0, 0)))
        head = b""
        while len(head) < FRAME_HEAD and (more := link.recv(FRAME_HEAD - len(head))):
            head += more
    return len(head) == FRAME_HEAD and head[3] == SETTINGS


def _unreachable(address: str, error: Exception) -> str:
    said = " ".join(str(error).split())
    if "Version mismatch" in said:
        return f"the cluster at {address} has another version of Ray or Python: {said[:200]}"
    return (
        f"cannot take part in the cluster at {address} from this machine: run ray start --address={address} "
        f"--num-cpus=0 here first ({said[:160]})"
    )


@contextmanager
def _quietly() -> Generator[None]:
    """Keep Ray's remarks on machines that die from the screen: what matters is said in a line by us."""
    worker = needed("ray._private.worker", package="Ray", extra="ray")
    before = worker.print_to_stdstream
    worker.print_to_stdstream = _ignored
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        worker.print_to_stdstream = before


def _ignored(*_: Any, **__: Any) -> None:
    """Print nothing."""
