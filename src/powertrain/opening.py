"""From the text that a person types to a device: the one place that knows every kind of device.

`BUILT_IN` has a line for each kind that comes with PowerTrain. Another package adds a kind by an entry point:

```toml
[project.entry-points."powertrain.devices"]
amd = "powertrain_amd:KIND"    # a DeviceKind whose name is amd
```

A kind is imported only when it is asked for, so a broken one is in nobody's way.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from importlib.metadata import EntryPoint, entry_points

from powertrain.devices._base import AbstractDevice
from powertrain.devices._kinds import DeviceKind, DeviceSpec, Opening, TableReader
from powertrain.errors import DeviceError, UnknownNameError

__all__ = ["BUILT_IN", "GROUP", "device_forms", "found_here", "kind_of", "open_device"]

logger = logging.getLogger(__name__)

GROUP = "powertrain.devices"
"""The group of entry points by which other packages add kinds of devices."""

BUILT_IN: dict[str, str] = {
    "jetson": "powertrain.devices.jetson:KIND",
    "nvml": "powertrain.devices.nvml:KIND",
    "zeusd": "powertrain.devices.zeusd:KIND",
    "cpu": "powertrain.devices.cpu:KIND",
    "sim": "powertrain.virtual.simulated:KIND",
    "emulated": "powertrain.virtual.emulated:KIND",
    "replay": "powertrain.virtual:REPLAY",
}
"""The kinds that come with PowerTrain, in the order in which a training is likely to run on them."""

AUTO = "auto"
"""Stands for the first device that is found on this machine."""
LAST = "cpu"
"""Every machine has this one, so it is found after all others, also after those of other packages."""


def open_device(
    spec: str, *, read_tables: TableReader | None = None, probe: bool = True, for_others: bool = False
) -> AbstractDevice:
    """Open a device by its spec.

    Args:
        spec: A device of this machine (`"jetson"`, `"nvml:0"`, `"cpu"`, or `"auto"`, the first of these that
            is found), a simulated board such as `"sim:orin-agx"`, with options as in
            `"sim:orin-agx?seed=3&off=noise,heat"` (`clock=real` takes as long as a board would; `off=all`
            switches every disturbance off; `state=FILE` keeps the mode in a file, as hardware does), or
            `"replay:FILE.csv"`, with `#DEVICE` after it where the file has several. `"emulated:FOLDER"` is
            an emulated Jetson whose files a process of its own keeps below a folder.
        read_tables: Reads the profiles of a file, one table per device and workload; needed for a replay.
        probe: Whether a Jetson's memory clocks may be tried, which changes the board for a few seconds, the
            first time after each boot; without, its memory clock may be missing.
        for_others: Whether the device is to be held for other processes, as `powertrain-helper` does: then it
            asks no helper itself, and has no knob that belongs to this process alone.

    Raises:
        UnknownNameError: No such spec, option or disturbance, or no such device in the file.
        DeviceError: The kind of device cannot be imported, a file to replay holds several devices and none
            is named, or there is no `read_tables`.
    """
    how = Opening(read_tables=read_tables, probe=probe, for_others=for_others)
    asked = DeviceSpec(spec)
    if asked.name == AUTO:
        # The first that is found: whoever has a GPU is not asking about the processor.
        first = found_here()[0]
        asked = DeviceSpec(f"{first}?{asked.options}" if asked.options else first)
    return kind_of(asked).open(asked, how)


def kind_of(spec: DeviceSpec) -> DeviceKind:
    """Return the kind of a device; no other kind is imported.

    Raises:
        UnknownNameError: There is no such kind.
        DeviceError: The package that brings it cannot be imported.
    """
    entry = _entries().get(spec.kind)
    if entry is not None:
        return _loaded(entry)
    if _is_csv(spec.text):
        raise UnknownNameError(f"unknown device {spec.text!r}: did you mean 'replay:{spec.text}'?")
    raise UnknownNameError.of("device", spec.text, device_forms())


def device_forms() -> tuple[str, ...]:
    """Return the forms of spec that `open_device` takes, of every kind that can be imported."""
    return (AUTO, *(form for kind in _kinds() for form in kind.forms))


def found_here() -> tuple[str, ...]:
    """Return the specs of the devices of this machine that can be opened, the likeliest first."""
    kinds = sorted(_kinds(), key=lambda kind: kind.name == LAST)
    return tuple(spec for kind in kinds for spec in kind.find())


def _entries() -> dict[str, EntryPoint]:
    """Return the entry point of each kind, by name; nobody can take the place of a built-in kind."""
    built_in = {name: EntryPoint(name, value, GROUP) for name, value in BUILT_IN.items()}
    added = {entry.name: entry for entry in entry_points(group=GROUP)}
    return {**built_in, **{name: entry for name, entry in added.items() if name not in built_in}}


def _kinds() -> Generator[DeviceKind]:
    """Yield every kind that can be imported, and report each of the others in one line."""
    for entry in _entries().values():
        try:
            yield _loaded(entry)
        except DeviceError as error:
            logger.warning("%s", error)


def _loaded(entry: EntryPoint) -> DeviceKind:
    """Import a kind of device.

    Raises:
        DeviceError: It cannot be imported, or it is not a kind of device of that name.
    """
    try:
        kind = entry.load()
    except Exception as error:  # the boundary to code of others, which may fail in any way
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DeviceError(
            f"{_origin(entry)} cannot be imported ({reason}): reinstall or remove it"
        ) from error
    if not isinstance(kind, DeviceKind) or kind.name != entry.name:
        raise DeviceError(
            f"{_origin(entry)} is {kind!r:.80}, not a DeviceKind named {entry.name!r}: tell who wrote it"
        )
    return kind


def _origin(entry: EntryPoint) -> str:
    """Return what an error says of where a kind of device comes from."""
    package = f" of the package {entry.dist.name}" if entry.dist is not None else ""
    return f"the device {entry.name!r}{package} ({entry.value})"


def _is_csv(spec: str) -> bool:
    """Return whether `spec` is a path to a CSV file, with or without `#DEVICE`, and no misspelt kind."""
    from powertrain.virtual import path_and_device

    path, _ = path_and_device(spec)
    return path.suffix.lower() == ".csv" and (":" not in spec or path.is_file())
