"""A loop with Accelerate; PowerTrain's are the import and the line that prepares the loader.

    python examples/train_accelerate.py
    powertrain profile examples/train_accelerate.py --device cpu --db own.db --modes grid -- --epochs 1000

It trains in several processes on one machine as well:

    torchrun --nproc-per-node 2 -m powertrain profile examples/train_accelerate.py \
        --device cpu --db own.db --modes grid -- --epochs 1000
"""

from __future__ import annotations

import argparse

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from powertrain.integrations.accelerate import measured


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    epochs = parser.parse_args().epochs
    set_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    inputs = torch.randn(2_048, 64)
    loader = DataLoader(TensorDataset(inputs, (inputs.sum(dim=1) > 0).long()), batch_size=32, shuffle=True)
    loader = measured(loader, accelerator)  # was: accelerator.prepare(loader)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 2))
    model, optimiser = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.05))
    for _ in range(epochs):
        for batch, truth in loader:
            with accelerator.accumulate(model):
                loss = nn.functional.cross_entropy(model(batch), truth)
                accelerator.backward(loss)
                optimiser.step()
                optimiser.zero_grad()
    accelerator.print(f"loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
