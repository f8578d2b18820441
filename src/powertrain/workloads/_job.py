"""The contract of every training that is measured: it goes on minibatch by minibatch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import final

from typing_extensions import Self

__all__ = ["Job"]


class Job(ABC):
    """A training that goes on minibatch by minibatch, in the mode that the device is held in.

    Used as a context manager it is closed at the end.
    """

    workload: str
    """Name under which its profiles are kept."""
    knobs: tuple[str, ...] = ()
    """Software knobs that it can follow (`powertrain.space.SOFTWARE_KNOBS`)."""
    warm_up_minibatches: int = 1
    """Minibatches after `prepare` whose times mean nothing yet: the first, and those loaded beforehand."""
    units_per_minibatch: float = 1.0
    """Units of work in a minibatch: other than 1 where `batch_size` is a knob, so that times compare."""

    @abstractmethod
    def prepare(self, mode: Mapping[str, float]) -> None:
        """Get ready to train in a mode, which is being held; follow its software knobs.

        Raises:
            WorkloadMemoryError: It does not fit into memory.
            WorkloadError: The training cannot be set up.
        """

    @abstractmethod
    def step(self) -> None:
        """Train on one minibatch; return when the device has finished it.

        Raises:
            WorkloadMemoryError: It did not fit into memory; `prepare` makes the job usable again.
            WorkloadError: The training raised something else.
        """

    @abstractmethod
    def close(self) -> None:
        """End the training, its loading processes included, and give back what `prepare` changed.

        Closing twice is harmless; `prepare` begins anew.
        """

    @abstractmethod
    def description(self) -> Mapping[str, str]:
        """Return what a profile should say of the training: software and what it computes."""

    @final
    def __enter__(self) -> Self:
        return self

    @final
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
