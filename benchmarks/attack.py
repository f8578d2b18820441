"""Attack the helper as its neighbours could, and send signals to trainings that fork.

    python benchmarks/attack.py [--signals 1000] [--minutes 30] [--attacks NAME ...] [--out attack.md]

Attacks come from members of the helper's group, from a former member, from users whom the system does not
know and from any local user. They exist in a mount namespace of this program's own, so only root can run this
part; others skip it. The board is emulated, as a tree of the kernel's files.

Signals go to trainings whose minibatches come from a pool that is forked or spawned, or from a DataLoader, on
the device `cpu` (its clock's files are in a folder) and on an emulated board, one lane for each. A training
gets SIGINT, SIGTERM, SIGHUP or SIGKILL at a random moment, alone or with all of its processes.

Ends with 1 if anything was not as it should be.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # processes are forked

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from _harness import machine, table, today, write_result
from _neighbours import ATTACKS, Row, with_throwaway_users
from _signalled import plain
from kills import EmulatedTree

HERE = Path(__file__).parent
LANES = [(device, workers) for device in ("cpu", "tree") for workers in ("fork", "spawn", "loader")]
TITLES = {"cpu": "cpu", "tree": "emulated Jetson AGX Orin"}
WORKERS = {"fork": "forked pool", "spawn": "spawned pool", "loader": "DataLoader"}
COLUMNS = {
    "signals": "signals",
    "ended before": "training had ended",
    "changed": "board changed at that moment",
    "not as before": "board not as before in the end",
    "lost": "profiles lost",
    "second Ctrl-C": "ended by a second Ctrl-C",
    "hangs": "hangs",
    "other exit codes": "other exit codes",
}
WRONG = ("not as before", "lost", "hangs", "other exit codes")


def attacked(names: list[str], folder: Path) -> list[Row]:
    """Make each attack on a board of its own."""
    rows: list[Row] = []
    for name in names:
        own = folder / name
        own.mkdir()
        os.environ["XDG_STATE_HOME"] = str(own / "state")
        board = EmulatedTree(own)
        try:
            found = ATTACKS[name](own, board)
        finally:
            board.close()
        for row in found:
            print(*row, sep="; ", file=sys.stderr)
        rows += found
    return rows


def start_lanes(
    signals: int, lanes: list[tuple[str, str]], *, seed: int, minutes: float
) -> dict[str, subprocess.Popen[str]]:
    """Begin to send so many signals in all."""
    started: dict[str, subprocess.Popen[str]] = {}
    for place, (device, workers) in enumerate(lanes):
        share = str(signals // len(lanes) + (place < signals % len(lanes)))
        options = [device, workers, share, str(seed + place), str(minutes)]
        command = [sys.executable, str(HERE / "_signalled.py"), *options]
        name = f"{TITLES[device]}, {WORKERS[workers]}"
        started[name] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return started


def ended_lanes(lanes: dict[str, subprocess.Popen[str]]) -> tuple[dict[str, Counter[str]], list[str]]:
    """Return what was seen in each lane and of each kind of signal, and what was wrong."""
    seen, wrong = dict[str, Counter[str]](), list[str]()
    for name, process in lanes.items():
        out, _ = process.communicate()
        if process.returncode:
            raise SystemExit(f"the lane {name} ended with {process.returncode}")
        told = json.loads(out)
        for kind, counts in told["seen"].items():
            for row in (name, kind):
                seen.setdefault(row, Counter()).update(counts)
        wrong += [f"{name}, {what}" for what in told["wrong"]]
    return seen, wrong


def page_of_signals(seen: dict[str, Counter[str]], wrong: list[str], load: float) -> list[str]:
    lanes = [name for name in seen if ", " in name]
    all_of_them = sum((seen[name] for name in lanes), Counter[str]())
    names = [*lanes, *sorted(name for name in seen if name not in lanes)]
    rows = [[name, *(str(seen[name][column]) for column in COLUMNS)] for name in names]
    rows.append(["all", *(str(all_of_them[column]) for column in COLUMNS)])
    head = ["training or signal", *COLUMNS.values()]
    told = f"{all_of_them['signals']:,} signals; load at the end, other work included: {load:.1f}."
    return ["## Signals and forks", "", told, "", *table(head, rows), "", *wrong, ""]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--attacks", nargs="*", choices=ATTACKS, default=list(ATTACKS))
    parser.add_argument("--signals", type=int, default=1000)
    parser.add_argument(
        "--lanes", nargs="+", choices=["-".join(lane) for lane in LANES], help="all if left out"
    )
    parser.add_argument("--minutes", type=float, default=1e9, help="send no more signals after this time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="write a page of this name to benchmarks/results")
    parser.add_argument("--plain", type=int, default=20, help="trainings by Python alone, to compare hangs")
    given = parser.parse_args()
    lines, failed = [f"{machine()}; {today()}.", ""], False
    with tempfile.TemporaryDirectory(prefix="powertrain-attack-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        why_not = with_throwaway_users(folder) if given.attacks else "none was asked for"
        lanes = [lane for lane in LANES if given.lanes is None or "-".join(lane) in given.lanes]
        how = {"seed": given.seed, "minutes": given.minutes}
        running = start_lanes(given.signals, lanes, **how) if given.signals else {}
        rows = [] if why_not else attacked(given.attacks, folder)
    failed = not all(row[3] for row in rows)
    shown = [[*row[:3], "yes" if row[3] else "NO"] for row in rows]
    head = ["attack", "what was looked at", "found", "as it should be"]
    lines += ["## Neighbours", "", *(table(head, shown, words=4) if rows else [f"Skipped: {why_not}."]), ""]
    if running:
        seen, wrong = ended_lanes(running)
        lines += page_of_signals(seen, wrong, os.getloadavg()[0])
        failed = failed or any(counts[column] for counts in seen.values() for column in WRONG)
    if given.plain:
        hangs = plain(given.plain, given.seed)
        lines += [
            "A pool of Python's can hang if its forked workers end at the wrong moment. The same training,",
            f"run by Python alone and interrupted with its group, hung in {hangs} of {given.plain} tries.",
        ]
    print("\n".join(lines))
    if given.out:
        write_result(given.out, "Attacks", f"python {' '.join(sys.argv)}", lines)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
