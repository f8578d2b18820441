"""Logging what was measured or chosen to MLflow.

```py
from powertrain.integrations.mlflow import log

with mlflow.start_run():
    log(choice)
```
"""

from __future__ import annotations

from powertrain.integrations._extras import needed
from powertrain.integrations._metrics import metrics, tags
from powertrain.records import Choice, Profile

__all__ = ["log"]

_mlflow = needed("mlflow", package="MLflow", extra="mlflow")


def log(result: Profile | Choice, *, step: int | None = None) -> None:
    """Log numbers as metrics and words as tags, to the active run or to a new one.

    Args:
        result: What was measured or chosen.
        step: Of the training, or the number of the profile.
    """
    _mlflow.log_metrics(metrics(result), step=step)
    _mlflow.set_tags({name.replace("/", "."): text for name, text in tags(result).items()})
