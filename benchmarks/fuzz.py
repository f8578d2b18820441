"""Throw malformed requests at the helper, malformed files at a Jetson's device, damaged ones at predictors.

    python benchmarks/fuzz.py [--requests 100000] [--connections 2000] [--boards 20000] [--predictors 10000]
        [--seed 0]

Requests go to the function that answers them, and what the board is in is looked at after each: it may have
changed only by a request that names, to the last bit, a mode of the board's own tables. Connections go to a
helper in a process of its own, cut, half-closed, stalled and with many requests at once, and it must answer a
well-formed request afterwards, with the board as before. Boards are emulated Jetsons of all kinds, some of
whose files and folders show something else than they should: whatever that is, opening the device, holding
a mode, reading sensors and restoring must end in an error of PowerTrain's or well, soon, and write nothing
but clocks and switches, to files that set clocks and switches.

Predictor files are damaged and written with right checksums: each must be refused with one line or predict,
within two seconds and 200 MB.

Ends with an error at the first crash, hang, or write of another kind.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import math
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from _damaged import fuzz_predictors
from _harness import machine, table, today, write_result

from powertrain.devices import Journal, VirtualClock
from powertrain.devices._sysfs import Sysfs
from powertrain.devices.jetson import JetsonDevice
from powertrain.devices.remote import HelperClient
from powertrain.devices.remote._peers import Peer
from powertrain.devices.remote._protocol import ERRORS, LARGEST_REPLY, WORDS
from powertrain.errors import PowerTrainError
from powertrain.helper._audit import Audit
from powertrain.helper._service import Service
from powertrain.opening import open_device
from powertrain.virtual import SimulatedBoard
from powertrain.virtual.emulated import EMULATED, EmulatedSysfs

SLOWEST_S = 1.0
"""An answer that takes longer is called a hang; a hold of a simulated board takes milliseconds."""
ODD_TEXTS = (
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        "1e-400",
        "9" * 5000,
        "0x10",
        "1_000",
        "true",
        "null",
    ),
    *(
        '"12"',
        "[]",
        "{}",
        "-0",
        "0.1e1",
        "1e5",
        '"\\ud800"',
        '"../../etc/passwd"',
        "[" * 5000,
        '{"a":' * 2000,
    ),
)


class Requests:
    """An endless source of requests, most of them wrong in one way or many."""

    def __init__(self, board: SimulatedBoard, chance: random.Random) -> None:
        self.board, self.chance = board, chance
        self.kinds: tuple[Callable[[], bytes], ...] = (
            self.noise,
            self.any_json,
            self.changed,
            self.changed,
            self.off_the_tables,
            self.odd_number,
            self.well_formed,
        )

    def __call__(self) -> tuple[str, bytes]:
        kind = self.chance.choice(self.kinds)
        return kind.__name__.replace("_", " "), kind().replace(b"\n", b" ")

    def noise(self) -> bytes:
        return self.chance.randbytes(int(10 ** self.chance.uniform(0, self.chance.choice((2, 3, 4.9)))))

    def any_json(self) -> bytes:
        return json.dumps(self.value(self.chance.randrange(1, 8))).encode()

    def value(self, depth: int) -> object:
        chance = self.chance
        words = (*WORDS, "v", "do", "mode", "knobs", *self.board.space.names, "", "\0", "é", "x" * 70)
        if depth == 0 or chance.random() < 0.3:
            leaves = (chance.choice(words), chance.random(), 1, True, None, math.inf, math.nan, 10**40, -1)
            return chance.choice(leaves)
        inner = [self.value(depth - 1) for _ in range(chance.randrange(4))]
        return inner if chance.random() < 0.4 else {chance.choice(words): one for one in inner}

    def well_formed(self) -> bytes:
        content: dict[str, object] = {"v": 1, "do": self.chance.choice(WORDS)}
        if content["do"] == "hold":
            content["mode"] = dict(self.mode())
        return json.dumps(content).encode()

    def mode(self) -> dict[str, float]:
        return dict(self.board.space[self.chance.randrange(len(self.board.space))])

    def changed(self) -> bytes:
        """Return a well-formed request with a few bytes changed, lost, doubled or moved."""
        chance, text = self.chance, bytearray(self.well_formed())
        for _ in range(chance.choice((1, 1, 2, 5, 20))):
            place = chance.randrange(len(text) + 1)
            length = chance.choice((1, 1, 2, 8, 30))
            how = chance.randrange(4)
            if how == 0 and place < len(text):
                text[place] = chance.randrange(256)
            elif how == 1:
                del text[place : place + length]
            elif how == 2:
                text[place:place] = text[place : place + length]
            else:
                text[place:place] = chance.choice(ODD_TEXTS).encode()[:length]
            text = text or bytearray(b" ")
        return bytes(text)

    def off_the_tables(self) -> bytes:
        """Return a hold of a mode that the board lacks, sometimes by the last bit of one number."""
        chance, mode = self.chance, self.mode()
        knob = chance.choice(list(mode))
        how = chance.randrange(6)
        if how == 0:
            del mode[knob]
        elif how == 1:
            mode[chance.choice(("warp", "fan_pwm", "../cpu_mhz", knob.upper(), ""))] = 1.0
        elif how == 2:
            mode[knob] = math.nextafter(mode[knob], chance.choice((-math.inf, math.inf)))
        elif how == 3:
            mode[knob] = -mode[knob]
        elif how == 4:
            mode[knob] += chance.choice((1e-9, 0.5, 1e9, 1e300))
        else:
            mode = {f"{knob}{i}": 1.0 for i in range(chance.choice((1, 5, 33, 500)))}
        return json.dumps({"v": 1, "do": "hold", "mode": mode}).encode()

    def odd_number(self) -> bytes:
        mode = self.mode()
        knob = self.chance.choice(list(mode))
        fields = [f'"{k}": {self.chance.choice(ODD_TEXTS) if k == knob else v}' for k, v in mode.items()]
        if self.chance.random() < 0.3:
            fields.append(f'"{knob}": {mode[knob]}')  # given twice
        return f'{{"v": 1, "do": "hold", "mode": {{{", ".join(fields)}}}}}'.encode()


def asked_for(line: bytes) -> object:
    """Return the mode that a request asks for, as plainly as Python's own parser reads it."""
    with contextlib.suppress(ValueError, RecursionError, AttributeError):
        return json.loads(line).get("mode")
    return None


def fuzz_requests(count: int, seed: int) -> list[list[str]]:
    """Answer so many requests; return a row for each kind with how many were granted."""
    board = open_device("sim:orin-agx")
    assert isinstance(board, SimulatedBoard)
    allowed = {tuple(sorted(mode.items())) for mode in board.space}
    chance = random.Random(seed)
    source = Requests(board, chance)
    with tempfile.TemporaryFile("w") as log:
        service = Service(board, audit=Audit(None, stream=log))
        peers = [Peer(number=n, pid=1000 + n, uid=1000, gid=1000) for n in range(3)]
        seen, granted, refused = Counter[str](), Counter[str](), Counter[str]()
        slowest_s = 0.0
        for _ in range(count):
            kind, line = source()
            peer, before = chance.choice(peers), board.mode
            started_s = time.perf_counter()
            answer = service.handle(peer, line)
            slowest_s = max(slowest_s, time.perf_counter() - started_s)
            ok = check_answer(answer, line)
            if board.mode != before and not (ok and free_or_asked(board, line, allowed)):
                raise SystemExit(f"the board went from {before} to {board.mode} by {line!r}")
            seen[kind] += 1
            granted[kind] += ok
            refused[kind] += not ok
            if chance.random() < 0.02:
                service.lose(peer, "it went")
        service.close("the end")
    if slowest_s > SLOWEST_S:
        raise SystemExit(f"an answer took {slowest_s:.2f} s")
    rows = [[kind, f"{seen[kind]:,}", f"{granted[kind]:,}", f"{refused[kind]:,}"] for kind in sorted(seen)]
    rows.append(
        [
            f"all; slowest {1e3 * slowest_s:.1f} ms",
            f"{count:,}",
            f"{granted.total():,}",
            f"{refused.total():,}",
        ]
    )
    return rows


def check_answer(answer: bytes, line: bytes) -> bool:
    """Return whether a request was granted; the answer must be one of those that the protocol has."""
    if not answer.endswith(b"\n") or answer.count(b"\n") != 1 or len(answer) > LARGEST_REPLY:
        raise SystemExit(f"{line!r} was answered with {answer[:200]!r}")
    content = json.loads(answer)
    if not content["ok"] and (content["error"] not in ERRORS or not content["message"]):
        raise SystemExit(f"{line!r} was answered with {answer[:200]!r}")
    if "the helper failed" in content.get("message", ""):
        raise SystemExit(f"{line!r} made the helper fail: {content['message']}")
    return content["ok"]


def free_or_asked(board: SimulatedBoard, line: bytes, allowed: set[tuple[tuple[str, float], ...]]) -> bool:
    """Return whether the board is in the mode that was asked for, or restored."""
    mode = asked_for(line)
    if isinstance(mode, dict):
        return dict(board.mode) == mode and tuple(sorted(mode.items())) in allowed
    return board.mode in board.stock_modes().values()


def fuzz_connections(count: int, seed: int) -> float:
    """Mistreat a helper's socket; return how long a well-formed request took at most in between [s]."""
    chance = random.Random(seed)
    board = open_device("sim:orin-agx")
    assert isinstance(board, SimulatedBoard)
    source = Requests(board, chance)
    with tempfile.TemporaryDirectory(prefix="powertrain-fuzz-") as name:
        folder = Path(name)
        path, state = folder / "run/helper.sock", folder / "board.json"
        options = ["--device", f"sim:orin-agx?state={state}", "--socket", str(path), "--group", "0"]
        more = ["--foreground", "--state", str(folder), "--audit", str(folder / "audit.jsonl")]
        command = [sys.executable, "-I", "-m", "powertrain.helper", *options, *more]
        with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as helper:
            try:
                client = wait_for(path)
                client.hold(board.space[7])
                client.release()
                before, slowest_s = state.read_text(), 0.0
                for turn in range(count):
                    mistreat(path, source, chance)
                    if turn % 20 == 0:
                        started_s = time.perf_counter()
                        client.status()
                        slowest_s = max(slowest_s, time.perf_counter() - started_s)
                until_s = time.monotonic() + 10
                while client.status().held and time.monotonic() < until_s:
                    time.sleep(0.01)
                if helper.poll() is not None or state.read_text() != before:
                    raise SystemExit("the helper has ended, or left the board in another mode")
                return slowest_s
            finally:
                helper.send_signal(signal.SIGTERM)
                if helper.wait() != 0:
                    raise SystemExit((folder / "log").read_text()[-2000:])


def wait_for(path: Path) -> HelperClient:
    client = HelperClient(path)
    until_s = time.monotonic() + 30
    while time.monotonic() < until_s:
        with contextlib.suppress(PowerTrainError):
            client.describe()
            return client
        time.sleep(0.02)
    raise SystemExit("the helper does not start")


def mistreat(path: Path, source: Requests, chance: random.Random) -> None:
    """Connect, send something in pieces, and leave in one of several rude ways."""
    sent = b"".join(
        source()[1] + chance.choice((b"\n", b"\n", b"")) for _ in range(chance.choice((1, 1, 3, 30)))
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as own, contextlib.suppress(OSError):
        own.settimeout(chance.choice((0.0001, 0.002, 0.02)))
        own.connect(str(path))
        while sent:
            size = chance.choice((1, 7, 300, 70000))
            own.sendall(sent[:size])
            sent = sent[size:] if size > 1 or len(sent) < 50 else sent[50:]
        how = chance.randrange(4)
        if how == 0:
            own.recv(4096)
        elif how == 1:
            own.shutdown(socket.SHUT_WR)
        elif how == 2:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Corrupted(Sysfs):
    """A board some of whose files and folders show something else."""

    def __init__(self, board: EmulatedSysfs, chance: random.Random) -> None:
        self.board, self.chance = board, chance
        self.share = 10 ** chance.uniform(-2.5, -0.3)
        self.steady = chance.random() < 0.7
        """Whether a file shows the same each time."""
        self.shown: dict[str, str | OSError | None] = {}
        self.corrupted = 0

    def read(self, path: str) -> str:
        text = self.board.read(path)
        if not self.steady or path not in self.shown:
            self.shown[path] = self._other(text) if self.chance.random() < self.share else None
        other = self.shown[path]
        if other is None:
            return text
        self.corrupted += 1
        if isinstance(other, OSError):
            raise other
        return other

    def _other(self, text: str) -> str | OSError:
        chance = self.chance
        how = chance.randrange(7)
        if how == 0:
            return OSError(chance.choice((errno.EIO, errno.EBUSY, errno.EAGAIN, errno.EINVAL)), "corrupted")
        if how == 1:
            return chance.choice(
                ("", "0", "-1", "<not supported>", "N/A", "\0", "9" * 400, "1e9", "²³", "0x10")
            )
        if how == 2:
            return str(int(10 ** chance.uniform(0, 20)))
        if how == 3:
            return chance.randbytes(chance.randrange(60)).decode("utf-8", errors="replace").strip()
        words = text.split(" ")
        if how == 4:
            del words[chance.randrange(len(words)) :]
        elif how == 5:
            words[chance.randrange(len(words))] = chance.choice(("", "0", "nan", "-5", "1000000", "\n", "é"))
        else:
            chance.shuffle(words)
        return " ".join(words)

    def write(self, path: str, text: str) -> None:
        self.board.write(path, text)

    def listdir(self, path: str) -> list[str]:
        names = self.board.listdir(path)
        if self.chance.random() < self.share / 3:
            self.corrupted += 1
            names = [name for name in names if self.chance.random() < 0.7]
            names += self.chance.choice(
                ([], ["policy99"], ["cpu7777"], ["hwmon"], ["é x"], ["cpu-1", "cpu1x"])
            )
        return sorted(names)

    def exists(self, path: str) -> bool:
        return self.board.exists(path)

    def may_write(self, path: str) -> bool:
        return self.board.may_write(path)

    def resolve(self, path: str) -> str:
        return self.board.resolve(path)


def kind_of(path: str) -> str:
    """Return a path without the numbers in it."""
    return re.sub(r"[0-9]+", "N", path)


def fuzz_boards(count: int, seed: int) -> list[list[str]]:
    """Use so many corrupted boards; return what became of them."""
    outcomes = Counter[str]()
    slowest_s, written = 0.0, 0
    # What a device writes to boards that are as they should be is what it may write.
    allowed = {kind_of(path) for name in EMULATED for path in written_when_well(name)}
    with tempfile.TemporaryDirectory(prefix="powertrain-fuzz-") as folder:
        for turn in range(seed, seed + count):
            chance = random.Random(turn)  # so that --boards 1 --seed TURN repeats it
            name = chance.choice(sorted(EMULATED))
            board = EmulatedSysfs(name, clock=VirtualClock(), seed=turn)
            before, sysfs = board.state(), Corrupted(board, chance)
            started_s = time.perf_counter()
            try:
                outcome = use(sysfs, board, Journal(Path(folder) / str(turn)), chance)
            except Exception as error:
                raise SystemExit(f"board {turn}, {name}: {type(error).__name__}: {error}") from error
            slowest_s = max(slowest_s, time.perf_counter() - started_s)
            for write in board.writes:
                written += 1
                if kind_of(write.path) not in allowed or not re.fullmatch(
                    "[0-9]{1,15}|[a-z_]{1,32}", write.text
                ):
                    raise SystemExit(f"board {turn}, {name}: wrote {write.text!r} to {write.path}")
            if not sysfs.corrupted:
                outcome = f"nothing corrupted was read; {outcome}"
                if board.state() != before:
                    raise SystemExit(f"board {turn}, {name}: not as before")
            outcomes[outcome] += 1
    if slowest_s > 60 * SLOWEST_S:
        raise SystemExit(f"a board took {slowest_s:.0f} s")
    rows = [[outcome, f"{number:,}"] for outcome, number in outcomes.most_common()]
    return [*rows, [f"all; {written:,} writes, slowest board {slowest_s:.1f} s", f"{count:,}"]]


def written_when_well(name: str) -> set[str]:
    """Return the files that holding a mode of a board may write, whatever nvpmodel mode it booted in."""
    written: set[str] = set()
    for power_model in EmulatedSysfs(name).board.power_models:
        board = EmulatedSysfs(name, clock=VirtualClock(), power_model=power_model.id)
        with tempfile.TemporaryDirectory() as folder:
            journal = Journal(Path(folder))
            device = JetsonDevice(sysfs=board, clock=board.clock, journal=journal, simulated=True)
            for place in (0, len(device.space) // 2, len(device.space) - 1):
                with device.hold(device.space[place]):
                    pass
        written |= {write.path for write in board.writes}
        # A governor is left alone, and given back where something else has changed it.
        written |= {path for part in device.state().values() for path in part}
    return written


def use(sysfs: Corrupted, board: EmulatedSysfs, journal: Journal, chance: random.Random) -> str:
    """Do with a board what a profiling does; return how far it came."""
    try:
        device = JetsonDevice(sysfs=sysfs, clock=board.clock, journal=journal, simulated=True)
    except PowerTrainError as error:
        return f"not opened ({type(error).__name__})"
    device.notes()
    device.stock_modes()
    device.environment()
    outcome = "held"
    try:
        with device.hold(device.space[chance.randrange(len(device.space))]):
            device.still_holds()
    except PowerTrainError as error:
        outcome = f"not held ({type(error).__name__})"
    for read in (device.read_power, device.throttle_count, device.temperature_c):
        with contextlib.suppress(PowerTrainError, OSError):
            read()
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--boards", type=int, default=20_000)
    parser.add_argument("--predictors", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="write a page of this name to benchmarks/results")
    given = parser.parse_args()
    started_s = time.monotonic()
    lines = [f"{machine()}; {today()}. Boards are simulated or emulated."]
    if given.requests:
        rows = fuzz_requests(given.requests, given.seed)
        took_s = time.monotonic() - started_s
        lines += ["", "## Requests", "", f"{given.requests:,} requests in {took_s:.0f} s.", ""]
        lines += table(["request", "sent", "granted", "refused"], rows)
    if given.connections:
        slowest_s = fuzz_connections(given.connections, given.seed)
        lines += [
            "",
            "## Connections",
            "",
            f"{given.connections:,} mistreated connections; meanwhile another client",
        ]
        lines += [f"waited {slowest_s:.3f} s at most for an answer."]
    if given.boards:
        lines += ["", "## Files and folders of boards", ""]
        lines += table(["what became of it", "boards"], fuzz_boards(given.boards, given.seed))
    if given.predictors:
        heading = [
            "method",
            "files",
            "refused",
            "predict",
            "of other knobs",
            "slowest [ms of the processor]",
            "most memory [MB]",
        ]
        lines += [
            "",
            "## Predictor files",
            "",
            *table(heading, fuzz_predictors(given.predictors, given.seed)),
        ]
    print("\n".join(lines))
    if given.out:
        write_result(given.out, "Malformed requests and files", f"python {' '.join(sys.argv)}", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
