"""Federated rounds that meet a deadline, in Flower's engine: writes benchmarks/results/fleet_flower.md.

    python benchmarks/fleet_flower.py [--seeds 3] [--rounds 12] [--emulated-rounds 3] [--long 50]

It runs in the environment that has Flower and Ray (`make test-integrations` makes it, `.venv-fleet`). A small
network learns scikit-learn's handwritten digits on 50 clients. The learning is real: the gradients are
computed, and the accuracy is of the model that results. The time and the power are those of simulated boards,
on their own clocks: each minibatch takes a board what some of ResNet-18 would.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
os.environ["OMP_NUM_THREADS"] = "1"

import _federated as federated
import numpy as np
from _harness import machine, table, today, version, write_result
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

import powertrain as pt
from powertrain.fleet import Clients, Front, Fronts, plan_round
from powertrain.integrations.flower import PowerTrainStrategy, RoundRecord
from powertrain.virtual.simulated import BOARDS

TARGET = 0.90
"""Accuracy up to which the energy is counted."""
ABOUT = """\
{clients} clients in Flower's simulation engine. The boards are simulated, of four kinds
({kinds}), each with its own clock, noise, heat and storage.
All times and energies are those of the boards, none of this machine. The learning is real: a network with one
hidden layer and scikit-learn's digits, split non-iid (Dirichlet {alpha}). A minibatch takes a board what
{per_minibatch} of ResNet-18 would. One board of each kind was profiled in {profiled} modes before.

Each row is of {seeds} seeds with {rounds} rounds. In brackets are the longest round, or the lowest and the
highest seed. MAXN stands for the fastest stock mode."""
REMARKS = """\
*Saved* compares with the first row, seed by seed. It counts the energy of the boards while they train. *With
waiting* adds what they draw at rest until the last one has finished. Where *boards stay on*, only power above
that at rest counts in the choice of modes. A round that gives every client all its minibatches learns exactly
what FedAvg learns. Where the accuracy is not reached, all rounds count."""
MANY, MANY_WORKLOADS, MANY_PROFILED = 10_000, ("resnet18", "mobilenet_v3", "lstm", "bert"), 50


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A way to run the rounds."""

    name: str
    deadline: float = float("inf")
    """As a multiple of the time of the rounds in the fastest stock modes."""
    budget: float = float("inf")
    """As a multiple of the energy of those rounds."""
    fastest: str = "never"
    """When the boards are in the fastest stock mode: `always`, `training` or `never`."""
    stays_on: bool = False
    """Whether only the power above that of a waiting board counts when modes are compared."""


ARMS = (
    Arm(name="FedAvg in MAXN", fastest="always"),
    Arm(name="FedAvg in MAXN while it trains", fastest="training"),
    Arm(name="FedAvg in the mode of the boot"),
    Arm(name="deadline 1.1 x MAXN's round", deadline=1.1),
    Arm(name="the same, boards stay on", deadline=1.1, stays_on=True),
    Arm(name="deadline 0.6 x, boards stay on", deadline=0.6, stays_on=True),
    Arm(name="energy budget 0.9 x MAXN's", budget=0.9),
)
FEW_ARMS = (ARMS[0], ARMS[2], ARMS[3])


@dataclass(kw_only=True)
class Run:
    """What became of one arm with one seed."""

    arm: Arm
    deadline_s: float
    budget_j: float
    records: list[RoundRecord]
    accuracies: list[float]
    """After each round."""
    waiting_j: list[float] = field(default_factory=list)
    """Of each round: what the boards draw at rest until the last one has finished."""

    @property
    def round_s(self) -> np.ndarray:
        return np.array([record.round_s for record in self.records])

    @property
    def trained_j(self) -> np.ndarray:
        return np.array([record.energy_j for record in self.records])

    @property
    def used(self) -> np.ndarray:
        """Share of the limit that each round has used, NaN without a limit."""
        if np.isfinite(self.deadline_s):
            return self.round_s / self.deadline_s
        return self.trained_j / self.budget_j if np.isfinite(self.budget_j) else np.nan * self.round_s

    @property
    def rounds_to_target(self) -> int:
        """Rounds until the accuracy is reached; all if it is not."""
        reached = np.flatnonzero(np.array(self.accuracies) >= TARGET)
        return int(reached[0]) + 1 if len(reached) else len(self.accuracies)


class Told(FedAvg):
    """FedAvg that remembers which client is on which node."""

    def __init__(self) -> None:
        super().__init__(
            fraction_evaluate=0.0,
            min_train_nodes=federated.CLIENTS,
            min_available_nodes=federated.CLIENTS,
        )
        self.clients: dict[int, int] = {}

    def aggregate_train(self, server_round, replies):
        replies = list(replies)
        for reply in replies:
            if reply.has_content():
                self.clients[reply.metadata.src_node_id] = reply.content["metrics"]["client"]
        return super().aggregate_train(server_round, replies)


def run_arm(grid, arm: Arm, *, seed: int, rounds: int, style: str, fastest: Run | None) -> Run:
    """Train from the beginning in one way."""
    deadline_s = budget_j = float("inf")
    if fastest is not None:
        deadline_s = arm.deadline * float(np.median(fastest.round_s))
        budget_j = arm.budget * float(np.median(fastest.trained_j))
    told = Told()
    strategy = PowerTrainStrategy(told, deadline_s=deadline_s, max_energy_j=budget_j)
    accuracies: list[float] = []

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        if server_round:
            accuracies.append(federated.accuracy(arrays.to_numpy_ndarrays(), seed))
        return MetricRecord({"accuracy": accuracies[-1] if accuracies else 0.0})

    strategy.start(
        grid,
        initial_arrays=ArrayRecord(federated.new_model(seed)),
        num_rounds=rounds,
        train_config=ConfigRecord(
            {"seed": seed, "fastest": arm.fastest, "stays-on": arm.stays_on, "style": style}
        ),
        evaluate_fn=evaluate,
    )
    run = Run(
        arm=arm,
        deadline_s=deadline_s,
        budget_j=budget_j,
        records=strategy.rounds,
        accuracies=accuracies,
    )
    waits_in = federated.fastest_mode if arm.fastest == "always" else federated.boot_mode
    rest_w = {kind: federated.at_rest_w(kind, waits_in(kind)) for kind in federated.KINDS}
    kinds = {node: federated.kind_of(client) for node, client in told.clients.items()}
    run.waiting_j = [
        sum(
            rest_w[kind] * (record.round_s - (record.reports[node].train_s if node in record.reports else 0))
            for node, kind in kinds.items()
        )
        for record in run.records
    ]
    return run


def run_all(seeds: int, rounds: int, emulated_rounds: int) -> tuple[list[list[Run]], list[Run]]:
    """Run all arms in one simulation of Flower's; return those of each seed, and those on emulated boards."""
    found: list[list[Run]] = []
    emulated: list[Run] = []
    server = ServerApp()

    def arms_of(grid, arms, **how) -> list[Run]:
        runs: list[Run] = []
        for arm in arms:
            began_s = time.perf_counter()
            runs.append(run_arm(grid, arm, fastest=runs[0] if runs else None, **how))
            print(f"{how} {arm.name}: {time.perf_counter() - began_s:.0f} s", flush=True)
        return runs

    @server.main()
    def main(grid, context) -> None:
        found.extend(
            arms_of(grid, ARMS, seed=seed, rounds=rounds, style="simulated") for seed in range(seeds)
        )
        if emulated_rounds:
            emulated.extend(arms_of(grid, FEW_ARMS, seed=0, rounds=emulated_rounds, style="emulated"))

    # One worker, in which the boards live from round to round; a cluster of its own.
    backend = {
        "client_resources": {"num_cpus": 1},
        "init_args": {"num_cpus": 1, "address": "local", "log_to_driver": False},
    }
    run_simulation(server, federated.app, federated.CLIENTS, backend_config=backend)
    return found, emulated


def long_rows(rounds: int) -> list[list[str]]:
    """Count the rounds of two arms that meet their deadline, over many rounds."""
    grid, rows = federated.Direct(), []
    fastest = run_arm(grid, ARMS[0], seed=0, rounds=3, style="simulated", fastest=None)
    for arm in (arm for arm in ARMS if np.isfinite(arm.deadline) and rounds):
        used = run_arm(grid, arm, seed=0, rounds=rounds, style="simulated", fastest=fastest).used
        figures = f"{(used <= 1).sum():,} of {len(used):,}", f"{used.max():.3f}", f"{np.median(used):.3f}"
        rows.append([arm.name, *figures])
    return rows


def spread(values: np.ndarray, figures: Callable[[float], str]) -> str:
    """Return the mean, and the lowest and highest where they differ."""
    low, high = figures(values.min()), figures(values.max())
    return figures(values.mean()) + (f" ({low} to {high})" if low != high else "")


def arm_rows(runs: list[list[Run]]) -> list[list[str]]:
    """Return a row for each arm over all seeds."""
    fastest = [of_seed[0] for of_seed in runs]
    return [arm_row(list(of_arm), fastest) for of_arm in zip(*runs, strict=True)]


def arm_row(runs: list[Run], fastest: list[Run]) -> list[str]:
    """Return the row of an arm, compared with FedAvg in the fastest stock mode, seed by seed."""
    times_s = np.concatenate([run.round_s for run in runs])
    used = np.concatenate([run.used for run in runs])
    has_limit = np.isfinite(used).all()

    def saved(energy: Callable[[Run], float]) -> np.ndarray:
        pairs = zip(runs, fastest, strict=True)
        return np.array([100 * (1 - energy(run) / energy(first)) for run, first in pairs])

    def to_target(run: Run) -> float:
        return float(run.trained_j[: run.rounds_to_target].sum())

    def to_target_waiting(run: Run) -> float:
        return to_target(run) + sum(run.waiting_j[: run.rounds_to_target])

    fewer = np.array([len(record.fewer) for run in runs for record in run.records])
    return [
        runs[0].arm.name,
        f"{np.median(times_s):.1f} ({times_s.max():.1f})",
        f"{(used <= 1).sum():,} of {len(used):,}" if has_limit else "",
        f"{used.max():.3f}" if has_limit else "",
        spread(np.array([run.trained_j.mean() for run in runs]) / 1e3, lambda v: f"{v:.2f}"),
        spread(saved(lambda run: run.trained_j.mean()), lambda v: f"{v:.0f}"),
        spread(saved(lambda run: run.trained_j.mean() + np.mean(run.waiting_j)), lambda v: f"{v:.0f}"),
        f"{fewer.mean():.1f}",
        spread(100 * np.array([run.accuracies[-1] for run in runs]), lambda v: f"{v:.1f}"),
        spread(np.array([float(run.rounds_to_target) for run in runs]), lambda v: f"{v:.0f}"),
        spread(saved(to_target), lambda v: f"{v:.0f}"),
        spread(saved(to_target_waiting), lambda v: f"{v:.0f}"),
    ]


HEAD = (
    "",
    "round s, median (longest)",
    "rounds within the limit",
    "most / limit",
    "kJ a round",
    "saved %",
    "saved % with waiting",
    "clients with fewer minibatches",
    "accuracy at the end %",
    f"rounds to {100 * TARGET:.0f} %",
    f"saved to {100 * TARGET:.0f} %, %",
    "the same with waiting",
)


def weight_rows(seeds: int, rounds: int) -> list[list[str]]:
    """Compare weights of clients that train a quarter of their minibatches, without any engine."""
    rules: dict[str, Callable[[float], float]] = {
        "its examples (as here)": lambda share: 1.0,
        "the examples that it trained on": lambda share: share,
        "its examples over the share that it trained": lambda share: 1 / share,
        "0: it is left out": lambda share: float(share == 1),
    }
    rows: list[list[str]] = []
    for name, factor in rules.items():
        scores = np.array([_accuracies(seed, rounds, factor) for seed in range(seeds)])
        early, late = 100 * scores[:, rounds // 3 - 1], 100 * scores[:, -1]
        rows.append([name, spread(early, lambda v: f"{v:.1f}"), spread(late, lambda v: f"{v:.1f}")])
    return rows


def _accuracies(seed: int, rounds: int, factor: Callable[[float], float]) -> list[float]:
    (images, labels), (parts, _) = federated.digits(), federated.split(seed)
    model, found = federated.new_model(seed), []
    for server_round in range(rounds):
        models, weights = [], []
        for client, own in enumerate(parts):
            rng = np.random.default_rng([seed, server_round, client])
            loader, trained, share = federated.Loader(own, rng), model, 0.25 if client % 4 == 1 else 1.0
            full = federated.EPOCHS * len(loader)
            few = max(round(share * full), 1)
            batches = [batch for _ in range(federated.EPOCHS) for batch in loader]
            for batch in batches[:few]:
                trained = federated.train_on(trained, images[batch], labels[batch])
            models.append(trained)
            weights.append(len(own) * factor(1.0 if few == full else few / full))
        shares = np.array(weights) / sum(weights)
        model = [sum(s * m[i] for s, m in zip(shares, models, strict=True)) for i in range(len(model))]
        found.append(federated.accuracy(model, seed))
    return found


def many_lines() -> list[str]:
    """Choose for 10,000 clients of 20 kinds; return what it took. A process of its own tells the memory."""
    kinds = [(pt.open_device(spec), workload) for spec in BOARDS for workload in MANY_WORKLOADS]
    predictors = [pt.fit(board.measure(name, pt.plan(board, MANY_PROFILED))) for board, name in kinds]
    boards = [board for board, _ in kinds]
    rng = np.random.default_rng(0)
    clients = Clients.of(
        rng.integers(0, len(kinds), MANY),
        rng.integers(10, 300, MANY),
        overhead_s=1.0,
        warm_up_minibatches=8.0,
    )
    took: dict[str, list[float]] = {"fronts": [], "deadline": [], "budget": []}
    for _ in range(5):
        began_s = time.perf_counter()
        tables = [board.modes() for board in boards]
        pairs = zip(predictors, tables, strict=True)
        fronts = Fronts.of([Front.of(p.glance(modes), modes) for p, modes in pairs])
        took["fronts"].append(time.perf_counter() - began_s)
        began_s = time.perf_counter()
        plan = plan_round(fronts, clients, deadline_s=120)
        took["deadline"].append(time.perf_counter() - began_s)
        began_s = time.perf_counter()
        plan_round(fronts, clients, max_energy_j=0.7 * plan.total_j)
        took["budget"].append(time.perf_counter() - began_s)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    modes = sum(len(modes) for modes in tables)
    middle = {name: float(np.median(values)) for name, values in took.items()}
    rows = [
        [f"predict {len(kinds)} kinds ({modes:,} modes) and take their fronts", f"{middle['fronts']:.2f}"],
        ["choose for a deadline", f"{middle['deadline']:.3f}"],
        ["choose for an energy budget that cuts minibatches", f"{middle['budget']:.3f}"],
        ["predict, and choose for a deadline (asked: 2 s)", f"{middle['fronts'] + middle['deadline']:.2f}"],
    ]
    return [
        *table([f"{MANY:,} clients", "s"], rows),
        "",
        f"Peak memory of the process, with fitting and everything: {peak_mb:,.0f} MB (asked: 1,000).",
    ]


def page(
    found: list[list[Run]],
    emulated: list[Run],
    long: list[list[str]],
    weights: list[list[str]],
    load: str,
) -> list[str]:
    """Return the lines of the page."""
    seeds, rounds = len(found), len(found[0][0].records)
    planned = [run for runs in found for run in runs if np.isfinite(run.deadline_s)]
    met = sum(int((run.round_s <= run.deadline_s).sum()) for run in planned)
    total = sum(len(run.records) for run in planned)
    about = ABOUT.format(
        clients=federated.CLIENTS,
        kinds=", ".join(federated.KINDS),
        alpha=federated.ALPHA,
        per_minibatch=federated.PER_MINIBATCH,
        profiled=federated.PROFILED,
        seeds=seeds,
        rounds=rounds,
    )
    lines = [
        f"{machine()}, Flower {version('flwr')}, Ray {version('ray')}, {today()}. {load}",
        "",
        *about.splitlines(),
        "",
        f"Rounds that met their deadline: {met:,} of {total:,} ({100 * met / total:.1f} %; asked: 99 %).",
        "",
        *table(HEAD, arm_rows(found)),
        "",
        *REMARKS.splitlines(),
    ]
    if emulated:
        count = len(emulated[0].records)
        lines += [
            "",
            "The same on emulated boards, whose modes are set through the files of their kernels. They take",
            f"several times as long to compute, so this is one seed of {count} rounds:",
            "",
            *table(HEAD[:7], [row[:7] for row in arm_rows([emulated])]),
        ]
    lines += [
        "",
        "Many more rounds, with the same strategy and clients but without Flower's engine, which costs time:",
        "",
        *table(["", "rounds within the limit", "longest / limit", "median / limit"], long),
        "",
        "Weights: the accuracy where one kind of board, a quarter of the clients, trains a quarter of its",
        "minibatches, by the weight of such a client:",
        "",
        *table(["weight", f"after {rounds // 3} rounds %", f"after {rounds} rounds %"], weights),
        "",
        *many_lines(),
    ]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--emulated-rounds", type=int, default=3)
    parser.add_argument("--long", type=int, default=50)
    options = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.WARNING)
    load = os.getloadavg()[0]
    found, emulated = run_all(options.seeds, options.rounds, options.emulated_rounds)
    long = long_rows(options.long)
    weights = weight_rows(min(options.seeds, 3), options.rounds)
    words = f"Load of the machine: {load:.1f} to {os.getloadavg()[0]:.1f}."
    write_result(
        "fleet_flower.md",
        "Federated rounds that meet a deadline",
        "python benchmarks/fleet_flower.py",
        page(found, emulated, long, weights, words),
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
