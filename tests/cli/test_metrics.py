"""`powertrain metrics` and `--metrics-port`."""

from __future__ import annotations

import json
import re
import socket
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from powertrain.opening import open_device
from powertrain.telemetry import Telemetry

pytest.importorskip("prometheus_client", reason="needs the extra 'metrics'")

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as older_text

from powertrain.integrations import metrics

NANO = "sim:orin-nano"


@pytest.fixture(scope="module")
def served():
    """Return the URL of a simulated board's metrics."""
    with metrics.serve(Telemetry(open_device(NANO)), port=0) as url:
        yield url


def get(url, accept=""):
    with urlopen(Request(url, headers={"Accept": accept}), timeout=20) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]


def samples(text):
    return {(s.name, s.labels.get("knob")): s for f in older_text(text) for s in f.samples}


def test_numbers_have_base_units_and_say_that_they_are_simulated(served):
    found, board = samples(get(served)[0]), open_device(NANO)

    assert found["powertrain_clock_hertz", "gpu_mhz"].value == board.mode["gpu_mhz"] * 1e6
    assert found["powertrain_knob", "cpu_cores"].value == board.mode["cpu_cores"]
    assert 1 < found["powertrain_power_watts", None].value < 30
    assert {s.labels["simulated"] for (name, _), s in found.items() if not name.endswith("build_info")} == {
        "true"
    }


def test_who_accepts_openmetrics_gets_it(served):
    text, kind = get(served, "application/openmetrics-text; version=1.0.0, text/plain")
    found = {family.name: family for family in text_string_to_metric_families(text)}
    energy = found["powertrain_energy_joules"]

    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert (energy.type, energy.unit) == ("counter", "joules")


def test_there_is_nothing_but_the_metrics(served):
    for path in ("/../../etc/passwd", "/metrics/x", "/favicon.ico"):
        with pytest.raises(HTTPError, match="404"):
            get(served.replace("/metrics", path))


def test_clients_that_say_nothing_keep_nobody_else_from_an_answer(served):
    port = int(re.search(r":(\d+)/", served)[1])
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    try:
        assert "powertrain_power_watts" in get(served)[0]
    finally:
        for connection in silent:
            connection.close()


def test_a_taken_port_is_refused_in_one_line(run, served):
    port = re.search(r":(\d+)/", served)[1]
    ran = run("metrics", "--device", NANO, "--port", port)

    assert ran.code == 1
    assert ran.error_line.startswith(
        f"error: metrics cannot be served on port {port} of 127.0.0.1 (Address al"
    )
    assert ran.error_line.endswith("give another port")


def test_a_command_is_not_begun_where_its_metrics_cannot_be_served(run, served, tmp_path):
    port, made = re.search(r":(\d+)/", served)[1], tmp_path / "made"
    ran = run("apply", "cpu_cores=1", "--device", "cpu", "--metrics-port", port, "--", "touch", made)

    assert (ran.code, made.exists()) == (1, False)


def test_without_the_extra_it_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "powertrain.integrations.metrics", None)
    monkeypatch.delitem(sys.modules, "powertrain.integrations.metrics")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.setitem(sys.modules, "prometheus_client.core", None)

    assert "pip install 'powertrain[metrics]'" in run("metrics", "--device", NANO).error_line


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("--unit", "--dashboard"), "give one of them"),
        (("--unit", "--port", 0), "give --port"),
        (("--user", "powertrain-metrics"), "give --unit"),
        (("--unit", "--db", __file__), "leave --db out"),
        (("--unit", "--user", "a b"), "'a b' is no name of a user"),
        (("--unit", "--host", "a b"), "'a b' is no address"),
        (("--unit", "--device", "a\nb"), "is no spec of a device"),
        (("--device", "replay:none.csv"), "none.csv"),
    ],
)
def test_wrong_use_is_one_line(run, wrong, told):
    ran = run("metrics", *wrong)

    assert ran.code == 2
    assert told in ran.error_line


def test_the_unit_serves_a_device_without_rights(done):
    unit = done("metrics", "--device", "nvml:0", "--port", 9000, "--unit").out

    assert (
        f"ExecStart={sys.executable} -I -m powertrain metrics --device nvml:0 --host 127.0.0.1 --port 9000"
        in unit
    )
    assert {"DynamicUser=yes", "CapabilityBoundingSet=", "IPAddressDeny=any"} <= set(unit.splitlines())
    assert "{" not in unit
    assert "\nGroup=" not in unit
    other = done("metrics", "--unit", "--user", "powertrain-metrics").out
    assert "\nUser=powertrain-metrics\n" in other
    assert "DynamicUser" not in other
    assert "IPAddressDeny" not in done("metrics", "--host", "0.0.0.0", "--unit").out


def test_the_dashboard_shows_metrics_that_there_are(done):
    shown = json.loads(done("metrics", "--dashboard").out)
    text = " ".join(target["expr"] for panel in shown["panels"] for target in panel["targets"])
    names = {family.name for family in metrics.families(Telemetry(open_device(NANO)).now())}
    names |= (
        {f"{name}_total" for name in names} | {f"{name}_info" for name in names} | {"powertrain_run_state"}
    )

    assert set(re.findall(r"powertrain_\w+", text)) <= names


def test_what_a_training_prints_and_its_exit_code_are_the_same_with_metrics(run, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "import powertrain as pt\nfor n in pt.measured(range(9)): print(n)\nraise SystemExit(7)\n"
    )
    command = ("tune", script, "--device", "cpu?cpu_cores=1")
    without, served = run(*command), run(*command, "--metrics-port", 0)

    assert (
        (without.code, without.out) == (served.code, served.out) == (7, "".join(f"{n}\n" for n in range(9)))
    )
    first, _, rest = served.err.partition("\n")
    assert first.startswith("powertrain: metrics are on http://127.0.0.1:")
    assert rest == without.err
