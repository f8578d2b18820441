"""What a model needs to be trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
from torch import Tensor, nn

__all__ = [
    "Images",
    "Minibatch",
    "Tokens",
    "TrainingTask",
    "adamw",
    "classification",
    "labels",
    "sgd",
]

Minibatch = tuple[Tensor, ...]


@final
@dataclass(frozen=True, kw_only=True)
class Images:
    """Square colour images, normalised."""

    side: int

    def draw(self, n: int, generator: torch.Generator | None) -> Tensor:
        """Draw `(n, 3, side, side)`."""
        return torch.randn(n, 3, self.side, self.side, generator=generator)


@final
@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Pieces of text, as the numbers of their words."""

    vocabulary: int
    length: int

    def draw(self, n: int, generator: torch.Generator | None) -> Tensor:
        """Draw `(n, length)`."""
        return labels(self.vocabulary, n, self.length, generator=generator)


@final
@dataclass(frozen=True, kw_only=True)
class TrainingTask:
    """A model with its minibatches, its loss and its optimiser."""

    model: nn.Module
    content: Images | Tokens
    """What the input of a sample is."""
    label: Callable[[int, torch.Generator | None], Minibatch]
    """Draw the labels of `n` samples at random, on the default device; a function that can be pickled."""
    loss: Callable[[nn.Module, Minibatch], Tensor]
    optimiser: torch.optim.Optimizer
    arrange: Callable[[Minibatch], Minibatch] | None = None
    """Makes of inputs and labels what the loss takes; None: it takes them."""

    def draw(self, n: int, generator: torch.Generator | None) -> Minibatch:
        """Draw a minibatch of `n` samples of real shape and random content, on the default device."""
        return self.arranged((self.content.draw(n, generator), *self.label(n, generator)))

    def arranged(self, minibatch: Minibatch) -> Minibatch:
        """Return what the loss takes, of inputs and labels."""
        return minibatch if self.arrange is None else self.arrange(minibatch)

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


def labels(classes: int, *shape: int, generator: torch.Generator | None) -> Tensor:
    """Draw labels of some shape."""
    return torch.randint(0, classes, shape, generator=generator)


def classification(
    model: nn.Module, *, side: int, classes: int, optimiser: torch.optim.Optimizer
) -> TrainingTask:
    """Return the task of telling classes of square colour images."""
    return TrainingTask(
        model=model,
        content=Images(side=side),
        label=partial(_class_labels, classes),
        loss=_class_loss,
        optimiser=optimiser,
    )


def _class_labels(classes: int, n: int, generator: torch.Generator | None) -> Minibatch:
    return (labels(classes, n, generator=generator),)


def _class_loss(model: nn.Module, minibatch: Minibatch) -> Tensor:
    inputs, truth = minibatch
    return nn.functional.cross_entropy(model(inputs), truth)
