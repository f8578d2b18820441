"""A word-level language model: an LSTM of two layers with tied embeddings."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from powertrain.workloads.nets._task import Minibatch, Tokens, TrainingTask, sgd

__all__ = ["lstm"]

VOCABULARY = 33_278  # of WikiText-2
WIDTH = 232  # gives the 8.6 million parameters that are remembered of the paper's model


@final
class _LanguageModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.drop = nn.Dropout(0.2)
        self.recurrent = nn.LSTM(WIDTH, WIDTH, num_layers=2, dropout=0.2, batch_first=True)
        self.next_word = nn.Linear(WIDTH, VOCABULARY)
        self.next_word.weight = self.words.weight

    def forward(self, words: Tensor) -> Tensor:
        states, _ = self.recurrent(self.drop(self.words(words)))
        return self.next_word(self.drop(states))


def lstm(tokens: int = 32) -> TrainingTask:
    """Return the language model: 8,618,670 parameters."""
    model = _LanguageModel()
    return TrainingTask(
        model=model,
        content=Tokens(vocabulary=VOCABULARY, length=tokens + 1),
        label=_no_labels,
        arrange=_shifted,
        loss=_loss,
        optimiser=sgd(model),
    )


def _no_labels(n: int, generator: torch.Generator | None) -> Minibatch:
    return ()


def _shifted(minibatch: Minibatch) -> Minibatch:
    (text,) = minibatch
    return text[:, :-1].contiguous(), text[:, 1:].contiguous()


def _loss(model: nn.Module, minibatch: Minibatch) -> Tensor:
    words, following = minibatch
    return nn.functional.cross_entropy(model(words).flatten(0, 1), following.flatten())
