"""One quantity of a Gaussian-process predictor: what it is fed, how it is fitted, what it lends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, final

import numpy as np

from powertrain import quantities
from powertrain.errors import DataError, TooFewProfilesError
from powertrain.models._coordinates import Coordinates
from powertrain.models._surfaces import Surface, SurfaceStack, build_grid, fits_on_grid
from powertrain.models.gp._mean import MeanInputs, MeanPrior, MeanShape
from powertrain.models.gp._references import MAX_SURFACES, LearnedPrior
from powertrain.models.gp._regression import Certainty, KernelPrior, Regression, RegressionInputs
from powertrain.models.gp._terms import Term, terms_of
from powertrain.planning import plan_modes
from powertrain.records import Estimate, FloatArray, ModeTable, ProfileTable
from powertrain.wording import counted

__all__ = ["Layout", "Learner", "PosteriorSurface", "Quantity", "correlation_with_time", "in_unit"]

LOG_RANGE = 200.0
"""How far from 0 a predicted logarithm may go: far beyond any clock's reach, within what a float holds."""
TINY = 1e-12
"""Below this an error bar is rounding."""
MIN_PROFILES = 3
"""Distinct modes below which a quantity cannot be told from noise."""
LEAST_REPEATS = 5
"""Repeated measurements below which their spread says too little."""
FITTED_PROFILES = 200
"""Profiles that the parameters are fitted to; more hardly move them."""
KEPT_PROFILES = 500
"""Profiles that the posterior is conditioned on."""
STOPPED_EARLY = 1.5
"""What standard errors are multiplied by: a measurement that ends once its interval is narrow ends too often
when it is narrow by chance. With the profiler's procedure they come out 1.3 to 1.7 times too small."""
NORMAL_OVER_MEDIAN = 1.4826
"""Standard deviation of a normal error over the median of its size."""
SPREAD = 4.0
"""Standard deviations of a quantity with absolute errors that count as 1: logarithms spread about as far."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """How one quantity's inputs are made from modes: fixed at fitting, kept in the file."""

    quantity: str
    coordinates: Coordinates
    terms: tuple[Term, ...]
    """The knob terms of the mean."""
    level: float
    """Mean log-value of the profiles: targets are about it."""
    stack: SurfaceStack
    """Closest reference first."""
    surface_means: FloatArray
    """`(R,)` mean of each surface over the profiles."""
    surface_top: float
    """Largest value of the closest surface over the profiles."""
    inverse_time_top: float | None
    """Smallest log-time over the profiles; None: time is not an input."""
    scale: float = 1.0
    """What values with absolute errors are divided by, so that they spread as logarithms do."""

    @property
    def measured(self) -> quantities.Quantity:
        """What is predicted."""
        return quantities.by_column()[self.quantity]

    @property
    def timed_terms(self) -> list[int] | None:
        """Knob terms that carry the inverse time; None where time is not an input."""
        if self.inverse_time_top is None:
            return None
        return [j for j, term in enumerate(self.terms) if term.per_work]

    def inputs(
        self, modes: ModeTable, log_time: FloatArray | None, log_time_sd: FloatArray | None = None
    ) -> RegressionInputs:
        """Turn modes, and their predicted log-time where it is an input, into regression inputs."""
        unit = self.coordinates.unit(modes)
        logs = dict(zip(self.coordinates.names, (unit * self.coordinates.span).T, strict=True))
        slopes = [term.slope(logs) for term in self.terms]
        surfaces = self.stack.at(modes)
        fixed: list[FloatArray] = []
        if len(self.stack):
            fixed.append(surfaces[:, 0] - self.surface_top)
        if self.inverse_time_top is not None:
            if log_time is None:
                raise ValueError("this quantity needs the predicted time")
            fixed.append(self.inverse_time_top - log_time)
        n = len(modes)
        # An energy per unit of work is a power once it is divided by the time.
        offsets = [fixed[-1] if term.per_work else np.zeros(n) for term in self.terms]
        mean = MeanInputs(slopes=_columns(slopes, n), offsets=_columns(offsets, n), fixed=_columns(fixed, n))
        return RegressionInputs(
            unit=unit, surfaces=surfaces - self.surface_means, mean=mean, log_time_sd=log_time_sd
        )


def _columns(columns: Sequence[FloatArray], n: int) -> FloatArray:
    """Return `(n, columns)`, each column in one piece of memory, as the mean reads them."""
    return np.stack(columns).T if columns else np.zeros((n, 0))


def correlation_with_time(follows: FloatArray, time: Estimate, own: Estimate) -> FloatArray:
    """Return the correlation of the errors `(n,)` where a quantity follows the time at these rates.

    A mode that takes longer than predicted spends its energy more slowly, so it draws less.
    """
    return np.clip(follows * time.mean_sd / np.maximum(own.mean_sd, TINY), -1.0, 1.0)


def in_unit(
    quantity: quantities.Quantity, target: FloatArray, sd: FloatArray, *, noise_sd: float, scale: float
) -> Estimate:
    """Return an estimate from logarithms (from values over `scale`, where errors are absolute)."""
    noise = np.minimum(sd, noise_sd)
    if quantity.is_log:
        value = np.exp(np.clip(target, -LOG_RANGE, LOG_RANGE))
        return Estimate(quantity=quantity, value=value, sd=sd, noise_sd=noise)
    return Estimate(quantity=quantity, value=scale * target, sd=scale * sd, noise_sd=scale * noise)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Quantity:
    """One fitted quantity."""

    layout: Layout
    regression: Regression
    own_surface: Surface | None
    """Of a workload fitted on its own: what it lends as a reference."""
    noise_sd: float
    """What repeats of one mode differ by [log].

    It is 0 where nothing was repeated: nobody knows then whether what is left over is noise or shape.
    """

    @property
    def measured(self) -> quantities.Quantity:
        """What is predicted."""
        return self.layout.measured

    @property
    def learned(self) -> LearnedPrior:
        """What it teaches as a reference."""
        return LearnedPrior(
            terms=self.layout.terms,
            log_exponents=self.regression.log_exponents,
            knobs=self.layout.coordinates.names,
            kernel=self.regression.kernel_log_parameters,
        )

    @property
    def left_out_error(self) -> float:
        """The mean error of predicting each profile from all others [%, or the quantity's own unit]."""
        errors = self.regression.loo_errors
        if self.layout.measured.is_log:
            return float(100.0 * np.abs(np.expm1(errors)).mean())
        return float(self.layout.scale * np.abs(errors).mean())

    @property
    def typical_error(self) -> float:
        """What predicting a profile from all others is wrong by [log]; a few wild profiles do not count."""
        return NORMAL_OVER_MEDIAN * float(np.median(np.abs(self.regression.loo_errors)))

    def predict(
        self, modes: ModeTable, log_time: FloatArray | None, log_time_sd: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the logarithm of the value (the value over `scale`), `(n,)`, and its standard deviation."""
        told = self.regression.predict(self.layout.inputs(modes, log_time, log_time_sd))
        return told.mean + self.layout.level, told.sd

    def estimate(self, modes: ModeTable, time: Estimate | None) -> tuple[Estimate, FloatArray]:
        """Predict in the unit of the quantity, from the estimated time where that is an input.

        Returns:
            The estimate, and how its error and that of the mean time go together, `(n,)`; 0 without time.
        """
        # What repeats differ in time is not an error of the mean time that power follows.
        before = (np.log(time.value), time.mean_sd) if time is not None else (None, None)
        told = self.regression.predict(self.layout.inputs(modes, *before))
        own = in_unit(
            self.measured,
            told.mean + self.layout.level,
            told.sd,
            noise_sd=self.noise_sd,
            scale=self.layout.scale,
        )
        if time is None:
            return own, np.zeros(len(modes))
        return own, correlation_with_time(told.follows_time, time, own)

    def lending_itself(self, workload: str, time: Quantity | None) -> Quantity:
        """Return this quantity with its own process as what it lends; `time` as for `log_mean`."""
        # What a time lends of its own is not a part of what a power lends: left out, it is not saved twice.
        bare = time and replace(time, own_surface=None)
        lent = PosteriorSurface(
            error=self.typical_error,
            coordinates=self.layout.coordinates,
            device=self.layout.stack.device,
            workload=workload,
            quantity=replace(self, own_surface=None),
            time=bare,
        )
        return replace(self, own_surface=lent)

    def log_mean(self, modes: ModeTable, time: Quantity | None) -> FloatArray:
        """Return the log-value `(n,)` alone, at a fraction of what its error bar costs.

        `time` is the fitted time where it is an input.
        """
        log_time = time.log_mean(modes, None) if time else None
        return self.regression.mean(self.layout.inputs(modes, log_time)) + self.layout.level


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class PosteriorSurface(Surface):
    """A reference with many knobs, looked up in the process that was fitted to it.

    What it takes to keep one grows with the profiles of the reference, never with the size of its space.
    """

    coordinates: Coordinates
    device: str
    workload: str
    quantity: Quantity
    time: Quantity | None
    """The fitted time of the same reference, where it is an input of `quantity`."""
    error: float = 0.0

    def at(self, unit: FloatArray) -> FloatArray:
        """Predict the mean at each place, clipped to the range of the profiles."""
        values = self.coordinates.values(np.clip(unit, -1.0, 0.0))
        return self.quantity.log_mean(ModeTable(knobs=self.coordinates.knobs, values=values), self.time)


class Predicts(Protocol):
    """Whatever predicts a time that a power may depend on."""

    def predict(
        self, modes: ModeTable, log_time: FloatArray | None, log_time_sd: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the logarithm of the value, `(n,)`, and its standard deviation."""
        ...


@final
class Learner:
    """Fits the quantities of one table of profiles."""

    def __init__(self, profiles: ProfileTable, coordinates: Coordinates, seed: int) -> None:
        self.profiles, self.coordinates, self.seed = profiles, coordinates, seed

    def learn(
        self, quantity: quantities.Quantity, references: Sequence[Quantity], time: Predicts | None
    ) -> Quantity:
        """Fit one quantity; `time` is the fitted time where it may be an input."""
        return self._learned(quantity, references, time)[0]

    def learn_to_lend(self, quantity: quantities.Quantity, time: Quantity | None) -> Quantity:
        """Fit one quantity of a workload on its own, with the surface that it lends as a reference."""
        fitted, whole, targets = self._learned(quantity, [], time)
        return self._with_surface(fitted, whole, targets, time)

    def _learned(
        self, quantity: quantities.Quantity, references: Sequence[Quantity], time: Predicts | None
    ) -> tuple[Quantity, ProfileTable, FloatArray]:
        """Return the fitted quantity, all profiles that have it, and their `(n,)` targets."""
        column = self.profiles.columns[quantity.column]
        table = self.profiles.take(np.isfinite(column))
        distinct = len(np.unique(table.modes.values, axis=0))
        if distinct < MIN_PROFILES:
            raise TooFewProfilesError(
                f"{table.workload!r} has {quantity.name} in {counted(distinct, 'distinct mode')}: gp needs "
                f"{MIN_PROFILES} or more; profile more modes"
            )
        values = table.columns[quantity.column]
        scale = 1.0 if quantity.is_log else SPREAD * float(values.std()) or 1.0
        whole, target = table, np.log(values) if quantity.is_log else values / scale
        se = STOPPED_EARLY * table.se[quantity.column] / (1.0 if quantity.is_log else scale)
        all_targets = target
        if len(table) > KEPT_PROFILES:
            kept = plan_modes(table.modes, KEPT_PROFILES, seed=self.seed)
            table, target, se = table.take(kept), target[kept], se[kept]
        log_time = time.predict(table.modes, None)[0] if time else None
        layout = self._layout(quantity, table.modes, target, references, log_time, scale)
        inputs = layout.inputs(table.modes, log_time)
        certainty = Certainty.of(table.repeats, se)
        regression = self._regression(layout, references, inputs, target - layout.level, certainty)
        noise_sd = _repeat_sd(whole.modes.values, all_targets)
        fitted = Quantity(layout=layout, regression=regression, own_surface=None, noise_sd=noise_sd)
        return fitted, whole, all_targets

    def _layout(
        self,
        quantity: quantities.Quantity,
        modes: ModeTable,
        target: FloatArray,
        references: Sequence[Quantity],
        log_time: FloatArray | None,
        scale: float,
    ) -> Layout:
        level = float(target.mean())
        stack = SurfaceStack(self.coordinates, self.profiles.device, [_lent(r) for r in references])
        at = stack.at(modes)
        means = at.mean(axis=0)
        # The closest in shape comes first; the rest serve as directions in which to differ.
        distance = ((at - means - (target - level)[:, None]) ** 2).sum(axis=0)
        order = [int(i) for i in np.argsort(distance, kind="stable")[:MAX_SURFACES]]
        return Layout(
            quantity=quantity.column,
            scale=scale,
            coordinates=self.coordinates,
            terms=terms_of(quantity, self.coordinates.names, time_is_known=log_time is not None),
            level=level,
            stack=stack.subset(order),
            surface_means=means[order],
            surface_top=float(at[:, order[0]].max()) if order else 0.0,
            inverse_time_top=None if log_time is None else float(log_time.min()),
        )

    def _regression(
        self,
        layout: Layout,
        references: Sequence[Quantity],
        inputs: RegressionInputs,
        target: FloatArray,
        certainty: Certainty,
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
            timed_terms=layout.timed_terms,
            learned_log_exponents=exponents,
        )
        if len(target) <= FITTED_PROFILES:
            return Regression.fit(
                shape, kernel_prior, inputs, target, certainty=certainty, kernel_centres=kernel_centres
            )
        # plan_modes orders the kept profiles by how far they spread: the first ones cover the space.
        few = slice(0, FITTED_PROFILES)
        fitted = Regression.fit(
            shape,
            kernel_prior,
            inputs.take(few),
            target[few],
            certainty=certainty.take(few),
            kernel_centres=kernel_centres,
        )
        return Regression(shape, kernel_prior, inputs, target, fitted.theta, certainty)

    def _with_surface(
        self, fitted: Quantity, whole: ProfileTable, targets: FloatArray, time: Quantity | None
    ) -> Quantity:
        if not fits_on_grid(self.coordinates, whole.modes):
            return fitted.lending_itself(whole.workload, time)
        surface = build_grid(
            self.coordinates,
            whole.modes,
            targets,
            device=whole.device,
            workload=whole.workload,
            predict=lambda modes: fitted.log_mean(modes, time),
            error=fitted.typical_error,
        )
        return replace(fitted, own_surface=surface)


def _repeat_sd(values: FloatArray, targets: FloatArray) -> float:
    """Return what repeats of a mode differ by, pooled over the modes; 0 where there are too few to tell."""
    _, group = np.unique(values, axis=0, return_inverse=True)
    group = group.reshape(-1)
    count = np.bincount(group)
    freedom = len(targets) - len(count)
    if freedom < LEAST_REPEATS:
        return 0.0
    means = np.bincount(group, weights=targets) / count
    return float(np.sqrt(((targets - means[group]) ** 2).sum() / freedom))


def _lent(reference: Quantity) -> Surface:
    if reference.own_surface is None:
        raise DataError(
            "a reference must be fitted on its own profiles (powertrain fit); a transferred predictor "
            "has too few of them to lend"
        )
    return reference.own_surface
