"""`powertrain import` and `powertrain export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import click
from typing_extensions import override

from powertrain.cli._echo import echo
from powertrain.cli._options import (
    NAME_HELP,
    Amount,
    command,
    complete_workloads,
    database_option,
    device_name_option,
    existing_file,
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
from powertrain.cli._root import knobs_as_typed
from powertrain.wording import counted

if TYPE_CHECKING:
    from powertrain.report import Table
    from powertrain.workflow import Imported

__all__ = ["export_command", "import_command"]


@final
class _Mapping(click.ParamType[tuple[str, str]]):
    """`COLUMN=WHAT`, the column as the file writes it."""

    name = "mapping"

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        column, mark, what = str(value).rpartition("=")
        if not mark or not column.strip() or not what.strip():
            self.fail(f'{value!r} is not COLUMN=WHAT, as in "GPU Freq (MHz)=gpu_mhz"', param, ctx)
        return column.strip(), what.strip()


@command(
    "import",
    short="Read measured profiles from tables.",
    examples=(
        "import measured.csv --db profiles.db",
        'import board.xlsx --db profiles.db --device "My board" --workload resnet18 '
        '--map "GPU Freq=gpu_mhz" --map "Fan=knob:fan_pct"',
    ),
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=text_input)
@database_option(made=True)
@click.option(
    "--map",
    "mapped",
    type=_Mapping(),
    multiple=True,
    metavar='"COLUMN=WHAT"',
    help="What a column is: gpu_mhz, time_ms, knob:NAME for any setting, extra:NAME to keep it aside. May be "
    "repeated.",
)
@click.option("--device", metavar="NAME", help="The device of all rows, for a table without such a column.")
@click.option("--workload", metavar="NAME", help="The workload of all rows, likewise.")
@click.option(
    "--knobs",
    type=names,
    metavar="NAME,...",
    help="Columns that are knobs, such as gpu_mhz,mem_mhz. Every other unknown column is kept aside.",
)
@click.option(
    "--again", is_flag=True, help="Add profiles even if equal ones are there, as repeated measurements."
)
@click.option(
    "--tegrastats",
    "log_path",
    type=existing_file,
    help="Take the power from this log of tegrastats; the table has columns start and end beside the time.",
)
@click.option(
    "--log-interval",
    "interval_ms",
    type=Amount(min=1),
    default=1000.0,
    show_default=True,
    help="Time between two lines of a log that does not say it [ms].",
)
@json_option
def import_command(
    files: tuple[Path, ...],
    database: str,
    mapped: tuple[tuple[str, str], ...],
    device: str | None,
    workload: str | None,
    knobs: tuple[str, ...] | None,
    again: bool,
    log_path: Path | None,
    interval_ms: float,
    as_json: bool,
) -> None:
    """Read measured profiles from tables into a database.

    A table is a CSV file (separated by commas, semicolons or tabs, plain or gzip), JSON lines, Parquet or
    Excel. Its columns are device, workload, one for each knob, time_ms and power_w. Each row is a
    measurement, and an empty cell was not measured. Other spellings and units are understood, such as
    "GPU Freq (MHz)", "power(mW)" and "time[s]". A column of numbers that is not known is asked about.

    Importing a file again adds nothing. If one of several files cannot be read, nothing is added. - is
    standard input.
    """
    from powertrain.dataset import open_store, read_profiles
    from powertrain.workflow import add_new, read_power_log, with_power_of_log

    meant: dict[str, str] = {}
    for column, what in mapped:
        if meant.setdefault(column, what) != what:
            raise click.UsageError(f"--map gives {column!r} twice: {meant[column]} and {what}")
    given = [content_of(path) for path in files]
    rest: dict[str, Any] = {"columns": meant, "device": device, "workload": workload}
    if log_path is not None:
        if knobs is not None:
            raise click.UsageError("--tegrastats goes with --map, not with --knobs")
        log = read_power_log(log_path, interval_ms=interval_ms)
        contents = {name: with_power_of_log(name, log, content=content, **rest) for name, content in given}
    else:
        with knobs_as_typed():  # by --knobs
            contents = {
                name: read_profiles(name, knobs=knobs, content=content, **rest) for name, content in given
            }
    with open_store(database) as store:
        reports = {path: add_new(content, store, again=again) for path, content in contents.items()}
        place = store.location
    for report in reports.values():
        for warning in report.warnings:
            echo(f"warning: {warning}", err=True)
    if as_json:
        print_json([_imported_json(path, report) for path, report in reports.items()])
        return
    for path, report in reports.items():
        if report.added:
            print_table(_imported_table(path, report))
        if report.skipped:
            were = "was" if report.skipped == 1 else "were"
            skipped = counted(report.skipped, "profile")
            echo(f"{skipped} of {path} {were} in {place} already; --again adds {_them(report.skipped)}")


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
        echo(f"{counted(len(profiles), 'profile')} written to {file}")
