"""How an emulated Jetson is opened: in this process, or on the files that another one keeps in a folder."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from powertrain.devices import Journal, VirtualClock
from powertrain.devices._kinds import DeviceKind, DeviceSpec, Opening, ServiceNeeds
from powertrain.devices._sysfs import RealSysfs
from powertrain.devices.jetson import JetsonDevice
from powertrain.devices.remote import ask_helper
from powertrain.errors import DeviceError, UnknownModeError
from powertrain.virtual.emulated._folders import own_folder, remove_folder
from powertrain.virtual.emulated._job import TreeJob, is_tree
from powertrain.virtual.emulated._sysfs import EmulatedSysfs

__all__ = ["KIND"]


def _open(spec: DeviceSpec, how: Opening) -> JetsonDevice:
    # A board has no slash in its name and a folder is asked for with one, so neither hides the other.
    return _open_tree(spec, how) if "/" in spec.which else _open_board(spec, how)


def _open_board(spec: DeviceSpec, how: Opening) -> JetsonDevice:
    """Open the real device on files that behave as a kernel's do, in this process."""
    board, folder = EmulatedSysfs(spec.which, clock=VirtualClock()), own_folder()
    device = JetsonDevice(
        spec.options,
        sysfs=board,
        clock=board.clock,
        # It ends with this process, so nothing of it can be left behind.
        journal=Journal(folder),
        private=True,
        jobs=lambda workload, _data: board.job(workload),
        spec=spec.name,
        name=board.title,
        simulated=True,
        probe=how.probe,
        for_others=how.for_others,
    )
    weakref.finalize(device, remove_folder, folder, os.getpid())
    return device


def _open_tree(spec: DeviceSpec, how: Opening) -> JetsonDevice:
    """Open the real device on a tree of files, so that other processes see it, too."""
    root = _tree(spec)
    return JetsonDevice(
        spec.options,
        sysfs=RealSysfs(root),
        jobs=lambda workload, _data: TreeJob(root, workload),
        helper=None if how.for_others else ask_helper,
        for_others=how.for_others,
        spec=f"emulated:{root}",
        simulated=True,
        probe=how.probe,
    )


def _tree(spec: DeviceSpec) -> Path:
    root = Path(os.path.expanduser(spec.which)).absolute()  # noqa: PTH111  # Path's own raises without a home
    if not is_tree(root):
        raise UnknownModeError(
            f"{root} holds no emulated board: keep one there with python -m powertrain.virtual.emulated "
            f"{root} orin-agx"
        )
    return root


def _service(spec: DeviceSpec, root: Path) -> ServiceNeeds:
    del root  # the tree stands for a board of its own
    if "/" not in spec.which:
        raise DeviceError(f"{spec.name} ends with the process that opens it: give emulated:FOLDER")
    return ServiceNeeds(writable=(str(_tree(spec)),))


KIND = DeviceKind(name="emulated", forms=("emulated:orin-agx@jp6",), open=_open, service=_service)
