"""MobileNet v3 large (Howard et al., 2019, arXiv 1905.02244)."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from powertrain.workloads.nets._task import TrainingTask, classification, sgd

__all__ = ["mobilenet_v3"]

# Table 1 of the paper: kernel, expanded channels, outputs, squeeze-and-excite, hard-swish, stride.
BLOCKS = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)


def _conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)]


def _activation(*, hard_swish: bool) -> nn.Module:
    return nn.Hardswish(inplace=True) if hard_swish else nn.ReLU(inplace=True)


@final
class _SqueezeExcite(nn.Module):
    """Scales channels by what their means say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // 4
        squeezed = max(8, (quarter + 4) // 8 * 8)  # the nearest multiple of 8 that takes at most a tenth away
        squeezed += 8 if squeezed < 0.9 * quarter else 0
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(squeezed, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


@final
class _InvertedResidual(nn.Module):
    """Expands, convolves each channel by itself, and projects."""

    def __init__(
        self, inputs: int, kernel: int, wide: int, outputs: int, squeeze: bool, hard_swish: bool, stride: int
    ) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        if wide != inputs:
            parts += [*_conv(inputs, wide, 1), _activation(hard_swish=hard_swish)]
        parts += [*_conv(wide, wide, kernel, stride=stride, groups=wide), _activation(hard_swish=hard_swish)]
        if squeeze:
            parts.append(_SqueezeExcite(wide))
        self.body = nn.Sequential(*parts, *_conv(wide, outputs, 1))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


def mobilenet_v3(side: int = 224) -> TrainingTask:
    """Return MobileNet v3 large on 1000 classes: 5,483,032 parameters."""
    blocks: list[nn.Module] = []
    inputs = 16
    for block in BLOCKS:
        blocks.append(_InvertedResidual(inputs, *block))
        inputs = block[2]
    model = nn.Sequential(
        nn.Sequential(*_conv(3, 16, 3, stride=2), nn.Hardswish(inplace=True)),
        nn.Sequential(*blocks),
        nn.Sequential(*_conv(inputs, 960, 1), nn.Hardswish(inplace=True)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Sequential(
            nn.Linear(960, 1280), nn.Hardswish(inplace=True), nn.Dropout(0.2), nn.Linear(1280, 1000)
        ),
    )
    return classification(model, side=side, classes=1000, optimiser=sgd(model))
