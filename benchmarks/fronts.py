"""Fronts and choices side by side with paretoset, pymoo and moocore, on one core.

    python benchmarks/fronts.py [--repetitions 5] [--out fronts.md]

Every tool gets the same array. Before anything is timed each peer's front is compared with PowerTrain's: as
sets of costs, since pymoo keeps all equal rows. A peer that needs longer than --patience for a cloud is left
out of it, which the table says.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from _harness import (
    interleaved,
    machine,
    on_one_core,
    ratio,
    spread_ms,
    table,
    today,
    version,
    write_result,
)

from powertrain.opening import open_device
from powertrain.optimisation import choose, front_of, pareto_front
from powertrain.records import Prediction

Front = Callable[[np.ndarray], np.ndarray]
OWN = "PowerTrain"
COMMAND = "python benchmarks/fronts.py"


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Costs to find the front of."""

    name: str
    costs: np.ndarray


def clouds() -> Iterator[Cloud]:
    """Yield costs of several shapes and sizes, the budget's first."""
    rng = np.random.default_rng(0)
    for n, k in ((1_000_000, 2), (1_000_000, 3), (100_000, 3), (100_000, 4), (20_000, 6)):
        yield Cloud(name="uniform", costs=rng.random((n, k)))
        common = rng.random((n, 1))
        yield Cloud(name="correlated", costs=common + 0.2 * rng.normal(size=(n, k)))
        shell = np.abs(rng.normal(size=(n, k)))
        shell = 1 - shell / np.linalg.norm(shell, axis=1, keepdims=True)
        yield Cloud(name="anticorrelated", costs=shell * np.exp(0.1 * rng.normal(size=(n, 1))))
        yield Cloud(name="all on the front", costs=shell)
        yield Cloud(name="30 values per cost", costs=rng.integers(0, 30, (n, k)).astype(float))
    board = open_device("sim:orin-agx")
    modes = board.modes()
    first, second = (board.measure(name, modes, seed=0) for name in board.workloads()[:2])
    two = np.column_stack([first.time_ms, first.power_w])
    yield Cloud(name="simulated board: time, power", costs=two)
    yield Cloud(name="simulated board: two times, power", costs=np.column_stack([two, second.time_ms]))


def peers() -> dict[str, Front]:
    """Return the tools that are installed, compiled and ready."""
    found: dict[str, Front] = {}
    if version("paretoset"):
        from paretoset import paretoset

        found["paretoset"] = lambda costs: np.flatnonzero(paretoset(costs))
    if version("pymoo"):
        from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

        sorting = NonDominatedSorting()
        found["pymoo"] = lambda costs: sorting.do(costs, only_non_dominated_front=True)
    if version("moocore"):
        import moocore

        found["moocore"] = lambda costs: np.flatnonzero(moocore.is_nondominated(costs))
    for front in found.values():
        for k in (2, 3, 4):
            front(np.random.default_rng(0).random((100, k)))
    return found


def in_time(front: Front, costs: np.ndarray, patience_s: float) -> bool:
    """Try a front in a child process and say whether it was done in time."""
    child = multiprocessing.get_context("fork").Process(target=front, args=(costs,))
    child.start()
    child.join(patience_s)
    done = child.exitcode == 0
    if child.is_alive():
        child.kill()
        child.join()
    return done


def agree(costs: np.ndarray, one: np.ndarray, other: np.ndarray) -> bool:
    """Say whether two fronts hold the same costs."""
    return np.array_equal(np.unique(costs[one], axis=0), np.unique(costs[other], axis=0))


def compared(cloud: Cloud, tools: dict[str, Front], options: argparse.Namespace) -> Iterator[list[str]]:
    """Yield a row of the table per tool."""
    costs = cloud.costs
    own = pareto_front(costs)
    about = [cloud.name, f"{costs.shape[1]}", f"{len(costs):,}", f"{len(own):,}"]
    quick = {n: f for n, f in tools.items() if in_time(f, costs, options.patience)}
    for name, front in quick.items():
        if not agree(costs, own, front(costs)):
            raise SystemExit(f"{name} finds another front of {cloud.name}: compare them before timing them")
    cases = {OWN: lambda: pareto_front(costs)}
    cases |= {name: lambda front=front: front(costs) for name, front in quick.items()}
    times = interleaved(cases, options.repetitions)
    for name in (OWN, *tools):
        if name in times:
            yield [*about, name, *spread_ms(times[name]), ratio(times[name], times[OWN])]
        else:
            yield [*about, name, "", f"> {1e3 * options.patience:,.0f}", "", ""]


def choices(repetitions: int) -> Iterator[list[str]]:
    """Yield rows that tell what a choice and a front cost for all modes of the simulated board."""
    board = open_device("sim:orin-agx")
    modes = board.modes()
    truth = board.measure(board.workloads()[0], modes, seed=0)
    rel_sd = np.full(len(modes), 0.05)
    prediction = Prediction(
        time_ms=truth.time_ms, power_w=truth.power_w, time_rel_sd=rel_sd, power_rel_sd=rel_sd
    )
    cases = {
        "choose: the fastest under 30 W": lambda: choose(prediction, modes, max_power_w=30),
        "choose: lowest energy-delay product under three limits": lambda: choose(
            prediction, modes, objective="edp", max_power_w=30, max_time_ms=1_000, max_energy_j=10
        ),
        "front_of: time and power": lambda: front_of(prediction),
    }
    for name, seconds in interleaved(cases, 5 * repetitions).items():
        yield [name, f"{len(modes):,}", *spread_ms(seconds)]


def main() -> int:
    """Run everything, print it and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument(
        "--patience", type=float, default=5.0, help="seconds that a peer may take for a cloud"
    )
    parser.add_argument("--out", default="fronts.md")
    options = parser.parse_args()
    bound = "bound to one core" if on_one_core() else "not bound to a core"
    tools = peers()
    names = ("paretoset", "pymoo", "moocore")
    versions = ", ".join(f"{name} {version(name) or 'not installed'}" for name in names)
    lines = [f"{machine()}, {today()}; {bound}. {versions}; {options.repetitions} paired repetitions.", ""]
    lines += [
        "Times in milliseconds; the ratio is the median over pairs, above 1 where the peer is slower.",
        "A peer without a ratio was stopped. pymoo ranks all fronts to return the first.",
        "The budget is 300 ms for 1,000,000 rows of 2 costs.",
        "",
    ]
    rows: list[list[str]] = []
    for cloud in clouds():
        rows += compared(cloud, tools, options)
        print(cloud.name, cloud.costs.shape, file=sys.stderr)
    head = ("cloud", "costs", "rows", "front", "tool", "min ms", "median ms", "max ms", "ratio")
    lines += table(head, rows, words=1)
    head = ("all modes of the simulated board", "modes", "min ms", "median ms", "max ms")
    lines += ["", *table(head, list(choices(options.repetitions)))]
    print("\n".join(lines))
    write_result(options.out, "Fronts", COMMAND, lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
