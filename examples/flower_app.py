"""Federated learning with Flower on boards with power modes.

    python examples/flower_app.py

runs it in Flower's simulation engine, on simulated boards. PowerTrain's lines are the mod, `minibatches` and
the strategy. On real boards, the mod is `PowerTrainMod("jetson", "resnet18.ptm")`, and `flwr run` starts both
apps.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

import powertrain as pt
from powertrain.integrations.flower import PowerTrainMod, PowerTrainStrategy, minibatches, this_round

BOARD, WORKLOAD = "sim:orin-nano", "lstm"


def client_app(predictor: Path) -> ClientApp:
    """Return the app of a client, which fits a line through its own points."""
    app = ClientApp(mods=[PowerTrainMod(BOARD, predictor)])

    @app.train()
    def train(message, context):
        rng = np.random.default_rng(context.node_config["partition-id"])
        inputs = rng.normal(size=(640, 8))
        targets = inputs @ np.arange(8.0)
        (weights,) = message.content["arrays"].to_numpy_ndarrays()
        batches = np.array_split(rng.permutation(len(inputs)), len(inputs) // 16)
        job = this_round().device.job(WORKLOAD)
        for batch in minibatches(batches, epochs=2):
            errors = inputs[batch] @ weights - targets[batch]
            weights = weights - 0.05 * inputs[batch].T @ errors / len(batch)
            job.step()  # only a simulated board has to be told that it trains
        metrics = MetricRecord({"num-examples": len(inputs), "error": float(np.abs(errors).mean())})
        return Message(RecordDict({"arrays": ArrayRecord([weights]), "metrics": metrics}), reply_to=message)

    return app


def server_app(deadline_s: float, rounds: int, clients: int) -> ServerApp:
    """Return the app of the server."""
    app = ServerApp()

    @app.main()
    def main(grid, context):
        fedavg = FedAvg(fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients)
        strategy = PowerTrainStrategy(fedavg, deadline_s=deadline_s)
        result = strategy.start(grid, initial_arrays=ArrayRecord([np.zeros(8)]), num_rounds=rounds)
        for record in strategy.rounds:
            told = result.train_metrics_clientapp.get(record.server_round)
            if told is None:
                print(f"round {record.server_round}: no client could train in time")
                continue
            print(
                f"round {record.server_round}: {record.round_s:.2f} s, {record.energy_j:.0f} J, "
                f"{len(record.fewer)} clients with fewer minibatches, error {told['error']:.4f}"
            )

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deadline", type=float, default=5.0, help="of a round [s]")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--clients", type=int, default=4)
    given = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.WARNING)
    board = pt.open_device(BOARD)
    with TemporaryDirectory() as folder:
        predictor = Path(folder) / "predictor.ptm"
        pt.fit(board.measure(WORKLOAD, pt.plan(board, 20))).save(predictor)
        run_simulation(
            server_app(given.deadline, given.rounds, given.clients),
            client_app(predictor),
            given.clients,
            backend_config={
                "client_resources": {"num_cpus": 1},
                "init_args": {"num_cpus": 1, "address": "local", "log_to_driver": False},
            },
        )


if __name__ == "__main__":
    main()
