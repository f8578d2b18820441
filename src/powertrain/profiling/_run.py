"""Measuring a workload in some modes, one after the other, on a device that can be held and read."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Generator, Sequence
from typing import final

from powertrain.devices import AbstractLiveDevice
from powertrain.errors import (
    DeviceError,
    MissingKnobError,
    UnreachableModeError,
    WorkloadError,
    WorkloadMemoryError,
)
from powertrain.planning import ModeSource, as_source
from powertrain.profiling._measure import Steps, Subject, measure
from powertrain.profiling._options import Progress, RunOptions
from powertrain.profiling._patience import Patience
from powertrain.profiling._procedure import Procedure
from powertrain.records import ModeTable, PowerMode, Profile
from powertrain.space import SOFTWARE_KNOBS
from powertrain.workloads import Job

__all__ = [
    "Driver",
    "Prepare",
    "Run",
    "check_knobs",
    "check_software",
    "one_mode",
    "prepare_job",
    "profile_modes",
    "run_modes",
]

logger = logging.getLogger(__name__)

MOST_FAILURES = 3
"""Modes one after the other whose power could not be read, after which it is the sensor that is at fault."""

Run = Generator["Profile | int | None", "bool | None", None]
"""Yields a finished profile, or asks for training; then it is sent whether that was done.

None asks for a minibatch that the device has finished when the answer is sent; a number for so many of them,
and nobody waits for the device.
"""
Prepare = Callable[["PowerMode | None"], Subject]
"""Gets a training ready for a mode that is held (None: none is), and says what is measured."""


def profile_modes(
    device: AbstractLiveDevice,
    workload: str | Job,
    modes: ModeTable | ModeSource,
    *,
    procedure: Procedure | None = None,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> Generator[Profile, None, None]:
    """Measure a workload in one mode after the other; yield each profile as soon as it is finished.

    Each mode is held while it is measured. The device is restored however the run ends, even if the caller
    stops asking or presses Ctrl-C. If the device does not take a mode, or if its minibatches do not fit into
    memory, the result is a flagged profile without numbers.

    Args:
        device: What is measured.
        workload: One of the device's, or a job that is ready; it is closed at the end.
        modes: `(n, n_knobs)` modes of the device, measured in their order; or what says which comes next.
        procedure: How; as much as the precision asks for, by default.
        progress: Told about every mode.
        patience: Ends a minibatch that hangs; the usual limit if None.

    Raises:
        UnknownNameError, MissingKnobError, DeviceError: The device lacks the workload, a knob or a mode.
        WorkloadError: The training failed; what was finished has been yielded.
    """
    source = as_source(modes)
    check_knobs(device, source.knobs)
    with device.job(workload) if isinstance(workload, str) else workload as job:
        check_software(job, source.knobs)
        options = RunOptions(procedure=procedure, progress=progress)
        run = run_modes(device, job.workload, source, prepare_job(job), options)
        patience = patience or options.patience(job.workload)
        try:
            with patience.watching():
                for profile in Driver(run, job, goes_on=patience.goes_on).profiles():
                    patience.rests()
                    yield profile
                    patience.goes_on()
        finally:
            run.close()


def prepare_job(job: Job) -> Prepare:
    """Return what gets a job ready for a mode."""

    def prepare(mode: PowerMode | None) -> Subject:
        job.prepare({} if mode is None else mode)
        return Subject(
            workload=job.workload,
            warm_up_minibatches=job.warm_up_minibatches,
            units_per_minibatch=job.units_per_minibatch,
            description=job.description(),
        )

    return prepare


@final
class Driver:
    """Trains a job whenever a run asks for it."""

    def __init__(
        self,
        run: Run,
        job: Job,
        *,
        most_minibatches: float = math.inf,
        goes_on: Callable[[], None] = lambda: None,
    ) -> None:
        """Take a run and a job that is ready; the training ends after so many minibatches.

        `goes_on` is called before and after each.
        """
        self._run, self._job, self._most, self._goes_on = run, job, most_minibatches, goes_on
        self.minibatches = 0
        """That were trained so far."""

    def train(self) -> None:
        """Train a minibatch."""
        self._goes_on()
        self._job.step()
        self._goes_on()
        self.minibatches += 1

    def profiles(self) -> Generator[Profile, None, None]:
        """Train, and yield the profiles of the run, until it or the training ends."""
        trained: bool | None = None
        while True:
            try:
                wanted = self._run.send(trained)
                while not isinstance(wanted, Profile):
                    try:
                        for _ in range(wanted or 1):
                            if self.minibatches >= self._most:
                                return
                            self.train()
                    except WorkloadError as error:
                        wanted = self._run.throw(error)
                    else:
                        wanted = self._run.send(True)
            except StopIteration:
                return
            yield wanted
            trained = None


def run_modes(
    device: AbstractLiveDevice, workload: str, source: ModeSource, prepare: Prepare, options: RunOptions
) -> Run:
    """Measure what the source asks for; whoever runs this trains when it is asked to.

    Of the options it heeds how a mode is measured and who is told. A source is told of a profile after the
    caller has kept it, so that what a source knows is never more than what outlives a crash.
    """
    how, failures, done = options.procedure or Procedure(), 0, 0
    with device.reserved():
        while (mode := source.ask()) is not None:
            if options.progress is not None:
                options.progress(done, done + 1 + source.left, f"{workload} {mode}")
            profile = yield from one_mode(device, workload, mode, prepare, how)
            yield profile
            source.tell(profile)
            done += 1
            failures = failures + 1 if "sensor_failed" in profile.flags else 0
            if failures == MOST_FAILURES:
                raise DeviceError(
                    f"the power sensor of {device.name} failed in {failures} modes one after the other "
                    f"({profile.extra.get('failed_readings', '')}): see to it, then go on"
                )


def one_mode(
    device: AbstractLiveDevice, workload: str, mode: PowerMode, prepare: Prepare, how: Procedure
) -> Steps:
    """Hold a mode and measure in it; what cannot be measured gives a flagged profile without numbers."""
    try:
        with device.hold(mode):
            return (yield from measure(device, prepare(mode), mode, how))
    except UnreachableModeError as error:
        return _without_numbers(device, workload, mode, "unreachable", error)
    except WorkloadMemoryError as error:
        return _without_numbers(device, workload, mode, "out_of_memory", error)


def _without_numbers(
    device: AbstractLiveDevice, workload: str, mode: PowerMode, flag: str, error: Exception
) -> Profile:
    logger.warning("%s: %s", mode, error)
    extra = {"reason": str(error), **device.environment()}
    return Profile(device=device.name, workload=workload, mode=mode, flags=(flag,), extra=extra)


def check_knobs(device: AbstractLiveDevice, knobs: Sequence[str]) -> None:
    """Refuse modes whose knobs are not the device's."""
    if set(knobs) != set(device.space.names):
        raise MissingKnobError(
            f"the modes have the knobs {', '.join(knobs)}; {device.name} has "
            f"{', '.join(device.space.names)}: give exactly these"
        )


def check_software(job: Job, knobs: Sequence[str]) -> None:
    """Refuse knobs that nobody would follow."""
    lacking = [name for name in knobs if name in SOFTWARE_KNOBS and name not in job.knobs]
    if lacking:
        able = f"only {', '.join(job.knobs)}" if job.knobs else "no software knob"
        raise MissingKnobError(
            f"{job.workload} does not follow the knob {', '.join(lacking)}: it follows {able}; "
            "leave it out of the device, or let the workload take it"
        )
