"""Send signals at random moments to trainings whose minibatches come from other processes.

    python benchmarks/_signalled.py DEVICE WORKERS SIGNALS SEED [MINUTES]

`attack.py` runs it, once for each device (`cpu`, `tree`) and kind of workers (`fork`, `spawn`, `loader`).
A training under `powertrain profile` gets a signal, alone or with all processes of its group. Then it has to
end with the exit code of that signal, the board has to be as before (after SIGKILL: once somebody restores
it, while workers that lost their parent may still be there), and every profile that was said to be in the
database has to be there. Prints a JSON object.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from _clock_files import ClockFiles
from kills import EmulatedTree, difference

from powertrain.dataset import open_store
from powertrain.devices import AbstractLiveDevice, Journal
from powertrain.devices.cpu import CpuDevice

HERE = Path(__file__).parent
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
PATIENCE_S = 45.0
"""For a training to end after a signal: `powertrain` lets a script go on for 30 s, on a busy machine."""
SETTLED_S = 5.0
"""For an emulated board to be seen as it is, on a busy machine."""
LOADED_S = 300.0
"""For PyTorch to be loaded."""


class Cpu:
    """This machine's processor, with the files of a clock in a folder."""

    spec, longest_s = "cpu", 5.0

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.files = ClockFiles(self.root)
        self.files.make()

    def open(self) -> AbstractLiveDevice:
        return CpuDevice(sysfs=self.files)

    def state(self) -> object:
        return self.files.state()

    def close(self) -> None:
        return


class Tree(EmulatedTree):
    """An emulated Jetson AGX Orin, in real time."""

    longest_s = 10.0


class Lane:
    """One training after the other, on one board."""

    def __init__(self, device: str, workers: str, seed: int, folder: Path) -> None:
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        self.board: Cpu | Tree = Cpu(folder) if device == "cpu" else Tree(folder)
        self.chance, self.workers = random.Random(seed), workers
        self.told, self.database, self.log = folder / "told", folder / "p.db", folder / "log"
        root = self.board.root if isinstance(self.board, Cpu) else Path("/")
        self.trainer = subprocess.Popen(
            [sys.executable, str(HERE / "_trainer.py"), str(self.told), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("a"),
        )
        self.said = b""
        if not self.line(LOADED_S):
            raise SystemExit(f"the trainer does not start: {self.log.read_text()}")
        self.seen: dict[str, Counter[str]] = {}
        self.wrong: list[str] = []
        first = self.board.open()
        with first.hold(first.space[0]):
            pass
        time.sleep(SETTLED_S)  # whoever keeps the files of an emulated board writes down what it is in later
        self.before = self.board.state()

    def line(self, patience_s: float) -> str:
        """Return what the trainer says next, empty if it says nothing in time."""
        assert self.trainer.stdout is not None
        until_s = time.monotonic() + patience_s
        while b"\n" not in self.said and (left_s := until_s - time.monotonic()) > 0:
            if select.select([self.trainer.stdout], [], [], left_s)[0]:
                self.said += os.read(self.trainer.stdout.fileno(), 4096)
        line, end, rest = self.said.partition(b"\n")
        self.said = rest if end else self.said
        return line.decode() if end else ""

    def once(self, turn: int) -> None:
        """Start a training, send it a signal, and look at what is left."""
        assert self.trainer.stdin is not None
        self.log.write_text("")
        spec = self.board.spec
        options = ["--device", spec, "--db", str(self.database), "--modes", "6", "--precision", "50"]
        command = ["profile", str(HERE / "_pooled.py"), *options, "--", self.workers, spec]
        self.trainer.stdin.write(json.dumps(command).encode() + b"\n")
        self.trainer.stdin.flush()
        pid = int(self.line(PATIENCE_S))
        number = self.chance.choice(SIGNALS)
        group = self.chance.random() < 0.3
        ended = self.line(self.chance.uniform(0, self.board.longest_s))
        if not ended:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(pid, number)
        code = ended or self.line(PATIENCE_S)
        kind = f"{signal.Signals(number).name}{' to the group' if group else ''}"
        counts = self.seen.setdefault(kind, Counter())
        counts["signals"] += 1
        if not code and number == signal.SIGINT:  # as somebody at the keyboard does
            counts["second Ctrl-C"] += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            code = self.line(PATIENCE_S)
        hang = code == ""
        if hang:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)  # it writes down where it is
            time.sleep(1.0)
            sys.stderr.write(self.log.read_text()[-1500:])
            self.note(turn, kind, "it did not end", counts, "hangs")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            code = self.line(PATIENCE_S)
        elif int(code) == 0:
            counts["ended before"] += 1
        elif abs(int(code)) not in (number, 128 + number):  # a shell shows both as the latter
            self.note(turn, kind, f"exit code {code}", counts, "other exit codes")
        self.look(turn, kind, counts, killed=number == signal.SIGKILL or hang)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # workers whose parent was killed may wait for work for ever
        if code == "0":
            for path in (self.database, self.told):
                path.unlink(missing_ok=True)

    def look(self, turn: int, kind: str, counts: Counter[str], *, killed: bool) -> None:
        counts["changed"] += self.board.state() != self.before
        if killed:
            self.board.open().restore()
        until_s = time.monotonic() + SETTLED_S
        while self.board.state() != self.before and time.monotonic() < until_s:
            time.sleep(0.05)
        left = Journal().devices()
        if (after := self.board.state()) != self.before or left:
            what = f"{difference(self.before, after)}; journal {left}"
            self.note(turn, kind, what, counts, "not as before")
        told = len(self.told.read_text().splitlines()) if self.told.exists() else 0
        kept = 0
        if self.database.exists():
            with open_store(self.database) as store:
                kept = len(store.profiles())
        if kept < told:
            self.note(turn, kind, f"{told} profiles were told of, {kept} are kept", counts, "lost")

    def note(self, turn: int, kind: str, what: str, counts: Counter[str], column: str) -> None:
        counts[column] += 1
        self.wrong.append(f"{turn}, {kind}: {what}")
        sys.stderr.write(f"{self.board.spec}, {self.workers}, {self.wrong[-1]}\n")

    def close(self) -> None:
        assert self.trainer.stdin is not None
        self.trainer.stdin.close()
        self.trainer.wait(PATIENCE_S)
        self.board.close()


def plain(tries: int, seed: int) -> int:
    """Send SIGINT to all processes of the training with a forked pool, run by Python alone; count hangs."""
    chance, hangs = random.Random(seed), 0
    command = [sys.executable, str(HERE / "_pooled.py"), "fork", "cpu"]
    for _ in range(tries):
        training = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(3.0 + chance.uniform(0, 2.0))
        os.killpg(training.pid, signal.SIGINT)
        try:
            training.wait(PATIENCE_S / 3)
        except subprocess.TimeoutExpired:
            hangs += 1
        with contextlib.suppress(ProcessLookupError):
            os.killpg(training.pid, signal.SIGKILL)
        training.wait()
    return hangs


def main(device: str, workers: str, signals: str, seed: str, minutes: str = "1e9") -> None:
    with tempfile.TemporaryDirectory(prefix="powertrain-signals-", ignore_cleanup_errors=True) as name:
        lane = Lane(device, workers, int(seed), Path(name))
        until_s = time.monotonic() + 60 * float(minutes)
        for turn in range(int(signals)):
            if time.monotonic() > until_s:
                break
            lane.once(turn)
            if lane.board.state() != lane.before:
                break  # what follows would be compared with a board that is not as it was
        lane.close()
        print(json.dumps({"seen": lane.seen, "wrong": lane.wrong}))


if __name__ == "__main__":
    main(*sys.argv[1:])
