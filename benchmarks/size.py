"""Time and memory of the commands at a million profiles and a million modes.

    python benchmarks/size.py [--rows 1000000] [--keep FOLDER]

Each command runs in a process of its own; its peak memory is that of the process, Python and numpy
included. The profiles come from a formula: workloads that were measured in 4,368 modes each, with a time and
a power that no two rows share. `processor` is the time that the command used, which another job on the
machine hardly changes; `wall` is what the clock on the wall showed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _harness import machine, today, write_result

from powertrain.dataset import write_csv
from powertrain.opening import open_device
from powertrain.records import Coded, ManyProfiles, ProfileTable
from powertrain.space import ModeSpace
from powertrain.workflow import fit, modes_csv

MODES_EACH = 4_368
LARGE = "emulated:thor@jp7?batch_size=8,16,32&loader_workers=0,2,4"
"""A device with more modes than are predicted one by one."""


@dataclass
class Cost:
    """What a command took."""

    wall_s: float
    processor_s: float
    peak_mb: float


def run(*arguments: str) -> Cost:
    """Run a command of PowerTrain in a process of its own."""
    started_s = time.monotonic()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "powertrain", *arguments],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, used = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"powertrain {' '.join(arguments)} failed")
    return Cost(time.monotonic() - started_s, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6)


def many_profiles(rows: int) -> ManyProfiles:
    """Return profiles of as many workloads as it takes, on the modes of the paper's grid."""
    board = open_device("sim:orin-agx")
    modes = board.modes().take(np.linspace(0, board.count() - 1, MODES_EACH).astype(int))
    mode, workload = np.arange(rows) % MODES_EACH, np.arange(rows) // MODES_EACH
    settings = modes.values[mode]
    cpu_mhz, gpu_mhz = (settings[:, modes.knobs.index(k)] for k in ("cpu_mhz", "gpu_mhz"))
    noise = np.random.default_rng(0).normal(1, 0.01, (2, rows))
    return ManyProfiles(
        owners=Coded(
            [(board.name, f"workload {i:03}") for i in range(workload.max() + 1)], workload.astype(np.int32)
        ),
        knobs=modes.knobs,
        settings=settings,
        values={
            "time_ms": noise[0] * (5 + 40_000 / gpu_mhz + 20_000 / cpu_mhz) * (1 + workload / 100),
            "power_w": noise[1] * (6 + (gpu_mhz / 300) ** 2 + (cpu_mhz / 800) ** 2),
        },
    )


def file_of_modes(path: Path, rows: int) -> None:
    """Write modes of a grid that no device has, as a file."""
    steps = round(rows ** (1 / 3))
    space = ModeSpace.of(
        {
            "cpu_cores": [4, 8, 12],
            "cpu_mhz": np.linspace(115, 2201, steps).round(1),
            "gpu_mhz": np.linspace(115, 1300, steps).round(1),
            "mem_mhz": np.linspace(204, 3199, -(-rows // (3 * steps**2))).round(1),
        }
    )
    path.write_text(modes_csv(space.table()))


def predictor_of_grid(folder: Path) -> str:
    """Fit 50 profiles from a formula, in modes of the large grid; return the file of the predictor."""
    board = open_device(LARGE)
    modes = board.space.table(np.linspace(0, board.space.size - 1, 50).astype(int))
    cpu_mhz, gpu_mhz, batch_size = (modes.column(k) for k in ("cpu_mhz", "gpu_mhz", "batch_size"))
    profiles = ProfileTable(
        device=board.name,
        workload="a formula",
        modes=modes,
        time_ms=(5 + 40_000 / gpu_mhz + 20_000 / cpu_mhz) * batch_size / 8,
        power_w=6 + (gpu_mhz / 300) ** 2 + (cpu_mhz / 800) ** 2,
    )
    path = folder / "grid.ptm"
    fit(profiles).save(path)
    return str(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        rows = measured(folder, options.rows)
    load = os.getloadavg()[1]
    lines = [f"{machine()}, {today()}. Other work shared its cores: a mean load of {load:.1f}.", ""]
    lines += [
        "| command | wall s | processor s | budget s | peak MB | budget MB |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {name} | {c.wall_s:.1f} | {c.processor_s:.1f} | {most_s} | {c.peak_mb:.0f} | {most_mb} |"
        for name, c, most_s, most_mb in rows
    ]
    title = f"Size: {options.rows:,} profiles, and as many modes"
    write_result("size.md", title, "python benchmarks/size.py", lines)


def measured(folder: Path, rows: int) -> list[tuple[str, Cost, str, str]]:
    """Return each command with what it took and may take."""
    table, database, modes = folder / "given.csv", folder / "profiles.db", folder / "modes.csv"
    reference, small = str(folder / "all.ptm"), str(folder / "few.ptm")
    database.unlink(missing_ok=True)
    write_csv(many_profiles(rows), table)
    file_of_modes(modes, rows)
    db = ("--db", str(database))
    few = open_device("sim:orin-agx")
    profiles = few.measure("resnet18", few.modes().take(np.linspace(0, few.count() - 1, 50).astype(int)))
    fit(profiles).save(Path(small))
    known = "workload 000"
    return [
        ("import", run("import", str(table), *db), "20", "500"),
        ("import of the same again", run("import", str(table), *db), "", ""),
        ("export", run("export", *db, str(folder / "out.csv")), "15", "500"),
        ("report", run("report", *db, "--out", str(folder / "report.html")), "10", "500"),
        ("fit --workload", run("fit", *db, "--workload", known, "--out", reference), "4", ""),
        ("choose --modes FILE", run("choose", small, "--modes", str(modes), "--max-power", "30"), "5", ""),
        (
            "choose --device, a grid",
            run("choose", small, "--device", "sim:orin-agx", "--max-power", "30"),
            "3",
            "300",
        ),
        (
            f"choose --device, a grid of {open_device(LARGE).space.size:,}",
            run("choose", predictor_of_grid(folder), "--device", LARGE, "--max-power", "40"),
            "3",
            "300",
        ),
    ]


if __name__ == "__main__":
    main()
