"""`gp`, the default predictor: Gaussian processes on log-time and log-power that learn from references."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar, final

import numpy as np

from powertrain.errors import DataError
from powertrain.models._base import AbstractPredictor
from powertrain.models._checkpoint import Checkpoint, shortened
from powertrain.models._threads import one_thread
from powertrain.models.gp._coordinates import Coordinates
from powertrain.models.gp._file import Arrays, coordinates_restored, quantity_restored, quantity_state
from powertrain.models.gp._quantity import Learner, Quantity
from powertrain.models.gp._references import check_knobs
from powertrain.records import ModeTable, Prediction, ProfileTable
from powertrain.space import ModeSpace

__all__ = ["GaussianProcessPredictor"]

logger = logging.getLogger(__name__)

LOG_RANGE = 200.0
"""How far from 0 a predicted logarithm may go: far beyond any clock's reach, within what a float holds."""
BEYOND = 0.02
"""How far outside a knob's range, relative to its value, a mode may lie without remark."""


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
        time: Quantity | None,
        power: Quantity | None,
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
            if reference.device == profiles.device and set(reference.knobs) == set(coordinates.knobs):
                coordinates = coordinates.covering(reference._coordinates.ends())
        for reference in references:
            check_knobs(coordinates, reference._coordinates, workload=reference.workload)
        learner = Learner(profiles, coordinates, seed)
        time = power = None
        with one_thread():
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
        # Far outside what was profiled a power law may overflow; what is said there is a guess anyway.
        with one_thread(), np.errstate(over="ignore"):
            return self._predict(modes)

    def _predict(self, modes: ModeTable) -> Prediction:
        own = ModeTable(knobs=self.knobs, values=modes.select(self.knobs))
        self._remark_on_modes_beyond(own)
        nothing = np.full(len(own), np.nan)
        log_time, time_sd = self._time.predict(own, None) if self._time else (nothing, nothing)
        log_power = power_sd = nothing
        if self._power and self._time:
            # What repeats differ in time is no error of the mean time that power follows.
            mean_sd = np.sqrt(np.maximum(time_sd**2 - self._time.regression.noise_sd**2, 0.0))
            log_power, power_sd = self._power.predict(own, log_time, mean_sd)
        elif self._power:
            log_power, power_sd = self._power.predict(own, None)
        return Prediction(
            time_ms=np.exp(np.clip(log_time, -LOG_RANGE, LOG_RANGE)),
            power_w=np.exp(np.clip(log_power, -LOG_RANGE, LOG_RANGE)),
            time_rel_sd=time_sd,
            power_rel_sd=power_sd,
            time_noise_rel_sd=np.full(len(own), self._time.regression.noise_sd if self._time else 0.0),
            power_noise_rel_sd=np.full(len(own), self._power.regression.noise_sd if self._power else 0.0),
        )

    def _remark_on_modes_beyond(self, modes: ModeTable) -> None:
        low, high = self._coordinates.low, self._coordinates.high
        margin = BEYOND * np.maximum(np.abs(low), np.abs(high))
        beyond = (modes.values < low - margin) | (modes.values > high + margin)
        if beyond.any():
            knob = int(beyond.sum(axis=0).argmax())
            logger.warning(
                "%d of %d modes lie outside the range of %s (%.6g to %.6g): predictions there are guesses",
                int(beyond.any(axis=1).sum()),
                len(modes),
                self.knobs[knob],
                low[knob],
                high[knob],
            )

    def _state(self) -> Checkpoint:
        arrays: Arrays = {}
        quantities = {
            name: quantity_state(quantity, name, arrays)
            for name, quantity in (("time", self._time), ("power", self._power))
            if quantity is not None
        }
        header: dict[str, Any] = {
            "device": self.device,
            "workload": self.workload,
            "coordinates": self._coordinates.header(),
            "quantities": quantities,
        }
        return Checkpoint(method=self.method, header=header, arrays=arrays)

    @classmethod
    def _restore(cls, checkpoint: Checkpoint) -> GaussianProcessPredictor:
        device, workload = checkpoint.text("device"), checkpoint.text("workload")
        coordinates = coordinates_restored(checkpoint.section("coordinates"))
        headers = checkpoint.section("quantities")
        names = tuple(headers.header)
        if not names or not set(names) <= {"time", "power"}:
            raise checkpoint.unfit(f"it predicts {shortened(names)}")
        with one_thread():
            found = {
                name: quantity_restored(
                    headers.section(name), name, coordinates, device, time_known="time" in names
                )
                for name in names
            }
        return cls(
            device=device,
            workload=workload,
            coordinates=coordinates,
            time=found.get("time"),
            power=found.get("power"),
        )
