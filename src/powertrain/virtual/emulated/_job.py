"""Training on an emulated board: in the same process, or on its tree of files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import final

from typing_extensions import override

from powertrain.devices._clock import Clock, MonotonicClock
from powertrain.errors import WorkloadError
from powertrain.units import s_from_ms
from powertrain.workloads import Job, find_workload

__all__ = ["DOING", "STEP", "EmulatedJob", "TreeJob", "is_tree"]

OWN = "emulated"
DOING = f"{OWN}/doing"
"""Which workload is being trained, and by which process: `resnet18 1234`; empty at rest."""
STEP = f"{OWN}/step_ms"
"""The workload and the time that a minibatch of it takes now: `resnet18 124.4`."""
LONGEST_SLICE_S = 0.05
"""Within which a change of the board's clocks is noticed."""
PATIENCE_S = 10.0
"""For the keeper of the tree to answer."""


@final
class EmulatedJob(Job):
    """A workload that is trained by letting its time pass on the board's clock."""

    def __init__(self, workload: str, step: Callable[[str], None]) -> None:
        self.workload = workload
        self._step = step

    @override
    def prepare(self, mode: Mapping[str, float]) -> None:
        pass  # all its knobs are the board's

    @override
    def step(self) -> None:
        self._step(self.workload)

    @override
    def close(self) -> None:
        pass  # it holds nothing

    @override
    def description(self) -> Mapping[str, str]:
        return {}


@final
class TreeJob(Job):
    """A workload that is trained in real time, at the speed of the present state of a tree's board."""

    def __init__(self, root: Path, workload: str, *, clock: Clock | None = None) -> None:
        """Train on the board below `root`, which a keeper keeps."""
        find_workload(workload)
        self.workload = workload
        self._doing, self._step_ms = root / DOING, root / STEP
        self._clock = MonotonicClock() if clock is None else clock
        self._announced = False

    @override
    def prepare(self, mode: Mapping[str, float]) -> None:
        self._announce()

    @override
    def step(self) -> None:
        if not self._announced:
            self._announce()
        left = 1.0
        while left > 1e-9:  # a rest of rounding is too short for a virtual clock to move
            step_s = self._step_s()
            started_s = self._clock.now_s()
            self._clock.sleep_s(min(left * step_s, LONGEST_SLICE_S))
            left -= (self._clock.now_s() - started_s) / step_s

    @override
    def close(self) -> None:
        if self._announced:
            self._announced = False
            with suppress(OSError):  # the tree is gone, and with it the training
                self._doing.write_text("", encoding="utf-8")

    @override
    def description(self) -> Mapping[str, str]:
        return {}

    def _announce(self) -> None:
        try:
            self._doing.write_text(f"{self.workload} {os.getpid()}", encoding="utf-8")
        except OSError as error:
            raise WorkloadError(
                f"cannot train on the emulated board: {self._doing} ({error.strerror}): start its keeper"
            ) from error
        self._announced = True

    def _step_s(self) -> float:
        """Return what a minibatch takes now; wait for the keeper where it has not answered yet."""
        until_s = self._clock.now_s() + PATIENCE_S
        while self._clock.now_s() < until_s:
            workload, _, step_ms = self._step_ms.read_text(encoding="utf-8").strip().partition(" ")
            if workload == self.workload and step_ms:
                return s_from_ms(float(step_ms))
            self._clock.sleep_s(0.005)
        raise WorkloadError(
            f"{self._step_ms} does not tell how long {self.workload} takes: is the board's keeper running?"
        )


def is_tree(root: Path) -> bool:
    """Tell whether a folder holds the files of an emulated board."""
    return (root / DOING).is_file()
