"""A detector of the class of YOLOv8n: CSP backbone, path-aggregation neck, anchor-free decoupled head.

Architecture and loss follow the nano size of Ultralytics' YOLOv8 (its published configuration): box sides as
distributions over 16 bins (arXiv 2006.04388), targets assigned by task alignment (arXiv 2108.07755), complete
IoU (arXiv 1911.08287). All shapes are static, so a training step can be counted without data.
"""

from __future__ import annotations

import math
from functools import partial
from typing import cast, final

import torch
from torch import Tensor, nn

from powertrain.workloads.nets._task import Images, Minibatch, TrainingTask, labels, sgd

__all__ = ["yolo"]

CLASSES, BINS = 80, 16
STRIDES = (8, 16, 32)
MOST_BOXES = 16  # of an image; absent ones are masked
NEAREST = 10  # anchors that each box may take
GAIN_BOX, GAIN_CLASS, GAIN_BINS = 7.5, 0.5, 1.5


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03), nn.SiLU(inplace=True))


@final
class _Bottleneck(nn.Module):
    def __init__(self, width: int, *, residual: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width, 3), _conv(width, width, 3))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


@final
class _C2f(nn.Module):
    """Half of the channels pass through bottlenecks, and every stage's result is kept."""

    def __init__(self, inputs: int, outputs: int, count: int = 1, *, residual: bool = False) -> None:
        super().__init__()
        half = outputs // 2
        self.enter = _conv(inputs, 2 * half)
        self.stages = nn.ModuleList([_Bottleneck(half, residual=residual) for _ in range(count)])
        self.leave = _conv((2 + count) * half, outputs)

    def forward(self, x: Tensor) -> Tensor:
        kept = list(self.enter(x).chunk(2, 1))
        for stage in self.stages:
            kept.append(stage(kept[-1]))
        return self.leave(torch.cat(kept, 1))


@final
class _Sppf(nn.Module):
    """Pools three times and keeps all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = _conv(width, width // 2)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.leave = _conv(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        kept = [self.enter(x)]
        for _ in range(3):
            kept.append(self.pool(kept[-1]))
        return self.leave(torch.cat(kept, 1))


@final
class _Detector(nn.Module):
    """Maps `(n, 3, h, w)` to `(n, anchors, 4 * BINS + CLASSES)` raw scores."""

    def __init__(self) -> None:
        super().__init__()
        self.shallow = nn.Sequential(
            _conv(3, 16, 3, 2),
            _conv(16, 32, 3, 2),
            _C2f(32, 32, 1, residual=True),
            _conv(32, 64, 3, 2),
            _C2f(64, 64, 2, residual=True),
        )
        self.middle = nn.Sequential(_conv(64, 128, 3, 2), _C2f(128, 128, 2, residual=True))
        self.deep = nn.Sequential(_conv(128, 256, 3, 2), _C2f(256, 256, 1, residual=True), _Sppf(256))
        self.grow = nn.Upsample(scale_factor=2)
        self.top_down = nn.ModuleList([_C2f(384, 128), _C2f(192, 64)])
        self.shrink = nn.ModuleList([_conv(64, 64, 3, 2), _conv(128, 128, 3, 2)])
        self.bottom_up = nn.ModuleList([_C2f(192, 128), _C2f(384, 256)])
        self.box_heads = nn.ModuleList([_head(width, 64, 4 * BINS) for width in (64, 128, 256)])
        self.class_heads = nn.ModuleList([_head(width, CLASSES, CLASSES) for width in (64, 128, 256)])
        # Fixed weights of the expectation over bins: a convolution in the original, and counted among its
        # parameters.
        self.bins = nn.Parameter(torch.arange(float(BINS)), requires_grad=False)
        for head, stride in zip(self.class_heads, STRIDES, strict=True):
            # A background of some 5 objects among all anchors of a 640 x 640 image.
            bias = cast(nn.Conv2d, cast(nn.Sequential, head)[-1]).bias
            nn.init.constant_(cast(Tensor, bias), math.log(5 / CLASSES / (640 / stride) ** 2))

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.shallow(x)
        middle = self.middle(shallow)
        deep = self.deep(middle)
        joined = self.top_down[0](torch.cat([self.grow(deep), middle], 1))
        fine = self.top_down[1](torch.cat([self.grow(joined), shallow], 1))
        medium = self.bottom_up[0](torch.cat([self.shrink[0](fine), joined], 1))
        coarse = self.bottom_up[1](torch.cat([self.shrink[1](medium), deep], 1))
        levels = zip((fine, medium, coarse), self.box_heads, self.class_heads, strict=True)
        scores = [torch.cat([box(level), kind(level)], 1).flatten(2) for level, box, kind in levels]
        return torch.cat(scores, 2).transpose(1, 2)


def _head(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, width, 3), _conv(width, width, 3), nn.Conv2d(width, outputs, 1))


def _anchors(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the centres `(a, 2)` of all anchors and the strides `(a, 1)`, in pixels."""
    centres: list[Tensor] = []
    strides: list[Tensor] = []
    for stride in STRIDES:
        places = (torch.arange(side // stride, device=device) + 0.5) * stride
        y, x = torch.meshgrid(places, places, indexing="ij")
        centres.append(torch.stack([x.flatten(), y.flatten()], 1))
        strides.append(torch.full((len(places) ** 2, 1), float(stride), device=device))
    return torch.cat(centres), torch.cat(strides)


def _complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the complete IoU of boxes `(..., 4)` as corners."""
    eps = 1e-7
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    iou = overlap / (size_a.prod(-1) + size_b.prod(-1) - overlap + eps)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    apart = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) ** 2).sum(-1) / 4
    angle = torch.atan(size_a[..., 0] / (size_a[..., 1] + eps))
    angle = angle - torch.atan(size_b[..., 0] / (size_b[..., 1] + eps))
    shape = 4 / math.pi**2 * angle**2
    weight = (shape / (1 - iou + shape + eps)).detach()
    return iou - apart / ((hull**2).sum(-1) + eps) - weight * shape


def _assign(
    scores: Tensor, boxes: Tensor, centres: Tensor, truth: Tensor, kinds: Tensor, present: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return target boxes `(n, a, 4)`, class targets `(n, a, CLASSES)` and where there are some `(n, a)`."""
    in_x = (centres[:, 0] > truth[..., :1]) & (centres[:, 0] < truth[..., 2:3])
    inside = in_x & (centres[:, 1] > truth[..., 1:2]) & (centres[:, 1] < truth[..., 3:4])
    usable = inside & present[..., None]
    iou = _complete_iou(truth[:, :, None], boxes[:, None]).clamp(min=0) * usable
    of_kind = scores.transpose(1, 2).gather(1, kinds[..., None].expand(-1, -1, scores.shape[1]))
    aligned = of_kind.sqrt() * iou**6 * usable
    best = aligned.topk(NEAREST, dim=-1).indices
    taken = torch.zeros_like(aligned).scatter_(-1, best, 1.0) * usable
    # An anchor that several boxes want goes to the one that it overlaps most.
    winner = (iou * taken).argmax(1, keepdim=True)
    taken = taken * torch.zeros_like(taken).scatter_(1, winner, 1.0)
    has_box = taken.sum(1) > 0
    box_of = winner.squeeze(1)
    target_boxes = truth.gather(1, box_of[..., None].expand(-1, -1, 4))
    aligned = aligned * taken
    strongest = aligned.amax(-1, keepdim=True)
    strength = (aligned / (strongest + 1e-9) * (iou * taken).amax(-1, keepdim=True)).amax(1)
    kind_of = kinds.gather(1, box_of)
    one_hot = torch.zeros_like(scores).scatter_(-1, kind_of[..., None], 1.0)
    return target_boxes, one_hot * (strength * has_box)[..., None], has_box


def _bin_loss(raw: Tensor, sides: Tensor) -> Tensor:
    """Return the cross-entropy of two bins around each side `(n, a, 4)` [strides], `(n, a)`."""
    sides = sides.clamp(0, BINS - 1.01)
    left = sides.floor()
    share = sides - left
    logs = raw.log_softmax(-1)
    low = logs.gather(-1, left.long()[..., None]).squeeze(-1)
    high = logs.gather(-1, left.long()[..., None] + 1).squeeze(-1)
    return -(low * (1 - share) + high * share).mean(-1)


def _loss(model: nn.Module, minibatch: Minibatch) -> Tensor:
    pictures, truth, kinds, present = minibatch
    raw = model(pictures)
    centres, strides = _anchors(pictures.shape[-1], raw.device)
    bins = raw[..., : 4 * BINS].unflatten(-1, (4, BINS))
    sides = bins.softmax(-1) @ cast(_Detector, model).bins
    boxes = torch.cat([centres - sides[..., :2] * strides, centres + sides[..., 2:] * strides], -1)
    kind_scores = raw[..., 4 * BINS :]
    with torch.no_grad():
        target_boxes, target_kinds, has_box = _assign(
            kind_scores.sigmoid(), boxes, centres, truth, kinds, present
        )
    total = target_kinds.sum().clamp(min=1)
    weight = target_kinds.sum(-1) * has_box
    of_kind = nn.functional.binary_cross_entropy_with_logits(kind_scores, target_kinds, reduction="sum")
    of_box = ((1 - _complete_iou(boxes, target_boxes)) * weight).sum()
    corners = torch.cat([centres - target_boxes[..., :2], target_boxes[..., 2:] - centres], -1) / strides
    of_bins = (_bin_loss(bins, corners) * weight).sum()
    return (GAIN_CLASS * of_kind + GAIN_BOX * of_box + GAIN_BINS * of_bins) / total


def yolo(side: int = 640) -> TrainingTask:
    """Return the detector on 80 classes: 3,157,200 parameters."""
    model = _Detector()
    return TrainingTask(
        model=model,
        content=Images(side=side),
        label=partial(_boxes, side),
        loss=_loss,
        optimiser=sgd(model),
    )


def _boxes(side: int, n: int, generator: torch.Generator | None) -> Minibatch:
    corner = torch.rand(n, MOST_BOXES, 2, generator=generator) * 0.6 * side
    size = (0.1 + 0.3 * torch.rand(n, MOST_BOXES, 2, generator=generator)) * side
    present = torch.rand(n, MOST_BOXES, generator=generator) < 0.5
    kinds = labels(CLASSES, n, MOST_BOXES, generator=generator)
    return torch.cat([corner, corner + size], -1), kinds, present
