"""Bundles: many references in one file, as `powertrain fit --all` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from powertrain.errors import CheckpointError
from powertrain.models._base import AbstractPredictor
from powertrain.models._checkpoint import Checkpoint
from powertrain.models._container import peek_method, read_checkpoint, write_checkpoint

__all__ = ["BUNDLE", "load_references", "save_bundle"]

BUNDLE = "bundle"
"""What a bundle's file has in place of a method."""


def save_bundle(predictors: Sequence[AbstractPredictor], path: Path | str) -> None:
    """Write predictors to one file, replaced atomically.

    Raises:
        ValueError: There are none.
        CheckpointError: The file cannot be written.
    """
    if not predictors:
        raise ValueError("a bundle needs at least one predictor, and none was given")
    arrays: dict[str, npt.NDArray[Any]] = {}
    members: list[dict[str, Any]] = []
    for i, predictor in enumerate(predictors):
        state = predictor.state()
        arrays.update({f"{i}.{name}": array for name, array in state.arrays.items()})
        members.append({"method": state.method, "header": dict(state.header), "arrays": sorted(state.arrays)})
    write_checkpoint(Checkpoint(method=BUNDLE, header={"members": members}, arrays=arrays), Path(path))


def load_references(path: Path | str) -> list[AbstractPredictor]:
    """Read what may serve as references: a bundle, or the file of a single predictor.

    Raises:
        CheckpointError: The file is neither, or damaged.
    """
    # Methods are known by name only to the package, which imports this module.
    from powertrain.models import load_predictor, predictor_class

    path = Path(path)
    if peek_method(path) != BUNDLE:
        return [load_predictor(path)]
    whole = read_checkpoint(path, method=BUNDLE)
    found: list[AbstractPredictor] = []
    members: list[dict[str, Any]] = whole.value("members")
    for i, member in enumerate(members):
        try:
            one = Checkpoint(
                method=member["method"],
                header=member["header"],
                arrays={name: whole.array(f"{i}.{name}") for name in member["arrays"]},
                source=f"{path}, predictor {i + 1}",
            )
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path} is damaged: its predictor {i + 1} is incomplete; fit it again"
            ) from error
        found.append(predictor_class(one.method).restored(one))
    return found
