"""Children that are forked while a device is held: they hold nothing, whatever becomes of them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import nullcontext

import pytest
from tests.devices.cpu.test_cpu import ends, policy
from tests.devices.files import MemorySysfs

from powertrain.cli._root import _terminated_as_by_ctrl_c
from powertrain.devices import Journal
from powertrain.devices.cpu import CpuDevice
from powertrain.errors import DeviceBusyError
from powertrain.records import PowerMode

MODE = PowerMode(cpu_cores=1, cpu_mhz=1200)


@pytest.fixture
def device(tmp_path):
    sysfs = MemorySysfs()
    policy(sysfs, 0)
    return CpuDevice("cpu_cores=1", sysfs=sysfs, journal=Journal(tmp_path / "journal"))


def in_child(do) -> int:
    """Run something in a forked child; return how that ended, as a shell tells it."""
    child = os.fork()
    if not child:
        try:
            do()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_worker_that_is_terminated_ends_by_its_signal_and_leaves_the_mode_and_the_journal(device, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with device.hold(MODE):
        child = os.fork()
        if not child:
            while True:
                time.sleep(1)
        time.sleep(0.2)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        assert device.still_holds() == ""
        assert Journal(tmp_path / "journal").devices() == ["cpu"]
    assert Journal(tmp_path / "journal").devices() == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_child_that_leaves_the_block_restores_nothing(device, tmp_path):
    held = device.hold(MODE)
    held.__enter__()
    assert in_child(lambda: held.__exit__(None, None, None)) == 0
    assert Journal(tmp_path / "journal").devices() == ["cpu"]
    assert device.still_holds() == ""
    held.__exit__(None, None, None)
    assert Journal(tmp_path / "journal").devices() == []


def test_a_lock_does_not_outlive_its_process_in_a_child(tmp_path):
    read, write = os.pipe()
    journal = Journal(tmp_path)
    parent = os.fork()
    if not parent:
        with journal.locks.locked("cpu"):
            if not os.fork():
                os.write(write, f"{os.getpid()}\n".encode())
                time.sleep(30)
                os._exit(0)
            time.sleep(30)
    grandchild = int(os.read(read, 32))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    try:
        with journal.locks.locked("cpu"):
            assert [held.pid for held in journal.locks.holders("cpu")] == [os.getpid()]
    finally:
        os.kill(grandchild, signal.SIGKILL)


def test_a_child_cannot_free_the_lock_of_its_parent(tmp_path):
    journal = Journal(tmp_path)
    with journal.locks.locked("cpu"):
        assert in_child(lambda: None) == 0
        read, write = os.pipe()

        def try_it() -> None:
            try:
                with Journal(tmp_path).locks.locked("cpu"):
                    os.write(write, b"locked")
            except DeviceBusyError:
                os.write(write, b"busy")

        in_child(try_it)
        assert os.read(read, 16) == b"busy"


def test_the_clock_is_as_before_after_a_training_whose_pool_is_forked_and_terminated(device):
    sysfs = device._files.sysfs
    with device.hold(MODE):
        for _ in range(3):
            child = os.fork()
            if not child:
                time.sleep(30)
                os._exit(0)
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
        assert ends(sysfs, "/sys/devices/system/cpu/cpufreq/policy0") == (1200000, 1200000)
    assert ends(sysfs, "/sys/devices/system/cpu/cpufreq/policy0") == (1200000, 2400000)


@pytest.mark.parametrize("held", [False, True])
def test_a_worker_under_the_command_line_ends_by_signals_as_it_does_without(device, held):
    # With a handler of Python's, one that is terminated when it goes to sleep does not end.
    def look() -> None:
        as_usual = [signal.getsignal(n) == signal.SIG_DFL for n in (signal.SIGTERM, signal.SIGHUP)]
        os._exit(0 if all(as_usual) else 1)

    with _terminated_as_by_ctrl_c(), device.hold(MODE) if held else nullcontext():
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        assert in_child(look) == 0


def test_a_worker_keeps_the_handlers_of_the_program_that_forks_it(device):
    def own(number, frame) -> None:
        pass

    before = signal.signal(signal.SIGTERM, own)
    try:
        with device.hold(MODE):
            assert in_child(lambda: os._exit(0 if signal.getsignal(signal.SIGTERM) == own else 1)) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
