"""Measuring a loop that Hugging Face's Accelerate runs.

```py
from powertrain.integrations.accelerate import measured

loader = measured(loader, accelerator)  # was: accelerator.prepare(loader)
```
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from powertrain import profiling
from powertrain.integrations._extras import needed

__all__ = ["measured"]

_data_loader = needed("accelerate.data_loader", package="Accelerate", extra="accelerate")

Batches = TypeVar("Batches", bound=Iterable[Any])


def measured(loader: Batches, accelerator: Any) -> Batches:
    """Prepare a loader, unless that has been done, and stand in for it as `powertrain.measured` does.

    Accelerate builds a loader of its own of what it prepares, so a stand-in has to be made afterwards. Where
    the accelerator accumulates gradients (`gradient_accumulation_steps`), the minibatches of one step of the
    optimiser are one step; those left over at the end of an epoch do not count.

    Args:
        loader: The loader, prepared or not.
        accelerator: The `accelerate.Accelerator` that the loop trains with.
    """
    if not isinstance(loader, (_data_loader.DataLoaderShard, _data_loader.DataLoaderDispatcher)):
        loader = accelerator.prepare(loader)
    return profiling.measured(loader, every=accelerator.gradient_accumulation_steps)
