"""What the tests train: the same little data, and what a training leaves behind to the last bit."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Trained(NamedTuple):
    """What a training leaves behind."""

    losses: list[float]
    weights: list[torch.Tensor]
    random_state: tuple[Any, ...]

    def assert_same_as(self, other: Trained) -> None:
        """Compare to the last bit."""
        assert self.losses == other.losses
        for one, another in zip(self.weights, other.weights, strict=True):
            assert torch.equal(one, another)
        for one, another in zip(self.random_state, other.random_state, strict=True):
            assert one == another


def seed_everything() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def trained(losses: list[float], weights: Any) -> Trained:
    state = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    return Trained(losses, [torch.as_tensor(w).detach().clone() for w in weights], state)


def dataset(n: int = 320) -> TensorDataset:
    inputs = torch.randn(n, 8, generator=torch.Generator().manual_seed(0))
    return TensorDataset(inputs, (inputs.sum(dim=1) > 0).long())


def loader(n: int = 320, **options: Any) -> DataLoader:
    return DataLoader(dataset(n), **{"batch_size": 5, "shuffle": True, **options})


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 2))
