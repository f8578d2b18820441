"""From the events of a framework to the steps of whatever measures."""

from __future__ import annotations

from typing import final

from powertrain.profiling import active_session

__all__ = ["Steps"]


@final
class Steps:
    """Reports the steps of a framework's loop to the session in force, and nothing where there is none.

    It asks for the session at every event, so one callback serves whatever is in force: `powertrain profile`,
    `powertrain.measuring`, or another session. A loader in `powertrain.measured` may be there as well: then
    the one that was first counts.
    """

    def __init__(self) -> None:
        self._going = False

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
