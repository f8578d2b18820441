"""A training whose minibatches come from processes: of a pool that is forked or spawned, or of a DataLoader.

powertrain profile _pooled.py ... -- KIND DEVICE
"""

from __future__ import annotations

import multiprocessing as mp
import sys
import time
from collections.abc import Iterator

import powertrain as pt

WORKERS, EPOCH = 2, 400


def prepared(number: int) -> int:
    """Make a minibatch, in a worker."""
    time.sleep(0.0002)
    return number


def from_pool(kind: str) -> Iterator[int]:
    """Yield an epoch of minibatches from a pool that is made for it, and terminated after it."""
    with mp.get_context(kind).Pool(WORKERS) as pool:
        yield from pool.imap(prepared, range(EPOCH), chunksize=8)


class Epochs:
    """Epochs without end, each from new processes."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __iter__(self) -> Iterator[object]:
        if self.kind != "loader":
            return from_pool(self.kind)
        from torch.utils.data import DataLoader

        return iter(DataLoader(Numbers(), batch_size=4, num_workers=WORKERS))  # pyright: ignore[reportArgumentType]


class Numbers:
    """A data set of a DataLoader."""

    def __len__(self) -> int:
        return 4 * EPOCH

    def __getitem__(self, number: int) -> int:
        return prepared(number) if number % 4 == 0 else number


def main(kind: str, spec: str) -> None:
    """Train until everything is measured."""
    job = None if spec == "cpu" else pt.open_device(spec).job("lstm")
    batches = pt.measured(Epochs(kind))
    while True:
        for _ in batches:
            if job is None:
                time.sleep(0.0005)
            else:
                job.step()


if __name__ == "__main__":
    main(*sys.argv[1:])
