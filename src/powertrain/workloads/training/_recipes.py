"""What can be trained: the built-in models, and those of torchvision and transformers where they are."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from powertrain.errors import MissingExtraError, UnknownNameError
from powertrain.units import gflop_from_flop
from powertrain.workloads._catalogue import ImageFiles, Workload
from powertrain.workloads.nets._task import (
    Images,
    Minibatch,
    Tokens,
    TrainingTask,
    adamw,
    classification,
    labels,
    sgd,
)
from powertrain.workloads.training._job import Recipe
from powertrain.workloads.training._sources import (
    Source,
    image_folder,
    made_up_images,
    made_up_text,
    text_file,
)

__all__ = ["built_in_recipe", "library_recipe"]

PHOTOGRAPHS = ImageFiles(pixels=400 * 350, file_bytes=110e3, side=224)
"""Average files of ImageNet."""
PICTURES = ImageFiles(pixels=32 * 32, file_bytes=1.2e3, side=32)
CLASSES, TOKENS, MINIBATCH = 1000, 128, 16


def built_in_recipe(workload: Workload, *, data: Path | None, seed: int) -> Recipe:
    """Return the recipe of a workload of the catalogue."""
    files = workload.source if isinstance(workload.source, ImageFiles) else PICTURES
    dense = workload.cost.operations.sum()
    return Recipe(
        name=workload.name,
        task=workload.build,
        source=partial(_source, files=files, data=data, seed=seed),
        minibatch=workload.minibatch,
        description={"gflop_per_minibatch": f"{gflop_from_flop(float(dense)):.4g}"},
    )


def _source(task: TrainingTask, *, files: ImageFiles, data: Path | None, seed: int) -> Source:
    content = task.content
    if isinstance(content, Images):
        return made_up_images(files, content.side, seed) if data is None else image_folder(data, content.side)
    length, vocabulary = content.length, content.vocabulary
    return made_up_text(length, vocabulary, seed) if data is None else text_file(data, length, vocabulary)


def library_recipe(library: str, name: str, *, data: Path | None, seed: int) -> Recipe:
    """Return the recipe of a model of torchvision or transformers, with weights at random.

    Raises:
        MissingExtraError: The library is not installed.
        UnknownNameError: It has no such model.
    """
    make = _torchvision if library == "torchvision" else _transformers
    return Recipe(
        name=f"{library}:{name}",
        task=partial(make, name),
        source=partial(_source, files=PHOTOGRAPHS, data=data, seed=seed),
        minibatch=MINIBATCH,
        description={library: str(_imported(library).__version__)},
    )


def _imported(library: str) -> Any:
    try:
        return importlib.import_module(library)
    except (ImportError, RuntimeError) as error:
        # torchvision beside a PyTorch of another build fails with a RuntimeError.
        text = " ".join(str(error).split())
        raise MissingExtraError(
            f"{library} cannot be imported ({text}): pip install {library}, in the build that fits PyTorch"
        ) from error


def _torchvision(name: str) -> TrainingTask:
    models = _imported("torchvision").models
    known: list[str] = models.list_models(module=models)
    if name not in known:
        raise UnknownNameError.of("model of torchvision", name, known)
    side = 299 if name == "inception_v3" else 224
    model: nn.Module = models.get_model(name, weights=None, num_classes=CLASSES)
    task = classification(model, side=side, classes=CLASSES, optimiser=sgd(model))
    return TrainingTask(
        model=model,
        content=task.content,
        label=task.label,
        loss=_first_output_loss,
        optimiser=task.optimiser,
    )


def _first_output_loss(model: nn.Module, minibatch: Minibatch) -> Tensor:
    """Return the loss of a classifier; some give a tuple of outputs, the main one first."""
    inputs, truth = minibatch
    scores: Any = model(inputs)
    return nn.functional.cross_entropy(scores if isinstance(scores, Tensor) else scores[0], truth)


def _transformers(name: str) -> TrainingTask:
    transformers = _imported("transformers")
    auto: Any = importlib.import_module("transformers.models.auto.modeling_auto")
    known: list[str] = sorted(auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
    if name not in known:
        raise UnknownNameError.of("model of transformers", name, known)
    config = transformers.AutoConfig.for_model(name, num_labels=2)
    if getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = 0
    model: nn.Module = transformers.AutoModelForSequenceClassification.from_config(config)
    return TrainingTask(
        model=model,
        content=Tokens(vocabulary=int(config.vocab_size), length=TOKENS),
        label=_two_classes,
        loss=_sequence_loss,
        optimiser=adamw(model),
    )


def _two_classes(n: int, generator: torch.Generator | None) -> Minibatch:
    return (labels(2, n, generator=generator),)


def _sequence_loss(model: nn.Module, minibatch: Minibatch) -> Tensor:
    words, truth = minibatch
    return model(input_ids=words, labels=truth).loss
