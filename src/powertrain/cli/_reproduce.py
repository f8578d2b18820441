"""`powertrain reproduce`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from powertrain.cli._cells import compute_on, ray_option
from powertrain.cli._echo import echo
from powertrain.cli._options import Count, command, json_option, names
from powertrain.cli._printing import make_folder, print_json, print_table, progress_bar
from powertrain.cli._root import Interrupted

if TYPE_CHECKING:
    from powertrain.study import Settings

__all__ = ["reproduce_command"]

# Written out, because the layer that owns these names would bring numpy with it; a test compares.
PARTS = ("workloads", "minibatches", "boards", "references")


@command(
    "reproduce",
    short="Run the paper's study on simulated boards.",
    examples=("reproduce", "reproduce --quick --out /tmp/look", "reproduce --only workloads,boards --jobs 4"),
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("reproduce-output"),
    show_default=True,
    help="Folder for rows, tables, figures and the page. It is created if missing. A stopped run continues "
    "there.",
)
@click.option("--quick", is_flag=True, help="A first look in a minute: fewer seeds, workloads and boards.")
@click.option(
    "--seeds",
    type=Count(min=1),
    help="Draws of the profiled modes. [default: 10, or 2 with --quick]",
)
@click.option("--only", "parts", type=names, metavar="PART,...", help=f"Only these parts: {','.join(PARTS)}.")
@click.option(
    "--jobs",
    type=Count(min=1),
    help="Processes to compute on. [default: as many as there are cores]",
)
@ray_option
@click.option("--restart", is_flag=True, help="Discard what another study left in the folder.")
@json_option
def reproduce_command(
    out: Path, jobs: int | None, ray_address: str | None, restart: bool, as_json: bool, **size: Any
) -> None:
    """Run the paper's study on simulated boards: profile, transfer, predict, choose, and compare.

    It profiles a reference in 4,368 modes. From it, the paper's networks and gp learn other workloads,
    minibatch sizes and boards. Each method chooses modes under power limits. You can stop the run at any
    time. Run the same command again to continue.
    """
    from powertrain.study import run_study, study_summary, write_study

    settings, compute = _settings(**size), compute_on(ray_address, jobs)
    make_folder(out)
    echo("The boards are simulated: no number below is a measurement.", err=as_json)
    try:
        with progress_bar() as progress:
            result = run_study(
                out,
                settings,
                jobs=jobs or _cores(),
                compute=compute,
                restart=restart,
                progress=progress,
            )
    except KeyboardInterrupt as error:
        message = f"interrupted; what is finished is kept in {out}: the same command goes on from there"
        raise Interrupted(message) from error
    tables = write_study(result, out)
    if as_json:
        print_json(study_summary(result, tables))
        return
    for name in ("b-learning", "f-choices", "targets"):
        if name in tables:
            print_table(tables[name])
    echo(f"All tables and figures: {out / 'report.html'}")


def _settings(*, quick: bool, seeds: int | None, parts: tuple[str, ...] | None) -> Settings:
    from powertrain.study import Settings

    given: dict[str, Any] = {}
    if seeds is not None:
        given["seeds"] = seeds
    if parts is not None:
        if unknown := [part for part in parts if part not in PARTS]:
            raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(PARTS)}", param_hint="--only")
        given["parts"] = parts
    return Settings.quick(**given) if quick else Settings(**given)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
