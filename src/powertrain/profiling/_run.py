"""Measuring a workload in some modes, one after the other, on a device that can be held and read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence

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
from powertrain.profiling._procedure import Procedure
from powertrain.records import ModeTable, PowerMode, Profile
from powertrain.space import SOFTWARE_KNOBS
from powertrain.workloads import Job

__all__ = ["Prepare", "Run", "check_knobs", "profile_modes", "run_modes"]

logger = logging.getLogger(__name__)

MOST_FAILURES = 3
"""Modes one after the other whose power could not be read, after which it is the sensor that is at fault."""

Run = Generator["Profile | None", "bool | None", None]
"""Yields a finished profile, or None for "train a minibatch"; then it is sent whether that was done."""
Prepare = Callable[[PowerMode], Subject]
"""Gets a training ready for a mode that is held, and says what is measured."""


def profile_modes(
    device: AbstractLiveDevice,
    workload: str | Job,
    modes: ModeTable | ModeSource,
    *,
    procedure: Procedure | None = None,
    progress: Progress | None = None,
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

    Raises:
        UnknownNameError, MissingKnobError, DeviceError: The device lacks the workload, a knob or a mode.
        WorkloadError: The training failed; what was finished has been yielded.
    """
    source = as_source(modes)
    check_knobs(device, source.knobs)
    with device.job(workload) if isinstance(workload, str) else workload as job:
        _check_software(job, source.knobs)

        def prepare(mode: PowerMode) -> Subject:
            job.prepare(mode)
            return Subject(
                workload=job.workload,
                warm_up_minibatches=job.warm_up_minibatches,
                units_per_minibatch=job.units_per_minibatch,
                description=job.description(),
            )

        options = RunOptions(procedure=procedure, progress=progress)
        run = run_modes(device, job.workload, source, prepare, options)
        try:
            yield from _driven(run, job)
        finally:
            run.close()


def _driven(run: Run, job: Job) -> Generator[Profile, None, None]:
    """Train a minibatch whenever the run asks for one; yield its profiles."""
    trained: bool | None = None
    while True:
        try:
            profile = run.send(trained)
            while profile is None:
                try:
                    job.step()
                except WorkloadError as error:
                    profile = run.throw(error)
                else:
                    profile = run.send(True)
        except StopIteration:
            return
        yield profile
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
            profile = yield from _one_mode(device, workload, mode, prepare, how)
            yield profile
            source.tell(profile)
            done += 1
            failures = failures + 1 if "sensor_failed" in profile.flags else 0
            if failures == MOST_FAILURES:
                raise DeviceError(
                    f"the power sensor of {device.name} failed in {failures} modes one after the other "
                    f"({profile.extra.get('failed_readings', '')}): see to it, then go on"
                )


def _one_mode(
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


def _check_software(job: Job, knobs: Sequence[str]) -> None:
    """Refuse knobs that nobody would follow."""
    lacking = [name for name in knobs if name in SOFTWARE_KNOBS and name not in job.knobs]
    if lacking:
        able = f"only {', '.join(job.knobs)}" if job.knobs else "no software knob"
        raise MissingKnobError(
            f"{job.workload} does not follow the knob {', '.join(lacking)}: it follows {able}; "
            "leave it out of the device, or let the workload take it"
        )
