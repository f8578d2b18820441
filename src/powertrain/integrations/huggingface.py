"""A callback for the Trainer of Hugging Face's `transformers`, and for those of `trl`, which build on it.

```py
from powertrain.integrations.huggingface import PowerTrainCallback

trainer = transformers.Trainer(..., callbacks=[PowerTrainCallback()])
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from typing_extensions import Unpack

from powertrain.integrations._extras import needed
from powertrain.integrations._steps import Steps

if TYPE_CHECKING:
    from powertrain.workflow import TuneKeywords, TuneReport

__all__ = ["PowerTrainCallback"]

_transformers = needed("transformers", package="transformers", extra="huggingface")


@final
class PowerTrainCallback(_transformers.TrainerCallback):
    """Reports each step of the optimiser to what measures; without that, and without a goal, it does nothing.

    Evaluations, the ends of epochs and saving do not count. Where gradients are accumulated, the minibatches
    of one step are one step.

    With a goal, as in `PowerTrainCallback(max_power_w=30)`, each training is tuned: its first steps are the
    trials, and it goes on in the best mode that was itself measured to keep the limits, to its end. The
    keywords are those of `powertrain.tune`. Where something measures already, that goes on.
    """

    def __init__(self, **how: Unpack[TuneKeywords]) -> None:
        """Take the goal of a tuning; without one, only report.

        Raises:
            TypeError, ValueError: A keyword makes no sense.
        """
        self._steps = Steps(how)

    def on_train_begin(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Begin to tune; leave out what was before, such as a training that failed."""
        del args
        self._steps.begin_training(state.max_steps - state.global_step)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Restore the device."""
        self._steps.end_training()

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

    def report(self) -> TuneReport | None:
        """Return what became of the tuning so far, None where nothing was tuned here."""
        return self._steps.report()
