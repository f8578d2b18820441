"""What serving metrics costs: writes benchmarks/results/metrics.md.

    python benchmarks/metrics.py [--scrapes 200] [--seconds 60]

Each device is served by a process of its own, as `powertrain metrics` does. It is scraped one time after the
other, for the time of a scrape, and then once a second, for the share of a core. The share counts the reading
of the sensors, which goes on once a second whether anybody scrapes or not.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
from _harness import machine, table, today, write_result

DEVICES = ("cpu", "emulated:{board}", "sim:orin-agx")
ACCEPT = "application/openmetrics-text; version=1.0.0, text/plain;version=0.0.4;q=0.5"
WARM_UP = 20
TICKS_S = os.sysconf("SC_CLK_TCK")


@contextmanager
def emulated_board():
    """Keep an emulated Jetson as files below a folder; yield the folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "powertrain.virtual.emulated", folder, "orin-agx", "--jetpack", "6"]
        keeper = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert keeper.stdout is not None
        keeper.stdout.readline()
        try:
            yield Path(folder)
        finally:
            keeper.terminate()
            keeper.wait()


@contextmanager
def served(spec: str):
    """Serve a device; yield the process and the URL."""
    command = [sys.executable, "-m", "powertrain", "metrics", "--device", spec, "--port", "0"]
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert serving.stdout is not None
    try:
        yield serving.pid, re.search(r"http://[^;]+", serving.stdout.readline())[0]
    finally:
        serving.terminate()
        serving.wait()


def processor_s(pid: int) -> float:
    """Return the processor time that all threads of a process have used (Linux proc(5), utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


def scrape(url: str) -> int:
    """Scrape once; return the size of the answer."""
    with urlopen(Request(url, headers={"Accept": ACCEPT}), timeout=30) as answer:
        return len(answer.read())


def used_s(pid: int, seconds: float, url: str | None) -> float:
    """Return the processor time used in so many seconds, with a scrape in each if there is a URL."""
    before_s, start_s = processor_s(pid), time.monotonic()
    for second in range(1, round(seconds) + 1):
        if url is not None:
            scrape(url)
        time.sleep(max(start_s + second - time.monotonic(), 0.0))
    return processor_s(pid) - before_s


def row(spec: str, name: str, scrapes: int, seconds: float) -> tuple[str, ...]:
    """Measure one device."""
    with served(spec) as (pid, url):
        for _ in range(WARM_UP):
            size = scrape(url)
        before_s, taken_s = processor_s(pid), []
        for _ in range(scrapes):
            started_s = time.perf_counter()
            scrape(url)
            taken_s.append(time.perf_counter() - started_s)
        each_s = (processor_s(pid) - before_s) / scrapes
        rests_s, scraped_s = used_s(pid, seconds, None), used_s(pid, seconds, url)
    middle, high = np.quantile(taken_s, [0.5, 0.95])
    return (
        name,
        f"{size:,}",
        f"{1e3 * each_s:.2f}",
        f"{1e3 * middle:.1f}",
        f"{1e3 * high:.1f}",
        f"{100 * rests_s / seconds:.2f}",
        f"{100 * scraped_s / seconds:.2f}",
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scrapes", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with emulated_board() as board:
        rows = [
            row(
                spec.format(board=board), spec.partition("{")[0].rstrip(":"), options.scrapes, options.seconds
            )
            for spec in DEVICES
        ]
    head = (
        *("device", "bytes", "processor ms a scrape", "wall ms, median", "wall ms, 95th percentile"),
        *("core % at rest", "core % scraped at 1 Hz"),
    )
    load, seconds = os.getloadavg()[0], f"{options.seconds:.0f} s"
    lines = [
        f"{machine()}, {today()}. {options.scrapes} scrapes one after the other, then {seconds} without",
        f"a scrape and {seconds} with one a second. Processor times are those of the process that serves.",
        f"The load of the machine was {load:.1f}, which the wall times show.",
        "",
        *table(head, rows, words=1),
    ]
    write_result("metrics.md", "What serving metrics costs", "python benchmarks/metrics.py", lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
