"""`powertrain status`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from powertrain.cli._options import command, complete_devices, json_option
from powertrain.cli._printing import print_json, print_table

if TYPE_CHECKING:
    from powertrain.report import Table
    from powertrain.workflow import DeviceStatus, Hold

__all__ = ["status_command"]


@command(
    "status",
    short="Show who holds a device, and what is in force.",
    examples=("status", "status jetson", "status --json"),
)
@click.argument("specs", metavar="[DEVICE]...", nargs=-1, shell_complete=complete_devices)
@json_option
def status_command(specs: tuple[str, ...], as_json: bool) -> None:
    """Show what devices are doing now: who holds them, what is in force, and what their sensors show.

    Without DEVICE, those of this machine. Nothing is changed. A clock that nobody holds moves between two
    ends. Who holds a device through powertrain-helper is asked of the helper.
    """
    from powertrain.opening import found_here
    from powertrain.workflow import device_status, open_device

    found = [device_status(open_device(spec, probe=False)) for spec in specs or found_here()]
    if as_json:
        print_json({"devices": found})
        return
    for status in found:
        print_table(_table(status))


def _table(status: DeviceStatus) -> Table:
    from powertrain.report import Table, format_number

    rows = [("held by", "nobody" if status.hold is None else _held(status.hold))]
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


def _held(hold: Hold) -> str:
    if hold.left_behind:
        return f"{hold.by}: powertrain restore gives the device back"
    if hold.since_s != hold.since_s:
        return hold.by
    return f"{hold.by}, since {datetime.fromtimestamp(hold.since_s).astimezone():%Y-%m-%d %H:%M:%S %Z}"


def _knob(in_force: tuple[float, float] | None, limits: tuple[float, float] | None) -> str:
    can_be = "" if limits is None else f", of {limits[0]:.6g} to {limits[1]:.6g}"
    if in_force is None:
        return f"cannot be read{can_be}"
    least, greatest = in_force
    return (f"{least:.6g}" if least == greatest else f"moves from {least:.6g} to {greatest:.6g}") + can_be
