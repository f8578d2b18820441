"""A callback for Lightning (`lightning` or `pytorch_lightning`).

```py
from powertrain.integrations.lightning import PowerTrainCallback

trainer = lightning.Trainer(callbacks=[PowerTrainCallback()])
```
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, final

from typing_extensions import Unpack

from powertrain.integrations._extras import needed
from powertrain.integrations._steps import Steps

if TYPE_CHECKING:
    from powertrain.workflow import TuneKeywords, TuneReport

__all__ = ["PowerTrainCallback"]

# The two packages have the same classes under different names, and a trainer takes its own package's.
_OLD = "pytorch_lightning" in sys.modules and "lightning" not in sys.modules
_lightning = needed(
    "pytorch_lightning" if _OLD else "lightning.pytorch", package="Lightning", extra="lightning"
)


@final
class PowerTrainCallback(_lightning.Callback):
    """Reports each step of the optimiser to what measures; without that, and without a goal, it does nothing.

    Validation, the ends of epochs and checkpoints between two steps do not count. Where gradients are
    accumulated, the minibatches of one step are one step.

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
        self._steps, self._global_step = Steps(how), 0

    def on_train_start(self, trainer: Any, *_: Any) -> None:
        """Begin to tune; leave out what was before, such as a training that failed."""
        self._steps.begin_training(trainer.estimated_stepping_batches - trainer.global_step)

    def on_train_batch_start(self, trainer: Any, *_: Any, **__: Any) -> None:
        """Begin to count, unless a step has just ended."""
        self._global_step = trainer.global_step
        self._steps.begin()

    def on_train_batch_end(self, trainer: Any, *_: Any, **__: Any) -> None:
        """Count a step, if the optimiser has made one."""
        if trainer.global_step != self._global_step:
            self._steps.trained()

    def on_validation_start(self, *_: Any) -> None:
        """Leave the validation out."""
        self._steps.pause()

    def on_train_epoch_end(self, *_: Any) -> None:
        """Leave out what is between two epochs."""
        self._steps.pause()

    def on_save_checkpoint(self, *_: Any) -> None:
        """Leave the saving out."""
        self._steps.pause()

    def on_train_end(self, *_: Any) -> None:
        """Restore the device."""
        self._steps.end_training()

    def on_exception(self, *_: Any) -> None:
        """Restore the device; leave out what follows."""
        self._steps.end_training()

    def report(self) -> TuneReport | None:
        """Return what became of the tuning so far, None where nothing was tuned here."""
        return self._steps.report()
