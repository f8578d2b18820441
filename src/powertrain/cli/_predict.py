"""`powertrain predict` and `powertrain front`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from powertrain.cli._options import (
    DEVICE_HELP,
    command,
    device_spec_option,
    existing_file,
    json_option,
    names,
    new_file,
    rows_option,
    text_input,
    text_output,
)
from powertrain.cli._printing import STDIO, content_of, print_json, print_table, refuse_unwritable, write_text
from powertrain.cli._root import Failure
from powertrain.quantities import QUANTITIES
from powertrain.wording import counted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from powertrain.devices import AbstractDevice
    from powertrain.models import AbstractPredictor
    from powertrain.records import Interval, ModeTable, Prediction
    from powertrain.report import Table
    from powertrain.workflow import PredictedMode

__all__ = ["PLOT_HELP", "front_command", "modes_of_file", "predict_command", "ranged"]

PLOT_HELP = "Draw it to a .png or .svg file (needs matplotlib), or to a .html page to explore."


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
    "--modes", "modes_path", type=text_input, help="Predict the modes of a CSV file of knob columns."
)
@click.option(
    "--sort", type=click.Choice(tuple(QUANTITIES)), default=None, help="Sort by this, lowest first."
)
@rows_option("Rows shown of the table.")
@click.option("--csv", "csv_path", type=text_output, help="Write all predictions to this file; - for stdout.")
@json_option
def predict_command(
    predictor_path: Path,
    device_spec: str | None,
    modes_path: Path | None,
    sort: str | None,
    limit: int,
    csv_path: Path | None,
    as_json: bool,
) -> None:
    """Predict time, power and energy of modes, with 90 % intervals."""
    from powertrain.models import load_predictor
    from powertrain.workflow import predicted_modes

    if csv_path is not None:
        refuse_unwritable(csv_path)
    predictor = load_predictor(predictor_path)
    modes = modes_for(predictor, device_spec, modes_path)
    prediction = predictor.predict(modes)
    if sort is not None:
        order = _order(prediction, sort)
        modes, prediction = modes.take(order), prediction.take(order)
    if csv_path is not None:
        write_text(csv_path, _csv_of(modes, predicted_modes(modes, prediction)))
    if as_json:
        rows = [_as_json(row) for row in predicted_modes(modes, prediction)]
        print_json({**_about(predictor), "predictions": rows})
        return
    if csv_path == STDIO:
        return
    title = f"{predictor.workload} on {predictor.device}, predicted by {predictor.method}"
    print_table(_table(title, modes, prediction, limit))


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
@click.option("--modes", "modes_path", type=text_input, help="Take the modes of a CSV file of knob columns.")
@click.option(
    "--costs",
    type=names,
    metavar="NAME,...",
    default="time,power",
    show_default=True,
    help=f"Costs of the front: two or more of {', '.join(QUANTITIES)}. It is sorted by the first.",
)
@rows_option("Rows shown of the table.")
@click.option("--csv", "csv_path", type=text_output, help="Write the front to this file; - for stdout.")
@click.option("--plot", "plot_path", type=new_file, help=PLOT_HELP)
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
    from powertrain.workflow import draw_predicted_front, open_device, predicted_modes

    if len(set(costs)) < 2 or not set(costs) <= set(QUANTITIES):
        raise click.BadParameter(f"name two or more of {', '.join(QUANTITIES)}", param_hint="--costs")
    for path in (csv_path, plot_path):
        if path is not None:
            refuse_unwritable(path)
    predictor = load_predictor(predictor_path)
    modes = modes_for(predictor, device_spec, modes_path)
    prediction = predictor.predict(modes)
    rows_on_front = front_of(prediction, costs=costs)
    found, on_front = modes.take(rows_on_front), prediction.take(rows_on_front)
    if csv_path is not None:
        write_text(csv_path, _csv_of(found, predicted_modes(found, on_front)))
    if plot_path is not None:
        about = f"{predictor.workload} on {predictor.device}"
        device = None if device_spec is None else open_device(device_spec)
        draw_predicted_front(
            prediction, modes, plot_path, title=about, device_name=predictor.device, device=device
        )
    if as_json:
        rows = [_as_json(row) for row in predicted_modes(found, on_front)]
        print_json({**_about(predictor), "costs": costs, "front": rows})
        return
    if csv_path == STDIO:
        return
    of = counted(len(modes), "mode")
    title = f"{len(found):,} of {of} are on the front of {' and '.join(costs)}, as predicted"
    print_table(_table(title, found, on_front, limit))


def _order(prediction: Prediction, sort: str) -> npt.NDArray[np.intp]:
    """Return the rows by a quantity, the least first; equal ones stay in order."""
    values = prediction.of(sort).value
    if (values != values).any():
        raise Failure(f"cannot sort by {sort}: the predictor does not have it; profile it, or sort otherwise")
    return values.argsort(kind="stable")


def _as_json(row: PredictedMode) -> dict[str, object]:
    return {"mode": row.mode, **row.values}


def modes_for(
    predictor: AbstractPredictor,
    device_spec: str | None,
    modes_path: Path | None,
    *,
    of_device: Callable[[AbstractDevice, AbstractPredictor], ModeTable] | None = None,
) -> ModeTable:
    """Return the modes to predict: of a device (all of them, or what `of_device` returns), or from a file."""
    from powertrain.workflow import modes_of_device, open_device

    if (device_spec is None) == (modes_path is None):
        raise click.UsageError("give either --device, for all its modes, or --modes, a file of modes")
    if modes_path is not None:
        return modes_of_file(modes_path, predictor.knobs)
    assert device_spec is not None
    return (of_device or modes_of_device)(open_device(device_spec), predictor)


def modes_of_file(path: Path, knobs: Sequence[str]) -> ModeTable:
    """Read modes with these knobs from a CSV file, or from standard input."""
    from powertrain.workflow import read_modes

    name, content = content_of(path)
    return read_modes(name, knobs=knobs, content=content)


def ranged(interval: Interval) -> str:
    """Write a value with its 90 % interval, the interval left out where it is not known."""
    from powertrain.report import format_number

    if interval.low != interval.low:
        return format_number(interval.value)
    ends = f"{format_number(interval.low)} to {format_number(interval.high)}"
    return f"{format_number(interval.value)} ({ends})"


def _about(predictor: AbstractPredictor) -> dict[str, Any]:
    return {"method": predictor.method, "device": predictor.device, "workload": predictor.workload}


def _table(title: str, modes: ModeTable, prediction: Prediction, limit: int) -> Table:
    """Show the first `limit` modes; no more rows are made than are shown."""
    from powertrain.report import Column, Table
    from powertrain.workflow import predicted_modes, shown_quantities

    columns = [Column(name=knob) for knob in modes.knobs]
    columns += [Column(name=q.name, unit=q.unit) for q in shown_quantities()]
    first = range(min(limit, len(modes)))
    shown = [
        (*(f"{value:.10g}" for value in row.mode.values()), *map(ranged, row.values.values()))
        for row in predicted_modes(modes.take(first), prediction.take(first))
    ]
    hidden = len(modes) - len(shown)
    note = f"{counted(hidden, 'more row')}; --limit shows them, --csv FILE writes all. " if hidden else ""
    return Table.of(title, columns, shown, note=f"{note}In brackets: 90 % intervals.")


def _csv_of(modes: ModeTable, rows: Iterable[PredictedMode]) -> str:
    from powertrain.workflow import shown_quantities

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    ends = [f"{q.column}{end}" for q in shown_quantities() for end in ("", "_low", "_high")]
    writer.writerow([*modes.knobs, *ends])
    for row in rows:
        numbers = [number for i in row.values.values() for number in (i.value, i.low, i.high)]
        cells = ["" if number != number else f"{number:.10g}" for number in numbers]
        writer.writerow([*(f"{value:.15g}" for value in row.mode.values()), *cells])
    return buffer.getvalue()
