"""`powertrain race`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from powertrain.cli._cells import compute_on, ray_option
from powertrain.cli._options import NAME_HELP, Count, command, names, new_file, text_input, text_output
from powertrain.cli._printing import (
    STDIO,
    json_by_line,
    print_table,
    progress_bar,
    refuse_unwritable,
    write_text,
)
from powertrain.cli._root import Interrupted

if TYPE_CHECKING:
    from powertrain.evaluation import Race, RaceLimits

__all__ = ["race_command"]

SHOWN = (3, 4, 6, 8, 10, 12, 15, 16, 20, 30, 50)
"""Numbers of trials that the table shows, besides the last."""


def _sources(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a file that is not there, as the other commands do."""
    for source in value:
        if not source.startswith("sim:"):
            text_input.convert(source, parameter, context)
    return value


@command(
    "race",
    short="Compare methods that search for a mode.",
    examples=(
        "race sim:orin-nano --target lstm --reference others --seeds 2 --method tuner --method random",
        "race grid.csv --device 'Jetson TX2' --target all --reference others --trials 15 \\\n"
        "      --limits auto:12 --method tuner --method gmd --method gp-15-confirmed --json race.json",
    ),
)
@click.argument("sources", metavar="FILE.csv...|sim:BOARD", nargs=-1, required=True, callback=_sources)
@click.option(
    "--device", metavar="NAME", help=f"Device of the targets, if the files have several. {NAME_HELP}"
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    required=True,
    help="Workload to find a mode for. May be repeated. 'all' is every workload of the device.",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    help="Workload that is known already. May be repeated. 'others' is all but the target, 'same' is the "
    "target on another device, 'none' means that nothing is known.",
)
@click.option(
    "--reference-device",
    "reference_devices",
    metavar="NAME",
    multiple=True,
    help="Device of the references. May be repeated. The default is that of the targets.",
)
@click.option(
    "--method",
    "methods",
    metavar="METHOD",
    multiple=True,
    default=("tuner",),
    show_default=True,
    help="Method to race. May be repeated. One of tuner, tuner-front, random, coordinate, sweep, gmd, "
    "als, optuna-tpe, optuna-gp, optuna-nsga2, botorch-ei, botorch-nehvi, kernel-tuner-ils, "
    "kernel-tuner-ga, kernel-tuner-annealing, kernel-tuner-bayes. Or a predictor's choice after N profiles "
    "(gp-15, paper-50), also with a measurement of it (gp-15-confirmed).",
)
@click.option(
    "--trials",
    type=Count(min=1),
    default=15,
    show_default=True,
    help="Most measurements for each method.",
)
@click.option(
    "--limits",
    metavar="LOW:HIGH:STEP|auto[:N]",
    default="auto:12",
    show_default=True,
    help="Power limits [W]. auto takes N between the lowest power and that of the fastest mode.",
)
@click.option("--seeds", type=Count(min=1), default=20, show_default=True, help="Runs of each case.")
@click.option(
    "--knobs",
    type=names,
    metavar="NAME,...",
    help="Columns that are knobs, such as gpu_mhz,mem_mhz. The default is to guess.",
)
@click.option("--jobs", type=Count(min=1), help="Processes. [default: as many as there are cores]")
@ray_option
@click.option(
    "--keep",
    "kept",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep finished cases in this file. A stopped race continues from it.",
)
@click.option("--json", "json_path", type=text_output, help="Write everything to this file; - for stdout.")
@click.option("--plot", "plot_path", type=new_file, help="Draw regret and violations to a .png or .svg file.")
@click.option(
    "--report", "report_path", type=text_output, help="Write the drawing and the table as a page (.html)."
)
def race_command(
    sources: tuple[str, ...],
    device: str | None,
    knobs: tuple[str, ...] | None,
    limits: str,
    jobs: int | None,
    ray_address: str | None,
    kept: Path | None,
    json_path: Path | None,
    plot_path: Path | None,
    report_path: Path | None,
    **options: Any,
) -> None:
    """Let methods search for the fastest mode under power limits, and compare them with the truth.

    Every method measures one mode after another. After each, it names the mode that it would choose. Regret
    is how much slower that mode is than the best one under the limit. If a file has several rows for a mode,
    they count as several measurements, and their mean is the truth. Ctrl-C keeps the finished cases.
    """
    from powertrain.evaluation import RaceInterruptedError, RacePlan
    from powertrain.workflow import draw_race, run_race, write_race_page

    for path in (json_path, plot_path, report_path):
        if path is not None:
            refuse_unwritable(path)
    wanted, compute = _limits(limits), compute_on(ray_address, jobs)
    try:
        with progress_bar(every_s=60.0) as progress:
            found = run_race(
                lambda name: RacePlan(device=name, limits=wanted, **options),
                sources,
                device=device,
                knobs=knobs,
                jobs=jobs or os.cpu_count() or 1,
                compute=compute,
                kept=kept,
                progress=progress,
            )
    except RaceInterruptedError as error:
        _show(error.race, json_path)
        raise Interrupted(f"interrupted; the rows done: {len(error.race.rows)}") from error
    _show(found, json_path)
    if plot_path is not None:
        draw_race(found.rows, plot_path)
    if report_path is not None:
        write_race_page(found, report_path)


def _limits(text: str) -> RaceLimits:
    from powertrain.evaluation import LimitSweep, RaceLimits

    try:
        sweep = LimitSweep.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--limits") from error
    # Without a number, auto means this command's own default.
    count = sweep.count if ":" in text else RaceLimits().count
    return RaceLimits(values_w=sweep.values_w, count=count)


def _show(race: Race, json_path: Path | None) -> None:
    """Write the document where it was asked for, and print the table unless it went to stdout."""
    if json_path is not None:
        write_text(json_path, f"{json_by_line(race.as_json())}\n")
        if json_path == STDIO:
            return
    if race.rows:
        from powertrain.workflow import race_table

        print_table(race_table(race, at=(*SHOWN, race.plan.trials)))
