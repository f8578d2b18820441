"""U-Net (Ronneberger et al., 2015, arXiv 1505.04597), padded and with batch normalisation."""

from __future__ import annotations

from functools import partial
from typing import cast, final

import torch
from torch import Tensor, nn

from powertrain.workloads.nets._task import Images, Minibatch, TrainingTask, labels, sgd

__all__ = ["unet"]

CLASSES = 2


def _double(inputs: int, outputs: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for source in (inputs, outputs):
        conv = nn.Conv2d(source, outputs, 3, padding=1, bias=False)
        parts += [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


@final
class _UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = (64, 128, 256, 512, 1024)
        inputs = (3, *widths[:-1])
        self.down = nn.ModuleList([_double(i, o) for i, o in zip(inputs, widths, strict=True)])
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList([nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[-2::-1]])
        self.join = nn.ModuleList([_double(2 * w, w) for w in widths[-2::-1]])
        self.out = nn.Conv2d(widths[0], CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for level, part in enumerate(self.down):
            x = cast(Tensor, part(self.pool(x) if level else x))
            kept.append(x)
        for up, join, beside in zip(self.up, self.join, kept[-2::-1], strict=True):
            x = join(torch.cat([beside, up(x)], dim=1))
        return self.out(x)


def unet(side: int = 256) -> TrainingTask:
    """Return U-Net on two classes of pixels: 31,037,698 parameters."""
    model = _UNet()
    return TrainingTask(
        model=model,
        content=Images(side=side),
        label=partial(_masks, side),
        loss=_loss,
        optimiser=sgd(model),
    )


def _masks(side: int, n: int, generator: torch.Generator | None) -> Minibatch:
    return (labels(CLASSES, n, side, side, generator=generator),)


def _loss(model: nn.Module, minibatch: Minibatch) -> Tensor:
    inputs, truth = minibatch
    return nn.functional.cross_entropy(model(inputs), truth)
