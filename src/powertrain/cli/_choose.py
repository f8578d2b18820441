"""`powertrain choose`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import click

from powertrain.cli._echo import echo
from powertrain.cli._flags import flags_left_out
from powertrain.cli._options import (
    DEVICE_HELP,
    Count,
    command,
    complete_workloads,
    database_option,
    device_spec_option,
    existing_file,
    gathered,
    json_option,
    limit_options,
    method_option,
    new_file,
    seed_option,
    text_input,
)
from powertrain.cli._predict import PLOT_HELP, modes_of_file, ranged
from powertrain.cli._printing import print_json, print_sentence, print_table, refuse_unwritable
from powertrain.quantities import by_column

if TYPE_CHECKING:
    from powertrain.devices import AbstractDevice
    from powertrain.optimisation import EpochTotals
    from powertrain.records import Choice
    from powertrain.report import Table
    from powertrain.workflow import Candidates, Flagged

__all__ = ["choose_command"]


@final
@dataclass(frozen=True, kw_only=True)
class _Where:
    """From which modes to choose, as it was typed."""

    device_spec: str | None
    modes_path: Path | None
    other_device: bool


@final
@dataclass(frozen=True, kw_only=True)
class _Learning:
    """How to predict from the profiles of a database, as it was typed."""

    references: tuple[Path, ...]
    method: str
    seed: int


@final
@dataclass(frozen=True, kw_only=True)
class _Shown:
    """What to show besides the mode, as it was typed."""

    epoch_minibatches: int | None
    plot_path: Path | None
    as_json: bool


@command(
    "choose",
    short="Choose the best mode under limits.",
    examples=(
        "choose mobilenet.ptm --device sim:orin-agx --max-power 30",
        "choose mobilenet.ptm --device sim:orin-agx --max-power 30 --plot choice.html",
        "choose --db profiles.db --workload mobilenet_v3 --max-power 30",
        "choose mobilenet.ptm --device sim:orin-agx --objective energy --max-time 120",
    ),
)
@click.argument("predictor_path", metavar="[PREDICTOR.ptm]", type=existing_file, required=False)
@database_option(required=False, purpose="Choose from the profiles of this database")
@click.option("--workload", shell_complete=complete_workloads, help="With --db: the workload.")
@device_spec_option(
    f"Choose from all modes of this device. With --db, it can be a name in the database. {DEVICE_HELP}"
)
@click.option("--modes", "modes_path", type=text_input, help="Choose from the modes of a CSV file instead.")
@click.option("--other-device", is_flag=True, help="Allow a predictor that learned on another device.")
@click.option(
    "--reference",
    "references",
    type=existing_file,
    multiple=True,
    help="With --db: predictor of another workload or device to learn from. May be repeated.",
)
@method_option
@seed_option
@limit_options
@click.option(
    "--epoch-minibatches",
    type=Count(min=1),
    help="Minibatches of an epoch, to show its time and energy.",
)
@click.option("--plot", "plot_path", type=new_file, help=PLOT_HELP)
@json_option
@gathered("where", _Where)
@gathered("learning", _Learning)
@gathered("shown", _Shown)
def choose_command(
    predictor_path: Path | None,
    database: str | None,
    workload: str | None,
    where: _Where,
    learning: _Learning,
    shown: _Shown,
    objective: Any,
    risk: float,
    **limits: float | None,
) -> None:
    """Choose the best mode that keeps the limits, as predicted or as measured.

    Give a PREDICTOR, or --db and --workload. With --db, the modes are predicted from the profiles if there
    are enough. If not, the best measured mode is chosen.

    A limit counts as kept if it is kept with probability 1 - RISK. If no mode does, the nearest is named,
    and the exit code is 1.
    """
    from powertrain.optimisation import choose
    from powertrain.records import Limits

    if shown.plot_path is not None:
        refuse_unwritable(shown.plot_path)
    asked = {name: limit for name, limit in limits.items() if limit is not None}
    # A space too large to predict is searched by what is asked of the mode.
    goal = {"objective": objective, "limits": Limits(**asked), "risk": risk}
    if predictor_path is not None and database is None and workload is None:
        found, device, flagged = *_of_predictor(predictor_path, where, goal), None
    elif predictor_path is None and database is not None and workload is not None:
        found, device, flagged = _of_store(database, workload, where, learning, goal)
    else:
        raise click.UsageError("give either PREDICTOR.ptm, or --db and --workload")
    choice = choose(found.prediction, found.modes, objective=objective, risk=risk, **asked)
    _show(found, choice, device, flagged, shown)


def _show(
    found: Candidates, choice: Choice, device: AbstractDevice | None, flagged: Flagged | None, shown: _Shown
) -> None:
    """Draw and print what was chosen, and how to apply it."""
    from powertrain.optimisation import epoch_totals
    from powertrain.workflow import draw_predicted_front

    minibatches = shown.epoch_minibatches
    epoch = epoch_totals(choice, minibatches=minibatches) if minibatches else None
    if shown.plot_path is not None:
        title = f"{found.workload} on {found.device}"
        draw_predicted_front(
            found.prediction,
            found.modes,
            shown.plot_path,
            title=title,
            choice=choice,
            device_name=found.device,
            device=device,
        )
    apply_line = _apply_line(choice, device)
    if shown.as_json:
        about = {"method": found.method, "device": found.device, "workload": found.workload}
        how = {"modes": len(found.modes), "measured": found.prediction.is_measured, "basis": found.basis}
        print_json(
            {**about, **how, "choice": choice, "epoch": epoch, "apply": apply_line, "flagged": flagged}
        )
        return
    print_table(_table(found, choice, epoch))
    left_out = "" if flagged is None else flags_left_out(flagged)
    for sentence in filter(None, (found.basis, left_out, choice.why)):
        print_sentence(sentence)
    echo(f"{'Apply it' if device is not None else 'Apply it there'}: {apply_line}")


def _of_predictor(
    path: Path, where: _Where, goal: Mapping[str, Any]
) -> tuple[Candidates, AbstractDevice | None]:
    """Predict the modes of a device or of a file; return the device, too, if it can be set."""
    from powertrain.models import load_predictor
    from powertrain.workflow import Candidates, device_named, modes_to_choose_from, open_device

    if (where.device_spec is None) == (where.modes_path is None):
        raise click.UsageError("give either --device, for all its modes, or --modes, a file of modes")
    predictor = load_predictor(path)
    if where.modes_path is not None:
        modes, device = modes_of_file(where.modes_path, predictor.knobs), device_named(predictor.device)
    else:
        assert where.device_spec is not None
        device = open_device(where.device_spec)
        modes = modes_to_choose_from(device, predictor, same_device=not where.other_device, **goal)
    found = Candidates(
        device=predictor.device,
        workload=predictor.workload,
        method=predictor.method,
        modes=modes,
        prediction=predictor.predict(modes),
        basis="",
    )
    return found, _settable(device)


def _of_store(
    database: str, workload: str, where: _Where, learning: _Learning, goal: Mapping[str, Any]
) -> tuple[Candidates, AbstractDevice | None, Flagged]:
    """Predict from the profiles of a database, or take them at their word.

    Returns the device as well, and what is left out because of flags.
    """
    from powertrain.dataset import open_store
    from powertrain.models import load_predictor
    from powertrain.workflow import candidates, modes_to_choose_from, stored_workload

    lent = [load_predictor(path) for path in learning.references]
    with open_store(database, create=False) as store:
        stored = stored_workload(store, workload, device=where.device_spec, other_device=where.other_device)
    modes = stored.modes
    if where.modes_path is not None:
        modes = modes_of_file(where.modes_path, stored.profiles.modes.knobs)
    if modes is None:
        assert stored.device is not None
        modes = partial(modes_to_choose_from, stored.device, **goal)
    found = candidates(stored.profiles, modes, references=lent, method=learning.method, seed=learning.seed)
    return found, _settable(stored.device), stored.flagged


def _settable(device: AbstractDevice | None) -> AbstractDevice | None:
    return None if device is None or device.recorded else device


def _apply_line(choice: Choice, device: AbstractDevice | None) -> str:
    """Return the command that runs another one in the mode that was chosen."""
    from powertrain.report import apply_words

    before, after = apply_words("" if device is None else device.spec)
    return f"{before}{choice.mode}{after}"


def _table(found: Candidates, choice: Choice, epoch: EpochTotals | None) -> Table:
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
    by = "as measured" if found.prediction.is_measured else f"by {found.method}"
    has_intervals = any(value.low == value.low for value in (choice.time_ms, choice.power_w))
    note = "In brackets: 90 % intervals." if has_intervals else ""
    return Table.of(f"{found.workload} on {found.device}", ("chosen", by), rows, note=note)
