"""A real Prometheus scrapes what is served, and its lint finds nothing."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from tests.processes import Process
from tests.waiting import comes_true

pytest.importorskip("prometheus_client", reason="needs the group 'integrations'")

from powertrain.integrations import metrics
from powertrain.opening import open_device
from powertrain.telemetry import Telemetry

needs_prometheus = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")), reason="needs Debian's package prometheus"
)
BOARD = "sim:orin-nano?clock=real"
TUNED = ("tune", "lstm", "--device", BOARD, "--max-power", "12", "--trials", "2", "--precision", "30")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def powertrain(*arguments):
    """Run a command that serves metrics; yield it, and the URL."""
    command = [sys.executable, "-m", "powertrain", *arguments]
    serving = Process(command, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield serving, re.search(r"http://\S+", serving.stderr.readline())[0]
    finally:
        serving.terminate()
        serving.communicate(timeout=60)


@contextmanager
def prometheus(folder, url):
    """Run a Prometheus that scrapes a URL each second; yield what asks it."""
    port, target = free_port(), re.search(r"//(.*)/", url)[1]
    config = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "powertrain", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    subprocess.run(
        ["promtool", "check", "config", folder / "prometheus.yml"], check=True, capture_output=True
    )
    command = [
        *("prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"),
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("w") as log:
        server = Process(command, stdout=subprocess.DEVNULL, stderr=log)

    def ask(query):
        address = f"http://127.0.0.1:{port}/api/v1/query?{urlencode({'query': query})}"
        try:
            with urlopen(address, timeout=20) as answer:
                return json.load(answer)["data"]["result"]
        except URLError as error:
            if getattr(error, "code", 503) == 503:  # it is not ready yet
                return []
            raise

    try:
        yield ask
    finally:
        server.terminate()
        server.wait(timeout=60)


def expressions():
    """Return what the dashboard asks, as Grafana would."""
    given = {"$device": ".*", "$__rate_interval": "1m", "$__range": "1m"}
    for panel in json.loads(metrics.dashboard())["panels"]:
        for target in panel["targets"]:
            yield re.sub(r"\$\w+", lambda found: given[found[0]], target["expr"])


@needs_prometheus
@pytest.mark.timeout(240)
def test_prometheus_scrapes_a_tuning_and_the_dashboard_shows_it(tmp_path):
    with powertrain(*TUNED, "--minibatches", "100000", "--metrics-port", "0") as (tuning, url):
        with prometheus(tmp_path, url) as ask:
            drifts = comes_true(lambda: ask("powertrain_drift_ratio"), every_s=0.5)
            assert drifts, (tmp_path / "log").read_text()
            shown = {
                name: ask(f"powertrain_{name}")
                for name in ("power_watts", "minibatch_seconds", "power_limit_watts", "energy_joules_total")
            }
            trials = ask("sum(powertrain_trials_total)")
            empty = [expression for expression in expressions() if not ask(expression)]
        tuning.terminate()
        tuning.wait(timeout=60)

    assert all(one["metric"]["simulated"] == "true" for found in shown.values() for one in found)
    values = {name: float(one["value"][1]) for name, (one,) in shown.items()}
    assert 1 < values["power_watts"] < 30
    assert 0.001 < values["minibatch_seconds"] < 10
    assert values["power_limit_watts"] == 12
    assert values["energy_joules_total"] > 1
    assert float(trials[0]["value"][1]) == 2
    assert tuning.returncode == 128 + signal.SIGTERM
    unset = ("hard_limit", "minibatch_limit", "power_cap", "profiles")
    assert [expression for expression in empty if not any(name in expression for name in unset)] == []


@needs_prometheus
@pytest.mark.parametrize("spec", ["cpu", "sim:orin-agx"])
def test_promtool_finds_no_fault(spec):
    with metrics.serve(Telemetry(open_device(spec)), port=0) as url, urlopen(url, timeout=20) as answer:
        text = answer.read()
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False, timeout=60
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_sigterm_ends_serving_without_a_word():
    command = [sys.executable, "-m", "powertrain", "metrics", "--device", "sim:orin-nano", "--port", "0"]
    serving = Process(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert "are on http://127.0.0.1:" in serving.stdout.readline()
    serving.terminate()

    assert (serving.communicate(timeout=60), serving.returncode) == (("", ""), 0)
