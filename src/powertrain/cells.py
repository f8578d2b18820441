"""Independent cells of work: one function of many cells, wherever they are computed.

What has many cells takes a `Compute`. The usual one is `Processes`; `powertrain.integrations.ray.RayCells` is
another. The results do not depend on it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar, final

__all__ = ["Compute", "Processes"]

Cell = TypeVar("Cell")
Result = TypeVar("Result")


class Compute(Protocol):
    """Computes cells."""

    @property
    def shares_files(self) -> bool:
        """Whether cells see the files of this machine."""
        ...

    def __call__(
        self, begin: Callable[..., Callable[[Cell], Result]], given: tuple[Any, ...], cells: Sequence[Cell]
    ) -> Iterator[tuple[Cell, Result]]:
        """Yield each cell with its result, as they are finished.

        Args:
            begin: A function of a module. It is called once in each process, with `given`, and returns what
                computes a cell.
            given: What all cells have in common. It has to be fit for pickle, as cells and results have.
            cells: What is computed.
        """
        ...


@final
@dataclass(frozen=True)
class Processes:
    """Computes cells on processes of this machine; with one job, in this process."""

    jobs: int = 1

    @property
    def shares_files(self) -> bool:
        """Whether cells see the files of this machine."""
        return True

    def __call__(
        self, begin: Callable[..., Callable[[Cell], Result]], given: tuple[Any, ...], cells: Sequence[Cell]
    ) -> Iterator[tuple[Cell, Result]]:
        """Yield each cell with its result, as they are finished; see `Compute`."""
        if self.jobs <= 1 or len(cells) <= 1:
            compute = begin(*given)
            for cell in cells:
                yield cell, compute(cell)
            return
        # Workers start afresh, the same on every system, and leave Ctrl-C to this process.
        with ProcessPoolExecutor(
            min(self.jobs, len(cells)),
            mp_context=get_context("spawn"),
            initializer=_begin,
            initargs=(begin, given),
        ) as pool:
            waiting: dict[Future[Any], Cell] = {pool.submit(_computed, cell): cell for cell in cells}
            try:
                for future in as_completed(waiting):
                    yield waiting[future], future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise


_compute: list[Callable[[Any], Any]] = []
"""What computes a cell in this process, once it has begun."""


def _begin(begin: Callable[..., Callable[[Any], Any]], given: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Two processes with several threads each would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _compute[:] = [begin(*given)]


def _computed(cell: Any) -> Any:
    return _compute[0](cell)
