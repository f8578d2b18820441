"""A fitted quantity in a checkpoint: numbers in arrays, structure in JSON.

The Cholesky factor is not kept but computed again from the same numbers, so a loaded predictor predicts
what the saved one did, bit for bit on the same machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import numpy.typing as npt

from powertrain import quantities
from powertrain.models._checkpoint import Checkpoint, shortened
from powertrain.models.gp._coordinates import Coordinates
from powertrain.models.gp._mean import MeanInputs, MeanShape
from powertrain.models.gp._quantity import KEPT_PROFILES, Layout, PosteriorSurface, Quantity
from powertrain.models.gp._references import MAX_NODES, MAX_SURFACES, GridSurface, Surface, SurfaceStack
from powertrain.models.gp._regression import KernelPrior, Regression, RegressionInputs
from powertrain.models.gp._terms import Term
from powertrain.records import FloatArray

__all__ = ["Arrays", "coordinates_restored", "quantity_restored", "quantity_state"]

Arrays = dict[str, npt.NDArray[Any]]

MOST_KNOBS, MOST_TERMS = 100, 500
LARGEST_LOG = 3000.0
"""Four times the logarithm of the largest float: what sums and differences of logarithms stay below."""
LARGEST_SCALED = 1e12
"""As much for a quantity with absolute errors, in units of its spread."""
MOST_THETA = 50.0
"""Parameters are logarithms within a few spreads of their priors' centres; `exp` of this is harmless."""
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


def coordinates_restored(header: Checkpoint) -> Coordinates:
    """Rebuild the knobs' ranges from their JSON header."""
    knobs = header.texts("knobs")
    if not 0 < len(knobs) <= MOST_KNOBS:
        raise header.unfit(f"it has {len(knobs)} knobs")
    low, high = (header.numbers(key, length=len(knobs)) for key in ("low", "high"))
    found = Coordinates(knobs=knobs, low=low, high=high)
    # Two values may differ and their logarithms not.
    if (low > high).any() or not (found.span > 0).all():
        raise header.unfit(f"a range in {header.within} ends before it begins")
    return found


def quantity_restored(
    header: Checkpoint,
    prefix: str,
    measured: quantities.Quantity,
    coordinates: Coordinates,
    device: str,
    *,
    time: Quantity | None,
    most_references: int = MAX_SURFACES,
) -> Quantity:
    """Rebuild what `quantity_state` took apart.

    What the arrays and the rest of the header repeat of each other must agree, since later nothing looks.

    Args:
        header: The quantity's own.
        prefix: What the names of its arrays begin with.
        measured: What it must be a quantity of.
        coordinates: Of the predictor's device.
        device: Its name.
        time: The restored time of the same workload, which the quantity may take as an input.
        most_references: How many references it may have been fitted with.
    """
    numbers = _Numbers(header, prefix, LARGEST_LOG if measured.is_log else LARGEST_SCALED)
    if header.text("quantity") != measured.column:
        raise header.unfit(f"its {measured.name} is of {shortened(header.text('quantity'))}")
    surfaces = [
        _surface_restored(section, f"{prefix}.reference{i}", measured)
        for i, section in enumerate(header.sections("references", most=most_references))
    ]
    layout = _layout_restored(numbers, measured, coordinates, SurfaceStack(coordinates, device, surfaces))
    if layout.inverse_time_top is not None and time is None:
        raise header.unfit(f"its {measured.name} needs a time, and it has none")
    fitted = Quantity(layout=layout, regression=_regression_restored(numbers, layout), own_surface=None)
    if not header.header.get("own_surface"):
        return fitted
    own = header.section("own_surface")
    if own.header.get("kind") == OWN_PROCESS:
        lent_time = time if layout.inverse_time_top is not None else None
        return fitted.lending_itself(own.text("workload"), lent_time)
    return replace(fitted, own_surface=_surface_restored(own, f"{prefix}.own", measured))


@final
@dataclass(frozen=True)
class _Numbers:
    """The numbers of a quantity in a file, none of which is larger than it can be."""

    header: Checkpoint
    prefix: str
    most: float

    def column(self, name: str, *shape: int | None) -> FloatArray:
        return self.header.column(f"{self.prefix}.{name}", shape=shape, least=-self.most, most=self.most)

    def parameters(self, name: str, length: int) -> FloatArray:
        return self.header.column(
            f"{self.prefix}.{name}", shape=(length,), least=-MOST_THETA, most=MOST_THETA
        )

    def number(self, key: str) -> float:
        return self.header.number(key, least=-self.most, most=self.most)


def _layout_restored(
    numbers: _Numbers, measured: quantities.Quantity, coordinates: Coordinates, stack: SurfaceStack
) -> Layout:
    header = numbers.header
    timed = header.value("inverse_time_top") is not None
    terms = tuple(map(Term.from_header, header.value("terms")))
    known = {knob for term in terms for knob in term.knobs} <= set(coordinates.names)
    if len(terms) > MOST_TERMS or not known or not all(t.knobs and timed >= t.per_work for t in terms):
        raise header.unfit(f"{header.within} has terms of other knobs")
    return Layout(
        quantity=measured.column,
        coordinates=coordinates,
        terms=terms,
        level=numbers.number("level"),
        stack=stack,
        surface_means=numbers.column("surface_means", len(stack)),
        surface_top=numbers.number("surface_top"),
        inverse_time_top=header.number("inverse_time_top", least=-LARGEST_LOG, most=LARGEST_LOG)
        if timed
        else None,
        # Files of version 0.3.0 have none: all of their quantities are logarithms.
        scale=header.number("scale", least=1 / LARGEST_SCALED, most=LARGEST_SCALED)
        if "scale" in header.header
        else 1.0,
    )


def _regression_restored(numbers: _Numbers, layout: Layout) -> Regression:
    header, k = numbers.header, len(layout.coordinates.names)
    n = len(header.array(f"{numbers.prefix}.target", shape=(None,)))
    # The posterior takes several matrices of n x n.
    if not 0 < n <= KEPT_PROFILES:
        raise header.unfit(f"it is of {n:,} profiles, and at most {KEPT_PROFILES} are kept")
    shape = _shape_restored(numbers, layout)
    weight, a, b = header.numbers("calibration", length=3, least=0.0, most=LARGEST_LOG)
    inputs = RegressionInputs(
        unit=numbers.column("unit", n, k),
        surfaces=numbers.column("surfaces", n, len(layout.stack)),
        mean=MeanInputs(
            slopes=numbers.column("slopes", n, shape.n_terms),
            offsets=numbers.column("offsets", n, shape.n_terms),
            fixed=numbers.column("fixed", n, shape.n_fixed),
        ),
    )
    regression = Regression(
        shape,
        KernelPrior(calibration_weight=weight, widening=(a, b)),
        inputs,
        numbers.column("target", n),
        numbers.parameters("theta", shape.size + k + 4),
    )
    mean, sd = regression.predict(inputs)
    if not (np.isfinite(mean).all() and np.isfinite(sd).all() and regression.scale > 0):
        raise header.unfit(f"{header.within} predicts no finite numbers")
    return regression


def _shape_restored(numbers: _Numbers, layout: Layout) -> MeanShape:
    header, n_terms, timed_terms = numbers.header, len(layout.terms), layout.timed_terms
    n_fixed = int(len(layout.stack) > 0) + int(timed_terms is not None)
    timed = [] if timed_terms is None else [*(1 + j for j in timed_terms), n_terms + n_fixed]
    if header.value("n_fixed") != n_fixed or header.value("timed") != timed:
        raise header.unfit(f"{header.within} counts other terms than it has")
    size = 2 + 2 * n_terms + n_fixed
    sd = header.column(f"{numbers.prefix}.sd", shape=(size,), least=1 / MOST_THETA, most=MOST_THETA)
    centre = numbers.parameters("centre", size)
    return MeanShape(n_terms=n_terms, n_fixed=n_fixed, centre=centre, sd=sd, timed=timed)


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


def _surface_restored(header: Checkpoint, prefix: str, measured: quantities.Quantity) -> Surface:
    coordinates = coordinates_restored(header.section("coordinates"))
    # Files of version 0.3.0 do not name the kind: all of their surfaces are grids.
    if header.header.get("kind", GRID) == PROCESS:
        return _process_restored(header, prefix, measured, coordinates)
    k = len(coordinates.names)
    lengths = [int(length) for length in header.numbers("lengths", length=k, least=1, most=MAX_NODES)]
    size = math.prod(lengths)
    if size > MAX_NODES:
        raise header.unfit(f"{header.within} is a grid of {size:,} nodes")
    numbers = _Numbers(header, prefix, LARGEST_LOG if measured.is_log else LARGEST_SCALED)
    axes = numbers.column("axes", sum(lengths))
    found = GridSurface(
        coordinates=coordinates,
        device=header.text("device"),
        workload=header.text("workload"),
        axes=tuple(np.split(axes, np.cumsum(lengths)[:-1])) if lengths else (),
        nodes=numbers.column("nodes", size),
    )
    if any((np.diff(axis) <= 0).any() for axis in found.axes):
        raise header.unfit(f"the places in {header.within} do not ascend")
    return found


def _process_restored(
    header: Checkpoint, prefix: str, measured: quantities.Quantity, coordinates: Coordinates
) -> PosteriorSurface:
    device, time = header.text("device"), None
    # What lends its process was fitted on its own, so it has no references in turn.
    if header.header.get("time"):
        first = quantities.find(measured.after)
        time = quantity_restored(
            header.section("time"), f"{prefix}.time", first, coordinates, device, time=None, most_references=0
        )
    quantity = quantity_restored(
        header.section("quantity"),
        f"{prefix}.quantity",
        measured,
        coordinates,
        device,
        time=time,
        most_references=0,
    )
    return PosteriorSurface(
        coordinates=coordinates,
        device=device,
        workload=header.text("workload"),
        quantity=quantity,
        time=time,
    )
