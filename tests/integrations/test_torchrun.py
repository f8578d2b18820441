"""A training that runs as several processes on one board."""

from __future__ import annotations

import ast

import pytest
from tests.integrations.torchrun import LEAVE_AT_ONCE, losses_of, torchrun

from powertrain.dataset import open_store

pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(400)  # each starts PyTorch four to six times

SCRIPT = (
    """
import os, sys
import torch
import torch.distributed as dist
from torch import nn
import powertrain as pt

dist.init_process_group("gloo")
torch.manual_seed(0)
torch.set_num_threads(1)
model = nn.parallel.DistributedDataParallel(nn.Linear(64, 2))
optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
every = int(sys.argv[2])
losses = []
batches = pt.measured([torch.full((8, 64), 0.01 * i) for i in range(50)], every=every)
try:
    for epoch in range(int(sys.argv[1])):
        for i, batch in enumerate(batches):
            with model.no_sync() if (i + 1) % every else torch.enable_grad():
                loss = nn.functional.cross_entropy(model(batch), torch.zeros(8, dtype=torch.long))
                loss.backward()
            losses.append(loss.item())
            if (i + 1) % every == 0:
                optimiser.step()
                optimiser.zero_grad()
finally:
    with open(f"losses{os.environ['RANK']}", "w") as file:
        file.write(repr(losses))
dist.destroy_process_group()
"""
    + LEAVE_AT_ONCE
)


def profiled(folder, *, every: int):
    (folder / "train.py").write_text(SCRIPT)
    options = ("--device", "cpu", "--db", "p.db", "--modes", "grid", "--precision", "50", "--json")
    ran = torchrun(folder, "-m", "powertrain", "profile", "train.py", *options, "--", 10**6, every)
    assert ran.returncode == 0, ran.stderr
    with open_store(folder / "p.db") as store:
        assert store.profiles()
    assert ran.stdout.count('"measured"') == 1  # one of them says what was done
    first, second = losses_of(folder)
    assert len(first) == len(second)
    return first, second


def test_one_process_measures_and_all_end_together_with_the_losses_that_they_have_without(tmp_path):
    measured = profiled(tmp_path, every=1)
    steps = min(len(measured[0]), 100)
    assert steps >= 20
    ran = torchrun(tmp_path, "train.py", 2, 1)
    assert ran.returncode == 0, ran.stderr
    assert [losses[:steps] for losses in losses_of(tmp_path)] == [found[:steps] for found in measured]


def test_all_end_together_where_gradients_are_accumulated(tmp_path):
    first, second = profiled(tmp_path, every=5)
    assert len(first) == len(second) > 0


def slower(script):
    """A script whose minibatches take long enough for trials; it tells on how many cores they ran."""
    taken = "losses.append(loss.item()); time.sleep(0.005); cores.append(len(os.sched_getaffinity(0)))"
    told = "with open(f\"cores{os.environ['RANK']}\", 'w') as file:\n    file.write(repr(cores))\n"
    script = script.replace("losses.append(loss.item())", taken).replace(
        "losses = []", "losses, cores = [], []"
    )
    return "import time" + script.replace("dist.destroy", f"{told}dist.destroy")


@pytest.fixture(scope="module")
def untuned(tmp_path_factory):
    """The losses of ten epochs without tuning."""
    folder = tmp_path_factory.mktemp("untuned")
    (folder / "train.py").write_text(slower(SCRIPT))
    ran = torchrun(folder, "train.py", 10, 1)
    assert ran.returncode == 0, ran.stderr
    return losses_of(folder)


def test_one_process_tunes_and_the_others_follow_to_the_end_with_the_losses_that_they_have_without(
    untuned, tmp_path
):
    (tmp_path / "train.py").write_text(slower(SCRIPT))
    options = ("--device", "cpu", "--db", "p.db", "--precision", "50")
    ran = torchrun(tmp_path, "-m", "powertrain", "tune", "train.py", *options, "--", 10, 1)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("powertrain: as found ") == 1  # one of them says what was done
    with open_store(tmp_path / "p.db") as store:
        assert store.profiles()
    assert losses_of(tmp_path) == untuned


def test_a_script_that_tunes_itself_does_the_same_without_the_command(untuned, tmp_path):
    how = (
        "every=every, device='cpu', store='p.db', say=lambda told: print(told, file=sys.stderr), "
        "procedure=pt.profiling.Procedure(precision=0.5))"
    )
    script = SCRIPT.replace("pt.measured(", "pt.tuned(").replace("every=every)", how)
    (tmp_path / "train.py").write_text(
        slower(script).replace("import powertrain", "import powertrain.profiling, powertrain")
    )
    ran = torchrun(tmp_path, "train.py", 10, 1)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("as found ") == 1
    held = [line for line in ran.stderr.splitlines() if line.startswith("holding cpu_cores=")]
    assert len(held) == 1, ran.stderr
    with open_store(tmp_path / "p.db") as store:
        assert store.profiles()
    assert losses_of(tmp_path) == untuned
    cores = [ast.literal_eval((tmp_path / f"cores{rank}").read_text()) for rank in range(2)]
    decided = int(held[0].removeprefix("holding cpu_cores=").split()[0])
    assert [one[-1] for one in cores] == [decided, decided]  # both went on in the mode that one decided on
    assert set(cores[1]) == set(cores[0])  # and both went through the trials
