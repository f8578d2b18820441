"""Logging what was measured or chosen to Weights & Biases, online or offline.

```py
from powertrain.integrations.wandb import log

with wandb.init(project="mine", mode="offline"):
    log(choice)
```
"""

from __future__ import annotations

from typing import Any

from powertrain.integrations._extras import needed
from powertrain.integrations._metrics import metrics, tags
from powertrain.records import Choice, Profile

__all__ = ["log"]

_wandb = needed("wandb", package="Weights & Biases", extra="wandb")


def log(result: Profile | Choice, *, step: int | None = None, run: Any = None) -> None:
    """Log a result to a run: numbers as its metrics, words in its summary.

    Args:
        result: What was measured or chosen.
        step: Of the training; a run takes no step that lies before its last. The run's own count if None.
        run: A `wandb.Run`; the active one if None.

    Raises:
        ValueError: There is no active run.
    """
    run = _wandb.run if run is None else run
    if run is None:
        raise ValueError("there is no active run of wandb to log to: call wandb.init() first")
    run.log(metrics(result), step=step)
    run.summary.update(tags(result))
