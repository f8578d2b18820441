"""The vendor's power modes: which conf of nvpmodel is in force, and which of its modes."""

from __future__ import annotations

import re

from powertrain.devices._sysfs import Sysfs
from powertrain.devices.jetson.nvpmodel._parse import parse_conf
from powertrain.devices.jetson.nvpmodel._records import NvpConf, NvpMode
from powertrain.errors import DeviceError

__all__ = ["CONF", "STATUS", "asked_mode_id", "present_mode", "read_conf"]

CONF = "/etc/nvpmodel.conf"
"""The board's conf: a link to its module's, made at boot by nvpower.sh (OE4T/meta-tegra, tegra-nvpower)."""
CONF_IN_FORCE = "/var/lib/nvpmodel/conf_file_path"
"""Where nvpmodel keeps the path of the conf that it was last called with.

Public images make it with the line `/etc/nvpmodel.conf`, a public trace of `nvpmodel -f FILE` shows it being
written, and without it `nvpmodel -q` fails. So the conf of a call with `-f` stays in force for calls without.
"""
STATUS = "/var/lib/nvpmodel/status"
"""Where nvpmodel keeps the id that it was last asked for, as in `pmode:0002 fmode:quiet`."""


def read_conf(sysfs: Sysfs) -> NvpConf:
    """Read the conf that is in force.

    Raises:
        DeviceError: There is none, or it breaks the form; the message names the line.
    """
    path = sysfs.read_or(CONF_IN_FORCE)
    if not path.startswith("/") or not sysfs.exists(path):
        path = CONF
    try:
        text = sysfs.read(path)
    except OSError as error:
        raise DeviceError(f"no stock modes: {path} cannot be read ({error.strerror or error})") from error
    return parse_conf(text, path=sysfs.resolve(path))


def present_mode(sysfs: Sysfs, conf: NvpConf) -> NvpMode | None:
    """Return the mode that nvpmodel was last asked for, None where that is not known or not in the conf.

    It need not be in force: where its GPU partitions are others than those of the boot, nvpmodel keeps the id
    and sets nothing (public logs of an Orin Nano Super whose `nvpmodel.service` fails at every boot).
    """
    asked = asked_mode_id(sysfs)
    return next((mode for mode in conf.modes if mode.id == asked), None)


def asked_mode_id(sysfs: Sysfs) -> int | None:
    """Return the id that nvpmodel was last asked for; None where its status file does not tell."""
    match = re.search(r"pmode:(\d{1,9})(?!\d)", sysfs.read_or(STATUS), re.ASCII)
    return int(match[1]) if match else None
