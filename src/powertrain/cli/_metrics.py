"""`powertrain metrics`."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from powertrain.cli._echo import echo, echo_data
from powertrain.cli._options import Count, command, database_option, device_spec_option, json_option
from powertrain.cli._printing import print_json
from powertrain.cli._root import WrongUse

if TYPE_CHECKING:
    from powertrain.telemetry import Telemetry

__all__ = ["metrics_command"]


@command(
    "metrics",
    short="Serve what a device does to Prometheus.",
    examples=(
        "metrics --device jetson",
        "metrics --device nvml:0 --db profiles.db --port 9000",
        "metrics --device jetson --unit | sudo tee /etc/systemd/system/powertrain-metrics.service",
        "metrics --dashboard > powertrain.json",
    ),
)
@device_spec_option(name="spec", default="auto")
@database_option(required=False, purpose="Also serve what is known of its workloads in the mode in force")
@click.option(
    "--port",
    type=Count(0, 65535),
    default=10700,
    show_default=True,
    help="Port to listen on. 0 takes a free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at. By default only this machine can connect.",
)
@click.option("--unit", is_flag=True, help="Print a systemd unit that serves it without root, and end.")
@click.option(
    "--user",
    metavar="NAME",
    help="User of that service, which must exist. Without it, the service has one that exists while it runs. "
    "Give a member of the group powertrain if only powertrain-helper can read the sensors. As a member, the "
    "service could hold modes too.",
)
@click.option("--dashboard", is_flag=True, help="Print a Grafana dashboard, and end.")
@json_option
def metrics_command(
    spec: str,
    database: str | None,
    port: int,
    host: str,
    unit: bool,
    user: str | None,
    dashboard: bool,
    as_json: bool,
) -> None:
    """Serve the mode in force, power, energy, temperature and throttling of a device as OpenMetrics.

    Nothing is changed. Prometheus scrapes http://127.0.0.1:10700/metrics. With --db, the time and power of
    each workload in the mode in force are served as measured and as predicted. To see a training and its
    trials, use --metrics-port of tune, profile or apply.

    A sensor that fails is left out and counted in powertrain_errors_total. Ctrl-C or SIGTERM ends it. With
    --json, the values are printed once instead. It needs the extra metrics.
    """
    if sum((unit, dashboard, as_json)) > 1:
        raise WrongUse("--unit, --dashboard and --json were given: give one of them")
    if user is not None and not unit:
        raise WrongUse("--user is for the service: give --unit, too")
    if dashboard:
        _print_dashboard()
        return
    if unit:
        _print_unit(spec, database, port, host, user)
        return
    from powertrain.dataset import open_store
    from powertrain.telemetry import Telemetry
    from powertrain.workflow import open_device

    device = open_device(spec, probe=False)
    with open_store(database, create=False) if database is not None else nullcontext() as store:
        telemetry = Telemetry(device, store=store)
        if as_json:
            with telemetry.looking():
                print_json(telemetry.now())
        else:
            _serve(telemetry, host, port)


def _serve(telemetry: Telemetry, host: str, port: int) -> None:
    """Serve until somebody ends it, which is no failure."""
    from powertrain.integrations.metrics import serve

    try:
        with serve(telemetry, host=host, port=port) as url:
            echo(f"metrics of {telemetry.device.name} are on {url}; Ctrl-C ends this")
            threading.Event().wait()
    except KeyboardInterrupt:
        return


def _print_dashboard() -> None:
    from powertrain.integrations.metrics import dashboard

    echo_data(dashboard())


def _print_unit(spec: str, database: str | None, port: int, host: str, user: str | None) -> None:
    from powertrain.integrations.metrics import service_unit

    if database is not None:
        raise WrongUse(
            "--db and --unit were given: the service serves the device without a database, which its user "
            "could not read; leave --db out"
        )
    if port == 0:
        raise WrongUse("a service has a port of its own: give --port")
    echo_data(service_unit(spec, host=host, port=port, user=user))
