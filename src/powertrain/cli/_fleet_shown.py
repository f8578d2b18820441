"""What `powertrain fleet` shows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from powertrain.cli._echo import echo
from powertrain.cli._printing import print_sentence, print_table
from powertrain.wording import counted, duration

if TYPE_CHECKING:
    from powertrain.fleet import FleetProfiled, FleetTuned, QuantitySpread, Sharing, Spread
    from powertrain.report import Cell, Table
    from powertrain.workflow import DeviceStatus

__all__ = ["nothing_found", "show_sharing", "show_swept", "show_tuned", "status_table"]


def show_sharing(found: Sharing) -> None:
    """Say how a sweep would be shared out."""
    print_sentence(
        f"{counted(len(found.boards), 'board')} ({', '.join(found.boards)}) of {found.device} would make "
        f"{counted(found.measurements, 'measurement')}: {counted(found.modes, 'mode')} of {found.workload}, "
        f"{found.kept:,} of them in the database already, {found.shared:,} of them measured by every board"
    )


def show_swept(found: FleetProfiled, place: str) -> None:
    """Say what a sweep did, and how the boards differ."""
    print_sentence(_line(found, place))
    if len(found.boards) > 1 or found.spread.known:
        print_table(_board_table(found.boards, found.spread))


def _line(done: FleetProfiled, place: str) -> str:
    were = "was" if done.kept == 1 else "were"
    simulated = " of the boards' time" if done.simulated else ""
    said = (
        f"{counted(done.measured, 'profile')} of {done.workload} on {counted(len(done.boards), 'board')} of "
        f"{done.device} in {duration(done.took_s)}, {duration(done.device_s)}{simulated} in all"
        if done.measured
        else f"nothing was left to measure of {done.workload} on {done.device}"
    )
    return (
        said
        + (f", {done.kept:,} {were} in {place} already" if done.kept else "")
        + (f", {done.flagged:,} flagged" if done.flagged else "")
        + (f"; {counted(done.given_up, 'mode')} left out, in which boards died" if done.given_up else "")
    )


def _board_table(boards: Mapping[str, int], spread: Spread) -> Table:
    from powertrain.report import Table

    time, power = spread.quantities["time"], spread.quantities["power"]
    names = sorted({*boards, *(b.board for b in (*time.boards, *power.boards))})
    rows: list[tuple[Cell, ...]] = [
        (name, boards.get(name, 0), _off(time, name), _off(power, name)) for name in names
    ]
    return Table.of(
        "Boards, beside the mean of them [%]",
        ("board", "profiles", "time", "power"),
        rows,
        note=f"± standard error. Spread of the boards: time {_percent(time.rel_sd)}, power "
        f"{_percent(power.rel_sd)}. Profiles are kept as measured; --levelled takes the spread out.",
    )


def _off(spread: QuantitySpread, board: str) -> str | None:
    found = spread.of(board)
    if found is None or found.factor != found.factor:
        return None
    error = "" if found.rel_se != found.rel_se else f" ± {100 * found.rel_se:.2f}"
    return f"{100 * (found.factor - 1):+.2f}{error}"


def _percent(share: float) -> str:
    return "unknown" if share != share else f"{100 * share:.2f} %"


def nothing_found(found: FleetTuned) -> str:
    """Say why a tuning found no mode."""
    return f"no mode was decided on: {found.decision.why}; {_tried(found)}"


def _tried(found: FleetTuned) -> str:
    return (
        f"{counted(len(found.trials), 'trial')} on {counted(len(found.boards), 'board')} in "
        f"{duration(found.took_s)}"
        + (f", {found.recalled} of them before this run" if found.recalled else "")
    )


def show_tuned(found: FleetTuned) -> None:
    """Say which mode a tuning found."""
    decision = found.decision
    values = ", ".join(
        f"{decision.values[column]:.4g} {unit}"
        for column, unit in (("time_ms", "ms"), ("power_w", "W"))
        if column in decision.values
    )
    print_sentence(
        f"best mode of {found.workload} on {found.device}: {decision.mode} ({values}): {decision.why}"
    )
    print_sentence(_tried(found))
    echo(f'on each board: powertrain apply "{decision.mode}" --device {shlex.quote(found.spec)} -- COMMAND')


def status_table(found: Mapping[str, Mapping[str, DeviceStatus | Exception]]) -> Table:
    """Return a table of what boards do now."""
    from powertrain.report import Table

    rows: list[tuple[Cell, ...]] = []
    for model, answers in found.items():
        for board, told in sorted(answers.items()):
            if isinstance(told, Exception):
                rows.append((board, model, None, None, str(told)))
            else:
                power = None if told.power_w != told.power_w else f"{told.power_w:.1f}"
                warm = None if told.temperature_c != told.temperature_c else f"{told.temperature_c:.0f}"
                rows.append((board, model, power, warm, _doing(told)))
    return Table.of("Boards of the cluster", ("board", "model", "power [W]", "chip [°C]", "now"), rows)


def _doing(told: DeviceStatus) -> str:
    if told.hold is not None:
        left = "left behind by" if told.hold.left_behind else "held by"
        return f"{left} {told.hold.by}: {told.hold.mode}" if told.hold.mode else f"{left} {told.hold.by}"
    return told.stock_mode or "free"
