"""How recorded measurements are opened as a device."""

from __future__ import annotations

import os
from pathlib import Path

from powertrain.devices._kinds import DeviceKind, DeviceSpec, Opening
from powertrain.errors import DataError, DeviceError, UnknownNameError
from powertrain.virtual._replay import ReplayDevice

__all__ = ["REPLAY", "path_and_device"]

FORMS = ("replay:FILE.csv", "replay:FILE.csv#DEVICE")


def _open(spec: DeviceSpec, how: Opening) -> ReplayDevice:
    if not spec.rest:
        raise UnknownNameError.of("device", spec.text, FORMS)
    if how.read_tables is None:
        raise DeviceError(f"{spec.text!r} needs a reader of files, and none was given: pass read_tables")
    path, device = path_and_device(spec.rest)
    tables = list(how.read_tables(path))
    if not tables:
        raise DataError(f"{path} holds no profiles to replay")
    found = sorted({table.device for table in tables})
    if device is None and len(found) > 1:
        raise DeviceError(f"{path} has {len(found)} devices, {', '.join(found)}: add one, as in #{found[0]}")
    device = found[0] if device is None else device
    if device not in found:
        raise UnknownNameError.of(f"device in {path.name}", device, found)
    return ReplayDevice([table for table in tables if table.device == device], spec=spec.text)


def path_and_device(text: str) -> tuple[Path, str | None]:
    """Split `FILE#DEVICE` at the last `#`, unless a file of the whole name exists."""
    whole = _at_home(text)
    head, mark, device = text.rpartition("#")
    if not mark or not head or whole.is_file():
        return whole, None
    return _at_home(head), device or None


def _at_home(text: str) -> Path:
    """Return a path whose `~` is the home folder; where there is none, it stays."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  # Path's own raises a RuntimeError


REPLAY = DeviceKind(name="replay", forms=FORMS, open=_open)
