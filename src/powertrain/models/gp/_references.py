"""References: measured workloads as surfaces that can be looked up at any mode, and what they teach.

A reference is kept as the logarithm of its time and power on a grid of its own device's knob values, linear
between them in the logarithms of the knobs. On another device, clocks and watts are matched by their place in
each device's own range, counts by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import final

import numpy as np
import numpy.typing as npt

from powertrain.errors import MissingKnobError
from powertrain.models.gp._coordinates import Coordinates, is_relative
from powertrain.records import FloatArray, ModeTable

__all__ = ["MAX_SURFACES", "LearnedPrior", "Surface", "SurfaceStack", "build_surface", "check_knobs"]

MAX_NODES = 20_000
"""Grid nodes of a surface; the values of the longest knobs are thinned until it holds."""
MAX_SURFACES = 12
"""References that a transfer keeps: the ones whose shape is closest to the profiles."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedPrior:
    """What fitting a workload on its own taught about its kind: centres of the priors of the next."""

    terms: tuple[tuple[str, int], ...]
    """Knob and direction of each term of the mean."""
    log_exponents: FloatArray
    """`(n_terms,)`"""
    knobs: tuple[str, ...]
    """Varying knobs."""
    kernel: FloatArray
    """`(n_knobs + 2,)` log lengths, log residual and log noise."""

    @staticmethod
    def pooled_exponents(
        priors: Sequence[LearnedPrior], terms: Sequence[tuple[str, int]], default: float
    ) -> FloatArray:
        """Return the mean log exponent of each of `terms` over the references that have it."""
        known = [dict(zip(p.terms, p.log_exponents, strict=True)) for p in priors]
        return np.array([_mean_or([d[t] for d in known if t in d], default) for t in terms])

    @staticmethod
    def pooled_kernel(
        priors: Sequence[LearnedPrior], knobs: Sequence[str], default: FloatArray
    ) -> FloatArray:
        """Return log lengths of `knobs`, log residual and log noise, means over the references."""
        known = [dict(zip(p.knobs, p.kernel, strict=False)) for p in priors]
        lengths = [_mean_or([d[k] for d in known if k in d], default[i]) for i, k in enumerate(knobs)]
        tail = np.mean([p.kernel[-2:] for p in priors], axis=0)
        return np.concatenate([lengths, tail])


def _mean_or(values: Sequence[float], default: float) -> float:
    return float(np.mean(values)) if values else default


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """One quantity of one reference: log-values on a grid of unit coordinates."""

    coordinates: Coordinates
    device: str
    workload: str
    axes: tuple[FloatArray, ...]
    """Ascending unit coordinates of each varying knob."""
    nodes: FloatArray
    """`(n_nodes,)` log-values, last knob fastest."""

    def same_grid(self, other: Surface) -> bool:
        """Whether the two are tabulated at the same places of the same device."""
        return (
            self.device == other.device
            and self.coordinates.knobs == other.coordinates.knobs
            and np.array_equal(self.coordinates.low, other.coordinates.low)
            and np.array_equal(self.coordinates.high, other.coordinates.high)
            and len(self.axes) == len(other.axes)
            and all(np.array_equal(a, b) for a, b in zip(self.axes, other.axes, strict=True))
        )


def build_surface(
    coordinates: Coordinates,
    modes: ModeTable,
    log_values: FloatArray,
    *,
    device: str,
    workload: str,
    predict: Callable[[ModeTable], FloatArray],
) -> Surface:
    """Tabulate measured log-values `(n,)`; `predict` (modes to log-values) fills what was not measured."""
    unit = coordinates.unit(modes)
    axes = _thinned([np.unique(column) for column in unit.T])
    shape = tuple(len(axis) for axis in axes)
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    place = [np.minimum(np.searchsorted(a, unit[:, j]), len(a) - 1) for j, a in enumerate(axes)]
    on_node = np.all([a[p] == unit[:, j] for j, (a, p) in enumerate(zip(axes, place, strict=True))], axis=0)
    index = np.ravel_multi_index([p[on_node] for p in place], shape)
    count = np.bincount(index, minlength=len(grid))
    nodes = np.bincount(index, weights=log_values[on_node], minlength=len(grid)) / np.maximum(count, 1)
    empty = count == 0
    if empty.any():
        unmeasured = ModeTable(knobs=coordinates.knobs, values=coordinates.values(grid[empty]))
        nodes[empty] = predict(unmeasured)
    return Surface(coordinates=coordinates, device=device, workload=workload, axes=axes, nodes=nodes)


def _thinned(axes: list[FloatArray]) -> tuple[FloatArray, ...]:
    while np.prod([len(a) for a in axes]) > MAX_NODES:
        longest = max(range(len(axes)), key=lambda j: len(axes[j]))
        axes[longest] = np.unique(np.append(axes[longest][::2], axes[longest][-1]))
    return tuple(axes)


def check_knobs(target: Coordinates, reference: Coordinates, *, workload: str) -> None:
    """Refuse a reference that has not the knobs that vary on the target, or has others that vary."""
    missing = [name for name in target.names if name not in reference.knobs]
    if missing:
        raise MissingKnobError(
            f"the reference {workload!r} lacks the knob {', '.join(missing)} of the profiles: it has "
            f"{', '.join(reference.knobs)}; take a reference profiled over the same knobs"
        )
    extra = [name for name in reference.names if name not in target.knobs]
    if extra:
        raise MissingKnobError(
            f"the profiles lack the knob {', '.join(extra)} of the reference {workload!r}: they have "
            f"{', '.join(target.knobs)}; profile over the same knobs"
        )


@final
class SurfaceStack:
    """Several references as seen from one target device, looked up together."""

    def __init__(self, target: Coordinates, device: str, surfaces: Sequence[Surface]) -> None:
        self.target, self.device = target, device
        self.surfaces = tuple(surfaces)
        self._groups = self._grouped()

    def __len__(self) -> int:
        return len(self.surfaces)

    def subset(self, rows: Sequence[int]) -> SurfaceStack:
        """Return the stack of some of the surfaces, in the order of `rows`."""
        return SurfaceStack(self.target, self.device, [self.surfaces[i] for i in rows])

    def _grouped(self) -> list[tuple[Surface, list[int], FloatArray]]:
        groups: list[tuple[Surface, list[int]]] = []
        for i, surface in enumerate(self.surfaces):
            for first, members in groups:
                if surface.same_grid(first):
                    members.append(i)
                    break
            else:
                groups.append((surface, [i]))
        return [
            (first, members, np.stack([self.surfaces[i].nodes for i in members], axis=1))
            for first, members in groups
        ]

    def at(self, modes: ModeTable) -> FloatArray:
        """Return the `(n_modes, n_surfaces)` log-values; beyond a reference's range its edge holds."""
        out = np.empty((len(modes), len(self)))
        for surface, members, nodes in self._groups:
            out[:, members] = _interpolate(surface.axes, nodes, self._place(surface, modes))
        return out

    def _place(self, surface: Surface, modes: ModeTable) -> FloatArray:
        """Return the modes' unit coordinates on the reference's device, `(n, n_varying)`."""
        own = surface.coordinates
        values = np.broadcast_to(own.high, (len(modes), len(own.knobs))).copy()
        for j, name in enumerate(own.knobs):
            if name in modes.knobs:
                values[:, j] = modes.column(name)
        unit = own.unit(ModeTable(knobs=own.knobs, values=values))
        if surface.device != self.device:
            target_unit = self.target.unit(modes)
            for j, name in enumerate(own.names):
                if is_relative(name) and name in self.target.names:
                    unit[:, j] = target_unit[:, self.target.names.index(name)]
        return unit


def _interpolate(axes: Sequence[FloatArray], nodes: FloatArray, at: FloatArray) -> FloatArray:
    """Interpolate `(n_nodes, R)` values multilinearly at `(n, k)` places, clipped to the grid."""
    if not axes:
        return np.repeat(nodes[:1], len(at), axis=0)
    lower: list[npt.NDArray[np.int64]] = []
    fraction: list[FloatArray] = []
    for j, axis in enumerate(axes):
        column: FloatArray = at[:, j]
        if len(axis) == 1:
            lower.append(np.zeros(len(at), dtype=np.int64))
            fraction.append(np.zeros(len(at)))
            continue
        place: npt.NDArray[np.int64] = np.clip(np.searchsorted(axis, column) - 1, 0, len(axis) - 2)
        lower.append(place)
        fraction.append(np.clip((column - axis[place]) / (axis[place + 1] - axis[place]), 0.0, 1.0))
    strides = np.cumprod([1, *[len(a) for a in axes[:0:-1]]])[::-1]
    base = sum(p * s for p, s in zip(lower, strides, strict=True))
    out = np.zeros((len(at), nodes.shape[1]))
    for corner in product(*((0,) if len(axis) == 1 else (0, 1) for axis in axes)):
        weight = np.ones(len(at))
        for c, f in zip(corner, fraction, strict=True):
            weight *= f if c else 1.0 - f
        offset = int(np.dot(corner, strides))
        out += weight[:, None] * nodes[base + offset]
    return out
