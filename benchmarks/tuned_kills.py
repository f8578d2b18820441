"""Kill trainings that are tuned at random moments, and look at the board and the database.

    python benchmarks/tuned_kills.py [--kills 200] [--board sim tree] [--seed 0] [--out tuned_kills.md]

A process trains and is tuned, each trial kept in a database at once. It is killed; most kills are SIGKILL,
the others SIGTERM, SIGINT and SIGHUP. The next process restores what was left behind, recalls the trials and
goes on. After each kill the board has to be as it was found, and every trial that the process was told of has
to be in the database. A training that has come to its end begins anew with an empty database.

Ends with 1 if that was not so even once.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # processes are forked, so there must be no threads

import argparse
import math
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from _harness import machine, table, today, write_result
from kills import BOARDS, SIGNALS, TITLES, Board, fork, kill

import powertrain as pt
from powertrain.dataset import open_store
from powertrain.profiling import Procedure

QUICK = Procedure(
    stabilise_s=0.0,
    stabilise_limit_s=0.0,
    time_tolerance=math.inf,
    power_tolerance=math.inf,
    drift_tolerance=math.inf,
    most_minibatches=5,
)
MINIBATCHES = 3000
LONGEST_S = {"sim": 0.6, "tree": 6.0}
"""Kills come within this time after a process has begun."""


class Training:
    """A training of which one process after the other is killed."""

    def __init__(self, board: Board, folder: Path) -> None:
        self.board, self.folder = board, folder
        self.told = folder / "told"

    @property
    def database(self) -> Path:
        return self.folder / "p.db"

    def begin_anew(self) -> None:
        for path in (self.database, self.told):
            path.unlink(missing_ok=True)

    def run(self, started: Callable[[], None]) -> None:
        """Train to the end, in the process that is killed."""
        device = self.board.open()
        job = device.job("lstm")
        with self.told.open("a", buffering=1) as told:

            def say(news) -> None:
                if news.kind == "trial":
                    told.write(f"{news}\n")

            how = {"max_power_w": 25.0, "trials": 8, "procedure": QUICK, "store": self.database, "say": say}
            with pt.tune(device=device, **how):
                started()
                for _ in pt.measured(range(MINIBATCHES)):
                    job.step()

    def trials_told(self) -> int:
        return len(self.told.read_text().splitlines()) if self.told.exists() else 0

    def trials_kept(self) -> int:
        if not self.database.exists():
            return 0
        with open_store(self.database) as store:
            return len(store.profiles())


def run(name: str, *, kills: int, seed: int) -> tuple[list[list[str]], list[str]]:
    """Kill so many times; return a row for each signal, and what was not as it should be."""
    folder = Path(tempfile.mkdtemp(prefix="powertrain-tuned-kills-"))
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    board, chance = BOARDS[name](folder), random.Random(seed)
    training, seen, wrong = Training(board, folder), dict[str, Counter[str]](), list[str]()
    try:
        first = board.open()
        with first.hold(first.space[0]):
            pass
        before = board.state()
        for turn in range(kills):
            pid = fork(training.run)
            time.sleep(chance.uniform(0, LONGEST_S[name]))
            number = chance.choice(SIGNALS)
            kill(pid, number)
            _, status = os.waitpid(pid, 0)
            finished = os.waitstatus_to_exitcode(status) == 0 and number == signal.SIGKILL
            counts = seen.setdefault(signal.Signals(number).name, Counter())
            counts["kills"] += 1
            counts["changed"] += board.state() != before
            board.open().restore()
            counts["other"] += (after := board.state()) != before
            counts["lost"] += max(training.trials_told() - training.trials_kept(), 0)
            counts["trials"] = max(counts["trials"], training.trials_kept())
            if after != before:
                wrong.append(f"kill {turn} ({signal.Signals(number).name}): {before} became {after}")
                break  # what follows would be compared with a board that is not as it was
            if finished:
                counts["finished"] += 1
                training.begin_anew()
    finally:
        board.close()
        shutil.rmtree(folder, ignore_errors=True)
    columns = ("kills", "changed", "other", "lost", "finished")
    rows = [[who, *(str(counts[c]) for c in columns)] for who, counts in sorted(seen.items())]
    rows.append(["all", *(str(sum(counts[c] for counts in seen.values())) for c in columns)])
    lost = sum(counts["lost"] for counts in seen.values())
    return rows, [*wrong, *([f"{lost} trials were lost"] if lost else [])]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--board", choices=BOARDS, nargs="+", default=["sim", "tree"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="write a page of this name to benchmarks/results")
    given = parser.parse_args()
    lines, failed = [f"{machine()}; {today()}.", ""], False
    head = [
        *("killed by", "kills", "board changed at that moment", "board not as before in the end"),
        *("trials lost", "trainings that had ended before the kill"),
    ]
    for name in given.board:
        rows, wrong = run(name, kills=given.kills, seed=given.seed)
        lines += [f"## {TITLES[name]}", "", *table(head, rows), *wrong, ""]
        failed = failed or bool(wrong)
    print("\n".join(lines))
    if given.out:
        command = f"python {' '.join(sys.argv)}"
        write_result(given.out, "Tuned trainings killed at random moments", command, lines)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
