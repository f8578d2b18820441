"""`powertrain status`."""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING

import click

from powertrain.cli._echo import echo
from powertrain.cli._options import command, complete_devices, json_option
from powertrain.cli._printing import print_json, print_table
from powertrain.errors import PowerTrainError

if TYPE_CHECKING:
    from powertrain.report import Table
    from powertrain.workflow import DeviceStatus, Hold

__all__ = ["status_command"]

COMMAND_SHOWN = 80
"""Characters of a process's command line."""


@command(
    "status",
    short="Show who holds a device, and in which mode.",
    examples=("status", "status jetson", "status --json"),
)
@click.argument("specs", metavar="[DEVICE]...", nargs=-1, shell_complete=complete_devices)
@json_option
def status_command(specs: tuple[str, ...], as_json: bool) -> None:
    """Show who holds devices now, which mode is in force, and what the sensors show.

    Without DEVICE, show those of this machine and all others that somebody holds. Nothing is changed.

    A clock that nobody holds moves between two ends. powertrain-helper tells who holds a device through it.
    Without the helper, only runs of this user are seen. A simulated board that is not kept as files lives in
    the memory of each run. For such a board you see its holders, and its state without them.
    """
    from powertrain.opening import found_here
    from powertrain.workflow import device_status, held_elsewhere, open_device

    here = specs or found_here()
    found = [device_status(open_device(spec, probe=False)) for spec in here]
    for spec in () if specs else held_elsewhere(here):
        try:
            found.append(device_status(open_device(spec, probe=False)))
        except PowerTrainError as error:  # its file may be gone
            echo(f"warning: {spec} is held, and cannot be looked at: {error}", err=True)
    if as_json:
        print_json({"devices": found})
        return
    for status in found:
        print_table(_table(status))


def _table(status: DeviceStatus) -> Table:
    from powertrain.report import Table, format_number

    rows = [row for hold in status.holds for row in _hold_rows(hold)] or [("held by", "nobody")]
    if status.stock_mode:
        rows.append(("stock mode", status.stock_mode))
    names = dict.fromkeys((*status.limits, *status.in_force))
    rows += [(name, _knob(status.in_force.get(name), status.limits.get(name))) for name in names]
    if status.power_w == status.power_w:
        rails = ", ".join(f"{rail} {format_number(w)}" for rail, w in status.rails_w.items())
        rows.append(("power [W]", f"{format_number(status.power_w)}{f' ({rails})' if rails else ''}"))
    if status.temperature_c == status.temperature_c:
        rows.append(("temperature [\N{DEGREE SIGN}C]", format_number(status.temperature_c)))
    rows.append(("cut its clocks", f"{status.throttle_count:,} times" if status.throttle_count else "never"))
    rows += [("problem", problem) for problem in status.problems]
    return Table.of(f"{status.device} ({status.spec})", ("", " "), rows)


def _hold_rows(hold: Hold) -> list[tuple[str, str]]:
    if hold.left_behind:
        return [("held by", f"{hold.by}: powertrain restore restores the device")]
    since = ""
    if hold.since_s == hold.since_s:
        since = f", since {datetime.fromtimestamp(hold.since_s).astimezone():%Y-%m-%d %H:%M:%S %Z}"
    rows = [("held by", f"{hold.by}{since}")]
    if hold.mode:
        rows.append(("in mode", hold.mode))
    if hold.command:
        rows.append(("which runs", _shortened(hold.command)))
    return rows


def _shortened(command: str) -> str:
    """Return the beginning of a command line, without the interpreter and the folders of a program."""
    words = shlex.split(command)
    if len(words) > 1 and PurePath(words[0]).name.startswith("python"):
        words = words[1:]
    text = shlex.join([PurePath(words[0]).name, *words[1:]])
    return text if len(text) <= COMMAND_SHOWN else f"{text[: COMMAND_SHOWN - 3]}..."


def _knob(in_force: tuple[float, float] | None, limits: tuple[float, float] | None) -> str:
    can_be = "" if limits is None else f", of {limits[0]:.6g} to {limits[1]:.6g}"
    if in_force is None:
        return f"cannot be read{can_be}"
    least, greatest = in_force
    return (f"{least:.6g}" if least == greatest else f"moves from {least:.6g} to {greatest:.6g}") + can_be
