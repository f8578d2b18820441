"""Measuring while somebody else's loop trains."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar, final

from powertrain.devices import AbstractLiveDevice
from powertrain.errors import MissingKnobError
from powertrain.planning import ModeSource
from powertrain.profiling._measure import Subject
from powertrain.profiling._options import RunOptions
from powertrain.profiling._run import check_knobs, run_modes
from powertrain.records import PowerMode, Profile
from powertrain.space import SOFTWARE_KNOBS

__all__ = ["AllMeasured", "Loop", "ProfilingSession", "measured"]

Batch = TypeVar("Batch")


class AllMeasured(SystemExit):
    """Every mode has been measured, and the training was only run for that."""


def _nothing() -> None:
    pass


def _no_threads(cores: int) -> None:
    del cores


def _no_description() -> Mapping[str, str]:
    return {}


@final
@dataclass(frozen=True, kw_only=True)
class Loop:
    """Somebody else's training, as far as a session has to know it."""

    workload: str
    """Name under which profiles are kept."""
    synchronise: Callable[[], None] = _nothing
    """Waits until the device has done all that it was given."""
    set_threads: Callable[[int], None] = _no_threads
    """Told the number of cores of each mode that has `cpu_cores`."""
    description: Callable[[], Mapping[str, str]] = _no_description
    """Returns what profiles say of the training."""
    stop: bool = False
    """Whether to end the training with `AllMeasured` when no more modes are asked for."""


@final
class ProfilingSession:
    """Measures modes while somebody else's loop trains; the loop reports each minibatch.

    `powertrain.measured` does that around an iterable of minibatches. Whatever else trains (a framework's
    callback) needs four calls: `start` before a minibatch, `step` after each, `pause` where something else
    than training follows, and `close` at the end.
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
            if "cpu_cores" in mode:
                loop.set_threads(int(mode["cpu_cores"]))
            return Subject(workload=loop.workload, description=loop.description())

        self._loop, self._keep = loop, keep
        self._run = run_modes(device, loop.workload, source, prepare, options or RunOptions())
        self._started = self._paused = False
        self.finished = False
        """Whether no more modes are measured: the loop goes on untouched."""

    def start(self) -> None:
        """Begin to measure, or go on after a pause: the time since the last minibatch does not count."""
        if not self.finished:
            self._paused = False
            self._advance(False if self._started else None)

    def step(self) -> None:
        """Report that a minibatch has been trained since the last call.

        The first one, and the first after a pause, only starts the measuring: when it began is not known.
        """
        if self.finished:
            return
        self._loop.synchronise()
        if self._paused or not self._started:
            self.start()
        else:
            self._advance(True)

    def pause(self) -> None:
        """Report that something else than training follows: an evaluation, or the end of an epoch."""
        self._paused = True

    def close(self) -> None:
        """Give the device back, whatever is unfinished; closing twice is harmless."""
        self.finished = True
        self._run.close()

    def _advance(self, sent: bool | None) -> None:
        self._started = True
        try:
            profile = self._run.send(sent)
            while profile is not None:
                self._keep(profile)
                profile = self._run.send(None)
        except StopIteration:
            self.finished = True
            if self._loop.stop:
                raise AllMeasured(0) from None

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


def measured(batches: Iterable[Batch]) -> Generator[Batch, None, None]:
    """Yield the minibatches of a training loop, and let PowerTrain measure what the loop does with them.

    ```python
    for batch in pt.measured(loader):
        train(batch)
    ```

    Without anything that measures (`powertrain profile train.py`, or `powertrain.measuring`) the minibatches
    pass untouched, so the line can stay. While measuring, the mode of the device changes from time to
    time between two minibatches; what is learnt does not. Time between two loops, for an evaluation say, does
    not count.
    """
    session = _ACTIVE.get()
    if session is None:
        yield from batches
        return
    session.start()
    for batch in batches:
        yield batch
        session.step()
