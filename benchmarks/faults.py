"""Let every read, write and call of every back-end fail in turn, in every way that its interface can.

    python benchmarks/faults.py [--share 1.0] [--seed 0] [--only cpu nvml orin-agx@jp6 ...] [--minutes M]
        [--keep COUNTS.json]

A device stands on a made-up processor, a made-up GPU's library or an emulated board. It is opened once to see
what it reads, writes and calls. Then, for each of these and each kind of fault (errors of the kernel or of
the library, a call that never comes back and is given up, nothing, garbage, values of a wrong type; from the
start, and once it is open), it is opened anew, asked everything, and each knob is held at both ends.

Ends with 1 if an exception outside PowerTrain's tree of errors came up, or if a knob of a board or a
processor was offered that could not be held. `--share` takes a part of the faults at random: the whole takes
hours. All back-ends take turns, each through its faults in one random order, so a run that `--minutes` stops
has tried as many of each. With `--keep`, the same command goes on from there.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import json
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _harness import machine, table, today, write_result

from powertrain.devices import AbstractLiveDevice, Journal, VirtualClock
from powertrain.devices.cpu import CpuDevice
from powertrain.devices.jetson import JetsonDevice
from powertrain.devices.nvml import NvmlDevice
from powertrain.testing import (
    Fault,
    FaultyLibrary,
    FaultySysfs,
    MadeUpNvml,
    MadeUpProcessor,
    Outcome,
    faults_of_files,
    faults_of_library,
    try_fault,
)
from powertrain.virtual.emulated import EMULATED, EmulatedSysfs

Between = FaultySysfs | FaultyLibrary
MEMORY = Path("/dev/shm")
"""Journals reach the disk (fsync), which would take most of the time: they are kept in memory where it can
be."""


MEANING = """\
Outside the tree: an exception that is none of PowerTrain's errors. Not opened: the board does not say what it
is, or the library is lost; one line tells it. Offered, not held: a clock of a GPU whose driver refuses every
lock as it refuses an impossible one. To lock it as a trial would undo what somebody else has locked. The
error names the function, and the option `without=KNOB` leaves the knob out. Boards and processors are tried
once after each boot.
"""


def stand_in(
    kind: str, fault: Fault | None, folder: Path
) -> tuple[Between, Callable[[], AbstractLiveDevice]]:
    """Return what a fault is put into, and what opens a device on it."""
    journal = Journal(folder)
    if kind == "cpu":
        clock = VirtualClock(1.0)
        files = FaultySysfs(MadeUpProcessor(clock.now_s), fault)
        return files, lambda: CpuDevice("cpu_cores=1", sysfs=files, clock=clock, journal=journal)
    if kind == "nvml":
        clock = VirtualClock(1.0)
        library = FaultyLibrary(MadeUpNvml(clock.now_s), fault)
        files = FaultySysfs(MadeUpProcessor(clock.now_s))
        return library, lambda: NvmlDevice(
            0, "cpu_cores=1", nvml=library, sysfs=files, euid=lambda: 0, clock=clock, journal=journal
        )
    board = EmulatedSysfs(kind, clock=VirtualClock())
    files = FaultySysfs(board, fault)
    return files, lambda: JetsonDevice(
        sysfs=files,
        clock=board.clock,
        journal=journal,
        jobs=lambda workload, _: board.job(workload),
        name=board.title,
        simulated=True,
    )


def trial(kind: str, fault: Fault | None) -> tuple[Between, Outcome]:
    """Try one fault, or none."""
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        between, opens = stand_in(kind, fault, folder)

        def start() -> None:
            between.on = fault is not None

        return between, try_fault(opens, start)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def all_faults(between: Between) -> list[Fault]:
    """Return every fault of what a device was seen to use."""
    return list(faults_of_files(between) if isinstance(between, FaultySysfs) else faults_of_library(between))


NAMES = ("all", "tried", "outside", "closed", "refused")
"""What is counted of each back-end, in the order of the columns."""
TURN = 100
"""Faults of one back-end that are tried before the next has its turn."""


def ordered(kind: str, *, share: float, seed: int) -> tuple[list[Fault], int]:
    """Return the faults of one back-end that are to be tried in their order, and how many there are."""
    between, outcome = trial(kind, None)
    assert outcome.opened, outcome
    assert not outcome.outside, outcome
    faults = all_faults(between)
    return random.Random(f"{seed} {kind}").sample(faults, max(round(share * len(faults)), 1)), len(faults)


def count(kind: str, fault: Fault, counts: dict[str, int]) -> None:
    """Try a fault of a back-end, and add what became of it."""
    _, outcome = trial(kind, fault)
    counts["tried"] += 1
    counts["closed"] += not outcome.opened
    if outcome.outside:
        counts["outside"] += 1
        print(f"{kind}: {fault}: outside the tree: {outcome.outside}", file=sys.stderr, flush=True)
    if outcome.refused and not fault.late:
        counts["refused"] += 1
        print(f"{kind}: {fault}: offered and not held: {outcome.refused}", file=sys.stderr, flush=True)


def tried(
    kinds: list[str], *, share: float, seed: int, minutes: float, keep: Path | None
) -> dict[str, dict[str, int]]:
    """Try the faults of all back-ends in turn; return what was counted of each."""
    end_s = time.monotonic() + 60 * minutes
    told = json.loads(keep.read_text()) if keep is not None and keep.exists() else {}
    left: dict[str, list[Fault]] = {}
    for kind in kinds:
        faults, there_are = ordered(kind, share=share, seed=seed)
        counts = told.setdefault(kind, dict.fromkeys(NAMES, 0) | {"all": there_are})
        left[kind] = faults[counts["tried"] :]
    while any(left.values()) and time.monotonic() < end_s:
        for kind in (kind for kind in kinds if left[kind] and time.monotonic() < end_s):
            for fault in left[kind][:TURN]:
                count(kind, fault, told[kind])
            del left[kind][:TURN]
            if keep is not None:
                keep.write_text(json.dumps(told))
    return {kind: told[kind] for kind in kinds}


def lines_of(rows: list[tuple[object, ...]]) -> list[str]:
    """Return the page: a table, and what its columns mean."""
    head = ("back-end", "faults there are", "tried", "outside the tree", "not opened", "offered, not held")
    return [
        *table(head, [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]),
        "",
        *MEANING.splitlines(),
        "",
        f"{machine()}, {today()}.",
    ]


def main() -> int:
    """Try all, print a table and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=["cpu", "nvml", *EMULATED])
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # what is restored in vain is told in each of thousands of trials
    told = tried(
        options.only, share=options.share, seed=options.seed, minutes=options.minutes, keep=options.keep
    )
    total = {name: sum(counts[name] for counts in told.values()) for name in NAMES}
    rows = [(kind, *(counts[name] for name in NAMES)) for kind, counts in {**told, "all": total}.items()]
    command = f"python benchmarks/faults.py --share {options.share:g} --seed {options.seed}"
    write_result("faults.md", "Faults injected one at a time", command, lines_of(rows))
    refused = total["refused"] - told.get("nvml", {"refused": 0})["refused"]
    return int(bool(total["outside"] or refused))


if __name__ == "__main__":
    sys.exit(main())
