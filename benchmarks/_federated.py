"""The clients of benchmarks/fleet_flower.py: boards, data and the training. Flower's workers import this."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from sklearn.datasets import load_digits

import powertrain as pt
from powertrain.devices import Journal, VirtualClock
from powertrain.devices.jetson import JetsonDevice
from powertrain.integrations.flower import PowerTrainMod, minibatches, this_round
from powertrain.virtual.emulated import EmulatedSysfs
from powertrain.virtual.simulated import BOARDS, SimulatedBoard

CLIENTS = 50
KINDS = {
    "Orin AGX": ("sim:orin-agx-r36", "orin-agx@jp6", "MAXN"),
    "Xavier AGX": ("sim:xavier-agx", "xavier-agx@jp5", "MAXN"),
    "Orin Nano": ("sim:orin-nano", "orin-nano@jp6", "15W"),
    "Orin Nano Super": ("sim:orin-nano-super", "orin-nano-super@jp6", "MAXN_SUPER"),
}
"""Simulated, emulated, and the stock mode that the vendor ships as the fastest."""
WORKLOAD, PER_MINIBATCH = "resnet18", 8
"""What the boards take the time and the power of: so many of its minibatches for one of ours, so that a round
takes about a minute."""
PROFILED = 30
"""Modes that one board of each kind was profiled in."""
LONGEST_WAIT = 0.1
"""Of a minibatch: how long a board waits for its storage, so that no two boards of a kind are equal."""
TEST, ALPHA, LEAST_EXAMPLES = 360, 0.3, 16
"""Images that no client has, the Dirichlet parameter of the split, and the fewest images of a client."""
BATCH, EPOCHS, HIDDEN, RATE = 8, 5, 32, 0.1


def kind_of(client: int) -> str:
    """Return the kind of a client's board."""
    return list(KINDS)[client % len(KINDS)]


def new_board(kind: str, style: str, seed: int):
    """Start a board, in memory and on a clock of its own."""
    simulated, emulated, _ = KINDS[kind]
    if style == "simulated":
        return SimulatedBoard(BOARDS[simulated], seed=seed)
    files = EmulatedSysfs(emulated, clock=VirtualClock(), seed=seed)
    return JetsonDevice(
        sysfs=files,
        clock=files.clock,
        journal=Journal(Path(tempfile.mkdtemp())),
        private=True,
        jobs=lambda workload, _data: files.job(workload),
        spec=f"emulated:{emulated}",
        name=files.title,
        simulated=True,
    )


@cache
def board_of(client: int, style: str):
    """Return a client's board, which lives as long as the worker."""
    return new_board(kind_of(client), style, seed=client)


@cache
def predictor_of(kind: str, style: str):
    """Profile one board of a kind, as its owner would, and fit a predictor of our minibatches."""
    board, store = new_board(kind, style, seed=1000), pt.open_store()
    pt.profile(board, WORKLOAD, pt.plan(board, PROFILED), store)
    profiles = store.table(workload=WORKLOAD)
    return pt.fit(replace(profiles, time_ms=PER_MINIBATCH * profiles.time_ms))


@cache
def at_rest_w(kind: str, mode: pt.PowerMode) -> float:
    """Return the power of a board that waits in a mode."""
    board = new_board(kind, "simulated", seed=0)
    return float(board.idle_power_w(pt.ModeTable.of([mode]))[0])


@cache
def boot_mode(kind: str) -> pt.PowerMode:
    """Return the stock mode that a board boots in."""
    return new_board(kind, "simulated", seed=0).mode


@cache
def fastest_mode(kind: str) -> pt.PowerMode:
    """Return the stock mode that the vendor ships as the fastest."""
    return new_board(kind, "simulated", seed=0).stock_modes()[KINDS[kind][2]]


@cache
def digits():
    """Return the 8 x 8 images `(1797, 64)`, from 0 to 1, and which digit each shows."""
    images, labels = load_digits(return_X_y=True)
    return images / 16.0, labels


@lru_cache(maxsize=8)
def split(seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return each client's images, and those of the test: numbers in `digits`.

    Each digit is shared out by a Dirichlet draw, so that a client has many images of a few digits.
    """
    rng, labels = np.random.default_rng(seed), digits()[1]
    shuffled = rng.permutation(len(labels))
    test, train = shuffled[:TEST], shuffled[TEST:]
    parts: list[list[int]] = [[] for _ in range(CLIENTS)]
    for digit in range(10):
        own = train[labels[train] == digit]
        ends = (np.cumsum(rng.dirichlet(np.full(CLIENTS, ALPHA))) * len(own)).astype(int)[:-1]
        for part, images in zip(parts, np.split(own, ends), strict=True):
            part.extend(images.tolist())
    for part in parts:  # nobody is without any
        part.extend(rng.choice(train, max(LEAST_EXAMPLES - len(part), 0)).tolist())
    return [np.array(part) for part in parts], test


def new_model(seed: int) -> list[np.ndarray]:
    """Return the weights of a network with one hidden layer."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(0, 0.2, (64, HIDDEN)), rng.normal(0, 0.2, (HIDDEN, 10))
    return [first, np.zeros(HIDDEN), second, np.zeros(10)]


def train_on(model: list[np.ndarray], images: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Take a step of stochastic gradient descent on the cross-entropy of a minibatch."""
    first, first_bias, second, second_bias = model
    hidden = np.maximum(images @ first + first_bias, 0)
    logits = hidden @ second + second_bias
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(labels)), labels] -= 1
    shares /= len(labels)
    back = (shares @ second.T) * (hidden > 0)
    gradients = images.T @ back, back.sum(axis=0), hidden.T @ shares, shares.sum(axis=0)
    return [weights - RATE * gradient for weights, gradient in zip(model, gradients, strict=True)]


def accuracy(model: list[np.ndarray], seed: int) -> float:
    """Return the share of the test's images that a model tells right."""
    (images, labels), test = digits(), split(seed)[1]
    first, first_bias, second, second_bias = model
    logits = np.maximum(images[test] @ first + first_bias, 0) @ second + second_bias
    return float((logits.argmax(axis=1) == labels[test]).mean())


class Loader:
    """Minibatches of a client's images, shuffled anew in each epoch."""

    def __init__(self, own: np.ndarray, rng: np.random.Generator) -> None:
        self.own, self.rng = own, rng

    def __len__(self) -> int:
        return -(-len(self.own) // BATCH)

    def __iter__(self):
        shuffled = self.rng.permutation(self.own)
        for first in range(0, len(shuffled), BATCH):
            yield shuffled[first : first + BATCH]


def _client(context) -> int:
    return int(context.node_config["partition-id"])


STAYS_FASTEST: dict[tuple[int, str], ExitStack] = {}
"""Boards that somebody has put into their fastest stock mode, for all rounds."""


def on_its_board(message, context, call_next):
    """Run PowerTrain's mod with this client's board, which is in the mode that the arm begins with."""
    config, client = message.content["config"], _client(context)
    kind, style = kind_of(client), config["style"]
    board, key = board_of(client, style), (client, style)
    if config["server-round"] == 1:  # of an arm, which may count energy in another way
        context.state.pop("powertrain-front", None)
        STAYS_FASTEST.pop(key, ExitStack()).close()
        if config["fastest"] == "always":
            STAYS_FASTEST[key] = ExitStack()
            STAYS_FASTEST[key].enter_context(board.hold(fastest_mode(kind)))
    rests_w = at_rest_w(kind, boot_mode(kind)) if config["stays-on"] else 0.0
    predictor = predictor_of(kind, style)
    mod = PowerTrainMod(lambda _: board, lambda _: predictor, idle_power_w=rests_w)

    def trains(*given):
        with board.hold(fastest_mode(kind)) if config["fastest"] == "training" else nullcontext():
            return call_next(*given)

    return mod(message, context, trains)


app = ClientApp(mods=[on_its_board])


@app.train()
def train(message, context):
    """Train on this client's images; each minibatch takes the board the time of some of `WORKLOAD`."""
    config, client = message.content["config"], _client(context)
    seed, board = config["seed"], this_round().device
    own = split(seed)[0][client]
    rng = np.random.default_rng([seed, config["server-round"], client])
    wait = np.random.default_rng([seed, client]).uniform(0, LONGEST_WAIT)
    model, (images, labels) = message.content["arrays"].to_numpy_ndarrays(), digits()
    job = board.job(WORKLOAD)
    for batch in minibatches(Loader(own, rng), epochs=EPOCHS):
        model = train_on(model, images[batch], labels[batch])
        began_s = board.clock.now_s()
        for _ in range(PER_MINIBATCH):
            job.step()
        board.clock.sleep_s(wait * (board.clock.now_s() - began_s))
    metrics = MetricRecord({"num-examples": len(own), "client": client})
    return Message(RecordDict({"arrays": ArrayRecord(model), "metrics": metrics}), reply_to=message)


class Direct:
    """What a strategy takes for Flower's grid: it calls the clients one after the other."""

    def __init__(self) -> None:
        self.contexts = {
            1 + client: Context(
                run_id=1,
                node_id=1 + client,
                node_config={"partition-id": client},
                state=RecordDict(),
                run_config={},
            )
            for client in range(CLIENTS)
        }

    def get_node_ids(self) -> list[int]:
        return list(self.contexts)

    def send_and_receive(self, messages, timeout=None) -> list[Message]:
        return [app(m, self.contexts[m.metadata.dst_node_id]) for m in messages]
