"""The other processes of a training that one process measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from typing_extensions import override

from powertrain.profiling._reports import AllMeasured, Session

__all__ = ["FollowingSession", "Orders"]


@final
@dataclass(frozen=True, kw_only=True)
class Orders:
    """What the process that measures asks of the others."""

    cpus: tuple[int, ...] | None = None
    """The processors that the training is to run on; None: as it is."""
    ends_at: int | None = None
    """The report at which the training ends; None: it goes on."""


@final
class FollowingSession(Session):
    """Measures nothing: does as the process that measures says, so that all of them end alike."""

    def __init__(
        self,
        orders: Callable[[], Orders],
        *,
        evaluates: Callable[[], bool],
        run_on: Callable[[tuple[int, ...]], None],
    ) -> None:
        """Take what returns the present orders.

        Args:
            orders: Looked at with each report.
            evaluates: Tells whether gradients are switched off now.
            run_on: Takes the training to some processors.
        """
        super().__init__(evaluates)
        self._orders, self._run_on = orders, run_on
        self._cpus: tuple[int, ...] | None = None

    @override
    def pause(self) -> None:
        pass  # its times are not looked at

    @override
    def close(self) -> None:
        pass  # it holds nothing

    @override
    def _start(self) -> None:
        self._obey()

    @override
    def _step(self, every: int) -> None:
        self._obey()

    def _obey(self) -> None:
        orders = self._orders()
        if orders.cpus is not None and orders.cpus != self._cpus:
            self._cpus = orders.cpus
            self._run_on(orders.cpus)
        if orders.ends_at is not None and self.reports >= orders.ends_at:
            raise AllMeasured(0)
