"""Tuning whatever trains in this process, while it trains."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar, final

from typing_extensions import Unpack

from powertrain.dataset import AbstractStore, open_store
from powertrain.devices import AbstractLiveDevice, live
from powertrain.errors import PowerTrainError, WorkloadError
from powertrain.profiling import (
    Driver,
    LoopSession,
    RunOptions,
    Session,
    active_session,
    check_software,
    prepare_job,
    stand_in,
    tune_modes,
)
from powertrain.workflow._joins import open_device
from powertrain.workflow._profiling import following, loop_here
from powertrain.workflow._program import Program
from powertrain.workflow._ranks import rank_here
from powertrain.workflow._tune_options import TuneKeywords, TuneOptions
from powertrain.workflow._tune_report import TuneReport
from powertrain.workflow._tuning import Tuning
from powertrain.workloads import Job

__all__ = ["TuningHandle", "tune", "tune_job", "tune_script", "tuned"]

Batches = TypeVar("Batches", bound=Iterable[Any])


@final
class TuningHandle:
    """Tells what becomes of a tuning."""

    def __init__(self, tuning: Tuning | None = None) -> None:
        self._tuning = tuning

    def report(self) -> TuneReport | None:
        """Return what became of it so far; None where another process, or another session, has it in hand."""
        return None if self._tuning is None else self._tuning.report()


@contextmanager
def tune(**how: Unpack[TuneKeywords]) -> Generator[TuningHandle]:
    """Tune the training that loops over `powertrain.measured`, or calls `powertrain.step`, meanwhile.

    The first minibatches are the trials, and the rest runs in the best mode that was itself measured to keep
    the limits. When the context ends, however it does, the device is as it was found. The minibatches, their
    order and the random state are untouched.

    ```python
    with pt.tune(max_power_w=30) as tuning:
        for batch in pt.measured(loader):
            train(batch)
    print(tuning.report())
    ```

    Where something measures already (`powertrain profile`, `powertrain tune`, an outer context) that goes on,
    and this changes nothing. Of several processes that `torchrun` started, the first sets the device and the
    others follow; all have to enter the context.

    Args:
        how: The goal and the rest, as keywords: `max_power_w`, `max_time_ms`, `max_energy_j`, `objective`
            (`"time"`, `"energy"`, `"power"`, `"edp"` or `"front"`), `risk`, `hard_limit_w`, and the fields of
            `powertrain.workflow.TuneOptions`: `device`, `references`, `store`, `name`, `trials`,
            `minibatches`, `then`, `seed`, `say` and more.

    Yields:
        What tells how it goes.

    Raises:
        TypeError, ValueError: A keyword makes no sense.
        DeviceError: Somebody else holds the device, or it lacks the sensor that the goal needs.
    """
    options = TuneOptions.of(how)
    if active_session() is not None:
        yield TuningHandle()
        return
    if rank_here().follows:
        with following().active():
            yield TuningHandle()
        return
    with dying_as_before(), _opened(options, _program()) as (tuning, session), session.active():
        yield TuningHandle(tuning)


def tuned(batches: Batches, *, every: int = 1, **how: Unpack[TuneKeywords]) -> Batches:
    """Stand in for a loader, and train in the best mode that keeps the limits.

    ```python
    for epoch in range(epochs):
        for batch in pt.tuned(loader, max_power_w=30):
            train(batch)
    ```

    The stand-in passes for the loader, as that of `powertrain.measured` does. The first loop over it opens
    the device; the first minibatches are the trials; the rest of the program runs in the best mode that was
    itself measured to keep the limits. The device is restored when the program ends, whatever ends it; to
    have it restored earlier use `powertrain.tune`. What is learnt, and the exit code, are the same.

    A program has one device and one tuning: the first loader that is drawn from begins it, and others report
    to it. Under `powertrain profile` or `powertrain tune` this is `powertrain.measured`.

    Args:
        batches: A loader, or any other iterable.
        every: How many minibatches make a step of the optimiser, where gradients are accumulated.
        how: The goal and the rest, as for `powertrain.tune`.

    Raises:
        TypeError: It cannot be iterated over, or there is no such keyword.
        ValueError: A value makes no sense.
    """
    return stand_in(batches, every=every, session=_OfProgram(TuneOptions.of(how)))


@contextmanager
def tune_script(program: Program, options: TuneOptions) -> Generator[tuple[Tuning, Session]]:
    """Get ready to tune a training program while it runs; the caller runs it within the context.

    Args:
        program: What will be run; its loop goes over `powertrain.measured`, or calls `powertrain.step`.
        options: How it is tuned.

    Yields:
        What directs the trials and says what became of them, and what the program reports to.

    Raises:
        UnknownNameError: There is no such program, or device.
        DeviceError, MissingKnobError: As for `tune`.
    """
    program.check()
    with _opened(options, program, real=True) as (tuning, session), session.active():
        yield tuning, session


def tune_job(
    workload: str | Job, options: TuneOptions, *, minibatches: int, data: Path | None = None
) -> Generator[Tuning]:
    """Train so many minibatches of a workload, and tune it meanwhile.

    On a simulated board this shows what tuning does, in no time.

    Args:
        workload: One of the device's, or a job (`powertrain.workload` makes one of a function).
        options: How it is tuned.
        minibatches: How many are trained.
        data: A folder of images or a text file to train on, for built-in workloads.

    Yields:
        What says how it goes: at the beginning, and after each trial.

    Raises:
        DeviceError, MissingKnobError: As for `tune`.
        UnknownNameError: The device lacks the workload.
        WorkloadError: The training failed.
    """
    device = _device(options)
    how = RunOptions(procedure=options.procedure)
    with ExitStack() as stack:
        store = stack.enter_context(_store(options))
        job = device.job(workload, data=data) if isinstance(workload, str) else workload
        stack.enter_context(job)
        tuning = Tuning(device, options.name or job.workload, options, store)
        check_software(job, tuning.knobs)
        run = tune_modes(device, tuning.workload, tuning, prepare_job(job), how, options.watching)
        stack.callback(run.close)
        driver = Driver(run, job, most_minibatches=minibatches)
        tuning.attach(minibatches=lambda: driver.minibatches, paused_s=lambda: 0.0)
        yield tuning
        try:
            for profile in driver.profiles():
                tuning.keep(profile)
                yield tuning
        except WorkloadError:
            raise
        except PowerTrainError as error:
            run.close()
            tuning.failed(error)
        while driver.minibatches < minibatches:  # nothing is held, and the training goes on
            driver.train()


@contextmanager
def _opened(
    options: TuneOptions, program: Program | None, *, real: bool = False
) -> Generator[tuple[Tuning, LoopSession]]:
    """Open the device and the store, and get ready for a training that reports its minibatches."""
    with ExitStack() as stack:
        device = _device(options)
        with device.reserved():
            pass  # whoever else holds it is met before the training begins
        workload = options.name or (program.name if program is not None else "training")
        origin = {} if program is None else program.description()
        store = stack.enter_context(_store(options))
        tuning = Tuning(device, workload, options, store, origin=origin)
        how = RunOptions(procedure=options.procedure)
        session = LoopSession(
            device,
            loop_here(workload, real=real),
            lambda prepare: tune_modes(device, workload, tuning, prepare, how, options.watching),
            knobs=tuning.knobs,
            keep=tuning.keep,
            failed=tuning.failed,
        )
        tuning.attach(minibatches=lambda: session.minibatches, paused_s=lambda: session.paused_s)
        yield tuning, session


def _device(options: TuneOptions) -> AbstractLiveDevice:
    given = options.device
    return live(open_device(given) if isinstance(given, str) else given)


@contextmanager
def _store(options: TuneOptions) -> Generator[AbstractStore]:
    """Open the store; one that was given open stays so."""
    if isinstance(options.store, AbstractStore):
        yield options.store
        return
    with open_store(options.store) as store:
        yield store


def _program() -> Program | None:
    """Return the program that this process runs, None where it is not a file (a notebook, a prompt)."""
    path = sys.argv[0] if sys.argv else ""
    return Program(target=path, arguments=tuple(sys.argv[1:])) if Path(path).is_file() else None


@contextmanager
def dying_as_before() -> Generator[None]:
    """Have a signal that ends this process by default still do so, once the device is restored.

    Whoever holds a mode would raise an exception instead, and the program end with another exit code.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    number_of = (signal.SIGTERM, signal.SIGHUP)
    changed = [number for number in number_of if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, _die)
    try:
        yield
    finally:
        for number in changed:
            if signal.getsignal(number) is _die:  # the program may have set one of its own meanwhile
                signal.signal(number, signal.SIG_DFL)


def _die(number: int, frame: FrameType | None) -> None:
    del frame
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


@final
class _OfProgram:
    """What a stand-in reports to: the one tuning of the program, which the first draw begins."""

    def __init__(self, options: TuneOptions) -> None:
        self._options = options

    def __call__(self) -> Session | None:
        active = active_session()
        if active is not None:
            return active
        if not _OPENED:
            _OPENED.append(_Open(self._options))
        opened = _OPENED[0]
        return opened.session if opened.process == os.getpid() else None  # a forked process trains as it is


@final
class _Open:
    """The tuning of the program: it ends with it."""

    def __init__(self, options: TuneOptions) -> None:
        self.process, self._stack = os.getpid(), ExitStack()
        with self._stack as stack:
            self.session: Session
            if rank_here().follows:
                self.session = following()
            else:
                stack.enter_context(dying_as_before())
                _, self.session = stack.enter_context(_opened(options, _program()))
            stack.enter_context(self.session.active())
            self._stack = stack.pop_all()
        atexit.register(self.close)

    def close(self) -> None:
        """Restore the device; in a process that was forked, do nothing."""
        if self.process == os.getpid():
            self._stack.close()


_OPENED: list[_Open] = []
"""The tuning of this program, once it has begun."""
