"""`powertrain fleet`: many boards as one, on Ray."""

from __future__ import annotations

import json
import shlex
import socket
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import click

from powertrain.cli._echo import echo
from powertrain.cli._fleet_shown import nothing_found, show_sharing, show_swept, show_tuned, status_table
from powertrain.cli._options import (
    SAMPLINGS,
    Amount,
    Count,
    TakesProgram,
    command,
    complete_workloads,
    database_option,
    device_spec_option,
    gathered,
    json_option,
    precision_option,
    program_arguments,
    seed_option,
    tuning_goal_options,
)
from powertrain.cli._printing import (
    STDIO,
    content_of,
    print_json,
    print_sentence,
    print_table,
    progress_bar,
    stdout_on_stderr,
)
from powertrain.cli._root import Failure, Interrupted, WrongUse
from powertrain.cli._trained import store_of
from powertrain.cli._wanted import GRID, USUAL_MODES

if TYPE_CHECKING:
    from powertrain.dataset import AbstractStore
    from powertrain.fleet import (
        FleetOptions,
        FleetProfiled,
        Wanted,
        Work,
    )

__all__ = ["fleet_command"]


@click.group(
    "fleet",
    short_help="Measure on many equal boards at once.",
    epilog="On each board: powertrain fleet join. Every command has its own --help.",
)
def fleet_command() -> None:
    """Measure on many boards at once, in a cluster of Ray.

    Each board joins the cluster once, with the command that powertrain fleet join prints. Then a sweep or a
    tuning is shared out over all boards of one model. Boards may come and go meanwhile.
    """


address_option = click.option(
    "--address",
    metavar="HOST:PORT",
    default="auto",
    show_default=True,
    help="Head of the cluster; auto is the one that this machine belongs to.",
)
board_option = click.option(
    "--board",
    metavar="MODEL",
    help="Which boards, if the cluster has several models. fleet status lists them.",
)


@final
@dataclass(frozen=True, kw_only=True)
class _Where:
    """Which boards, as it was typed."""

    address: str
    board: str | None


@final
@dataclass(frozen=True, kw_only=True)
class _How:
    """How to measure, as it was typed."""

    precision: float
    limit_s: float
    step_limit_s: float | None
    again: bool
    seed: int

    def options(self, **more: Any) -> FleetOptions:
        """Return how a fleet measures."""
        from powertrain.fleet import FleetOptions
        from powertrain.profiling import Procedure

        procedure = replace(Procedure(), precision=self.precision / 100, limit_s=self.limit_s)
        return FleetOptions(
            procedure=procedure,
            seed=self.seed,
            again=self.again,
            step_limit_s=self.step_limit_s,
            say=lambda text: echo(f"powertrain: {text}", err=True),
            **more,
        )


mode_limit_option = click.option(
    "--mode-limit",
    "limit_s",
    type=Amount(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Stop measuring a mode after this time, with a wider interval [s].",
)
step_limit_option = click.option(
    "--step-limit",
    "step_limit_s",
    type=Amount(min=0, min_open=True),
    help="End a training whose minibatch takes longer than this [s]. [default: 600]",
)
again_option = click.option(
    "--again", is_flag=True, help="Measure modes again that are already in the database."
)
name_option = click.option(
    "--name", help="Name for the profiles of your own WORKLOAD, instead of its file name."
)


@command(
    "profile",
    short="Share a sweep over all equal boards.",
    examples=(
        "fleet profile mobilenet_v3 --db profiles.db --modes 200",
        "fleet profile lstm --address 10.0.0.1:6379 --db postgresql://boards@db.example/fleet --modes grid",
        "fleet profile train.py --db profiles.db --modes 50 -- --epochs 3",
    ),
    kind=TakesProgram,
)
@click.argument("workload", metavar="WORKLOAD", shell_complete=complete_workloads)
@address_option
@board_option
@database_option(made=True)
@click.option(
    "--modes",
    "wanted",
    metavar="N|grid|FILE",
    help="How many modes, all modes of the boards (grid), or those of a CSV file with a column per knob "
    f"(- for stdin).  [default: {USUAL_MODES}, or all if there are fewer]",
)
@click.option(
    "--sampling",
    type=click.Choice(SAMPLINGS),
    default="spread",
    show_default=True,
    help="How to choose N modes.",
)
@click.option(
    "--shared",
    type=Count(min=0),
    help="Modes that every board measures, to tell how the boards differ. "
    "[default: as many as add a fifth at most, up to 6]",
)
@click.option("--batch", type=Count(min=1), default=8, show_default=True, help="Most modes of a batch.")
@click.option(
    "--levelled",
    "levelled_path",
    metavar="FILE|URL",
    help="Also write all profiles of the workload to this new database, as the mean board would give them.",
)
@precision_option
@mode_limit_option
@step_limit_option
@again_option
@click.option("--retry-flagged", is_flag=True, help="Measure modes again whose profiles are all flagged.")
@name_option
@seed_option
@click.option("--dry-run", is_flag=True, help="Only tell how the sweep would be shared out.")
@json_option
@gathered("where", _Where)
@gathered("how", _How)
def profile_command(
    workload: str,
    where: _Where,
    database: str,
    wanted: str | None,
    sampling: Any,
    how: _How,
    levelled_path: str | None,
    name: str | None,
    dry_run: bool,
    as_json: bool,
    **sweep: Any,
) -> None:
    """Measure WORKLOAD in some modes, shared out over all equal boards of a cluster.

    WORKLOAD is a built-in model, FILE.py:FUNCTION, or a script FILE.py, as for powertrain profile. A file
    travels to the boards. What it imports has to be there.

    Each board takes a batch of modes that lie close together. Each profile is saved in the database of this
    machine as soon as it is finished, and tells which board measured it. If a board dies, the others measure
    what it has not finished. To continue a stopped sweep, run the same command again. Each board is restored.

    A few modes are measured by every board. They tell how the boards differ.
    """
    from powertrain.fleet import profile_fleet, sharing

    modes, work = _wanted(wanted, sampling), _work(workload, name)
    if levelled_path is not None:
        _refuse_existing(levelled_path)
    with (
        stdout_on_stderr() if as_json else nullcontext(),
        _store(database, dry_run=dry_run) as store,
        _engine(where) as engine,
        progress_bar(every_s=30) as progress,
    ):
        options = how.options(progress=progress, **sweep)
        place, planned = store.location, sharing(engine, work, modes, store, options) if dry_run else None
        found = None
        if planned is None:
            with _telling_what_is_kept(store):
                found = profile_fleet(engine, work, modes, store, options)
            if levelled_path is not None:
                _write_levelled(store, found, levelled_path)
    if as_json:
        print_json(found or planned)
    elif planned is not None:
        show_sharing(planned)
    elif found is not None:
        show_swept(found, place)


@command(
    "tune",
    short="Find the best mode for all equal boards.",
    examples=(
        "fleet tune mobilenet_v3 --max-power 12",
        "fleet tune train.py --address 10.0.0.1:6379 --max-power 30 --db tuned.db -- --epochs 3",
    ),
    kind=TakesProgram,
)
@click.argument("workload", metavar="WORKLOAD|SCRIPT", shell_complete=complete_workloads)
@address_option
@board_option
@tuning_goal_options
@click.option(
    "--hard-limit",
    "hard_limit_w",
    type=Amount(min=0, min_open=True),
    help="Begin with the slowest modes, and skip modes likely to draw more power than this [W].",
)
@database_option(
    made=True, required=False, purpose="Keep each trial at once, and recall those that are there"
)
@click.option(
    "--trials",
    type=Count(min=1),
    default=15,
    show_default=True,
    help="Most modes to try, on all boards together.",
)
@precision_option
@mode_limit_option
@step_limit_option
@again_option
@name_option
@seed_option
@json_option
@gathered("where", _Where)
@gathered("how", _How)
def tune_command(
    workload: str,
    where: _Where,
    how: _How,
    database: str | None,
    trials: int,
    name: str | None,
    as_json: bool,
    **goal: Any,
) -> None:
    """Find the best mode of the boards for a training, with several boards that try modes at the same time.

    The mode that is found was itself measured to keep the limits, on one of the boards. Each board is
    restored. To train in it, use powertrain apply on each board. If no mode keeps the limits, the command
    fails.
    """
    from powertrain.fleet import tune_fleet
    from powertrain.workflow import TuneOptions

    wanted, work = TuneOptions.of(goal).goal, _work(workload, name)
    with (
        stdout_on_stderr() if as_json else nullcontext(),
        store_of(database) as store,
        _engine(where) as engine,
        progress_bar(every_s=30) as progress,
        _telling_what_is_kept(store if database is not None else None),
    ):
        found = tune_fleet(engine, work, wanted, store, how.options(progress=progress), trials=trials)
    if as_json:
        print_json(found)
    elif found.decision.mode is not None:
        show_tuned(found)
    if found.decision.mode is None:
        raise Failure(nothing_found(found))


@command("status", short="Show the boards of a cluster.", examples=("fleet status", "fleet status --json"))
@address_option
@json_option
def status_command(address: str, as_json: bool) -> None:
    """Show which boards a cluster has, and what each of them does now. Nothing is changed."""
    from powertrain.integrations.ray import connected

    with connected(address) as cluster:
        found = {model: cluster.engine(model).statuses() for model in cluster.kinds()}
    boards = [
        {
            "board": board,
            "model": model,
            "error": str(told) if isinstance(told, Exception) else None,
            "status": None if isinstance(told, Exception) else told,
        }
        for model, answers in found.items()
        for board, told in sorted(answers.items())
    ]
    if as_json:
        print_json({"boards": boards})
        return
    if not boards:
        print_sentence(
            "no machine of the cluster has a board: run what powertrain fleet join prints on each of them"
        )
        return
    print_table(status_table(found))


@command(
    "join",
    short="Print how this board joins a cluster.",
    examples=(
        "fleet join",
        "fleet join --device jetson --address 10.0.0.1:6379",
        'eval "$(powertrain fleet join --address 10.0.0.1:6379)"',
        'eval "$(powertrain fleet join --device sim:orin-nano --alone)"',
    ),
)
@device_spec_option(name="spec", default="auto")
@click.option(
    "--address", metavar="HOST:PORT", help="Head of the cluster. Without it, this machine becomes the head."
)
@click.option(
    "--alone",
    is_flag=True,
    help="Make this machine a cluster of its own: Ray listens on loopback only, and no other can join.",
)
@click.option(
    "--name", help="Name of the board in its profiles. It has to differ from that of every other board."
)
@json_option
def join_command(spec: str, address: str | None, alone: bool, name: str | None, as_json: bool) -> None:
    """Print the command that makes this machine a board of a cluster of Ray. Nothing is changed."""
    if address is not None:
        if alone:
            raise WrongUse("--alone and --address were given: a machine alone joins no cluster")
        from powertrain.fleet import head_address

        head_address(address)
    from powertrain.devices import live
    from powertrain.fleet import model_slug
    from powertrain.workflow import open_device

    device = live(open_device(spec))
    board, model = name or socket.gethostname(), model_slug(device.name)
    environment = {"POWERTRAIN_BOARD": device.spec, **(ALONE if alone else {})}
    place = ["--head", "--port=6379"] if address is None else [f"--address={address}"]
    resources = json.dumps({f"powertrain_board:{model}": 1})
    command = ["ray", "start", *place, f"--node-name={board}", f"--resources={resources}"]
    if as_json:
        print_json({"board": board, "model": model, "environment": environment, "command": command})
        return
    set_before = [f"{variable}={shlex.quote(value)}" for variable, value in environment.items()]
    echo(" ".join([*set_before, *map(_as_option, command)]))


ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Has Ray listen on loopback, as it does on other systems than Linux."""


def _as_option(word: str) -> str:
    """Return a word for the shell, where only the value of an option is quoted."""
    option, mark, value = word.partition("=")
    return f"{option}{mark}{shlex.quote(value)}" if mark else word


for _one in (profile_command, tune_command, status_command, join_command):
    fleet_command.add_command(_one)


@contextmanager
def _engine(where: _Where) -> Generator[Any]:
    from powertrain.integrations.ray import connected

    with connected(where.address) as cluster:
        yield cluster.engine(where.board)


@contextmanager
def _store(database: str, *, dry_run: bool) -> Generator[AbstractStore]:
    """Open the store; a file that is not there is not made for a look."""
    from powertrain.dataset import store_file

    file = store_file(database)
    missing = dry_run and file is not None and not file.exists()
    with store_of(None if missing else database) as store:
        yield store


def _work(workload: str, name: str | None) -> Work:
    from powertrain.fleet import Work

    arguments = program_arguments()
    if arguments and not workload.endswith(".py"):
        raise WrongUse(f"arguments are for a script, and {workload} is none: leave them out")
    return Work.of(workload, name=name, arguments=arguments)


def _wanted(text: str | None, sampling: Any) -> Wanted:
    from powertrain.fleet import Wanted
    from powertrain.workflow import read_modes

    if text is None or text == GRID or text.isdecimal():
        number = USUAL_MODES if text is None else None if text == GRID else int(text)
        return Wanted(number=number, or_all=text is None, sampling=sampling)
    if text != str(STDIO) and not Path(text).exists():
        raise click.BadParameter(
            f"{text!r} is neither a number of modes, nor {GRID}, nor a file", param_hint="--modes"
        )
    name, content = content_of(Path(text))
    return Wanted(listed=lambda knobs: read_modes(name, knobs=knobs, content=content))


def _refuse_existing(location: str) -> None:
    from powertrain.dataset import store_file

    file = store_file(location)
    if file is not None and file.exists():
        raise WrongUse(f"{location} exists already: give --levelled a new file")


@contextmanager
def _telling_what_is_kept(store: AbstractStore | None) -> Generator[None]:
    try:
        yield
    except KeyboardInterrupt as error:
        kept = (
            ""
            if store is None
            else f"; what is finished is kept in {store.location}: the same command goes on"
        )
        raise Interrupted.by(error, f"interrupted, and the boards are restored{kept}") from error


def _write_levelled(store: AbstractStore, found: FleetProfiled, location: str) -> None:
    from powertrain.dataset import open_store
    from powertrain.fleet import levelled

    profiles = store.profiles(device=found.device, workload=found.workload)
    with open_store(location) as other:
        other.add(levelled(profiles, found.spread))
