"""Score every method on every file of measurements in ../shared/data and write two tables.

    python benchmarks/accuracy.py [--quick] [--informed] [--seeds 10] [--only FILE ...] [--paper]

The first compares `gp` with the best of its simple rivals (`gp-alone`, `nearest`, `ridge`, `factors`), chosen
for each target with hindsight: the ratio of the mean errors over the seeds. The second has the errors
themselves. Without the measurements it says so and stops. `--quick` takes three seeds and four targets of
each file.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from _harness import machine, table, today, write_result

from powertrain.dataset import read_csv
from powertrain.evaluation import ErrorRow, EvaluationPlan, evaluate
from powertrain.records import ProfileTable

DATA = Path(__file__).parents[2] / "shared" / "data"
RIVALS = ("gp-alone", "nearest", "ridge", "factors")
METHODS = ("gp", *RIVALS)
PAPER = ("paper", "paper-scratch", "linear")
PROFILES = (3, 4, 5, 6, 8, 10, 20, 50)
MOST_OF_A_TARGET = 0.7
"""Share of a target's modes that may be profiled: of fewer others no error can be told."""
FLOOR = 0.1
"""Errors [%] below this count as this: what is left is rounding in the file."""
LIMITS = ((3, 8, 1.5), (9, 99, 1.2))
"""Worst ratios that are aimed at: for numbers of profiles from and to."""

Key = tuple[str, str, str, int]
"""Protocol, quantity, target, profiles."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One question put to one file."""

    title: str
    file: str
    device: str
    references: str = "others"
    informed: bool = False
    reference_device: str | None = None
    knobs: tuple[str, ...] = field(default=())

    def tables(self) -> dict[tuple[str, str], ProfileTable]:
        """Read the file; of the target device, only what can be a target."""
        read = read_csv(DATA / f"{self.file}.csv", knobs=self.knobs or None).tables()
        there = {w for d, w in read if d == self.reference_device}
        return {
            key: one
            for key, one in read.items()
            if self.references != "same" or key[1] in there or key[0] != self.device
        }

    def plan(
        self, targets: Sequence[str], counts: Sequence[int], methods: Sequence[str], seeds: int
    ) -> EvaluationPlan:
        return EvaluationPlan(
            device=self.device,
            targets=tuple(targets),
            references=(self.references,) if self.references else (),
            reference_devices=(self.reference_device,) if self.reference_device else (),
            methods=tuple(methods),
            profiles=tuple(counts),
            seeds=seeds,
            informed=self.informed,
        )


PROTOCOLS = (
    Protocol(title="Jetson TX2, three clocks", file="jetson_tx2_grid", device="Jetson TX2"),
    Protocol(title="Jetson TX2, four knobs", file="tx2_four_knobs_time", device="Jetson TX2"),
    Protocol(title="server, two caps", file="server_two_caps", device=""),
    Protocol(title="RTX 6000 server, two caps", file="rtx6000_two_caps", device=""),
    Protocol(title="Titan X trainings", file="training_core_mem", device=""),
    Protocol(title="V100 trainings", file="zeus_training", device="V100"),
    Protocol(title="RTX6000 trainings", file="zeus_training", device="RTX6000"),
    Protocol(
        title="V100 from RTX6000",
        file="zeus_training",
        device="V100",
        references="same",
        reference_device="RTX6000",
    ),
    Protocol(
        title="RTX6000 from V100",
        file="zeus_training",
        device="RTX6000",
        references="same",
        reference_device="V100",
    ),
    Protocol(
        title="Nano from Xavier",
        file="jetson_two_boards",
        device="Jetson Nano",
        references="same",
        reference_device="Jetson AGX Xavier",
    ),
    Protocol(title="GTX 1080 Ti kernels", file="gpu_core_mem", device="GTX1080Ti"),
    Protocol(title="A40 training stages", file="llm_stages", device="A40"),
    Protocol(
        title="edge service (no references)",
        file="edge_service_three_knobs",
        device="",
        references="",
        knobs=("power_limit_w", "image_pct", "airtime_pct"),
    ),
)


def scored(
    protocol: Protocol, methods: Sequence[str], *, seeds: int, targets: int | None, profiles: Sequence[int]
) -> Iterator[ErrorRow]:
    """Evaluate one protocol, each target with the numbers of profiles that it has modes for."""
    tables = protocol.tables()
    device = protocol.device or next(iter(tables))[0]
    names = [workload for owner, workload in tables if owner == device]
    if targets is not None and len(names) > targets:
        names = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, targets).astype(int))]
    own = replace(protocol, device=device)
    alike: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name in names:
        modes = len(tables[device, name].averaged())
        alike[tuple(n for n in profiles if n <= MOST_OF_A_TARGET * modes)].append(name)
    for counts, some in alike.items():
        if counts:
            yield from evaluate(own.plan(some, counts, methods, seeds), tables).rows


def errors_of(title: str, rows: Sequence[ErrorRow]) -> dict[Key, dict[str, float]]:
    """Return the mean error over the seeds of each method, for each quantity, target and number."""
    found: dict[Key, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for quantity, error in (("time", row.time_mape), ("power", row.power_mape)):
            if math.isfinite(error):
                key = (title, quantity, row.case.target, row.case.profiles)
                found[key][row.method].append(error)
    return {
        key: {method: float(np.mean(errors)) for method, errors in by_method.items()}
        for key, by_method in found.items()
    }


def ratio_of(errors: dict[str, float]) -> float:
    """Return the error of `gp` over that of the best rival of this target."""
    best = min(errors[rival] for rival in RIVALS if rival in errors)
    return max(errors["gp"], FLOOR) / max(best, FLOOR)


def ratio_cells(ratios: Sequence[float]) -> list[str]:
    """Return geometric mean, share above 1.1 [%], and the worst."""
    values = np.array(ratios)
    return [
        f"{np.exp(np.log(values).mean()):.3f}",
        f"{100 * (values > 1.1).mean():.0f}",
        f"{values.max():.2f}",
    ]


def ratio_lines(errors: dict[Key, dict[str, float]]) -> list[str]:
    """Tabulate the ratios by number of profiles and by file."""
    compared = {key: ratio_of(found) for key, found in errors.items() if len(found) > 2}
    if not compared:
        return []
    rows: list[list[str]] = [["all", *ratio_cells(list(compared.values()))]]
    counts = sorted({key[3] for key in compared})
    rows += [[f"{n} profiles", *ratio_cells([r for k, r in compared.items() if k[3] == n])] for n in counts]
    for part in dict.fromkeys((key[0], key[1]) for key in compared):
        some = [r for k, r in compared.items() if (k[0], k[1]) == part]
        rows.append([f"{part[0]}, {part[1]}", *ratio_cells(some)])
    head = ["`gp` over the best rival of each target", "geometric mean", "share above 1.1 [%]", "worst"]
    return [*table(head, rows), ""]


def error_lines(errors: dict[Key, dict[str, float]], methods: Sequence[str]) -> list[str]:
    """Tabulate mean errors over the targets, a line for each quantity and number of profiles."""
    lines: list[str] = []
    for title in dict.fromkeys(key[0] for key in errors):
        rows: list[list[str]] = []
        for quantity, n in dict.fromkeys((k[1], k[3]) for k in errors if k[0] == title):
            some = [e for k, e in errors.items() if (k[0], k[1], k[3]) == (title, quantity, n)]
            cells = [[e[m] for e in some if m in e] for m in methods]
            rows.append([quantity, str(n), *(f"{np.mean(c):.2f}" if c else "-" for c in cells)])
        rows.sort(key=lambda row: (row[0] != "time", int(row[1])))
        lines += [f"### {title}", "", *table(["MAPE %", "profiles", *methods], rows), ""]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--targets", type=int, help="Take this many targets of each file.")
    parser.add_argument("--profiles", type=lambda text: tuple(map(int, text.split(","))), default=PROFILES)
    parser.add_argument("--quick", action="store_true", help="Three seeds and four targets a file.")
    parser.add_argument("--informed", action="store_true", help="Profile where the references differ most.")
    parser.add_argument("--paper", action="store_true", help="Score the paper's networks and linear too.")
    parser.add_argument("--only", action="append", help="Take this file alone; may be repeated.")
    parser.add_argument("--out", default="accuracy.md")
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: the measurements are not at {DATA}")
        return 0
    seeds, targets = (3, 4) if options.quick else (options.seeds, options.targets)
    methods = (*METHODS, *PAPER) if options.paper else METHODS
    errors: dict[Key, dict[str, float]] = {}
    for asked in PROTOCOLS:
        if options.only and asked.file not in options.only:
            continue
        if not (DATA / f"{asked.file}.csv").exists():
            print(f"skipped: {asked.file}.csv is not in {DATA}")
            continue
        protocol = replace(asked, informed=options.informed and bool(asked.references))
        own = methods if protocol.references else ("gp-alone", *(PAPER[1:] if options.paper else ()))
        rows = scored(protocol, own, seeds=seeds, targets=targets, profiles=options.profiles)
        part = errors_of(protocol.title, list(rows))
        print("\n".join([*ratio_lines(part), *error_lines(part, own)]), flush=True)
        errors |= part
    lines = [f"{machine()}, {today()}; {seeds} seeds, {targets or 'all'} targets a file.", ""]
    lines += [*ratio_lines(errors), *error_lines(errors, methods)]
    write_result(options.out, "Accuracy", f"python benchmarks/accuracy.py {' '.join(sys.argv[1:])}", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
