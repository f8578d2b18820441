"""Cells of work on the workers of a cluster of Ray."""

# Ray may be absent where types are checked, and then nothing is known of its types.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, final

from threadpoolctl import ThreadpoolController

from powertrain.errors import FleetError
from powertrain.integrations._ray_link import LOCAL, joined, ray

__all__ = ["RayCells"]

Cell = TypeVar("Cell")
Result = TypeVar("Result")


@final
@dataclass(frozen=True, kw_only=True)
class RayCells:
    """Computes cells on the workers of a cluster; the results are the same, to the last digit.

    It is a `powertrain.cells.Compute`: give it to `run_study`, `evaluate` or `run_race`. A cell whose worker
    dies is computed again by another. Processors of different makers may round differently.
    """

    address: str = LOCAL
    """`HOST:PORT` of the head, `auto`, or `local` for workers on this machine that end with the run."""
    jobs: int | None = None
    """How many workers, if they are local."""

    @property
    def shares_files(self) -> bool:
        """Whether cells see the files of this machine."""
        return self.address == LOCAL

    def __call__(
        self, begin: Callable[..., Callable[[Cell], Result]], given: tuple[Any, ...], cells: Sequence[Cell]
    ) -> Iterator[tuple[Cell, Result]]:
        """Yield each cell with its result, as they are finished; see `powertrain.cells.Compute`.

        Raises:
            ValueError: The address is none.
            FleetError: The cluster cannot be reached, or cells cannot be computed there.
        """
        if not cells:
            return
        with joined(self.address, jobs=self.jobs):
            # Wrapped in a list, so that a worker fetches it once and not for every cell.
            shared, key, threads = [ray.put((begin, given))], uuid.uuid4().hex, _blas_threads()
            task = ray.remote(_computed).options(num_cpus=1)
            waiting = {task.remote(shared, key, threads, cell): cell for cell in cells}
            try:
                while waiting:
                    ready, _ = ray.wait(list(waiting), num_returns=1)
                    for reference in ready:
                        cell = waiting.pop(reference)
                        yield cell, _result(reference)
            finally:
                for reference in waiting:
                    ray.cancel(reference)


def _result(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ray.exceptions.RayError):
            said = " ".join(str(error.cause).split())[:160]
            raise FleetError(
                f"a worker of the cluster failed ({said}): it needs the same PowerTrain as this machine"
            ) from error
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise FleetError(f"the cluster could not compute ({type(error).__name__}): run it again") from error


_compute: dict[str, Callable[[Any], Any]] = {}
"""What computes a cell in this worker, by the run that it is of; the last one only."""


def _computed(shared: list[Any], key: str, threads: int, cell: Any) -> Any:
    # As many as in the process that asks: how a sum is parted among threads decides its last digits.
    with ThreadpoolController().limit(limits=threads, user_api="blas"):
        if key not in _compute:
            begin, given = ray.get(shared[0])
            _compute.clear()
            _compute[key] = begin(*given)
        return _compute[key](cell)


def _blas_threads() -> int:
    """Return how many threads the linear algebra takes here."""
    found = [pool["num_threads"] for pool in ThreadpoolController().info() if pool["user_api"] == "blas"]
    return max(found, default=1)
