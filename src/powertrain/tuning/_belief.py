"""What is believed of modes that were not measured: predictions by every way of seeing the trials so far.

With three modes measured there are two views, averaged by whoever weighs a trial: a predictor that learned
from the references and one that did not. Either may be wrong where the other is right, and a mode that both
like is a good trial. Before that the references speak alone: their surfaces, shifted to what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

import numpy as np

from powertrain.errors import TooFewProfilesError
from powertrain.models import AbstractPredictor, predictor_class
from powertrain.quantities import Quantity
from powertrain.records import Estimate, ModeTable, Prediction, ProfileTable

__all__ = ["Beliefs", "View"]

View = Callable[[ModeTable], Prediction]

STRAY_LOG_SD = 0.15
"""How far a workload strays from the shifted surfaces of others, before a predictor can tell."""
LEVEL_LOG_SD = 0.25
"""How far the power of workloads on one device is apart, before anything was measured."""


@final
class Beliefs:
    """Makes predictions from trials and references."""

    def __init__(self, references: Sequence[AbstractPredictor], *, method: str, seed: int) -> None:
        """Take predictors of other workloads; none is fine."""
        self.references = tuple(references)
        self._kind, self._seed = predictor_class(method), seed

    def views(self, table: ProfileTable | None) -> tuple[View, ...]:
        """Return every way to predict from what was measured; none while there is nothing to go by."""
        learned: list[View] = []
        if table is not None and len(table) > 2:
            try:
                learned.append(self._kind.fit(table, seed=self._seed).predict)
                if self.references and self._kind.uses_references:
                    learned.append(self._kind.transfer(self.references, table, seed=self._seed).predict)
            except TooFewProfilesError:  # a quantity is missing in most of the trials
                learned.clear()
        if learned:
            return tuple(learned)
        return (self._shifted(table),) if self.references else ()

    def _shifted(self, table: ProfileTable | None) -> View:
        """Return the mean of the references' predictions, each shifted to what was measured."""

        def view(modes: ModeTable) -> Prediction:
            others = [reference.predict(modes) for reference in self.references]
            estimates: dict[str, Estimate] = {}
            for name, first in others[0].estimates.items():
                known = [i for i, p in enumerate(others) if p.estimates[name].is_known]
                if not known or not first.quantity.is_log:
                    continue
                logs = np.log([others[i].estimates[name].value for i in known])
                shift, level_sd = self._shift(first.quantity, known, table)
                logs += shift[:, None]
                sd = np.sqrt(logs.var(axis=0) + STRAY_LOG_SD**2 + level_sd**2)
                estimates[name] = Estimate(
                    quantity=first.quantity,
                    value=np.exp(logs.mean(axis=0)),
                    sd=sd,
                    noise_sd=np.zeros(len(modes)),
                )
            return Prediction(estimates=estimates)

        return view

    def _shift(
        self, quantity: Quantity, known: Sequence[int], table: ProfileTable | None
    ) -> tuple[np.ndarray, float]:
        """Return by how much each reference is off where something was measured, and the level's error."""
        if table is None or not table.has(quantity):
            return np.zeros(len(known)), LEVEL_LOG_SD
        values = table.columns[quantity.column]
        seen = np.isfinite(values)
        modes = table.modes.take(seen)
        predicted = [self.references[i].predict(modes).estimates[quantity.name].value for i in known]
        return (np.log(values[seen]) - np.log(predicted)).mean(axis=1), 0.0
