"""Transformers: BERT base with a head for question answering, and a small vision transformer."""

from __future__ import annotations

from functools import partial
from typing import final

import torch
from torch import Tensor, nn

from powertrain.workloads.nets._task import Minibatch, Tokens, TrainingTask, adamw, classification, labels

__all__ = ["bert", "vit"]

BERT_VOCABULARY, BERT_POSITIONS, BERT_WIDTH = 30_522, 512, 768


@final
class _Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = (
            part(x).view(n, length, self.heads, width // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mixed = nn.functional.scaled_dot_product_attention(
            q, k, v, dropout_p=self.dropout if self.training else 0.0
        )
        return self.out(mixed.transpose(1, 2).reshape(n, length, width))


@final
class _Layer(nn.Module):
    """Attention and two dense layers, each with a residual; normalised before (ViT) or after (BERT)."""

    def __init__(self, width: int, heads: int, *, before: bool, dropout: float, eps: float) -> None:
        super().__init__()
        self.before = before
        self.attention = _Attention(width, heads, dropout)
        self.dense = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width, eps=eps) for _ in range(2)])
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        for part, norm in zip((self.attention, self.dense), self.norms, strict=True):
            x = x + self.drop(part(norm(x))) if self.before else norm(x + self.drop(part(x)))
        return x


@final
class _Bert(nn.Module):
    """BERT base (Devlin et al., 2019, arXiv 1810.04805); two scores per token: answer starts, answer ends."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(BERT_VOCABULARY, BERT_WIDTH)
        self.positions = nn.Embedding(BERT_POSITIONS, BERT_WIDTH)
        self.segments = nn.Embedding(2, BERT_WIDTH)
        self.norm = nn.LayerNorm(BERT_WIDTH, eps=1e-12)
        self.drop = nn.Dropout(0.1)
        layers = [_Layer(BERT_WIDTH, 12, before=False, dropout=0.1, eps=1e-12) for _ in range(12)]
        self.layers = nn.Sequential(*layers)
        self.answer = nn.Linear(BERT_WIDTH, 2)

    def forward(self, tokens: Tensor, segments: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.words(tokens) + self.positions(places) + self.segments(segments)
        return self.answer(self.layers(self.drop(self.norm(x))))


def bert(tokens: int = 128) -> TrainingTask:
    """Return BERT base for question answering: 108,893,186 parameters."""
    model = _Bert()
    return TrainingTask(
        model=model,
        content=Tokens(vocabulary=BERT_VOCABULARY, length=tokens),
        label=partial(_answers, tokens),
        loss=_answer_loss,
        optimiser=adamw(model),
    )


def _answers(tokens: int, n: int, generator: torch.Generator | None) -> Minibatch:
    return (
        labels(2, n, tokens, generator=generator),
        labels(tokens, n, generator=generator),
        labels(tokens, n, generator=generator),
    )


def _answer_loss(model: nn.Module, minibatch: Minibatch) -> Tensor:
    words, segments, start, end = minibatch
    scores = model(words, segments)
    first = nn.functional.cross_entropy(scores[..., 0], start)
    return (first + nn.functional.cross_entropy(scores[..., 1], end)) / 2


@final
class _Vit(nn.Module):
    """ViT-S/16 (Dosovitskiy et al., 2021, arXiv 2010.11929; the small size of arXiv 2012.12877)."""

    def __init__(self, side: int, width: int = 384) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, (side // 16) ** 2 + 1, width))
        layers = [_Layer(width, 6, before=True, dropout=0.0, eps=1e-6) for _ in range(12)]
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), patches], dim=1) + self.positions
        return self.head(self.norm(self.layers(x))[:, 0])


def vit(side: int = 224) -> TrainingTask:
    """Return ViT-S/16 on 1000 classes: 22,050,664 parameters at 224 x 224."""
    model = _Vit(side)
    return classification(model, side=side, classes=1000, optimiser=adamw(model))
