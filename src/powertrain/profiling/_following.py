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
    """The processors that the training is to run on; None: those that it had before."""
    ends_at: int | None = None
    """The report at which the training ends; None: it goes on."""


@final
class FollowingSession(Session):
    """Measures nothing. It follows the process that measures, so that all end together."""

    def __init__(
        self,
        orders: Callable[[], Orders],
        *,
        evaluates: Callable[[], bool],
        run_on: Callable[[tuple[int, ...] | None], None],
    ) -> None:
        """Take what returns the present orders.

        Args:
            orders: Looked at with each report.
            evaluates: Tells whether gradients are switched off now.
            run_on: Takes the training to some processors; None: to those that it had before.
        """
        super().__init__(evaluates)
        self._orders, self._run_on = orders, run_on
        self._cpus: tuple[int, ...] | None = None

    @override
    def pause(self) -> None:
        pass  # its times are not looked at

    @override
    def close(self) -> None:
        self._take_to(None)

    @override
    def _start(self) -> None:
        self._obey()

    @override
    def _step(self, every: int) -> None:
        self._obey()

    def _obey(self) -> None:
        orders = self._orders()
        self._take_to(orders.cpus)
        if orders.ends_at is not None and self.reports >= orders.ends_at:
            raise AllMeasured(0)

    def _take_to(self, cpus: tuple[int, ...] | None) -> None:
        if cpus != self._cpus:
            self._cpus = cpus
            self._run_on(cpus)
