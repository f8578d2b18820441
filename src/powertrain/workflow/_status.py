"""What a device is doing now: who holds it, what is in force, what its sensors show."""

from __future__ import annotations

import math
import pwd
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from powertrain.dataset import without_password
from powertrain.devices import AbstractDevice, AbstractLiveDevice, Journal, live
from powertrain.devices.remote import HelperStatus, helper_here
from powertrain.errors import PowerTrainError

__all__ = ["DeviceStatus", "Hold", "device_status", "held_elsewhere"]


@final
@dataclass(frozen=True, kw_only=True)
class Hold:
    """Who holds a device."""

    by: str
    """The process, and through what, as far as is known."""
    pid: int
    since_s: float = math.nan
    """Seconds since 1970; NaN where that is not known."""
    mode: str = ""
    """The mode that it holds the device in; empty between two modes, or where that is not known."""
    command: str = ""
    """What that process runs, as far as this user may see it."""
    left_behind: bool = False
    """Whether that process has died and left the device as it had set it."""


@final
@dataclass(frozen=True, kw_only=True)
class DeviceStatus:
    """What a device shows now, without being changed."""

    device: str
    spec: str
    simulated: bool
    hold: Hold | None
    """The first who holds it; None where nobody does, as far as this user can see."""
    holds: tuple[Hold, ...]
    """All who do; several where it is in each one's own memory, or is only shared out among processes."""
    in_force: Mapping[str, tuple[float, float]]
    """By knob, the least and the greatest value that is set, equal where it is held."""
    limits: Mapping[str, tuple[float, float]]
    """By knob, the least and the greatest value that it can be set to here."""
    stock_mode: str
    """Name of the vendor's mode that is in force, as far as that can be told; else empty."""
    power_w: float
    rails_w: Mapping[str, float]
    temperature_c: float
    throttle_count: int
    problems: tuple[str, ...] = field(default=())
    """What could not be read."""


def device_status(device: AbstractDevice) -> DeviceStatus:
    """Look at a live device; nothing is changed.

    Raises:
        DeviceError: The device is not live.
    """
    board = live(device)
    problems: list[str] = []
    holds = _holds_of(board, problems)
    in_force: Mapping[str, tuple[float, float]] = {}
    power_w, rails_w = math.nan, dict[str, float]()
    try:
        in_force = board.in_force()
    except (PowerTrainError, OSError) as error:
        problems.append(str(error))
    if board.rails:
        try:
            reading = board.read_power()
            power_w, rails_w = reading.power_w, dict(reading.rails_w)
        except (PowerTrainError, OSError) as error:
            problems.append(str(error))
    return DeviceStatus(
        device=board.name,
        spec=board.spec,
        simulated=board.simulated,
        hold=holds[0] if holds else None,
        holds=holds,
        in_force=in_force,
        limits={knob.name: (knob.values[0], knob.values[-1]) for knob in board.space.knobs},
        stock_mode=_stock_mode(board, in_force),
        power_w=power_w,
        rails_w=rails_w,
        temperature_c=board.temperature_c(),
        throttle_count=board.throttle_count(),
        problems=tuple(problems),
    )


def held_elsewhere(specs: Iterable[str]) -> tuple[str, ...]:
    """Return what opens the devices that somebody holds now, without those that are given."""
    named = {spec.partition("?")[0] for spec in specs}
    found = {lock.key: lock.spec for lock in Journal().locks.held()}
    return tuple(spec for spec in found.values() if spec and spec.partition("?")[0] not in named)


def _holds_of(board: AbstractLiveDevice, problems: list[str]) -> tuple[Hold, ...]:
    """Return who holds a device: through this machine's helper, or by locks that this user can see."""
    try:
        helper = helper_here()
        if helper is not None:
            known = helper.describe().key == board.key
            status = helper.status() if known else HelperStatus(held=False)
            helper.close()
            if status.held:
                by = f"process {status.pid} of {_user(status.uid)}, through powertrain-helper"
                command = _command(status.pid)
                return (Hold(by=by, pid=status.pid, since_s=status.since_s, command=command),)
        journal = Journal()
        held = tuple(
            Hold(
                by=f"process {lock.pid}",
                pid=lock.pid,
                since_s=lock.since_s,
                mode=lock.mode,
                command=_command(lock.pid),
            )
            for lock in journal.locks.holders(board.key)
        )
        entry = None if held else journal.left_behind(board.key)
    except PowerTrainError as error:
        problems.append(str(error))
        return ()
    if entry is None:
        return held
    return (Hold(by=f"process {entry.pid}, which has died", pid=entry.pid, left_behind=True),)


def _command(pid: int) -> str:
    """Return the command line of a process without passwords, empty if it cannot be read (Linux proc(5))."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    except OSError:
        return ""
    return shlex.join(without_password(word.decode(errors="replace")) for word in words if word)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _stock_mode(board: AbstractLiveDevice, in_force: Mapping[str, tuple[float, float]]) -> str:
    """Return the vendor's mode whose caps are in force; a mode of the board's own words comes first."""
    told = board.environment().get("nvpmodel_mode", "")
    if told:
        return told
    caps = {name: greatest for name, (_, greatest) in in_force.items()}
    for name, mode in board.stock_modes().items():
        if caps and all(math.isclose(caps.get(knob, math.nan), value) for knob, value in mode.items()):
            return name
    return ""
