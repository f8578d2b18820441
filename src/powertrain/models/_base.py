"""The interface of every predictor."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, final

from typing_extensions import Self

from powertrain.errors import CheckpointError
from powertrain.models._checkpoint import Checkpoint, restoring
from powertrain.models._container import read_checkpoint, write_checkpoint
from powertrain.quantities import Quantity, by_column
from powertrain.records import ModeTable, Prediction, ProfileTable, Shown, View

__all__ = ["AbstractPredictor", "Learned", "known_quantity"]


def known_quantity(column: str, *, source: object) -> Quantity:
    """Return the quantity that a predictor file names by its column.

    Raises:
        CheckpointError: This version has no such quantity.
    """
    known = by_column()
    if column not in known:
        raise CheckpointError(
            f"{source} predicts {column!r}, which this version does not know ({', '.join(known)}): "
            "fit it again"
        )
    return known[column]


@final
@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a predictor was learned from, and how well it does there, as far as its method tells."""

    modes: Mapping[str, int] = field(default_factory=dict[str, int])
    """By quantity, how many modes it was measured in."""
    references: tuple[tuple[str, str], ...] = ()
    """Device and workload of each reference that lent something."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """By knob, the least and the greatest value that it knows; beyond, predictions are guesses."""
    left_out_errors: Mapping[str, float] = field(default_factory=dict[str, float])
    """By quantity, the mean error of predicting each profile from all others: in per cent, or in the unit of
    a quantity with absolute errors."""


class AbstractPredictor(Shown):
    """Maps modes to time, power and whatever else was measured, for one workload on one device.

    `fit` and `transfer` return a complete predictor, which never changes afterwards. A quantity that no
    profile has is predicted as NaN.
    """

    method: ClassVar[str]
    """Name of the method on the command line."""
    uses_references: ClassVar[bool]
    """Whether `transfer` learns from references; if not, it is `fit`."""

    device: str
    workload: str
    knobs: tuple[str, ...]
    """Knobs that a mode must have, in the order of training."""

    @classmethod
    @abstractmethod
    def fit(cls, profiles: ProfileTable, *, seed: int = 0) -> Self:
        """Learn one workload from its own profiles alone.

        Where the profiles do not reach the ends of the device's knobs, `profiles.ends` tells them.
        """

    @classmethod
    @abstractmethod
    def transfer(
        cls,
        references: Sequence[AbstractPredictor],
        profiles: ProfileTable,
        *,
        seed: int = 0,
    ) -> Self:
        """Learn a workload from a few profiles and from predictors of other workloads or devices.

        References are predictors of the same method (`DataError` otherwise). One that lacks a quantity is
        left out for it; one that lacks a knob of the target raises `MissingKnobError`. A method that does not
        use references does not look at them.
        """

    def _view(self) -> View:
        rows = [("knob", knob) for knob in self.knobs]
        return View(title=f"{self.method} predictor of {self.workload} on {self.device}", rows=rows)

    @abstractmethod
    def predict(self, modes: ModeTable) -> Prediction:
        """Predict `modes`, which must have all of `knobs` (others are ignored)."""

    def glance(self, modes: ModeTable) -> Prediction:
        """Predict as `predict` does, without a remark on modes that lie outside what was profiled."""
        return self.predict(modes)

    def trust(self, modes: ModeTable) -> Mapping[str, float]:
        """Return how much each source counts in the predictions of some modes, on average: shares of one.

        Sources are named for people to read, the profiles alone as `""`. It is empty where the method does
        not tell.
        """
        del modes
        return {}

    def learned(self) -> Learned:
        """Return what it was learned from; empty where the method does not keep that."""
        return Learned()

    @abstractmethod
    def _state(self) -> Checkpoint:
        """Return everything that `_restore` needs."""

    @classmethod
    @abstractmethod
    def _restore(cls, checkpoint: Checkpoint) -> Self:
        """Rebuild a predictor from what `_state` returned, or from what damage has made of it.

        Whatever is raised becomes a `CheckpointError`. What would only do harm later must be refused here:
        numbers that are not finite, shapes that do not fit, sizes that take more memory than the file.
        """

    @final
    def state(self) -> Checkpoint:
        """Return everything that `restored` needs, as a file would keep it."""
        return self._state()

    @final
    @classmethod
    def restored(cls, checkpoint: Checkpoint) -> Self:
        """Rebuild a predictor from its state; a damaged one raises `CheckpointError`."""
        with restoring(checkpoint):
            return cls._restore(checkpoint)

    @final
    def save(self, path: Path | str) -> None:
        """Write the predictor to one file: arrays and JSON, never pickle; replaced atomically."""
        write_checkpoint(self._state(), Path(path))

    @final
    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a predictor that `save` of the same class wrote.

        Raises:
            CheckpointError: The file is anything but a complete predictor of this method.
        """
        return cls.restored(read_checkpoint(Path(path), method=cls.method))
