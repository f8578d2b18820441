"""Logging what was measured or chosen to TensorBoard.

```py
from powertrain.integrations.tensorboard import log

with SummaryWriter("runs/mine") as writer:
    log(choice, writer)
```
"""

from __future__ import annotations

from typing import Protocol

from powertrain.integrations._extras import needed
from powertrain.integrations._metrics import metrics, tags
from powertrain.records import Choice, Profile

__all__ = ["SummaryWriter", "log"]

needed("tensorboard", package="TensorBoard", extra="tensorboard")


class SummaryWriter(Protocol):
    """What a writer of summaries has to have: PyTorch's and tensorboardX's `SummaryWriter` have it."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> None:
        """Write a number."""
        ...

    def add_text(self, tag: str, text_string: str, global_step: int | None = None) -> None:
        """Write a text."""
        ...


def log(result: Profile | Choice, writer: SummaryWriter, *, step: int = 0) -> None:
    """Write a result as summaries: numbers as scalars, words as texts.

    Args:
        result: What was measured or chosen.
        writer: Where to, such as PyTorch's `torch.utils.tensorboard.SummaryWriter`.
        step: Of the training, or the number of the profile.
    """
    for name, value in metrics(result).items():
        writer.add_scalar(name, value, step)
    for name, text in tags(result).items():
        writer.add_text(name, text, step)
