"""Prediction: from profiles of a workload, and of others, to its time and power in every mode."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from powertrain.errors import CheckpointError, UnknownNameError
from powertrain.models._base import AbstractPredictor
from powertrain.models._bundle import BUNDLE, load_references, save_bundle
from powertrain.models._checkpoint import peek_method

__all__ = [
    "METHODS",
    "AbstractPredictor",
    "load_predictor",
    "load_references",
    "predictor_class",
    "save_bundle",
]

METHODS: tuple[str, ...] = (
    "gp",
    "gp-alone",
    "nearest",
    "ridge",
    "factors",
    "paper",
    "paper-scratch",
    "linear",
)
"""The methods by name, the default first."""

_CLASSES = {
    "gp": ("powertrain.models.gp", "GaussianProcessPredictor"),
    "gp-alone": ("powertrain.models.gp", "GaussianProcessAlonePredictor"),
    "nearest": ("powertrain.models._nearest", "NearestPredictor"),
    "ridge": ("powertrain.models._ridge", "RidgePredictor"),
    "factors": ("powertrain.models._factors", "FactorsPredictor"),
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
    if method == BUNDLE:
        raise CheckpointError(
            f"{path} is a bundle of many references, not one predictor: give it as --reference of transfer"
        )
    if method not in METHODS:
        raise CheckpointError(
            f"{path} was made by the method {method!r}, which this version does not have "
            f"({', '.join(METHODS)}): use the version that wrote it"
        )
    return predictor_class(method).load(path)
