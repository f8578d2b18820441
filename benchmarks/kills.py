"""Kill programs that hold modes at random moments, and compare the board with what it was before.

    python benchmarks/kills.py [--kills 1000] [--helper | --both] [--board sim tree] [--seed 0]

Without `--helper` a process holds one mode after the other by its own writes and journal; it is killed, and
the next one restores what was left behind. With it, an unprivileged process (if this runs as root) does so
through `powertrain-helper`, and the process, the helper or both are killed; nobody is asked to restore. Most
kills are SIGKILL, the others SIGTERM, SIGINT and SIGHUP. The board is simulated, its mode in a file (`sim`),
or emulated as a tree of the kernel's files that a process of its own keeps (`tree`).

Ends with 1 if the board was another than before even once.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # processes are forked, so there must be no threads

import argparse
import contextlib
import json
import pwd
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from _harness import machine, table, today, write_result

from powertrain.devices import AbstractLiveDevice
from powertrain.devices.remote import HelperClient
from powertrain.errors import PowerTrainError
from powertrain.helper import main as helper_main
from powertrain.opening import open_device

NOBODY = 65534
GROUP = pwd.getpwuid(NOBODY).pw_gid
"""The helper lets in whom the system knows as a member."""
SIGNALS = (*(signal.SIGKILL,) * 7, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PATIENCE_S = 20.0
SETTLED_S = 5.0
"""For an emulated board to be seen as it is: its keeper may have to wait for a busy machine."""


class Board(ABC):
    """A board outside all processes that are killed."""

    longest_s: float
    """Kills come within this time after the first mode was asked for."""
    spec: str
    helper_options: list[str]

    def open(self) -> AbstractLiveDevice:
        """Open it to be held directly."""
        device = open_device(self.spec, for_others=True)
        assert isinstance(device, AbstractLiveDevice)
        return device

    @abstractmethod
    def state(self) -> object:
        """Return all that holding a mode may change."""

    def settled(self, before: object) -> object:
        """Return the state once it is as before, or as it still is after a while."""
        until_s = time.monotonic() + SETTLED_S
        while (after := self.state()) != before and time.monotonic() < until_s:
            time.sleep(0.05)
        return after

    def close(self) -> None:
        return


class SimulatedInFile(Board):
    """A simulated board that keeps its mode in a file."""

    longest_s = 0.06

    def __init__(self, folder: Path) -> None:
        self.file = folder / "board.json"
        self.spec = f"sim:orin-agx?state={self.file}"
        self.helper_options = ["--device", self.spec]

    def state(self) -> object:
        return json.loads(self.file.read_text()) if self.file.exists() else None


class EmulatedTree(Board):
    """An emulated Jetson as a tree of the kernel's files."""

    longest_s = 1.5

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        command = [sys.executable, "-m", "powertrain.virtual.emulated", str(self.root), "orin-agx"]
        self.keeper = subprocess.Popen([*command, "--jetpack", "6"], stdout=subprocess.PIPE, text=True)
        assert self.keeper.stdout is not None
        assert self.keeper.stdout.readline() == "ready\n"
        self.spec = f"emulated:{self.root}"
        self.helper_options = ["--device", self.spec]

    def state(self) -> object:
        time.sleep(0.1)  # the keeper writes it down a moment later
        return json.loads((self.root / "emulated/state.json").read_text())

    def close(self) -> None:
        self.keeper.terminate()
        self.keeper.wait()


TITLES = {"sim": "Simulated board", "tree": "Emulated Jetson AGX Orin, JetPack 6"}
BOARDS: dict[str, Callable[[Path], Board]] = {"sim": SimulatedInFile, "tree": EmulatedTree}


def fork(work: Callable[[Callable[[], None]], None]) -> int:
    """Run `work` in a process; return its number once it has called what it is given."""
    ready, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(ready)
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            work(lambda: os.write(said, b"x") and None)
            code = 0
        except (KeyboardInterrupt, PowerTrainError):
            code = 0
        finally:
            os._exit(code)
    os.close(said)
    os.read(ready, 1)  # empty if it ended before
    os.close(ready)
    return pid


def kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Directly:
    """A process that writes itself, and a next one that restores."""

    def __init__(self, board: Board, folder: Path, chance: random.Random) -> None:
        self.board, self.chance = board, chance
        self.modes = board.open().space

    def hold_on(self, started: Callable[[], None]) -> None:
        device, chance = self.board.open(), random.Random(os.getpid())
        started()
        while True:
            with device.hold(self.modes[chance.randrange(len(self.modes))]):
                time.sleep(chance.choice((0, 0, 0.002)))

    def round(self, before: object) -> tuple[str, bool]:
        """Kill once; return who was killed and whether it had changed the board."""
        pid = fork(self.hold_on)
        time.sleep(self.chance.uniform(0, self.board.longest_s))
        number = self.chance.choice(SIGNALS)
        kill(pid, number)
        os.waitpid(pid, 0)
        changed = self.board.state() != before
        if number == signal.SIGKILL:
            self.board.open().restore()
        return f"holder, {signal.Signals(number).name}", changed

    def close(self) -> None:
        return


class ThroughHelper:
    """A process that may write nothing, and a helper that holds for it."""

    def __init__(self, board: Board, folder: Path, chance: random.Random) -> None:
        self.board, self.folder, self.chance = board, folder, chance
        self.socket = folder / "run/helper.sock"
        self.log = folder / "helper.log"
        self.pid = self.start()
        self.client = HelperClient(self.socket)
        self.modes = self.client.describe().space

    def serve(self, started: Callable[[], None]) -> None:
        del started
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 2)
        options = ["--socket", str(self.socket), "--group", str(GROUP), "--state", str(self.folder / "state")]
        own = ["--audit", str(self.folder / "audit.jsonl"), "--foreground", *self.board.helper_options]
        helper_main([*options, *own])

    def start(self) -> int:
        """Start the helper; return once it answers, having restored."""
        pid = fork_unwatched(self.serve)
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            try:
                client = HelperClient(self.socket)
                client.status()
                client.close()
                return pid
            except PowerTrainError:
                time.sleep(0.005)
        raise SystemExit(f"the helper does not start: {self.log.read_text()[-500:]}")

    def hold_on(self, started: Callable[[], None]) -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(GROUP)
            os.setuid(NOBODY)
        client, chance = HelperClient(self.socket), random.Random(os.getpid())
        started()
        while True:
            client.hold(self.modes[chance.randrange(len(self.modes))])
            time.sleep(chance.choice((0, 0, 0.002)))
            client.release()

    def round(self, before: object) -> tuple[str, bool]:
        pid = fork(self.hold_on)
        time.sleep(self.chance.uniform(0, self.board.longest_s))
        victim = self.chance.choice(("client", "client", "client", "helper", "both"))
        number = self.chance.choice(SIGNALS)
        who = f"{victim}, {signal.Signals(number).name}"
        changed = False
        if victim in ("helper", "both"):
            kill(self.pid, number)
            os.waitpid(self.pid, 0)
            changed = self.board.state() != before
        if victim != "helper":
            kill(pid, number)
            os.waitpid(pid, 0)
            changed = changed or self.board.state() != before
        if victim != "client":
            self.client.close()
            self.pid = self.start()
        if victim == "helper":
            kill(pid, signal.SIGKILL)  # it has been told that the helper vanished, or hears it now
            os.waitpid(pid, 0)
        self.wait_until_free()
        return who, changed

    def wait_until_free(self) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while self.client.status().held:
            if time.monotonic() > until_s:
                raise SystemExit("the helper still holds for a process that is dead")
            time.sleep(0.002)

    def close(self) -> None:
        self.client.close()
        kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)


def fork_unwatched(work: Callable[[Callable[[], None]], None]) -> int:
    """Fork without waiting for a word."""

    def at_once(started: Callable[[], None]) -> None:
        started()
        work(started)

    return fork(at_once)


def run(board_name: str, *, helper: bool, kills: int, seed: int) -> tuple[list[list[str]], list[str]]:
    """Kill so many times; return a row for each kind of kill, and what was another than before."""
    folder = Path(tempfile.mkdtemp(prefix="powertrain-kills-"))
    folder.chmod(0o755)
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    board = BOARDS[board_name](folder)
    ways = (ThroughHelper if helper else Directly)(board, folder, random.Random(seed))
    seen: dict[str, list[int]] = {}
    wrong: list[str] = []
    started_s = time.monotonic()
    try:
        first = board.open()
        with first.hold(first.space[0]):
            pass
        before = board.state()
        for turn in range(kills):
            who, changed = ways.round(before)
            after = board.settled(before)
            counts = seen.setdefault(who, [0, 0, 0])
            for place, one in enumerate((True, changed, after != before)):
                counts[place] += one
            if after != before:
                wrong.append(f"kill {turn} ({who}): {difference(before, after)}")
                break  # what follows would be compared with a board that is not as it was
    finally:
        ways.close()
        board.close()
        shutil.rmtree(folder, ignore_errors=True)
    rows = [[who, *map(str, counts)] for who, counts in sorted(seen.items())]
    total = [str(sum(column)) for column in zip(*seen.values(), strict=True)]
    rows.append([f"all, in {time.monotonic() - started_s:.0f} s", *total])
    return rows, wrong


def difference(before: object, after: object) -> str:
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return f"{before} became {after}"
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return "; ".join(f"{key}: {before.get(key)} became {after.get(key)}" for key in keys[:5])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--helper", action="store_true", help="through the helper alone; else directly alone")
    parser.add_argument("--both", action="store_true", help="one after the other")
    parser.add_argument("--board", choices=BOARDS, nargs="+", default=["sim"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="write a page of this name to benchmarks/results")
    given = parser.parse_args()
    lines = [f"{machine()}; {today()}.", ""]
    failed = False
    for board in given.board:
        for helper in (False, True) if given.both else (given.helper,):
            rows, wrong = run(board, helper=helper, kills=given.kills, seed=given.seed)
            head = ["killed", "kills", "board changed at that moment", "board not as before in the end"]
            title = f"{TITLES[board]}, {'through the helper' if helper else 'directly'}"
            lines += [f"## {title}", "", *table(head, rows), *wrong, ""]
            failed = failed or bool(wrong)
    print("\n".join(lines))
    if given.out:
        write_result(given.out, "Kills at random moments", f"python {' '.join(sys.argv)}", lines)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
