from __future__ import annotations

import contextlib
import errno
import os
import threading
import time

import pytest
from tests.waiting import until

from powertrain.devices._sysfs import RealSysfs

NODE = "/sys/class/devfreq/gpu-gpc-0"


@pytest.fixture
def root(tmp_path):
    """A folder that stands for the root of a board, on which reading the least GPU clock never ends."""
    folder = tmp_path / NODE.lstrip("/")
    folder.mkdir(parents=True)
    os.mkfifo(folder / "min_freq")
    (folder / "max_freq").write_text("1575000000\n")
    return tmp_path


def readers() -> int:
    return sum(thread.name == "powertrain-read" for thread in threading.enumerate())


def test_a_file_of_devfreq_that_never_answers_is_an_error_in_time_and_asked_by_one_reader_only(root):
    sysfs = RealSysfs(root, patience_s=0.05)
    for _ in range(3):
        with pytest.raises(TimeoutError) as error:
            sysfs.read(f"{NODE}/min_freq")
        assert error.value.errno == errno.ETIMEDOUT
        assert error.value.filename == f"{NODE}/min_freq"
    assert readers() == 1
    (root / f"{NODE}/min_freq".lstrip("/")).write_text("315000000\n")  # lets the reader go
    while readers():
        time.sleep(0.001)


def test_a_file_that_has_answered_late_is_asked_again(root):
    sysfs = RealSysfs(root, patience_s=0.05)
    with pytest.raises(TimeoutError):
        sysfs.read(f"{NODE}/min_freq")
    path = root / f"{NODE}/min_freq".lstrip("/")
    path.write_text("1\n")
    while readers():
        time.sleep(0.001)
    path.unlink()
    path.write_text("315000000\n")

    def read() -> str:
        with contextlib.suppress(TimeoutError):  # this machine may be busy
            return sysfs.read(f"{NODE}/min_freq")
        return ""

    until(lambda: read() == "315000000")


def test_what_answers_and_what_is_not_there_are_told_as_ever(root):
    sysfs = RealSysfs(root)
    assert sysfs.read(f"{NODE}/max_freq") == "1575000000"
    assert sysfs.read_or(f"{NODE}/cur_freq", "none") == "none"
    with pytest.raises(FileNotFoundError):
        sysfs.read(f"{NODE}/cur_freq")
