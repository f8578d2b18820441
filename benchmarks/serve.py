"""The served page of a fleet under load: writes benchmarks/results/serve.md.

    python benchmarks/serve.py [--requests 1000] [--clients 50] [--rows 1000000]
    python benchmarks/serve.py --picture docs/images/fleet.png    draw the picture in the documentation

`powertrain serve` runs as a process of its own, and clients on loopback ask it. Each keeps its connection, as
a browser does. They ask for the page, its scripts, the fleet, and the front of a job. The second half of the
requests has the tag of the last answer, as every later request of a browser has.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
from _harness import machine, table, today, write_result
from size import many_profiles

import powertrain as pt
from powertrain.dataset import open_store

SLOW = 200
"""Clients that send a byte a second."""
ASSETS = ("/", "/assets/front.js", "/assets/fleet.js", "/assets/front.css")


@dataclass(frozen=True)
class Served:
    """A server that was started here."""

    pid: int
    netloc: str
    started_s: float
    """How long it took to begin."""

    @property
    def peak_mb(self) -> float:
        """The most memory that it has had (Linux proc(5), VmHWM)."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6


@dataclass(frozen=True)
class Load:
    """What became of many requests."""

    times_s: np.ndarray
    wall_s: float
    errors: int


@contextmanager
def served(database: Path) -> Generator[Served]:
    """Serve a database."""
    command = [sys.executable, "-m", "powertrain", "serve", "--db", str(database), "--port", "0"]
    began_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = re.search(r"http://\S+/", process.stdout.readline())[0]
        yield Served(process.pid, urlsplit(url).netloc, time.perf_counter() - began_s)
    finally:
        process.terminate()
        process.wait()


def get(connection: http.client.HTTPConnection, path: str, tag: str = "") -> tuple[int, str, bytes]:
    """Ask once; return the status, the tag and the body."""
    connection.request("GET", path, headers={"If-None-Match": tag} if tag else {})
    answer = connection.getresponse()
    return answer.status, answer.headers.get("ETag", ""), answer.read()


def first(server: Served) -> tuple[float, float, str]:
    """Return how long the first answers take [s], of the fleet and of a front, and the path of that."""
    connection = http.client.HTTPConnection(server.netloc, timeout=60)
    started_s = time.perf_counter()
    _, _, body = get(connection, "/api/fleet")
    fleet_s = time.perf_counter() - started_s
    job = json.loads(body)["jobs"][0]
    path = f"/api/front?{urlencode({'device': job['device'], 'workload': job['workload']})}"
    started_s = time.perf_counter()
    while get(connection, path)[0] == 202:
        time.sleep(0.05)
    return fleet_s, time.perf_counter() - started_s, path


def load(server: Served, front: str, requests: int, clients: int) -> Load:
    """Have clients ask at the same time."""
    paths = (*ASSETS, "/api/fleet", front, "/api/fleet", front)
    each = -(-requests // clients)

    def client(number: int) -> list[tuple[float, bool]]:
        connection = http.client.HTTPConnection(server.netloc, timeout=60)
        tags: dict[str, str] = {}
        found: list[tuple[float, bool]] = []
        for turn in range(each):
            path = paths[(number + turn) % len(paths)]
            started_s = time.perf_counter()
            try:
                status, tag, _ = get(connection, path, tags.get(path, "") if turn >= each / 2 else "")
                tags[path] = tag
                is_right = status in (200, 304)
            except (OSError, http.client.HTTPException):
                is_right = False
                connection.close()
            found.append((time.perf_counter() - started_s, is_right))
        connection.close()
        return found

    started_s = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        found = [one for part in pool.map(client, range(clients)) for one in part]
    wall_s = time.perf_counter() - started_s
    return Load(np.array([time_s for time_s, _ in found]), wall_s, sum(not is_right for _, is_right in found))


@contextmanager
def slow_clients(server: Served) -> Generator[None]:
    """Keep clients that send a byte a second, and come again when they are cut off."""
    host, port = server.netloc.split(":")
    done = threading.Event()

    def connected() -> socket.socket:
        one = socket.create_connection((host, int(port)), timeout=10)
        one.sendall(b"GET / HTTP/1.1\r\nHost: ")
        return one

    def drip() -> None:
        while not done.wait(1.0):
            for i, one in enumerate(all_of_them):
                try:
                    one.sendall(b"a")
                except OSError:
                    one.close()
                    all_of_them[i] = connected()

    all_of_them = [connected() for _ in range(SLOW)]
    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        for one in all_of_them:
            one.close()


@contextmanager
def a_run(database: Path, job: str) -> Generator[None]:
    """Add profiles of the job meanwhile, ten a second."""
    board = pt.open_device("sim:orin-agx")
    done = threading.Event()
    profiles = list(board.measure("lstm", pt.plan(board, 200)))

    def add() -> None:
        with open_store(database) as store:
            for i in count():
                p = profiles[i % len(profiles)]
                store.add(
                    [
                        pt.Profile(
                            device=p.device, workload=job, mode=p.mode, time_ms=p.time_ms, power_w=p.power_w
                        )
                    ]
                )
                if done.wait(0.1):
                    return

    thread = threading.Thread(target=add, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def row(name: str, found: Load, server: Served) -> tuple[str, ...]:
    """Return a row of the table."""
    middle_ms, high_ms, most_ms = 1e3 * np.quantile(found.times_s, [0.5, 0.95, 1.0])
    return (
        name,
        f"{len(found.times_s):,}",
        f"{found.errors:,}",
        f"{middle_ms:.0f}",
        f"{high_ms:.0f}",
        f"{most_ms:.0f}",
        f"{len(found.times_s) / found.wall_s:,.0f}",
        f"{server.peak_mb:.0f}",
    )


def fill_small(database: Path, *specs: str) -> None:
    """Keep some profiles of simulated boards."""
    with open_store(database) as store:
        for spec in specs:
            board = pt.open_device(spec)
            for workload in ("lstm", "resnet18"):
                store.add(board.measure(workload, pt.plan(board, 15)))


def draw(picture: Path) -> None:
    """Draw the page of three boards."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        fill_small(Path(folder) / "fleet.db", "sim:orin-nano", "sim:xavier-agx", "sim:orin-agx")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with served(Path(folder) / "fleet.db") as server:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"http://{server.netloc}/")
            page.locator("#saves").wait_for()
            pixels = page.screenshot(full_page=True)
            Image.open(io.BytesIO(pixels)).convert("RGB").quantize(64).save(picture, optimize=True)
        browser.close()


def measured(requests: int, clients: int, size: int) -> tuple[list[tuple[str, ...]], str]:
    """Return the rows of the table, and a sentence about the first answers."""
    rows: list[tuple[str, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small.db", Path(folder) / "large.db"
        fill_small(small, "sim:orin-agx")
        with open_store(large) as store:
            store.add(many_profiles(size))
        with served(small) as server:
            *_, front = first(server)
            rows.append(row("30 profiles", load(server, front, requests, clients), server))
        with served(large) as server:
            fleet_s, front_s, front = first(server)

            def loaded(name: str) -> None:
                rows.append(row(name, load(server, front, requests, clients), server))

            loaded(f"{size:,} profiles")
            with slow_clients(server):
                loaded(f"the same, {SLOW} slow clients meanwhile")
            with a_run(large, "workload 000"):
                time.sleep(5.0)  # so that the front is worked out anew meanwhile
                loaded("the same, ten new profiles a second")
        said = (
            f"With {size:,} profiles, `powertrain serve` began after {server.started_s:.1f} s. The first\n"
            f"answer about the fleet then took {1e3 * fleet_s:.0f} ms, and the first front {front_s:.1f} s."
        )
    return rows, said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--picture", type=Path, help="Draw the page into this file, and measure nothing.")
    options = parser.parse_args()
    if options.picture is not None:
        draw(options.picture)
        return 0
    before = os.getloadavg()[0]
    rows, said = measured(options.requests, options.clients, options.rows)
    head = (
        *("store", "requests", "errors", "median ms", "95th percentile ms", "longest ms"),
        *("requests a second", "peak MB of the server"),
    )
    lines = [
        f"{machine()}, {today()}. {options.clients} clients on loopback,",
        "each with a connection that it keeps. Server and clients shared the cores, and other work did too:",
        f"a load of {before:.1f} before. A front has 18,096 modes (0.6 MB).",
        "",
        *table(head, rows),
        "",
        said,
    ]
    write_result("serve.md", "The served page under load", "python benchmarks/serve.py", lines)
    return int(any(errors != "0" for _, _, errors, *_ in rows))


if __name__ == "__main__":
    raise SystemExit(main())
