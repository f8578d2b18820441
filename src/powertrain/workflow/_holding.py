"""Holding a mode while a command runs, and restoring what was left behind."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, final

from powertrain.devices import AbstractDevice, AbstractLiveDevice, Journal, live
from powertrain.errors import DeviceError, PowerTrainError, ProgramError, UnknownModeError, UnknownNameError
from powertrain.records import PowerMode
from powertrain.space import SOFTWARE_KNOBS
from powertrain.workflow._joins import open_device

__all__ = ["Restored", "held_mode", "restore_all", "run_held"]

logger = logging.getLogger(__name__)

NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""What a shell exits with for a command that it cannot run (POSIX, Shell Command Language, 2.8.2)."""
LOOK_S = 5.0
"""Between looks at whether the mode is still in force."""
FORWARDED = (signal.SIGTERM, signal.SIGHUP)


def held_mode(device: AbstractDevice, text: str) -> PowerMode:
    """Read a mode to be held: `KNOB=VALUE ...`, or the name of one of the device's stock modes.

    Knobs of the training that the device's space lacks are allowed. Any knob may be left out.

    Raises:
        UnknownNameError: There is no such stock mode.
        UnknownModeError: There are no stock modes.
        ValueError: It is not a mode.
    """
    stock = device.stock_modes()
    if text in stock:
        return stock[text]
    if "=" not in text and not stock:
        raise UnknownModeError(
            f"{device.name} offers no modes by name here, such as {text}: give KNOB=VALUE ...; "
            f"powertrain devices {device.spec} tells what can be set, and what not and why"
        )
    if "=" not in text:
        raise UnknownNameError.of(f"mode of {device.name}", text, (*stock, "KNOB=VALUE ..."))
    return PowerMode.parse(text)


def run_held(
    device: AbstractDevice, mode: PowerMode, command: Sequence[str], *, output: int | None = None
) -> int:
    """Hold a mode while a command runs; return its exit code (128 + n where signal n ended it).

    Knobs of the device that the mode lacks stay as they are.

    SIGTERM and SIGHUP are passed on to the command, and Ctrl-C reaches it from the terminal; the mode is
    held until it has ended. Knobs of the training are not the device's: the command finds them in its
    environment (`POWERTRAIN_BATCH_SIZE` and so on).

    Args:
        device: A live device.
        mode: Of the device.
        command: Program and arguments.
        output: The file descriptor to which the command's output goes; this process's if None.

    Raises:
        DeviceError: The device does not take the mode.
        ProgramError: The command cannot be run; its exit code is that of a shell, 126 or 127.
    """
    board = live(device)
    software = [name for name in mode if name in SOFTWARE_KNOBS]
    environment = {f"POWERTRAIN_{name.upper()}": f"{mode[name]:.10g}" for name in software}
    whole = _whole(board, mode)
    is_whole = set(whole) == set(board.space.names)
    with board.hold(whole) if is_whole else board.hold_some(whole):
        try:
            child = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output)
        except OSError as error:
            code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
            raise ProgramError(f"cannot run {command[0]}: {error.strerror}", exit_code=code) from error
        with _passed_on(child):
            code = _wait(child, board)
    return code if code >= 0 else 128 - code


def _wait(child: subprocess.Popen[Any], board: AbstractLiveDevice) -> int:
    """Wait for a command, and say so at once if it does not run in its mode any more."""
    lost = ""
    while True:
        try:
            return child.wait(timeout=None if lost else LOOK_S)
        except subprocess.TimeoutExpired:
            lost = board.still_holds()
            if lost:
                logger.warning("the command goes on, but not in its mode: %s", lost)


def _whole(device: AbstractDevice, mode: Mapping[str, float]) -> PowerMode:
    """Return the mode with the software knobs that the device's space has, and no others."""
    usual = {k.name: k.values[0] for k in device.space.knobs if k.name in SOFTWARE_KNOBS}
    given = {name: value for name, value in mode.items() if name not in SOFTWARE_KNOBS or name in usual}
    return PowerMode({**usual, **given})


@contextmanager
def _passed_on(child: subprocess.Popen[Any]) -> Generator[None]:
    """Let the child, not this process, decide what a signal ends."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        del frame
        child.send_signal(number)

    def leave(number: int, frame: FrameType | None) -> None:
        del number, frame  # the terminal has sent it to the child as well

    before = {number: signal.signal(number, pass_on) for number in FORWARDED}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@final
@dataclass(frozen=True, kw_only=True)
class Restored:
    """What became of a device that somebody left behind."""

    device: str
    spec: str
    pid: int
    """Of the process that left it."""
    done: bool
    problem: str = ""


def restore_all(journal: Journal | None = None) -> list[Restored]:
    """Restore every device of this machine that a dead process left as it had set it."""
    kept = journal or Journal()
    found: list[Restored] = []
    for key in kept.devices():
        try:
            entry = kept.left_behind(key)
        except DeviceError as error:
            found.append(Restored(device=key, spec="", pid=0, done=False, problem=str(error)))
            continue
        if entry is None:
            continue  # from before the last boot
        try:
            # Nothing is tried before: that would restore it first, by itself.
            done = live(open_device(entry.spec, probe=False)).restore()
            problem = "" if done else "this user may not change it: run powertrain restore as root"
        except PowerTrainError as error:
            problem = str(error)
        found.append(
            Restored(device=entry.device, spec=entry.spec, pid=entry.pid, done=not problem, problem=problem)
        )
    return found
