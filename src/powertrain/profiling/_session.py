"""Measuring while somebody else's loop trains."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import final

from typing_extensions import override

from powertrain.devices import AbstractLiveDevice
from powertrain.errors import MissingKnobError
from powertrain.profiling._measure import Subject
from powertrain.profiling._pace import Pace
from powertrain.profiling._patience import Patience
from powertrain.profiling._reports import AllMeasured, Loop, Session
from powertrain.profiling._run import Prepare, Run, check_knobs
from powertrain.records import PowerMode, Profile
from powertrain.space import SOFTWARE_KNOBS

__all__ = ["LoopSession"]

logger = logging.getLogger(__name__)

WORTH = "a real program on a simulated board: the time is this machine's in every mode, the power is at rest"
"""What the profiles of a real program on a simulated board say of themselves."""


@final
class LoopSession(Session):
    """Runs what measures while somebody else's loop trains; the loop reports each minibatch."""

    def __init__(
        self,
        device: AbstractLiveDevice,
        loop: Loop,
        make_run: Callable[[Prepare], Run],
        *,
        knobs: Sequence[str],
        keep: Callable[[Profile], None],
        failed: Callable[[Exception], None] | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Get ready; nothing is changed before the first minibatch.

        Args:
            device: What is measured.
            loop: What is trained.
            make_run: Makes what measures, given what gets the training ready for a mode.
            knobs: Of all the modes that the run will ask for.
            keep: Is given each profile as soon as it is finished.
            failed: Is told why nothing more is measured, and the training goes on; if None, it ends with
                that error.
            patience: Ends a minibatch that hangs; if None, nothing does.

        Raises:
            MissingKnobError: The knobs are not the device's, or one is the training's own.
        """
        super().__init__(loop.evaluates)
        check_knobs(device, knobs)
        if software := [name for name in knobs if name in SOFTWARE_KNOBS]:
            raise MissingKnobError(
                f"a training loop of its own does not follow the knob {', '.join(software)}: leave it out of "
                "the device, or give a function that makes the training (FILE.py:FUNCTION)"
            )

        def prepare(mode: PowerMode | None) -> Subject:
            # A real program is not to compute with as many threads as a board has that is none.
            if mode is not None and "cpu_cores" in mode and not device.simulated:
                loop.set_threads(int(mode["cpu_cores"]))
            return Subject(workload=loop.workload, description=loop.description())

        self._device, self._loop, self._keep, self._failed = device, loop, keep, failed
        self._run = make_run(prepare)
        self._patience = patience or Patience(loop.workload, math.inf)
        self._pace, self._parts, self._every = Pace(device.clock), 0, 1
        self._wanted: int | None = None
        self._started = self._paused = self._warned = self._finished = False
        self._ends_at: int | None = None
        self.minibatches = 0
        """Minibatches that were trained so far."""
        self.paused_s = 0.0
        """Time between minibatches, on the device's clock, in which something else was done [s]."""
        self._last_s = device.clock.now_s()

    @override
    def pause(self) -> None:
        self._paused = True
        self._patience.rests()

    @override
    def close(self) -> None:
        self._finished, self._ends_at = True, None
        self._patience.close()
        self._run.close()
        self._loop.restore_threads()

    @override
    def _start(self) -> None:
        if not self._finished:
            self._paused, self._parts = False, 0
            if self._started:
                self.paused_s += self._device.clock.now_s() - self._last_s
            self._advance(False if self._started else None)
        self._end()

    @override
    def _step(self, every: int) -> None:
        self._every = every
        if self._finished:
            self._end()
            return
        if self._started and not self._paused:
            self._patience.goes_on()
        if self._paused or not self._started:
            if self._wanted is None:
                self._loop.synchronise()
            self._start()
            return
        self._parts += 1
        if self._parts < every * (self._wanted or 1):
            return
        self.minibatches += self._wanted or 1
        self._parts = 0
        if self._wanted is None:
            self._loop.synchronise()
        self._pace.catch_up()
        self._advance(True)
        self._end()

    def _advance(self, sent: bool | None) -> None:
        if not self._started:
            self._patience.open()
        self._started = True
        try:
            wanted = self._run.send(sent)
            while isinstance(wanted, Profile):
                self._keep(self._marked(wanted))
                wanted = self._run.send(None)
            self._wanted = wanted
        except StopIteration:
            self.all_measured = True
            self._finish()
        except Exception as error:
            if self._failed is None:
                raise
            self._run.close()
            self._finish()
            self._failed(error)
        self._last_s = self._device.clock.now_s()
        self._pace.mark()
        if not self._finished:
            self._patience.goes_on()

    def _finish(self) -> None:
        self._finished = True
        self._patience.close()
        self._loop.restore_threads()
        if self._loop.stop:
            self._ends_at = self._loop.ends_at(self.reports, self._every)

    def _end(self) -> None:
        if self._ends_at is not None and self.reports >= self._ends_at:
            raise AllMeasured(0)

    def _marked(self, profile: Profile) -> Profile:
        """Return the profile, with a word where it is of a real program on a simulated board."""
        if not (self._device.simulated and (self._loop.real or self._pace.used)):
            return profile
        if not self._warned:
            self._warned = True
            logger.warning("%s is simulated, so these profiles are of %s", self._device.name, WORTH)
        return replace(profile, extra={**profile.extra, "worth": WORTH})
