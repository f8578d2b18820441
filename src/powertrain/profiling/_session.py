"""Measuring while somebody else's loop trains."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import final

from typing_extensions import override

from powertrain.devices import AbstractLiveDevice
from powertrain.errors import MissingKnobError
from powertrain.planning import ModeSource
from powertrain.profiling._measure import Subject
from powertrain.profiling._options import RunOptions
from powertrain.profiling._pace import Pace
from powertrain.profiling._reports import AllMeasured, Loop, Session
from powertrain.profiling._run import check_knobs, run_modes
from powertrain.records import PowerMode, Profile
from powertrain.space import SOFTWARE_KNOBS

__all__ = ["ProfilingSession"]

logger = logging.getLogger(__name__)

WORTH = "a real program on a simulated board: the time is this machine's in every mode, the power is at rest"
"""What the profiles of a real program on a simulated board say of themselves."""


@final
class ProfilingSession(Session):
    """Measures modes while somebody else's loop trains; the loop reports each minibatch."""

    def __init__(
        self,
        device: AbstractLiveDevice,
        loop: Loop,
        source: ModeSource,
        *,
        keep: Callable[[Profile], None],
        options: RunOptions | None = None,
    ) -> None:
        """Get ready; nothing is changed before the first minibatch.

        Args:
            device: What is measured.
            loop: What is trained.
            source: Says which mode comes next; none of its knobs may be a software knob.
            keep: Is given each profile as soon as it is finished.
            options: How a mode is measured, and who is told.

        Raises:
            MissingKnobError: The knobs are not the device's, or one is the training's own.
        """
        super().__init__(loop.evaluates)
        check_knobs(device, source.knobs)
        if software := [name for name in source.knobs if name in SOFTWARE_KNOBS]:
            raise MissingKnobError(
                f"a training loop of its own does not follow the knob {', '.join(software)}: leave it out of "
                "the device, or give a function that makes the training (FILE.py:FUNCTION)"
            )

        def prepare(mode: PowerMode) -> Subject:
            # A real program is not to compute with as many threads as a board has that is none.
            if "cpu_cores" in mode and not device.simulated:
                loop.set_threads(int(mode["cpu_cores"]))
            return Subject(workload=loop.workload, description=loop.description())

        self._device, self._loop, self._keep = device, loop, keep
        self._run = run_modes(device, loop.workload, source, prepare, options or RunOptions())
        self._pace, self._parts, self._every = Pace(device.clock), 0, 1
        self._started = self._paused = self._warned = self._finished = False
        self._ends_at: int | None = None

    @override
    def pause(self) -> None:
        self._paused = True

    @override
    def close(self) -> None:
        self._finished, self._ends_at = True, None
        self._run.close()
        self._loop.restore_threads()

    @override
    def _start(self) -> None:
        if not self._finished:
            self._paused, self._parts = False, 0
            self._advance(False if self._started else None)
        self._end()

    @override
    def _step(self, every: int) -> None:
        self._every = every
        if self._finished:
            self._end()
            return
        if self._paused or not self._started:
            self._loop.synchronise()
            self._start()
            return
        self._parts += 1
        if self._parts < every:
            return
        self._parts = 0
        self._loop.synchronise()
        self._pace.catch_up()
        self._advance(True)
        self._end()

    def _advance(self, sent: bool | None) -> None:
        self._started = True
        try:
            profile = self._run.send(sent)
            while profile is not None:
                self._keep(self._marked(profile))
                profile = self._run.send(None)
        except StopIteration:
            self._finished = True
            self._loop.restore_threads()
            if self._loop.stop:
                self._ends_at = self._loop.ends_at(self.reports, self._every)
        self._pace.mark()

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
