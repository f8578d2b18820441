"""From the text that a person types to a device."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from powertrain.devices._base import AbstractDevice
from powertrain.devices._clock import MonotonicClock, VirtualClock
from powertrain.devices._journal import Journal
from powertrain.devices._sysfs import RealSysfs
from powertrain.devices.cpu._device import CpuDevice
from powertrain.devices.jetson import JetsonDevice, TegrastatsReader, jetson_here
from powertrain.devices.nvml._device import NvmlDevice
from powertrain.devices.nvml._driver import gpu_count
from powertrain.devices.remote import remote_settings
from powertrain.devices.remote._base import RemoteSettings
from powertrain.errors import DataError, DeviceError, UnknownNameError
from powertrain.records import ProfileTable
from powertrain.virtual import ReplayDevice
from powertrain.virtual.emulated import EmulatedSysfs, TreeJob, is_tree
from powertrain.virtual.simulated import BOARDS, Disturbances, SimulatedBoard

__all__ = ["DEVICE_SPECS", "found_here", "open_device"]

TableReader = Callable[[Path], Iterable[ProfileTable]]

DEVICE_SPECS: tuple[str, ...] = (
    *("auto", "cpu", "nvml:0", "jetson"),
    *BOARDS,
    "emulated:orin-agx@jp6",
    *("replay:FILE.csv", "replay:FILE.csv#DEVICE"),
)
"""The forms that `open_device` takes."""


def open_device(
    spec: str, *, read_tables: TableReader | None = None, through_helper: bool = True, probe: bool = True
) -> AbstractDevice:
    """Open a device by its spec.

    Args:
        spec: A simulated board such as `"sim:orin-agx"`, with options as in
            `"sim:orin-agx?seed=3&off=noise,heat"` (`clock=real` takes as long as a board would; `off=all`
            switches every disturbance off; `state=FILE` keeps the mode in a file, as hardware does), or
            `"replay:FILE.csv"`, with `#DEVICE` after it where the file has several. `"emulated:FOLDER"` is
            an emulated Jetson whose files a process of its own keeps below a folder.
        read_tables: Reads the profiles of a file, one table per device and workload; needed for a replay.
        probe: Whether a Jetson's memory clocks may be tried, which changes the board for a few seconds, the
            first time after each boot; without, its memory clock may be missing.
        through_helper: Whether `powertrain-helper` may be asked to change what this user may not.

    Raises:
        UnknownNameError: No such spec, option or disturbance, or no such device in the file.
        DeviceError: A kind of device that a later version brings, a file to replay that holds several devices
            when none is named, or no `read_tables`.
    """
    kind, _, rest = spec.partition(":")
    board, _, options = spec.partition("?")
    if board == "cpu":
        return CpuDevice(options)
    if board == "auto":
        return _open_auto(options, probe=probe)
    if board == "jetson":
        helper = remote_settings if through_helper else None
        return JetsonDevice(options, helper=helper, tegrastats=TegrastatsReader, probe=probe)
    if kind == "emulated" and "/" in rest:
        return _open_tree(board, options, helper=remote_settings if through_helper else None, probe=probe)
    if kind == "emulated":
        return _open_emulated(board, options, probe=probe)
    if kind == "nvml":
        return _open_gpu(board, options)
    if board in BOARDS:
        return _open_board(board, options)
    if kind == "replay" and rest:
        return _open_replay(spec, rest, read_tables)
    if _is_csv(spec):
        raise UnknownNameError(f"unknown device {spec!r}: did you mean 'replay:{spec}'?")
    raise UnknownNameError.of("device", spec, DEVICE_SPECS)


def _open_auto(options: str, *, probe: bool) -> AbstractDevice:
    """Open the device of this machine that a training is likely to run on: the first of `found_here`."""
    first = found_here()[0]
    return open_device(f"{first}?{options}" if options else first, probe=probe)


def _open_emulated(name: str, options: str, *, probe: bool) -> JetsonDevice:
    """Open an emulated Jetson: the device itself, on files that behave as the kernel's do."""
    board = EmulatedSysfs(name.partition(":")[2], clock=VirtualClock())
    return JetsonDevice(
        options,
        sysfs=board,
        clock=board.clock,
        # It ends with this process, so nothing of it can be left behind.
        journal=Journal(Path(tempfile.mkdtemp(prefix="powertrain-emulated-"))),
        jobs=lambda workload, _data: board.job(workload),
        spec=name,
        name=board.title,
        simulated=True,
        probe=probe,
    )


def _open_tree(
    name: str, options: str, *, helper: Callable[[], RemoteSettings | None] | None, probe: bool
) -> JetsonDevice:
    """Open an emulated Jetson whose files are real ones, so that other processes see it, too."""
    root = Path(name.partition(":")[2]).expanduser().absolute()
    if not is_tree(root):
        raise DeviceError(
            f"{root} holds no emulated board: keep one there with python -m powertrain.virtual.emulated "
            f"{root} orin-agx"
        )
    return JetsonDevice(
        options,
        sysfs=RealSysfs(root),
        jobs=lambda workload, _data: TreeJob(root, workload),
        helper=helper,
        spec=f"emulated:{root}",
        simulated=True,
        probe=probe,
    )


def _open_gpu(name: str, options: str) -> NvmlDevice:
    number = name.partition(":")[2] or "0"
    if not number.isdecimal():
        raise UnknownNameError(f"unknown device {name!r}: a GPU is given by its number, as in nvml:0")
    return NvmlDevice(int(number), options)


def found_here() -> tuple[str, ...]:
    """Return the specs of the devices of this machine that can be opened, the likeliest first."""
    jetson = ("jetson",) if jetson_here(RealSysfs()) else ()
    return (*jetson, *(f"nvml:{index}" for index in range(gpu_count())), "cpu")


BOARD_OPTIONS = ("clock", "off", "seed", "state")


def _open_board(name: str, text: str) -> SimulatedBoard:
    """Open a simulated board with the options that follow the question mark of its spec."""
    given: dict[str, str] = {}
    for part in text.split("&") if text else ():
        key, _, given[key] = part.partition("=")
    if unknown := next((key for key in given if key not in BOARD_OPTIONS), None):
        raise UnknownNameError.of(f"option of {name}", unknown, BOARD_OPTIONS)
    clock, seed, off = given.get("clock", "virtual"), given.get("seed", "0"), given.get("off", "")
    if clock not in ("real", "virtual"):
        raise UnknownNameError.of(f"clock of {name}", clock, ("real", "virtual"))
    if not seed.isdecimal():
        raise DeviceError(f"{name}?seed={seed}: a seed is a whole number, as in {name}?seed=3")
    names = off.split(",") if off else list[str]()
    disturbances = Disturbances.none() if off == "all" else Disturbances().without(names)
    return SimulatedBoard(
        BOARDS[name],
        clock=MonotonicClock() if clock == "real" else VirtualClock(),
        disturbances=disturbances,
        seed=int(seed),
        spec=f"{name}?{text}" if text else name,
        state_file=Path(given["state"]) if "state" in given else None,
    )


def _is_csv(spec: str) -> bool:
    """Return whether `spec` is a path to a CSV file, with or without `#DEVICE`, and no misspelt kind."""
    path, _ = _path_and_device(spec)
    return path.suffix.lower() == ".csv" and (":" not in spec or path.is_file())


def _open_replay(spec: str, rest: str, read_tables: TableReader | None) -> ReplayDevice:
    if read_tables is None:
        raise DeviceError(f"{spec!r} needs a reader of files, and none was given: pass read_tables")
    path, device = _path_and_device(rest)
    tables = list(read_tables(path))
    if not tables:
        raise DataError(f"{path} holds no profiles to replay")
    found = sorted({table.device for table in tables})
    if device is None and len(found) > 1:
        raise DeviceError(f"{path} has {len(found)} devices, {', '.join(found)}: add one, as in #{found[0]}")
    device = found[0] if device is None else device
    if device not in found:
        raise UnknownNameError.of(f"device in {path.name}", device, found)
    return ReplayDevice([table for table in tables if table.device == device], spec=spec)


def _path_and_device(text: str) -> tuple[Path, str | None]:
    """Split `FILE#DEVICE` at the last `#`, unless a file of the whole name exists."""
    whole = Path(text).expanduser()
    head, mark, device = text.rpartition("#")
    if not mark or not head or whole.is_file():
        return whole, None
    return Path(head).expanduser(), device or None
