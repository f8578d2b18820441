"""Measuring a loop that Hugging Face's Accelerate runs.

```py
from powertrain.integrations.accelerate import measured, tuned

loader = measured(loader, accelerator)  # was: accelerator.prepare(loader)
loader = tuned(loader, accelerator, max_power_w=30)  # or so, to train in the best mode under a limit
```
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import Unpack

from powertrain import profiling
from powertrain.integrations._extras import needed

if TYPE_CHECKING:
    from powertrain.workflow import TuneKeywords

__all__ = ["measured", "tuned"]

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
    return profiling.measured(_prepared(loader, accelerator), every=accelerator.gradient_accumulation_steps)


def tuned(loader: Batches, accelerator: Any, **how: Unpack[TuneKeywords]) -> Batches:
    """Prepare a loader, unless that has been done, and stand in for it as `powertrain.tuned` does.

    Args:
        loader: The loader, prepared or not.
        accelerator: The `accelerate.Accelerator` that the loop trains with.
        how: The goal and the rest, as for `powertrain.tune`.

    Raises:
        TypeError, ValueError: A keyword makes no sense.
    """
    from powertrain import workflow

    return workflow.tuned(
        _prepared(loader, accelerator), every=accelerator.gradient_accumulation_steps, **how
    )


def _prepared(loader: Batches, accelerator: Any) -> Batches:
    if isinstance(loader, (_data_loader.DataLoaderShard, _data_loader.DataLoaderDispatcher)):
        return loader
    return accelerator.prepare(loader)
