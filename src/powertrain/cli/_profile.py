"""`powertrain profile`."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import click

from powertrain.cli._echo import echo
from powertrain.cli._flags import flag_table
from powertrain.cli._options import (
    SAMPLINGS,
    Amount,
    TakesProgram,
    command,
    complete_workloads,
    database_option,
    device_spec_option,
    existing_file,
    gathered,
    json_option,
    precision_option,
    seed_option,
)
from powertrain.cli._printing import print_json, print_sentence, print_table, progress_bar, stdout_on_stderr
from powertrain.cli._root import Interrupted, WrongUse
from powertrain.cli._served import metrics_port_option, served
from powertrain.cli._trained import Trained, Training, follow, store_of
from powertrain.cli._wanted import WantedModes, refuse_missing_file
from powertrain.errors import StoreError
from powertrain.wording import counted, duration

if TYPE_CHECKING:
    from powertrain.dataset import AbstractStore
    from powertrain.devices import AbstractDevice
    from powertrain.errors import ProgramError
    from powertrain.planning import ModeSource
    from powertrain.profiling import RunOptions
    from powertrain.progress import Progress
    from powertrain.records import ModeTable
    from powertrain.workflow import Flagged, Profiled

__all__ = ["profile_command"]


@final
@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """Which modes to measure, as it was typed."""

    wanted: str | None
    sampling: str
    references: tuple[Path, ...]


@final
@dataclass(frozen=True, kw_only=True)
class _Measuring:
    """How to measure them, as it was typed."""

    precision: float
    """In per cent."""
    limit_s: float
    step_limit_s: float
    as_paper: bool
    order: Any
    again: bool
    retry_flagged: bool
    metrics_port: int | None

    def options(self, seed: int, progress: Progress | None) -> RunOptions:
        """Return how the run goes."""
        from powertrain.profiling import Procedure, RunOptions

        precise = replace(Procedure(), precision=self.precision / 100, limit_s=self.limit_s)
        return RunOptions(
            procedure=Procedure.paper() if self.as_paper else precise,
            order=self.order,
            seed=seed,
            again=self.again,
            retry_flagged=self.retry_flagged,
            progress=progress,
            step_limit_s=self.step_limit_s,
            given_up=_give_up,
        )


def _give_up(error: ProgramError) -> None:
    """End this process, whose training reacts to nothing."""
    echo(error.trace, err=True, nl=False)
    echo(f"error: {error}", err=True)
    os._exit(error.exit_code)


@command(
    "profile",
    short="Measure workloads in some modes.",
    examples=(
        "profile mobilenet_v3 --device sim:orin-agx --db profiles.db --modes 15",
        'profile resnet18-s64 --device "cpu?batch_size=8,16&precision=fp32,bf16" --db cpu.db --modes grid',
        "profile train.py:make_training --device nvml:0 --db gpu.db --modes 20",
        "profile train.py --device cpu --db cpu.db --modes grid -- --epochs 3",
        "profile -m package.train --device cpu --db cpu.db --modes grid -- --epochs 3",
    ),
    kind=TakesProgram,
)
@click.argument("workloads", metavar="WORKLOAD...", nargs=-1, shell_complete=complete_workloads)
@click.option("-m", "module", metavar="MODULE", help="Train a module of a package, as python -m does.")
@device_spec_option(name="spec", default="auto")
@database_option(made=True)
@click.option(
    "--modes",
    "wanted",
    metavar="N|grid|FILE",
    help="How many modes, all modes of the device (grid), or those of a CSV file with a column per knob "
    "(- for stdin).  [default: 50, or all if there are fewer]",
)
@click.option(
    "--sampling",
    type=click.Choice(SAMPLINGS),
    default="spread",
    show_default=True,
    help="How to choose N modes.",
)
@click.option(
    "--reference",
    "references",
    type=existing_file,
    multiple=True,
    help="Predictor of another workload on this device, or a bundle of them, from `fit`. May be repeated. "
    "With two or more, spread looks where they differ most.",
)
@seed_option
@click.option(
    "--order",
    type=click.Choice(("cheap", "given")),
    default="cheap",
    show_default=True,
    help="Order of the modes: one that saves settling time, or as drawn or listed.",
)
@click.option(
    "--hard-limit",
    "hard_limit_w",
    type=Amount(min=0, min_open=True),
    help="Measure from the slowest mode up, and skip modes known to draw more power than this [W].",
)
@precision_option
@click.option(
    "--mode-limit",
    "limit_s",
    type=Amount(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Stop measuring a mode after this time, with a wider interval [s].",
)
@click.option(
    "--step-limit",
    "step_limit_s",
    type=Amount(min=0, min_open=True),
    default=600.0,
    show_default=True,
    help="End a training whose minibatch takes longer than this, and show where it hangs [s].",
)
@click.option(
    "--paper",
    "as_paper",
    is_flag=True,
    help="Measure as the paper did: 40 minibatches and one reading a second, at any precision.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="Train on this folder of images or this text file, instead of made-up samples.",
)
@click.option("--name", help="Name for the profiles of your own WORKLOAD, instead of its file name.")
@click.option(
    "--args", "script_args", default="", help="Arguments for a script, in one string. Or give them after --."
)
@click.option("--again", is_flag=True, help="Measure modes again that are already in the database.")
@click.option("--retry-flagged", is_flag=True, help="Measure modes again whose profiles are all flagged.")
@metrics_port_option
@json_option
@gathered("training", Training)
@gathered("drawn", _Drawn)
@gathered("measuring", _Measuring)
def profile_command(
    spec: str,
    database: str,
    training: Training,
    drawn: _Drawn,
    measuring: _Measuring,
    seed: int,
    hard_limit_w: float | None,
    as_json: bool,
) -> None:
    """Measure minibatch time and power of each WORKLOAD in some modes, and save them in a database.

    A WORKLOAD is a built-in model, with sizes as in resnet18-s64-b8 (powertrain devices DEVICE lists them),
    or torchvision:NAME or transformers:NAME if these are installed. For your own training, it is FILE.py, a
    script whose loop goes over powertrain.measured(...), or FILE.py:FUNCTION, which makes the training.

    Everything after -- goes to the script, even --help. The script ends when all modes are measured, and the
    code after its loop does not run. If it fails, you see its traceback and get its exit code.

    Each mode is measured until times and power are steady and their means are known to 2 %. Each profile is
    saved as soon as it is finished. To continue a stopped run, run the same command again. The device is
    restored at the end.
    """
    from powertrain import workflow

    wanted_runs = training.runs()
    if workflow.rank_here().follows:
        follow(wanted_runs)
        return
    for run in wanted_runs:
        if run.job is not None:
            refuse_missing_file(run.job)
    device = workflow.open_device(spec)
    wanted_modes = WantedModes(
        device, drawn.wanted, sampling=drawn.sampling, seed=seed, references=drawn.references
    )
    runs: list[Profiled] = []
    with (
        stdout_on_stderr() if as_json else nullcontext(),
        store_of(database) as store,
        progress_bar(every_s=30) as progress,
        served(measuring.metrics_port, device, command="profile", shared=True) as beside,
    ):
        options, place = measuring.options(seed, progress), store.location
        for run in wanted_runs:
            table = wanted_modes.of(run.job)
            modes = table if hard_limit_w is None else _climb(device, table, hard_limit_w)
            with _telling_what_is_kept(store):
                runs.append(_one(beside.device, run, modes, beside.announcing(store), options))
        flagged = {
            done.workload: workflow.flagged_modes(store.profiles(device=device.name, workload=done.workload))
            for done in runs
        }
    if as_json:
        print_json({"device": device.name, "simulated": device.simulated, "runs": runs, "flagged": flagged})
        return
    _print(runs, device, place, flagged)


def _print(
    runs: Sequence[Profiled], device: AbstractDevice, place: str, flagged: Mapping[str, Flagged]
) -> None:
    for done in runs:
        print_sentence(_line(done, device, place))
        if done.left:
            print_sentence(
                f"{counted(done.left, 'mode')} left, because {done.workload} ended before: run the same "
                "command again, or let it train for longer."
            )
    if (table := flag_table(flagged)) is not None:
        echo()
        print_table(table)


@contextmanager
def _telling_what_is_kept(store: AbstractStore) -> Generator[None]:
    """Say on Ctrl-C what became of the profiles."""
    try:
        yield
    except KeyboardInterrupt as error:
        message = "interrupted before a mode was measured"
        try:
            some = bool(store.counts())
        except (
            StoreError
        ):  # a server that is away; how many profiles wait for it is said when the store is closed
            some = True
        if some:
            kept = f"what is finished is kept in {store.location}"
            message = f"interrupted; {kept}: the same command goes on from there"
        raise Interrupted.by(error, message) from error


def _one(
    device: AbstractDevice,
    run: Trained,
    modes: ModeTable | ModeSource,
    store: AbstractStore,
    options: RunOptions,
) -> Profiled:
    """Profile one workload: a program, or what becomes a job."""
    from powertrain import workflow
    from powertrain.workloads import open_own

    if run.program is not None:
        return workflow.profile_script(device, run.program, modes, store, name=run.name, options=options)
    assert run.job is not None, "what is not a program is a job"
    trained = run.job if run.name is None else open_own(run.job, name_of_profiles=run.name)
    return workflow.profile(device, trained, modes, store, data=run.data, options=options)


def _climb(device: AbstractDevice, table: ModeTable, hard_limit_w: float) -> ModeSource:
    from powertrain.devices import live
    from powertrain.tuning import Climb

    if not live(device).rails:
        raise WrongUse(f"{device.name} has no power sensor, so --hard-limit cannot be kept: leave it out")
    return Climb(table, hard_limit_w=hard_limit_w)


def _line(done: Profiled, device: AbstractDevice, place: str) -> str:
    were = "was" if done.kept == 1 else "were"
    simulated = " of the board's time" if device.simulated else ""
    return (
        f"{counted(done.measured, 'mode')} of {done.workload} on {device.name}"
        + (f" measured in {duration(done.device_s)}{simulated}" if done.measured else " measured")
        + (f", {done.kept:,} {were} in {place} already" if done.kept else "")
        + (f", {done.flagged:,} flagged" if done.flagged else "")
    )
