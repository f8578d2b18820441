"""A callback for Keras 3, whatever its backend.

```py
from powertrain.integrations.keras import PowerTrainCallback

model.fit(..., callbacks=[PowerTrainCallback()])
```
"""

from __future__ import annotations

from typing import Any, final

from powertrain.integrations._extras import needed
from powertrain.integrations._steps import Steps
from powertrain.profiling import active_session

__all__ = ["PowerTrainCallback"]

_keras = needed("keras", package="Keras", extra="keras")


@final
class PowerTrainCallback(_keras.callbacks.Callback):
    """Reports each step of the optimiser to what measures; without that it does nothing.

    Validation and the ends of epochs do not count. Where gradients are accumulated, the minibatches of one
    step are one step. With `steps_per_execution` above 1, an execution is one step.
    """

    def __init__(self) -> None:
        super().__init__()
        self._steps, self._iterations = Steps(), 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Leave out what was before, such as a training that failed."""
        del logs
        self._steps.pause()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Begin to count, unless a step has just ended."""
        del batch, logs
        if active_session() is not None:  # reading a number from a GPU takes time
            self._iterations = self._steps_so_far()
        self._steps.begin()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count a step, if the optimiser has made one."""
        del batch, logs
        if active_session() is not None and self._steps_so_far() != self._iterations:
            self._steps.trained()

    def on_test_begin(self, logs: Any = None) -> None:
        """Leave the validation out."""
        del logs
        self._steps.pause()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Leave out what is between two epochs."""
        del epoch, logs
        self._steps.pause()

    def _steps_so_far(self) -> int:
        """Return how many steps the optimiser has made; accumulated minibatches are not steps."""
        return int(self.model.optimizer.iterations)
