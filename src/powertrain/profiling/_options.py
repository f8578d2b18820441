"""How a measuring run goes, in one record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict, final

from powertrain.errors import ProgramError
from powertrain.planning import ModeSource, Order, as_source
from powertrain.profiling._patience import STEP_LIMIT_S, Patience
from powertrain.profiling._procedure import Procedure
from powertrain.progress import Progress as Progress
from powertrain.records import ModeTable, Profile, sum_of

__all__ = ["Progress", "RunKeywords", "RunOptions"]


class RunKeywords(TypedDict, total=False):
    """The fields of `RunOptions`, for functions that take them as keywords."""

    procedure: Procedure | None
    order: Order
    seed: int
    again: bool
    retry_flagged: bool
    progress: Progress | None
    step_limit_s: float | None
    given_up: Callable[[ProgramError], None] | None


@final
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a measuring run goes: how each mode is measured, in which order, and which of them again."""

    procedure: Procedure | None = None
    """How each mode is measured; as much as the precision asks for if None."""
    order: Order = "cheap"
    """Of a table: one that saves settling (`powertrain.planning.order_modes`), or its own (`"given"`)."""
    seed: int = 0
    """Of the order."""
    again: bool = False
    """Whether to measure modes again that are in the store, as repeated measurements."""
    retry_flagged: bool = False
    """Whether to measure modes again if all their profiles in the store are flagged."""
    progress: Progress | None = None
    """Told about every mode."""
    step_limit_s: float | None = None
    """How long the training may take from one minibatch to the next before it is ended [s].

    It ends with `ProgramError`, whose `trace` shows where it hangs. None stands for 600 s where PowerTrain
    runs the training, and for no limit on loops of your own (`measuring`).
    """
    given_up: Callable[[ProgramError], None] | None = None
    """Called in another thread where a training that hangs does not react, once the device is restored."""

    def __post_init__(self) -> None:
        if self.step_limit_s is not None and not self.step_limit_s > 0:  # which NaN is not, either
            raise ValueError(f"step_limit_s={self.step_limit_s}: give a time above 0 s")

    def patience(self, workload: str, *, usual_s: float = STEP_LIMIT_S) -> Patience:
        """Return what ends a training that hangs; `usual_s` is the limit if none was set."""
        limit_s = usual_s if self.step_limit_s is None else self.step_limit_s
        return Patience(workload, limit_s, given_up=self.given_up)

    def source(self, modes: ModeTable | ModeSource) -> ModeSource:
        """Return what says which of `modes` comes next; a source is taken as it is."""
        return as_source(modes, order=self.order, seed=self.seed)

    def known(self, profiles: Iterable[Profile], *, rails: Sequence[str] = ()) -> list[Profile]:
        """Return those of the store's profiles whose modes need not be measured again.

        Args:
            profiles: What the store has.
            rails: Of what the device's power is the sum; profiles by another sum count for nothing.
        """
        if self.again:
            return []
        of_this_sum = [p for p in profiles if not rails or not sum_of(p) or sum_of(p) == frozenset(rails)]
        return [profile for profile in of_this_sum if not (self.retry_flagged and profile.flags)]

    def changed(self, keywords: RunKeywords) -> RunOptions:
        """Return the record with some of its fields replaced."""
        return replace(self, **keywords)
