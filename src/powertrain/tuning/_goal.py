"""What is asked of a tuner, what a trial costs, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, final

from powertrain.quantities import TIME, Quantity, find
from powertrain.records import Limits, PowerMode, check_risk

__all__ = ["FRONT", "Budget", "Decision", "FrontMode", "Goal"]

Objective = Literal["time", "energy", "power", "edp", "front"]
FRONT = "front"


@final
@dataclass(frozen=True, kw_only=True)
class Goal:
    """The best mode for what, and under which limits."""

    objective: Objective = "time"
    """What is minimised; `"front"` looks for every compromise of time and power, not for one mode."""
    limits: Limits = field(default_factory=Limits)
    risk: float = 0.05
    """Accepted probability that the mean of the mode that is named exceeds a limit."""
    hard_limit_w: float = math.inf
    """Power that no trial may knowingly exceed [W]: what a supply or a battery can bear."""
    hard_risk: float = 0.05
    """Accepted probability that a trial exceeds `hard_limit_w`."""

    def __post_init__(self) -> None:
        _ = self.quantity  # which refuses an objective that there is not
        check_risk(self.risk)
        check_risk(self.hard_risk)
        if not self.hard_limit_w > 0:
            raise ValueError(f"a hard limit of {self.hard_limit_w!r} W: give a positive number")

    @property
    def quantity(self) -> Quantity:
        """What one mode is compared with another by; of the modes of a front it is the time."""
        return TIME if self.objective == FRONT else find(self.objective)

    def as_json(self) -> dict[str, Any]:
        """Return the goal as JSON values; a limit that is not set is left out."""
        limits = {**self.limits.active()}
        hard = {"hard_limit_w": self.hard_limit_w} if math.isfinite(self.hard_limit_w) else {}
        return {
            "objective": self.objective,
            "limits": limits,
            "risk": self.risk,
            "hard_risk": self.hard_risk,
            **hard,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Goal:
        """Read what `as_json` returned."""
        given = dict(values)
        return cls(limits=Limits(**given.pop("limits", {})), **given)


@final
@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a trial costs, and how many there may be."""

    most_trials: int = 15
    """Confirming measurements included."""
    minibatches: int = 10
    """Minibatches that a trial trains. They are part of the training: only their delay is a cost."""
    overhead_s: float = 3.0
    """What a trial takes besides: changing the mode, settling [s]."""
    minibatches_left: float = math.inf
    """Minibatches that the training still has; infinity where nobody knows."""
    tolerance: float = 0.001
    """Where that is not known: an expected gain below this share of the objective is not worth a trial."""

    def __post_init__(self) -> None:
        if self.most_trials < 1 or self.minibatches < 1:
            raise ValueError("a tuner needs at least one trial of at least one minibatch")
        if not (self.overhead_s >= 0 and self.minibatches_left >= 0 and 0 < self.tolerance < 1):
            raise ValueError("overhead and minibatches left are 0 or more, the tolerance is between 0 and 1")


@final
@dataclass(frozen=True, kw_only=True)
class FrontMode:
    """A mode on the front of time and power, as measured."""

    mode: PowerMode
    values: Mapping[str, float]
    """What was measured in it, by column; means over repeats."""


@final
@dataclass(frozen=True, kw_only=True)
class Decision:
    """The mode that a tuner chooses, as measured, or why it chooses none."""

    mode: PowerMode | None
    """None where no mode that was measured keeps the limits."""
    values: Mapping[str, float] = field(default_factory=dict[str, float])
    """What was measured in it, by column; means over repeats."""
    confirmed: bool = False
    """Whether the measurement's confidence interval keeps every limit, not its mean alone."""
    trials: int = 0
    """Measurements that were told so far."""
    why: str = ""
    """One sentence."""
    front: tuple[FrontMode, ...] = ()
    """The measured front of time and power within the limits, by rising time, where that is the objective."""
