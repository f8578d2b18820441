"""Prediction: from profiles of a workload, and of others, to its time and power in every mode."""

from __future__ import annotations

from pathlib import Path

from powertrain.errors import CheckpointError, PowerTrainError
from powertrain.methods import METHODS, PREDICTORS
from powertrain.models._base import AbstractPredictor, Learned
from powertrain.models._bundle import BUNDLE, load_references, save_bundle
from powertrain.models._checkpoint import Checkpoint as Checkpoint
from powertrain.models._checkpoint import shortened
from powertrain.models._container import peek_method, peek_origin

__all__ = [
    "METHODS",
    "PREDICTORS",
    "AbstractPredictor",
    "Checkpoint",
    "Learned",
    "load_predictor",
    "load_references",
    "peek_origin",
    "predictor_class",
    "save_bundle",
]


def predictor_class(method: str) -> type[AbstractPredictor]:
    """Return the class of a method, loading its module only now; `UnknownNameError` lists the nearest."""
    found = PREDICTORS.load(method)
    if not (isinstance(found, type) and issubclass(found, AbstractPredictor) and found.method == method):
        raise PowerTrainError(
            f"the method {method!r} of an installed package is not an AbstractPredictor of that name: update "
            "or uninstall that package"
        )
    return found


def load_predictor(path: Path | str) -> AbstractPredictor:
    """Read a predictor of any method; anything but a complete predictor file is a `CheckpointError`."""
    method = peek_method(Path(path))
    if method == BUNDLE:
        raise CheckpointError(
            f"{path} is a bundle of many references, not one predictor: give it as --reference of transfer"
        )
    if method not in PREDICTORS:
        raise CheckpointError(
            f"{path} was made by the method {shortened(method)}, which is not installed here "
            f"({', '.join(PREDICTORS.names())}): install the package or the version that wrote it"
        )
    return predictor_class(method).load(path)
