"""`powertrain profile`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from powertrain.cli._options import DEVICE_HELP, SAMPLINGS, command, json_option, new_file, seed_option
from powertrain.cli._root import Interrupted
from powertrain.cli._show import print_json, progress_bar

if TYPE_CHECKING:
    from powertrain.devices import AbstractDevice
    from powertrain.records import ModeTable

__all__ = ["profile_command"]

GRID = "grid"


@command(
    "profile",
    short="Measure a workload in some modes, into a database.",
    examples=(
        "profile mobilenet_v3 --device sim:orin-agx --db profiles.db --modes 15",
        "profile lstm --device sim:orin-nano --db profiles.db --modes grid",
    ),
)
@click.argument("workload")
@click.option("--device", "spec", required=True, help=DEVICE_HELP)
@click.option("--db", "database", type=new_file, required=True, help="The profile database; made if missing.")
@click.option(
    "--modes",
    "wanted",
    default="50",
    show_default=True,
    metavar="N|grid|FILE",
    help="How many modes, all of the device's (grid), or those of a CSV file with a column per knob.",
)
@click.option(
    "--sampling",
    type=click.Choice(SAMPLINGS),
    default="spread",
    show_default=True,
    help="How N modes are drawn.",
)
@seed_option
@click.option(
    "--paper",
    "as_paper",
    is_flag=True,
    help="Measure as the paper did: 40 minibatches and a reading each second, whatever the precision.",
)
@click.option("--again", is_flag=True, help="Measure modes again that the database has.")
@json_option
def profile_command(
    workload: str,
    spec: str,
    database: Path,
    wanted: str,
    sampling: str,
    seed: int,
    as_paper: bool,
    again: bool,
    as_json: bool,
) -> None:
    """Measure minibatch time and power of WORKLOAD in some modes of a device, and keep them in a database.

    Each mode is measured until times and power are steady and their means known to 2 %. Each profile is kept
    as soon as it is finished, so a run that was stopped goes on where it was when it is started again. The
    device is given back as it was. This version measures simulated boards.
    """
    from powertrain import workflow
    from powertrain.dataset import open_store
    from powertrain.profiling import Procedure

    how = Procedure.paper() if as_paper else Procedure()
    device = workflow.open_device(spec)
    modes = _modes(device, wanted, sampling=sampling, seed=seed, workload=workload)
    with open_store(database) as store, progress_bar() as progress:
        try:
            done = workflow.profile(
                device, workload, modes, store, procedure=how, again=again, progress=progress
            )
        except KeyboardInterrupt as error:
            message = (
                f"interrupted; what is finished is kept in {database}: the same command goes on from there"
            )
            raise Interrupted(message) from error
    if as_json:
        print_json({"device": device.name, "simulated": device.simulated, "workload": workload, "run": done})
        return
    click.echo(
        f"{done.measured:,} modes of {workload} on {device.name}: {done.device_s / 60:.1f} min on its clock"
        + (f", {done.kept:,} were in {database} already" if done.kept else "")
        + (f", {done.flagged:,} flagged" if done.flagged else "")
    )


def _modes(device: AbstractDevice, wanted: str, *, sampling: str, seed: int, workload: str) -> ModeTable:
    from powertrain import workflow

    if wanted == GRID:
        return device.modes(workload=workload)
    if wanted.isdecimal():
        return workflow.plan(device, int(wanted), workload=workload, sampling=sampling, seed=seed)  # pyright: ignore[reportArgumentType]
    path = Path(wanted)
    if not path.exists():
        raise click.BadParameter(
            f"{wanted!r} is neither a number of modes, nor {GRID}, nor a file", param_hint="--modes"
        )
    return workflow.read_modes(path, knobs=device.space.names)
