"""An emulated board ends with its process, and nothing of it stays in the folder for temporary files."""

from __future__ import annotations

import gc
import os
import sys

import pytest
from tests.processes import Process

import powertrain as pt
from powertrain.records import PowerMode


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_board_that_is_let_go_leaves_nothing(temporary):
    board = pt.open_device("emulated:orin-nano@jp6")
    with board.hold_some(PowerMode(gpu_mhz=306)):
        assert list(temporary.iterdir())
    del board
    gc.collect()
    assert not list(temporary.iterdir())


def test_what_a_killed_process_left_is_removed_and_what_others_use_stays(temporary):
    with Process([sys.executable, "-c", ""]) as ended:
        pass
    left, used, other = (
        temporary / f"powertrain-emulated-{name}" for name in (f"{ended.pid}-x", f"{os.getppid()}-x", "x")
    )
    for folder in (left, used, other):
        folder.mkdir()
        (folder / "emulated.json").touch()
    board = pt.open_device("emulated:orin-nano@jp6")
    assert board.simulated
    assert not left.exists()
    assert used.exists()
    assert other.exists()


def test_a_fork_leaves_its_parents_folder(temporary):
    board = pt.open_device("emulated:orin-nano@jp6")
    before = sorted(temporary.iterdir())
    child = os.fork()
    if child == 0:
        del board
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert sorted(temporary.iterdir()) == before
    del board
