"""Measuring workloads on a live device, into a store."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
from typing_extensions import Unpack

from powertrain.dataset import AbstractStore
from powertrain.devices import AbstractDevice, AbstractLiveDevice, live
from powertrain.devices.cpu import run_on
from powertrain.planning import ModeSource
from powertrain.profiling import (
    FollowingSession,
    Loop,
    LoopSession,
    RunKeywords,
    RunOptions,
    Session,
    profile_modes,
    run_modes,
)
from powertrain.records import ModeTable, Profile, sum_of
from powertrain.workflow._ranks import OrdersFile, rank_here
from powertrain.workloads import (
    Job,
    OwnJob,
    TorchThreads,
    evaluates,
    job_name,
    synchronise,
    torch_description,
)

__all__ = ["Profiled", "Record", "following", "loop_here", "measuring", "open_session", "profile", "workload"]


logger = logging.getLogger(__name__)


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
    left: int = 0
    """Modes that are still to be measured, because the training ended before."""


@final
class Record:
    """What a run measures: each profile goes into the store at once, and what is there is not measured."""

    def __init__(
        self,
        device: AbstractDevice,
        workload: str,
        modes: ModeTable | ModeSource,
        store: AbstractStore,
        options: RunOptions,
        *,
        origin: Mapping[str, str] | None = None,
    ) -> None:
        """Look up what the store has, and tell the source of modes.

        Args:
            device: What is measured.
            workload: Name under which profiles are kept.
            modes: Which modes.
            store: Where profiles go.
            options: How the run goes.
            origin: What tells this training from another one of the same name; profiles say it.
        """
        self.workload, self._store, self._origin = workload, store, dict(origin or {})
        self.source = options.source(modes)
        before = store.profiles(device=device.name, workload=workload)
        if self.source.left:
            store.refuse_read_only()
        self._remark_on_others(before)
        rails = device.rails if isinstance(device, AbstractLiveDevice) else ()
        self._remark_on_sums(before, rails)
        self.kept = self.source.recall(options.known(before, rails=rails))
        self.measured: list[Profile] = []

    def keep(self, profile: Profile) -> None:
        """Keep a profile that has just been finished."""
        if self._origin:
            profile = replace(profile, extra={**profile.extra, **self._origin})
        self._store.add([profile])
        self.measured.append(profile)

    def _remark_on_others(self, before: Sequence[Profile]) -> None:
        """Say so where the store has profiles of another training, or of another version, by this name."""
        for profile in before:
            was = {key: profile.extra[key] for key in self._origin if key in profile.extra}
            if was and was != self._origin:
                logger.warning(
                    "profiles of %s are of another training or version of it (%s): give --name, or another "
                    "database, to keep them apart",
                    self.workload,
                    was.get("program", "of the same name"),
                )
                return

    def _remark_on_sums(self, before: Sequence[Profile], rails: Sequence[str]) -> None:
        """Say so where the store has powers that are sums of other rails than the device's are now."""
        others = [profile for profile in before if sum_of(profile) and sum_of(profile) != frozenset(rails)]
        if rails and others:
            logger.warning(
                "the powers of %d profiles of %s in %s are sums of %s; the device now adds %s. They are not "
                "mixed: these modes are measured again, unless the device is opened with the old sum "
                "(?rails=LABEL,LABEL)",
                len(others),
                self.workload,
                self._store.name,
                others[0].extra["power_from"],
                " + ".join(rails),
            )

    def summary(self, *, cut_short: bool = False) -> Profiled:
        """Return what the run did so far; one that was `cut_short` had a mode begun."""
        return Profiled(
            workload=self.workload,
            measured=len(self.measured),
            kept=self.kept,
            flagged=sum(bool(profile.flags) for profile in self.measured),
            device_s=float(np.nansum([profile.duration_s for profile in self.measured])),
            left=self.source.left + 1 if cut_short else 0,
        )


def profile(
    device: AbstractDevice,
    workload: str | Job,
    modes: ModeTable | ModeSource,
    store: AbstractStore,
    *,
    data: Path | None = None,
    options: RunOptions | None = None,
    **changes: Unpack[RunKeywords],
) -> Profiled:
    """Measure a workload in some modes and keep each profile at once.

    A run that was stopped, by whatever means, continues where it was. Modes with a profile in the store are
    not measured again.

    Args:
        device: A live device; a replay has nothing to measure.
        workload: One of the device's, or a job (`powertrain.workload` makes one of a function).
        modes: `(n, n_knobs)` modes, or what says which comes next.
        store: Where profiles go.
        data: A folder of images or a text file to train on, for built-in workloads.
        options: How the run goes; the usual way if None.
        changes: Fields of `RunOptions` that differ, as keywords: `procedure`, `order`, `seed`, `again`,
            `retry_flagged`, `progress`, `step_limit_s`, `given_up`.

    Raises:
        DeviceError: The device is not live, or lacks a mode.
        UnknownNameError, MissingKnobError: It lacks the workload or a knob.
        WorkloadError: The training failed; what was finished is in the store.
    """
    how = (options or RunOptions()).changed(changes)
    board = live(device)
    name = job_name(workload) if isinstance(workload, str) else workload.workload
    record = Record(board, name, modes, store, how)
    if record.source.left:
        job = board.job(workload, data=data) if isinstance(workload, str) else workload
        run = profile_modes(
            board,
            job,
            record.source,
            procedure=how.procedure,
            progress=how.progress,
            patience=how.patience(name),
        )
        for done in run:
            record.keep(done)
    return record.summary()


def workload(make: Callable[..., Any], *, name: str | None = None) -> Job:
    """Make a workload of a function, for `profile` to train with.

    Args:
        make: Called with the knobs of the mode that it has parameters for: `batch_size`, `loader_workers`,
            `precision`, `compile`. It returns a generator that trains one minibatch at each `next`, or a
            function that trains one at each call. If it has none of these parameters, it may be that function
            itself.
        name: Under which its profiles are kept; the function's if None.
    """
    return OwnJob(make, name=name)


@contextmanager
def measuring(
    device: AbstractDevice,
    workload: str,
    modes: ModeTable | ModeSource,
    store: AbstractStore,
    *,
    stop: bool = False,
    options: RunOptions | None = None,
    **changes: Unpack[RunKeywords],
) -> Generator[list[Profile]]:
    """Measure loops over `powertrain.measured` while the context lasts, and keep the profiles in a store.

    Where `torchrun` runs the training as several processes on this board, the first of them measures and the
    others follow; all have to enter the context.

    ```python
    with pt.measuring(board, "mine", pt.plan(board, 15), store):
        for batch in pt.measured(loader):
            train(batch)
    ```

    Args:
        device: A live device; none of its knobs may be one of the training's own.
        workload: Name under which profiles are kept.
        modes: `(n, n_knobs)` modes, or what says which comes next.
        store: Where profiles go.
        stop: Whether to end the training with `SystemExit` when every mode has been measured. If not, it goes
            on in the mode that the device was in before.
        options: How the run goes; the usual way if None.
        changes: Fields of `RunOptions` that differ, as keywords, as for `profile`.

    Yields:
        The profiles measured so far, a list that grows.

    Raises:
        DeviceError, MissingKnobError: As for `profile`.
    """
    how = (options or RunOptions()).changed(changes)
    record = Record(device, workload, modes, store, how)
    with open_session(device, record, options=how, stop=stop).active():
        yield record.measured


def open_session(
    device: AbstractDevice, record: Record, *, options: RunOptions, real: bool = False, stop: bool = False
) -> Session:
    """Get ready for a training that reports its minibatches; the caller closes the session.

    Of several processes that train together on this board, the first measures and the others follow.

    Args:
        device: A live device.
        record: Says which modes, and takes the profiles.
        options: How the run goes.
        real: Whether the training is known to be a real program, which knows nothing of a simulated board.
        stop: Whether to end the training when every mode has been measured.

    Raises:
        DeviceError, MissingKnobError: As for `profile`.
        WorkloadError: The training runs on several boards.
    """
    if rank_here().follows:
        return following()
    board = live(device)
    return LoopSession(
        board,
        loop_here(record.workload, real=real, stop=stop),
        lambda prepare: run_modes(board, record.workload, record.source, prepare, options),
        knobs=record.source.knobs,
        keep=record.keep,
        # A loop of somebody's own may take its time; one that is run to be measured has a limit.
        patience=options.patience(record.workload, **({} if real else {"usual_s": math.inf})),
    )


def loop_here(workload: str, *, real: bool = False, stop: bool = False) -> Loop:
    """Return a training of this process, whatever trains; of several that train together, it is the first.

    Args:
        workload: Name under which profiles are kept.
        real: Whether it is known to be a real program, which knows nothing of a simulated board.
        stop: Whether to end it when nothing more is to be measured.

    Raises:
        WorkloadError: It runs on several boards.
    """
    threads = TorchThreads()
    loop = Loop(
        workload=workload,
        synchronise=synchronise,
        evaluates=evaluates,
        set_threads=threads.set,
        restore_threads=threads.restore,
        description=torch_description,
        real=real,
        stop=stop,
    )
    return _leading(loop, threads) if rank_here().leads else loop


def following() -> FollowingSession:
    """Return what a process reports to that trains together with the one that measures."""
    threads, before = TorchThreads(), sorted(os.sched_getaffinity(0))

    def take_to(cpus: tuple[int, ...] | None) -> None:
        run_on(before if cpus is None else cpus)
        if cpus is None:
            threads.restore()
        else:
            threads.set(len(cpus))

    return FollowingSession(OrdersFile().read, evaluates=evaluates, run_on=take_to)


def _leading(loop: Loop, threads: TorchThreads) -> Loop:
    """Return a loop that tells the other processes of the training what to do."""
    orders = OrdersFile()

    def set_cores(cores: int) -> None:
        threads.set(cores)
        orders.give(cpus=sorted(os.sched_getaffinity(0)))

    def restore() -> None:
        threads.restore()
        orders.give(cpus=None)

    def ends_at(reports: int, every: int) -> int:
        # Processes wait for each other once in every step of the optimiser. So nobody is a whole step ahead,
        # and a step later all know; the rest is for draws at the ends of epochs, which bring no minibatch.
        at = reports + 2 * every + 2
        orders.give(ends_at=at)
        return at

    orders.give()
    return replace(loop, set_threads=set_cores, restore_threads=restore, ends_at=ends_at)
