"""What benchmarks share: paired repetitions, machine and date, and tables in benchmarks/results."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"

Case = Callable[[], object]


def machine() -> str:
    """Return processor, cores, and the versions of Python and numpy, in one line."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, numpy {np.__version__}"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in {"model name", "Model"}:
                return value.strip()
    return platform.processor() or platform.machine()


def today() -> str:
    """Return the date, in UTC."""
    return datetime.now(timezone.utc).date().isoformat()


def version(package: str) -> str | None:
    """Return the installed version of a package, None when it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def on_one_core() -> bool:
    """Bind this process to one core, where the system can; return whether it did."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return True


def interleaved(
    cases: Mapping[str, Case], repetitions: int, *, warm_up: bool = True
) -> dict[str, np.ndarray]:
    """Return the seconds of each repetition of each case.

    The cases take turns, so that a machine whose speed drifts slows all of them alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for repetition in range(-1 if warm_up else 0, repetitions):
        for name, case in cases.items():
            started_s = time.perf_counter()
            case()
            if repetition >= 0:
                seconds[name].append(time.perf_counter() - started_s)
    return {name: np.array(values) for name, values in seconds.items()}


def spread_ms(seconds: np.ndarray) -> list[str]:
    """Return minimum, median and maximum in milliseconds, to three figures."""
    return [_figures(1e3 * value) for value in (seconds.min(), float(np.median(seconds)), seconds.max())]


def ratio(seconds: np.ndarray, own_s: np.ndarray) -> str:
    """Return the median, over paired repetitions, of how many times as long as our own a case took."""
    return _figures(float(np.median(seconds / own_s)), places=2)


def _figures(value: float, *, places: int = 3) -> str:
    return f"{value:,.0f}" if value >= 10 ** (places - 1) else f"{value:.{places}g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> list[str]:
    """Return the lines of a Markdown table whose first `words` columns are words and the others numbers."""
    rule = ["---" if i < words else "--:" for i in range(len(head))]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def write_result(out: str, title: str, command: str, lines: Sequence[str]) -> Path:
    """Write a page with the command that made it to `out` in benchmarks/results, and say where."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / out
    path.write_text("\n".join([f"# {title}", "", f"    {command}", "", *lines, ""]), encoding="utf-8")
    print(f"written to {path}")
    return path
