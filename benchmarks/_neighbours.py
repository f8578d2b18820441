"""What one member of the helper's group, a former member or a stranger can do to the others, as attacks."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kills import EmulatedTree, fork, kill

from powertrain.devices import Journal
from powertrain.devices.remote import HelperClient
from powertrain.errors import PowerTrainError
from powertrain.helper import main as helper_main
from powertrain.opening import open_device

GROUP, GROUP_NAME = 64123, "pt-attacked"
MEMBERS = {f"pt-member{n}": 64201 + n for n in range(5)}
FORMER, STRANGERS = 64250, range(64301, 64341)
"""A user who is known and in no group, and users whom the system does not know."""
PATIENCE_S = 120.0
SETTLED_S = 3.0
"""For an emulated board to be seen as it is, on a busy machine."""
LEASE_S = 30.0
PIPELINED_BYTES = 58 * 1024
IN_NAMESPACE = "POWERTRAIN_ATTACK_IN_NAMESPACE"

Row = tuple[str, str, str, bool]
"""An attack, what was looked at, what was found, and whether that is right."""


def with_throwaway_users(folder: Path) -> str:
    """Run this program anew where a group and users exist that the machine lacks; return why that fails.

    It is given a mount namespace of its own, with copies of /etc/passwd and /etc/group. The machine's own
    files stay as they are.
    """
    if os.geteuid() != 0:
        return "only root can have users for a while"
    if os.environ.get(IN_NAMESPACE):
        return ""
    passwd = Path("/etc/passwd").read_text(encoding="utf-8")
    group = Path("/etc/group").read_text(encoding="utf-8")
    users = {**MEMBERS, "pt-former": FORMER}
    lines = [f"{name}:x:{uid}:{uid}::/nonexistent:/usr/sbin/nologin" for name, uid in users.items()]
    groups = [f"{GROUP_NAME}:x:{GROUP}:{','.join(MEMBERS)}", *(f"{n}:x:{uid}:" for n, uid in users.items())]
    (folder / "passwd").write_text(passwd + "\n".join(lines) + "\n", encoding="utf-8")
    (folder / "group").write_text(group + "\n".join(groups) + "\n", encoding="utf-8")
    bind = f"mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/group /etc/group"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'{bind} && exec "$@"', "sh"]
    probe = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        return f"no mount namespace here: {probe.stderr.strip()}"
    done = subprocess.run(
        [*command, sys.executable, *sys.argv], env={**os.environ, IN_NAMESPACE: "1"}, check=False
    )
    sys.exit(done.returncode)


def become(uid: int, *, gid: int | None = None, groups: tuple[int, ...] = (GROUP,)) -> None:
    """Be another user from here on."""
    os.setgroups(groups)
    os.setgid(uid if gid is None else gid)
    os.setuid(uid)


@dataclass
class Member:
    """A process of a user, and what it says when it has ended."""

    pid: int
    file: int

    def result(self) -> object:
        """Wait for its end, and return what it said."""
        said = b""
        while data := os.read(self.file, 65536):
            said += data
        os.close(self.file)
        os.waitpid(self.pid, 0)
        return json.loads(said) if said else None

    def kill(self) -> None:
        kill(self.pid, signal.SIGKILL)
        self.result()


def as_user(uid: int, work: Callable[[], object], **groups: object) -> Member:
    """Do something in a process of a user's."""
    read, write = os.pipe()

    def run(started: Callable[[], None]) -> None:
        os.close(read)
        started()
        become(uid, **groups)  # pyright: ignore[reportArgumentType]
        os.write(write, json.dumps(work()).encode())

    pid = fork(run)
    os.close(write)
    return Member(pid, read)


class Helper:
    """A helper in a process of its own, with an emulated board."""

    def __init__(self, folder: Path, board: EmulatedTree, *, lease_s: float = LEASE_S) -> None:
        self.folder, self.board = folder, board
        self.socket = folder / "run/helper.sock"
        self.log, self.audit = folder / "helper.log", folder / "audit.jsonl"
        options = ["--socket", str(self.socket), "--group", str(GROUP), "--state", str(folder / "state")]
        own = ["--audit", str(self.audit), "--foreground", "--lease", str(lease_s), *board.helper_options]

        def serve(started: Callable[[], None]) -> None:
            os.dup2(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
            started()
            os._exit(helper_main([*options, *own]))

        self.pid = fork(serve)
        self.root = self.until_it_answers()
        self.mode = self.root.describe().space[77]
        self.root.hold(self.mode)
        self.root.release()
        time.sleep(SETTLED_S)
        self.before = board.state()

    def until_it_answers(self) -> HelperClient:
        client, until_s = HelperClient(self.socket), time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            with contextlib.suppress(PowerTrainError):
                client.status()
                return client
            time.sleep(0.01)
        raise SystemExit(f"the helper does not start: {self.log.read_text()[-500:]}")

    def holds(self) -> int:
        """Return how many holds it has written down."""
        lines = [json.loads(line) for line in self.audit.read_text().splitlines()]
        return sum(line["what"] == "hold" and line["outcome"] == "held" for line in lines)

    def flood(self) -> bytes:
        """Return pairs of hold and release."""
        hold = json.dumps({"v": 1, "do": "hold", "mode": dict(self.mode)}).encode() + b"\n"
        pair = hold + b'{"v": 1, "do": "release"}\n'
        return pair * (PIPELINED_BYTES // len(pair))

    def end(self) -> tuple[float, int]:
        """Stop it; return how long that took and its exit code."""
        self.root.close()
        started_s = time.monotonic()
        kill(self.pid, signal.SIGTERM)
        code = exit_code(self.pid)
        return time.monotonic() - started_s, code


def exit_code(pid: int) -> int:
    """Wait for a process; one that does not end is killed."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextmanager
def helped(folder: Path, board: EmulatedTree, **more: float) -> Generator[Helper]:
    helper = Helper(folder, board, **more)
    try:
        yield helper
    finally:
        kill(helper.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(helper.pid, 0)


def connected(path: Path) -> socket.socket:
    own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    own.connect(str(path))
    own.settimeout(PATIENCE_S)
    return own


def ask_often(path: Path, times: int, *, anew: bool, pause_s: float = 0.0) -> dict[str, object]:
    """Ask for the status so many times; return how many were refused and the slowest answer."""
    refused, slowest_s, why = 0, 0.0, ""
    client = HelperClient(path)
    for _ in range(times):
        started_s = time.monotonic()
        try:
            client.status()
        except PowerTrainError as error:
            refused, why = refused + 1, str(error)
        slowest_s = max(slowest_s, time.monotonic() - started_s)
        if anew:
            client.close()
        time.sleep(pause_s)
    return {"refused": refused, "slowest_s": slowest_s, "why": why}


def pipelining(folder: Path, board: EmulatedTree) -> list[Row]:
    """Send pairs of hold and release without waiting for answers."""
    attacker, victim = tuple(MEMBERS.values())[:2]
    rows: list[Row] = []
    what = f"{PIPELINED_BYTES // 1024} KB of hold and release in one send"

    def send(helper: Helper) -> Member:
        def work() -> None:
            own = connected(helper.socket)
            own.sendall(helper.flood())
            time.sleep(PATIENCE_S)

        return as_user(attacker, work)

    with helped(folder, board) as helper:
        flooding = send(helper)
        time.sleep(0.5)
        asked = as_user(victim, lambda: ask_often(helper.socket, 20, anew=True, pause_s=0.2)).result()
        assert isinstance(asked, dict)
        right = not asked["refused"] and asked["slowest_s"] < 5
        rows.append((what, "another member's slowest of 20 answers", f"{asked['slowest_s']:.2f} s", right))
        flooding.kill()
        started_s, held = time.monotonic(), helper.holds()
        while helper.board.state() != helper.before or helper.root.status().held:
            if time.monotonic() > started_s + PATIENCE_S:
                break
        took_s = time.monotonic() - started_s
        time.sleep(1.0)
        later = helper.holds() - held
        rows.append((what, "sender killed: board as before after", f"{took_s:.1f} s", took_s < 5))
        rows.append((what, "sender killed: holds begun later", str(later), later <= 1))
        flooding = send(helper)
        time.sleep(2.0)
        took_s, code = helper.end()
        time.sleep(SETTLED_S)
        right = code == 0 and took_s < 5 and board.state() == helper.before
        rows.append((what, "SIGTERM to the helper: ended after", f"{took_s:.1f} s, exit code {code}", right))
        flooding.kill()
    return rows


def connect_loops(folder: Path, board: EmulatedTree) -> list[Row]:
    """Connect and close without pause, in four processes."""
    attacker, victim = tuple(MEMBERS.values())[:2]

    def loop(path: Path) -> None:
        while True:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as own:
                own.connect(str(path))

    rows: list[Row] = []
    with helped(folder, board) as helper:
        loops = [as_user(attacker, lambda: loop(helper.socket)) for _ in range(4)]
        time.sleep(0.5)
        # The attacker's own programs share his time with the attack, so few of their requests take long.
        for who, uid, times in (
            ("another member", victim, 70),
            ("root", 0, 70),
            ("that member", attacker, 3),
        ):
            work = partial(ask_often, helper.socket, times, anew=True)
            asked = as_user(uid, work).result()
            assert isinstance(asked, dict)
            found = f"{asked['refused']}; slowest {asked['slowest_s']:.1f} s"
            looked_at = f"{who}: of {times} new connections refused"
            rows.append(("connect and close, 4 processes", looked_at, found, not asked["refused"]))
        assert not any(os.waitpid(one.pid, os.WNOHANG)[0] for one in loops), "an attacker gave up"
        for one in loops:
            one.kill()
        helper.end()
    return rows


def slots(folder: Path, board: EmulatedTree) -> list[Row]:
    """Keep as many connections as there are."""
    members, rows = tuple(MEMBERS.values()), list[Row]()

    def keep(path: Path, number: int, stay_s: float = 0.0) -> list[bool]:
        kept = [connected(path) for _ in range(number)]
        answered: list[bool] = []
        for own in kept:
            with contextlib.suppress(OSError):
                own.sendall(b'{"v": 1, "do": "status"}\n')
                answered.append(b'"ok":true' in own.recv(4096))
        time.sleep(stay_s)
        return answered

    def keep_on(path: Path, number: int) -> None:
        keep(path, number, PATIENCE_S)

    with helped(folder, board) as helper:
        former = {"gid": GROUP, "groups": ()}, {"gid": FORMER, "groups": (GROUP,)}
        for who, groups in zip(
            ("a setgid program of a former member", "an old session of a former member"), former, strict=True
        ):
            let_in = as_user(FORMER, lambda: keep(helper.socket, 1), **groups).result()
            assert isinstance(let_in, list)
            rows.append((who, "answered", str(sum(let_in)), not any(let_in)))
        let_in = [as_user(uid, lambda: keep(helper.socket, 1), gid=GROUP).result() for uid in STRANGERS]
        number = sum(sum(one) for one in let_in if isinstance(one, list))
        rows.append(
            (f"{len(STRANGERS)} users whom the system does not know", "answered", str(number), number == 0)
        )
        rows += _slots_of_members(helper, members, keep, keep_on)
        helper.end()
    return rows


def _slots_of_members(
    helper: Helper,
    members: tuple[int, ...],
    keep: Callable[[Path, int], list[bool]],
    keep_on: Callable[[Path, int], None],
) -> list[Row]:
    of_one = as_user(members[0], lambda: keep(helper.socket, 40)).result()
    assert isinstance(of_one, list)
    rows: list[Row] = [("40 connections of one member", "answered", str(sum(of_one)), sum(of_one) == 8)]
    keepers = [as_user(uid, lambda: keep_on(helper.socket, 10)) for uid in members]
    time.sleep(1.0)
    asked = as_user(0, lambda: ask_often(helper.socket, 20, anew=True)).result()
    assert isinstance(asked, dict)
    right = not asked["refused"]
    rows.append(
        (
            f"10 connections of each of {len(members)} members",
            "root: of 20 requests refused",
            str(asked["refused"]),
            right,
        )
    )
    for one in keepers:
        one.kill()
    return rows


def stalls(folder: Path, board: EmulatedTree) -> list[Row]:
    """Stop the helper for longer than a lease, and let it go on."""
    member, lease_s, rounds = next(iter(MEMBERS.values())), 2.0, 5

    def hold(path: Path, mode: object) -> str:
        client = HelperClient(path)
        client.hold(client.describe().space[77])
        time.sleep(rounds * 3 * lease_s)
        lost = client.lost()
        client.close()
        return lost

    with helped(folder, board, lease_s=lease_s) as helper:
        helper.root.close()
        holder = as_user(member, lambda: hold(helper.socket, helper.mode))
        time.sleep(2.0)
        for _ in range(rounds):
            kill(helper.pid, signal.SIGSTOP)
            time.sleep(2 * lease_s)
            kill(helper.pid, signal.SIGCONT)
            time.sleep(0.5 * lease_s)
        lost = holder.result()
        helper.end()
    what = f"helper stopped for {2 * lease_s:g} s, {rounds} times; lease {lease_s:g} s"
    return [(what, "mode of a member who showed life", "held" if lost == "" else f"lost: {lost}", lost == "")]


def locks(folder: Path, board: EmulatedTree) -> list[Row]:
    """Take the lock files of root's journal."""
    journal = Journal(folder / "root/powertrain")
    device = open_device(board.spec, for_others=True)
    with journal.locks.locked(device.key):  # pyright: ignore
        pass
    paths = sorted(journal.folder.glob("*.lock"))
    for one in (folder / "root", folder):
        one.chmod(0o755)

    def take() -> int:
        taken = 0
        for path in paths:
            with contextlib.suppress(OSError):
                fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
                taken += 1
        time.sleep(2.0)
        return taken

    neighbour = as_user(FORMER, take, groups=())
    time.sleep(0.5)
    blocked = 0
    try:
        with journal.locks.locked(device.key):  # pyright: ignore
            pass
    except PowerTrainError:
        blocked = 1
    taken = neighbour.result()
    return [
        ("any user takes root's lock files", "taken", str(taken), taken == 0),
        (
            "any user takes root's lock files",
            "root kept from its board",
            "yes" if blocked else "no",
            not blocked,
        ),
    ]


ATTACKS: dict[str, Callable[[Path, EmulatedTree], list[Row]]] = {
    "pipelining": pipelining,
    "connects": connect_loops,
    "slots": slots,
    "stalls": stalls,
    "locks": locks,
}
