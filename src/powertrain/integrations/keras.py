"""A callback for Keras 3, whatever its backend.

```py
from powertrain.integrations.keras import PowerTrainCallback

model.fit(..., callbacks=[PowerTrainCallback()])
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from typing_extensions import Unpack

from powertrain.integrations._extras import needed
from powertrain.integrations._steps import Steps
from powertrain.profiling import active_session

if TYPE_CHECKING:
    from powertrain.workflow import TuneKeywords, TuneReport

__all__ = ["PowerTrainCallback"]

_keras = needed("keras", package="Keras", extra="keras")


@final
class PowerTrainCallback(_keras.callbacks.Callback):
    """Reports each step of the optimiser to what measures; without that, and without a goal, it does nothing.

    Validation and the ends of epochs do not count. Where gradients are accumulated, the minibatches of one
    step are one step. With `steps_per_execution` above 1, an execution is one step.

    With a goal, as in `PowerTrainCallback(max_power_w=30)`, each training is tuned: its first steps are the
    trials, and it goes on in the best mode that was itself measured to keep the limits, to its end. The
    keywords are those of `powertrain.tune`. Where something measures already, that goes on.
    """

    def __init__(self, **how: Unpack[TuneKeywords]) -> None:
        """Take the goal of a tuning; without one, only report.

        Raises:
            TypeError, ValueError: A keyword makes no sense.
        """
        super().__init__()
        self._steps, self._iterations = Steps(how), 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin to tune; leave out what was before, such as a training that failed."""
        del logs
        epochs, steps = self.params.get("epochs"), self.params.get("steps")
        self._steps.begin_training(epochs * steps if epochs and steps else None)

    def on_train_end(self, logs: Any = None) -> None:
        """Restore the device."""
        del logs
        self._steps.end_training()

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

    def report(self) -> TuneReport | None:
        """Return what became of the tuning so far, None where nothing was tuned here."""
        return self._steps.report()
