"""What each column of a CSV file of profiles is for, judged by its name and place.

The form is `device, workload, <one column per knob>, time_ms, power_w`. People add columns of their own,
forget units and write kHz, so every name is either understood, converted with a remark, kept aside, or
refused with the name it should have had. Where name and place leave it open (`Role.OPEN`), the cells decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import final

from powertrain import units
from powertrain.errors import CsvError, MissingKnobError
from powertrain.quantities import by_column, measured
from powertrain.space import KNOWN_KNOBS

__all__ = ["DURATION", "EXTRA_PREFIX", "Column", "Role", "columns_of", "header_of"]

DURATION = "duration_s"
"""The one column of a number that belongs to no quantity: what the measurement cost."""

KNOB_PREFIX, EXTRA_PREFIX = "knob:", "extra:"
"""`knob:x` is the knob x and `extra:x` the extra column x, whatever the name x would make of them."""

_REQUIRED = ("device", "workload")

_CLOCK_UNITS: dict[str, Callable[[float], float]] = {
    "hz": units.mhz_from_hz,
    "khz": units.mhz_from_khz,
    "ghz": units.mhz_from_ghz,
}

_CLOCK = re.compile(r"(?P<stem>.+)_(?P<unit>hz|khz|ghz)(?P<rest>_.+)?")
_LIMIT = re.compile(r"(?P<stem>.*(?:limit|cap|tdp))_mw")
_OBSERVED = re.compile(r"_(seen|observed|actual|measured|mean|avg|sd|std)$")
# A clock, or a setting of a kind that PowerTrain knows, under whatever further name.
_LIKE_A_KNOB = re.compile(
    r"_(mhz|khz|ghz)(_|$)|^(cpu|gpu|mem|emc)(_.+)?_hz(_|$)|_cores$|(limit|cap|tdp)(_m?w)?$|batch_size|_workers$"
)
_LIKE_A_MEASUREMENT = re.compile(
    r"(^|_)(time|power|energy|latency|runtime|duration|elapsed|temp|temperature|util|usage|throughput)(_|$)"
    r"|(^|_)(loss|acc|accuracy)(_|$)|_(ns|us|ms|s|min|h|mj|j|kj|wh|mw|w|kw|c|pct|percent)$"
)
_COUNTERS = frozenset(["index", "id", "row", "run", "trial", "repeat", "seed", "epoch", "timestamp"])


class Role(Enum):
    """What a column is for."""

    DEVICE = "device"
    WORKLOAD = "workload"
    NUMBER = "a number of the profile"
    FLAGS = "flags"
    KNOB = "knob"
    OPEN = "a knob if its cells are numbers, else an extra"
    EXTRA = "extra"


@final
@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: `header` as the file writes it, `name` as profiles call it."""

    header: str
    name: str
    role: Role
    convert: Callable[[float], float] | None = None
    """Brings a cell to the unit of `name`; None where it has it."""
    like_a_knob: bool = True
    """For an open column: text in it is a mistake rather than a reason to keep it aside."""


def _own_names() -> frozenset[str]:
    """Return the columns that are fields of a profile as they are."""
    errors = (quantity.se_column for quantity in measured())
    return frozenset((*_REQUIRED, *by_column(), *errors, DURATION, "flags"))


def _converted() -> dict[str, tuple[str, Callable[[float], float]]]:
    """Return the other spellings of quantities: the column that each stands for, and what converts a cell."""
    return {name: (q.column, convert) for q in measured() for name, convert in q.spellings.items()}


def columns_of(header: Sequence[str], knobs: Sequence[str] | None) -> list[Column]:
    """Return what each column of `header` is for; `knobs` names the knob columns instead of guessing.

    Names are compared without surrounding blanks. A header that leaves no room for profiles raises `CsvError`
    (`MissingKnobError` for one of `knobs` that is not there), its message without the place in the file.
    """
    names = [name.strip() for name in header]
    _refuse_unnamed(names)
    missing = [name for name in knobs or () if name not in names]
    if missing:
        raise MissingKnobError(f"no column {_quoted(missing)}: it has {', '.join(names)}")
    fields = [name for name in knobs or () if name in _own_names() or name in _converted()]
    if fields:
        raise CsvError(f"column {_quoted(fields)} was asked for as a knob, but is a field of every profile")
    first = next((i for i, name in enumerate(names) if _is_measured(name)), len(names))
    columns = [_read_name(name, knobs=knobs, after=i > first) for i, name in enumerate(names)]
    _refuse_incomplete(columns, names)
    return columns


def header_of(name: str, role: Role) -> str:
    """Return the header under which `name` reads back as a knob or an extra column.

    An extra always says that it is one, so that reading it leaves nothing to remark on.
    """
    if role is Role.EXTRA:
        return f"{EXTRA_PREFIX}{name}"
    try:
        read = _read_name(name, after=False)
    except CsvError:
        read = None
    is_clear = read is not None and read.role in (Role.KNOB, Role.OPEN) and read.name == name
    return name if is_clear else f"{KNOB_PREFIX}{name}"


def _read_name(name: str, *, knobs: Sequence[str] | None = None, after: bool) -> Column:
    """Return what a column called `name` is for; `after` where it follows the first measurement."""
    if knobs is not None and name in knobs:
        return _knob(name)
    for prefix, role in ((KNOB_PREFIX, Role.KNOB), (EXTRA_PREFIX, Role.EXTRA)):
        if name.startswith(prefix) and len(name) > len(prefix):
            return Column(header=name, name=name[len(prefix) :], role=role)
    if name in _own_names() or name in _converted():
        return _own(name)
    refused = {old: new for quantity in measured() for old, new in quantity.refused.items()}
    if name in refused:
        raise CsvError(f"column {name!r} has no unit that can be used: rename it {refused[name]}, converted")
    if knobs is not None:
        return Column(header=name, name=name, role=Role.EXTRA)
    return _guessed(name, after=after)


def _own(name: str) -> Column:
    roles = {"device": Role.DEVICE, "workload": Role.WORKLOAD, "flags": Role.FLAGS}
    own, convert = _converted().get(name, (name, None))
    return Column(header=name, name=own, role=roles.get(own, Role.NUMBER), convert=convert)


def _guessed(name: str, *, after: bool) -> Column:
    column = _knob(name)
    like_a_knob = bool(_LIKE_A_KNOB.search(name)) and not _OBSERVED.search(name)
    if column.name in KNOWN_KNOBS:
        return column
    if not like_a_knob and (after or _is_no_knob(name)):
        return Column(header=name, name=name, role=Role.EXTRA)
    return Column(
        header=name, name=column.name, role=Role.OPEN, convert=column.convert, like_a_knob=like_a_knob
    )


def _knob(name: str) -> Column:
    """Return the column of a knob, its name and unit brought to megahertz or watts."""
    clock, limit = _CLOCK.fullmatch(name), _LIMIT.fullmatch(name)
    own, convert = name, None
    if clock:
        own, convert = f"{clock['stem']}_mhz{clock['rest'] or ''}", _CLOCK_UNITS[clock["unit"]]
    elif limit:
        own, convert = f"{limit['stem']}_w", units.watts_from_milliwatts
    return Column(header=name, name=own, role=Role.KNOB, convert=convert)


def _is_measured(name: str) -> bool:
    return name in by_column() or name in _converted()


def _is_no_knob(name: str) -> bool:
    lower = name.lower()
    counts = lower in _COUNTERS or lower.startswith("unnamed:")
    return counts or bool(_LIKE_A_MEASUREMENT.search(lower)) or bool(_OBSERVED.search(lower))


def _refuse_unnamed(names: Sequence[str]) -> None:
    unnamed = [i for i, name in enumerate(names, start=1) if not name]
    if unnamed:
        raise CsvError(
            f"column {unnamed[0]} has no name: name it, or leave it out (an index, as pandas adds?)"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CsvError(f"two columns are called {_quoted(twice)}: keep one")


def _refuse_incomplete(columns: Sequence[Column], names: Sequence[str]) -> None:
    own = {column.name for column in columns if column.role not in (Role.KNOB, Role.OPEN, Role.EXTRA)}
    missing = [name for name in _REQUIRED if name not in own]
    if missing:
        raise CsvError(f"no column {_quoted(missing)}: it has {', '.join(names)}")
    if not own.intersection(by_column()):
        raise CsvError(f"neither time_ms nor power_w was measured: it has {', '.join(names)}")
    seen: dict[tuple[str, str], str] = {}
    for column in columns:
        kind = {Role.KNOB: "knob", Role.OPEN: "knob", Role.EXTRA: "extra"}.get(column.role, "field")
        key = (kind, column.name)
        other = seen.setdefault(key, column.header)
        if other != column.header:
            raise CsvError(f"columns {other!r} and {column.header!r} both give {column.name}: keep one")


def _quoted(names: Sequence[str]) -> str:
    return " or ".join(map(repr, names))
