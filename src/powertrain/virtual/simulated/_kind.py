"""How a simulated board is opened, with its options."""

from __future__ import annotations

from pathlib import Path

from powertrain.devices import MonotonicClock, VirtualClock
from powertrain.devices._kinds import DeviceKind, DeviceSpec, Opening
from powertrain.errors import UnknownModeError, UnknownNameError
from powertrain.virtual.simulated._board import SimulatedBoard
from powertrain.virtual.simulated._boards import BOARDS
from powertrain.virtual.simulated._disturbances import Disturbances

__all__ = ["KIND"]

OPTIONS = ("clock", "off", "seed", "state")


def _open(spec: DeviceSpec, how: Opening) -> SimulatedBoard:
    del how
    if spec.name not in BOARDS:
        raise UnknownNameError.of("device", spec.text, BOARDS)
    given = _options(spec)
    clock, seed, off = given.get("clock", "virtual"), given.get("seed", "0"), given.get("off", "")
    if clock not in ("real", "virtual"):
        raise UnknownNameError.of(f"clock of {spec.name}", clock, ("real", "virtual"))
    if not seed.isdecimal():
        raise UnknownModeError(f"{spec.name}?seed={seed}: a seed is a whole number, as in {spec.name}?seed=3")
    names = off.split(",") if off else list[str]()
    disturbances = Disturbances.none() if off == "all" else Disturbances().without(names)
    return SimulatedBoard(
        BOARDS[spec.name],
        clock=MonotonicClock() if clock == "real" else VirtualClock(),
        disturbances=disturbances,
        seed=int(seed),
        spec=spec.text if spec.options else spec.name,
        state_file=Path(given["state"]) if "state" in given else None,
    )


def _options(spec: DeviceSpec) -> dict[str, str]:
    """Return the options by name; one that no board has is refused with the nearest."""
    given: dict[str, str] = {}
    for part in spec.options.split("&") if spec.options else ():
        key, _, given[key] = part.partition("=")
    if unknown := next((key for key in given if key not in OPTIONS), None):
        raise UnknownNameError.of(f"option of {spec.name}", unknown, OPTIONS)
    return given


KIND = DeviceKind(name="sim", forms=tuple(BOARDS), open=_open)
