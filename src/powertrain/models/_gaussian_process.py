"""`gp`, the default predictor: Gaussian processes on log-time and log-power that learn from references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from powertrain.errors import DataError, TooFewProfilesError
from powertrain.models._base import AbstractPredictor
from powertrain.models._checkpoint import Checkpoint
from powertrain.models._coordinates import Coordinates, is_speed
from powertrain.models._mean import MeanInputs, MeanPrior, MeanShape
from powertrain.models._references import (
    MAX_SURFACES,
    LearnedPrior,
    Surface,
    SurfaceStack,
    build_surface,
    check_knobs,
)
from powertrain.models._regression import KernelPrior, Regression, RegressionInputs
from powertrain.profiling import plan_modes
from powertrain.records import FloatArray, ModeTable, Prediction, ProfileTable
from powertrain.space import ModeSpace

__all__ = ["GaussianProcessPredictor"]

MIN_PROFILES = 3
"""Distinct modes below which a quantity cannot be told from noise."""
FITTED_PROFILES = 200
"""Profiles that the parameters are fitted to; more hardly move them."""
KEPT_PROFILES = 500
"""Profiles that the posterior is conditioned on."""
CAP_KNOB = "power_limit_w"
"""The knob that cuts power off instead of scaling it."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Layout:
    """How one quantity's inputs are made from modes: fixed at fitting, kept in the file."""

    quantity: str
    coordinates: Coordinates
    terms: tuple[tuple[str, int], ...]
    """Knob and direction (+1: the term falls as the knob rises) of each knob term of the mean."""
    level: float
    """Mean log-value of the profiles: targets are about it."""
    capped: bool
    stack: SurfaceStack
    """Closest reference first."""
    surface_means: FloatArray
    """`(R,)` mean of each surface over the profiles."""
    surface_top: float
    """Largest value of the closest surface over the profiles."""
    inverse_time_top: float | None
    """Smallest log-time over the profiles; None: time is no input."""

    def inputs(self, modes: ModeTable, log_time: FloatArray | None) -> RegressionInputs:
        """Turn modes, and their predicted log-time where it is an input, into regression inputs."""
        unit = self.coordinates.unit(modes)
        logs = unit * self.coordinates.span
        names = self.coordinates.names
        slopes = [-np.sign(sign) * logs[:, names.index(name)] for name, sign in self.terms]
        surfaces = self.stack.at(modes)
        fixed: list[FloatArray] = []
        if len(self.stack):
            fixed.append(surfaces[:, 0] - self.surface_top)
        if self.inverse_time_top is not None:
            if log_time is None:
                raise ValueError("this quantity needs the predicted time")
            fixed.append(self.inverse_time_top - log_time)
        n = len(modes)
        offsets = [fixed[-1] if abs(sign) > 1 else np.zeros(n) for _, sign in self.terms]
        mean = MeanInputs(
            slopes=np.stack(slopes, axis=1) if slopes else np.zeros((n, 0)),
            offsets=np.stack(offsets, axis=1) if slopes else np.zeros((n, 0)),
            fixed=np.stack(fixed, axis=1) if fixed else np.zeros((n, 0)),
            log_cap=np.log(modes.column(CAP_KNOB)) - self.level if self.capped else None,
        )
        return RegressionInputs(unit=unit, surfaces=surfaces - self.surface_means, mean=mean)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Quantity:
    """One fitted quantity."""

    layout: _Layout
    regression: Regression
    own_surface: Surface | None
    """Of a workload fitted on its own: what it lends as a reference."""

    @property
    def learned(self) -> LearnedPrior:
        """What it teaches as a reference."""
        return LearnedPrior(
            terms=self.layout.terms,
            log_exponents=self.regression.log_exponents,
            knobs=self.layout.coordinates.names,
            kernel=self.regression.kernel_log_parameters,
        )

    def predict(self, modes: ModeTable, log_time: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """Return the log-value `(n,)` and its standard deviation."""
        mean, sd = self.regression.predict(self.layout.inputs(modes, log_time))
        return mean + self.layout.level, sd


def _terms(quantity: str, names: Sequence[str], dynamic: bool) -> tuple[tuple[str, int], ...]:
    """Return the directions in which each knob may act: both for one that is no speed (a batch size)."""
    falling = 1 if quantity == "time_ms" else -1
    terms: list[tuple[str, int]] = []
    for name in names:
        if quantity == "power_w" and name == CAP_KNOB:
            continue
        terms.append((name, falling))
        if not is_speed(name):
            terms.append((name, -falling))
        elif dynamic:
            terms.append((name, 2 * falling))
    return tuple(terms)


@final
class GaussianProcessPredictor(AbstractPredictor):
    """Gaussian processes with a physics-shaped mean, priors and surfaces learned from references.

    Time is predicted first and is an input of power (energy per unit of work divided by its time). See
    `docs/concepts/gaussian-process.md` for the model and what each part is worth.
    """

    method: ClassVar[str] = "gp"
    uses_references: ClassVar[bool] = True

    def __init__(
        self,
        *,
        device: str,
        workload: str,
        coordinates: Coordinates,
        time: _Quantity | None,
        power: _Quantity | None,
    ) -> None:
        self.device, self.workload = device, workload
        self.knobs = coordinates.knobs
        self._coordinates = coordinates
        self._time, self._power = time, power

    @classmethod
    def fit(
        cls, profiles: ProfileTable, *, space: ModeSpace | None = None, seed: int = 0
    ) -> GaussianProcessPredictor:
        """Learn one workload from its own profiles; from 3 distinct modes up, thousands are fine."""
        return cls._learn([], profiles, space=space, seed=seed)

    @classmethod
    def transfer(
        cls,
        references: Sequence[AbstractPredictor],
        profiles: ProfileTable,
        *,
        space: ModeSpace | None = None,
        seed: int = 0,
    ) -> GaussianProcessPredictor:
        """Learn a workload from 3 or more profiles and from `gp` predictors of others.

        References may be of other devices. One that lacks a quantity lends only the other.

        Raises:
            MissingKnobError: a reference was not profiled over the same knobs.
            DataError: a reference is not a `gp` predictor.
            TooFewProfilesError: fewer than 3 distinct modes.
        """
        own: list[GaussianProcessPredictor] = []
        for reference in references:
            if not isinstance(reference, GaussianProcessPredictor):
                raise DataError(
                    f"the reference {reference.workload!r} was fitted with {reference.method!r}: gp needs "
                    "references fitted with gp (powertrain fit --method gp)"
                )
            own.append(reference)
        return cls._learn(own, profiles, space=space, seed=seed)

    @classmethod
    def _learn(
        cls,
        references: Sequence[GaussianProcessPredictor],
        profiles: ProfileTable,
        *,
        space: ModeSpace | None,
        seed: int,
    ) -> GaussianProcessPredictor:
        coordinates = Coordinates.of(profiles.modes)
        if space is not None:
            corners = space.table([0, len(space) - 1])
            coordinates = coordinates.covering(corners)
        for reference in references:
            check_knobs(coordinates, reference._coordinates, workload=reference.workload)
        learner = _Learner(profiles, coordinates, seed)
        time = power = None
        if profiles.has_time:
            time = learner.learn("time_ms", [r._time for r in references if r._time], None)
        if profiles.has_power:
            power = learner.learn("power_w", [r._power for r in references if r._power], time)
        return cls(
            device=profiles.device,
            workload=profiles.workload,
            coordinates=coordinates,
            time=time,
            power=power,
        )

    def predict(self, modes: ModeTable) -> Prediction:
        """Predict `modes`; a quantity that was never measured is NaN."""
        own = ModeTable(knobs=self.knobs, values=modes.select(self.knobs))
        nothing = np.full(len(own), np.nan)
        log_time, time_sd = self._time.predict(own, None) if self._time else (nothing, nothing)
        log_power, power_sd = self._power.predict(own, log_time) if self._power else (nothing, nothing)
        return Prediction(
            time_ms=np.exp(log_time),
            power_w=np.exp(log_power),
            time_rel_sd=time_sd,
            power_rel_sd=power_sd,
            time_noise_rel_sd=np.full(len(own), self._time.regression.noise_sd if self._time else 0.0),
            power_noise_rel_sd=np.full(len(own), self._power.regression.noise_sd if self._power else 0.0),
        )

    def _state(self) -> Checkpoint:
        from powertrain.models._gaussian_process_file import state

        return state(self)

    @classmethod
    def _restore(cls, checkpoint: Checkpoint) -> GaussianProcessPredictor:
        from powertrain.models._gaussian_process_file import restore

        return restore(checkpoint)


@final
class _Learner:
    """Fits the quantities of one table of profiles."""

    def __init__(self, profiles: ProfileTable, coordinates: Coordinates, seed: int) -> None:
        self.profiles, self.coordinates, self.seed = profiles, coordinates, seed

    def learn(self, quantity: str, references: Sequence[_Quantity], time: _Quantity | None) -> _Quantity:
        """Fit one quantity; `time` is the fitted time where it may be an input."""
        column: FloatArray = getattr(self.profiles, quantity)
        table = self.profiles.take(np.isfinite(column))
        distinct = len(np.unique(table.modes.values, axis=0))
        if distinct < MIN_PROFILES:
            raise TooFewProfilesError(
                f"{table.workload!r} has {quantity.split('_')[0]} in {distinct} distinct mode(s): gp needs "
                f"{MIN_PROFILES} or more; profile more modes"
            )
        whole, target = table, np.log(getattr(table, quantity))
        if len(table) > KEPT_PROFILES:
            kept = plan_modes(table.modes, KEPT_PROFILES, seed=self.seed)
            table, target = table.take(kept), target[kept]
        log_time = time.predict(table.modes, None)[0] if time else None
        layout = self._layout(quantity, table.modes, target, references, log_time)
        inputs = layout.inputs(table.modes, log_time)
        regression = self._regression(layout, references, inputs, target - layout.level)
        fitted = _Quantity(layout=layout, regression=regression, own_surface=None)
        if references:
            return fitted
        return self._with_surface(fitted, whole, quantity, time)

    def _layout(
        self,
        quantity: str,
        modes: ModeTable,
        target: FloatArray,
        references: Sequence[_Quantity],
        log_time: FloatArray | None,
    ) -> _Layout:
        level = float(target.mean())
        stack = SurfaceStack(self.coordinates, self.profiles.device, [_lent(r) for r in references])
        at = stack.at(modes)
        means = at.mean(axis=0)
        # The closest in shape comes first; the rest serve as directions in which to differ.
        distance = ((at - means - (target - level)[:, None]) ** 2).sum(axis=0)
        order = [int(i) for i in np.argsort(distance, kind="stable")[:MAX_SURFACES]]
        return _Layout(
            quantity=quantity,
            coordinates=self.coordinates,
            terms=_terms(quantity, self.coordinates.names, log_time is not None),
            level=level,
            capped=quantity == "power_w" and CAP_KNOB in self.coordinates.names,
            stack=stack.subset(order),
            surface_means=means[order],
            surface_top=float(at[:, order[0]].max()) if order else 0.0,
            inverse_time_top=None if log_time is None else float(log_time.min()),
        )

    def _regression(
        self,
        layout: _Layout,
        references: Sequence[_Quantity],
        inputs: RegressionInputs,
        target: FloatArray,
    ) -> Regression:
        priors = [r.learned for r in references]
        mean_prior, kernel_prior = MeanPrior(), KernelPrior()
        names = layout.coordinates.names
        exponents = kernel_centres = None
        if priors:
            exponents = LearnedPrior.pooled_exponents(priors, layout.terms, mean_prior.log_exponent[0])
            plain = np.full(len(names), kernel_prior.length[0])
            kernel_centres = LearnedPrior.pooled_kernel(priors, names, plain)
        shape = MeanShape.of(
            mean_prior,
            n_terms=len(layout.terms),
            has_reference=len(layout.stack) > 0,
            has_inverse_time=layout.inverse_time_top is not None,
            capped=layout.capped,
            learned_log_exponents=exponents,
        )
        if len(target) <= FITTED_PROFILES:
            return Regression.fit(shape, kernel_prior, inputs, target, kernel_centres=kernel_centres)
        # plan_modes orders the kept profiles by how far they spread: the first ones cover the space.
        few = slice(0, FITTED_PROFILES)
        fitted = Regression.fit(
            shape, kernel_prior, inputs.take(few), target[few], kernel_centres=kernel_centres
        )
        return Regression(shape, kernel_prior, inputs, target, fitted.theta)

    def _with_surface(
        self, fitted: _Quantity, whole: ProfileTable, quantity: str, time: _Quantity | None
    ) -> _Quantity:
        def predict(modes: ModeTable) -> FloatArray:
            return fitted.predict(modes, time.predict(modes, None)[0] if time else None)[0]

        surface = build_surface(
            self.coordinates,
            whole.modes,
            np.log(getattr(whole, quantity)),
            device=whole.device,
            workload=whole.workload,
            predict=predict,
        )
        return _Quantity(layout=fitted.layout, regression=fitted.regression, own_surface=surface)


def _lent(reference: _Quantity) -> Surface:
    if reference.own_surface is None:
        raise DataError(
            "a reference must be fitted on its own profiles (powertrain fit); a transferred predictor "
            "has too few of them to lend"
        )
    return reference.own_surface


