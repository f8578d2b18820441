"""The number of threads that PyTorch computes with."""

from __future__ import annotations

import sys
from typing import final

__all__ = ["TorchThreads"]


@final
class TorchThreads:
    """Lets PyTorch, if it is in use, compute with other numbers of threads, and with as many as before."""

    def __init__(self) -> None:
        self._before: int | None = None

    def set(self, cores: int) -> None:
        """Let it compute with as many threads as there are cores."""
        torch = sys.modules.get("torch")
        if torch is None:
            return
        if self._before is None:
            self._before = torch.get_num_threads()
        torch.set_num_threads(max(cores, 1))

    def restore(self) -> None:
        """Let it compute with as many threads as before the first `set`."""
        before, self._before = self._before, None
        if before is not None:
            sys.modules["torch"].set_num_threads(before)
