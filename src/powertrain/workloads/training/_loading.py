"""Minibatches without end, loaded by worker processes or in the training process itself."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from typing_extensions import override

from powertrain.workloads.nets._task import Minibatch, TrainingTask
from powertrain.workloads.training._sources import Source

__all__ = ["PREFETCHED", "Loader"]

PREFETCHED = 2
"""Minibatches that each worker loads ahead."""


@final
class _Samples(IterableDataset[Any]):
    """Samples without end: an input from the source, and labels at random."""

    def __init__(self, task: TrainingTask, source: Source, seed: int) -> None:
        super().__init__()
        self._label, self._source, self._seed = task.label, source, seed

    @override
    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        worker = get_worker_info()
        number = 0 if worker is None else worker.id
        rng = np.random.default_rng([self._seed, number])
        generator = torch.Generator().manual_seed(self._seed * 1000 + number)
        while True:
            yield (self._source.draw(rng), *(label[0] for label in self._label(1, generator)))


@final
class Loader:
    """Loads minibatches of a task; `close` ends its processes."""

    def __init__(
        self, task: TrainingTask, source: Source, *, samples: int, workers: int, seed: int, pin: bool
    ) -> None:
        self._arranged = task.arranged
        loader: DataLoader[Any] = DataLoader(
            _Samples(task, source, seed),
            batch_size=samples,
            num_workers=workers,
            prefetch_factor=PREFETCHED if workers else None,
            pin_memory=pin,
        )
        with _fork_unremarked():
            self._iterator: Any = iter(loader)

    def next(self) -> Minibatch:
        """Return the next minibatch, on the CPU."""
        return self._arranged(tuple(next(self._iterator)))

    def close(self) -> None:
        """End the loading processes."""
        shut_down = getattr(self._iterator, "_shutdown_workers", None)
        if shut_down is not None:
            shut_down()
        self._iterator = iter(())


@contextmanager
def _fork_unremarked() -> Generator[None]:
    """Start loading processes as PyTorch does everywhere on Linux, without the remark of newer Pythons."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multi-threaded.*fork.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*suggested max number of worker.*")
        yield
