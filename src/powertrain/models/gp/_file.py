"""A fitted quantity in a checkpoint: numbers in arrays, structure in JSON.

The Cholesky factor is not kept but computed again from the same numbers, so a loaded predictor predicts
what the saved one did, bit for bit on the same machine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from powertrain.models._checkpoint import Checkpoint, shortened
from powertrain.models.gp._coordinates import Coordinates
from powertrain.models.gp._mean import MeanInputs, MeanShape
from powertrain.models.gp._quantity import DYNAMIC, KEPT_PROFILES, TIMES, Layout, Quantity
from powertrain.models.gp._references import MAX_NODES, MAX_SURFACES, Surface, SurfaceStack
from powertrain.models.gp._regression import KernelPrior, Regression, RegressionInputs
from powertrain.records import FloatArray

__all__ = ["Arrays", "coordinates_restored", "quantity_restored", "quantity_state"]

Arrays = dict[str, npt.NDArray[Any]]

QUANTITIES = {"time": "time_ms", "power": "power_w"}
"""What each part of the file predicts."""
MOST_KNOBS, MOST_TERMS = 100, 500
LARGEST_LOG = 3000.0
"""Four times the logarithm of the largest float: what sums and differences of logarithms stay below."""
MOST_THETA = 50.0
"""Parameters are logarithms within a few spreads of their priors' centres; `exp` of this is harmless."""


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
        "n_fixed": regression.shape.n_fixed,
        "timed": regression.shape.timed,
        "calibration": [regression.prior.calibration_weight, *regression.prior.widening],
        "references": stack,
        "own_surface": quantity.own_surface and _surface_state(quantity.own_surface, f"{prefix}.own", arrays),
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
    header: Checkpoint, name: str, coordinates: Coordinates, device: str, *, time_known: bool
) -> Quantity:
    """Rebuild what `quantity_state` took apart.

    `header` is the quantity's own; `time_known` tells whether the time, which may be an input, is there.
    What the arrays and the rest of the header repeat of each other must agree, since later nothing looks.
    """
    layout = _layout_restored(header, name, coordinates, device)
    if layout.inverse_time_top is not None and not time_known:
        raise header.unfit(f"its {name} needs a time, and it has none")
    shape = _shape_restored(header, name, layout)
    inputs, target = _inputs_restored(header, name, layout, shape)
    weight, a, b = header.numbers("calibration", length=3, least=0.0, most=LARGEST_LOG)
    prior = KernelPrior(calibration_weight=weight, widening=(a, b))
    n_kernel = len(coordinates.names) + 4
    theta = header.column(f"{name}.theta", shape=(shape.size + n_kernel,), least=-MOST_THETA, most=MOST_THETA)
    regression = Regression(shape, prior, inputs, target, theta)
    mean, sd = regression.predict(inputs)
    if not (np.isfinite(mean).all() and np.isfinite(sd).all() and regression.scale > 0):
        raise header.unfit(f"its {name} predicts no finite numbers")
    own = header.header.get("own_surface")
    surface = _surface_restored(header.section("own_surface"), f"{name}.own") if own else None
    return Quantity(layout=layout, regression=regression, own_surface=surface)


def _layout_restored(header: Checkpoint, name: str, coordinates: Coordinates, device: str) -> Layout:
    quantity = header.text("quantity")
    if quantity != QUANTITIES[name]:
        raise header.unfit(f"its {name} is of {shortened(quantity)}")
    surfaces = [
        _surface_restored(section, f"{name}.reference{i}")
        for i, section in enumerate(header.sections("references", most=MAX_SURFACES))
    ]
    timed = header.value("inverse_time_top") is not None
    if timed and name == "time":
        raise header.unfit("its time needs a time")
    return Layout(
        quantity=quantity,
        coordinates=coordinates,
        terms=_terms_restored(header, coordinates, timed=timed),
        level=header.number("level", least=-LARGEST_LOG, most=LARGEST_LOG),
        stack=SurfaceStack(coordinates, device, surfaces),
        surface_means=_logs(header, f"{name}.surface_means", len(surfaces)),
        surface_top=header.number("surface_top", least=-LARGEST_LOG, most=LARGEST_LOG),
        inverse_time_top=header.number("inverse_time_top", least=-LARGEST_LOG, most=LARGEST_LOG)
        if timed
        else None,
    )


def _terms_restored(
    header: Checkpoint, coordinates: Coordinates, *, timed: bool
) -> tuple[tuple[str, int], ...]:
    terms: list[tuple[str, int]] = []
    for name, sign in header.value("terms"):
        known = isinstance(name, str) and all(part in coordinates.names for part in name.split(TIMES))
        if not known or sign not in (-1, 1, -DYNAMIC, DYNAMIC) or (abs(sign) == DYNAMIC and not timed):
            raise header.unfit(f"it has the term {shortened([name, sign])}")
        terms.append((name, int(sign)))
    if len(terms) > MOST_TERMS:
        raise header.unfit(f"it has {len(terms)} terms")
    return tuple(terms)


def _shape_restored(header: Checkpoint, name: str, layout: Layout) -> MeanShape:
    n_terms, timed_terms = len(layout.terms), layout.timed_terms
    n_fixed = int(len(layout.stack) > 0) + int(timed_terms is not None)
    timed = [] if timed_terms is None else [*(1 + j for j in timed_terms), n_terms + n_fixed]
    if header.value("n_fixed") != n_fixed or header.value("timed") != timed:
        raise header.unfit(f"{header.within} counts other terms than it has")
    size = (2 + 2 * n_terms + n_fixed,)
    centre = header.column(f"{name}.centre", shape=size, least=-MOST_THETA, most=MOST_THETA)
    sd = header.column(f"{name}.sd", shape=size, least=1 / MOST_THETA, most=MOST_THETA)
    return MeanShape(n_terms=n_terms, n_fixed=n_fixed, centre=centre, sd=sd, timed=timed)


def _inputs_restored(
    header: Checkpoint, name: str, layout: Layout, shape: MeanShape
) -> tuple[RegressionInputs, FloatArray]:
    n = len(header.array(f"{name}.target", shape=(None,)))
    # The posterior takes several matrices of n x n.
    if not 0 < n <= KEPT_PROFILES:
        raise header.unfit(f"it is of {n:,} profiles, and at most {KEPT_PROFILES} are kept")
    slopes, offsets = (_logs(header, f"{name}.{key}", n, shape.n_terms) for key in ("slopes", "offsets"))
    inputs = RegressionInputs(
        unit=_logs(header, f"{name}.unit", n, len(layout.coordinates.names)),
        surfaces=_logs(header, f"{name}.surfaces", n, len(layout.stack)),
        mean=MeanInputs(
            slopes=slopes, offsets=offsets, fixed=_logs(header, f"{name}.fixed", n, shape.n_fixed)
        ),
    )
    return inputs, _logs(header, f"{name}.target", n)


def _logs(header: Checkpoint, name: str, *shape: int) -> FloatArray:
    """Return an array of logarithms, or of differences of some."""
    return header.column(name, shape=shape, least=-LARGEST_LOG, most=LARGEST_LOG)


def _surface_state(surface: Surface, prefix: str, arrays: Arrays) -> dict[str, Any]:
    arrays[f"{prefix}.nodes"] = surface.nodes
    arrays[f"{prefix}.axes"] = np.concatenate([*surface.axes, np.zeros(0)])
    return {
        "device": surface.device,
        "workload": surface.workload,
        "coordinates": surface.coordinates.header(),
        "lengths": [len(axis) for axis in surface.axes],
    }


def _surface_restored(header: Checkpoint, prefix: str) -> Surface:
    coordinates = coordinates_restored(header.section("coordinates"))
    k = len(coordinates.names)
    lengths = [int(length) for length in header.numbers("lengths", length=k, least=1, most=MAX_NODES)]
    axes = _logs(header, f"{prefix}.axes", sum(lengths))
    found = Surface(
        coordinates=coordinates,
        device=header.text("device"),
        workload=header.text("workload"),
        axes=tuple(np.split(axes, np.cumsum(lengths)[:-1])) if lengths else (),
        nodes=_logs(header, f"{prefix}.nodes", math.prod(lengths)),
    )
    if any((np.diff(axis) <= 0).any() for axis in found.axes):
        raise header.unfit(f"the places in {header.within} do not ascend")
    return found
