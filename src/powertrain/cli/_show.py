"""`powertrain show`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from powertrain.cli._echo import echo
from powertrain.cli._flags import flag_table
from powertrain.cli._options import command, json_option, stored_or_stdin
from powertrain.cli._printing import content_of, print_json, print_table
from powertrain.quantities import QUANTITIES, by_column
from powertrain.wording import counted, duration

if TYPE_CHECKING:
    from powertrain.report import Table
    from powertrain.workflow import PredictorContents, ProfileContents

__all__ = ["show_command"]


@command(
    "show",
    short="Show what a file holds.",
    examples=("show profiles.db", "show mobilenet.ptm", "show measured.csv"),
)
@click.argument("location", metavar="FILE.db|FILE.ptm|FILE.csv|URL", type=stored_or_stdin)
@json_option
def show_command(location: str, as_json: bool) -> None:
    """Show what a database, a predictor or a CSV file holds; - is a CSV file on standard input.

    For profiles, show workloads, knobs, what was measured, and flags with their reasons. For a predictor,
    show what it learned from. If the method allows it, also show the error when each profile is predicted
    from the others.
    """
    from powertrain.dataset import without_password
    from powertrain.workflow import PredictorContents, contents_of

    name, content = content_of(Path(location)) if location == "-" else (location, None)
    found = contents_of(str(name), content=content)
    name = name if Path(name).exists() else without_password(str(name))
    if as_json:
        print_json({"predictor": found} if isinstance(found, PredictorContents) else {"workloads": found})
    elif isinstance(found, PredictorContents):
        print_table(_predictor_table(found))
    elif not found:
        echo(f"{name} holds no profiles yet")
    else:
        print_table(_workloads_table(str(name), found))
        print_table(_knobs_table(found))
        flagged = {f"{one.workload} on {one.device}": one.flags for one in found}
        if (table := flag_table(flagged)) is not None:
            print_table(table)


def _workloads_table(name: str, found: Sequence[ProfileContents]) -> Table:
    from powertrain.report import Table

    columns = [q for q in by_column().values() if any(q.column in one.ranges for one in found)]
    total = sum(one.profiles for one in found)
    took_s = sum(one.duration_s for one in found)
    return Table.of(
        f"{name}: {counted(total, 'profile')} of {counted(len({one.workload for one in found}), 'workload')}"
        + (f" on {devices} devices" if (devices := len({one.device for one in found})) > 1 else ""),
        ("workload", "device", "profiles", "modes", *(f"{q.name} [{q.unit}]" for q in columns)),
        [
            (
                one.workload,
                one.device,
                one.profiles,
                one.flags.modes,
                *(_range(one.ranges.get(q.column)) for q in columns),
            )
            for one in found
        ],
        note=" ".join(filter(None, (_took(took_s), *_sums(found)))),
    )


def _took(took_s: float) -> str:
    return f"Measuring them took {duration(took_s)}." if took_s else ""


def _sums(found: Sequence[ProfileContents]) -> Iterator[str]:
    """Yield of what the powers are the sum, by device; several sums of one device are a warning."""
    by_device: dict[str, dict[str, None]] = {}
    for one in found:
        by_device.setdefault(one.device, {}).update(dict.fromkeys(one.sums))
    for device, sums in by_device.items():
        if len(sums) == 1:
            yield f"Power of {device}: {next(iter(sums))}."
        elif sums:
            yield f"Powers of {device} are of different sums, which no fit mixes: {'; '.join(sums)}."


def _knobs_table(found: Sequence[ProfileContents]) -> Table:
    from powertrain.report import Table

    rows: dict[tuple[str, str], set[float]] = {}
    for one in found:
        for knob, values in one.knobs.items():
            rows.setdefault((one.device, knob), set()).update(values)
    return Table.of(
        "Knobs",
        ("device", "knob", "values", "range"),
        [(d, knob, len(values), _range((min(values), max(values)))) for (d, knob), values in rows.items()],
    )


def _predictor_table(found: PredictorContents) -> Table:
    from powertrain.report import Table

    learned = found.learned
    rows = [("method", found.method), ("device", found.device), ("workload", found.workload)]
    rows += [
        (f"{name} learned from", f"{counted(n, 'mode')}{_left_out(name, learned.left_out_errors.get(name))}")
        for name, n in learned.modes.items()
    ]
    rows += [("reference", f"{workload} on {device}") for device, workload in learned.references]
    rows += [("knob", f"{name}{_after_colon(learned.ranges.get(name))}") for name in found.knobs]
    rows.append(("made by", f"{found.made_by}, format version {found.format_version}"))
    note = "" if learned.modes else f"{found.method} does not keep what it learned from."
    return Table.of("Predictor", ("", " "), rows, note=note)


def _left_out(name: str, error: float | None) -> str:
    if error is None:
        return ""
    unit = "%" if QUANTITIES[name].is_log else QUANTITIES[name].unit
    return f"; each predicted from the others is off by {error:.2g} {unit} in the mean"


def _after_colon(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f": {_range(ends)}"


def _range(ends: tuple[float, float] | None) -> str | None:
    if ends is None:
        return None
    least, greatest = (f"{end:.6g}" if abs(end) < 1e6 else f"{end:,.0f}" for end in ends)
    return least if least == greatest else f"{least} to {greatest}"
