"""A callback for the Trainer of Hugging Face's `transformers`, and for those of `trl`, which build on it.

```py
from powertrain.integrations.huggingface import PowerTrainCallback

trainer = transformers.Trainer(..., callbacks=[PowerTrainCallback()])
```
"""

from __future__ import annotations

from typing import Any, final

from powertrain.integrations._extras import needed
from powertrain.integrations._steps import Steps

__all__ = ["PowerTrainCallback"]

_transformers = needed("transformers", package="transformers", extra="huggingface")


@final
class PowerTrainCallback(_transformers.TrainerCallback):
    """Reports each step of the optimiser to what measures; without that it does nothing.

    Evaluations, the ends of epochs and saving do not count. Where gradients are accumulated, the minibatches
    of one step are one step.
    """

    def __init__(self) -> None:
        self._steps = Steps()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Leave out what was before, such as a training that failed."""
        self._steps.pause()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Begin to count, unless a step has just ended."""
        self._steps.begin()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Count a step."""
        self._steps.trained()

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        """Leave the evaluation out, which came after the last step."""
        self._steps.pause()

    def on_save(self, *_: Any, **__: Any) -> None:
        """Leave the saving out, which came after the last step."""
        self._steps.pause()

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        """Leave out what is between two epochs."""
        self._steps.pause()
