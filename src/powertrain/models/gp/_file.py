"""A fitted quantity in a checkpoint: numbers in arrays, structure in JSON.

The Cholesky factor is not kept but computed again from the same numbers, so a loaded predictor predicts
what the saved one did, bit for bit on the same machine.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from powertrain.models._checkpoint import Checkpoint
from powertrain.models._coordinates import Coordinates
from powertrain.models._surfaces import Arrays, SurfaceStack, surface_restored, surface_state
from powertrain.models.gp._mean import MeanInputs, MeanShape
from powertrain.models.gp._quantity import Layout, Quantity
from powertrain.models.gp._regression import KernelPrior, Regression, RegressionInputs

__all__ = ["quantity_restored", "quantity_state"]


def quantity_state(quantity: Quantity, prefix: str, arrays: Arrays) -> dict[str, Any]:
    """Add the quantity's numbers to `arrays` and return its JSON header."""
    layout, regression = quantity.layout, quantity.regression
    inputs, mean = regression.inputs, regression.inputs.mean
    own = {
        "theta": regression.theta,
        "target": regression.target,
        "unit": inputs.unit,
        "surfaces": inputs.surfaces,
        "slopes": mean.slopes,
        "offsets": mean.offsets,
        "fixed": mean.fixed,
        "centre": regression.shape.centre,
        "sd": regression.shape.sd,
        "surface_means": layout.surface_means,
    }
    arrays.update({f"{prefix}.{key}": value for key, value in own.items()})
    stack = [surface_state(s, f"{prefix}.reference{i}", arrays) for i, s in enumerate(layout.stack.surfaces)]
    return {
        "quantity": layout.quantity,
        "terms": [list(term) for term in layout.terms],
        "level": layout.level,
        "surface_top": layout.surface_top,
        "inverse_time_top": layout.inverse_time_top,
        "n_fixed": regression.shape.n_fixed,
        "timed": regression.shape.timed,
        "calibration": [regression.prior.calibration_weight, *regression.prior.widening],
        "references": stack,
        "own_surface": quantity.own_surface and surface_state(quantity.own_surface, f"{prefix}.own", arrays),
    }


def quantity_restored(
    header: dict[str, Any], prefix: str, checkpoint: Checkpoint, coordinates: Coordinates, device: str
) -> Quantity:
    """Rebuild what `quantity_state` took apart; a damaged file raises `CheckpointError`."""

    def array(key: str) -> npt.NDArray[Any]:
        return checkpoint.array(f"{prefix}.{key}")

    stack = [
        surface_restored(s, f"{prefix}.reference{i}", checkpoint) for i, s in enumerate(header["references"])
    ]
    terms = tuple((str(name), int(sign)) for name, sign in header["terms"])
    layout = Layout(
        quantity=header["quantity"],
        coordinates=coordinates,
        terms=terms,
        level=header["level"],
        stack=SurfaceStack(coordinates, device, stack),
        surface_means=array("surface_means"),
        surface_top=header["surface_top"],
        inverse_time_top=header["inverse_time_top"],
    )
    shape = MeanShape(
        n_terms=len(terms),
        n_fixed=header["n_fixed"],
        timed=header["timed"],
        centre=array("centre"),
        sd=array("sd"),
    )
    inputs = RegressionInputs(
        unit=array("unit"),
        surfaces=array("surfaces"),
        mean=MeanInputs(
            slopes=array("slopes"),
            offsets=array("offsets"),
            fixed=array("fixed"),
        ),
    )
    weight, a, b = header["calibration"]
    prior = KernelPrior(calibration_weight=weight, widening=(a, b))
    regression = Regression(shape, prior, inputs, array("target"), array("theta"))
    own = header["own_surface"] and surface_restored(header["own_surface"], f"{prefix}.own", checkpoint)
    return Quantity(layout=layout, regression=regression, own_surface=own or None)
