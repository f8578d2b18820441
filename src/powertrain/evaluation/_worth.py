"""What transfer was worth: each method that learns from references beside itself without them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from powertrain.evaluation._rows import ErrorRow

__all__ = ["WITHOUT", "Worth", "worth_of"]

WITHOUT = {"gp": "gp-alone", "paper": "paper-scratch"}
"""The method that does the same without references."""


@final
@dataclass(frozen=True, kw_only=True)
class Worth:
    """One target with one number of profiles: which references counted, and the errors with and without."""

    method: str
    target: str
    profiles: int
    trust: Mapping[str, float]
    """Mean share of each source over the seeds, the largest first; `""` is the profiles alone."""
    time_mape: float
    """With references [%]."""
    power_mape: float
    time_mape_without: float
    """By the same method without references [%]; NaN where that was not scored."""
    power_mape_without: float

    @property
    def helped(self) -> bool:
        """Whether no quantity was predicted worse with references; True where nothing is known."""
        pairs = (
            (self.time_mape, self.time_mape_without),
            (self.power_mape, self.power_mape_without),
        )
        return not any(own > alone for own, alone in pairs)


def worth_of(rows: Sequence[ErrorRow]) -> tuple[Worth, ...]:
    """Return what the references were worth to each target, in the order of the rows."""
    groups: dict[tuple[str, str, int], list[ErrorRow]] = defaultdict(list)
    for row in rows:
        groups[row.method, row.case.target, row.case.profiles].append(row)
    return tuple(
        _worth(own, groups.get((WITHOUT[method], target, profiles), []))
        for (method, target, profiles), own in groups.items()
        if method in WITHOUT and own[0].case.references
    )


def _worth(own: Sequence[ErrorRow], alone: Sequence[ErrorRow]) -> Worth:
    sources = {source for row in own for source in row.trust}
    trust = {source: _mean([row.trust.get(source, 0.0) for row in own]) for source in sources}
    return Worth(
        method=own[0].method,
        target=own[0].case.target,
        profiles=own[0].case.profiles,
        trust=dict(sorted(trust.items(), key=lambda item: -item[1])),
        time_mape=_mean([row.time_mape for row in own]),
        power_mape=_mean([row.power_mape for row in own]),
        time_mape_without=_mean([row.time_mape for row in alone]),
        power_mape_without=_mean([row.power_mape for row in alone]),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
