"""The clients of test_flower.py, which Flower's workers import: each on a simulated board of its own."""

from __future__ import annotations

from functools import cache

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

import powertrain as pt
from powertrain.integrations.flower import PowerTrainMod, minibatches, this_round

AGX, NANO, FAILS, OLD, UNPREDICTED, NO_BOARD = range(6)
CLIENTS = 6
KINDS = {AGX: "sim:orin-agx", FAILS: "sim:orin-agx"}
"""The boards of the others are Orin Nanos."""
WORKLOAD, EPOCHS, MINIBATCHES = "lstm", 2, 60
"""Of an epoch: a round takes an Orin Nano about 8 s in its fastest mode."""


@cache
def board_of(client: int):
    return pt.open_device(KINDS.get(client, "sim:orin-nano"))


@cache
def predictor_of(client: int):
    board = board_of(client)
    return pt.fit(board.measure(WORKLOAD, pt.plan(board, 20)))


def client_of(context) -> int:
    return int(context.node_config["partition-id"])


def on_its_board(message, context, call_next):
    """Run the mod as each of these clients has it, and see that the board is restored whatever happens."""
    client = client_of(context)
    if client == OLD:
        return call_next(message, context)
    board = board_of(client)
    predictor = None if client == UNPREDICTED else lambda _: predictor_of(client)
    # A board that cannot be opened here: the training goes on without one.
    mod = PowerTrainMod("sim:none" if client == NO_BOARD else lambda _: board, predictor)
    before = board.mode
    try:
        return mod(message, context, call_next)
    finally:
        if board.mode != before:
            raise SystemExit(f"the board of client {client} was left in {board.mode}")


app = ClientApp(mods=[on_its_board])


@app.train()
def train(message, context):
    """Let the time of some minibatches pass; the model that results is the client's number."""
    client, config = client_of(context), message.content["config"]
    job, trained = board_of(client).job(WORKLOAD), 0
    for _ in minibatches(range(MINIBATCHES), epochs=EPOCHS):
        job.step()
        trained += 1
    if client == FAILS and config["server-round"] > 1:
        raise RuntimeError("out of memory")
    own = this_round()
    metrics = {
        "num-examples": 100 * (1 + client),
        "client": client,
        "saw-record": float("powertrain" in message.content),
        "trained": trained,
        "held": float(own is not None and bool(own.mode)),
    }
    arrays = ArrayRecord([np.full(3, float(client))])
    return Message(RecordDict({"arrays": arrays, "metrics": MetricRecord(metrics)}), reply_to=message)
