"""What one board of a fleet does when it is asked to: tell what it is, plan, and measure a batch of modes.

Whoever carries the fleet calls these functions on the board, in a process of their own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import final

from powertrain.dataset import open_store
from powertrain.devices import AbstractLiveDevice, live
from powertrain.errors import FleetError, UnknownNameError, WorkloadError
from powertrain.planning import Sampling
from powertrain.profiling import Procedure, RunOptions, profile_modes
from powertrain.records import ModeTable, PowerMode, Profile
from powertrain.space import ModeSpace
from powertrain.workflow import DeviceStatus, device_status, modes_csv, open_device, plan
from powertrain.workloads import Job, job_name, open_own

__all__ = ["BoardFacts", "Draw", "Order", "Work", "facts", "measured", "model_slug", "planned", "status"]

LOOK_S = 0.2
"""Between two looks at whether the process that started this one is still there."""
POLL_S = 0.2


def model_slug(device: str) -> str:
    """Return a device's name as it stands in the name of a resource, such as `jetson-agx-orin-64gb`."""
    return re.sub(r"[^a-z0-9.]+", "-", device.lower()).strip("-") or "board"


@final
@dataclass(frozen=True, kw_only=True)
class BoardFacts:
    """What a board tells of itself."""

    device: str
    """Its name in profiles."""
    spec: str
    simulated: bool
    knobs: tuple[tuple[str, tuple[float, ...]], ...]
    """Each knob with its values."""
    rails: tuple[str, ...]
    """Of what its power is the sum."""
    version: str
    """Of PowerTrain."""
    time_s: float
    """What its clock shows, since 1970 [s]."""

    @property
    def kind(self) -> tuple[object, ...]:
        """What equal boards have in common."""
        return self.device, self.knobs, self.rails

    @property
    def space(self) -> ModeSpace:
        """Its modes."""
        return ModeSpace.of(dict(self.knobs))


@final
@dataclass(frozen=True, kw_only=True)
class Work:
    """What is trained, so that a board without the file can do it, too."""

    workload: str
    """A workload of the device, `FILE.py:FUNCTION`, or a script `FILE.py`."""
    text: str | None = None
    """What the file holds; None where there is none."""
    name: str | None = None
    """Under which profiles are kept, if it is not that of the workload."""
    arguments: tuple[str, ...] = ()
    """Of a script."""

    @classmethod
    def of(cls, workload: str, *, name: str | None = None, arguments: Sequence[str] = ()) -> Work:
        """Read what is to be trained; a file travels with its text.

        Raises:
            UnknownNameError: There is no such file.
        """
        path = _file_of(workload)
        if path is None:
            return cls(workload=workload, name=name)
        if not path.is_file():
            raise UnknownNameError(f"there is no file {path}: give a Python script, or FILE.py:FUNCTION")
        text = path.read_text(encoding="utf-8")
        return cls(workload=workload, text=text, name=name, arguments=tuple(arguments))

    @property
    def profiles_name(self) -> str:
        """The name under which its profiles are kept."""
        return self.name or (Path(self.workload).name if self.is_script else job_name(self.workload))

    @property
    def is_script(self) -> bool:
        """Whether it is a program with a loop of its own."""
        return self.workload.endswith(".py")

    @contextmanager
    def written(self) -> Generator[str]:
        """Give the workload as this machine can run it: what is a file is written while the context lasts."""
        path = _file_of(self.workload)
        if path is None or self.text is None:
            yield self.workload
            return
        folder = Path(tempfile.mkdtemp(prefix="powertrain-fleet-"))
        try:
            here = folder / path.name
            here.write_text(self.text, encoding="utf-8")
            yield f"{here}{self.workload[len(str(path)) :]}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _file_of(workload: str) -> Path | None:
    if workload.endswith(".py"):
        return Path(workload)
    file, mark, _ = workload.partition(".py:")
    return Path(f"{file}.py") if mark else None


@final
@dataclass(frozen=True, kw_only=True)
class Order:
    """A batch of modes for a board to measure."""

    work: Work
    modes: tuple[PowerMode, ...]
    kind: tuple[object, ...]
    """Of the boards that the batch is for: a board of another kind refuses it."""
    procedure: Procedure = field(default_factory=Procedure)
    step_limit_s: float | None = None


@cache
def _opened(spec: str) -> AbstractLiveDevice:
    # A process of the engine serves many batches, and a device is opened once.
    return live(open_device(spec))


def facts(spec: str) -> BoardFacts:
    """Return what the board of this machine is.

    Raises:
        PowerTrainError: It cannot be opened, or cannot be measured.
    """
    device = _opened(spec)
    return BoardFacts(
        device=device.name,
        spec=spec,
        simulated=device.simulated,
        knobs=tuple((knob.name, tuple(map(float, knob.values))) for knob in device.space.knobs),
        rails=tuple(device.rails),
        version=version("powertrain"),
        time_s=time.time(),
    )


def status(spec: str) -> DeviceStatus:
    """Return what the board of this machine does now; see `powertrain.workflow.device_status`."""
    return device_status(_opened(spec))


@final
@dataclass(frozen=True, kw_only=True)
class Draw:
    """Which modes of a board to measure."""

    number: int | None = None
    """How many; all of them if None."""
    or_all: bool = False
    """Whether all will do where there are fewer."""
    sampling: Sampling = "spread"
    seed: int = 0


def planned(spec: str, work: Work, draw: Draw) -> ModeTable:
    """Return modes of the board in which to measure a workload.

    Raises:
        PowerTrainError: The board lacks the workload, or has fewer modes, or too many to list.
    """
    device, workload = _opened(spec), None if work.text is not None else work.workload
    number = draw.number
    if number is not None and draw.or_all:
        number = min(number, device.count(workload=workload))
    if number is None:
        return device.modes(workload=workload)
    return plan(device, number, workload=workload, sampling=draw.sampling, seed=draw.seed)


def measured(spec: str, order: Order) -> Generator[Profile]:
    """Measure a batch on the board of this machine; yield each profile as soon as it is finished.

    The board is restored however this ends, also when the process that started this one dies.

    Raises:
        FleetError: The board is of another kind.
        PowerTrainError: The board or the training fails.
    """
    with _ended_with_parent():
        here = facts(spec)
        if here.kind != order.kind:
            raise FleetError(f"{spec} is {here.device}, of another kind than the batch is for")
        with order.work.written() as workload:
            if order.work.is_script:
                yield from _by_script(spec, workload, order)
                return
            device = _opened(spec)
            job: str | Job = workload
            if order.work.text is not None:
                job = open_own(workload, name_of_profiles=order.work.profiles_name)
            yield from profile_modes(
                device,
                job,
                ModeTable.of(order.modes),
                procedure=order.procedure,
                patience=RunOptions(step_limit_s=order.step_limit_s).patience(order.work.profiles_name),
            )


@contextmanager
def _ended_with_parent() -> Generator[None]:
    """End what is measured here as Ctrl-C would, if the process that started this one dies.

    Otherwise nobody would be left to take the profiles, and the board would be in a mode of nobody's.
    """
    parent, over = os.getppid(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGINT)
                return

    watching = threading.Thread(target=look, daemon=True, name="powertrain-parent")
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _by_script(spec: str, script: str, order: Order) -> Generator[Profile]:
    """Run a script in a process of its own, as `powertrain profile` does, and yield what it has measured."""
    with tempfile.TemporaryDirectory(prefix="powertrain-fleet-") as folder:
        modes, database, errors = (Path(folder) / name for name in ("modes.csv", "profiles.db", "errors"))
        modes.write_text(modes_csv(ModeTable.of(order.modes)), encoding="utf-8")
        command = [
            *(sys.executable, "-m", "powertrain", "profile", script, "--device", spec),
            *("--db", str(database), "--modes", str(modes), "--order", "given"),
            *("--name", order.work.profiles_name),
            *("--precision", repr(100 * order.procedure.precision)),
            *("--mode-limit", repr(order.procedure.limit_s)),
            *(() if order.step_limit_s is None else ("--step-limit", repr(order.step_limit_s))),
            *("--", *order.work.arguments),
        ]
        with (
            errors.open("wb") as stderr,
            open_store(database) as store,
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr, cwd=folder) as run,
        ):
            try:
                given = 0
                while True:
                    ended = run.poll() is not None
                    found = store.profiles()
                    # A generator, because an engine may send something, which a list cannot take.
                    yield from (profile for profile in found[given:])
                    given = len(found)
                    if ended:
                        break
                    time.sleep(POLL_S)
            finally:
                # It restores the board before it ends.
                if run.poll() is None:
                    run.terminate()
        if run.returncode:
            said = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            why = said[-1].removeprefix("error: ") if said else "it failed"
            raise WorkloadError(f"{order.work.profiles_name}: {why}")
