"""The examples run as their first lines say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from powertrain.dataset import open_store

pytest.importorskip("torch", reason="the example trains with PyTorch")

EXAMPLES = Path(__file__).parents[1] / "examples"
EXAMPLE, PLAIN, TUNED = (EXAMPLES / f"{name}.py" for name in ("own_training", "train_pytorch", "train_tuned"))


def ran(*arguments: object) -> str:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_a_script_with_the_two_lines_runs_by_itself_as_before():
    assert ran(EXAMPLE, "--epochs", "2").startswith("epoch 0: loss 0.")


def test_the_script_is_measured_as_it_is(tmp_path):
    options = ("--device", "cpu", "--db", tmp_path / "own.db", "--modes", "grid", "--precision", "50")
    shown = ran("-m", "powertrain", "profile", EXAMPLE, *options, "--", "--epochs", "500")
    with open_store(tmp_path / "own.db") as store:
        profiles = store.profiles(workload="own_training.py")
    assert f"{len(profiles)} modes of own_training.py" in shown
    assert profiles
    assert all(p.time_ms > 0 for p in profiles)
    assert "torch" in profiles[0].extra


def test_the_function_follows_the_knobs_of_the_training(tmp_path):
    device = "cpu?cpu_cores=1&batch_size=16,64&loader_workers=0,1"
    options = ("--device", device, "--db", tmp_path / "own.db", "--modes", "grid", "--precision", "50")
    ran("-m", "powertrain", "profile", f"{EXAMPLE}:make_training", "--name", "mine", *options)
    with open_store(tmp_path / "own.db") as store:
        profiles = store.profiles(workload="mine")
    assert len({p.mode for p in profiles}) == 4


def test_a_script_tunes_itself_and_learns_what_it_learns_without():
    tuned = ran(TUNED, "--device", "cpu?cpu_cores=1", "--epochs", "10").splitlines()
    assert tuned[0].startswith("train_tuned.py on ")
    assert tuned[-1].startswith("loss 0.")


def test_a_script_is_tuned_as_it_is_and_prints_what_it_prints_without(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # sums are added up in one order
    options = ("--device", "cpu?cpu_cores=1", "--precision", "50")
    plain = ran(PLAIN, "--steps", "1500")
    assert ran("-m", "powertrain", "tune", PLAIN, *options, "--", "--steps", "1500") == plain
