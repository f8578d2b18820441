"""Measuring a workload in some modes, one after the other, on a device that can be held and read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator

from powertrain.devices import AbstractLiveDevice
from powertrain.errors import (
    DeviceError,
    MissingKnobError,
    UnreachableModeError,
    WorkloadError,
    WorkloadMemoryError,
)
from powertrain.profiling._measure import Subject, measure
from powertrain.profiling._procedure import Procedure
from powertrain.progress import Progress as Progress
from powertrain.records import ModeTable, PowerMode, Profile
from powertrain.space import SOFTWARE_KNOBS
from powertrain.workloads import Job

__all__ = ["Progress", "check_knobs", "profile_modes", "run_modes"]

logger = logging.getLogger(__name__)


MOST_FAILURES = 3
"""Modes one after the other whose power could not be read, after which it is the sensor that is at fault."""

Run = Generator["Profile | None", "bool | None", None]
"""Yields a finished profile, or None for "train a minibatch"; then it is sent whether that was done."""
Prepare = Callable[[PowerMode], Subject]


def profile_modes(
    device: AbstractLiveDevice,
    workload: str | Job,
    modes: ModeTable,
    *,
    procedure: Procedure | None = None,
    progress: Progress | None = None,
) -> Generator[Profile, None, None]:
    """Measure a workload in each of `modes`, in their order; yield each profile as soon as it is finished.

    Each mode is held while it is measured, and given back on every way out: also when the caller stops
    asking, or presses Ctrl-C. A mode that the device does not take, or whose minibatches do not fit into
    memory, gives a flagged profile without numbers.

    Args:
        device: What is measured.
        workload: One of the device's, or a job that is ready; it is closed at the end.
        modes: `(n, n_knobs)` modes of the device.
        procedure: How; as much as the precision asks for, by default.
        progress: Told about every mode.

    Raises:
        UnknownNameError, MissingKnobError, DeviceError: The device lacks the workload, a knob or a mode.
        WorkloadError: The training failed; what was finished has been yielded.
    """
    how = procedure or Procedure()
    check_knobs(device, modes)
    with device.job(workload) if isinstance(workload, str) else workload as job:
        _check_software(job, modes)

        def prepare(mode: PowerMode) -> Subject:
            job.prepare(mode)
            return Subject(
                workload=job.workload,
                warm_up_minibatches=job.warm_up_minibatches,
                units_per_minibatch=job.units_per_minibatch,
                description=job.description(),
            )

        run = run_modes(device, job.workload, modes, how, prepare, progress)
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
    device: AbstractLiveDevice,
    workload: str,
    modes: ModeTable,
    how: Procedure,
    prepare: Prepare,
    progress: Progress | None,
) -> Run:
    """Measure modes; whoever runs this trains when it is asked to."""
    failures = 0
    with device.reserved():
        for done, mode in enumerate(modes):
            if progress is not None:
                progress(done, len(modes), f"{workload} {mode}")
            try:
                with device.hold(mode):
                    profile = yield from measure(device, prepare(mode), mode, how)
            except UnreachableModeError as error:
                profile = _without_numbers(device, workload, mode, "unreachable", error)
            except WorkloadMemoryError as error:
                profile = _without_numbers(device, workload, mode, "out_of_memory", error)
            yield profile
            failures = failures + 1 if "sensor_failed" in profile.flags else 0
            if failures == MOST_FAILURES:
                raise DeviceError(
                    f"the power sensor of {device.name} failed in {failures} modes one after the other "
                    f"({profile.extra.get('failed_readings', '')}): see to it, then go on"
                )


def _without_numbers(
    device: AbstractLiveDevice, workload: str, mode: PowerMode, flag: str, error: Exception
) -> Profile:
    logger.warning("%s: %s", mode, error)
    extra = {"reason": str(error), **device.environment()}
    return Profile(device=device.name, workload=workload, mode=mode, flags=(flag,), extra=extra)


def check_knobs(device: AbstractLiveDevice, modes: ModeTable) -> None:
    """Refuse modes whose knobs are not the device's."""
    if set(modes.knobs) != set(device.space.names):
        raise MissingKnobError(
            f"the modes have the knobs {', '.join(modes.knobs)}; {device.name} has "
            f"{', '.join(device.space.names)}: give exactly these"
        )


def _check_software(job: Job, modes: ModeTable) -> None:
    """Refuse knobs that nobody would follow."""
    lacking = [name for name in modes.knobs if name in SOFTWARE_KNOBS and name not in job.knobs]
    if lacking:
        able = f"only {', '.join(job.knobs)}" if job.knobs else "no software knob"
        raise MissingKnobError(
            f"{job.workload} does not follow the knob {', '.join(lacking)}: it follows {able}; "
            "leave it out of the device, or let the workload take it"
        )
