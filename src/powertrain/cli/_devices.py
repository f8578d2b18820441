"""`powertrain devices` and `powertrain modes`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from powertrain.cli._echo import echo
from powertrain.cli._options import (
    SAMPLINGS,
    Count,
    command,
    complete_devices,
    json_option,
    rows_option,
    seed_option,
    text_output,
)
from powertrain.cli._printing import (
    STDIO,
    print_json,
    print_sentence,
    print_table,
    refuse_unwritable,
    write_text,
)
from powertrain.wording import counted

if TYPE_CHECKING:
    from powertrain.devices import AbstractDevice, Reason
    from powertrain.records import ModeTable
    from powertrain.report import Table

__all__ = ["devices_command", "modes_command"]


@command(
    "devices",
    short="Show devices: modes, knobs, workloads.",
    examples=("devices", "devices cpu", "devices replay:measured.csv"),
)
@click.argument("specs", metavar="[DEVICE]...", nargs=-1, shell_complete=complete_devices)
@json_option
def devices_command(specs: tuple[str, ...], as_json: bool) -> None:
    """Show the modes, knobs and workloads of devices, what works and what is missing.

    Without DEVICE, show the devices of this machine and the simulated boards. A DEVICE is one of these, if
    needed with options as in cpu?batch_size=8,16 or sim:orin-agx?seed=3. It can also be replay:FILE.csv, or
    replay:FILE.csv#NAME if the file has several devices.
    """
    from powertrain.opening import device_forms, found_here
    from powertrain.virtual import BOARDS
    from powertrain.workflow import open_device

    given = specs or (*found_here(), *BOARDS)
    found = [open_device(spec, probe=_is_our_own(spec)) for spec in given]
    if as_json:
        print_json({"devices": [_described(device) for device in found], "specs": device_forms()})
        return
    if not specs:
        here = [device for device in found if not device.simulated]
        print_table(_overview("Devices of this machine", here))
        for device in here:
            for note in device.notes():
                print_sentence(f"- {device.spec}: {note}", indent="  ")
        echo()
        boards = [device for device in found if device.simulated]
        print_table(_overview("Simulated boards, which are always here", boards))
        print_sentence(f"A DEVICE is given as {' or '.join(device_forms())}.")
        return
    for device in found:
        print_table(_device_table(device))
        for note in device.notes():
            print_sentence(f"- {note}", indent="  ")
        echo()


def _is_our_own(spec: str) -> bool:
    """Tell whether a board lives in this process, so that nothing of the machine's changes if it is tried."""
    return spec.startswith("emulated:") and "/" not in spec


def _described(device: AbstractDevice) -> dict[str, Any]:
    return {
        "spec": device.spec,
        "name": device.name,
        "simulated": device.simulated,
        "modes": device.count(),
        "knobs": {knob.name: knob.values for knob in device.space.knobs},
        "power_from": _rails(device),
        "workloads": device.workloads(),
        "stock_modes": {name: dict(mode) for name, mode in device.stock_modes().items()},
        "missing": _missing(device),
        "notes": device.notes(),
    }


def _missing(device: AbstractDevice) -> tuple[Reason, ...]:
    from powertrain.devices import AbstractLiveDevice

    return device.missing if isinstance(device, AbstractLiveDevice) else ()


def _overview(title: str, devices: list[AbstractDevice]) -> Table:
    from powertrain.report import Table

    return Table.of(
        title,
        ("spec", "device", "modes", "knobs", "power"),
        [
            (device.spec, device.name, device.count(), ", ".join(device.space.names), _power(device))
            for device in devices
        ],
        note="powertrain devices SPEC tells more of one.",
    )


def _rails(device: AbstractDevice) -> tuple[str, ...]:
    from powertrain.devices import AbstractLiveDevice

    return device.rails if isinstance(device, AbstractLiveDevice) else ()


def _power(device: AbstractDevice) -> str:
    rails = _rails(device)
    return " + ".join(rails) if rails else "none"


def _device_table(device: AbstractDevice) -> Table:
    from powertrain.report import Table

    rows = [
        ("spec", device.spec),
        ("modes", f"{device.count():,}"),
        *(("knob", _knob_line(knob.name, knob.values)) for knob in device.space.knobs),
        ("workloads", ", ".join(device.workloads())),
    ]
    stock = device.stock_modes()
    if stock:
        rows.append(("stock modes", ", ".join(stock)))
    return Table.of(device.name, ("", " "), rows)


def _knob_line(name: str, values: tuple[float, ...]) -> str:
    from powertrain.space import KNOWN_KNOBS

    spread = f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"
    meaning = f", {KNOWN_KNOBS[name].meaning}" if name in KNOWN_KNOBS else ""
    return f"{name}: {counted(len(values), 'value')}, {spread}{meaning}"


@command(
    "modes",
    short="Show a mode space, or sample it.",
    examples=(
        "modes sim:orin-agx",
        "modes sim:orin-agx --count",
        "modes sim:orin-agx --sample 15 --csv to_profile.csv",
    ),
)
@click.argument("device_spec", metavar="DEVICE", shell_complete=complete_devices)
@click.option("--count", "only_count", is_flag=True, help="Print only how many modes there are.")
@click.option("--sample", type=Count(min=1), help="Choose this many modes to profile.")
@click.option(
    "--sampling",
    type=click.Choice(SAMPLINGS),
    default="spread",
    show_default=True,
    help="How to choose them: spread over the space, or at random.",
)
@click.option("--workload", help="Only modes in which this workload can be measured. A replay lacks some.")
@rows_option("Rows shown of a sample.")
@click.option(
    "--csv",
    "csv_path",
    type=text_output,
    help="Write the sample, or all modes without --sample, to this file; - for stdout.",
)
@seed_option
@json_option
def modes_command(
    device_spec: str,
    only_count: bool,
    sample: int | None,
    sampling: Any,
    workload: str | None,
    limit: int,
    csv_path: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Show the power modes of DEVICE, or choose some to profile."""
    from powertrain.workflow import modes_csv, open_device, plan

    if only_count and (sample is not None or csv_path is not None):
        raise click.UsageError("--count stands alone: give it without --sample and --csv")
    if csv_path is not None:
        refuse_unwritable(csv_path)
    device = open_device(device_spec)
    count = device.count(workload=workload)
    modes = None
    if sample is not None:
        modes = plan(device, sample, workload=workload, sampling=sampling, seed=seed)
    if csv_path is not None:
        write_text(csv_path, modes_csv(device.modes(workload=workload) if modes is None else modes))
    if as_json:
        print_json(_modes_json(device, count, modes))
    elif csv_path == STDIO:
        return
    elif only_count:
        echo(str(count))
    elif modes is None:
        print_table(_device_table(device))
    else:
        print_table(_mode_table(device, modes, limit))


def _modes_json(device: AbstractDevice, count: int, modes: ModeTable | None) -> dict[str, Any]:
    knobs = {knob.name: knob.values for knob in device.space.knobs}
    if modes is None:
        return {"device": device.name, "count": count, "knobs": knobs}
    return {"device": device.name, "count": len(modes), "knobs": knobs, "modes": [dict(m) for m in modes]}


def _mode_table(device: AbstractDevice, modes: ModeTable, limit: int) -> Table:
    from powertrain.report import Column, Table

    shown = [[f"{value:.10g}" for value in row] for row in modes.values[:limit]]
    hidden = len(modes) - len(shown)
    return Table.of(
        f"{counted(len(modes), 'mode')} of {device.name}, in the order to measure them",
        [Column(name=knob) for knob in modes.knobs],
        shown,
        note=f"{hidden:,} more; --limit shows them, --csv FILE writes all" if hidden else "",
    )
