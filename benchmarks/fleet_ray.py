"""A sweep that boards share on Ray: speed-up, overhead, a killed raylet; writes results/fleet_ray.md.

    python benchmarks/fleet_ray.py [--modes 16]

Needs the group `fleet` (`make test-integrations` sets up `.venv-fleet`). Emulated boards, each a process of
its own that keeps the files of a Jetson, train in real time. A cluster of Ray has a raylet for each board.
All of them share this machine. The study is computed once in this process and once on two local workers.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from _harness import machine, table, today, version, write_result
from ray._private import ray_constants
from ray.cluster_utils import Cluster

from powertrain.dataset import open_store
from powertrain.fleet import BOARD, FleetOptions, Wanted, Work, profile_fleet
from powertrain.integrations.ray import RayCells, connected
from powertrain.profiling import Procedure
from powertrain.study import Settings, run_study

MODEL = "orin-nano"
HOW = Procedure(stabilise_s=0.3, stabilise_limit_s=1.0, precision=0.1, limit_s=1.0)
BATCH = 2
FEW_BYTES = 80 * 2**20
# The servers of Ray listen on loopback only, as they do on other systems than Linux.
os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR], ray_constants.ENABLE_RAY_CLUSTER = "0", False
# A head that notices within seconds that a raylet is gone; Ray's own settings take about half a minute.
NOTICE = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 3000,
    "health_check_failure_threshold": 2,
}
ANSWERS = 30
PARTS = ("workloads",)


@contextmanager
def emulated_board(folder: Path):
    """Keep an emulated Jetson as files below a folder."""
    command = [sys.executable, "-m", "powertrain.virtual.emulated", str(folder), "orin-nano"]
    keeper = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert keeper.stdout is not None
    keeper.stdout.readline()
    try:
        yield
    finally:
        keeper.terminate()
        keeper.wait()


@contextmanager
def raylets(folder: Path, boards: int):
    """Start a head, and a raylet for each board; yield the cluster and the raylets."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "object_store_memory": FEW_BYTES,
            "_system_config": NOTICE,
        },
    )
    try:
        nodes = {
            f"board-{n}": cluster.add_node(
                wait=False,
                num_cpus=1,  # with none, Ray ends a process as soon as it is idle
                resources={f"powertrain_board:{MODEL}": 1},
                env_vars={"POWERTRAIN_BOARD": f"emulated:{folder}/board-{n}"},
                node_name=f"board-{n}",
                include_dashboard=False,
                object_store_memory=FEW_BYTES,
            )
            for n in range(boards)
        }
        cluster.wait_for_nodes()
        yield cluster, nodes
    finally:
        cluster.shutdown()


class Some:
    """An engine's first boards alone, with a count of the batches."""

    def __init__(self, engine, boards: int) -> None:
        self._engine, self._boards, self.batches = engine, boards, 0

    def __getattr__(self, name: str):
        return getattr(self._engine, name)

    def boards(self):
        return sorted(self._engine.boards())[: self._boards]

    def submit(self, board, order):
        self.batches += 1
        self._engine.submit(board, order)


def sweep(engine, modes: int, store, **how):
    options = FleetOptions(procedure=HOW, batch=BATCH, shared=0, **how)
    return profile_fleet(engine, Work(workload="lstm"), Wanted(number=modes), store, options)


def speed_up(cluster, modes: int) -> list[tuple]:
    rows: list[tuple] = []
    for boards in (1, 2, 4):
        engine = Some(cluster.engine(), boards)
        engine.facts(engine.boards())  # processes have started, and devices are open
        with open_store() as store:
            done = sweep(engine, modes, store)
        rows.append((boards, done.measured, engine.batches, done.took_s, done.device_s))
    return rows


def answers_ms(cluster) -> np.ndarray:
    """Return how long a board takes to tell what it is, which is a task of Ray that does next to nothing."""
    engine = cluster.engine()
    board, taken = sorted(engine.boards())[0], []
    for _ in range(ANSWERS):
        started = time.perf_counter()
        engine.facts([board])
        taken.append(time.perf_counter() - started)
    return 1000 * np.array(taken)


def killed(cluster, nodes, folder: Path, modes: int) -> dict[str, float]:
    """Kill a raylet half-way; return what that cost."""
    at, lines = [], []
    victim = "board-0"
    before = state(folder / victim)

    def kill(done: int, total: int, what: str) -> None:
        if not at and done >= modes // 2 and what.endswith(victim):
            at.append(time.monotonic())
            os.kill(nodes[victim].all_processes["raylet"][0].process.pid, signal.SIGKILL)

    def say(line: str) -> None:
        lines.append((time.monotonic(), line))

    with open_store() as store:
        done = sweep(Some(cluster.engine(), 2), modes, store, progress=kill, say=say)
        profiles = store.profiles()
    gone = next(when for when, line in lines if "is gone" in line)
    return {
        "boards": 2,
        "modes": modes,
        "modes that were measured": len({p.mode for p in profiles}),
        "profiles of the dead board, kept": sum(p.extra[BOARD] == victim for p in profiles),
        "modes that were measured twice": len(profiles) - len({p.mode for p in profiles}),
        "modes that other boards took over": int(lines[0][1].partition("): ")[2].split()[0]),
        "time until it was noticed [s]": gone - at[0],
        "files of the dead board that are not as before": sum(
            state(folder / victim).get(path) != text for path, text in before.items()
        ),
        "all [s]": done.took_s,
    }


def state(tree: Path) -> dict[str, str]:
    """Return what a run may change on an emulated board."""
    return json.loads((tree / "emulated" / "state.json").read_text(encoding="utf-8"))


def study(folder: Path) -> dict[str, object]:
    """Compute a small study here and on two local workers; return what differs."""
    small = Settings.quick(
        seeds=1, workloads=("resnet18", "lstm", "mobilenet_v3"), counts=(10,), few=8, many=10, parts=PARTS
    )
    found, taken = [], []
    for name, compute in (("here", None), ("ray", RayCells(jobs=2))):
        started = time.monotonic()
        found.append(run_study(folder / name, small, compute=compute))
        taken.append(time.monotonic() - started)
    rows = [(one.errors, one.choices, one.costs) for one in found]
    numbers = [
        value for part in rows[0] for row in part for value in row.values() if isinstance(value, float)
    ]
    return {
        "figures": len(numbers),
        "figures that differ, to the last digit": sum(
            repr(a) != repr(b)
            for mine, theirs in zip(*rows, strict=True)
            for row, other in zip(mine, theirs, strict=True)
            for a, b in zip(row.values(), other.values(), strict=True)
        ),
        "in one process [s]": taken[0],
        "on two workers of Ray, their start included [s]": taken[1],
    }


def shown(name: str, value: object) -> tuple[str, str]:
    return name, f"{value:.1f}" if isinstance(value, float) else f"{value:,}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--modes", type=int, default=16)
    modes = parser.parse_args().modes
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        for n in range(4):
            stack.enter_context(emulated_board(folder / f"board-{n}"))
        ray_cluster, nodes = stack.enter_context(raylets(folder, 4))
        with connected(ray_cluster.address) as cluster:
            rows, answered = speed_up(cluster, modes), answers_ms(cluster)
            cost = killed(cluster, nodes, folder, modes)
    with tempfile.TemporaryDirectory() as name:
        figures = study(Path(name))
    write_result(
        "fleet_ray.md",
        "A sweep that boards share on Ray",
        "python benchmarks/fleet_ray.py",
        report(modes, rows, answered, cost, figures),
    )


def report(modes: int, rows: list[tuple], answered: np.ndarray, cost: dict, figures: dict) -> list[str]:
    """Return the lines of the result."""
    alone_s, load = rows[0][3], os.getloadavg()[0]
    shared = [
        (
            f"{boards}",
            f"{profiles}",
            f"{batches}",
            f"{took_s:.1f}",
            f"{device_s:.1f}",
            f"{alone_s / took_s:.2f}",
            f"{(boards * took_s - device_s) / batches:.2f}",
        )
        for boards, profiles, batches, took_s, device_s in rows
    ]
    head = ("boards", "profiles", "batches", "all [s]", "measuring [s]", "speed-up", "overhead a batch [s]")
    return [
        f"{machine()}, Ray {version('ray')}, {today()}. Emulated Jetson Orin Nano boards in real time, their",
        f"raylets and the driver share this machine. Its load was {load:.1f} at the end.",
        "",
        "## Speed-up and overhead",
        "",
        f"`lstm` in {modes} modes, in batches of {BATCH} at most. No mode is measured by several boards,",
        "so each sweep measures as much. The overhead of a batch is what it takes besides measuring: the",
        "task, setting and restoring clocks, and at the end the wait for the last board.",
        "",
        *table(head, shared, words=0),
        "",
        f"A task that only asks a board what it is takes {np.median(answered):.1f} ms (median of {ANSWERS};",
        f"the slowest {answered.max():.0f} ms).",
        "",
        "## A killed raylet",
        "",
        "A raylet is killed (SIGKILL) half-way through a sweep on two boards. The head looks after its nodes",
        "every second here. With Ray's own settings, it takes about half a minute to notice.",
        "",
        *table(("", "number"), [shown(*item) for item in cost.items()], words=1),
        "",
        "## The same figures",
        "",
        "`reproduce` on a small study, in one process and with `--ray local --jobs 2`:",
        "",
        *table(("", "number"), [shown(*item) for item in figures.items()], words=1),
    ]


if __name__ == "__main__":
    main()
