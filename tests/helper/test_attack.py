"""The benchmark that attacks, with few signals."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ATTACK = Path(__file__).parents[2] / "benchmarks/attack.py"


@pytest.mark.timeout(300)
@pytest.mark.skipif(find_spec("torch") is None, reason="the trainings are forked from a process with PyTorch")
def test_trainings_that_fork_and_get_signals_leave_everything_as_it_was():
    options = ("--attacks", "--signals", "2", "--lanes", "cpu-fork", "--plain", "0")
    done = subprocess.run([sys.executable, ATTACK, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 signals" in done.stdout
