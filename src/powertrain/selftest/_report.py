"""The report of a self-test: a page that a person can send, without anything that says whose device it is."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from powertrain.devices import PowerReading
from powertrain.plain import to_plain
from powertrain.report import Column, Table, to_markdown
from powertrain.selftest._look import SelfTest, Trial
from powertrain.wording import counted

__all__ = ["nameless", "selftest_json", "selftest_page", "selftest_tables"]

COMMON = frozenset({"jetson", "localhost", "nvidia", "orin", "root", "tegra", "ubuntu", "user", "xavier"})
"""Names that many machines and users have: nobody is known by them, and they are words of reports as well."""

_TELLING = (
    (re.compile(r"(?<![\w/])/home/[^/\s'\"]+"), "/home/USER"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "UUID"),
    (re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", re.IGNORECASE), "MAC"),
    # Serial numbers of Jetsons have 13 digits (/proc/device-tree/serial-number), others up to 32 hex digits.
    (re.compile(r"(?<![\w.])(?:\d{11,}|[0-9a-f]{16,})(?!\w)", re.IGNORECASE), "NUMBER"),
)


def nameless(value: Any, *, names: Sequence[str] | None = None) -> Any:
    """Return plain JSON values without names of the machine and its user, serial numbers, MACs and UUIDs.

    Args:
        value: Text, numbers, lists and mappings of them.
        names: Words that must not appear; those of this machine and user if None.
    """
    # Short and common words would turn half of the report into NAME and hide nobody.
    words = _names_here() if names is None else names
    secret = [word for word in words if len(word) > 2 and word.lower() not in COMMON]
    return _nameless(
        value, [re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE) for word in secret]
    )


def _nameless(value: Any, secret: Sequence[re.Pattern[str]]) -> Any:
    if isinstance(value, str):
        # Shapes first: a path or a UUID that holds the user's name is then gone as a whole.
        for pattern, instead in _TELLING:
            value = pattern.sub(instead, value)
        for pattern in secret:
            value = pattern.sub("NAME", value)
        return value
    if isinstance(value, list):
        return [_nameless(item, secret) for item in cast("list[Any]", value)]
    if isinstance(value, Mapping):
        return {
            _nameless(key, secret): _nameless(item, secret)
            for key, item in cast("dict[Any, Any]", value).items()
        }
    return value


def _names_here() -> list[str]:
    names = [Path(os.path.expanduser("~")).name]  # noqa: PTH111  # Path's own raises where there is no home
    with contextlib.suppress(OSError):
        host = socket.gethostname()
        names += [host, host.partition(".")[0]]
    with contextlib.suppress(OSError, KeyError):
        names.append(getpass.getuser())
    return names


def selftest_json(result: SelfTest) -> dict[str, Any]:
    """Return a self-test as plain values that name nobody."""
    return nameless({**to_plain(result), "ok": not result.failed})


def selftest_tables(result: SelfTest) -> list[Table]:
    """Return what was found as tables: the device, its readings, the checks, the trials."""
    facts = [
        ("spec", result.spec),
        *{**result.software, **result.environment}.items(),
        *(("knob", f"{name}: {_spread(values)}") for name, values in result.knobs.items()),
        *(("stock mode", f"{name}: {mode}") for name, mode in result.stock_modes.items()),
    ]
    checks = [(check.name, "ok" if check.ok else "FAILED", check.says) for check in result.checks]
    return [
        Table.of(result.device, ("", " "), facts),
        *([_readings(result.readings)] if result.readings else []),
        Table.of("Checks", ("check", "", "found"), checks),
        *([_trials(result.trials)] if result.trials else []),
    ]


def _readings(readings: Sequence[PowerReading]) -> Table:
    first_s = readings[0].time_s
    rails = list(dict.fromkeys(rail for reading in readings for rail in reading.rails_w))
    columns = [Column(name="after", unit="s"), *(Column(name=rail, unit="W") for rail in rails), "total"]
    rows = [
        (
            reading.time_s - first_s,
            *(reading.rails_w.get(rail) for rail in rails),
            f"{reading.power_w:.2f} W",
        )
        for reading in readings
    ]
    return Table.of("Readings of the power", columns, rows)


def _trials(trials: Sequence[Trial]) -> Table:
    columns = ("mode", "", Column(name="power", unit="W"), Column(name="set in", unit="s"), "problem")
    rows = [
        (
            str(trial.mode),
            "held" if trial.held else "FAILED",
            trial.power_w,
            trial.setting_s,
            trial.problem,
        )
        for trial in trials
    ]
    return Table.of("Modes that were held", columns, rows)


def _spread(values: Sequence[float]) -> str:
    ends = f"{values[0]:.10g}" if len(values) == 1 else f"{values[0]:.10g} to {values[-1]:.10g}"
    return f"{counted(len(values), 'value')}, {ends}"


def selftest_page(result: SelfTest) -> str:
    """Return the report as one Markdown text: tables, what the device says, and everything as JSON."""
    verdict = (
        f"{len(result.failed)} of {counted(len(result.checks), 'check')} failed"
        if result.failed
        else "all checks hold"
    )
    were = "was" if len(result.trials) == 1 else "were"
    tried = f"{counted(len(result.trials), 'mode')} {were} tried" if result.trials else "nothing was set"
    parts = [
        f"# PowerTrain self-test of {result.device}",
        f"{verdict[0].upper()}{verdict[1:]}; {tried}."
        + (" The device is simulated: these are not measurements." if result.simulated else ""),
        *(to_markdown(table) for table in selftest_tables(result)),
        "## What the device says\n\n" + "\n".join(f"- {note}" for note in result.notes),
    ]
    page = str(nameless("\n\n".join(part.strip() for part in parts)))
    data = json.dumps(selftest_json(result), indent=1, allow_nan=False, ensure_ascii=False)
    return f"{page}\n\n## All of it\n\n```json\n{data}\n```\n"
