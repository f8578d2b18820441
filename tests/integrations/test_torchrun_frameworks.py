"""Frameworks that train in several processes on one board: the first measures, and all end alike."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.integrations.torchrun import LEAVE_AT_ONCE, losses_of, torchrun

from powertrain.dataset import open_store

torch = pytest.importorskip("torch")
if not torch.distributed.is_available():
    pytest.skip("this PyTorch trains in one process", allow_module_level=True)

pytestmark = pytest.mark.timeout(300)  # processes of their own, which import a lot
PYTORCH = """
dist.init_process_group("gloo")
model = nn.parallel.DistributedDataParallel(nn.Linear(64, 2))
optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
with kept() as losses:
    for step in range(int(sys.argv[1])):
        loss = loss_of(model, torch.full((8, 64), 0.01 * (step % 50)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        pt.step()
dist.destroy_process_group()
"""
LIGHTNING = """
import lightning
from powertrain.integrations.lightning import PowerTrainCallback

class Module(lightning.LightningModule):
    def __init__(self, losses):
        super().__init__()
        self.model, self.losses = nn.Linear(64, 2), losses

    def training_step(self, batch, index):
        loss = loss_of(self.model, batch)
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch, index):
        loss_of(self.model, batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

with kept() as losses:
    lightning.Trainer(
        max_steps=int(sys.argv[1]), max_epochs=-1, accelerator="cpu", devices=2, strategy="ddp", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        accumulate_grad_batches=2, callbacks=[PowerTrainCallback()],
    ).fit(Module(losses), loader(), loader())
"""
ACCELERATE = """
from accelerate import Accelerator
from powertrain.integrations.accelerate import measured

accelerator = Accelerator(cpu=True, gradient_accumulation_steps=3)
model = nn.Linear(64, 2)
model, optimiser = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
batches = measured(loader(), accelerator)
with kept() as losses:
    while len(losses) < int(sys.argv[1]):
        for batch in batches:
            with accelerator.accumulate(model):
                loss = loss_of(model, batch)
                accelerator.backward(loss)
                optimiser.step()
                optimiser.zero_grad()
            losses.append(loss.item())
accelerator.end_training()
"""
START = """
import contextlib, os, sys
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader
import powertrain as pt

torch.manual_seed(0)

def loss_of(model, batch):
    return nn.functional.cross_entropy(model(batch), torch.zeros(len(batch), dtype=torch.long))

def loader():
    return DataLoader(torch.arange(200 * 64).reshape(200, 64) / 1e4, batch_size=5)

@contextlib.contextmanager
def kept():
    losses = []
    try:
        yield losses
    finally:
        with open("losses" + os.environ.get("LOCAL_RANK", "0"), "w") as file:
            file.write(repr(losses))
"""
SCRIPTS = {"torch": PYTORCH, "lightning": LIGHTNING, "accelerate": ACCELERATE}
PROFILE = ("-m", "powertrain", "profile", "train.py", "--device", "cpu", "--db", "p.db", "--modes", "grid")


def ran(folder: Path, *command: object) -> list[list[float]]:
    """Run a command in a folder; return the losses of the two processes."""
    done = torchrun(folder, *command)
    assert done.returncode == 0, done.stderr
    return losses_of(folder)


@pytest.mark.parametrize("package", SCRIPTS)
def test_all_processes_train_the_same_number_of_steps_with_the_same_losses(package, tmp_path):
    pytest.importorskip(package, reason="needs the group 'integrations'")
    (tmp_path / "train.py").write_text(START + SCRIPTS[package] + LEAVE_AT_ONCE)
    measured = ran(tmp_path, *PROFILE, "--precision", 50, "--", 10**6)
    with open_store(tmp_path / "p.db") as store:
        assert len(store.profiles()) == len(os.sched_getaffinity(0))
    assert len(measured[0]) == len(measured[1])
    steps = min(len(measured[0]), 60)
    assert steps >= 20
    plain = ran(tmp_path, "train.py", steps)
    assert [losses[:steps] for losses in plain] == [losses[:steps] for losses in measured]


@pytest.mark.parametrize("rank", [0, 1])
def test_an_exception_in_one_process_ends_all_of_them(rank, tmp_path):
    fails = f"        if step == 40 and dist.get_rank() == {rank}: 1 / 0\n        pt.step()\n"
    (tmp_path / "train.py").write_text(START + PYTORCH.replace("        pt.step()\n", fails))
    done = torchrun(tmp_path, *PROFILE, "--", 10**6)
    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stderr
    assert "train.py" in done.stderr
