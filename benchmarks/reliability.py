"""Is a limit exceeded as often as the stated risk, as the user would measure it?

    python benchmarks/reliability.py [--seeds 5] [--targets 3]

For each file of ../shared/data with time and power, `gp` chooses under 20 power limits at several risks, and
the table says how many of the limits the chosen mode breaks in truth [%], and how much slower it is than the
best.
Without the measurements it says so and stops.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from _harness import machine, table, today, write_result
from accuracy import DATA, MOST_OF_A_TARGET, PROTOCOLS, Protocol
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from powertrain.evaluation import ChoiceRow, LimitSweep, evaluate
from powertrain.report import INK, MUTED, save_figure, styled

RISKS = (0.01, 0.05, 0.1, 0.2, 0.5)
PROFILES = (5, 10, 20, 50, 100)
IMAGES = Path(__file__).parents[1] / "docs" / "images"
LEAST = 0.001
"""Shares below it are drawn there: a logarithmic axis has no place for 0."""
TIME_ONLY = ("tx2_four_knobs_time",)


def choices(protocol: Protocol, *, seeds: int, targets: int) -> list[ChoiceRow]:
    """Let `gp` choose under limits for some targets of one file."""
    tables = protocol.tables()
    device = protocol.device or next(iter(tables))[0]
    sizes = {
        w: len(t.averaged()) for (d, w), t in tables.items() if d == device and t.has_time and t.has_power
    }
    some = [list(sizes)[i] for i in np.unique(np.linspace(0, len(sizes) - 1, targets).astype(int))]
    counts = [n for n in PROFILES if n <= MOST_OF_A_TARGET * min(sizes[name] for name in some)]
    plan = replace(protocol, device=device).plan(some, counts, ("gp",), seeds)
    plan = replace(plan, limits=LimitSweep(count=20), risks=RISKS)
    return [row for row in evaluate(plan, tables).choices if row.method == "gp" and row.feasible]


def line(title: str, n: int, rows: list[ChoiceRow]) -> list[str]:
    """Return the cells of one file and number of profiles."""
    broken = [np.mean([row.excess_w > 0 for row in rows if row.risk == risk]) for risk in RISKS]
    cells = [title, str(n), *(f"{100 * share:.1f}" for share in broken)]
    slower = [row.time_penalty_pct for row in rows if row.risk == 0.05]
    return [*cells, f"{np.median(slower):.1f}"]


def draw(every: list[ChoiceRow], titles: list[str], path: Path) -> None:
    """Plot the share of limits exceeded against the risk, by number of profiles and for the worst file."""
    with styled():
        save_figure(drawn(every, titles), path)


def drawn(every: list[ChoiceRow], titles: list[str]) -> Figure:
    figure = Figure(figsize=(5.5, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(RISKS, RISKS, color=INK, ls="--", lw=1, label="as stated")
    percent = FuncFormatter(lambda share, _: f"{100 * share:g} %")
    counts = sorted({row.case.profiles for row in every})
    for n in counts:
        shares = [
            np.mean([r.excess_w > 0 for r in every if (r.risk, r.case.profiles) == (risk, n)])
            for risk in RISKS
        ]
        axes.plot(RISKS, np.maximum(shares, LEAST), marker="o", label=f"{n} profiles, all files")
    cells: dict[tuple[str, int, float], list[bool]] = defaultdict(list)
    for row, title in zip(every, titles, strict=True):
        cells[title, row.case.profiles, row.risk].append(row.excess_w > 0)
    worst = [max(np.mean(found) for key, found in cells.items() if key[2] == risk) for risk in RISKS]
    axes.plot(
        RISKS,
        np.maximum(worst, LEAST),
        color=MUTED,
        ls=":",
        marker="x",
        label="the worst file and number",
    )
    axes.set(xscale="log", yscale="log", xlabel="risk that was asked for", ylabel="limits that were exceeded")
    axes.set_xticks(RISKS)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(percent)
    axes.minorticks_off()
    axes.legend(fontsize=8)
    return figure


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--targets", type=int, default=3)
    parser.add_argument("--out", default="reliability.md")
    parser.add_argument("--plot", type=Path, default=IMAGES / "reliability.svg", help="Where to draw it.")
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: the measurements are not at {DATA}")
        return 0
    rows: list[list[str]] = []
    every: list[ChoiceRow] = []
    titles: list[str] = []
    for protocol in PROTOCOLS:
        if protocol.file in TIME_ONLY or not (DATA / f"{protocol.file}.csv").exists():
            continue
        found = choices(protocol, seeds=options.seeds, targets=options.targets)
        every += found
        titles += [protocol.title] * len(found)
        for n in dict.fromkeys(row.case.profiles for row in found):
            rows.append(line(protocol.title, n, [row for row in found if row.case.profiles == n]))
            print(rows[-1], flush=True)
    counts = sorted({row.case.profiles for row in every})
    rows += [line("**all**", n, [row for row in every if row.case.profiles == n]) for n in counts]
    head = ["limits exceeded [%]", "profiles", *(f"risk {risk:g}" for risk in RISKS), "slower by % at 0.05"]
    command = f"python benchmarks/reliability.py --seeds {options.seeds} --targets {options.targets}"
    lines = [f"{machine()}, {today()}; {options.seeds} seeds, {options.targets} targets a file.", ""]
    write_result(options.out, "Reliability", command, [*lines, *table(head, rows)])
    if options.plot:
        draw(every, titles, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
