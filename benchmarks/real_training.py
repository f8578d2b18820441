"""Real training on this machine's processor: writes benchmarks/results/real_training.md.

    python benchmarks/real_training.py [--seeds 10] [--repeats 3]

Everything through the command line, as a user would: profile ResNet-18 over all modes of cores, minibatch,
loading processes and arithmetic, killed with SIGKILL in the middle and started again; profile MobileNet v3
over the same modes, several times, which is the truth and tells how well a measurement repeats; then learn
MobileNet from 8 profiled modes and ResNet, for several draws of the 8, predict the rest, and measure a
choice again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _harness import machine, table, today, write_result

from powertrain.dataset import open_store
from powertrain.evaluation import mape
from powertrain.models import predictor_class
from powertrain.planning import plan_modes
from powertrain.records import ModeTable, ProfileTable
from powertrain.workflow import open_device

DEVICE = "cpu?batch_size=8,16,32&loader_workers=0,1,2&precision=fp32,bf16"
REFERENCE, TARGET, PROFILES = "resnet18-s64", "mobilenet_v3-s64", 8
METHODS = ("gp", "paper", "linear")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "powertrain", *map(str, arguments)]


def run(*arguments: object) -> dict:
    ran = subprocess.run(command(*arguments, "--json"), capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"powertrain {' '.join(map(str, arguments))} failed: {ran.stderr}")
    return json.loads(ran.stdout)


def profile(database: Path, workload: str, *more: object) -> dict:
    return run("profile", workload, "--device", DEVICE, "--db", database, "--modes", "grid", *more)["runs"][0]


def rows(database: Path) -> list[tuple[int, str]]:
    with sqlite3.connect(database) as connection:
        return connection.execute("SELECT id, mode FROM profile ORDER BY id").fetchall()


def killed_and_resumed(database: Path, n_modes: int) -> tuple[int, dict]:
    """Profile the reference, kill that in the middle, and go on; return how many modes had been finished."""
    arguments = command("profile", REFERENCE, "--device", DEVICE, "--db", database, "--modes", "grid")
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL) as child:
        while not (database.exists() and len(rows(database)) >= n_modes // 2):
            time.sleep(0.2)
        child.send_signal(signal.SIGKILL)
    before = rows(database)
    resumed = profile(database, REFERENCE)
    after = rows(database)
    if after[: len(before)] != before or len({mode for _, mode in after}) != len(after):
        raise SystemExit("a finished mode was measured again")
    return len(before), resumed


def tables(database: Path, workload: str) -> ProfileTable:
    with open_store(database) as store:
        return ProfileTable.of(store.profiles(workload=workload)).averaged()


def in_order(profiles: ProfileTable, modes: ModeTable) -> np.ndarray:
    """Return the times [ms] of `modes`, NaN where a profile was flagged."""
    known = dict(zip(profiles.modes, profiles.time_ms, strict=True))
    return np.array([known.get(mode, np.nan) for mode in modes])


def errors(
    reference: ProfileTable, first: ProfileTable, truth_ms: np.ndarray, modes: ModeTable, seeds: int
) -> dict[str, list[float]]:
    """Return for each method the errors [%] over the modes not profiled, one for each draw."""
    found: dict[str, list[float]] = {}
    for method in METHODS:
        fitted = predictor_class(method).fit(reference)
        for seed in range(seeds):
            rows = plan_modes(first.modes, PROFILES, seed=seed)
            learnt = predictor_class(method).transfer([fitted], first.take(rows), seed=seed)
            drawn = {first.modes[int(row)] for row in rows}
            rest = np.array([mode not in drawn for mode in modes]) & np.isfinite(truth_ms)
            said_ms = learnt.predict(modes.take(rest)).time_ms
            found.setdefault(method, []).append(mape(truth_ms[rest], said_ms))
    return found


def chosen(folder: Path, limit_ms: float) -> dict:
    """Learn, choose under a limit on time, and measure what was chosen again, by the command line alone."""
    base, modes = folder / "p.db", folder / "eight.csv"
    run("modes", DEVICE, "--sample", PROFILES, "--csv", modes)
    run("profile", TARGET, "--device", DEVICE, "--db", folder / "eight.db", "--modes", modes)
    run("fit", "--db", base, "--workload", REFERENCE, "--out", folder / "reference.ptm")
    run(
        *("transfer", "--db", folder / "eight.db", "--workload", TARGET),
        *("--reference", folder / "reference.ptm", "--out", folder / "target.ptm"),
    )
    said = run("choose", folder / "target.ptm", "--device", DEVICE, "--max-time", f"{limit_ms:.1f}")["choice"]
    header = ",".join(said["mode"])
    (folder / "one.csv").write_text(f"{header}\n{','.join(str(v) for v in said['mode'].values())}\n")
    again = folder / "again.db"
    run("profile", TARGET, "--device", DEVICE, "--db", again, "--modes", folder / "one.csv")
    return {**said, "measured_ms": float(tables(again, TARGET).time_ms[0])}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", default="real_training.md")
    options = parser.parse_args()
    os.environ.setdefault("XDG_STATE_HOME", tempfile.mkdtemp())
    folder = Path(tempfile.mkdtemp())
    modes = open_device(DEVICE).modes()
    finished, resumed = killed_and_resumed(folder / "p.db", len(modes))
    reference = tables(folder / "p.db", REFERENCE)
    repeats: list[ProfileTable] = []
    minutes: list[float] = []
    for repeat in range(options.repeats):
        database = folder / f"target{repeat}.db"
        minutes.append(profile(database, TARGET, "--seed", repeat)["device_s"] / 60)
        repeats.append(tables(database, TARGET))
    times_ms = np.array([in_order(one, modes) for one in repeats])
    truth_ms = np.nanmean(times_ms, axis=0)
    others_ms = [np.nanmean(np.delete(times_ms, k, axis=0), axis=0) for k in range(options.repeats)]
    spread = [mape(o, t) for o, t in zip(others_ms, times_ms, strict=True) if np.isfinite(t).all()]
    found = errors(reference, repeats[0], truth_ms, modes, options.seeds)
    limit_ms = float(np.nanquantile(truth_ms, 0.3))
    choice = chosen(folder, limit_ms)
    body: list[Sequence[str]] = [
        (method, f"{np.mean(e):.1f}", f"{np.std(e):.1f}", f"{np.max(e):.1f}") for method, e in found.items()
    ]
    mode = " ".join(f"{knob}={value:g}" for knob, value in choice["mode"].items())
    said, again_ms = choice["time_ms"], choice["measured_ms"]
    lines = [
        f"{machine()}, {today()}. Device `{DEVICE}`: {len(modes)} modes. Measured, not simulated;",
        "this machine has no power sensor, so times alone. Times are of 16 samples, whatever the minibatch.",
        "",
        f"`{REFERENCE}` over all modes: killed (SIGKILL) after {finished} modes and started again, which",
        f"measured {resumed['measured']} and none a second time. `{TARGET}` over all modes:",
        f"{np.mean(minutes):.1f} min; times from {np.nanmin(truth_ms):.0f} to {np.nanmax(truth_ms):.0f} ms.",
        "",
        f"Time of `{TARGET}` from {PROFILES} profiled modes and `{REFERENCE}`, error over the modes not",
        f"profiled, {options.seeds} draws of the {PROFILES}:",
        "",
        *table(("method", "time MAPE %", "sd over draws", "worst draw"), body),
        "",
        f"The floor: one measurement differs from the mean of the {options.repeats - 1} others by",
        f"{np.mean(spread):.1f} % in the mean over modes.",
        "",
        f"Chosen from {PROFILES} fresh profiles under a limit of {limit_ms:.1f} ms (`choose --max-time`):",
        f"`{mode}`, predicted {said['value']:.1f} ms ({said['low']:.1f} to {said['high']:.1f}), measured",
        f"again {again_ms:.1f} ms ({100 * (said['value'] / again_ms - 1):+.1f} %).",
    ]
    write_result(options.out, "Real training on a processor", "python benchmarks/real_training.py", lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
