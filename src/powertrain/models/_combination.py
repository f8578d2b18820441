"""What `nearest`, `ridge` and `factors` share: the target as a weighted sum of the references' log-surfaces.

They are the simple ways to transfer, against which `gp` has to show its worth. Each is one file that says how
the weights are found.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from typing_extensions import Self

from powertrain.errors import DataError, TooFewProfilesError
from powertrain.models._base import AbstractPredictor, known_quantity
from powertrain.models._checkpoint import Checkpoint
from powertrain.models._coordinates import Coordinates
from powertrain.models._surfaces import (
    LARGEST_LOG,
    LARGEST_SCALED,
    Arrays,
    GridSurface,
    Surface,
    SurfaceStack,
    build_grid,
    check_knobs,
    coordinates_restored,
    fits_on_grid,
    grid_restored,
    grid_state,
)
from powertrain.quantities import by_column
from powertrain.records import Estimate, FloatArray, ModeTable, Prediction, ProfileTable

__all__ = ["AbstractCombination", "Combination", "noise_variance"]

LEAST_MODES = 2
LOG_RANGE = 200.0
"""How far from 0 a predicted logarithm may go: far beyond any clock's reach, within what a float holds."""
MOST_REFERENCES = 10_000
"""References that a file may hold."""
NEIGHBOURS = 30
"""Measured modes from which one that was not measured is filled in."""
FEW_NOISE, FEW_NOISE_WEIGHT = 0.02, 1.0
"""Residual [log] that is believed before any profile, and how many profiles that belief is worth."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Combination:
    """`log y = level + sum_r weights_r (s_r - centre_r) + error`, and what the profiles leave open of it."""

    level: float
    weights: FloatArray
    """`(R,)`"""
    centre: FloatArray
    """`(R,)` mean of each surface over the profiles."""
    root: FloatArray
    """`(1 + R, k)` square root of the covariance of level and weights."""
    residual_sd: float

    def predict(self, surfaces: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation `(n,)` of the log-value where the surfaces are `(n, R)`."""
        about = surfaces - self.centre
        features = np.column_stack([np.ones(len(about)), about])
        variance = np.sum((features @ self.root) ** 2, axis=1) + self.residual_sd**2
        target = np.clip(self.level + about @ self.weights, -LOG_RANGE, LOG_RANGE)
        return target, np.sqrt(variance)


def noise_variance(squares: float, freedom: int) -> float:
    """Return the variance of residuals with this sum of squares, held up by a prior belief."""
    return (squares + FEW_NOISE_WEIGHT * FEW_NOISE**2) / (freedom + FEW_NOISE_WEIGHT)


class AbstractCombination(AbstractPredictor):
    """A predictor that adds up the references' surfaces; subclasses say with which weights."""

    uses_references: ClassVar[bool] = True

    @final
    def __init__(
        self,
        *,
        device: str,
        workload: str,
        coordinates: Coordinates,
        stacks: dict[str, SurfaceStack],
        combinations: dict[str, Combination],
        transferred: bool,
    ) -> None:
        self.device, self.workload, self.knobs = device, workload, coordinates.knobs
        self._coordinates = coordinates
        self._stacks, self._combinations = stacks, combinations
        self._transferred = transferred

    @classmethod
    @abstractmethod
    def combine(cls, target: FloatArray, surfaces: FloatArray, everywhere: FloatArray) -> Combination:
        """Find the weights.

        Args:
            target: `(n,)` log-values of the profiles.
            surfaces: `(n, R)` log-values of the references at the same modes.
            everywhere: `(m, R)` log-values of the references all over the space.
        """

    @final
    @classmethod
    def fit(cls, profiles: ProfileTable, *, seed: int = 0) -> Self:
        """Tabulate one workload's own profiles, interpolating between them; `seed` is not used.

        Raises:
            TooFewProfilesError: a quantity was measured in fewer than 2 distinct modes.
        """
        coordinates = _coordinates(profiles)
        stacks: dict[str, SurfaceStack] = {}
        combinations: dict[str, Combination] = {}
        for quantity, table in _measured(profiles, cls.method).items():
            surface, error_sd = _tabulated(table, quantity, coordinates)
            stacks[quantity] = SurfaceStack(coordinates, profiles.device, [surface])
            combinations[quantity] = Combination(
                level=0.0,
                weights=np.ones(1),
                centre=np.zeros(1),
                root=np.zeros((2, 1)),
                residual_sd=error_sd,
            )
        return cls(
            device=profiles.device,
            workload=profiles.workload,
            coordinates=coordinates,
            stacks=stacks,
            combinations=combinations,
            transferred=False,
        )

    @final
    @classmethod
    def transfer(
        cls,
        references: Sequence[AbstractPredictor],
        profiles: ProfileTable,
        *,
        seed: int = 0,
    ) -> Self:
        """Learn a workload from 2 or more profiles and from predictors of others, of the same method.

        A quantity that no reference has is interpolated between the profiles alone.

        Raises:
            MissingKnobError: a reference was not profiled over the same knobs.
            DataError: a reference was fitted with another method, or transferred itself.
            TooFewProfilesError: fewer than 2 distinct modes.
        """
        alone = cls.fit(profiles, seed=seed)
        coordinates = alone._coordinates
        stacks, combinations = dict(alone._stacks), dict(alone._combinations)
        lenders = [cls._lender(reference) for reference in references]
        for lender in lenders:
            if lender.device == profiles.device and set(lender.knobs) == set(coordinates.knobs):
                coordinates = coordinates.covering(lender._coordinates.ends())
        for lender in lenders:
            check_knobs(coordinates, lender._coordinates, workload=lender.workload)
        for quantity, table in _measured(profiles, cls.method).items():
            lent = [one._stacks[quantity].surfaces[0] for one in lenders if quantity in one._stacks]
            if lent:
                stack = SurfaceStack(coordinates, profiles.device, lent)
                stacks[quantity] = stack
                combinations[quantity] = cls.combine(
                    _targets(table, quantity), stack.at(table.modes), stack.everywhere()
                )
        return cls(
            device=profiles.device,
            workload=profiles.workload,
            coordinates=coordinates,
            stacks=stacks,
            combinations=combinations,
            transferred=bool(lenders),
        )

    @final
    @classmethod
    def _lender(cls, reference: AbstractPredictor) -> Self:
        if not isinstance(reference, cls):
            raise DataError(
                f"the reference {reference.workload!r} was fitted with {reference.method!r}: "
                f"{cls.method} needs references fitted with {cls.method} (fit --method {cls.method})"
            )
        if reference._transferred:
            raise DataError(
                f"the reference {reference.workload!r} was transferred itself: give one that was "
                "fitted to its own profiles (powertrain fit)"
            )
        return reference

    @final
    def predict(self, modes: ModeTable) -> Prediction:
        """Predict `modes`; a quantity that was never measured is NaN."""
        own = ModeTable(knobs=self.knobs, values=modes.select(self.knobs))
        estimates: dict[str, Estimate] = {}
        for column, combination in self._combinations.items():
            quantity = by_column()[column]
            target, sd = combination.predict(self._stacks[column].at(own))
            value = np.exp(target) if quantity.is_log else target
            estimates[quantity.name] = Estimate(
                quantity=quantity, value=value, sd=sd, noise_sd=np.zeros(len(own))
            )
        return Prediction(estimates=estimates)

    @final
    def _state(self) -> Checkpoint:
        arrays: Arrays = {}
        quantities: dict[str, Any] = {}
        for quantity, own in self._combinations.items():
            surfaces = self._stacks[quantity].surfaces
            quantities[quantity] = [
                _surface_state(s, f"{quantity}.reference{i}", arrays) for i, s in enumerate(surfaces)
            ]
            arrays[f"{quantity}.weights"] = np.stack([own.weights, own.centre])
            arrays[f"{quantity}.root"] = own.root
            arrays[f"{quantity}.numbers"] = np.array([own.level, own.residual_sd])
        header = {
            "device": self.device,
            "workload": self.workload,
            "coordinates": self._coordinates.header(),
            "transferred": self._transferred,
            "quantities": quantities,
        }
        return Checkpoint(method=self.method, header=header, arrays=arrays)

    @final
    @classmethod
    def _restore(cls, checkpoint: Checkpoint) -> Self:
        device = checkpoint.text("device")
        coordinates = coordinates_restored(checkpoint.section("coordinates"))
        stacks: dict[str, SurfaceStack] = {}
        combinations: dict[str, Combination] = {}
        headers = checkpoint.section("quantities")
        for column in headers.header:
            largest = (
                LARGEST_LOG if known_quantity(column, source=checkpoint.source).is_log else LARGEST_SCALED
            )
            surfaces = [
                _surface_restored(section, f"{column}.reference{i}", largest=largest)
                for i, section in enumerate(headers.sections(column, most=MOST_REFERENCES))
            ]
            stacks[column] = SurfaceStack(coordinates, device, surfaces)
            combinations[column] = _combination_restored(checkpoint, column, len(surfaces))
        if not combinations:
            raise checkpoint.unfit("it predicts nothing")
        return cls(
            device=device,
            workload=checkpoint.text("workload"),
            coordinates=coordinates,
            stacks=stacks,
            combinations=combinations,
            transferred=bool(checkpoint.value("transferred")),
        )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _ScatteredSurface(Surface):
    """A reference over too many knobs for a grid: its own profiles, interpolated."""

    coordinates: Coordinates
    device: str
    workload: str
    places: FloatArray
    """`(n, n_varying)` unit coordinates of the profiles."""
    values: FloatArray
    error: float = 0.0

    def at(self, unit: FloatArray) -> FloatArray:
        return _interpolator(self.places, self.values)(np.clip(unit, -1.0, 0.0))


def _surface_state(surface: Surface, prefix: str, arrays: Arrays) -> dict[str, Any]:
    if isinstance(surface, GridSurface):
        return {"kind": "grid", **grid_state(surface, prefix, arrays)}
    if not isinstance(surface, _ScatteredSurface):
        raise TypeError(f"a {type(surface).__name__} has no place in a predictor file")
    arrays[f"{prefix}.places"], arrays[f"{prefix}.values"] = surface.places, surface.values
    header = {"device": surface.device, "workload": surface.workload}
    return {"kind": "scattered", **header, "coordinates": surface.coordinates.header()}


def _combination_restored(checkpoint: Checkpoint, column: str, count: int) -> Combination:
    weights, centre = checkpoint.column(f"{column}.weights", shape=(2, count))
    level, residual_sd = checkpoint.column(f"{column}.numbers", shape=(2,))
    if not count or not residual_sd > 0:
        raise checkpoint.unfit(f"its {column} has no references, or no error bar")
    return Combination(
        level=float(level),
        weights=weights,
        centre=centre,
        root=checkpoint.column(f"{column}.root", shape=(1 + count, None)),
        residual_sd=float(residual_sd),
    )


def _surface_restored(header: Checkpoint, prefix: str, *, largest: float) -> Surface:
    if header.text("kind") == "grid":
        return grid_restored(header, prefix, largest=largest)
    coordinates = coordinates_restored(header.section("coordinates"))
    places = header.column(
        f"{prefix}.places", shape=(None, len(coordinates.names)), least=-largest, most=largest
    )
    return _ScatteredSurface(
        coordinates=coordinates,
        device=header.text("device"),
        workload=header.text("workload"),
        places=places,
        values=header.column(f"{prefix}.values", shape=(len(places),), least=-largest, most=largest),
    )


def _coordinates(profiles: ProfileTable) -> Coordinates:
    own = Coordinates.of(profiles.modes)
    return own if profiles.ends is None else own.covering(profiles.ends)


def _measured(profiles: ProfileTable, method: str) -> dict[str, ProfileTable]:
    """Return the profiles that have each quantity, by its column, one row per mode."""
    found: dict[str, ProfileTable] = {}
    for quantity in profiles.measured:
        table = profiles.take(np.isfinite(profiles.columns[quantity.column])).averaged()
        if len(table) < LEAST_MODES:
            raise TooFewProfilesError(
                f"{profiles.workload!r} has {quantity.column} in {len(table)} distinct mode: {method} needs "
                f"at least {LEAST_MODES}; profile more modes"
            )
        found[quantity.column] = table
    if not found:
        raise TooFewProfilesError(
            f"the profiles of {profiles.workload!r} hold neither a time nor a power: profile it"
        )
    return found


def _targets(table: ProfileTable, column: str) -> FloatArray:
    """Return what is added up: logarithms, or the values themselves where errors are absolute."""
    values = table.columns[column]
    return np.log(values) if by_column()[column].is_log else values


def _tabulated(table: ProfileTable, column: str, coordinates: Coordinates) -> tuple[Surface, float]:
    """Return the surface of one quantity, and the error [log] of its interpolation."""
    unit, values = coordinates.unit(table.modes), _targets(table, column)
    halves = [slice(0, None, 2), slice(1, None, 2)]
    errors = [_interpolator(unit[a], values[a])(unit[b]) - values[b] for a, b in (halves, halves[::-1])]
    every = np.concatenate(errors)
    error_sd = float(np.sqrt(noise_variance(float(every @ every), len(every))))
    if not fits_on_grid(coordinates, table.modes):
        scattered = _ScatteredSurface(
            coordinates=coordinates,
            places=unit,
            values=values,
            device=table.device,
            workload=table.workload,
            error=error_sd,
        )
        return scattered, error_sd
    between = _interpolator(unit, values)
    grid = build_grid(
        coordinates,
        table.modes,
        values,
        device=table.device,
        workload=table.workload,
        predict=lambda modes: between(coordinates.unit(modes)),
        error=error_sd,
    )
    return grid, error_sd


def _interpolator(unit: FloatArray, values: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Return a function through `(n, k)` places: a plane by least squares, and splines on what is left."""
    from scipy.interpolate import RBFInterpolator  # only fitting needs it, and it takes long to import

    plane = np.column_stack([np.ones(len(unit)), unit])
    slopes = np.linalg.lstsq(plane, values, rcond=None)[0]
    rest = values - plane @ slopes
    if not unit.shape[1]:
        return lambda at: np.full(len(at), float(values.mean()))
    splines = RBFInterpolator(unit, rest, neighbors=min(NEIGHBOURS, len(unit)), kernel="linear", degree=0)
    return lambda at: np.column_stack([np.ones(len(at)), at]) @ slopes + splines(at)
