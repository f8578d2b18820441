"""The number of threads that PyTorch computes with."""

from __future__ import annotations

import os
import sys
from typing import final

__all__ = ["TorchThreads"]


@final
class TorchThreads:
    """Lets PyTorch, if it is in use, compute with other numbers of threads, and with as many as before."""

    def __init__(self) -> None:
        """Take how many cores there are now, before any mode is held."""
        self._before: int | None = None
        self._cores = len(os.sched_getaffinity(0))

    def set(self, cores: int) -> None:
        """Let it compute with as many threads as there are cores.

        If it had fewer threads than cores, somebody chose so (`OMP_NUM_THREADS`, `torchrun`), and it gets no
        more than that.
        """
        torch = sys.modules.get("torch")
        if torch is None:
            return
        before: int = torch.get_num_threads() if self._before is None else self._before
        self._before = before
        most = before if before < self._cores else cores
        torch.set_num_threads(max(min(cores, most), 1))

    def restore(self) -> None:
        """Let it compute with as many threads as before the first `set`."""
        before, self._before = self._before, None
        if before is not None:
            sys.modules["torch"].set_num_threads(before)
