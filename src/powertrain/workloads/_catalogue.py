"""The workloads by name: model, minibatch, and what loading a sample costs.

Of the paper's workloads the models and inputs are its own as far as they are known; `unet` and `vit` are
added. The cost of loading a sample is derived below from the size of the files and the cycles of each step;
all of it is assumed, and was set before anything was computed with it.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, final

from powertrain.errors import MissingExtraError, UnknownNameError
from powertrain.units import megacycles_from_cycles
from powertrain.workloads._cost import Kernel, WorkloadCost, read_kernels

if TYPE_CHECKING:
    from powertrain.workloads.nets._task import TrainingTask

__all__ = [
    "STUDY",
    "WORKLOADS",
    "ImageFiles",
    "InMemory",
    "InputPipeline",
    "Text",
    "Workload",
    "build_task",
    "counts_path",
    "find_workload",
]

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


@final
@dataclass(frozen=True, kw_only=True)
class ImageFiles:
    """JPEG files that become square colour images."""

    pixels: float
    """Of an average file, where the images get the size that is usual for the workload."""
    file_bytes: float
    side: int
    """That usual size."""

    def pipeline(self, side: int) -> InputPipeline:
        """Return what loading an image of `(3, side, side)` takes; files grow and shrink with it."""
        pixels, file_bytes = self.at(side)
        values = 3 * side * side
        cycles = (DECODE_CYCLES + RESIZE_CYCLES) * pixels + TENSOR_CYCLES * values + SAMPLE_CYCLES
        # Decoded once and read once as bytes; the input written and read twice as floats.
        return InputPipeline(
            cpu_mcycles=megacycles_from_cycles(cycles),
            dram_bytes=6 * pixels + 16 * values,
            storage_bytes=file_bytes,
        )

    def at(self, side: int) -> tuple[float, float]:
        """Return the pixels and the bytes of a file whose image gets this size."""
        share = (side / self.side) ** 2
        return self.pixels * share, self.file_bytes * share


@final
@dataclass(frozen=True, kw_only=True)
class Text:
    """Pieces of text, tokenised beforehand."""

    def pipeline(self, tokens: int) -> InputPipeline:
        """Return what loading a piece of so many tokens takes."""
        return InputPipeline(
            cpu_mcycles=megacycles_from_cycles(SAMPLE_CYCLES / 4),
            dram_bytes=64.0 * tokens,
            storage_bytes=8.0 * tokens,
        )


@final
@dataclass(frozen=True, kw_only=True)
class InMemory:
    """Small pictures kept as PNG in memory: decoded and augmented with Python's overhead, nothing read."""

    def pipeline(self, side: int) -> InputPipeline:
        """Return what loading a picture takes."""
        return InputPipeline(cpu_mcycles=0.6, dram_bytes=6e4 * (side / 32) ** 2, storage_bytes=0.0)


@final
@dataclass(frozen=True, kw_only=True)
class Workload:
    """A model, its data and its minibatch size, being trained."""

    name: str
    net: str
    """Module in `powertrain.workloads.nets` and function in it that builds the model."""
    source: ImageFiles | Text | InMemory
    data: str
    """What one sample is."""
    size: int
    """Side of the images, or tokens of a piece of text."""
    minibatch: int = 16

    @property
    def function(self) -> str:
        """The function that builds the model; its counted kernels are in the file of this name."""
        return self.net.partition(":")[2]

    @property
    def pipeline(self) -> InputPipeline:
        """What loading one sample takes."""
        return self.source.pipeline(self.size)

    @property
    def cost(self) -> WorkloadCost:
        """The kernels of one training step, as counted from the model.

        Raises:
            MissingExtraError: Counting at a size that is not the usual one needs PyTorch.
        """
        usual = _BY_FUNCTION[self.function].size
        return _cost(self.function, None if self.size == usual else self.size, self.minibatch)

    def build(self) -> TrainingTask:
        """Build the real model, ready to be trained; needs PyTorch."""
        module, _, function = self.net.partition(":")
        make = getattr(importlib.import_module(f"powertrain.workloads.nets.{module}"), function)
        return make(self.size)


# Average files: ImageNet 110 kB and 400 x 350 pixels, COCO 160 kB and 640 x 480; landmark photographs of
# GLD23k 800 x 600 and 150 kB. Medical slides for U-Net: 256 x 256 pixels, 60 kB.
IMAGENET = ImageFiles(pixels=400 * 350, file_bytes=110e3, side=224)
_LISTED = (
    Workload(
        name="resnet18", net="resnet:resnet18", source=IMAGENET, size=224, data="ImageNet, 3 x 224 x 224"
    ),
    Workload(
        name="mobilenet_v3",
        net="mobilenet:mobilenet_v3",
        source=ImageFiles(pixels=800 * 600, file_bytes=150e3, side=224),
        size=224,
        data="GLD23k, 3 x 224 x 224",
    ),
    Workload(
        name="yolo",
        net="yolo:yolo",
        source=ImageFiles(pixels=640 * 480, file_bytes=160e3, side=640),
        size=640,
        data="COCO, 3 x 640 x 640",
    ),
    Workload(name="bert", net="transformers:bert", source=Text(), size=128, data="SQuAD, 128 tokens"),
    Workload(name="lstm", net="lstm:lstm", source=Text(), size=32, data="WikiText-2, 32 tokens"),
    Workload(
        name="unet",
        net="unet:unet",
        source=ImageFiles(pixels=256 * 256, file_bytes=60e3, side=256),
        size=256,
        data="slides with masks, 3 x 256 x 256",
    ),
    Workload(name="vit", net="transformers:vit", source=IMAGENET, size=224, data="ImageNet, 3 x 224 x 224"),
    Workload(
        name="resnet50_cifar100",
        net="resnet:resnet50_cifar100",
        source=InMemory(),
        size=32,
        data="CIFAR-100, 3 x 32 x 32",
    ),
)
_BY_FUNCTION = {workload.function: workload for workload in _LISTED}
WORKLOADS: Mapping[str, Workload] = {workload.name: workload for workload in _LISTED}
"""All workloads by name, at a minibatch of 16."""
STUDY: tuple[str, ...] = tuple(name for name in WORKLOADS if name != "resnet50_cifar100")
"""The workloads of the study; the other one is there to compare with a public measurement."""


def find_workload(name: str) -> Workload:
    """Return a workload by name.

    `-b8` at the end of the name asks for a minibatch of 8, up to 256; `-s64` before that for images of 64 x
    64 pixels, or pieces of text of 64 tokens: `resnet18-s64-b8`.

    Raises:
        UnknownNameError: There is no such workload, or no such size.
    """
    found = re.fullmatch(r"(?P<base>.+?)(-s(?P<size>[1-9]\d*))?(-b(?P<samples>[1-9]\d*))?", name)
    base = found["base"] if found else name
    if found is None or base not in WORKLOADS:
        raise UnknownNameError.of("workload", base, WORKLOADS)
    workload = replace(WORKLOADS[base], name=name)
    if found["samples"]:
        workload = replace(workload, minibatch=int(found["samples"]))
    if found["size"]:
        workload = replace(workload, size=int(found["size"]))
    if workload.minibatch > MOST_SAMPLES:
        raise UnknownNameError(f"workload {name!r}: a minibatch has 1 to {MOST_SAMPLES} samples")
    _check_size(workload)
    return workload


def _check_size(workload: Workload) -> None:
    image = not isinstance(workload.source, Text)
    least, most, multiple = (32, 1024, 32) if image else (2, 512, 1)
    if not least <= workload.size <= most or workload.size % multiple:
        of = f"images have a side of {least} to {most} in steps of {multiple}"
        raise UnknownNameError(
            f"workload {workload.name!r}: {of if image else f'a text has {least} to {most} tokens'}"
        )


def build_task(name: str) -> TrainingTask:
    """Build the real model of a workload, ready to be trained; needs PyTorch."""
    return find_workload(name).build()


def counts_path(function: str) -> Path:
    """Return the file that holds the counted kernels of a model."""
    return Path(__file__).parent / "counted" / f"{function}.csv"


@cache
def _kernels(function: str, size: int | None) -> tuple[Kernel, ...]:
    if size is None:
        return tuple(read_kernels(counts_path(function)))
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError.of("PyTorch", extra="torch", purpose=f"{function} at the size {size}")
    count_kernels = importlib.import_module("powertrain.workloads._count").count_kernels
    return tuple(count_kernels(replace(_BY_FUNCTION[function], size=size).build))


@cache
def _cost(function: str, size: int | None, minibatch: int) -> WorkloadCost:
    return WorkloadCost.of(_kernels(function, size), minibatch=minibatch)
