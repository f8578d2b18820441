"""A fitted quantity in a checkpoint: numbers in arrays, structure in JSON.

The Cholesky factor is not kept but computed again from the same numbers, so a loaded predictor predicts
what the saved one did, bit for bit on the same machine.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from powertrain.models._checkpoint import Checkpoint
from powertrain.models.gp._coordinates import Coordinates
from powertrain.models.gp._mean import MeanInputs, MeanShape
from powertrain.models.gp._quantity import Layout, PosteriorSurface, Quantity
from powertrain.models.gp._references import GridSurface, Surface, SurfaceStack
from powertrain.models.gp._regression import KernelPrior, Regression, RegressionInputs
from powertrain.models.gp._terms import Term

__all__ = ["Arrays", "quantity_restored", "quantity_state"]

Arrays = dict[str, npt.NDArray[Any]]

GRID, PROCESS, OWN_PROCESS = "grid", "process", "own process"
"""Kinds of surfaces: a table of nodes, a reference's fitted process, and that of the file's own workload."""


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
        "terms": [term.header() for term in layout.terms],
        "level": layout.level,
        "surface_top": layout.surface_top,
        "inverse_time_top": layout.inverse_time_top,
        "scale": layout.scale,
        "n_fixed": regression.shape.n_fixed,
        "timed": regression.shape.timed,
        "calibration": [regression.prior.calibration_weight, *regression.prior.widening],
        "references": stack,
        "own_surface": _own_surface_state(quantity.own_surface, f"{prefix}.own", arrays),
    }


def quantity_restored(
    header: dict[str, Any],
    prefix: str,
    checkpoint: Checkpoint,
    coordinates: Coordinates,
    device: str,
    *,
    time: Quantity | None,
) -> Quantity:
    """Rebuild what `quantity_state` took apart; a damaged file raises `CheckpointError`.

    `time` is the restored time of the same workload, if this quantity takes it as an input.
    """

    def array(key: str) -> npt.NDArray[Any]:
        return checkpoint.array(f"{prefix}.{key}")

    stack = [
        _surface_restored(s, f"{prefix}.reference{i}", checkpoint) for i, s in enumerate(header["references"])
    ]
    terms = tuple(map(Term.from_header, header["terms"]))
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
    fitted = Quantity(layout=layout, regression=regression, own_surface=None)
    own = header["own_surface"]
    if not own:
        return fitted
    if own.get("kind") == OWN_PROCESS:
        return fitted.lending_itself(own["workload"], time if layout.inverse_time_top is not None else None)
    return replace(fitted, own_surface=_surface_restored(own, f"{prefix}.own", checkpoint))


def _own_surface_state(surface: Surface | None, prefix: str, arrays: Arrays) -> dict[str, Any] | None:
    if isinstance(surface, PosteriorSurface):
        # Its process is the quantity's own, which is in the file already.
        return {"kind": OWN_PROCESS, "workload": surface.workload}
    return surface and _surface_state(surface, prefix, arrays)


def _surface_state(surface: Surface, prefix: str, arrays: Arrays) -> dict[str, Any]:
    header = {
        "device": surface.device,
        "workload": surface.workload,
        "coordinates": surface.coordinates.header(),
    }
    if isinstance(surface, PosteriorSurface):
        quantity = quantity_state(surface.quantity, f"{prefix}.quantity", arrays)
        time = surface.time and quantity_state(surface.time, f"{prefix}.time", arrays)
        return {**header, "kind": PROCESS, "quantity": quantity, "time": time}
    if not isinstance(surface, GridSurface):
        raise TypeError(f"a {type(surface).__name__} has no place in a predictor file")
    arrays[f"{prefix}.nodes"] = surface.nodes
    arrays[f"{prefix}.axes"] = np.concatenate([*surface.axes, np.zeros(0)])
    return {**header, "kind": GRID, "lengths": [len(axis) for axis in surface.axes]}


def _surface_restored(header: dict[str, Any], prefix: str, checkpoint: Checkpoint) -> Surface:
    # Files of version 0.3.0 do not name the kind: all of their surfaces are grids.
    if header.get("kind", GRID) == PROCESS:
        return _process_restored(header, prefix, checkpoint)
    ends = np.cumsum(header["lengths"])[:-1].astype(np.int64)
    axes = checkpoint.array(f"{prefix}.axes")
    return GridSurface(
        coordinates=Coordinates.from_header(header["coordinates"]),
        device=header["device"],
        workload=header["workload"],
        axes=tuple(np.split(axes, ends)) if header["lengths"] else (),
        nodes=checkpoint.array(f"{prefix}.nodes"),
    )


def _process_restored(header: dict[str, Any], prefix: str, checkpoint: Checkpoint) -> PosteriorSurface:
    coordinates, device = Coordinates.from_header(header["coordinates"]), str(header["device"])
    time = header["time"] and quantity_restored(
        header["time"], f"{prefix}.time", checkpoint, coordinates, device, time=None
    )
    quantity = quantity_restored(
        header["quantity"], f"{prefix}.quantity", checkpoint, coordinates, device, time=time or None
    )
    return PosteriorSurface(
        coordinates=coordinates,
        device=device,
        workload=header["workload"],
        quantity=quantity,
        time=time or None,
    )
