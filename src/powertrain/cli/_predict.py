"""`powertrain predict` and `powertrain front`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from powertrain.cli._options import (
    DEVICE_HELP,
    OBJECTIVES,
    command,
    device_spec_option,
    existing_file,
    json_option,
    names,
    new_file,
    rows_option,
)
from powertrain.cli._show import print_json, print_table, refuse_unwritable, write_text

if TYPE_CHECKING:
    from powertrain.models import AbstractPredictor
    from powertrain.records import Interval, ModeTable
    from powertrain.report import Table
    from powertrain.workflow import PredictedMode

__all__ = ["front_command", "modes_for", "predict_command", "ranged"]

QUANTITIES = {"time": "time_ms", "power": "power_w", "energy": "energy_j"}


@command(
    "predict",
    short="Predict time, power and energy of modes.",
    examples=(
        "predict mobilenet.ptm --device sim:orin-agx --sort energy",
        "predict mobilenet.ptm --modes some.csv --csv predicted.csv",
    ),
)
@click.argument("predictor_path", metavar="PREDICTOR.ptm", type=existing_file)
@device_spec_option(f"Predict all modes of this device. {DEVICE_HELP}")
@click.option(
    "--modes", "modes_path", type=existing_file, help="Predict the modes of a CSV file of knob columns."
)
@click.option("--sort", type=click.Choice(OBJECTIVES), default=None, help="Sort by this, the least first.")
@rows_option("Rows shown of the table.")
@click.option("--csv", "csv_path", type=new_file, help="Write all predictions to this file.")
@json_option
def predict_command(
    predictor_path: Path,
    device_spec: str | None,
    modes_path: Path | None,
    sort: Any,
    limit: int,
    csv_path: Path | None,
    as_json: bool,
) -> None:
    """Predict time, power and energy of modes, with 90 % intervals."""
    import numpy as np

    from powertrain.models import load_predictor
    from powertrain.optimisation import order_by
    from powertrain.workflow import predicted_modes

    if csv_path is not None:
        refuse_unwritable(csv_path)
    predictor = load_predictor(predictor_path)
    modes = modes_for(predictor, device_spec, modes_path)
    prediction = predictor.predict(modes)
    order = np.arange(len(modes)) if sort is None else order_by(prediction, sort)
    if not as_json and csv_path is None:
        order = order[:limit]
    rows = list(predicted_modes(modes.take(order), prediction.take(order)))
    if csv_path is not None:
        write_text(csv_path, _csv_of(rows))
    if as_json:
        print_json({**_about(predictor), "predictions": rows})
        return
    title = f"{predictor.workload} on {predictor.device}, predicted by {predictor.method}"
    print_table(_table(title, rows[:limit], of=len(modes)))


@command(
    "front",
    short="Show the predicted Pareto front.",
    examples=(
        "front mobilenet.ptm --device sim:orin-agx",
        "front mobilenet.ptm --device sim:orin-agx --plot front.svg",
    ),
)
@click.argument("predictor_path", metavar="PREDICTOR.ptm", type=existing_file)
@device_spec_option(f"Take all modes of this device. {DEVICE_HELP}")
@click.option(
    "--modes", "modes_path", type=existing_file, help="Take the modes of a CSV file of knob columns."
)
@click.option(
    "--costs",
    type=names,
    metavar="NAME,...",
    default="time,power",
    show_default=True,
    help="What is traded: two or more of time, energy, power, edp; the front is sorted by the first.",
)
@rows_option("Rows shown of the table.")
@click.option("--csv", "csv_path", type=new_file, help="Write the front to this file.")
@click.option("--plot", "plot_path", type=new_file, help="Draw it to a .png or .svg file (needs matplotlib).")
@json_option
def front_command(
    predictor_path: Path,
    device_spec: str | None,
    modes_path: Path | None,
    costs: Any,
    limit: int,
    csv_path: Path | None,
    plot_path: Path | None,
    as_json: bool,
) -> None:
    """Show the predicted Pareto front: the modes that no other beats in every cost."""
    from powertrain.models import load_predictor
    from powertrain.optimisation import front_of
    from powertrain.workflow import draw_predicted_front, predicted_modes

    if len(set(costs)) < 2 or not set(costs) <= set(OBJECTIVES):
        raise click.BadParameter(f"name two or more of {', '.join(OBJECTIVES)}", param_hint="--costs")
    for path in (csv_path, plot_path):
        if path is not None:
            refuse_unwritable(path)
    predictor = load_predictor(predictor_path)
    modes = modes_for(predictor, device_spec, modes_path)
    prediction = predictor.predict(modes)
    on_front = front_of(prediction, costs=costs)
    shown = on_front if as_json or csv_path is not None else on_front[:limit]
    rows = list(predicted_modes(modes.take(shown), prediction.take(shown)))
    if csv_path is not None:
        write_text(csv_path, _csv_of(rows))
    if plot_path is not None:
        draw_predicted_front(predictor, modes, prediction, plot_path)
    if as_json:
        print_json({**_about(predictor), "costs": costs, "front": rows})
        return
    title = (
        f"{len(on_front):,} of {len(modes):,} modes are on the front of {' and '.join(costs)}, as predicted"
    )
    print_table(_table(title, rows[:limit], of=len(on_front)))


def modes_for(predictor: AbstractPredictor, device_spec: str | None, modes_path: Path | None) -> ModeTable:
    """Return the modes to predict: of a device, or from a file."""
    from powertrain.workflow import modes_of_device, open_device, read_modes

    if (device_spec is None) == (modes_path is None):
        raise click.UsageError("give either --device, for all its modes, or --modes, a file of modes")
    if modes_path is not None:
        return read_modes(modes_path, knobs=predictor.knobs)
    assert device_spec is not None
    return modes_of_device(open_device(device_spec), predictor)


def ranged(interval: Interval) -> str:
    """Write a value with its 90 % interval, the interval left out where it is not known."""
    from powertrain.report import format_number

    if interval.low != interval.low:
        return format_number(interval.value)
    ends = f"{format_number(interval.low)} to {format_number(interval.high)}"
    return f"{format_number(interval.value)} ({ends})"


def _about(predictor: AbstractPredictor) -> dict[str, Any]:
    return {"method": predictor.method, "device": predictor.device, "workload": predictor.workload}


def _table(title: str, rows: Sequence[PredictedMode], *, of: int) -> Table:
    from powertrain.report import Column, Table

    knobs = tuple(rows[0].mode) if rows else ()
    columns = [Column(name=knob) for knob in knobs]
    columns += [
        Column(name="time", unit="ms"),
        Column(name="power", unit="W"),
        Column(name="energy", unit="J"),
    ]
    shown = [
        (
            *(f"{value:.10g}" for value in row.mode.values()),
            ranged(row.time_ms),
            ranged(row.power_w),
            ranged(row.energy_j),
        )
        for row in rows
    ]
    hidden = of - len(rows)
    note = f"{hidden:,} more rows; --limit shows them, --csv FILE writes all. " if hidden else ""
    return Table.of(title, columns, shown, note=f"{note}In brackets: 90 % intervals.")


def _csv_of(rows: Sequence[PredictedMode]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    quantities = tuple(QUANTITIES.values())
    ends = [f"{name}{end}" for name in quantities for end in ("", "_low", "_high")]
    writer.writerow([*(rows[0].mode if rows else ()), *ends])
    for row in rows:
        intervals: list[Interval] = [getattr(row, name) for name in quantities]
        numbers = [number for i in intervals for number in (i.value, i.low, i.high)]
        cells = ["" if number != number else f"{number:.10g}" for number in numbers]
        writer.writerow([*(f"{value:.15g}" for value in row.mode.values()), *cells])
    return buffer.getvalue()
