"""A fitted quantity in a checkpoint: numbers in arrays, structure in JSON.

The Cholesky factor is not kept but computed again from the same numbers, so a loaded predictor predicts
what the saved one did, bit for bit on the same machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from powertrain.models._checkpoint import Checkpoint
from powertrain.models.gp._coordinates import Coordinates
from powertrain.models.gp._mean import MeanInputs, MeanShape
from powertrain.models.gp._quantity import Layout, Quantity
from powertrain.models.gp._references import Surface, SurfaceStack
from powertrain.models.gp._regression import KernelPrior, Regression, RegressionInputs

__all__ = ["Arrays", "quantity_restored", "quantity_state"]

Arrays = dict[str, npt.NDArray[Any]]


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
    stack = [_surface_state(s, f"{prefix}.reference{i}", arrays) for i, s in enumerate(layout.stack.surfaces)]
    return {
        "quantity": layout.quantity,
        "terms": [list(term) for term in layout.terms],
        "level": layout.level,
        "surface_top": layout.surface_top,
        "inverse_time_top": layout.inverse_time_top,
        "scale": layout.scale,
        "n_fixed": regression.shape.n_fixed,
        "timed": regression.shape.timed,
        "calibration": [regression.prior.calibration_weight, *regression.prior.widening],
        "references": stack,
        "own_surface": quantity.own_surface and _surface_state(quantity.own_surface, f"{prefix}.own", arrays),
    }


def quantity_restored(
    header: dict[str, Any], prefix: str, checkpoint: Checkpoint, coordinates: Coordinates, device: str
) -> Quantity:
    """Rebuild what `quantity_state` took apart; a damaged file raises `CheckpointError`."""

    def array(key: str) -> npt.NDArray[Any]:
        return checkpoint.array(f"{prefix}.{key}")

    stack = [
        _surface_restored(s, f"{prefix}.reference{i}", checkpoint) for i, s in enumerate(header["references"])
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
        scale=header.get("scale", 1.0),
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
    own = header["own_surface"] and _surface_restored(header["own_surface"], f"{prefix}.own", checkpoint)
    return Quantity(layout=layout, regression=regression, own_surface=own or None)


def _surface_state(surface: Surface, prefix: str, arrays: Arrays) -> dict[str, Any]:
    arrays[f"{prefix}.nodes"] = surface.nodes
    arrays[f"{prefix}.axes"] = np.concatenate([*surface.axes, np.zeros(0)])
    return {
        "device": surface.device,
        "workload": surface.workload,
        "coordinates": surface.coordinates.header(),
        "lengths": [len(axis) for axis in surface.axes],
    }


def _surface_restored(header: dict[str, Any], prefix: str, checkpoint: Checkpoint) -> Surface:
    ends = np.cumsum(header["lengths"])[:-1].astype(np.int64)
    axes = checkpoint.array(f"{prefix}.axes")
    return Surface(
        coordinates=Coordinates.from_header(header["coordinates"]),
        device=header["device"],
        workload=header["workload"],
        axes=tuple(np.split(axes, ends)) if header["lengths"] else (),
        nodes=checkpoint.array(f"{prefix}.nodes"),
    )
