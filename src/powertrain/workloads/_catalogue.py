"""The workloads by name: model, minibatch, and what loading a sample costs.

Of the paper's workloads the models and inputs are its own as far as they are known; `unet` and `vit` are
added. The cost of loading a sample is derived below from the size of the files and the cycles of each step;
all of it is assumed, and was set before anything was computed with it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, final

from powertrain.errors import UnknownNameError
from powertrain.workloads._cost import Kernel, WorkloadCost, read_kernels

if TYPE_CHECKING:
    from powertrain.workloads.nets._task import TrainingTask

__all__ = ["STUDY", "WORKLOADS", "InputPipeline", "Workload", "build_task", "counts_path", "find_workload"]

DECODE_CYCLES = 35.0  # per source pixel: JPEG to RGB on one core
RESIZE_CYCLES = 20.0  # per source pixel: crop, resize, flip
TENSOR_CYCLES = 15.0  # per value of the network's input: to float, normalise, copy into the minibatch
SAMPLE_CYCLES = 0.5e6  # Python around each sample
MOST_SAMPLES = 256


@final
@dataclass(frozen=True, kw_only=True)
class InputPipeline:
    """What loading one sample takes."""

    cpu_mcycles: float
    """Cycles of a Cortex-A78AE, in millions."""
    dram_bytes: float
    """Memory traffic of the CPU."""
    storage_bytes: float

    @classmethod
    def of_images(cls, *, pixels: float, file_bytes: float, side: int) -> InputPipeline:
        """Return the pipeline of JPEG files that become `(3, side, side)` inputs."""
        values = 3 * side * side
        cycles = (DECODE_CYCLES + RESIZE_CYCLES) * pixels + TENSOR_CYCLES * values + SAMPLE_CYCLES
        # Decoded once and read once as bytes; the input written and read twice as floats.
        return cls(cpu_mcycles=1e-6 * cycles, dram_bytes=6 * pixels + 16 * values, storage_bytes=file_bytes)

    @classmethod
    def of_tokens(cls, tokens: int) -> InputPipeline:
        """Return the pipeline of text that was tokenised beforehand."""
        return cls(cpu_mcycles=1e-6 * SAMPLE_CYCLES / 4, dram_bytes=64.0 * tokens, storage_bytes=8.0 * tokens)


@final
@dataclass(frozen=True, kw_only=True)
class Workload:
    """A model, its data and its minibatch size, being trained."""

    name: str
    net: str
    """Module in `powertrain.workloads.nets` and function in it that builds the model."""
    pipeline: InputPipeline
    data: str
    """What one sample is."""
    minibatch: int = 16

    @property
    def cost(self) -> WorkloadCost:
        """The kernels of one training step, as counted from the model."""
        return _cost(self.net.partition(":")[2], self.minibatch)


# Average files: ImageNet 110 kB and 400 x 350 pixels, COCO 160 kB and 640 x 480; landmark photographs of
# GLD23k 800 x 600 and 150 kB. Medical slides for U-Net: 256 x 256 pixels, 60 kB.
IMAGENET = InputPipeline.of_images(pixels=400 * 350, file_bytes=110e3, side=224)
_LISTED = (
    Workload(name="resnet18", net="resnet:resnet18", pipeline=IMAGENET, data="ImageNet, 3 x 224 x 224"),
    Workload(
        name="mobilenet_v3",
        net="mobilenet:mobilenet_v3",
        pipeline=InputPipeline.of_images(pixels=800 * 600, file_bytes=150e3, side=224),
        data="GLD23k, 3 x 224 x 224",
    ),
    Workload(
        name="yolo",
        net="yolo:yolo",
        pipeline=InputPipeline.of_images(pixels=640 * 480, file_bytes=160e3, side=640),
        data="COCO, 3 x 640 x 640",
    ),
    Workload(
        name="bert",
        net="transformers:bert",
        pipeline=InputPipeline.of_tokens(128),
        data="SQuAD, 128 tokens",
    ),
    Workload(
        name="lstm", net="lstm:lstm", pipeline=InputPipeline.of_tokens(32), data="WikiText-2, 32 tokens"
    ),
    Workload(
        name="unet",
        net="unet:unet",
        pipeline=InputPipeline.of_images(pixels=256 * 256, file_bytes=60e3, side=256),
        data="slides with masks, 3 x 256 x 256",
    ),
    Workload(name="vit", net="transformers:vit", pipeline=IMAGENET, data="ImageNet, 3 x 224 x 224"),
    Workload(
        name="resnet50_cifar100",
        net="resnet:resnet50_cifar100",
        # Small pictures kept as PNG in memory: decoded and augmented with Python's overhead, nothing read.
        pipeline=InputPipeline(cpu_mcycles=0.6, dram_bytes=6e4, storage_bytes=0.0),
        data="CIFAR-100, 3 x 32 x 32",
    ),
)
WORKLOADS: Mapping[str, Workload] = {workload.name: workload for workload in _LISTED}
"""All workloads by name, at a minibatch of 16."""
STUDY: tuple[str, ...] = tuple(name for name in WORKLOADS if name != "resnet50_cifar100")
"""The workloads of the study; the other one is there to compare with a public measurement."""


def find_workload(name: str) -> Workload:
    """Return a workload by name; `-b8` after the name asks for a minibatch of 8, up to 256.

    Raises:
        UnknownNameError: There is no such workload, or no such minibatch.
    """
    base, size = name, 16
    if found := re.fullmatch(r"(.+)-b([1-9][0-9]*)", name):
        base, size = found[1], int(found[2])
    if base not in WORKLOADS:
        raise UnknownNameError.of("workload", base, WORKLOADS)
    if size > MOST_SAMPLES:
        raise UnknownNameError(f"workload {name!r}: a minibatch has 1 to {MOST_SAMPLES} samples")
    return replace(WORKLOADS[base], name=name, minibatch=size)


def build_task(name: str) -> TrainingTask:
    """Build the real model of a workload, ready to be trained; needs PyTorch."""
    module, _, function = find_workload(name).net.partition(":")
    return getattr(importlib.import_module(f"powertrain.workloads.nets.{module}"), function)()


def counts_path(function: str) -> Path:
    """Return the file that holds the counted kernels of a model."""
    return Path(__file__).parent / "counted" / f"{function}.csv"


@cache
def _kernels(function: str) -> tuple[Kernel, ...]:
    return tuple(read_kernels(counts_path(function)))


@cache
def _cost(function: str, minibatch: int) -> WorkloadCost:
    return WorkloadCost.of(_kernels(function), minibatch=minibatch)
