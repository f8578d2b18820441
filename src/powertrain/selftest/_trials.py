"""Whether a device can be trusted, second part: whether modes hold, show in the power, and are restored."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np

from powertrain.devices import AbstractDevice, AbstractLiveDevice, PowerReading, live
from powertrain.errors import DeviceBusyError, DevicePermissionError, PowerTrainError
from powertrain.progress import Progress
from powertrain.records import ModeTable, PowerMode
from powertrain.selftest._look import PERIOD_S, Check, SelfTest, Trial, differing

__all__ = ["modes_to_try", "try_device"]

HOLD_S = 1.0
"""Long enough for a few readings after the sensors' averaging, short enough for a person to wait."""
MODES_AT_RANDOM = 5
"""Modes that are tried besides the lowest, a middle and the highest."""
LOAD_SIZE = 512
"""Rows of the matrices that are multiplied for load."""


def modes_to_try(modes: ModeTable, *, seed: int = 0) -> ModeTable:
    """Choose the lowest, a middle and the highest of some modes, then others at random.

    A mode is as high as its values stand in those of their knobs, on average.
    """
    # By rank, not by value: a knob in MHz would drown one that counts cores.
    ranks = np.column_stack([np.unique(column, return_inverse=True)[1] for column in modes.values.T])
    heights = (ranks / np.maximum(ranks.max(axis=0), 1)).sum(axis=1)
    order = np.argsort(heights, kind="stable")
    named = list(dict.fromkeys(int(order[at]) for at in (0, len(order) // 2, len(order) - 1)))
    left = np.setdiff1d(np.arange(len(modes)), named)
    others = np.random.default_rng(seed).choice(left, size=min(MODES_AT_RANDOM, len(left)), replace=False)
    return modes.take(np.array([*named, *others], dtype=np.int64))


def try_device(
    device: AbstractDevice,
    found: SelfTest,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> SelfTest:
    """Hold some modes for a moment each, under a small load, and restore the device after each.

    Args:
        device: The one that was inspected.
        found: What was found then.
        seed: Of the modes that are chosen at random.
        progress: Told about every mode.

    Returns:
        `found` with the trials, and a check for each thing that they show. Where the device may not be
        changed, or is held by somebody else, there is one trial that says so.

    Raises:
        DeviceError: The device is not live.
    """
    board = live(device)
    modes = modes_to_try(board.modes(), seed=seed)
    before, cuts = board.state(), board.throttle_count()
    trials: list[Trial] = []
    for at, mode in enumerate(modes):
        if progress is not None:
            progress(at, len(modes), str(mode))
        try:
            trials.append(_tried(board, mode, before))
        except (DevicePermissionError, DeviceBusyError) as error:
            trials.append(Trial(mode=mode, held=False, problem=str(error)))
            break
    cuts = board.throttle_count() - cuts
    checks = (
        *found.checks,
        _held_check(trials),
        *_direction_checks(trials, modes),
        _restored_check(board, before),
        Check(name="throttling", ok=True, says=f"Clocks were cut {cuts} times meanwhile."),
    )
    return replace(found, trials=tuple(trials), checks=checks)


def _tried(board: AbstractLiveDevice, mode: PowerMode, before: Mapping[str, Any]) -> Trial:
    """Hold one mode; what goes wrong is part of the answer, unless it would go wrong with every mode."""
    problem, worked, setting_s = "", _Worked(), math.nan
    try:
        started_s = board.clock.now_s()
        with board.hold(mode):
            setting_s = board.clock.now_s() - started_s
            as_set = board.state()
            worked = _work(board, mode)
            if moved := differing(as_set, board.state()):
                problem = f"somebody else changed it: {', '.join(moved)}"
    except (DevicePermissionError, DeviceBusyError):
        raise
    except (PowerTrainError, OSError) as error:
        problem = str(error)
    if left := differing(before, board.state()):
        problem = "; ".join(filter(None, (problem, f"it was not restored: {', '.join(left)}")))
    return Trial(
        mode=mode,
        held=not problem,
        problem=problem,
        power_w=worked.power_w,
        rails_w=worked.rails_w,
        temperature_c=board.temperature_c(),
        setting_s=setting_s,
    )


@final
@dataclass(frozen=True, kw_only=True)
class _Worked:
    """What was drawn meanwhile, in the mean."""

    power_w: float = math.nan
    """NaN without a sensor."""
    rails_w: Mapping[str, float] = field(default_factory=dict[str, float])


def _work(board: AbstractLiveDevice, mode: PowerMode) -> _Worked:
    """Work for a moment; return what was drawn over its second half."""
    end_s = board.clock.now_s() + HOLD_S
    seen: list[PowerReading] = []

    def look() -> None:
        if board.rails:
            seen.append(board.read_power())

    if board.simulated:  # it has a clock of its own, on which only its own trainings are work
        with board.job(board.workloads()[0]) as job:
            job.prepare(mode)
            while board.clock.now_s() < end_s:
                job.step()
                look()
    else:
        with _Load():
            while board.clock.now_s() < end_s:
                board.clock.sleep_s(PERIOD_S / 2)
                look()
    # The first half still shows the mode before: sensors average, and clocks take a moment.
    late = [
        reading for reading in seen if reading.time_s >= end_s - HOLD_S / 2 and math.isfinite(reading.power_w)
    ]
    if not late:
        return _Worked()
    rails = [rail for rail in late[0].rails_w if all(rail in reading.rails_w for reading in late)]
    return _Worked(
        power_w=float(np.mean([reading.power_w for reading in late])),
        rails_w={rail: float(np.mean([reading.rails_w[rail] for reading in late])) for rail in rails},
    )


@final
class _Load:
    """Multiplies matrices on a thread, which numpy spreads over the processors, while the context lasts."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="powertrain-load", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        matrix = np.full((LOAD_SIZE, LOAD_SIZE), 1 / LOAD_SIZE, dtype=np.float32)
        # Kernels for SME have been seen to set flags of division by zero for nothing (numpy issue 29820).
        with np.errstate(all="ignore"):
            while not self._stop.is_set():
                matrix = matrix @ matrix


def _held_check(trials: list[Trial]) -> Check:
    held = sum(trial.held for trial in trials)
    problem = next((trial.problem for trial in trials if not trial.held), "")
    says = f"{held} of {len(trials)} held and were restored."
    return Check(name="modes held", ok=held == len(trials), says=f"{says} {problem}".strip())


def _direction_checks(trials: list[Trial], modes: ModeTable) -> tuple[Check, ...]:
    """Compare the power of the highest mode with that of the lowest; nothing where one of them is missing."""
    if len(modes) < 3 or len(trials) < 3:
        return ()
    low, high = trials[0].power_w, trials[2].power_w
    if not (math.isfinite(low) and math.isfinite(high)):
        return ()
    says = f"{low:.2f} W in the lowest mode, {high:.2f} W in the highest."
    return (Check(name="power follows the mode", ok=high > low, says=says),)


def _restored_check(board: AbstractLiveDevice, before: Mapping[str, Any]) -> Check:
    left = differing(before, board.state())
    if left:
        return Check(name="restored", ok=False, says=f"It is not as it was: {', '.join(left)}.")
    says = "It is as it was before." if before else "It tells no settings: there is nothing to compare."
    return Check(name="restored", ok=True, says=says)
