"""Measuring while somebody else's loop trains."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import final

from powertrain.devices import AbstractLiveDevice
from powertrain.errors import MissingKnobError
from powertrain.planning import ModeSource
from powertrain.profiling._measure import Subject
from powertrain.profiling._options import RunOptions
from powertrain.profiling._pace import Pace
from powertrain.profiling._run import check_knobs, run_modes
from powertrain.profiling._turns import Drawing, Move, Turns
from powertrain.records import PowerMode, Profile
from powertrain.space import SOFTWARE_KNOBS

__all__ = ["AllMeasured", "Loop", "ProfilingSession", "active_session"]

logger = logging.getLogger(__name__)

WORTH = "a real program on a simulated board: the time is this machine's in every mode, the power is at rest"
"""What the profiles of a real program on a simulated board say of themselves."""


class AllMeasured(SystemExit):
    """Every mode has been measured, and the training was only run for that."""


def _nothing() -> None:
    pass


def _no_threads(cores: int) -> None:
    del cores


def _no_description() -> Mapping[str, str]:
    return {}


def _never() -> bool:
    return False


@final
@dataclass(frozen=True, kw_only=True)
class Loop:
    """Somebody else's training, as far as a session has to know it."""

    workload: str
    """Name under which profiles are kept."""
    synchronise: Callable[[], None] = _nothing
    """Waits until the device has done all that it was given."""
    evaluates: Callable[[], bool] = _never
    """Tells whether gradients are switched off now, as they are in an evaluation."""
    set_threads: Callable[[int], None] = _no_threads
    """Told the number of cores of each mode that has `cpu_cores`, unless the device is simulated."""
    restore_threads: Callable[[], None] = _nothing
    """Lets the training compute with as many threads as before, when nothing is measured any more."""
    description: Callable[[], Mapping[str, str]] = _no_description
    """Returns what profiles say of the training."""
    real: bool = False
    """Whether it is known to be a real program, which does not know of a simulated board."""
    stop: bool = False
    """Whether to end the training with `AllMeasured` when no more modes are asked for."""


@final
class ProfilingSession:
    """Measures modes while somebody else's loop trains; the loop reports each minibatch.

    `powertrain.measured` does that around an iterable of minibatches. Whatever else trains (a framework's
    callback) needs four calls: `start` before a minibatch, `step` after each, `pause` where something else
    than training follows, and `close` at the end, whatever ended the training.
    """

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
        self._pace, self._turns, self._parts = Pace(device.clock), Turns(loop.evaluates), 0
        self._started = self._paused = self._warned = False
        self.calls = Drawing()
        """Stands for the loop that calls `powertrain.step`."""
        self.finished = False
        """Whether no more modes are measured: the loop goes on untouched."""

    def start(self) -> None:
        """Begin to measure, or go on after a pause: the time since the last minibatch does not count."""
        if self.finished:
            return
        self._paused, self._parts = False, 0
        self._advance(False if self._started else None)

    def step(self, *, every: int = 1) -> None:
        """Report that a minibatch has been trained since the last call.

        The first one, and the first after a pause, only starts the measuring: when it began is not known.

        Args:
            every: How many calls make a minibatch, where gradients are accumulated over several.
        """
        if self.finished:
            return
        if self._paused or not self._started:
            self._loop.synchronise()
            self.start()
            return
        self._parts += 1
        if self._parts < every:
            return
        self._parts = 0
        self._loop.synchronise()
        self._pace.catch_up()
        self._advance(True)

    def pause(self) -> None:
        """Report that something else than training follows, or has just been done: an evaluation, say."""
        self._paused = True

    def close(self) -> None:
        """Give the device back, whatever is unfinished; closing twice is harmless."""
        self.finished = True
        self._run.close()
        self._loop.restore_threads()

    def drawn(self, loop: Drawing, *, every: int = 1) -> None:
        """Report that one of several loops draws its next minibatch (see `Turns` for which one counts)."""
        if self.finished:
            return
        move = self._turns.draw(loop)
        if move is Move.START:
            self.start()
        elif move is Move.STEP:
            self.step(every=every)
        elif move is Move.PAUSE:
            self.pause()

    def ended(self, loop: Drawing) -> None:
        """Report that a loop has come to its end: what follows is not its minibatch."""
        if self._turns.end(loop):
            self.pause()

    def _advance(self, sent: bool | None) -> None:
        self._started = True
        try:
            profile = self._run.send(sent)
            while profile is not None:
                self._keep(self._marked(profile))
                profile = self._run.send(None)
        except StopIteration:
            self.finished = True
            self._loop.restore_threads()
            if self._loop.stop:
                raise AllMeasured(0) from None
        self._pace.mark()

    def _marked(self, profile: Profile) -> Profile:
        """Return the profile, with a word where it is of a real program on a simulated board."""
        if not (self._device.simulated and (self._loop.real or self._pace.used)):
            return profile
        if not self._warned:
            self._warned = True
            logger.warning("%s is simulated, so these profiles are of %s", self._device.name, WORTH)
        return replace(profile, extra={**profile.extra, "worth": WORTH})

    @contextmanager
    def active(self) -> Generator[None]:
        """Let `measured` report to this session while the context lasts; then give the device back."""
        token = _ACTIVE.set(self)
        try:
            yield
        finally:
            _ACTIVE.reset(token)
            self.close()


_ACTIVE: ContextVar[ProfilingSession | None] = ContextVar("powertrain_session", default=None)


def active_session() -> ProfilingSession | None:
    """Return what measures now in this context, None if nothing does."""
    return _ACTIVE.get()
