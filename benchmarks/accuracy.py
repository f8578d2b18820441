"""Score every method on every file of measurements in ../shared/data and write a table.

    python benchmarks/accuracy.py [--seeds 10] [--only jetson_tx2_grid] [--method gp ...]

Each protocol is a `powertrain evaluate` command, printed above its table. Without the measurements it says so
and stops.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from _harness import machine, today, write_result

from powertrain.dataset import read_csv
from powertrain.evaluation import Evaluation, EvaluationPlan, LimitSweep, evaluate

DATA = Path(__file__).parents[2] / "shared" / "data"
METHODS = ("gp", "paper", "paper-scratch", "linear")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One question put to one file."""

    title: str
    file: str
    device: str
    references: str
    profiles: tuple[int, ...]
    reference_device: str | None = None
    limits: bool = False

    def plan(self, methods: tuple[str, ...], seeds: int) -> EvaluationPlan:
        return EvaluationPlan(
            device=self.device,
            targets=("all",),
            references=(self.references,),
            reference_devices=(self.reference_device,) if self.reference_device else (),
            methods=methods,
            profiles=self.profiles,
            seeds=seeds,
            limits=LimitSweep(count=30) if self.limits else None,
            risks=(0.05, 0.5) if self.limits else (0.05,),
        )

    def command(self, methods: tuple[str, ...], seeds: int) -> str:
        words = [
            f"powertrain evaluate ../shared/data/{self.file}.csv",
            f'--device "{self.device}" --target all',
        ]
        words.append(f"--reference {self.references}")
        if self.reference_device:
            words.append(f'--reference-device "{self.reference_device}"')
        words.append(f"--profiles {','.join(map(str, self.profiles))} --seeds {seeds}")
        words += [f"--method {m}" for m in methods]
        if self.limits:
            words.append("--limits auto:30 --risk 0.05,0.5")
        return " ".join(words)


PROTOCOLS = (
    Protocol(
        title="Jetson TX2, full grid of three clocks: each workload from the others",
        file="jetson_tx2_grid",
        device="Jetson TX2",
        references="others",
        profiles=(10, 20, 50),
        limits=True,
    ),
    *(
        Protocol(
            title=f"Trainings on {gpu}, batch size x power limit: each from the others on the same GPU",
            file="zeus_training",
            device=gpu,
            references="others",
            profiles=(10,),
        )
        for gpu in ("V100", "RTX6000")
    ),
    *(
        Protocol(
            title=f"Trainings on {gpu}: each from the same training on {other}",
            file="zeus_training",
            device=gpu,
            references="same",
            reference_device=other,
            profiles=(10,),
        )
        for gpu, other in (("V100", "RTX6000"), ("RTX6000", "V100"))
    ),
    Protocol(
        title="Matrix products on Jetson Nano: each from itself on Jetson AGX Xavier",
        file="jetson_two_boards",
        device="Jetson Nano",
        references="same",
        reference_device="Jetson AGX Xavier",
        profiles=(3, 5),
    ),
    Protocol(
        title="Kernels on GTX 1080 Ti, core x memory clock: each from the 29 others",
        file="gpu_core_mem",
        device="GTX1080Ti",
        references="others",
        profiles=(4,),
    ),
    Protocol(
        title="LLM training stages on A40, GPU clock: each from the others (many stages are identical)",
        file="llm_stages",
        device="A40",
        references="others",
        profiles=(6,),
    ),
)


def score(protocol: Protocol, methods: tuple[str, ...], seeds: int) -> list[str]:
    """Run one protocol and return its lines of markdown."""
    tables = read_csv(DATA / f"{protocol.file}.csv").tables()
    if protocol.references == "same":
        there = {w for d, w in tables if d == protocol.reference_device}
        tables = {k: t for k, t in tables.items() if k[1] in there or k[0] != protocol.device}
    result = evaluate(protocol.plan(methods, seeds), tables)
    lines = [f"### {protocol.title}", "", f"`{protocol.command(methods, seeds)}`", ""]
    lines += [
        "| method | profiles | time MAPE % | sd over seeds | power MAPE % | sd over seeds "
        "| 90 % intervals cover, time / power % |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result.summary.errors:
        cells = [row.method, str(row.profiles)]
        for spread in (row.time_mape, row.power_mape):
            cells += [_number(spread.mean, 2), _number(spread.sd_over_seeds, 2)]
        cells.append(f"{_number(row.coverage90_time, 0)} / {_number(row.coverage90_power, 0)}")
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    return lines + (_choice_lines(result) if result.choices else [])


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _choice_lines(result: Evaluation) -> list[str]:
    """Tabulate the choices under the power limits."""
    lines = [
        "| method | profiles | risk | median time penalty % | mean | limits exceeded % | by > 2 % | by > 1 W "
        "| no mode found % |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result.summary.choices:
        cells = [
            row.method,
            str(row.profiles),
            _number(row.risk, 2),
            _number(row.median_time_penalty_pct, 2),
            _number(row.mean_time_penalty_pct, 2),
            _number(row.exceeded_pct, 1),
            _number(row.exceeded_by_2pct_pct, 1),
            _number(row.exceeded_by_1w_pct, 1),
            _number(row.no_mode_pct, 1),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", action="append")
    parser.add_argument("--method", action="append")
    parser.add_argument("--out", default="accuracy.md")
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"skipped: the measurements are not at {DATA}")
        return 0
    methods = tuple(options.method or METHODS)
    lines = [f"{machine()}, {today()}.", ""]
    for protocol in PROTOCOLS:
        if options.only and protocol.file not in options.only:
            continue
        part = score(protocol, methods, options.seeds)
        print("\n".join(part), flush=True)
        lines += part
    write_result(options.out, "Accuracy", "python benchmarks/accuracy.py", lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
