"""`powertrain selftest` and `powertrain export-nvpmodel`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from powertrain.cli._echo import echo, echo_data
from powertrain.cli._options import (
    command,
    device_spec_option,
    existing_file,
    json_option,
    seed_option,
    text_output,
)
from powertrain.cli._printing import (
    STDIO,
    print_json,
    print_sentence,
    print_table,
    progress_bar,
    refuse_unwritable,
    write_text,
)
from powertrain.cli._root import Failure, knobs_as_typed
from powertrain.wording import counted

if TYPE_CHECKING:
    from powertrain.selftest import SelfTest
    from powertrain.workflow import Deployment

__all__ = ["export_nvpmodel_command", "selftest_command"]

QUESTION = "Hold 8 of its modes for a second each, and restore the device after each?"


@command(
    "selftest",
    short="Check whether a device can be trusted.",
    examples=("selftest", "selftest --device sim:orin-agx --write --report report.md"),
)
@device_spec_option(name="spec", default="auto")
@click.option("--write", is_flag=True, help="Also set modes, without asking. Each is restored at once.")
@click.option(
    "--report",
    "report_path",
    type=text_output,
    help="Write a report to send to us to this file; - for stdout.",
)
@seed_option
@json_option
def selftest_command(spec: str, write: bool, report_path: Path | None, seed: int, as_json: bool) -> None:
    """Check a device without changing it. Then, if you agree, hold a few of its modes.

    The second part holds eight modes for a second each under a small load: the lowest, a middle one, the
    highest and five others. It checks that each is in force and shows in the power, and that the device is
    restored. The report does not name the machine or its user, and holds no serial number, MAC or UUID.
    """
    from powertrain.selftest import inspect_device, selftest_json, selftest_page, selftest_tables
    from powertrain.workflow import open_device

    if report_path is not None:
        refuse_unwritable(report_path)
    result = inspect_device(open_device(spec, probe=False))
    if write:
        result = _tried(spec, seed=seed)
    if not as_json and report_path != STDIO:
        _show(result)
        if not write and _agreed():
            result = _tried(spec, seed=seed)
            for table in selftest_tables(result)[-2:]:
                print_table(table)
        elif not write:
            print_sentence("Nothing was set. powertrain selftest --write sets modes, too.")
    if report_path is not None:
        write_text(report_path, selftest_page(result))
    if as_json:
        print_json(selftest_json(result))
    elif report_path not in (None, STDIO):
        echo(f"wrote {report_path}")
    if result.failed:
        names = ", ".join(check.name for check in result.failed)
        failed = f"{len(result.failed)} of {counted(len(result.checks), 'check')}"
        raise Failure(f"{failed} failed: {names}")


def _show(result: SelfTest) -> None:
    from powertrain.selftest import selftest_tables

    for table in selftest_tables(result):
        print_table(table)
    for note in result.notes:
        print_sentence(f"- {note}", indent="  ")
    echo()


def _agreed() -> bool:
    """Ask, where there is somebody to answer."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return click.confirm(QUESTION, default=False)


def _tried(spec: str, *, seed: int) -> SelfTest:
    """Open the device anew, as whoever may try what it can do, and hold some of its modes."""
    from powertrain.selftest import inspect_device, try_device
    from powertrain.workflow import open_device

    device = open_device(spec)
    with progress_bar() as move:
        return try_device(device, inspect_device(device), seed=seed, progress=move)


@command(
    "export-nvpmodel",
    short="Write a mode for the vendor's nvpmodel.",
    examples=(
        'export-nvpmodel "cpu_cores=8 cpu_mhz=1728 gpu_mhz=816" --device jetson --whole --out my.conf',
        'export-nvpmodel "cpu_cores=4 gpu_mhz=612" --conf nvpmodel.conf --name FOUR_CORES',
    ),
)
@click.argument("mode_text", metavar="MODE")
@click.option(
    "--device",
    "spec",
    metavar="SPEC",
    help="The board, such as jetson. Its conf is used, and MODE must be one of its modes.",
)
@click.option(
    "--conf", "conf_path", type=existing_file, help="An nvpmodel conf to use instead of the board's."
)
@click.option("--name", help="Name of the new mode: upper-case letters, digits and _.")
@click.option(
    "--like", help="Mode of the conf that supplies all but cores and clocks.  [default: the one in force]"
)
@click.option("--whole", is_flag=True, help="Write the whole conf with the new mode, not only its section.")
@click.option("--out", "out_path", type=text_output, help="Write to this file instead of the screen.")
@json_option
def export_nvpmodel_command(
    mode_text: str,
    spec: str | None,
    conf_path: Path | None,
    name: str | None,
    like: str | None,
    whole: bool,
    out_path: Path | None,
    as_json: bool,
) -> None:
    """Write MODE as a mode of nvpmodel, so that a Jetson can run in it without PowerTrain.

    MODE is KNOB=VALUE with blanks or commas between knobs, as choose prints it. Both ends of a clock are set,
    so that it is held. Only the memory clock is capped, because nvpmodel cannot hold it. Partitions of the
    GPU and accelerators stay as they are. The output says what to do with the section.
    """
    from powertrain.workflow import deployment, open_device, parsed_mode, vendor_modes

    if spec is None and conf_path is None:
        raise click.UsageError("say for which board: --device jetson, or --conf FILE")
    if out_path == STDIO:
        out_path = None  # the section goes there anyway
    if out_path is not None:
        refuse_unwritable(out_path)
    device = None if spec is None else open_device(spec)
    vendor = vendor_modes(device, conf_path)
    mode = parsed_mode(mode_text, device)
    with knobs_as_typed():
        written = deployment(vendor, mode, device=device, name=name, like=like, whole=whole)
    if out_path is not None:
        write_text(out_path, written.text)
    if as_json:
        print_json(written)
        return
    if out_path is None:
        echo_data(written.text)
    _show_steps(written, out_path)


def _show_steps(written: Deployment, out_path: Path | None) -> None:
    """Tell what to do: beside the text if that goes to the screen or a pipe, else as the answer."""
    err = out_path is None
    echo(f"mode {written.name} has the ID {written.id}; it takes all else from {written.like}", err=err)
    for number, step in enumerate(written.steps, start=1):
        echo(f"{number}. {step.replace('FILE', str(out_path or 'FILE'))}", err=err)
    echo(f"back: {written.back}", err=err)
    for warning in written.warnings:
        echo(f"- {warning}", err=err)
