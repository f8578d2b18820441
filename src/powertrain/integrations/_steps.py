"""From the events of a framework to the steps of whatever measures."""

from __future__ import annotations

import atexit
import math
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, final

from powertrain.profiling import active_session

if TYPE_CHECKING:
    from powertrain.workflow import TuneKeywords, TuneReport, TuningHandle

__all__ = ["Steps"]


@final
class Steps:
    """Reports the steps of a framework's loop to the session in force, and nothing where there is none.

    It asks for the session at every event, so one callback serves whatever is in force: `powertrain profile`,
    `powertrain.measuring`, or another session. A loader in `powertrain.measured` may be there as well: then
    the one that was first counts.

    With a goal it begins a tuning of its own with each training, unless something measures already.
    """

    def __init__(self, how: TuneKeywords | None = None) -> None:
        """Take the keywords of `powertrain.tune`; without any this only reports.

        Raises:
            TypeError, ValueError: A keyword makes no sense.
        """
        self._going = False
        self._how: TuneKeywords = how or {}
        self._stack, self._process = ExitStack(), os.getpid()
        self._handle: TuningHandle | None = None
        if self._how:
            from powertrain.workflow import TuneOptions

            TuneOptions.of(self._how)  # refused here, and not when the training begins

    def begin_training(self, minibatches: float | None = None) -> None:
        """Tell that a training begins, of so many steps if that is known."""
        self.end_training()
        if not self._how:
            return
        from powertrain.workflow import tune

        how = self._how
        if minibatches is not None and 0 < minibatches < math.inf and "minibatches" not in how:
            how = how.copy()
            how["minibatches"] = int(minibatches)
        self._process = os.getpid()
        self._handle = self._stack.enter_context(tune(**how))
        # Not every framework tells of a training that fails.
        atexit.register(self.end_training)

    def end_training(self) -> None:
        """Tell that the training has ended, whatever ended it; in a forked process this does nothing."""
        self.pause()
        if self._process == os.getpid():
            self._stack.close()
            atexit.unregister(self.end_training)

    def report(self) -> TuneReport | None:
        """Return what became of the last tuning that was begun here."""
        return None if self._handle is None else self._handle.report()

    def begin(self) -> None:
        """Tell that a minibatch begins, which counts unless the one before it has just been trained."""
        if not self._going:
            self._report()

    def trained(self) -> None:
        """Tell that the optimiser has made a step."""
        self._report()

    def pause(self) -> None:
        """Tell that something else than training follows, or has just been done."""
        session = active_session()
        if self._going and session is not None:
            session.ended(session.calls)
        self._going = False

    def _report(self) -> None:
        session = active_session()
        if session is not None:
            session.drawn(session.calls)
        self._going = session is not None
