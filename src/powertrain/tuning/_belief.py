"""What is believed of modes that were not measured: predictions by every way of seeing the trials so far.

With three modes measured there are two views, averaged by whoever weighs a trial: a predictor that learned
from the references and one that did not. Either may be wrong where the other is right, and a mode that both
like is a good trial. Before that a prior speaks alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import final

from powertrain.errors import TooFewProfilesError
from powertrain.models import AbstractPredictor, predictor_class
from powertrain.records import ModeTable, Prediction, ProfileTable
from powertrain.tuning._prior import PriorView

__all__ = ["Beliefs", "View"]

View = Callable[[ModeTable], Prediction]

PRIOR_UNTIL = 3
"""Trials up to which the prior speaks alone."""


@final
class Beliefs:
    """Makes predictions from trials and references."""

    def __init__(
        self, references: Sequence[AbstractPredictor], *, method: str, seed: int, ends: ModeTable
    ) -> None:
        """Take predictors of other workloads; none is fine."""
        self.references = tuple(references)
        self._kind, self._seed = predictor_class(method), seed
        self._prior = PriorView(self.references, ends)

    def views(self, table: ProfileTable | None, *, measured: int | None = None) -> tuple[View, ...]:
        """Return every way to predict from what was measured; of a table, so many rows really were."""
        learned: list[View] = []
        if table is not None and (len(table) if measured is None else measured) >= PRIOR_UNTIL:
            try:
                learned.append(self._kind.fit(table, seed=self._seed).glance)
                if self.references and self._kind.uses_references:
                    learned.append(self._kind.transfer(self.references, table, seed=self._seed).glance)
            except TooFewProfilesError:  # a quantity is missing in most of the trials
                learned.clear()
        return tuple(learned) or (self._prior.given(table),)
