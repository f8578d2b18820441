"""Measuring while somebody else's loop trains."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar, final

from powertrain.devices import AbstractLiveDevice
from powertrain.errors import MissingKnobError
from powertrain.profiling._measure import Subject
from powertrain.profiling._procedure import Procedure
from powertrain.profiling._run import Progress, check_knobs, run_modes
from powertrain.records import ModeTable, PowerMode, Profile
from powertrain.space import SOFTWARE_KNOBS

__all__ = ["AllMeasured", "ProfilingSession", "measured"]

Batch = TypeVar("Batch")


class AllMeasured(SystemExit):
    """Every mode has been measured, and the training was only run for that."""


@final
class ProfilingSession:
    """Measures modes while somebody else's loop trains; the loop reports each minibatch.

    `powertrain.measured` does that around an iterable of minibatches.
    """

    def __init__(
        self,
        device: AbstractLiveDevice,
        workload: str,
        modes: ModeTable,
        *,
        keep: Callable[[Profile], None],
        procedure: Procedure | None = None,
        progress: Progress | None = None,
        synchronise: Callable[[], None] | None = None,
        set_threads: Callable[[int], None] | None = None,
        description: Callable[[], Mapping[str, str]] | None = None,
        stop: bool = False,
    ) -> None:
        """Get ready; nothing is changed before the first minibatch.

        Args:
            device: What is measured.
            workload: Name under which profiles are kept.
            modes: `(n, n_knobs)` modes of the device; none of its knobs may be a software knob.
            keep: Is given each profile as soon as it is finished.
            procedure: How; as much as the precision asks for, by default.
            progress: Told about every mode.
            synchronise: Waits until the device has done all that it was given.
            set_threads: Told the number of cores of each mode that has `cpu_cores`.
            description: Returns what profiles say of the training.
            stop: Whether to end the training with `AllMeasured` when every mode has been measured.
        """
        check_knobs(device, modes)
        if software := [name for name in modes.knobs if name in SOFTWARE_KNOBS]:
            raise MissingKnobError(
                f"a training loop of its own does not follow the knob {', '.join(software)}: leave it out of "
                "the device, or give a function that makes the training (FILE.py:FUNCTION)"
            )

        def prepare(mode: PowerMode) -> Subject:
            if set_threads is not None and "cpu_cores" in mode:
                set_threads(int(mode["cpu_cores"]))
            return Subject(workload=workload, description=description() if description else {})

        self._keep, self._synchronise = keep, synchronise or (lambda: None)
        self._run = run_modes(device, workload, modes, procedure or Procedure(), prepare, progress)
        self._stop = stop
        self.started = self.finished = False

    def resume(self) -> None:
        """Begin to measure, or go on after a pause: the time since the last minibatch does not count."""
        if not self.finished:
            self._advance(False if self.started else None)

    def minibatch(self) -> None:
        """Report that a minibatch has been trained since the last call."""
        if not self.finished:
            self._synchronise()
            self._advance(True)

    def close(self) -> None:
        """Give the device back, whatever is unfinished."""
        self.finished = True
        self._run.close()

    def _advance(self, sent: bool | None) -> None:
        self.started = True
        try:
            profile = self._run.send(sent)
            while profile is not None:
                self._keep(profile)
                profile = self._run.send(None)
        except StopIteration:
            self.finished = True
            if self._stop:
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
    session.resume()
    for batch in batches:
        yield batch
        session.minibatch()
