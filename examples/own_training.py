r"""A training of your own, in the two forms that PowerTrain measures.

As a script, which stays runnable as it is; two lines are PowerTrain's:

    python examples/own_training.py --epochs 2
    powertrain profile examples/own_training.py --device cpu --db own.db --modes grid -- --epochs 100

As a function that makes the training, so that minibatch size and loading processes can be knobs, too:

    powertrain profile examples/own_training.py:make_training --db own.db --modes 6 \
        --device "cpu?batch_size=16,32,64&loader_workers=0,1"
"""

from __future__ import annotations

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import powertrain as pt

SAMPLES = 2_000


def data(batch_size: int, loader_workers: int) -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(SAMPLES, 64, generator=generator)
    return DataLoader(
        TensorDataset(inputs, (inputs.sum(dim=1) > 0).long()),
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=loader_workers,
    )


def model_and_optimiser() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Sequential(
        nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 2)
    )
    return model, torch.optim.SGD(model.parameters(), lr=0.05)


def train_on(
    model: nn.Module, optimiser: torch.optim.Optimizer, inputs: torch.Tensor, truth: torch.Tensor
) -> float:
    optimiser.zero_grad()
    loss = nn.functional.cross_entropy(model(inputs), truth)
    loss.backward()
    optimiser.step()
    return float(loss)


def make_training(batch_size: int = 32, loader_workers: int = 0):
    """Train for ever; each `yield` ends a minibatch. The arguments are knobs."""
    model, optimiser = model_and_optimiser()
    while True:
        for inputs, truth in data(batch_size, loader_workers):
            train_on(model, optimiser, inputs, truth)
            yield


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    model, optimiser = model_and_optimiser()
    loader = pt.measured(data(32, loader_workers=0))
    for epoch in range(parser.parse_args().epochs):
        losses = [train_on(model, optimiser, inputs, truth) for inputs, truth in loader]
        print(f"epoch {epoch}: loss {sum(losses) / len(losses):.3f}")


if __name__ == "__main__":
    main()
