"""`powertrain import` and `powertrain export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from powertrain.cli._options import (
    NAME_HELP,
    command,
    complete_workloads,
    database_option,
    device_name_option,
    json_option,
    names,
    text_input,
    text_output,
)
from powertrain.cli._printing import (
    STDIO,
    content_of,
    print_json,
    print_table,
    refuse_unwritable,
    write_blocks,
)
from powertrain.wording import counted

if TYPE_CHECKING:
    from powertrain.report import Table
    from powertrain.workflow import Imported

__all__ = ["export_command", "import_command"]


@command(
    "import",
    short="Read measured profiles from CSV files.",
    examples=("import measured.csv --db profiles.db",),
)
@click.argument("files", metavar="FILE.csv...", nargs=-1, required=True, type=text_input)
@database_option(made=True)
@click.option(
    "--knobs",
    type=names,
    metavar="NAME,...",
    help="Columns that are knobs, instead of guessing: gpu_mhz,mem_mhz.",
)
@click.option(
    "--again", is_flag=True, help="Add profiles even if equal ones are there: a repeated measurement."
)
@json_option
def import_command(
    files: tuple[Path, ...], database: str, knobs: tuple[str, ...] | None, again: bool, as_json: bool
) -> None:
    """Read measured profiles from CSV files into a database.

    The form is device,workload,KNOBS...,time_ms,power_w with a row per measurement; an empty cell is "not
    measured". Importing a file again adds nothing; a file that cannot be read adds nothing of any. - is
    standard input.
    """
    from powertrain.dataset import open_store, read_csv
    from powertrain.workflow import add_new

    given = [content_of(path) for path in files]
    contents = {name: read_csv(name, knobs=knobs, content=content) for name, content in given}
    with open_store(database) as store:
        reports = {path: add_new(content, store, again=again) for path, content in contents.items()}
        place = store.location
    for report in reports.values():
        for warning in report.warnings:
            click.echo(f"warning: {warning}", err=True)
    if as_json:
        print_json([_imported_json(path, report) for path, report in reports.items()])
        return
    for path, report in reports.items():
        if report.added:
            print_table(_imported_table(path, report))
        if report.skipped:
            were = "was" if report.skipped == 1 else "were"
            skipped = counted(report.skipped, "profile")
            click.echo(f"{skipped} of {path} {were} in {place} already; --again adds {_them(report.skipped)}")


def _them(n: int) -> str:
    return "it" if n == 1 else "them"


def _imported_json(path: Path, report: Imported) -> dict[str, Any]:
    return {
        "file": str(path),
        "added": [{"device": d, "workload": w, "profiles": n} for (d, w), n in report.added.items()],
        "skipped": report.skipped,
        "knobs": report.knobs,
        "warnings": report.warnings,
    }


def _imported_table(path: Path, report: Imported) -> Table:
    from powertrain.report import Table

    rows = [(device, workload, n) for (device, workload), n in report.added.items()]
    title = f"{path}: knobs {', '.join(report.knobs)}"
    return Table.of(title, ("device", "workload", "profiles added"), rows)


@command(
    "export",
    short="Write profiles to a CSV file.",
    examples=("export --db profiles.db measured.csv --workload resnet18",),
)
@database_option()
@click.argument("file", metavar="FILE.csv", type=text_output)
@device_name_option(f"Only the profiles of this device. {NAME_HELP}")
@click.option("--workload", shell_complete=complete_workloads, help="Only the profiles of this workload.")
@json_option
def export_command(
    database: str, file: Path, device: str | None, workload: str | None, as_json: bool
) -> None:
    """Write the profiles of a database to a CSV file that `import` reads; - is standard output."""
    from powertrain.dataset import csv_blocks, open_store
    from powertrain.workflow import device_in, stored_columns

    refuse_unwritable(file)
    with open_store(database, create=False) as store:
        profiles = stored_columns(store, device=device_in(store, device), workload=workload)
    write_blocks(file, csv_blocks(profiles))
    if as_json:
        print_json({"file": str(file), "profiles": len(profiles)})
    elif file != STDIO:
        click.echo(f"{counted(len(profiles), 'profile')} written to {file}")
