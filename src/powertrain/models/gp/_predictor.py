"""`gp`, the default predictor: Gaussian processes on log-time and log-power that learn from references."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

import numpy as np
from typing_extensions import Self

from powertrain import quantities
from powertrain.errors import DataError, TooFewProfilesError
from powertrain.models._base import AbstractPredictor, Learned
from powertrain.models._checkpoint import Checkpoint, shortened
from powertrain.models._coordinates import Coordinates
from powertrain.models._surfaces import Arrays, check_knobs, coordinates_restored
from powertrain.models._threads import one_thread
from powertrain.models.gp._blend import Blend
from powertrain.models.gp._file import fitted_restored, fitted_state
from powertrain.models.gp._quantity import Learner, Quantity
from powertrain.quantities import find, measured
from powertrain.records import Estimate, FloatArray, ModeTable, Prediction, ProfileTable

__all__ = ["GaussianProcessAlonePredictor", "GaussianProcessPredictor"]

logger = logging.getLogger(__name__)

BEYOND = 0.02
"""How far outside a knob's range, relative to its value, a mode may lie without remark."""


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
        fitted: Mapping[str, Quantity | Blend],
    ) -> None:
        self.device, self.workload = device, workload
        self.knobs = coordinates.knobs
        self._coordinates = coordinates
        self._quantities = dict(fitted)

    @classmethod
    def fit(cls, profiles: ProfileTable, *, seed: int = 0) -> Self:
        """Learn one workload from its own profiles; from 3 distinct modes up, thousands are fine."""
        return cls._learn([], profiles, seed=seed)

    @classmethod
    def transfer(
        cls,
        references: Sequence[AbstractPredictor],
        profiles: ProfileTable,
        *,
        seed: int = 0,
    ) -> Self:
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
        return cls._learn(own, profiles, seed=seed)

    @classmethod
    def _learn(
        cls,
        references: Sequence[GaussianProcessPredictor],
        profiles: ProfileTable,
        *,
        seed: int,
    ) -> Self:
        coordinates = Coordinates.of(profiles.modes)
        if profiles.ends is not None:
            coordinates = coordinates.covering(profiles.ends)
        for reference in references:
            if reference.device == profiles.device and set(reference.knobs) == set(coordinates.knobs):
                coordinates = coordinates.covering(reference._coordinates.ends())
        for reference in references:
            check_knobs(coordinates, reference._coordinates, workload=reference.workload)
        if not profiles.measured:
            raise TooFewProfilesError(
                f"the profiles of {profiles.workload!r} hold no measurement: profile it"
            )
        learner = Learner(profiles, coordinates, seed)
        # What depends on another quantity comes after it.
        order = sorted(profiles.measured, key=lambda q: q.after != "")
        lenders = [reference._quantities for reference in references]
        with one_thread():
            fitted = _blended(learner, order, lenders) if lenders else _alone(learner, order)
        return cls(device=profiles.device, workload=profiles.workload, coordinates=coordinates, fitted=fitted)

    def predict(self, modes: ModeTable) -> Prediction:
        """Predict `modes`; a quantity that was never measured is NaN."""
        self._remark_on_modes_beyond(ModeTable(knobs=self.knobs, values=modes.select(self.knobs)))
        return self.glance(modes)

    def glance(self, modes: ModeTable) -> Prediction:
        """Predict as `predict` does, without a remark on modes that lie outside what was profiled."""
        # Far outside what was profiled a power law may overflow; what is said there is a guess anyway.
        with one_thread(), np.errstate(over="ignore"):
            return self._predict(ModeTable(knobs=self.knobs, values=modes.select(self.knobs)))

    def _predict(self, own: ModeTable) -> Prediction:
        estimates: dict[str, Estimate] = {}
        correlations: dict[tuple[str, str], FloatArray] = {}
        for name, fitted in self._quantities.items():
            before = estimates.get(fitted.measured.after)
            estimates[name], together = fitted.estimate(own, before)
            if before is not None:
                first, second = sorted((name, before.quantity.name))
                correlations[first, second] = together
        return Prediction(estimates=estimates, correlations=correlations)

    def trust(self, modes: ModeTable) -> dict[str, float]:
        """Return how much the profiles alone, the closest references and all of them together count.

        A reference that is closest in time or in power is named; shares are means over modes and quantities.
        """
        own = ModeTable(knobs=self.knobs, values=modes.select(self.knobs))
        found: dict[str, float] = {}
        estimates: dict[str, Estimate] = {}
        with one_thread():
            for name, fitted in self._quantities.items():
                before = estimates.get(fitted.measured.after)
                estimates[name] = fitted.estimate(own, before)[0]
                shares = {"": 1.0} if isinstance(fitted, Quantity) else fitted.trust(own, before)
                for source, share in shares.items():
                    found[source] = found.get(source, 0.0) + share / len(self._quantities)
        return found

    def learned(self) -> Learned:
        """Return what it was learned from, with leave-one-out errors."""
        parts = {
            name: one.beside if isinstance(one, Blend) else one for name, one in self._quantities.items()
        }
        low, high = self._coordinates.low.tolist(), self._coordinates.high.tolist()
        surfaces = [s for fitted in parts.values() for s in fitted.layout.stack.surfaces]
        return Learned(
            modes={name: len(fitted.regression.target) for name, fitted in parts.items()},
            references=tuple(dict.fromkeys((surface.device, surface.workload) for surface in surfaces)),
            ranges={name: (low[j], high[j]) for j, name in enumerate(self.knobs)},
            left_out_errors={name: fitted.left_out_error for name, fitted in parts.items()},
        )

    def _remark_on_modes_beyond(self, modes: ModeTable) -> None:
        low, high = self._coordinates.low, self._coordinates.high
        margin = BEYOND * np.maximum(np.abs(low), np.abs(high))
        beyond = (modes.values < low - margin) | (modes.values > high + margin)
        if beyond.any():
            knob = int(beyond.sum(axis=0).argmax())
            logger.warning(
                "%s of %s modes lie outside the range of %s (%.6g to %.6g): predictions there are guesses",
                f"{int(beyond.any(axis=1).sum()):,}",
                f"{len(modes):,}",
                self.knobs[knob],
                low[knob],
                high[knob],
            )

    def _state(self) -> Checkpoint:
        arrays: Arrays = {}
        headers = {name: fitted_state(one, name, arrays) for name, one in self._quantities.items()}
        header: dict[str, Any] = {
            "device": self.device,
            "workload": self.workload,
            "coordinates": self._coordinates.header(),
            "quantities": headers,
        }
        return Checkpoint(method=self.method, header=header, arrays=arrays)

    @classmethod
    def _restore(cls, checkpoint: Checkpoint) -> Self:
        device, workload = checkpoint.text("device"), checkpoint.text("workload")
        coordinates = coordinates_restored(checkpoint.section("coordinates"))
        headers = checkpoint.section("quantities")
        if not headers.header or not set(headers.header) <= {q.name for q in measured()}:
            raise checkpoint.unfit(f"it predicts {shortened(list(headers.header))}")
        found: dict[str, Quantity | Blend] = {}
        # What others depend on comes first: a power that lends its own process needs the time.
        # One thread, as when it was fitted: the last bits of a factor depend on how the work is shared out.
        with one_thread():
            for name in sorted(headers.header, key=lambda name: find(name).after != ""):
                quantity = find(name)
                found[name] = fitted_restored(
                    headers.section(name), name, quantity, coordinates, device, time=found.get(quantity.after)
                )
        return cls(device=device, workload=workload, coordinates=coordinates, fitted=found)


@final
class GaussianProcessAlonePredictor(GaussianProcessPredictor):
    """`gp` without references: what transfer is worth is told by comparing the two."""

    method: ClassVar[str] = "gp-alone"
    uses_references: ClassVar[bool] = False

    @classmethod
    def transfer(
        cls,
        references: Sequence[AbstractPredictor],
        profiles: ProfileTable,
        *,
        seed: int = 0,
    ) -> Self:
        """Do as `fit` does: the references are not looked at."""
        return cls.fit(profiles, seed=seed)


def _alone(learner: Learner, order: Sequence[quantities.Quantity]) -> dict[str, Quantity | Blend]:
    fitted: dict[str, Quantity] = {}
    for quantity in order:
        fitted[quantity.name] = learner.learn_to_lend(quantity, fitted.get(quantity.after))
    return dict(fitted)


def _blended(
    learner: Learner, order: Sequence[quantities.Quantity], lenders: Sequence[Mapping[str, Quantity | Blend]]
) -> dict[str, Quantity | Blend]:
    """Return each quantity as a blend, or alone where no reference has it."""
    fitted: dict[str, Quantity | Blend] = {}
    for quantity in order:
        have = [one[quantity.name] for one in lenders if quantity.name in one]
        time, lent = fitted.get(quantity.after), [_lender(one) for one in have]
        alone = learner.learn(quantity, [], time)
        fitted[quantity.name] = (
            Blend(alone=alone, beside=learner.learn(quantity, lent, time)) if lent else alone
        )
    return fitted


def _lender(reference: Quantity | Blend) -> Quantity:
    if isinstance(reference, Blend):
        raise DataError(
            "a reference must be fitted on its own profiles (powertrain fit); a transferred predictor "
            "has too few of them to lend"
        )
    return reference
