"""Residual networks (He et al., 2016, arXiv 1512.03385): ResNet-18 and ResNet-50, and the form for CIFAR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from powertrain.workloads.nets._task import TrainingTask, classification, sgd

__all__ = ["resnet18", "resnet50_cifar100"]


def _conv_norm(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


@final
class _Block(nn.Module):
    """Convolutions with a shortcut around them: two of 3 x 3, or a bottleneck of 1, 3 and 1."""

    def __init__(self, inputs: int, width: int, *, stride: int, bottleneck: bool) -> None:
        super().__init__()
        outputs = 4 * width if bottleneck else width
        if bottleneck:
            parts = [
                _conv_norm(inputs, width, 1),
                nn.ReLU(inplace=True),
                _conv_norm(width, width, 3, stride=stride),
                nn.ReLU(inplace=True),
                _conv_norm(width, outputs, 1),
            ]
        else:
            parts = [
                _conv_norm(inputs, width, 3, stride=stride),
                nn.ReLU(inplace=True),
                _conv_norm(width, width, 3),
            ]
        self.body = nn.Sequential(*parts)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else _conv_norm(inputs, outputs, 1, stride=stride)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x) + self.shortcut(x))


def _resnet(blocks: Sequence[int], *, classes: int, bottleneck: bool, small_images: bool) -> nn.Module:
    if small_images:
        stem: list[nn.Module] = [_conv_norm(3, 64, 3), nn.ReLU(inplace=True)]
    else:
        stem = [_conv_norm(3, 64, 7, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    stages: list[nn.Module] = []
    inputs = 64
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            stages.append(_Block(inputs, width, stride=stride, bottleneck=bottleneck))
            inputs = 4 * width if bottleneck else width
    return nn.Sequential(
        nn.Sequential(*stem),
        nn.Sequential(*stages),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(inputs, classes),
    )


def resnet18(side: int = 224) -> TrainingTask:
    """Return ResNet-18 on ImageNet's 1000 classes: 11,689,512 parameters."""
    model = _resnet((2, 2, 2, 2), classes=1000, bottleneck=False, small_images=False)
    return classification(model, side=side, classes=1000, optimiser=sgd(model))


def resnet50(side: int = 224) -> TrainingTask:
    """Return ResNet-50 on ImageNet's 1000 classes: 25,557,032 parameters."""
    model = _resnet((3, 4, 6, 3), classes=1000, bottleneck=True, small_images=False)
    return classification(model, side=side, classes=1000, optimiser=sgd(model))


def resnet50_cifar100(side: int = 32) -> TrainingTask:
    """Return ResNet-50 with a 3 x 3 stem and no first pooling, on the 100 classes of CIFAR-100."""
    model = _resnet((3, 4, 6, 3), classes=100, bottleneck=True, small_images=True)
    return classification(model, side=side, classes=100, optimiser=sgd(model))
