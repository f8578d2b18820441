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
from powertrain.fleet import head_address
from powertrain.integrations._extras import needed

__all__ = ["LOCAL", "joined", "ray"]

ray = needed("ray", package="Ray", extra="ray")

LOCAL = "local"
"""Stands for workers on this machine alone, which end with the run."""
LOOPBACK = "127.0.0.1"
HOME = (LOOPBACK, "localhost", "::1")
"""What Ray takes for this machine."""
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
        ValueError: The address is none.
        FleetError: Nothing answers there, or this machine cannot take part.
    """
    place, inside = _found(address)
    if ray.is_initialized():
        yield
        return
    where: dict[str, Any] = {"address": place}
    if address == LOCAL:
        where |= {"num_cpus": jobs, "include_dashboard": False}
    with _quietly(), _on_loopback() if inside else nullcontext():
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
    """Have Ray take this machine for 127.0.0.1, as it does on other systems than Linux.

    The servers of a cluster that is started here then listen on loopback only: whoever reaches them rules.
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


def _found(address: str) -> tuple[str, bool]:
    """Return where a server of Ray answers, and whether it does so on loopback only.

    It takes seconds. Ray itself would try for minutes, or for ever, and no signal would end it.

    Raises:
        ValueError: The address is none.
        FleetError: None answers.
    """
    if address == LOCAL:
        return address, True
    host, port = head_address(_own_cluster() if address == "auto" else address)
    places = [(host, False)]
    if host in HOME:
        # Ray looks for a head there at the address that this machine has for others.
        places[0] = (_services().get_node_ip_address(), False)
        if places[0][0] not in HOME:
            places.append((LOOPBACK, True))
    reason = ""
    for place, inside in places:
        try:
            if _speaks_http2(place, port):
                return f"{place}:{port}", inside
            reason = "something else listens there"
        except OSError as error:
            reason = error.strerror or str(error)
    if address == "auto":
        raise FleetError(
            f"this machine belongs to no cluster of Ray: the last one, {host}:{port}, does not answer "
            f"({reason}); run ray start first, or give HOST:PORT of a head"
        )
    raise FleetError(f"no Ray server answers at {address} ({reason}): start one there with ray start --head")


def _own_cluster() -> str:
    """Return what Ray has noted of the cluster that was last started or joined here."""
    try:
        found: str | None = _services().get_ray_address_from_environment("auto", None)
    except ConnectionError:
        found = None
    if found is None:
        raise FleetError(
            "this machine belongs to no cluster of Ray: run ray start first, or give HOST:PORT of a head"
        )
    return found


def _services() -> Any:
    return needed("ray._private.services", package="Ray", extra="ray")


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
