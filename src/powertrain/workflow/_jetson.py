"""Deploying a chosen mode on a Jetson without PowerTrain: as a mode of the vendor's nvpmodel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import final

from powertrain.devices import AbstractDevice
from powertrain.devices._sysfs import RealSysfs, Sysfs
from powertrain.devices.jetson import JetsonDevice
from powertrain.devices.jetson.nvpmodel import (
    CONF,
    NvpConf,
    NvpMode,
    export_mode,
    parse_conf,
    present_mode,
    read_conf,
)
from powertrain.errors import DeviceError, UnknownModeError
from powertrain.files import read_file
from powertrain.records import PowerMode
from powertrain.space import SOFTWARE_KNOBS, ModeSpace
from powertrain.workflow._holding import held_mode

__all__ = ["Deployment", "VendorModes", "deployment", "parsed_mode", "vendor_modes"]

OWN_CONF = "/etc/nvpmodel/powertrain.conf"
"""Where a whole conf is put: nvpmodel remembers the path and wants the file there at the next boot."""

LARGEST_CONF_BYTES = 1 << 20
"""Of a file of nvpmodel; the largest that NVIDIA ships has some 40,000."""


@final
@dataclass(frozen=True, kw_only=True)
class VendorModes:
    """The conf of a board, and which of its modes is in force, as far as that is known."""

    conf: NvpConf
    home: str
    """Under which path the board knows the conf."""
    present: NvpMode | None

    @property
    def before(self) -> NvpMode:
        """The mode to come back to: the one in force, else the default."""
        return self.present or self.conf.default_mode


@final
@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A mode in the words of a conf, and what to do with it."""

    id: int
    name: str
    like: str
    """The stock mode from which everything is taken that the mode does not say."""
    text: str
    """The section, or the whole conf with it."""
    steps: tuple[str, ...]
    """What to do, in order; a command where it can be one."""
    back: str
    """The command that brings the mode before back."""
    warnings: tuple[str, ...]


def vendor_modes(device: AbstractDevice | None = None, conf: Path | None = None) -> VendorModes:
    """Read the given conf, or the one that is in force on a board.

    Args:
        device: The board; this machine if None.
        conf: A file that is read instead.

    Raises:
        DeviceError: There is none, or it breaks the form; the message names the line.
    """
    if conf is None:
        sysfs = _sysfs_of(device)
        found = read_conf(sysfs)
        home = CONF if sysfs.resolve(CONF) == found.path else found.path
        return VendorModes(conf=found, home=home, present=present_mode(sysfs, found))
    try:
        text = read_file(conf, most_bytes=LARGEST_CONF_BYTES).decode(errors="replace")
    except OSError as error:
        raise DeviceError(f"cannot read {conf}: {error.strerror}") from error
    except ValueError as error:
        raise DeviceError(str(error)) from error
    return VendorModes(conf=parse_conf(text, path=str(conf)), home=CONF, present=None)


def _sysfs_of(device: AbstractDevice | None) -> Sysfs:
    if device is None:
        return RealSysfs()
    if isinstance(device, JetsonDevice):
        return device.sysfs
    raise DeviceError(f"{device.name} is not a Jetson and has no conf of nvpmodel: give one with --conf")


def parsed_mode(text: str, device: AbstractDevice | None = None) -> PowerMode:
    """Read `KNOB=VALUE ...`, or with a device the name of one of its stock modes.

    Raises:
        UnknownNameError: There is no such stock mode.
        ValueError: It is not a mode.
    """
    return PowerMode.parse(text) if device is None else held_mode(device, text)


def deployment(
    vendor: VendorModes,
    mode: PowerMode,
    *,
    device: AbstractDevice | None = None,
    name: str | None = None,
    like: str | None = None,
    whole: bool = False,
) -> Deployment:
    """Write a mode as one of nvpmodel's, with the steps that put it into force.

    Args:
        vendor: The conf to write it for.
        mode: The mode.
        device: The board, if it is here: the mode must be one of its modes.
        name: Of the new mode; the first of POWERTRAIN, POWERTRAIN_2 and so on that is free if None.
        like: Name or id of the mode from which all else is taken; the one in force if None, else the default.
        whole: Whether to write the whole conf rather than the section alone.

    Raises:
        DeviceError: The device does not have the mode, or the conf declares nothing for a knob.
        UnknownNameError: The conf has no mode `like`.
    """
    conf = vendor.conf
    if device is not None:
        _check_values(mode, device.space, device.name)
    written = export_mode(
        conf,
        mode,
        name or _free_name(conf),
        like=vendor.before if like is None else conf.mode(like),
        space=_whole_space(device),
        order=device.core_order if isinstance(device, JetsonDevice) else None,
    )
    return Deployment(
        id=written.id,
        name=written.name,
        like=written.like,
        text=written.whole if whole else written.block,
        steps=_steps(written.id, vendor.home, whole=whole),
        back=_set_mode(vendor.home, vendor.before.id),
        warnings=(*written.warnings, *_cautions(vendor)),
    )


def _whole_space(device: AbstractDevice | None) -> ModeSpace | None:
    """Return what a board has; what the options leave of it may end at a clock that is not its greatest."""
    if device is None:
        return None
    return device.hardware_space if isinstance(device, JetsonDevice) else device.space


def _steps(number: int, home: str, *, whole: bool) -> tuple[str, ...]:
    file = OWN_CONF if whole else home
    there = (
        f"sudo cp FILE {OWN_CONF}"
        if whole
        else f"keep a copy of {home}, and put the section into it above the line < PM_CONFIG ... >"
    )
    return there, _set_mode(file, number), f"sudo nvpmodel -f {file} -q --verbose"


def _set_mode(file: str, number: int) -> str:
    """Return the command that sets a mode.

    nvpmodel may ask whether to reboot, and wait (OE4T/meta-tegra issues 1268 and 1864): its input is closed.
    """
    return f"sudo nvpmodel -f {file} -m {number} < /dev/null"


def _cautions(vendor: VendorModes) -> tuple[str, ...]:
    cautions = [
        # mlcommons/inference_results_v3.0, power_limit.py: it was seen to fail with all applied.
        "The last step tells whether it is in force: REAL_VAL must equal CONF_VAL. The exit code does not.",
        "nvpmodel keeps using the file of its last -f, even after a reboot. Leave it in its place, and name "
        "the file to go back.",
        # OE4T/meta-tegra, tegra-nvpower: it deletes /var/lib/nvpmodel/status; for which changes is not clear.
        "After the next boot, check again with nvpmodel -q. If nvpower.sh finds another conf than before, it "
        "makes nvpmodel forget the mode.",
    ]
    if vendor.present is None:
        default = vendor.conf.default
        cautions.append(
            f"Which mode is in force is not known: note its ID before ({default} is the default)."
        )
    return tuple(cautions)


def _free_name(conf: NvpConf) -> str:
    taken = {mode.name for mode in conf.modes}
    names = ("POWERTRAIN", *(f"POWERTRAIN_{n}" for n in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def _check_values(mode: PowerMode, space: ModeSpace, device: str) -> None:
    """Refuse values that a board's tables lack: nvpmodel would round them silently."""
    for name, value in mode.items():
        if name in SOFTWARE_KNOBS or name not in space.names:
            continue
        try:
            space.knob(name).index(value)
        except ValueError as error:
            raise UnknownModeError(f"{device}: {error}") from None
