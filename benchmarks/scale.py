"""What a fleet costs, from one board to 100,000: the elementary costs measured, the rest computed from them.

    python benchmarks/scale.py [--kinds 20] [--profiles 20] [--boards 10000] [--out scale.md]

Measured here, in seconds of one core: fitting a reference, a transfer to a new workload, predicting all
modes of a kind and choosing for one board, choosing for many boards at once, keeping a profile, the report of
a store by its size, and a scrape of the metrics. Processor time is taken, so other work on
the machine counts little.

Computed from them: what fleets of more boards cost. The formulas stand beside the numbers. As a check, the
choice is also measured for a fleet of `--boards`, and compared with the formula.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _harness import machine, table, today, write_result
from size import many_profiles, run

import powertrain as pt
from powertrain.dataset import open_store, write_csv
from powertrain.integrations.metrics import exposition
from powertrain.models import AbstractPredictor
from powertrain.optimisation import Steps, best_by_power, choose
from powertrain.records import ModeTable, Prediction, ProfileTable
from powertrain.telemetry import Telemetry

FLEETS = (1, 100, 1_000, 10_000, 100_000)
BOARDS = ("sim:orin-agx", "sim:orin-nano", "sim:xavier-agx", "sim:orin-nano-super")
REFERENCE, TARGET = "mobilenet_v3", "resnet18"
REFERENCE_PROFILES = 300
WORKLOADS = 10
"""Workloads of a fleet, each on every kind of board."""
SCRAPE_EVERY_S, DAY_S = 15, 86_400
WRITES_A_SECOND = 256
"""What PostgreSQL kept from 200 writers on two cores: benchmarks/results/store.md."""
KEPT, REPORTED = 2_000, (20_000, 300_000)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """The elementary costs: seconds of one core, and bytes."""

    modes: int
    fit_s: float
    transfer_s: float
    predict_s: float
    choose_s: float
    steps_s: float
    lookup_s: float
    predictor_bytes: float
    keep_s: float
    profile_bytes: float
    report_s: float
    report_profile_s: float
    scrape_s: float
    scrape_bytes: int


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of board: its modes, and the predictor of the target there."""

    modes: ModeTable
    predictor: AbstractPredictor


def processor_s(what: Callable[[], object], *, times: int = 1) -> float:
    """Return the median processor time of a call [s]."""
    found: list[float] = []
    for _ in range(times):
        started_s = time.process_time()
        what()
        found.append(time.process_time() - started_s)
    return float(np.median(found))


def profiles_of(spec: str, workload: str, n: int, seed: int) -> ProfileTable:
    device = pt.open_device(spec)
    return device.measure(workload, pt.plan(device, n, seed=seed), seed=seed)


def kinds_of(number: int, profiles: int) -> tuple[list[Kind], list[float], list[float]]:
    """Return so many kinds of boards with their predictors, and the times of fits and transfers [s]."""
    kinds, fits, transfers = [], [], []
    for i in range(number):
        spec = f"{BOARDS[i % len(BOARDS)]}?seed={i}"
        many, few = (
            profiles_of(spec, REFERENCE, REFERENCE_PROFILES, i),
            profiles_of(spec, TARGET, profiles, i),
        )
        made: list[AbstractPredictor] = []
        fits.append(processor_s(lambda many=many, made=made: made.append(pt.fit(many))))
        transfers.append(processor_s(lambda few=few, made=made: made.append(pt.transfer(made[:1], few))))
        kinds.append(Kind(modes=pt.open_device(spec).modes(), predictor=made[1]))
    return kinds, fits, transfers


def chosen_in_bulk(kinds: list[Kind], of_kind: np.ndarray, limits_w: np.ndarray) -> tuple[list[Steps], int]:
    """Choose for every board: one prediction a kind, then a look-up a board; return how many got a mode."""
    steps = [best_by_power(kind.predictor.predict(kind.modes)) for kind in kinds]
    return steps, looked_up(steps, of_kind, limits_w)


def looked_up(steps: list[Steps], of_kind: np.ndarray, limits_w: np.ndarray) -> int:
    """Look the mode of each board up; return how many got one."""
    return sum(steps[kind].row_at(limit) is not None for kind, limit in zip(of_kind, limits_w, strict=True))


def choice_costs(kinds: list[Kind], folder: Path) -> dict[str, float]:
    """Return the costs of predicting and choosing, each the mean over the kinds."""
    predict, one, steps, sizes = [], [], [], []
    for i, kind in enumerate(kinds):
        found: list[Prediction] = []
        predict.append(processor_s(lambda k=kind, f=found: f.append(k.predictor.predict(k.modes))))
        limit_w = float(np.median(found[0].power_w))
        one.append(processor_s(lambda k=kind, f=found, w=limit_w: choose(f[0], k.modes, max_power_w=w)))
        steps.append(processor_s(lambda f=found: best_by_power(f[0])))
        kind.predictor.save(folder / f"{i}.ptm")
        sizes.append((folder / f"{i}.ptm").stat().st_size)
    every = [best_by_power(kinds[0].predictor.predict(kinds[0].modes))]
    limits_w = np.random.default_rng(0).uniform(5, 50, 20_000)
    lookup = processor_s(lambda: looked_up(every, np.zeros(20_000, dtype=int), limits_w), times=3) / 20_000
    return {
        "predict_s": float(np.mean(predict)),
        "choose_s": float(np.mean(one)),
        "steps_s": float(np.mean(steps)),
        "lookup_s": lookup,
        "predictor_bytes": float(np.mean(sizes)),
    }


def store_costs(folder: Path) -> dict[str, float]:
    """Return what a profile costs to keep, one at a time, and what a report costs by the store's size."""
    given = list(many_profiles(KEPT))
    path = folder / "one by one.db"
    with open_store(path) as store:
        empty = path.stat().st_size
        keep_s = processor_s(lambda: [store.add([profile]) for profile in given]) / KEPT
    profile_bytes = (path.stat().st_size - empty) / KEPT
    reports = []
    for rows in REPORTED:
        write_csv(many_profiles(rows), folder / "given.csv")
        database = str(folder / f"{rows}.db")
        run("import", str(folder / "given.csv"), "--db", database)
        reports.append(run("report", "--db", database, "--out", str(folder / "report.html")).processor_s)
    slope = max(0.0, (reports[1] - reports[0]) / (REPORTED[1] - REPORTED[0]))
    return {
        "keep_s": keep_s,
        "profile_bytes": profile_bytes,
        "report_s": reports[0] - slope * REPORTED[0],
        "report_profile_s": slope,
    }


def scrape_costs() -> tuple[float, int]:
    """Return what one scrape of a board's metrics costs the board [s], and its size [bytes]."""
    telemetry = Telemetry(pt.open_device("sim:orin-agx"))
    found: list[bytes] = []
    with telemetry.looking():
        cost_s = processor_s(lambda: found.append(exposition(telemetry)[0]), times=50)
    return cost_s, len(found[-1])


def checked(kinds: list[Kind], boards: int, costs: Costs) -> tuple[float, float]:
    """Return what a choice for so many boards takes, as measured and by the formula [s]."""
    rng = np.random.default_rng(1)
    of_kind, limits_w = rng.integers(len(kinds), size=boards), rng.uniform(5, 50, boards)
    measured_s = processor_s(lambda: chosen_in_bulk(kinds, of_kind, limits_w))
    return measured_s, len(kinds) * (costs.predict_s + costs.steps_s) + boards * costs.lookup_s


def elementary(costs: Costs, profiles: int, kinds: int) -> list[str]:
    rows = [
        ("`fit`", f"fit a reference to {REFERENCE_PROFILES} profiles", _ms(costs.fit_s)),
        ("`transfer`", f"transfer it to a workload of {profiles} profiles", _ms(costs.transfer_s)),
        ("`predict`", f"predict all modes of a kind ({costs.modes:,})", _ms(costs.predict_s)),
        ("`choose`", "choose one mode of these", _ms(costs.choose_s)),
        ("`steps`", "prepare the choice for every watt limit", _ms(costs.steps_s)),
        ("`lookup`", "look one board up there", _ms(costs.lookup_s)),
        ("`keep`", "keep one profile in a SQLite file, the wait for the disk not counted", _ms(costs.keep_s)),
        ("`report`", "write a report, whatever the store holds", _ms(costs.report_s)),
        ("`report_profile`", "the same for each profile in it", _ms(costs.report_profile_s)),
        (
            "`scrape`",
            "make the text of one scrape of a board (metrics.md has it with HTTP)",
            _ms(costs.scrape_s),
        ),
    ]
    lines = table(
        ("cost", f"what, on average over {kinds} kinds of simulated boards", "ms of a core"), rows, words=2
    )
    sizes = (
        f"A profile takes {costs.profile_bytes:,.0f} bytes of the file, a predictor "
        f"{costs.predictor_bytes / 1e3:,.0f} kB, and a scrape {costs.scrape_bytes / 1e3:,.1f} kB."
    )
    return [*lines, "", sizes]


def computed(costs: Costs, kinds: int, profiles: int) -> list[str]:
    """Return the table of what fleets of all sizes cost, a line a cost."""

    def line(name: str, cost: Callable[[int], float]) -> list[str]:
        return [name, *(_short(cost(boards)) for boards in FLEETS)]

    def pairs(boards: int) -> int:
        return min(kinds, boards) * WORKLOADS

    def stored(boards: int) -> int:
        return boards * profiles * 365

    predictor_mb, profile_gb = costs.predictor_bytes / 1e6, costs.profile_bytes / 1e9
    shared_s = costs.transfer_s + costs.predict_s + costs.steps_s
    alone_s = costs.transfer_s + costs.predict_s + costs.choose_s
    a_second, scraped = profiles / DAY_S, 1 / SCRAPE_EVERY_S
    lines = [
        line("kinds of boards", lambda b: min(kinds, b)),
        line("predictors, shared", pairs),
        line("their size [MB]", lambda b: pairs(b) * predictor_mb),
        line("a predictor for each board instead [MB]", lambda b: b * WORKLOADS * predictor_mb),
        line("all predictors anew [core s]", lambda b: pairs(b) * shared_s),
        line("the same, each board for itself [core s]", lambda b: b * WORKLOADS * alone_s),
        line("a new limit for every board [core s]", lambda b: b * costs.lookup_s),
        line("profiles written a second", lambda b: b * a_second),
        line("of what PostgreSQL kept on 2 cores [%]", lambda b: 100 * b * a_second / WRITES_A_SECOND),
        line("profiles after a year", stored),
        line("their size [GB]", lambda b: stored(b) * profile_gb),
        line(
            "a report of all of them [core s]", lambda b: costs.report_s + stored(b) * costs.report_profile_s
        ),
        line("scrapes a second", lambda b: b * scraped),
        line("what Prometheus takes in [MB/s]", lambda b: b * scraped * costs.scrape_bytes / 1e6),
    ]
    return table(("boards", *(f"{boards:,}" for boards in FLEETS)), lines)


FORMULAS = """\
With B boards of K kinds, W = {workloads} workloads, P = {profiles} profiles a board and day:

- shared predictors: K W of them. All of them anew: K W (`transfer` + `predict` + `steps`).
- each board for itself: B W (`transfer` + `predict` + `choose`).
- a new limit for every board: B `lookup`.
- profiles a second: B P / {day_s:,}. After a year there are 365 B P.
- a report: `report` + profiles x `report_profile`.
- scrapes: one in {every_s} s for each board."""


def _ms(duration_s: float) -> str:
    return f"{1e3 * duration_s:.3g}"


def _short(value: float) -> str:
    if isinstance(value, int) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value >= 0.001 else "< 0.001"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", type=int, default=20)
    parser.add_argument("--profiles", type=int, default=20)
    parser.add_argument("--boards", type=int, default=10_000)
    parser.add_argument("--out", default="scale.md")
    options = parser.parse_args()
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        kinds, fits, transfers = kinds_of(options.kinds, options.profiles)
        scrape_s, scrape_bytes = scrape_costs()
        costs = Costs(
            modes=int(np.mean([len(kind.modes) for kind in kinds])),
            fit_s=float(np.mean(fits)),
            transfer_s=float(np.mean(transfers)),
            **choice_costs(kinds, folder),
            **store_costs(folder),
            scrape_s=scrape_s,
            scrape_bytes=scrape_bytes,
        )
        measured_s, formula_s = checked(kinds, options.boards, costs)
    load, wall_s = os.getloadavg()[1], time.monotonic() - started_s
    values = {"workloads": WORKLOADS, "profiles": options.profiles, "day_s": DAY_S, "every_s": SCRAPE_EVERY_S}
    lines = [
        f"{machine()}, {today()}. Other work shared its cores: a mean load of {load:.1f}. "
        f"All measurements took {wall_s:.0f} s.",
        "",
        "Measured:",
        "",
        *elementary(costs, options.profiles, options.kinds),
        "",
        f"As a check, a mode was chosen for {options.boards:,} boards of {options.kinds} kinds, predictions "
        f"included: {measured_s:.2f} s of a core as measured, {formula_s:.2f} s by the formula.",
        "",
        "Computed from these:",
        "",
        *computed(costs, options.kinds, options.profiles),
        "",
        *FORMULAS.format(**values).splitlines(),
    ]
    write_result(options.out, "What a fleet costs", "python benchmarks/scale.py", lines)


if __name__ == "__main__":
    main()
