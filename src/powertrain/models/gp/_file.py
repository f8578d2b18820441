"""A fitted quantity in a checkpoint: numbers in arrays, structure in JSON.

The Cholesky factor is not kept but computed again from the same numbers, so a loaded predictor predicts
what the saved one did, bit for bit on the same machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from powertrain import quantities
from powertrain.models._checkpoint import Checkpoint, shortened
from powertrain.models._coordinates import Coordinates
from powertrain.models._surfaces import (
    LARGEST_LOG,
    LARGEST_SCALED,
    Arrays,
    GridSurface,
    Surface,
    SurfaceStack,
    coordinates_restored,
    error_restored,
    grid_restored,
    grid_state,
)
from powertrain.models.gp._blend import Blend
from powertrain.models.gp._mean import MeanInputs, MeanShape
from powertrain.models.gp._quantity import KEPT_PROFILES, Layout, PosteriorSurface, Quantity
from powertrain.models.gp._references import MAX_SURFACES
from powertrain.models.gp._regression import Certainty, KernelPrior, Regression, RegressionInputs
from powertrain.models.gp._terms import Term
from powertrain.records import FloatArray

__all__ = ["fitted_restored", "fitted_state"]

MOST_TERMS = 500
MOST_THETA = 50.0
"""Parameters are logarithms within a few spreads of their priors' centres; `exp` of this is harmless."""
MOST_DOUBT = 10.0
"""Spread of a logarithm beyond which nothing is said."""
GRID, PROCESS, OWN_PROCESS = "grid", "process", "own process"
"""Kinds of surfaces: a table of nodes, a reference's fitted process, and that of the file's own workload."""


def fitted_state(fitted: Quantity | Blend, prefix: str, arrays: Arrays) -> dict[str, Any]:
    """Add the numbers of a quantity to `arrays` and return its JSON header."""
    if not isinstance(fitted, Blend):
        return _quantity_state(fitted, prefix, arrays)
    beside = _quantity_state(fitted.beside, prefix, arrays)
    # A reader of version 0.3.0 finds what it knows, and leaves the rest.
    return {**beside, "alone": _quantity_state(fitted.alone, f"{prefix}.alone", arrays)}


def fitted_restored(
    header: Checkpoint,
    prefix: str,
    measured: quantities.Quantity,
    coordinates: Coordinates,
    device: str,
    *,
    time: Quantity | Blend | None,
) -> Quantity | Blend:
    """Rebuild what `fitted_state` took apart.

    Args:
        header: The quantity's own.
        prefix: What the names of its arrays begin with.
        measured: What it must be a quantity of.
        coordinates: Of the predictor's device.
        device: Its name.
        time: The restored time of the same workload, which the quantity may take as an input.
    """
    before = time.beside if isinstance(time, Blend) else time
    whole = _quantity_restored(header, prefix, measured, coordinates, device, time=before)
    if "alone" not in header.header:
        return whole
    if not len(whole.layout.stack):
        raise header.unfit(f"{header.within} has two models, and no reference")
    section = header.section("alone")
    alone = _quantity_restored(
        section, f"{prefix}.alone", measured, coordinates, device, time=before, most_references=0
    )
    return Blend(alone=alone, beside=whole)


def _quantity_state(quantity: Quantity, prefix: str, arrays: Arrays) -> dict[str, Any]:
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
        "share": regression.certainty.share,
        "variance": regression.certainty.variance,
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
        "noise_doubt": regression.prior.noise_doubt,
        "noise_sd": quantity.noise_sd,
        "references": stack,
        "own_surface": _own_surface_state(quantity.own_surface, f"{prefix}.own", arrays),
    }


def _quantity_restored(
    header: Checkpoint,
    prefix: str,
    measured: quantities.Quantity,
    coordinates: Coordinates,
    device: str,
    *,
    time: Quantity | None,
    most_references: int = MAX_SURFACES,
) -> Quantity:
    """Rebuild what `_quantity_state` took apart.

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
    regression = _regression_restored(numbers, layout)
    # Files of version 0.3.0 have none: there, what the fit called noise was noise.
    told = "noise_sd" in header.header
    noise_sd = header.number("noise_sd", least=0.0, most=LARGEST_LOG) if told else regression.noise_sd
    fitted = Quantity(layout=layout, regression=regression, own_surface=None, noise_sd=noise_sd)
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
    # Files of version 0.3.0 know of no doubt: there, the noise was as fitted, in every profile alike.
    told = "noise_doubt" in header.header
    doubt = header.number("noise_doubt", least=0.0, most=MOST_DOUBT) if told else 0.0
    regression = Regression(
        shape,
        KernelPrior(calibration_weight=weight, widening=(a, b), noise_doubt=doubt),
        inputs,
        numbers.column("target", n),
        numbers.parameters("theta", shape.size + k + 4),
        _certainty_restored(numbers, n) if told else None,
    )
    told = regression.predict(inputs)
    if not (np.isfinite(told.mean).all() and np.isfinite(told.sd).all() and regression.scale > 0):
        raise header.unfit(f"{header.within} predicts no finite numbers")
    return regression


def _certainty_restored(numbers: _Numbers, n: int) -> Certainty:
    header, prefix = numbers.header, numbers.prefix
    return Certainty(
        share=header.column(f"{prefix}.share", shape=(n,), least=1 / LARGEST_SCALED, most=1.0),
        variance=header.column(f"{prefix}.variance", shape=(n,), least=0.0, most=numbers.most),
    )


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
        quantity = _quantity_state(surface.quantity, f"{prefix}.quantity", arrays)
        time = surface.time and _quantity_state(surface.time, f"{prefix}.time", arrays)
        return {**header, "kind": PROCESS, "error": surface.error, "quantity": quantity, "time": time}
    if not isinstance(surface, GridSurface):
        raise TypeError(f"a {type(surface).__name__} has no place in a predictor file")
    return {**grid_state(surface, prefix, arrays), "kind": GRID}


def _surface_restored(header: Checkpoint, prefix: str, measured: quantities.Quantity) -> Surface:
    # Files of version 0.3.0 do not name the kind: all of their surfaces are grids.
    if header.header.get("kind", GRID) == PROCESS:
        coordinates = coordinates_restored(header.section("coordinates"))
        return _process_restored(header, prefix, measured, coordinates)
    return grid_restored(header, prefix, largest=LARGEST_LOG if measured.is_log else LARGEST_SCALED)


def _process_restored(
    header: Checkpoint, prefix: str, measured: quantities.Quantity, coordinates: Coordinates
) -> PosteriorSurface:
    device, time = header.text("device"), None
    # What lends its process was fitted on its own, so it has no references in turn.
    if header.header.get("time"):
        first = quantities.find(measured.after)
        time = _quantity_restored(
            header.section("time"), f"{prefix}.time", first, coordinates, device, time=None, most_references=0
        )
    quantity = _quantity_restored(
        header.section("quantity"),
        f"{prefix}.quantity",
        measured,
        coordinates,
        device,
        time=time,
        most_references=0,
    )
    return PosteriorSurface(
        error=error_restored(header),
        coordinates=coordinates,
        device=device,
        workload=header.text("workload"),
        quantity=quantity,
        time=time,
    )
