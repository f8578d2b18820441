"""How a training is tuned: the goal, the device, and what is done with the best mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict, final

from powertrain.dataset import AbstractStore
from powertrain.devices import AbstractDevice
from powertrain.models import AbstractPredictor
from powertrain.profiling import Glance, Procedure, Watching
from powertrain.records import Limits
from powertrain.tuning import Goal, Patience

__all__ = ["Told", "TuneKeywords", "TuneOptions"]


@final
@dataclass(frozen=True, kw_only=True)
class Told:
    """Something that whoever looks on is told; as text it is one line."""

    kind: Literal["start", "found", "trial", "hold", "change", "problem"]
    text: str

    def __str__(self) -> str:
        return self.text


class TuneKeywords(TypedDict, total=False):
    """What `tuned`, `tune` and the callbacks take by keyword: the fields of `TuneOptions`, limits by name."""

    max_power_w: float | None
    max_time_ms: float | None
    max_energy_j: float | None
    objective: Literal["time", "energy", "power", "edp", "front"]
    hard_limit_w: float | None
    risk: float
    device: str | AbstractDevice
    references: Sequence[str | Path | AbstractPredictor]
    store: str | Path | AbstractStore | None
    name: str | None
    trials: int
    minibatches: int | None
    then: Literal["hold", "restore"]
    seed: int
    say: Callable[[Told], object] | None
    look: Callable[[Glance], object] | None
    procedure: Procedure | None
    watching: Watching | None
    patience: Patience | None


@final
@dataclass(frozen=True, kw_only=True)
class TuneOptions:
    """How a training is tuned."""

    goal: Goal = field(default_factory=Goal)
    """The best mode for what, and under which limits."""
    device: str | AbstractDevice = "auto"
    """What is set and measured."""
    references: Sequence[str | Path | AbstractPredictor] = ()
    """Predictors of other workloads, or files of them: the search starts where they say."""
    store: str | Path | AbstractStore | None = None
    """Where each trial is kept at once, so that a run that was killed goes on; None: nowhere."""
    name: str | None = None
    """Under which trials are kept; the script's if None."""
    trials: int = 15
    """Most trials, confirming ones included."""
    minibatches: int | None = None
    """How many the training has; None: nobody knows."""
    then: Literal["hold", "restore"] = "hold"
    """Whether to go on in the best mode, or in the state that the device was found in."""
    seed: int = 0
    """Of everything random."""
    say: Callable[[Told], object] | None = None
    """Told what is tried, what came of it and what was decided; `print` will do."""
    look: Callable[[Glance], object] | None = None
    """Told now and then how the training goes in the mode that is held."""
    procedure: Procedure | None = None
    """How a trial is measured; as much as the precision asks for if None."""
    watching: Watching | None = None
    """How closely the mode that is held is watched; the usual way if None."""
    patience: Patience | None = None
    """When a change of the training leads to new trials; the usual way if None."""

    def __post_init__(self) -> None:
        if self.trials < 1 or (self.minibatches is not None and self.minibatches < 1):
            raise ValueError(
                f"{self.trials} trials of {self.minibatches} minibatches: give 1 or more of each"
            )
        if self.then not in ("hold", "restore"):
            raise ValueError(f"then={self.then!r}: use 'hold' or 'restore'")

    @classmethod
    def of(cls, keywords: Mapping[str, Any]) -> TuneOptions:
        """Build the options from keywords, of which some are the goal's.

        Raises:
            TypeError: There is no such keyword.
            ValueError: A value makes no sense.
        """
        given = {name: value for name, value in keywords.items() if value is not None}
        limits = {name: given.pop(name) for name in tuple(given) if name.startswith("max_")}
        goal = {name: given.pop(name) for name in ("objective", "risk", "hard_limit_w") if name in given}
        return cls(goal=Goal(limits=Limits(**limits), **goal), **given)
