"""What a column of somebody's table is for, judged by its name.

PowerTrain's own form is `device, workload, <one column per knob>, time_ms, power_w`. Tables of others spell
things in their own way: `GPU Freq (MHz)`, `power.draw [W]`, `time[s]`. A name is understood, converted with a
remark, kept aside where it plainly is something else, or asked about with the mapping that answers. A column
of numbers with an unknown name is never guessed to be a knob: a wrong knob spoils every fit in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import final

from powertrain import units
from powertrain.columns._spelling import UNITS, Convert, is_rate, of_a_step, same, singular, split_unit
from powertrain.errors import CsvError, MissingKnobError
from powertrain.knobs import KNOWN_KNOBS
from powertrain.quantities import by_column, measured

__all__ = [
    "DURATION",
    "EXTRA_PREFIX",
    "KNOB_PREFIX",
    "Column",
    "Role",
    "columns_of",
    "header_of",
    "map_line",
]

DURATION = "duration_s"
"""The one column of a number that belongs to no quantity: what the measurement cost."""

KNOB_PREFIX, EXTRA_PREFIX = "knob:", "extra:"
"""`knob:x` is the knob x and `extra:x` the extra column x, whatever the name x would make of them."""

INDEX = "Unnamed: 0"
"""What pandas calls a first column without a name, which it writes itself: the numbers of the rows."""
_OF_SAMPLES = re.compile(r"\b(throughput|fps|(images?|imgs?|samples?|examples?|items|tokens?)[ _]?(/|per))")
_OWN_LOGS = re.compile(r"((metrics|params|tags|summary|config)[./])?powertrain/(mode/)?(?P<name>.+)")
"""What `powertrain.integrations` calls its numbers, as MLflow and Weights & Biases export them."""

_REQUIRED = ("device", "workload")
_MEANS = frozenset(["mean", "avg", "average"])
_ENDS = frozenset(["peak", "max", "maximum", "min", "minimum", "median", "p50", "p90", "p95", "p99"])
_OBSERVED = frozenset(["seen", "observed", "actual", "measured", "sd", "std", "stddev", "var", "variance"])
_SPEED_WORDS = frozenset(["freq", "frequency", "clock", "clk", "speed"])
_PARTS = {"gpu": "gpu", "graphics": "gpu", "cpu": "cpu", "mem": "mem", "memory": "mem", "emc": "mem"}
_BATCH_WORDS = frozenset(["minibatch", "mini", "batch", "step", "iteration", "iter", "per"])
_COUNTERS = frozenset(
    ["index", "id", "row", "run", "trial", "repeat", "seed", "epoch", "unnamed", "uuid", "n", "count"]
)
_OTHER = frozenset(
    (
        *("energy", "temp", "temperature", "util", "utilization", "utilisation", "usage", "throughput"),
        *(
            "loss",
            "acc",
            "accuracy",
            "score",
            "timestamp",
            "stamp",
            "date",
            "datetime",
            "fps",
            "used",
            "free",
        ),
        *("voltage", "c", "j", "kj", "wh", "mj", "mv", "ma"),
    )
)
"""Words of measurements that PowerTrain keeps aside."""
_NO_STEP = _OBSERVED | _ENDS | _COUNTERS | _OTHER | {"start", "end"}
"""Words of what is neither the time of a step nor a mean power, whatever its unit."""
_TIMES = frozenset(["time", "latency", "runtime", "duration", "elapsed"])
_LEGACY_KNOB = re.compile(r"_mhz(_|$)|_cores$|(limit|cap|tdp)_w$|(^|_)batch_size($|_)|_workers$")
"""A name that says by its own unit, or by its kind, that it is a setting."""


_UNUSABLE = re.compile(r"(^|[^a-z])(ns|min|minutes|h|hours|kw|kilowatts)\W*$")
"""A unit of time or power that is not converted."""


class Role(Enum):
    """What a column is for."""

    DEVICE = "device"
    WORKLOAD = "workload"
    NUMBER = "a number of the profile"
    FLAGS = "flags"
    KNOB = "knob"
    UNKNOWN = "asked about if its cells are numbers, else an extra"
    EXTRA = "extra"


@final
@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: `header` as the file writes it, `name` as profiles call it."""

    header: str
    name: str
    role: Role
    convert: Convert | None = None
    """Brings a cell to the unit of `name`; None where it has it."""
    unit: str = ""
    """Unit that a cell may carry behind its number, in small letters: `w` of `9.71 W`."""
    answer: str = ""
    """For an unknown column, what it most likely is: the right side of the mapping that is proposed."""


def map_line(answers: Mapping[str, str]) -> str:
    """Return the options of `import` that say what columns are: `--map "GPU Freq=gpu_mhz"`."""
    return " ".join(f'--map "{header}={answer}"' for header, answer in answers.items())


def columns_of(
    header: Sequence[str],
    knobs: Sequence[str] | None = None,
    *,
    mapping: Mapping[str, str] | None = None,
    given: Sequence[str] = (),
) -> list[Column]:
    """Return what each column of `header` is for.

    Names are compared without surrounding blanks. A header that leaves no room for profiles raises `CsvError`
    (`MissingKnobError` for one of `knobs` that is not there), its message without the place in the file.

    Args:
        header: Names as the table has them.
        knobs: The columns that are knobs; every other unknown one is an extra then.
        mapping: By name as the table has it: what the column is (`gpu_mhz`, `time_ms`, `knob:x`, `extra:x`).
        given: Which of device and workload are known without a column.
    """
    names = [name.strip() for name in header]
    if names.count("") == 1 and not names[0]:
        names[0] = INDEX
    asked = {old.strip(): new.strip() for old, new in (mapping or {}).items()}
    _refuse_unnamed(names)
    _refuse_missing(names, knobs or (), asked)
    columns = [_read_name(name, knobs=knobs, mapping=asked) for name in names]
    columns = _without_lost_measurements(columns, mapped=asked)
    _refuse_incomplete(columns, names, given)
    return columns


def header_of(name: str, role: Role) -> str:
    """Return the header under which `name` reads back as a knob or an extra column.

    An extra always says that it is one, so that reading it leaves nothing to remark on.
    """
    if role is Role.EXTRA:
        return f"{EXTRA_PREFIX}{name}"
    try:
        read = _read_name(name)
    except CsvError:
        read = None
    is_clear = read is not None and read.role is Role.KNOB and read.name == name and read.convert is None
    return name if is_clear else f"{KNOB_PREFIX}{name}"


def _own_names() -> frozenset[str]:
    """Return the columns that are fields of a profile as they are."""
    errors = (quantity.se_column for quantity in measured())
    return frozenset((*_REQUIRED, *by_column(), *errors, DURATION, "flags"))


def _converted() -> dict[str, tuple[str, Convert]]:
    """Return the other spellings of quantities: the column that each stands for, and what converts a cell."""
    return {name: (q.column, convert) for q in measured() for name, convert in q.spellings.items()}


def _measured_names() -> frozenset[str]:
    return frozenset((*by_column(), *_converted()))


def _read_name(
    name: str, *, knobs: Sequence[str] | None = None, mapping: Mapping[str, str] | None = None
) -> Column:
    """Return what a column called `name` is for."""
    if mapping and name in mapping:
        return _mapped(name, mapping[name])
    if knobs is not None and name in knobs:
        return _knob(name, name)
    forced = _forced(name, name)
    if forced is not None:
        return forced
    if (logged := _OWN_LOGS.fullmatch(name)) is not None:
        return replace(_read_name(logged["name"], knobs=knobs), header=name)
    column = _own(name, name) or _own(name, name.lower())
    if column is not None:
        return column
    refused = {old: new for quantity in measured() for old, new in quantity.refused.items()}
    if name.lower() in refused:
        new = refused[name.lower()]
        raise CsvError(
            f"column {name!r} has no unit that can be used: rename it {new}, converted{_or_mapped(name, new)}"
        )
    if knobs is not None:
        return Column(header=name, name=name, role=Role.EXTRA)
    return _understood(name)


def _or_mapped(name: str, new: str) -> str:
    """Return the way without renaming; there is none for a unit that is not converted."""
    if _UNUSABLE.search(name.lower()):
        return ""
    return ", or say what it is: " + " or ".join(map_line({name: one}) for one in new.split(" or "))


def _mapped(name: str, target: str) -> Column:
    """Return the column that somebody said `name` is; a unit in the name is converted."""
    column = _forced(name, target) or _own(name, target) or _knob(name, target)
    if column.name == "time_ms" and (step := of_a_step(name)) is not None:
        unit, convert = step
        return replace(column, convert=None if convert is same else convert, unit=unit)
    if column.name == "time_ms" and (is_rate(name) or _OF_SAMPLES.search(name.lower())):
        raise _samples_a_second(name)
    _, unit = split_unit(name)
    if _UNUSABLE.search(name.lower()) and column.role is Role.NUMBER:
        raise CsvError(f"column {name!r} has a unit that is not converted: convert it to {target} first")
    if unit not in UNITS or column.role not in (Role.KNOB, Role.NUMBER):
        return column
    kind, short, convert = UNITS[unit]
    wanted = _unit_kind(column.name)
    if wanted != kind:
        raise CsvError(f"column {name!r} is in {unit}, and {target} is not: map it to another")
    if column.convert is not None and column.unit != short:
        raise CsvError(f"column {name!r} is in {unit} by its name and in {column.unit} by --map: name one")
    own = None if convert is same else convert
    return Column(header=name, name=column.name, role=column.role, convert=own, unit=short)


def _forced(header: str, name: str) -> Column | None:
    for prefix, role in ((KNOB_PREFIX, Role.KNOB), (EXTRA_PREFIX, Role.EXTRA)):
        if name.startswith(prefix) and len(name) > len(prefix):
            return Column(header=header, name=name[len(prefix) :], role=role)
    return None


def _own(header: str, name: str) -> Column | None:
    """Return the field of a profile that is called `name`, in whatever unit; None if there is none."""
    own, convert = _converted().get(name, (name, None))
    if own not in _own_names():
        return None
    roles = {"device": Role.DEVICE, "workload": Role.WORKLOAD, "flags": Role.FLAGS}
    unit = name.rpartition("_")[2]
    return Column(
        header=header,
        name=own,
        role=roles.get(own, Role.NUMBER),
        convert=convert,
        unit=unit if unit in UNITS else "",
    )


def _knob(header: str, name: str) -> Column:
    """Return the column of a knob, its name and unit brought to megahertz or watts."""
    found = re.fullmatch(r"(?P<stem>.+)_(?P<unit>hz|khz|ghz|mhz)(?P<rest>_.+)?", name)
    if found:
        own = f"{found['stem']}_mhz{found['rest'] or ''}"
        convert, unit = UNITS[found["unit"]][2], found["unit"]
        return Column(
            header=header, name=own, role=Role.KNOB, convert=None if convert is same else convert, unit=unit
        )
    limit = re.fullmatch(r"(?P<stem>.*(?:limit|cap|tdp))_(?P<unit>mw|w)", name)
    if limit:
        convert = units.watts_from_milliwatts if limit["unit"] == "mw" else None
        own = f"{limit['stem']}_w"
        return Column(header=header, name=own, role=Role.KNOB, convert=convert, unit=limit["unit"])
    return Column(header=header, name=name, role=Role.KNOB)


def _unit_kind(name: str) -> str:
    """Return what the column `name` of PowerTrain's is measured in: time, power or clock; or nothing."""
    if "_mhz" in name:
        return "clock"
    return {"time_ms": "time", "power_w": "power"}.get(name, "power" if name.endswith("_w") else "")


def _understood(name: str) -> Column:
    """Return what a name that is not PowerTrain's own says, in whatever spelling."""
    if (step := of_a_step(name)) is not None:
        unit, convert = step
        convert = None if convert is same else convert
        return Column(header=name, name="time_ms", role=Role.NUMBER, convert=convert, unit=unit)
    words, unit = split_unit(name)
    kind = UNITS[unit][0] if unit in UNITS else ""
    has = set(words)
    aside = Column(header=name, name=name, role=Role.EXTRA)
    if has & _OBSERVED or has & _COUNTERS or name.lower().startswith("unnamed:"):
        return aside
    known = _known_knob(name, words, unit, kind)
    if known is not None:
        return known
    quantity = _quantity(name, words, unit, kind)
    if quantity is not None:
        return quantity
    if len(words) == 1 and singular(words[0]) in UNITS:
        kind, short, _ = UNITS[singular(words[0])]
        return _asked(name, f"{KNOB_PREFIX}{name}" if kind == "clock" else f"{kind}_{short}")
    if has & {"limit", "cap", "tdp"}:
        return _asked(name, "power_limit_w")
    if has & (_OTHER | _TIMES | _MEANS | _ENDS | {"power"}) or kind in ("time", "power"):
        return aside
    if _UNUSABLE.search(name.lower()):
        return aside
    return _asked(name, _likely(name, words, is_clock=kind == "clock"))


def _asked(name: str, answer: str) -> Column:
    unit = split_unit(name)[1]
    short = UNITS[unit][1] if unit in UNITS else ""
    return Column(header=name, name=name, role=Role.UNKNOWN, unit=short, answer=answer)


def _likely(name: str, words: Sequence[str], *, is_clock: bool) -> str:
    """Return what an unknown column most likely is, for the mapping that is proposed."""
    part = _clock_part(words)
    if part or _is_of_gpu_memory(words):
        return f"{part or 'mem'}_mhz"
    if is_clock:
        parts = [_PARTS[word] for word in words if word in _PARTS]
        return f"{parts[0]}_mhz" if len(parts) == 1 else f"{KNOB_PREFIX}{'_'.join(words)}_mhz"
    counts = {"cores": "cpu_cores", "ncores": "cpu_cores", "cpus": "cpu_cores", "bs": "batch_size"}
    return counts.get("".join(words), f"{KNOB_PREFIX}{name}")


def _clock_part(words: Sequence[str]) -> str:
    """Return which part a clock is of, where the words say nothing else."""
    rest = [word for word in words if word not in _SPEED_WORDS]
    return _PARTS.get(rest[0], "") if len(rest) == 1 else ""


def _is_of_gpu_memory(words: Sequence[str]) -> bool:
    return {_PARTS.get(word, word) for word in words if word not in _SPEED_WORDS} == {"gpu", "mem"}


def _known_knob(name: str, words: Sequence[str], unit: str, kind: str) -> Column | None:
    """Return the knob that a name says without doubt, unit included."""
    plain = _knob(name, "_".join([*words, unit] if unit else words))
    if plain.name in KNOWN_KNOBS and (kind or not _unit_kind(plain.name)):
        return plain
    if kind == "clock" and (part := _clock_part(words)):
        return _knob(name, f"{part}_{unit}")
    applied = {"clocks", "applications", "graphics"}, {"clocks", "applications", "memory"}
    if kind == "clock" and set(words) in applied:
        return _knob(name, f"{_PARTS[words[-1]]}_{unit}")
    squeezed = "".join(word for word in words if word not in ("number", "num", "of", "n", "active", "online"))
    counts = {"batchsize": "batch_size", "minibatchsize": "batch_size", "cpucores": "cpu_cores"}
    if not unit and squeezed in counts:
        return Column(header=name, name=counts[squeezed], role=Role.KNOB)
    if kind == "power" and set(words) == {"power", "limit"}:
        return (
            _knob(name, f"power_limit_{UNITS[unit][1]}") if unit in ("w", "mw", "watt", "milliwatt") else None
        )
    # Other settings say what they are by PowerTrain's own endings.
    lower = name.lower()
    column = _knob(name, lower)
    observed = set(words) & (_MEANS | _ENDS | _OTHER) and not re.search(r"_(hz|khz|mhz|ghz)_max$", lower)
    if _LEGACY_KNOB.search(column.name) and re.fullmatch(r"[a-z0-9_]+", lower) and not observed:
        return column
    if re.search(r"_mhz_max$", column.name) and re.fullmatch(r"[a-z0-9_]+", lower):
        return column
    return None


def _quantity(name: str, words: Sequence[str], unit: str, kind: str) -> Column | None:
    """Return the time of a minibatch or the mean power, if a name says that; or an unknown that may be it."""
    own = {"time": "time_ms", "power": "power_w"}.get(kind)
    if own is None:
        return None
    rest = set(words) - _MEANS
    _, short, convert = UNITS[unit]
    is_time = kind == "time" and rest - _BATCH_WORDS == {"time"}
    is_power = kind == "power" and rest in ({"power"}, {"power", "draw"}, {"power", "consumption"})
    if is_time or is_power:
        return Column(
            header=name,
            name=own,
            role=Role.NUMBER,
            convert=None if convert is same else convert,
            unit=short,
        )
    return None


def _without_lost_measurements(columns: Sequence[Column], *, mapped: Mapping[str, str]) -> list[Column]:
    """Ask about what may be the time, the power or a knob, where no column is that.

    Nothing that the table was made for is kept aside in silence.
    """
    own = {column.name for column in columns}
    kept: list[Column] = []
    for column in columns:
        is_aside = column.role is Role.EXTRA and column.header == column.name and column.name not in mapped
        answer = _may_be(column.header) if is_aside else ""
        kept.append(column if not answer or answer in own else _asked(column.header, answer))
    kept = _only_steps(_alone_in_its_unit(kept, mapped))
    if not any("time_ms" in (column.name, column.answer) for column in kept):
        for column in kept:
            if column.header not in mapped and _OF_SAMPLES.search(column.header.lower()):
                raise _samples_a_second(column.header)
    return kept


def _alone_in_its_unit(columns: Sequence[Column], mapped: Mapping[str, str]) -> list[Column]:
    """Ask about the one column in a unit of time or of power, whatever its language, where none is known."""
    known = {name for column in columns for name in (column.name, column.answer)}
    asked = list(columns)
    for kind, answer in (("time", "time_ms"), ("power", "power_w")):
        alike = [
            i
            for i, column in enumerate(columns)
            if column.role is Role.EXTRA and column.header not in mapped
            if UNITS.get(split_unit(column.header)[1], ("",))[0] == kind
            if not set(split_unit(column.header)[0]) & _NO_STEP and not is_rate(column.header)
        ]
        if len(alike) == 1 and answer not in known:
            asked[alike[0]] = _asked(columns[alike[0]].header, answer)
    return asked


def _only_steps(columns: Sequence[Column]) -> list[Column]:
    """Ask only about the time of a step, where there are other times that may be meant."""
    steps = [c for c in columns if c.answer == "time_ms" and set(split_unit(c.header)[0]) & _BATCH_WORDS]
    if len(steps) != 1:
        return list(columns)
    return [
        Column(header=column.header, name=column.header, role=Role.EXTRA)
        if column.answer == "time_ms" and column is not steps[0]
        else column
        for column in columns
    ]


def _samples_a_second(name: str) -> CsvError:
    """Return why a number of samples a second is no time of a minibatch."""
    return CsvError(
        f"column {name!r} counts samples, and no column has the time of a minibatch: add time_ms, which is "
        "1000 * samples of a minibatch / samples a second, or keep it aside: "
        f'--map "{name}=extra:{name}"'
    )


def _may_be(name: str) -> str:
    """Return the column that a name may stand for, though it does not say so."""
    words, unit = split_unit(name)
    has, kind = set(words), UNITS[unit][0] if unit in UNITS else ""
    if has & {"stamp", "start", "end", *_COUNTERS, "std", "sd", "stddev", "var", "variance"}:
        return ""
    if has & {"power", *_TIMES} and _UNUSABLE.search(name.lower()):
        raise CsvError(f"column {name!r} has a unit that is not converted: convert it, and name the new unit")
    if "power" in has and kind in ("", "power"):
        return "power_w"
    if has & _TIMES and kind in ("", "time"):
        return "time_ms"
    part = _clock_part([word for word in words if word not in ("max", "maximum")])
    is_ceiling = bool(has & {"max", "maximum"}) and kind == "clock"
    return f"{part}_mhz" if is_ceiling and part else ""


def _refuse_unnamed(names: Sequence[str]) -> None:
    unnamed = [i for i, name in enumerate(names, start=1) if not name]
    if unnamed:
        raise CsvError(
            f"column {unnamed[0]} has no name: name it, or leave it out (an index, as pandas adds?)"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CsvError(f"two columns are called {_quoted(twice)}: keep one")


def _refuse_missing(names: Sequence[str], knobs: Sequence[str], mapping: Mapping[str, str]) -> None:
    missing = [name for name in knobs if name not in names]
    if missing:
        raise MissingKnobError(f"no column {_quoted(missing)}: it has {', '.join(names)}")
    fields = [name for name in knobs if name in _own_names() or name in _converted()]
    if fields:
        raise CsvError(f"column {_quoted(fields)} was asked for as a knob, but is a field of every profile")
    missing = [name for name in mapping if name not in names]
    if missing:
        raise CsvError(f"no column {_quoted(missing)} to map: it has {', '.join(names)}")
    empty = [old for old, new in mapping.items() if not new]
    if empty:
        raise CsvError(f"column {_quoted(empty)} is mapped to nothing: name what it is, such as gpu_mhz")


def _refuse_incomplete(columns: Sequence[Column], names: Sequence[str], given: Sequence[str]) -> None:
    own = {column.name for column in columns if column.role not in (Role.KNOB, Role.UNKNOWN, Role.EXTRA)}
    unsure = {c.header: c.answer for c in columns if c.role is Role.UNKNOWN and c.answer in _measured_names()}
    if twice := [name for name in given if name in own]:
        raise CsvError(
            f"the table has a column {twice[0]}: leave out the {twice[0]} that was given beside it"
        )
    missing = [name for name in _REQUIRED if name not in own and name not in given]
    if missing:
        ways = " ".join(f"--{name} NAME" for name in missing)
        raise CsvError(
            f"no column {_quoted(missing)}: it has {', '.join(names)}; name it for all rows with {ways}, "
            f'or the column with --map "COLUMN={missing[0]}"'
        )
    if not own.intersection(by_column()) and not unsure:
        raise CsvError(
            f"neither time_ms nor power_w was measured: it has {', '.join(names)}; if one is, "
            'say so with --map "COLUMN=time_ms"'
        )
    seen: dict[tuple[str, str], str] = {}
    for column in columns:
        kind = {Role.KNOB: "knob", Role.UNKNOWN: "unknown", Role.EXTRA: "extra"}.get(column.role, "field")
        key = (kind, column.name)
        other = seen.setdefault(key, column.header)
        if other != column.header:
            line = map_line({column.header: f"{EXTRA_PREFIX}{column.header}"})
            raise CsvError(
                f"columns {other!r} and {column.header!r} both give {column.name}: keep one, or {line}"
            )


def _quoted(names: Sequence[str]) -> str:
    return " or ".join(map(repr, names))
