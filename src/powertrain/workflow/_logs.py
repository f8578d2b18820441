"""Steps that somebody timed, with the power from a log of tegrastats that ran beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from powertrain.dataset import CsvFile, read_profiles
from powertrain.devices.jetson import PowerLog
from powertrain.errors import DataError
from powertrain.files import read_file
from powertrain.records import Coded, ManyProfiles
from powertrain.wording import counted

__all__ = ["read_power_log", "with_power_of_log"]

LARGEST_BYTES = 1 << 29
START, END = "start", "end"
"""Columns that say when the steps of a row ran."""


def read_power_log(path: Path, *, interval_ms: float = 1000.0) -> PowerLog:
    """Read a log of tegrastats; `interval_ms` is the time between its lines, where they do not say it.

    Raises:
        DataError: It cannot be read, or has no power of the whole board.
    """
    try:
        text = read_file(path, most_bytes=LARGEST_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{error}: part it into several") from None
    try:
        return PowerLog.read(text, interval_ms=interval_ms)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def with_power_of_log(
    path: Path | str,
    log: PowerLog,
    *,
    content: bytes | None = None,
    columns: Mapping[str, str] | None = None,
    device: str | None = None,
    workload: str | None = None,
) -> CsvFile:
    """Read a table of modes and step times, and give each row the mean power of the log meanwhile.

    The table has the columns `start` and `end`: times of the board's clock, or seconds since the log's first
    line. Its other columns are as for `read_profiles`, without a power.

    Raises:
        DataError: The table has a power of its own, no such columns, or a row that the log does not cover.
    """
    asked = {START: f"extra:{START}", END: f"extra:{END}", **(columns or {})}
    file = read_profiles(path, content=content, columns=asked, device=device, workload=workload)
    many = ManyProfiles.of(file.profiles)
    if "power_w" in many.values:
        raise DataError(f"{path} has a power of its own: leave out the log, or the column")
    power_w = np.array([_mean_w(path, log, many, row) for row in range(len(many))])
    measured = ManyProfiles(
        owners=many.owners,
        knobs=many.knobs,
        settings=many.settings,
        values={**many.values, "power_w": power_w},
        se=many.se,
        duration_s=many.duration_s,
        flags=many.flags,
        extras={**many.extras, "power_from": Coded.constant(" + ".join(log.rails), len(many))},
    )
    note = f"{path}: the power of {counted(len(many), 'row')} is that of the log, {' + '.join(log.rails)}"
    return replace(file, profiles=measured, warnings=(*file.warnings, note))


def _mean_w(path: Path | str, log: PowerLog, many: ManyProfiles, row: int) -> float:
    start, end = many.extras[START][row], many.extras[END][row]
    if start is None or end is None:
        raise DataError(f"{path}: the row of {many.mode(row)} has no start or no end: fill them in")
    try:
        power_w = log.mean_w(start, end)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    if np.isnan(power_w):
        raise DataError(
            f"{path}: the log has no line from {start} to {end}: give the log of that run, or longer steps"
        )
    return power_w
