"""A PyTorch training that tunes itself; PowerTrain's are the import and the line with `pt.tuned`.

    python examples/train_tuned.py
    python examples/train_tuned.py --max-power 30

The first minibatches are the trials; the rest runs in the best mode that was measured to keep the limit.
"""

from __future__ import annotations

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import powertrain as pt


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--max-power", type=float)
    given = parser.parse_args()
    torch.manual_seed(0)
    inputs = torch.randn(2_000, 64)
    loader = DataLoader(TensorDataset(inputs, (inputs.sum(dim=1) > 0).long()), batch_size=32, shuffle=True)
    loader = pt.tuned(loader, device=given.device, max_power_w=given.max_power, say=print)

    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 2))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(given.epochs):
        for batch, truth in loader:
            loss = nn.functional.cross_entropy(model(batch), truth)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    print(f"loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
