"""What a model needs to be trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

__all__ = ["Minibatch", "TrainingTask", "adamw", "classification", "images", "labels", "sgd"]

Minibatch = tuple[Tensor, ...]


@final
@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """A model with its minibatches, its loss and its optimiser."""

    model: nn.Module
    draw: Callable[[int, torch.Generator | None], Minibatch]
    """Draw a minibatch of `n` samples of real shape and random content, on the default device."""
    loss: Callable[[nn.Module, Minibatch], Tensor]
    optimiser: torch.optim.Optimizer

    def step(self, minibatch: Minibatch) -> Tensor:
        """Train on one minibatch, which is on the model's device; return the loss before the update."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.loss(self.model, minibatch)
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        self.optimiser.step()
        return loss.detach()


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of the convolutional nets and the LSTM."""
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, foreach=True)


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of the transformers."""
    return torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, foreach=True)


def images(n: int, channels: int, side: int, generator: torch.Generator | None) -> Tensor:
    """Draw `(n, channels, side, side)` normalised images."""
    return torch.randn(n, channels, side, side, generator=generator)


def labels(classes: int, *shape: int, generator: torch.Generator | None) -> Tensor:
    """Draw labels of some shape."""
    return torch.randint(0, classes, shape, generator=generator)


def classification(
    model: nn.Module, *, side: int, classes: int, optimiser: torch.optim.Optimizer
) -> TrainingTask:
    """Return the task of telling classes of square colour images."""

    def draw(n: int, generator: torch.Generator | None) -> Minibatch:
        return images(n, 3, side, generator), labels(classes, n, generator=generator)

    def loss(model: nn.Module, minibatch: Minibatch) -> Tensor:
        inputs, truth = minibatch
        return nn.functional.cross_entropy(model(inputs), truth)

    return TrainingTask(model=model, draw=draw, loss=loss, optimiser=optimiser)
