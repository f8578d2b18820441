"""A plain PyTorch loop without a loader; PowerTrain's are the import and `pt.step()`.

    python examples/train_pytorch.py
    powertrain profile examples/train_pytorch.py --device cpu --db own.db --modes grid -- --steps 100000

It trains in several processes on one machine as well:

    torchrun --nproc-per-node 2 -m powertrain profile examples/train_pytorch.py \
        --device cpu --db own.db --modes grid -- --steps 100000
"""

from __future__ import annotations

import argparse
import os

import torch
from torch import nn

import powertrain as pt


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    steps = parser.parse_args().steps
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 2))
    if "WORLD_SIZE" in os.environ:  # torchrun started this
        torch.distributed.init_process_group("gloo")
        model = nn.parallel.DistributedDataParallel(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in range(steps):
        inputs = torch.randn(32, 64)
        loss = nn.functional.cross_entropy(model(inputs), (inputs.sum(dim=1) > 0).long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.6f}")
        pt.step()
    print(f"loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
