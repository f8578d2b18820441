"""What a helper does at its socket, whatever the other end does; the board is simulated."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.helper.serving import FakeTime, board, raw, served, service_of
from tests.processes import Process
from tests.waiting import until

from powertrain.devices.remote import HelperClient
from powertrain.devices.remote._protocol import LARGEST_REQUEST
from powertrain.errors import DeviceBusyError, DeviceError, DevicePermissionError, MissingKnobError
from powertrain.helper._connection import QUIET_TIME_S, REQUEST_TIME_S
from powertrain.helper._listen import inherited, listening
from powertrain.helper._server import MOST_CLIENTS_OF_A_USER, Server
from powertrain.helper._service import DEFAULT_LEASE_S
from powertrain.records import PowerMode


def answer_to(own: socket.socket, sent: bytes) -> dict[str, object]:
    own.sendall(sent)
    with own.makefile("rb") as file:
        return json.loads(file.readline())


def is_closed(own: socket.socket) -> bool:
    try:
        return own.recv(65536) == b""
    except ConnectionError:
        return True


class TestAClient:
    def test_holds_a_mode_and_gives_it_back(self, tmp_path: Path):
        device = board()
        before, mode = device.state(), device.space[7]
        with served(device, tmp_path) as helper:
            client = HelperClient(helper.path)
            client.hold(mode)
            assert device.mode == mode
            assert client.lost() == ""
            status = client.status()
            assert (status.held, status.yours, status.pid, status.mode) == (True, True, os.getpid(), mode)
            client.release()
            assert device.state() == before
            assert not client.status().held
            client.close()
            assert helper.audited() == [("hold", "asked"), ("hold", "held"), ("release", "given back")]

    def test_is_told_what_the_helper_holds(self, tmp_path: Path):
        device = board()
        with served(device, tmp_path) as helper, contextlib.closing(HelperClient(helper.path)) as client:
            said = client.describe()
            assert (said.device, said.spec, said.simulated) == (device.name, device.spec, True)
            assert said.space == device.space
            assert said.stock == device.stock_modes()
            assert client.read().rails_w.keys() == device.read_power().rails_w.keys()

    def test_that_leaves_gives_back(self, tmp_path: Path):
        device = board()
        before = device.state()
        with served(device, tmp_path) as helper:
            client = HelperClient(helper.path)
            client.hold(device.space[7])
            assert device.state() != before
            client.close()
            until(lambda: device.state() == before)

    def test_that_is_told_of_another_waits_for_it(self, tmp_path: Path):
        device = board()
        with served(device, tmp_path) as helper:
            first, second = HelperClient(helper.path), HelperClient(helper.path)
            first.reserve()
            with pytest.raises(DeviceBusyError, match=f"process {os.getpid()}"):
                second.hold(device.space[7])
            first.free()
            second.hold(device.space[7])
            second.close()
            first.close()

    def test_gets_the_device_s_own_errors(self, tmp_path: Path):
        device = board()
        with served(device, tmp_path) as helper, contextlib.closing(HelperClient(helper.path)) as client:
            with pytest.raises(MissingKnobError, match="has 'warp'"):
                client.hold(PowerMode({**device.space[7], "warp": 9}))
            with pytest.raises(DeviceError, match="has no value"):
                client.hold(device.space[7].replace(gpu_mhz=1))

    def test_finds_a_helper_that_was_started_anew(self, tmp_path: Path):
        device = board()
        with served(device, tmp_path) as helper:
            client = HelperClient(helper.path)
            assert not client.status().held
        with served(device, tmp_path):
            assert not client.status().held
            client.close()

    def test_whose_helper_vanishes_is_told_that_the_mode_was_not_in_force(self, tmp_path: Path):
        device = board()
        with served(device, tmp_path) as helper:
            client = HelperClient(helper.path)
            client.hold(device.space[7])
        assert "the helper vanished" in client.lost()
        with pytest.raises(DeviceError, match="the helper vanished"):
            client.release()
        client.release()  # it was said once
        client.close()

    def test_without_a_helper_is_told_how_to_get_one(self, tmp_path: Path):
        with pytest.raises(DeviceError, match="sudo powertrain setup-helper"):
            HelperClient(tmp_path / "none.sock").status()

    def test_shows_that_it_is_alive_while_its_program_is_busy(self, tmp_path: Path):
        device, time = board(), FakeTime()
        with (
            served(device, tmp_path, now_s=time) as helper,
            contextlib.closing(HelperClient(helper.path)) as client,
        ):
            # The client beats in real time, a quarter of the lease apart: let it hear of a short one.
            client.describe()
            object.__setattr__(client._description, "lease_s", 0.04)
            client.hold(device.space[7])
            for _ in range(4):
                time.pass_s(DEFAULT_LEASE_S * 0.9)
                until(lambda: helper.server._service._claim.heard_s == time.now_s)
            assert client.lost() == ""
            assert device.mode == device.space[7]

    def test_in_a_forked_process_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        device = board()
        with served(device, tmp_path) as helper, contextlib.closing(HelperClient(helper.path)) as client:
            client.hold(device.space[7])
            with monkeypatch.context() as forked:
                forked.setattr(os, "getpid", lambda: 1)
                with pytest.raises(DeviceError, match="forked"):
                    client.status()
                client.release()  # a child that ends must not end what its parent holds
            assert device.mode == device.space[7]


class TestAProcessThatDies:
    HOLD = (
        "import sys, time; from pathlib import Path; from powertrain.devices.remote import HelperClient;"
        "client = HelperClient(Path(sys.argv[1])); client.hold(client.describe().space[7]);"
        "print('held', flush=True); {}"
    )

    def start(self, path: Path, then: str) -> Process:
        return Process(
            [sys.executable, "-c", self.HOLD.format(then), str(path)], stdout=subprocess.PIPE, text=True
        )

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_leaves_the_device_as_it_was(self, tmp_path: Path, number: signal.Signals):
        device = board()
        before = device.state()
        with served(device, tmp_path) as helper, self.start(helper.path, "time.sleep(60)") as holder:
            assert holder.stdout is not None
            said, mode = holder.stdout.readline(), device.mode
            holder.send_signal(number)
            until(lambda: device.state() == before)
        assert (said, mode) == ("held\n", device.space[7])

    @pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this Python cannot watch a process")
    def test_does_so_even_if_a_child_still_has_its_socket(self, tmp_path: Path):
        device = board()
        before = device.state()
        fork = "import os; pid = os.fork(); pid or time.sleep(60);"
        fork += "print(pid, flush=True); os.kill(os.getpid(), 9)"
        with served(device, tmp_path) as helper, self.start(helper.path, fork) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            child = int(holder.stdout.readline())
            until(lambda: holder.poll() is not None)
            until(lambda: device.state() == before)
            os.kill(child, signal.SIGKILL)


class TestTheSocket:
    def test_lets_in_nobody_who_is_not_in_the_group(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        import powertrain.helper._server as server

        monkeypatch.setattr(server, "is_member", lambda peer, group: False)
        with (
            served(board(), tmp_path) as helper,
            contextlib.closing(HelperClient(helper.path)) as client,
            pytest.raises(DevicePermissionError, match="only root and members of the group"),
        ):
            client.status()

    def test_lets_a_user_in_a_few_times_at_once(self, tmp_path: Path):
        with served(board(), tmp_path) as helper, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(contextlib.closing(HelperClient(helper.path))) for _ in range(9)]
            for client in clients[:MOST_CLIENTS_OF_A_USER]:
                client.status()
            with pytest.raises(DeviceBusyError, match="too many programs"):
                clients[-1].status()

    def test_refuses_a_request_without_end(self, tmp_path: Path):
        with served(board(), tmp_path) as helper, raw(helper.path) as own:
            with contextlib.suppress(ConnectionError):
                own.sendall(b"x" * 3 * LARGEST_REQUEST)
            with contextlib.suppress(ConnectionError):
                assert b"longer than" in own.recv(65536)
            assert is_closed(own)

    def test_lets_go_of_who_does_not_finish_or_says_nothing(self, tmp_path: Path):
        time = FakeTime()
        with (
            served(board(), tmp_path, now_s=time) as helper,
            raw(helper.path) as slow,
            raw(helper.path) as quiet,
        ):
            slow.sendall(b'{"v": 1')
            until(lambda: any(c._received for c in list(helper.server._connections.values())))
            time.pass_s(REQUEST_TIME_S + 1)
            assert is_closed(slow)
            time.pass_s(QUIET_TIME_S)
            assert is_closed(quiet)

    def test_keeps_who_holds_and_says_nothing_else(self, tmp_path: Path):
        device, time = board(), FakeTime()
        with served(device, tmp_path, now_s=time) as helper, raw(helper.path) as own:
            mode = json.dumps({"v": 1, "do": "hold", "mode": dict(device.space[7])}).encode()
            assert answer_to(own, mode + b"\n")["ok"]
            time.pass_s(DEFAULT_LEASE_S - 1)
            assert answer_to(own, b'{"v": 1, "do": "beat"}\n')["ok"]

    def test_answers_requests_that_come_in_pieces_or_together(self, tmp_path: Path):
        status = b'{"v": 1, "do": "status"}\n'
        with served(board(), tmp_path) as helper, raw(helper.path) as own:
            for byte in status:
                own.sendall(bytes([byte]))
            own.sendall(3 * status)
            with own.makefile("rb") as file:
                assert [json.loads(file.readline())["held"] for _ in range(4)] == [False] * 4

    def test_slows_down_who_asks_without_pause_and_serves_others_meanwhile(self, tmp_path: Path):
        status = b'{"v": 1, "do": "status"}\n'
        with served(board(), tmp_path) as helper, raw(helper.path) as own:
            own.sendall(400 * status)
            with contextlib.closing(HelperClient(helper.path)) as other:
                assert not other.status().held
            with own.makefile("rb") as file:
                assert all(json.loads(file.readline())["ok"] for _ in range(400))

    def test_belongs_to_the_group_and_goes_with_the_helper(self, tmp_path: Path):
        path = tmp_path / "run/helper.sock"
        with listening(path, group=os.getgid()):
            assert path.stat().st_mode & 0o777 == 0o660
            assert path.parent.stat().st_mode & 0o777 == 0o755
            with pytest.raises(DeviceBusyError, match="another helper"), listening(path, group=os.getgid()):
                pass
        assert not path.exists()

    def test_that_a_dead_helper_left_is_taken_over(self, tmp_path: Path):
        path = tmp_path / "helper.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        with listening(path, group=os.getgid()):
            assert path.is_socket()

    def test_is_not_made_where_others_may_write(self, tmp_path: Path):
        tmp_path.chmod(0o777)
        with (
            pytest.raises(DeviceError, match="folder of its own"),
            listening(tmp_path / "x.sock", group=os.getgid()),
        ):
            pass

    def test_takes_the_place_of_nothing_else(self, tmp_path: Path):
        path = tmp_path / "precious"
        path.write_text("precious")
        with pytest.raises(DeviceError, match="cannot listen"), listening(path, group=os.getgid()):
            pass
        assert path.read_text() == "precious"

    @pytest.mark.parametrize(
        ("environment", "said"),
        [({"LISTEN_FDS": "1"}, None), ({"LISTEN_PID": "5", "LISTEN_FDS": "2"}, "one socket")],
    )
    def test_is_taken_from_systemd_only_if_it_is_for_us(self, environment: dict[str, str], said: str | None):
        if said is None:
            assert inherited(environment, pid=5) is None
            return
        with pytest.raises(DeviceError, match=said):
            inherited(environment, pid=5)


def test_a_helper_that_nobody_uses_ends(tmp_path: Path):
    time = FakeTime()
    with listening(tmp_path / "helper.sock", group=os.getgid()) as listener:
        server = Server(listener, service_of(board(), now_s=time), group=os.getgid(), idle_s=300, now_s=time)
        time.pass_s(301)
        assert server.run()
