"""Members of the group who ask without pause, go without a word or are members no more, and all others."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.helper.serving import FakeTime, Served, board, raw, served
from tests.waiting import PATIENCE_S, until

from powertrain.devices.remote import HelperClient
from powertrain.devices.remote._peers import Peer, is_member
from powertrain.errors import DeviceError, DevicePermissionError
from powertrain.helper import _server
from powertrain.helper._connection import AHEAD_TIME_S, User
from powertrain.helper._server import MOST_CLIENTS, MOST_CLIENTS_OF_A_USER
from powertrain.helper._service import DEFAULT_LEASE_S
from powertrain.virtual import SimulatedBoard

PAIRS = 300
STATUS = b'{"v": 1, "do": "status"}\n'


def pairs(device: SimulatedBoard) -> bytes:
    hold = json.dumps({"v": 1, "do": "hold", "mode": dict(device.space[7])}).encode()
    return PAIRS * (hold + b'\n{"v": 1, "do": "release"}\n')


def holds(helper: Served) -> int:
    return helper.audited().count(("hold", "held"))


def answer(own: socket.socket) -> dict[str, object]:
    with own.makefile("rb") as file:
        return json.loads(file.readline())


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SimulatedBoard:
    """A board that takes a while to change."""
    device = board()
    write = device._holder.settings.write
    monkeypatch.setattr(device._holder.settings, "write", lambda mode: (time.sleep(0.01), write(mode)))
    return device


class TestRequestsSentAhead:
    def test_keep_nobody_from_a_turn(self, slow: SimulatedBoard, tmp_path: Path):
        with served(slow, tmp_path) as helper, raw(helper.path) as own, raw(helper.path) as other:
            own.sendall(pairs(slow))
            until(lambda: holds(helper) > 2)
            for _ in range(5):
                before = holds(helper)
                other.sendall(STATUS)
                assert answer(other)["ok"]
                assert holds(helper) <= before + 2

    def test_are_dropped_once_their_sender_has_gone(self, slow: SimulatedBoard, tmp_path: Path):
        before = slow.state()
        with served(slow, tmp_path) as helper:
            with raw(helper.path) as own:
                own.sendall(pairs(slow))
                until(lambda: holds(helper) > 2)
            until(lambda: not helper.server._connections)
            assert slow.state() == before
            assert holds(helper) < PAIRS

    def test_do_not_keep_a_helper_from_stopping(self, slow: SimulatedBoard, tmp_path: Path):
        before = slow.state()
        with served(slow, tmp_path) as helper, raw(helper.path) as own:
            own.sendall(pairs(slow))
            until(lambda: holds(helper) > 2)
        assert slow.state() == before
        assert holds(helper) < PAIRS

    def test_are_answered_within_a_while_or_not_at_all(self, tmp_path: Path):
        device, clock = board(), FakeTime()  # which stands still, so that what a user may take is soon spent
        with served(device, tmp_path, now_s=clock) as helper, raw(helper.path) as own:
            own.sendall(pairs(device))
            until(lambda: holds(helper) > 100)
            clock.pass_s(AHEAD_TIME_S + 1)
            with contextlib.suppress(ConnectionError):
                while own.recv(65536):
                    pass
            assert holds(helper) < PAIRS


def test_a_user_pays_for_time_and_waits_with_the_next_mode_but_with_nothing_else():
    user = User(0.0)
    for _ in range(4):
        user.pay("hold", 2.0)
    assert not user.may_ask("hold", 1.0)
    assert all(user.may_ask(word, 1.0) for word in ("read", "beat", "release"))
    assert user.may_ask("hold", 10.0)
    for _ in range(20):
        user.pay("read", 0.1)
    assert not user.may_ask("read", 10.0)
    assert not user.may_connect(10.0)
    assert user.counts(10.0)
    assert not user.counts(100.0)


def test_a_helper_that_stood_still_hears_of_a_life_before_it_ends_a_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    device, clock, standing, go = board(), FakeTime(), threading.Event(), threading.Event()

    def stand() -> int:
        standing.set()
        return int(go.wait(PATIENCE_S))

    monkeypatch.setattr(device, "throttle_count", stand)
    with served(device, tmp_path, now_s=clock) as helper, raw(helper.path) as own, raw(helper.path) as other:
        own.sendall(json.dumps({"v": 1, "do": "hold", "mode": dict(device.space[7])}).encode() + b"\n")
        assert answer(own)["ok"]
        other.sendall(b'{"v": 1, "do": "read"}\n')
        assert standing.wait(PATIENCE_S)
        own.sendall(b'{"v": 1, "do": "beat"}\n')
        clock.pass_s(2 * DEFAULT_LEASE_S)
        go.set()
        until(lambda: select.select([own], [], [], 0.01)[0] or clock.pass_s(0.1))
        assert answer(own) == {"ok": True}
        assert device.mode == device.space[7]


class TestConnections:
    def test_that_come_too_often_are_refused_and_clients_try_again(self, tmp_path: Path):
        with served(board(), tmp_path) as helper:
            refused = False
            while not refused:
                with raw(helper.path) as own:
                    own.shutdown(socket.SHUT_WR)
                    refused = own.recv(4096) != b""
            with contextlib.closing(HelperClient(helper.path)) as client:
                assert not client.status().held

    def test_that_are_too_many_leave_some_for_root_and_for_users_with_fewer(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        taken = [1001 + n // MOST_CLIENTS_OF_A_USER for n in range(MOST_CLIENTS)]
        uids = iter([*taken, 0, *[2001] * MOST_CLIENTS_OF_A_USER])

        def peer(own: socket.socket, *, number: int) -> Peer:
            return Peer(number=number, pid=os.getpid(), uid=next(uids), gid=0)

        monkeypatch.setattr(_server, "peer_of", peer)
        monkeypatch.setattr(_server, "is_member", lambda peer, group: True)
        with served(board(), tmp_path) as helper, contextlib.ExitStack() as stack:
            for _ in range(MOST_CLIENTS):
                stack.enter_context(raw(helper.path))
            answers: list[dict[str, object]] = []
            for _ in range(1 + MOST_CLIENTS_OF_A_USER):
                own = stack.enter_context(raw(helper.path))
                own.sendall(STATUS)
                answers.append(answer(own))
            assert [told["ok"] for told in answers[:7]] == [True] * 7  # root, and a fair share
            assert answers[-1]["again"] is True

    def test_that_wait_in_a_full_queue_get_in_when_there_is_room(self, tmp_path: Path):
        path = tmp_path / "helper.sock"
        with socket.socket(socket.AF_UNIX) as listener, raw_listening(listener, path) as fill:
            fill()

            def serve() -> None:
                for _ in range(2):
                    own, _ = listener.accept()
                    with own, contextlib.suppress(OSError):
                        own.sendall(b'{"ok": true, "held": false}\n')

            threading.Timer(0.1, serve).start()
            with contextlib.closing(HelperClient(path)) as client:
                assert not client.status().held

    def test_to_a_helper_that_takes_none_end_in_words(self, tmp_path: Path):
        path = tmp_path / "helper.sock"
        with socket.socket(socket.AF_UNIX) as listener, raw_listening(listener, path) as fill:
            fill()
            with pytest.raises(DeviceError, match="does not answer: it took too long"):
                HelperClient(path, timeout_s=0.1).status()


@contextlib.contextmanager
def raw_listening(listener: socket.socket, path: Path):
    """Listen at a path, with something that fills the queue of those who wait there."""
    listener.bind(str(path))
    listener.listen(0)
    with socket.socket(socket.AF_UNIX) as own:
        fill: Callable[[], None] = lambda: own.connect(str(path))  # noqa: E731
        yield fill


class TestMembership:
    def test_is_what_the_system_knows_of_a_user_not_what_a_process_has(self):
        group = 1
        assert is_member(Peer(number=1, pid=1, uid=0, gid=0), group)
        assert is_member(Peer(number=1, pid=1, uid=1, gid=5), 1, groups_of=lambda uid: {uid})
        # A program that gives the group to whoever runs it (setgid), or a session from before.
        assert not is_member(Peer(number=1, pid=1, uid=7, gid=group), group, groups_of=lambda uid: {uid})
        # A user of a namespace, whom it does not know at all.
        assert not is_member(Peer(number=1, pid=1, uid=3_000_000_000, gid=group), group)

    def test_counts_when_a_mode_is_asked_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        device = board()
        with served(device, tmp_path) as helper, contextlib.closing(HelperClient(helper.path)) as client:
            assert not client.status().held
            monkeypatch.setattr(_server, "is_member", lambda peer, group: False)
            with pytest.raises(DevicePermissionError, match="only root and members"):
                client.hold(device.space[7])
            with pytest.raises(DevicePermissionError, match="only root and members"):
                client.status()
