"""Serving what a device and a training do to Prometheus, as OpenMetrics.

```py
from powertrain.integrations.metrics import serve
from powertrain.telemetry import Telemetry

with serve(Telemetry(pt.open_device("jetson"))) as url:
    print(url)
    time.sleep(3600)
```
"""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from socketserver import TCPServer
from typing import Any, final

from typing_extensions import override

from powertrain.errors import PowerTrainError
from powertrain.integrations._extras import needed
from powertrain.integrations._monitoring import dashboard, service_unit
from powertrain.quantities import limited
from powertrain.telemetry import Telemetry, TelemetryNow, WorkloadNow
from powertrain.units import hz_from_mhz, s_from_ms

__all__ = ["DEFAULT_PORT", "LOOPBACK", "dashboard", "exposition", "families", "serve", "service_unit"]

_core = needed("prometheus_client.core", package="prometheus-client", extra="metrics")
_exposition = needed("prometheus_client.exposition", package="prometheus-client", extra="metrics")

DEFAULT_PORT, LOOPBACK = 10700, "127.0.0.1"
VERSION = metadata.version("powertrain")
PATH = "/metrics"
PATIENCE_S = 5.0
"""For a client to send its request, or to take the answer."""
MOST_CLIENTS = 16
"""That are served at once; more are turned away."""
POLL_S = 0.2
"""How long the end of serving may take."""
STATES = ("trying", "held", "restored", "as found", "failed")


def families(now: TelemetryNow) -> Iterator[Any]:
    """Yield the metrics, as families of prometheus-client; what is not known has no sample.

    Every number has the labels `device` and `simulated`.
    """
    labels = {"device": now.device, "simulated": str(now.simulated).lower()}
    yield _info("powertrain_build", "Version of PowerTrain.", {"version": VERSION})
    yield _info("powertrain_device", "What opens the device.", {**labels, "spec": now.spec})
    yield from _of_device(now, labels)
    yield from _of_knobs(now.in_force, labels)
    yield from _of_run(now, labels)
    yield from _of_workloads(now.workloads, labels)
    counter = _core.CounterMetricFamily(
        "powertrain_errors", "Times that a part could not be read.", labels=(*labels, "part")
    )
    for part, count in now.errors.items():
        counter.add_metric((*labels.values(), part), count)
    yield counter


def _of_device(now: TelemetryNow, labels: Mapping[str, str]) -> Iterator[Any]:
    yield _gauge("power", "Power of the device.", "watts", [(labels, now.power_w)])
    rails = [({**labels, "rail": rail}, power_w) for rail, power_w in now.rails_w.items()]
    yield _gauge("rail_power", "Power of each rail that the sensors show.", "watts", rails)
    yield _counter(
        "energy", "Energy that the device has used since this began.", "joules", labels, now.energy_j
    )
    yield _gauge("temperature", "Temperature of the chip.", "celsius", [(labels, now.temperature_c)])
    text = "Times that the device has cut its clocks by itself, as far as it tells."
    yield _counter("throttle_events", text, "", labels, now.throttle_count)


def _of_knobs(in_force: Mapping[str, tuple[float, float]], labels: Mapping[str, str]) -> Iterator[Any]:
    """Yield the mode that is in force: clocks, limits of power, and whatever else can be set."""
    of: dict[str, list[tuple[Mapping[str, str], float]]] = {"clock": [], "power_cap": [], "knob": []}
    for knob, ends in in_force.items():
        for bound, value in zip(("lowest", "highest"), ends, strict=True):
            own = {**labels, "knob": knob, "bound": bound}
            if knob.endswith("_mhz"):
                of["clock"].append((own, hz_from_mhz(value)))
            else:
                of["power_cap" if knob.endswith("_w") else "knob"].append((own, value))
    moves = "the bounds are equal where it is held"
    yield _gauge("clock", f"Clocks in force; {moves}.", "hertz", of["clock"])
    yield _gauge("power_cap", f"Limits of power in force; {moves}.", "watts", of["power_cap"])
    yield _gauge(
        "knob", f"Other knobs in force, each in the unit that its name tells; {moves}.", "", of["knob"]
    )


def _of_run(now: TelemetryNow, labels: Mapping[str, str]) -> Iterator[Any]:
    run = now.run
    own = {**labels, "workload": run.workload}
    about = {**own, "command": run.command, "objective": run.objective}
    known = {name: text for name, text in about.items() if text}
    yield _info("powertrain_run", "What PowerTrain does with the device.", known)
    if run.state:
        states = {state: state == run.state for state in STATES}
        family = _core.StateSetMetricFamily("powertrain_run_state", "How a tuning stands.", labels=tuple(own))
        family.add_metric(tuple(own.values()), states)
        yield family
    yield from _of_limits(run.limits, own)
    hard = [(own, run.hard_limit_w)]
    yield _gauge("power_hard_limit", "Power that no trial is to exceed.", "watts", hard)
    text = "Modes measured since the command began: kept, exceeded (a limit) or flagged."
    trials = _core.CounterMetricFamily("powertrain_trials", text, labels=(*own, "outcome"))
    for outcome, count in run.trials.items():
        trials.add_metric((*own.values(), outcome), count)
    yield trials
    yield _counter("minibatches", "Minibatches trained since the command began.", "", own, run.minibatches)
    yield _counter("changes", "Times that modes were tried again.", "", own, run.changes)


def _of_limits(limits: Mapping[str, float], labels: Mapping[str, str]) -> Iterator[Any]:
    known = {
        "power_w": ("power_limit", "watts", 1.0),
        "time_ms": ("minibatch_limit", "seconds", s_from_ms(1.0)),
        "energy_j": ("minibatch_energy_limit", "joules", 1.0),
    }
    titles = {quantity.column: quantity.title for quantity in limited()}
    for column, (name, unit, factor) in known.items():
        text = f"Limit on the {titles[column]}."
        yield _gauge(name, text, unit, [(labels, factor * limits.get(column, math.nan))])
    others = [({**labels, "quantity": c}, limit) for c, limit in limits.items() if c not in known]
    yield _gauge("quantity_limit", "Limits on other quantities, in the unit that the name tells.", "", others)


def _of_workloads(workloads: Iterable[WorkloadNow], labels: Mapping[str, str]) -> Iterator[Any]:
    every = [({**labels, "workload": one.workload}, one) for one in workloads]

    def of(name: str, text: str, unit: str, value: Callable[[WorkloadNow], float]) -> Any:
        return _gauge(name, text, unit, [(own, value(one)) for own, one in every])

    measured, predicted = "in the mode in force, as last measured", "in the mode in force, as predicted"
    seconds, watts = "seconds", "watts"
    yield of("minibatch", f"Time of a minibatch {measured}.", seconds, lambda one: s_from_ms(one.time_ms))
    yield of("minibatch_power", f"Mean power of minibatches {measured}.", watts, lambda one: one.power_w)
    yield of(
        "predicted_minibatch",
        f"Time of a minibatch {predicted}.",
        seconds,
        lambda one: s_from_ms(one.predicted_time_ms),
    )
    yield of(
        "predicted_minibatch_power",
        f"Mean power of minibatches {predicted}.",
        watts,
        lambda one: one.predicted_power_w,
    )
    drifts = [
        ({**own, "quantity": quantity}, value)
        for own, one in every
        for quantity, value in (("time", one.time_drift), ("power", one.power_drift))
    ]
    yield _gauge("drift", "Measured over predicted, less 1.", "ratio", drifts)
    yield of("profiles", "Profiles in the database.", "", lambda one: one.profiles)


def _gauge(name: str, text: str, unit: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> Any:
    known = [(labels, value) for labels, value in samples if math.isfinite(value)]
    names = tuple(known[0][0]) if known else ()
    family = _core.GaugeMetricFamily(f"powertrain_{name}", text, labels=names, unit=unit)
    for labels, value in known:
        family.add_metric(tuple(labels.values()), value)
    return family


def _counter(name: str, text: str, unit: str, labels: Mapping[str, str], value: float) -> Any:
    family = _core.CounterMetricFamily(f"powertrain_{name}", text, labels=tuple(labels), unit=unit)
    if math.isfinite(value):
        family.add_metric(tuple(labels.values()), value)
    return family


def _info(name: str, text: str, labels: Mapping[str, str]) -> Any:
    family = _core.InfoMetricFamily(name, text, labels=())
    family.add_metric((), dict(labels))
    return family


@final
class _Collector:
    """What an encoder of prometheus-client takes."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def collect(self) -> Iterator[Any]:
        """Yield the metrics that have a value now."""
        return (family for family in families(self._telemetry.now()) if family.samples)


def exposition(telemetry: Telemetry, accept: str = "") -> tuple[bytes, str]:
    """Return what a scrape gets, and its type: OpenMetrics for who accepts it, else Prometheus' older text.

    Args:
        telemetry: What knows the numbers.
        accept: The request's header `Accept`.
    """
    encode, kind = _exposition.choose_encoder(accept)
    return encode(_Collector(telemetry)), kind


@contextmanager
def serve(telemetry: Telemetry, *, host: str = LOOPBACK, port: int = DEFAULT_PORT) -> Generator[str]:
    """Look at the device, and serve what is seen while the context lasts.

    Args:
        telemetry: What knows the numbers.
        host: The address to listen at; by default only this machine can connect.
        port: The port; 0 takes a free one.

    Yields:
        The URL to scrape.

    Raises:
        PowerTrainError: The port is taken, or the address is none of this machine's.
    """
    server = _listening(telemetry, host, port)
    thread = threading.Thread(
        target=server.serve_forever, args=(POLL_S,), name="powertrain-metrics", daemon=True
    )
    try:
        with telemetry.looking():
            thread.start()
            shown = f"[{host}]" if ":" in host else host
            yield f"http://{shown}:{server.server_address[1]}{PATH}"
    finally:
        if thread.is_alive():
            server.shutdown()
        server.server_close()


def _listening(telemetry: Telemetry, host: str, port: int) -> _Server:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return _Server(telemetry, family, (host, port))
    except OSError as error:
        reason = error.strerror or str(error)
        raise PowerTrainError(
            f"metrics cannot be served on port {port} of {host} ({reason}): give another port"
        ) from error


@final
class _Server(ThreadingHTTPServer):
    """Serves to a few clients at once, each on a thread that ends with its request."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, telemetry: Telemetry, family: int, address: tuple[str, int]) -> None:
        self.address_family = family
        self.telemetry = telemetry
        self._places = threading.BoundedSemaphore(MOST_CLIENTS)
        super().__init__(address, _Handler)

    @override
    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer asks for the host's name besides, which may take seconds

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    @override
    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away is none of the training's."""


@final
class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    timeout = PATIENCE_S
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        """Send the metrics."""
        if self.path.partition("?")[0] not in ("/", PATH):
            self.send_error(HTTPStatus.NOT_FOUND, f"There is only {PATH}")
            return
        body, kind = exposition(self.server.telemetry, self.headers.get("Accept", ""))
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: what is on the screen is the training's."""
