"""Measuring workloads on a live device, into a store."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from powertrain.dataset import AbstractStore
from powertrain.devices import AbstractDevice, live
from powertrain.errors import PowerTrainError, UnknownNameError, WorkloadError
from powertrain.planning import order_modes
from powertrain.profiling import AllMeasured, Procedure, ProfilingSession, profile_modes
from powertrain.progress import Progress
from powertrain.records import ModeTable, PowerMode, Profile
from powertrain.workloads import Job, OwnJob, job_name, set_threads, synchronise, torch_description

__all__ = ["Order", "Profiled", "measuring", "missing_modes", "profile", "profile_script", "workload"]

Order = Literal["cheap", "given"]


@final
@dataclass(frozen=True, kw_only=True)
class Profiled:
    """What a profiling run did."""

    workload: str
    measured: int
    """Modes that were measured now."""
    kept: int
    """Modes that the store had already."""
    flagged: int
    """Of those measured, how many carry a flag and are left out of fits."""
    device_s: float
    """Time that the measuring took on the device's clock [s]."""


def profile(
    device: AbstractDevice,
    workload: str | Job,
    modes: ModeTable,
    store: AbstractStore,
    *,
    procedure: Procedure | None = None,
    order: Order = "cheap",
    seed: int = 0,
    again: bool = False,
    retry_flagged: bool = False,
    data: Path | None = None,
    progress: Progress | None = None,
) -> Profiled:
    """Measure a workload in some modes and keep each profile at once.

    A run that was stopped, by whatever means, goes on where it was: modes of which the store has a profile
    are not measured again.

    Args:
        device: A live device; a replay has nothing to measure.
        workload: One of the device's, or a job (`powertrain.workload` makes one of a function).
        modes: `(n, n_knobs)` modes.
        store: Where profiles go.
        procedure: How each mode is measured; as much as the precision asks for, by default.
        order: `"cheap"` saves settling and bounds what the heat of one mode does to the next
            (`powertrain.profiling.order_modes`); `"given"` is that of `modes`.
        seed: Of the order.
        again: Whether to measure what the store has, too, as repeated measurements.
        retry_flagged: Whether to measure modes again of which the store has flagged profiles alone.
        data: A folder of images or a text file to train on, for built-in workloads.
        progress: Told about every mode.

    Raises:
        DeviceError: The device is not live, or lacks a mode.
        UnknownNameError, MissingKnobError: It lacks the workload or a knob.
        WorkloadError: The training failed; what was finished is in the store.
    """
    board = live(device)
    name = job_name(workload) if isinstance(workload, str) else workload.workload
    missing = modes if again else missing_modes(board, name, modes, store, retry_flagged=retry_flagged)
    if order == "cheap":
        missing = missing.take(order_modes(missing, seed=seed))
    measured: list[Profile] = []
    if len(missing):
        job = board.job(workload, data=data) if isinstance(workload, str) else workload
        for done in profile_modes(board, job, missing, procedure=procedure, progress=progress):
            store.add([done])
            measured.append(done)
    return summary(name, measured, kept=len(modes) - len(missing))


def workload(make: Callable[..., Any], *, name: str | None = None) -> Job:
    """Make a workload of a function, for `profile` to train with.

    Args:
        make: Called with those knobs of the mode that it has parameters for: `batch_size`, `loader_workers`,
            `precision`, `compile`. It returns a generator, of which each `next` trains one minibatch, or a
            function, of which each call does. If it has none of these parameters it may be that function
            itself.
        name: Under which its profiles are kept; the function's if None.
    """
    return OwnJob(make, name=name)


@contextmanager
def measuring(
    device: AbstractDevice,
    workload: str,
    modes: ModeTable,
    store: AbstractStore,
    *,
    procedure: Procedure | None = None,
    order: Order = "cheap",
    seed: int = 0,
    again: bool = False,
    retry_flagged: bool = False,
    progress: Progress | None = None,
    stop: bool = False,
) -> Generator[list[Profile]]:
    """Measure what loops over `powertrain.measured` do while the context lasts, into a store.

    ```python
    with pt.measuring(board, "mine", pt.plan(board, 15), store):
        for batch in pt.measured(loader):
            train(batch)
    ```

    Args:
        device: A live device; none of its knobs may be one of the training's own.
        workload: Name under which profiles are kept.
        modes: `(n, n_knobs)` modes.
        store: Where profiles go.
        procedure: How each mode is measured; this and what follows is as for `profile`.
        order: In which order modes are measured.
        seed: Of the order.
        again: Whether to measure what the store has, too.
        retry_flagged: Whether to measure modes again of which the store has flagged profiles alone.
        progress: Told about every mode.
        stop: Whether to end the training with `SystemExit` when every mode has been measured; else it goes
        on,
            in the mode that the device was in before.

    Yields:
        The profiles measured so far, a list that grows.

    Raises:
        DeviceError, MissingKnobError: As for `profile`.
    """
    board = live(device)
    missing = modes if again else missing_modes(board, workload, modes, store, retry_flagged=retry_flagged)
    if order == "cheap":
        missing = missing.take(order_modes(missing, seed=seed))
    measured: list[Profile] = []

    def keep(done: Profile) -> None:
        store.add([done])
        measured.append(done)

    session = ProfilingSession(
        board,
        workload,
        missing,
        keep=keep,
        procedure=procedure,
        progress=progress,
        synchronise=synchronise,
        set_threads=set_threads,
        description=torch_description,
        stop=stop,
    )
    with session.active():
        yield measured


def profile_script(
    device: AbstractDevice,
    script: Path,
    modes: ModeTable,
    store: AbstractStore,
    *,
    arguments: Sequence[str] = (),
    name: str | None = None,
    procedure: Procedure | None = None,
    order: Order = "cheap",
    seed: int = 0,
    again: bool = False,
    retry_flagged: bool = False,
    progress: Progress | None = None,
) -> Profiled:
    """Run a training script whose loop goes over `powertrain.measured`, until every mode has been measured.

    Args:
        device: A live device; none of its knobs may be one of the training's own.
        script: Run as `python script arguments` would.
        modes: `(n, n_knobs)` modes.
        store: Where profiles go.
        arguments: What follows the script.
        name: Under which profiles are kept; the file's if None.
        procedure: How each mode is measured; this and what follows is as for `profile`.
        order: In which order modes are measured.
        seed: Of the order.
        again: Whether to measure what the store has, too.
        retry_flagged: Whether to measure modes again of which the store has flagged profiles alone.
        progress: Told about every mode.

    Raises:
        UnknownNameError: There is no such file.
        WorkloadError: The script failed, or has no loop over `powertrain.measured`.
    """
    if not script.is_file():
        raise UnknownNameError(f"there is no file {script}: give a Python script")
    workload = name or script.name
    kept = 0
    if not again:
        missing = missing_modes(device, workload, modes, store, retry_flagged=retry_flagged)
        kept = len(modes) - len(missing)
        if not len(missing):
            return summary(workload, [], kept=kept)
    before = sys.argv, list(sys.path)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent.resolve()))
    try:
        with measuring(
            device,
            workload,
            modes,
            store,
            procedure=procedure,
            order=order,
            seed=seed,
            again=again,
            retry_flagged=retry_flagged,
            progress=progress,
            stop=True,
        ) as measured:
            _run_script(script)
    finally:
        sys.argv, sys.path[:] = before
    if not measured:
        raise WorkloadError(
            f"{script} ended before a mode was measured: let its loop go over powertrain.measured(...), and "
            "train for longer"
        )
    return summary(workload, measured, kept=kept)


def _run_script(script: Path) -> None:
    try:
        runpy.run_path(str(script), run_name="__main__")
    except AllMeasured:
        return
    except SystemExit as error:
        if error.code not in (None, 0):
            raise WorkloadError(f"{script} ended with exit code {error.code}") from error
    except PowerTrainError:
        raise
    except Exception as error:  # the boundary to code that is not ours
        text = " ".join(str(error).split())[:300]
        raise WorkloadError(f"{script} raised {type(error).__name__}: {text}") from error


def missing_modes(
    device: AbstractDevice,
    workload: str,
    modes: ModeTable,
    store: AbstractStore,
    *,
    retry_flagged: bool = False,
) -> ModeTable:
    """Return the modes of which the store has no profile, or with `retry_flagged` no unflagged one."""
    found = store.profiles(device=device.name, workload=workload)
    known: set[PowerMode] = {seen.mode for seen in found if not (retry_flagged and seen.flags)}
    return modes.take(np.array([mode not in known for mode in modes], dtype=bool))


def summary(workload: str, measured: list[Profile], *, kept: int) -> Profiled:
    """Return what a run did."""
    return Profiled(
        workload=workload,
        measured=len(measured),
        kept=kept,
        flagged=sum(bool(profile.flags) for profile in measured),
        device_s=float(np.nansum([profile.duration_s for profile in measured])),
    )
