"""`powertrain evaluate`."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from powertrain.cli._cells import compute_on, ray_option
from powertrain.cli._options import (
    NAME_HELP,
    SAMPLINGS,
    AliasedOption,
    Count,
    MethodChoice,
    command,
    names,
    new_file,
    numbers,
    text_input,
    text_output,
    whole_numbers,
)
from powertrain.cli._printing import (
    STDIO,
    content_of,
    json_by_line,
    print_table,
    progress_bar,
    refuse_unwritable,
    write_text,
)
from powertrain.cli._root import Interrupted, knobs_as_typed
from powertrain.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from powertrain.evaluation import Evaluation, EvaluationPlan, LimitSweep, Spread
    from powertrain.report import Cell, Table

__all__ = ["evaluate_command"]


@command(
    "evaluate",
    short="Score methods on measured data.",
    examples=(
        "evaluate grid.csv --device 'Jetson TX2' --target mixbench --reference others \\\n"
        "      --profiles 10,20,50 --method gp --method paper --limits auto --json scores.json",
        "evaluate runs.csv --device RTX6000 --target all --reference same --reference-device V100",
    ),
)
@click.argument("files", metavar="FILE.csv...", nargs=-1, required=True, type=text_input)
@click.option("--device", metavar="NAME", required=True, help=f"Device of the targets. {NAME_HELP}")
@click.option(
    "--target",
    "targets",
    multiple=True,
    required=True,
    help="Workload to predict. May be repeated. 'all' is every workload of the device.",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    help="Workload to learn from. May be repeated. 'others' is all but the target, 'same' is the target "
    "on another device, 'none' is the profiles alone.",
)
@click.option(
    "--reference-device",
    "reference_devices",
    metavar="NAME",
    multiple=True,
    help="Device of the references. May be repeated. The default is that of the targets.",
)
@click.option(
    "--profiles",
    type=whole_numbers,
    metavar="N,N,...",
    default="50",
    show_default=True,
    help="Numbers of profiled modes: 10,20,50.",
)
@click.option("--seeds", type=Count(min=1), default=5, show_default=True, help="Draws of the profiled modes.")
@click.option(
    "--method",
    "methods",
    type=MethodChoice(),
    multiple=True,
    default=("gp",),
    show_default=True,
    help="Predictor to score. May be repeated.",
)
@click.option(
    "--sampling",
    type=click.Choice(SAMPLINGS),
    default="spread",
    show_default=True,
    help="How to choose the profiled modes.",
)
@click.option(
    "--informed",
    is_flag=True,
    help="Choose spread profiles where the references, as gp knows them, differ most.",
)
@click.option(
    "--limits",
    "--limit",
    "limits",
    cls=AliasedOption,
    metavar="LOW:HIGH:STEP|auto[:N]",
    help="Also score choices under these power limits [W]. auto takes N (30) limits from the 5th percentile "
    "of the true power to its maximum.",
)
@click.option(
    "--risk",
    "risks",
    type=numbers,
    metavar="P,P,...",
    default="0.05",
    show_default=True,
    help="Accepted probabilities of exceeding the limit: 0.05,0.5.",
)
@click.option(
    "--knobs",
    type=names,
    metavar="NAME,...",
    help="Columns that are knobs, such as gpu_mhz,mem_mhz. The default is to guess.",
)
@ray_option
@click.option("--json", "json_path", type=text_output, help="Write everything to this file; - for stdout.")
@click.option("--plot", "plot_path", type=new_file, help="Draw the errors to a .png or .svg file.")
def evaluate_command(
    files: tuple[Path, ...],
    knobs: tuple[str, ...] | None,
    ray_address: str | None,
    json_path: Path | None,
    plot_path: Path | None,
    **options: Any,
) -> None:
    """Score methods on measured data: errors, coverage, and the choices they lead to.

    Each target's profiles are drawn from its modes in the files. The errors are over the modes that were not
    drawn. References are fitted on all their profiles. Ctrl-C keeps the finished rows.
    """
    from powertrain.evaluation import EvaluationInterruptedError, evaluate
    from powertrain.workflow import device_name, draw_errors, read_tables

    for path in (json_path, plot_path):
        if path is not None:
            refuse_unwritable(path)
    plan, compute = _plan(**options), compute_on(ray_address)
    given = dict(map(content_of, files))
    contents = {path: content for path, content in given.items() if content is not None}
    with knobs_as_typed() if knobs else nullcontext():
        tables = read_tables(given, knobs=knobs, contents=contents)
    known = [device for device, _ in tables]
    plan = replace(
        plan,
        device=device_name(plan.device, known),
        reference_devices=tuple(
            device_name(name, known, kind="reference device") for name in plan.reference_devices
        ),
    )
    try:
        with progress_bar() as progress:
            evaluation = evaluate(plan, tables, compute=compute, progress=progress)
    except EvaluationInterruptedError as error:
        _show(error.evaluation, json_path)
        raise Interrupted(_interrupted(len(error.evaluation.rows), json_path)) from error
    _show(evaluation, json_path)
    if plot_path is not None:
        draw_errors([row.as_json() for row in evaluation.rows], plot_path)


def _plan(*, limits: str | None, **options: Any) -> EvaluationPlan:
    from powertrain.evaluation import EvaluationPlan

    return EvaluationPlan(limits=_sweep(limits), **options)


def _sweep(limits: str | None) -> LimitSweep | None:
    from powertrain.evaluation import LimitSweep

    if limits is None:
        return None
    try:
        return LimitSweep.parse(limits)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--limits") from error


def _show(evaluation: Evaluation, json_path: Path | None) -> None:
    """Write the document where it was asked for, and print the tables unless it went to stdout."""
    if json_path is not None:
        text = json_by_line(evaluation.as_json())
        write_text(json_path, f"{text}\n")
        if json_path == STDIO:
            return
    if evaluation.rows:
        for table in _tables(evaluation):
            print_table(table)


def _interrupted(rows: int, json_path: Path | None) -> str:
    if not rows:
        return "interrupted before the first row"
    place = "on stdout" if json_path in (None, STDIO) else f"in {json_path}"
    return f"interrupted; the rows done, {rows}, are {place}"


def _tables(evaluation: Evaluation) -> list[Table]:
    from powertrain.report import Table

    summary, plan = evaluation.summary, evaluation.plan
    targets = sorted({row.case.target for row in evaluation.rows})
    what = targets[0] if len(targets) == 1 else counted(len(targets), "target")
    tables = [
        Table.of(
            f"{what} on {plan.device}, {plan.sampling} profiles: errors [%], mean ± sd over the seeds",
            (
                "method",
                "profiles",
                "time MAPE",
                "power MAPE",
                "time p95",
                "power p95",
                "time in 90 %",
                "power in 90 %",
                "transfer [s]",
            ),
            [
                (
                    line.method,
                    line.profiles,
                    _spread(line.time_mape),
                    _spread(line.power_mape),
                    _spread(line.time_p95_ape),
                    _spread(line.power_p95_ape),
                    _fixed(line.coverage90_time),
                    _fixed(line.coverage90_power),
                    _fixed(line.fit_s, 3),
                )
                for line in summary.errors
            ],
        )
    ]
    if summary.choices:
        tables.append(_choice_table(evaluation))
    return [*tables, *_worth_tables(evaluation)]


def _worth_tables(evaluation: Evaluation) -> list[Table]:
    """Tell what the references were worth, where a method tells how much it used them."""
    from powertrain.evaluation import worth_of
    from powertrain.report import Table

    told = [one for one in worth_of(evaluation.rows) if one.trust]
    if not told:
        return []
    rows: list[tuple[Cell, ...]] = [
        (
            one.target,
            one.profiles,
            _sources(one.trust),
            *(_fixed(error, 2) for error in (one.time_mape, one.time_mape_without)),
            *(_fixed(error, 2) for error in (one.power_mape, one.power_mape_without)),
        )
        for one in told
    ]
    worse = [f"{one.target} ({one.profiles})" for one in told if not one.helped]
    note = "Without: --method gp-alone. " + (
        f"References did not help every quantity of {', '.join(worse)}." if worse else ""
    )
    head = ("target", "profiles", "learned from", "time MAPE", "without", "power MAPE", "without")
    return [Table.of("What the references were worth [%]", head, rows, note=note.strip())]


def _sources(trust: Mapping[str, float]) -> str:
    """Name the sources that count for something, with their shares."""
    named = {source or "the profiles alone": 100 * share for source, share in trust.items()}
    return ", ".join(f"{share:.0f} % {source}" for source, share in named.items() if share >= 1)


def _choice_table(evaluation: Evaluation) -> Table:
    from powertrain.report import Table

    rows: list[tuple[Cell, ...]] = [
        (
            line.method,
            line.profiles,
            None if line.risk != line.risk else f"{line.risk:g}",
            _fixed(line.median_time_penalty_pct),
            _fixed(line.exceeded_pct),
            _fixed(line.exceeded_by_2pct_pct),
            _fixed(line.exceeded_by_1w_pct),
            _fixed(line.mean_excess_w, 3),
            _fixed(line.no_mode_pct),
        )
        for line in evaluation.summary.choices
    ]
    per_method = max(line.choices for line in evaluation.summary.choices)
    up_to = "up to " if evaluation.interrupted else ""
    return Table.of(
        f"The mode chosen, over {up_to}{per_method:,} power limits (all targets and seeds)",
        (
            "method",
            "profiles",
            "risk",
            "median time penalty [%]",
            "exceeded [%]",
            "by > 2 % [%]",
            "by > 1 W [%]",
            "mean excess [W]",
            "no mode [%]",
        ),
        rows,
        note="Time penalty: against the best mode in truth. Exceeded: share of limits that it breaks. "
        "observed takes the best of the profiled modes by their measurements, maximum every knob at its "
        "largest.",
    )


def _spread(spread: Spread) -> str | None:
    if spread.mean != spread.mean:
        return None
    return f"{spread.mean:.2f} ± {spread.sd_over_seeds:.2f}"


def _fixed(value: float, decimals: int = 1) -> str | None:
    # Adding 0 turns a rounded -0.0 into 0.0.
    return None if value != value else f"{round(value, decimals) + 0.0:.{decimals}f}"
