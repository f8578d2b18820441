"""`--metrics-port`: what a command does, served to Prometheus meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

import click

from powertrain.cli._echo import echo
from powertrain.cli._options import Count

if TYPE_CHECKING:
    from powertrain.dataset import AbstractStore
    from powertrain.profiling import Glance
    from powertrain.telemetry import Telemetry
    from powertrain.workflow import Tuning

__all__ = ["Beside", "metrics_port_option", "served"]

Device = TypeVar("Device")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def metrics_port_option(function: Decorated) -> Decorated:
    """Add `--metrics-port`."""
    return click.option(
        "--metrics-port",
        type=Count(0, 65535),
        metavar="PORT",
        help="Serve metrics for Prometheus on this port of 127.0.0.1 meanwhile. 0 takes a free one. Needs "
        "the extra metrics.",
    )(function)


@final
class Beside(Generic[Device]):
    """What stands beside a command: the telemetry that is served, or nothing, which changes nothing."""

    def __init__(self, device: Device, telemetry: Telemetry | None = None) -> None:
        """Take the device of the command."""
        self._telemetry = telemetry
        self.device = device if telemetry is None else telemetry.device
        """What the command is to work with."""

    def announcing(self, store: AbstractStore) -> AbstractStore:
        """Return what the command is to keep profiles in."""
        return store if self._telemetry is None else self._telemetry.announcing(store)

    def follow(self, tuning: Tuning) -> None:
        """Take the tuning that `told` is about."""
        if self._telemetry is not None:
            self._telemetry.follow(tuning)

    def told(self) -> None:
        """Take in that something has happened to the tuning."""
        if self._telemetry is not None:
            self._telemetry.told()

    @property
    def looked(self) -> Callable[[Glance], object] | None:
        """Return who is told how the tuned training goes."""
        return None if self._telemetry is None else self._telemetry.looked


@contextmanager
def served(port: int | None, device: Device, *, command: str, shared: bool) -> Generator[Beside[Device]]:
    """Serve what a command does while the context lasts; without a port do nothing.

    Args:
        port: Of 127.0.0.1.
        device: What the command works with; open where there is a port.
        command: Its name.
        shared: Whether it measures, and so reads the power by itself.
    """
    if port is None:
        yield Beside(device)
        return
    from powertrain.devices import AbstractDevice
    from powertrain.integrations.metrics import serve
    from powertrain.telemetry import Telemetry

    assert isinstance(device, AbstractDevice), "what is served is open"
    telemetry = Telemetry(device, command=command, shared=shared)
    with serve(telemetry, port=port) as url:
        with suppress(OSError):
            echo(f"powertrain: metrics are on {url}", err=True)
        yield Beside(device, telemetry)
