"""Prediction: from profiles of a workload, and of others, to its time and power in every mode."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from powertrain.errors import CheckpointError, UnknownNameError
from powertrain.models._base import AbstractPredictor, Learned
from powertrain.models._checkpoint import peek_method, peek_origin

__all__ = ["METHODS", "AbstractPredictor", "Learned", "load_predictor", "peek_origin", "predictor_class"]

METHODS: tuple[str, ...] = ("gp", "paper", "paper-scratch", "linear")
"""The methods by name, the default first."""

_CLASSES = {
    "gp": ("powertrain.models.gp", "GaussianProcessPredictor"),
    "paper": ("powertrain.models.paper", "PaperPredictor"),
    "paper-scratch": ("powertrain.models.paper", "PaperScratchPredictor"),
    "linear": ("powertrain.models._linear", "LinearPredictor"),
}


def predictor_class(method: str) -> type[AbstractPredictor]:
    """Return the class of a method, loading its module only now; `UnknownNameError` lists the nearest."""
    if method not in _CLASSES:
        raise UnknownNameError.of("method", method, METHODS)
    module, name = _CLASSES[method]
    found: type[AbstractPredictor] = getattr(import_module(module), name)
    return found


def load_predictor(path: Path | str) -> AbstractPredictor:
    """Read a predictor of any method; anything but a complete predictor file is a `CheckpointError`."""
    method = peek_method(Path(path))
    if method not in METHODS:
        raise CheckpointError(
            f"{path} was made by the method {method!r}, which this version does not have "
            f"({', '.join(METHODS)}): use the version that wrote it"
        )
    return predictor_class(method).load(path)
