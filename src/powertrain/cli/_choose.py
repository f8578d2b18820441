"""`powertrain choose`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from powertrain.cli._options import (
    DEVICE_HELP,
    command,
    device_spec_option,
    existing_file,
    json_option,
    limit_options,
    new_file,
)
from powertrain.cli._predict import modes_for, ranged
from powertrain.cli._show import print_json, print_table, refuse_unwritable
from powertrain.quantities import by_column

if TYPE_CHECKING:
    from powertrain.models import AbstractPredictor
    from powertrain.optimisation import EpochTotals
    from powertrain.records import Choice
    from powertrain.report import Table

__all__ = ["choose_command"]


@command(
    "choose",
    short="Choose the best mode under limits.",
    examples=(
        "choose mobilenet.ptm --device sim:orin-agx --max-power 30",
        "choose mobilenet.ptm --device sim:orin-agx --objective energy --max-time 120",
    ),
)
@click.argument("predictor_path", metavar="PREDICTOR.ptm", type=existing_file)
@device_spec_option(f"Choose from all modes of this device. {DEVICE_HELP}")
@click.option(
    "--modes", "modes_path", type=existing_file, help="Choose from the modes of a CSV file instead."
)
@limit_options
@click.option(
    "--epoch-minibatches",
    type=click.IntRange(min=1),
    help="Minibatches of an epoch: tells its time and energy.",
)
@click.option("--plot", "plot_path", type=new_file, help="Draw it to a .png or .svg file (needs matplotlib).")
@json_option
def choose_command(
    predictor_path: Path,
    device_spec: str | None,
    modes_path: Path | None,
    objective: Any,
    risk: float,
    epoch_minibatches: int | None,
    plot_path: Path | None,
    as_json: bool,
    **limits: float | None,
) -> None:
    """Choose the best mode that is predicted to keep the limits.

    A limit counts as kept when the prediction keeps it with probability 1 - RISK. When no mode does, the
    nearest is named, and the exit code is 1.
    """
    from powertrain.models import load_predictor
    from powertrain.optimisation import choose, epoch_totals
    from powertrain.records import Limits
    from powertrain.workflow import draw_predicted_front, modes_to_choose_from

    if plot_path is not None:
        refuse_unwritable(plot_path)
    predictor = load_predictor(predictor_path)
    asked = {name: limit for name, limit in limits.items() if limit is not None}
    among = partial(modes_to_choose_from, objective=objective, limits=Limits(**asked), risk=risk)
    modes = modes_for(predictor, device_spec, modes_path, of_device=among)
    prediction = predictor.predict(modes)
    choice = choose(
        prediction,
        modes,
        objective=objective,
        risk=risk,
        **asked,
    )
    epoch = epoch_totals(choice, minibatches=epoch_minibatches) if epoch_minibatches else None
    if plot_path is not None:
        title = f"{predictor.workload} on {predictor.device}"
        draw_predicted_front(prediction, modes, plot_path, title=title, choice=choice)
    if as_json:
        about = {"method": predictor.method, "device": predictor.device, "workload": predictor.workload}
        print_json({**about, "modes": len(modes), "choice": choice, "epoch": epoch})
        return
    print_table(_table(predictor, choice, epoch))
    click.echo(choice.why)


def _table(predictor: AbstractPredictor, choice: Choice, epoch: EpochTotals | None) -> Table:
    from powertrain.report import Table

    rows = [
        ("mode", str(choice.mode)),
        ("time of a minibatch [ms]", ranged(choice.time_ms)),
        ("power [W]", ranged(choice.power_w)),
        ("energy of a minibatch [J]", ranged(choice.energy_j)),
    ]
    known = by_column()
    rows += [(f"{known[c].title} [{known[c].unit}]", ranged(value)) for c, value in choice.others.items()]
    if epoch is not None:
        rows += [
            (f"time of an epoch ({epoch.minibatches:,} minibatches) [h]", ranged(epoch.time_h)),
            ("energy of an epoch [Wh]", ranged(epoch.energy_wh)),
        ]
    if choice.next_best is not None:
        rows.append(("next best mode", str(choice.next_best)))
    return Table.of(
        f"{predictor.workload} on {predictor.device}",
        ("chosen", f"by {predictor.method}"),
        rows,
        note="In brackets: 90 % intervals.",
    )
