"""References: measured workloads as surfaces that can be looked up at any mode.

A reference with few knobs is kept as the logarithm of its time and power on a grid of its own device's knob
values, linear between them in the logarithms of the knobs. A grid over many knobs has more nodes than any
machine can hold; what is kept of such a reference is up to the method. On another device, clocks and watts
are matched by their place in each device's own range, counts by value.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from powertrain.errors import MissingKnobError
from powertrain.models._checkpoint import Checkpoint
from powertrain.models._coordinates import Coordinates, is_relative
from powertrain.records import FloatArray, ModeTable

__all__ = [
    "LARGEST_LOG",
    "LARGEST_SCALED",
    "MAX_NODES",
    "Arrays",
    "GridSurface",
    "Surface",
    "SurfaceStack",
    "build_grid",
    "check_knobs",
    "coordinates_restored",
    "fits_on_grid",
    "grid_restored",
    "grid_state",
]

Arrays = dict[str, npt.NDArray[Any]]

MAX_NODES = 20_000
"""Grid nodes of a surface: all modes of an AGX Orin, with room to spare."""
MAX_GRID_KNOBS = 6
"""Knobs of a grid: to look up one mode, a grid over `k` knobs reads 2^k nodes."""
MOST_KNOBS = 100
LARGEST_LOG = 3000.0
"""Four times the logarithm of the largest float: what sums and differences of logarithms stay below."""
LARGEST_SCALED = 1e12
"""As much for a quantity with absolute errors, in units of its spread."""
MOST_LOOKED_AT = 2_000
"""Nodes of a grid that stand for all of it where surfaces are compared."""


class Surface(ABC):
    """One quantity of one reference, whose log-values can be looked up anywhere on its own device."""

    coordinates: Coordinates
    """Of the reference's own device."""
    device: str
    workload: str
    error: float
    """What it is wrong by between what was profiled [log], as leaving profiles out shows; 0: nobody said."""

    @abstractmethod
    def at(self, unit: FloatArray) -> FloatArray:
        """Return the `(n,)` log-values at `(n, n_varying)` unit coordinates of the reference's own device.

        Outside the range of a knob, the value at the end of the range holds.
        """


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class GridSurface(Surface):
    """Log-values on a grid of unit coordinates, linear between the nodes."""

    coordinates: Coordinates
    device: str
    workload: str
    axes: tuple[FloatArray, ...]
    """Ascending unit coordinates of each varying knob."""
    nodes: FloatArray
    """`(n_nodes,)` log-values, last knob fastest."""
    error: float = 0.0

    def at(self, unit: FloatArray) -> FloatArray:
        """Interpolate between the nodes around each place."""
        return _interpolate(self.axes, self.nodes[:, None], unit)[:, 0]

    def same_grid(self, other: GridSurface) -> bool:
        """Whether the two are tabulated at the same places of the same device."""
        return (
            self.device == other.device
            and self.coordinates.knobs == other.coordinates.knobs
            and np.array_equal(self.coordinates.low, other.coordinates.low)
            and np.array_equal(self.coordinates.high, other.coordinates.high)
            and len(self.axes) == len(other.axes)
            and all(np.array_equal(a, b) for a, b in zip(self.axes, other.axes, strict=True))
        )


def fits_on_grid(coordinates: Coordinates, modes: ModeTable) -> bool:
    """Whether a grid of all values that `modes` have is small enough to tabulate."""
    lengths = [len(np.unique(column)) for column in coordinates.unit(modes).T]
    # math.prod counts in Python's integers: numpy's overflow from about twenty knobs on.
    return len(lengths) <= MAX_GRID_KNOBS and math.prod(lengths) <= MAX_NODES


def build_grid(
    coordinates: Coordinates,
    modes: ModeTable,
    log_values: FloatArray,
    *,
    device: str,
    workload: str,
    predict: Callable[[ModeTable], FloatArray],
    error: float = 0.0,
) -> GridSurface:
    """Tabulate measured log-values `(n,)`, means over repeats; `predict` fills the nodes not measured.

    `error` is what predictions of modes that were not measured are wrong by [log].
    """
    unit = coordinates.unit(modes)
    levels = [np.unique(column, return_inverse=True) for column in unit.T]
    axes, shape = tuple(axis for axis, _ in levels), tuple(len(axis) for axis, _ in levels)
    size = math.prod(shape)
    # With no varying knob the grid is one node, which numpy cannot be asked to ravel.
    index = (
        np.ravel_multi_index([place.reshape(-1) for _, place in levels], shape)
        if levels
        else np.zeros(len(modes), dtype=np.int64)
    )
    count = np.bincount(index, minlength=size)
    nodes = np.bincount(index, weights=log_values, minlength=size) / np.maximum(count, 1)
    empty = np.flatnonzero(count == 0)
    if len(empty):
        places = np.unravel_index(empty, shape)
        missing = np.stack([axis[place] for axis, place in zip(axes, places, strict=True)], axis=1)
        nodes[empty] = predict(ModeTable(knobs=coordinates.knobs, values=coordinates.values(missing)))
    return GridSurface(
        coordinates=coordinates, device=device, workload=workload, axes=axes, nodes=nodes, error=error
    )


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
        grids = {i: s for i, s in enumerate(self.surfaces) if isinstance(s, GridSurface)}
        self._shared = _sharing_a_grid(grids)
        self._alone = {i: s for i, s in enumerate(self.surfaces) if i not in grids}

    def __len__(self) -> int:
        return len(self.surfaces)

    def subset(self, rows: Sequence[int]) -> SurfaceStack:
        """Return the stack of some of the surfaces, in the order of `rows`."""
        return SurfaceStack(self.target, self.device, [self.surfaces[i] for i in rows])

    def at(self, modes: ModeTable) -> FloatArray:
        """Return the `(n_modes, n_surfaces)` log-values; beyond a reference's range its edge holds."""
        out = np.empty((len(modes), len(self)))
        for first, members, nodes in self._shared:
            out[:, members] = _interpolate(first.axes, nodes, self._place(first, modes))
        for i, surface in self._alone.items():
            out[:, i] = surface.at(self._place(surface, modes))
        return out

    def everywhere(self) -> FloatArray:
        """Return the `(n, n_surfaces)` log-values at places all over the target device, `n` at most 2,000."""
        names = self.target.names
        sequence = np.random.default_rng(0).uniform(-1.0, 0.0, (MOST_LOOKED_AT, len(names)))
        return self.at(ModeTable(knobs=self.target.knobs, values=self.target.values(sequence)))

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


def _sharing_a_grid(grids: Mapping[int, GridSurface]) -> list[tuple[GridSurface, list[int], FloatArray]]:
    """Group grids with their nodes at the same places: the first, the numbers of all, `(n_nodes, R)` values.

    One look-up then serves all references of one device, which are often profiled over the same modes.
    """
    groups: list[tuple[GridSurface, list[int]]] = []
    for i, surface in grids.items():
        for first, members in groups:
            if surface.same_grid(first):
                members.append(i)
                break
        else:
            groups.append((surface, [i]))
    return [(first, rows, np.stack([grids[i].nodes for i in rows], axis=1)) for first, rows in groups]


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
    # One weight and one offset per corner of the cell; each knob doubles them.
    corners: list[tuple[FloatArray | float, int]] = [(1.0, 0)]
    for axis, share, stride in zip(axes, fraction, strides.tolist(), strict=True):
        if len(axis) > 1:
            low = 1.0 - share
            corners = [
                (weight * part, offset + step)
                for weight, offset in corners
                for part, step in ((low, 0), (share, stride))
            ]
    out = np.zeros((len(at), nodes.shape[1]))
    for weight, offset in corners:
        out += np.reshape(weight, (-1, 1)) * nodes[base + offset]
    return out


def grid_state(surface: GridSurface, prefix: str, arrays: Arrays) -> dict[str, Any]:
    """Add the numbers of a surface to `arrays` under `prefix` and return its JSON header."""
    arrays[f"{prefix}.nodes"] = surface.nodes
    arrays[f"{prefix}.axes"] = np.concatenate([*surface.axes, np.zeros(0)])
    return {
        "device": surface.device,
        "workload": surface.workload,
        "coordinates": surface.coordinates.header(),
        "lengths": [len(axis) for axis in surface.axes],
        "error": surface.error,
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


def error_restored(header: Checkpoint) -> float:
    """Return what a surface is wrong by; files of version 0.3.0 do not say."""
    return header.number("error", least=0.0, most=LARGEST_LOG) if "error" in header.header else 0.0


def grid_restored(header: Checkpoint, prefix: str, *, largest: float) -> GridSurface:
    """Rebuild what `grid_state` took apart, none of whose numbers is larger than `largest`."""
    coordinates = coordinates_restored(header.section("coordinates"))
    k = len(coordinates.names)
    lengths = [int(length) for length in header.numbers("lengths", length=k, least=1, most=MAX_NODES)]
    size = math.prod(lengths)
    if size > MAX_NODES:
        raise header.unfit(f"{header.within} is a grid of {size:,} nodes")
    bounds = {"least": -largest, "most": largest}
    axes = header.column(f"{prefix}.axes", shape=(sum(lengths),), **bounds)
    found = GridSurface(
        coordinates=coordinates,
        device=header.text("device"),
        workload=header.text("workload"),
        axes=tuple(np.split(axes, np.cumsum(lengths)[:-1])) if lengths else (),
        nodes=header.column(f"{prefix}.nodes", shape=(size,), **bounds),
        error=error_restored(header),
    )
    if any((np.diff(axis) <= 0).any() for axis in found.axes):
        raise header.unfit(f"the places in {header.within} do not ascend")
    return found
