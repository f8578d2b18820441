"""Holding a mode: restored on every way out, and after a kill at the next start."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.processes import Process
from tests.waiting import PATIENCE_S
from typing_extensions import override

from powertrain.devices import Holder, Journal, Settings, Terminated
from powertrain.errors import DeviceBusyError, DeviceError, UnreachableModeError
from powertrain.opening import open_device
from powertrain.records import PowerMode

FAST, SLOW = PowerMode(gpu_mhz=1200), PowerMode(gpu_mhz=300)
USERS = 777.0


class Register(Settings):
    """A clock that is a number in a file, as hardware keeps it; what happens at each write can be set."""

    outlives_process = True

    def __init__(self, file: Path, journal: Journal) -> None:
        self.file, self.journal = file, journal
        self.at_write = self.at_put_back = lambda: None
        if not file.exists():
            file.write_text(str(USERS))

    @property
    def value(self) -> float:
        return float(self.file.read_text())

    @override
    def check(self, mode: PowerMode) -> None:
        if mode["gpu_mhz"] < 0:
            raise DeviceError("no such clock")

    @override
    def save(self) -> Mapping[str, Any]:
        return {"gpu_mhz": self.value}

    @override
    def write(self, mode: PowerMode) -> None:
        assert self.journal.devices(), "the journal comes before the first write"
        self.file.write_text(str(mode["gpu_mhz"]))
        self.at_write()

    @override
    def lost(self, mode: PowerMode) -> str:
        return "" if self.value == mode["gpu_mhz"] else f"it shows {self.value}"

    @override
    def put_back(self, saved: Mapping[str, Any]) -> None:
        self.at_put_back()
        self.file.write_text(str(saved["gpu_mhz"]))


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


@pytest.fixture
def register(tmp_path, journal):
    return Register(tmp_path / "clock", journal)


@pytest.fixture
def holder(register, journal):
    return Holder(register, name="a board", spec="toy", journal=journal)


def test_while_it_is_held_it_is_in_the_mode_and_the_journal_knows_what_was_before(holder, register, journal):
    with holder.hold(FAST):
        assert register.value == 1200
        assert dict(journal.left_behind("toy").saved) == {"gpu_mhz": USERS}
    assert register.value == USERS
    assert journal.devices() == []


def test_it_is_told_when_a_mode_is_no_longer_in_force(holder, register):
    with holder.hold(FAST):
        assert holder.lost() == ""
        register.file.write_text("444.0")
        assert holder.lost() == "it shows 444.0"
    assert "restored" in holder.lost()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_it_is_given_back_after_any_exception(holder, register, error):
    with pytest.raises(error), holder.hold(FAST):
        raise error
    assert register.value == USERS
    with holder.hold(SLOW):  # and can be held again
        assert register.value == 300


def test_a_mode_that_the_device_did_not_take_is_given_back_and_raised(holder, register):
    def refuse() -> None:
        raise UnreachableModeError("it shows 600")

    register.at_write = refuse
    with pytest.raises(UnreachableModeError, match="600"), holder.hold(FAST):
        pytest.fail("the block must not run")
    assert register.value == USERS


def test_a_mode_that_is_refused_touches_nothing(holder, register, journal):
    register.at_write = lambda: pytest.fail("nothing may be written")
    with pytest.raises(DeviceError, match="no such clock"), holder.hold(PowerMode(gpu_mhz=-1)):
        pass
    assert not journal.folder.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_is_given_back_before_a_signal_is_raised(holder, register, number):
    seen: list[float] = []
    with pytest.raises(KeyboardInterrupt) as raised, holder.hold(FAST):  # noqa: PT012
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            seen.append(register.value)
            raise
    assert seen == [USERS]
    assert number == signal.SIGINT or raised.value.exit_code == 128 + number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["at_write", "at_put_back"])
def test_a_signal_while_it_is_being_changed_waits_until_it_is_given_back(holder, register, number, moment):
    setattr(register, moment, lambda: os.kill(os.getpid(), number))
    with pytest.raises(KeyboardInterrupt), holder.hold(FAST):
        pass
    assert register.value == USERS


@pytest.mark.parametrize("moment", ["at_write", "at_put_back"])
def test_a_handler_that_raises_has_to_wait_until_the_device_is_whole(holder, register, journal, moment):
    def raises(number, frame):  # as PyTorch's does where a worker of a DataLoader has died
        del frame
        raise RuntimeError(f"a worker was killed, says signal {number}")

    setattr(register, moment, lambda: signal.raise_signal(signal.SIGCHLD))
    before = signal.signal(signal.SIGCHLD, raises)
    try:
        with pytest.raises(RuntimeError, match="a worker was killed"), holder.hold(FAST):
            assert moment == "at_put_back"
        assert signal.getsignal(signal.SIGCHLD) is raises
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert register.value == USERS
    assert journal.devices() == []


def test_a_signal_goes_before_what_another_handler_raises(holder, register, journal):
    def raises(number, frame):
        raise RuntimeError(f"a worker was killed, says signal {number} {frame}")

    register.at_put_back = lambda: signal.raise_signal(signal.SIGCHLD)
    before = signal.signal(signal.SIGCHLD, raises)
    try:
        with pytest.raises(Terminated), holder.hold(FAST):
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert register.value == USERS
    assert journal.devices() == []


def test_a_signal_that_comes_with_an_error_is_not_lost(holder, register):
    def both() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise UnreachableModeError("it shows 600")

    register.at_write = both
    with pytest.raises(Terminated), holder.hold(FAST):
        pass
    assert register.value == USERS


def test_handlers_of_others_are_called_and_come_back(holder, register):
    called: list[float] = []
    before = signal.signal(signal.SIGTERM, lambda *_: called.append(register.value))
    try:
        with holder.hold(FAST):
            os.kill(os.getpid(), signal.SIGTERM)
        assert called == [USERS]
        os.kill(os.getpid(), signal.SIGTERM)
        assert len(called) == 2
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("first", [0, 1])
def test_devices_may_be_let_go_of_in_any_order_and_the_handlers_are_those_before(tmp_path, journal, first):
    before = signal.getsignal(signal.SIGTERM)
    held = []
    for name in ("one", "another"):
        register = Register(tmp_path / name, journal)
        held.append(Holder(register, name=name, spec=name, journal=journal).hold(FAST))
        held[-1].__enter__()
    for one in (held[first], held[1 - first]):
        assert signal.getsignal(signal.SIGTERM) != before
        one.__exit__(None, None, None)
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_handlers_are_those_before_where_no_lock_can_be_let_go_of(holder, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)

    def note(_mode: object) -> None:
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"), holder.hold(FAST):
        monkeypatch.setattr(holder, "note", note)
    assert signal.getsignal(signal.SIGTERM) == before


def test_it_can_be_held_on_another_thread(holder, register):
    seen: list[float] = []

    def hold() -> None:
        with holder.hold(FAST):
            seen.append(register.value)

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert seen == [1200]
    assert register.value == USERS


def test_what_cannot_be_given_back_stays_in_the_journal(holder, register, journal):
    def fail() -> None:
        raise DeviceError("the bus is gone")

    register.at_put_back = fail
    with pytest.raises(DeviceError, match="bus"), holder.hold(FAST):
        pass
    assert journal.left_behind("toy") is not None
    register.at_put_back = lambda: None
    assert holder.restore()
    assert register.value == USERS
    assert not holder.restore()


def left_behind(journal: Journal, register: Register) -> None:
    """Do what a process does that is killed while it holds the fast mode."""
    journal.folder.mkdir()
    journal.keep("toy", spec="toy", device="a board", saved=register.save())
    register.write(FAST)


def test_what_a_killed_process_left_is_given_back_by_the_next_run(holder, register, journal, caplog):
    left_behind(journal, register)
    with holder.hold(SLOW):
        assert dict(journal.left_behind("toy").saved) == {"gpu_mhz": USERS}
    assert register.value == USERS
    assert "restored now" in caplog.text


def test_after_a_reboot_nothing_is_replayed(tmp_path, register, journal):
    boot = tmp_path / "boot_id"
    boot.write_text("first\n")
    kept = Journal(journal.folder, boot_id=boot)
    register.journal = kept
    left_behind(kept, register)
    boot.write_text("second\n")
    holder = Holder(register, name="a board", spec="toy", journal=kept)
    assert not holder.restore()
    assert register.value == 1200  # the state of the new boot is nobody's to change
    assert kept.devices() == []


def test_what_a_killed_process_left_is_restored_before_the_device_is_looked_at(holder, register, journal):
    left_behind(journal, register)
    with holder.reserve():
        assert register.value == USERS
        assert journal.left_behind("toy") is None


def test_a_journal_that_cannot_be_read_is_left_for_a_person(holder, journal):
    journal.folder.mkdir()
    (journal.folder / "toy.json").write_text("{")
    with pytest.raises(DeviceError, match="check the device by hand"), holder.hold(FAST):
        pass


def test_without_a_journal_the_device_is_not_changed(tmp_path, register):
    (tmp_path / "file").write_text("")
    holder = Holder(register, name="a board", spec="toy", journal=Journal(tmp_path / "file" / "journal"))
    with pytest.raises(DeviceError, match="cannot keep a journal"), holder.hold(FAST):
        pass
    assert register.value == USERS


HOLDING = """
import sys, time
from pathlib import Path
from powertrain.opening import open_device
board = open_device(sys.argv[1])
with board.reserved(), board.hold(board.space[5]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def board_spec(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return f"sim:orin-nano?state={tmp_path / 'board.json'}"


def holding(spec: str) -> Process:
    child = Process([sys.executable, "-c", HOLDING, spec], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_process_that_ends_gives_its_board_back_and_after_sigkill_the_next_one_does(board_spec, number):
    before = open_device(board_spec).mode
    with holding(board_spec) as child:
        held = open_device(board_spec)
        assert held.mode == held.space[5]
        with pytest.raises(DeviceBusyError, match=rf"another process \(pid {child.pid}\)"):
            held.restore()
        with pytest.raises(DeviceBusyError, match="wait for it or stop it"), held.hold(held.space[0]):
            pass
        child.send_signal(number)
        child.wait(timeout=PATIENCE_S)
    after = open_device(board_spec)
    assert (after.mode == before) == (number != signal.SIGKILL)
    assert after.restore() == (number == signal.SIGKILL)
    assert open_device(board_spec).mode == before


def test_a_board_whose_state_is_nonsense_is_refused(tmp_path):
    (tmp_path / "board.json").write_text(json.dumps({"row": 10**9, "tpcs": None}))
    with pytest.raises(DeviceError, match="holds no state"):
        open_device(f"sim:orin-nano?state={tmp_path / 'board.json'}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have been called by sudo")
def test_the_journal_of_root_is_roots_whoever_called_sudo(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("SUDO_UID", "1000")
    assert Journal().folder == Path("/var/lib/powertrain")
    monkeypatch.delenv("SUDO_UID")
    assert Journal().folder == tmp_path / "powertrain"


def test_a_process_that_was_forked_restores_nothing_when_it_ends_by_itself(holder, register):
    with contextlib.ExitStack() as stack:
        stack.enter_context(holder.hold(FAST))
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                stack.close()  # as the end of a process does, which collects what is left
            os._exit(0)
        os.waitpid(child, 0)
        assert register.value == FAST["gpu_mhz"]
        assert holder.lost() == ""
    assert register.value == USERS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_process_that_was_forked_leaves_the_device_alone_whatever_ends_it(holder, register, number):
    with holder.hold(FAST):
        child = os.fork()
        if not child:
            try:
                os.kill(os.getpid(), number)
                signal.pause()
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        assert register.value == FAST["gpu_mhz"]
        if number != signal.SIGINT:  # which Python turns into an exception
            assert os.WTERMSIG(status) == number
    assert register.value == USERS


def test_a_process_that_was_forked_does_not_keep_the_lock(holder, register, journal):
    with holder.hold(FAST):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(writer)
            os.read(reader, 1)  # until the first process has let go
            os._exit(0)
        os.close(reader)
    other = Holder(register, name="a board", spec="toy", journal=Journal(journal.folder))
    with other.hold(SLOW):
        assert journal.locks.holders(holder.key)[0].pid == os.getpid()
    os.close(writer)
    os.waitpid(child, 0)
