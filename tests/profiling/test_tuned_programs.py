"""Programs with `powertrain.tuned` in them: what they leave behind, whatever ends them."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from tests.processes import Process

from powertrain.dataset import open_store
from powertrain.opening import open_device

HEAD = """
import os, sys, time
import powertrain as pt
from powertrain.profiling import Procedure

board = pt.open_device(sys.argv[1])
job = board.job("lstm")
how = dict(device=board, max_power_w=11, trials=3, procedure=Procedure(precision=0.5), store=sys.argv[2])

def loop(n):
    return pt.tuned(range(n), **how)
"""


@pytest.fixture
def spec(tmp_path):
    """A simulated board that keeps its mode in a file, as hardware does."""
    spec = f"sim:orin-nano?off=noise&state={tmp_path / 'board.json'}"
    board = open_device(spec)
    with board.hold(board.space[7]):
        pass  # the file is there now
    return spec


@pytest.fixture
def state(tmp_path):
    return lambda: json.loads((tmp_path / "board.json").read_text())


@pytest.fixture
def start(tmp_path, spec):
    def starter(text: str):
        path = tmp_path / "train.py"
        path.write_text(HEAD + textwrap.dedent(text))
        command = [sys.executable, str(path), spec, str(tmp_path / "p.db")]
        return Process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return starter


def ended(process):
    out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def test_a_program_holds_the_best_mode_to_its_end_and_restores_the_device(start, state):
    before = state()
    code, out, err = ended(
        start(
            """
            loader = loop(1000)
            for epoch in range(3):
                for _ in loader:
                    job.step()
                print(epoch, board.state()["row"])
            for _ in range(3):
                pt.step()  # what else there is reports to the same tuning
            """
        )
    )
    assert (code, err) == (0, "")
    rows = [int(line.split()[1]) for line in out.splitlines()]
    assert rows[1] == rows[2] != before["row"]
    assert state() == before


@pytest.mark.parametrize(
    ("end", "code", "message"),
    [
        ("raise RuntimeError('the loss is nan')", 1, "RuntimeError: the loss is nan"),
        ("os.kill(os.getpid(), 15)", -signal.SIGTERM, ""),
        ("os.kill(os.getpid(), 2)", -signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_whatever_ends_a_program_its_exit_code_is_its_own_and_the_device_is_restored(
    start, state, end, code, message
):
    before = state()
    found, _, err = ended(
        start(
            f"""
            for batch in loop(10**6):
                job.step()
                if batch == 2000:
                    assert board.state()["row"] != {before["row"]}
                    {end}
            """
        )
    )
    assert found == code, err
    assert message in err
    assert state() == before


def test_a_forked_process_restores_nothing_and_trains_as_it_is(start, state):
    before = state()
    code, out, err = ended(
        start(
            """
            loader = loop(2000)
            for _ in loader:
                job.step()
            held = board.state()["row"]
            sys.stdout.flush()
            if not os.fork():
                print(sum(1 for _ in loader))
                sys.exit()
            os.wait()
            print(board.state()["row"] == held)
            """
        )
    )
    assert (code, err) == (0, "")
    assert out.split() == ["2000", "True"]
    assert state() == before


def test_a_program_that_is_killed_loses_no_trial_and_goes_on_from_there(start, state, spec, tmp_path):
    """Killed at random moments until a run comes to its end, which happens sooner with each trial kept."""
    before, chance, known = state(), random.Random(0), 0
    text = """
        print("ready", flush=True)
        for _ in loop(4000):
            job.step()
            time.sleep(0.0002)
        print("done", flush=True)
        """
    for _ in range(5):
        process = start(text)
        assert process.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.05, 1.2))
        process.kill()
        ended(process)
        open_device(spec).restore()
        assert state() == before
        with open_store(tmp_path / "p.db") as store:
            kept = len(store.profiles())
        assert kept >= known
        known = kept
    code, out, err = ended(start(text))
    assert (code, out, err) == (0, "ready\ndone\n", "")
    with open_store(tmp_path / "p.db") as store:
        assert len(store.profiles()) <= 8  # three trials; the state that it was found in is looked at anew
    assert state() == before
