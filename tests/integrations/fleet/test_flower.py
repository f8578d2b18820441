"""Rounds of Flower's own simulation engine, with clients of many sorts."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("flwr", reason="needs the group 'fleet'")
pytest.importorskip("ray", reason="needs the group 'fleet'")

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"  # read when Flower is imported

import tests.integrations.fleet.flower_clients as clients
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from powertrain.integrations.flower import PowerTrainMod, PowerTrainStrategy, minibatches, this_round

pytestmark = pytest.mark.timeout(300)
DEADLINE_S, SHORT_S, HOPELESS_S, HOPELESS_J = 30.0, 7.0, 1e-6, 1e-6
ROUNDS = 4
EXAMPLE = Path(__file__).parents[3] / "examples" / "flower_app.py"


class Told(FedAvg):
    """FedAvg that remembers each round's metrics by client, and the nodes of the clients."""

    def __init__(self):
        super().__init__(
            fraction_evaluate=0.0,
            min_train_nodes=clients.CLIENTS,
            min_available_nodes=clients.CLIENTS,
        )
        self.told, self.nodes = [], {}

    def aggregate_train(self, server_round, replies):
        replies = list(replies)
        self.told.append({})
        for reply in replies:
            if reply.has_content():
                assert list(reply.content) == ["arrays", "metrics"]  # the report is not FedAvg's
                metrics = dict(reply.content["metrics"])
                self.told[-1][metrics["client"]] = metrics
                self.nodes[metrics["client"]] = reply.metadata.src_node_id
        return super().aggregate_train(server_round, replies)


@pytest.fixture(scope="module")
def runs():
    """Return what became of each run, all in one simulation: it takes seconds to start."""
    found, lines = {}, []
    server = ServerApp()
    handler = logging.Handler()
    handler.emit = lambda record: lines.append((record.levelname, record.getMessage()))

    def run(grid, name, wrap):
        lines.clear()
        told = Told()
        strategy = wrap(told)
        start = {"initial_arrays": ArrayRecord([np.zeros(3)]), "num_rounds": ROUNDS, "timeout": 120}
        result = strategy.start(grid, **start)
        own = [line for line in lines if line[1].startswith("PowerTrain: ")]
        found[name] = SimpleNamespace(
            rounds=getattr(strategy, "rounds", []),
            told=told.told,
            nodes=told.nodes,
            result=result,
            lines=own,
        )

    @server.main()
    def main(grid, context):
        run(grid, "plain", lambda inner: inner)
        run(grid, "measured", PowerTrainStrategy)
        run(grid, "deadline", lambda inner: PowerTrainStrategy(inner, deadline_s=DEADLINE_S))
        run(grid, "short", lambda inner: PowerTrainStrategy(inner, deadline_s=SHORT_S))
        run(grid, "hopeless", lambda inner: PowerTrainStrategy(inner, deadline_s=HOPELESS_S))
        run(grid, "poor", lambda inner: PowerTrainStrategy(inner, max_energy_j=HOPELESS_J))

    logger = logging.getLogger("flwr")
    logger.addHandler(handler)
    backend = {
        "client_resources": {"num_cpus": 1},
        "init_args": {"num_cpus": 1, "address": "local", "log_to_driver": False},
    }
    before = signal.getsignal(signal.SIGTERM)
    try:
        run_simulation(server, clients.app, clients.CLIENTS, backend_config=backend)
    finally:
        logger.removeHandler(handler)
        signal.signal(signal.SIGTERM, before)  # Ray leaves its own
    return found


FULL = clients.EPOCHS * clients.MINIBATCHES


def test_a_server_without_the_strategy_is_served_as_if_the_mod_were_not_there(runs):
    for told in runs["plain"].told:
        assert all(metrics["trained"] == FULL and not metrics["held"] for metrics in told.values())


def test_without_a_limit_the_rounds_are_measured_and_no_mode_is_held(runs):
    plain, run = runs["plain"], runs["measured"]

    assert [record.unmeasured for record in run.rounds] == [1] * ROUNDS  # the old client
    assert all(record.round_s > 1 and record.energy_j > 10 for record in run.rounds)
    assert all(not metrics["held"] for told in run.told for metrics in told.values())
    after = [result.arrays.to_numpy_ndarrays()[0] for result in (plain.result, run.result)]
    np.testing.assert_array_equal(*after)


def test_a_deadline_is_met_with_less_energy_and_all_minibatches(runs):
    measured, run = runs["measured"], runs["deadline"]

    assert [record.in_time for record in run.rounds] == [True] * ROUNDS
    assert not any(record.fewer or record.left_out for record in run.rounds)
    nano = run.nodes[clients.NANO]
    before, after = (found.rounds[-1].reports[found.nodes[clients.NANO]] for found in (measured, run))
    assert after.mode
    assert after.energy_j < before.energy_j
    assert all(record.reports[nano].train_s <= DEADLINE_S for record in run.rounds)


def test_a_short_deadline_is_met_with_fewer_minibatches_and_a_line_tells_whose(runs):
    run = runs["short"]
    last = run.rounds[-1]
    nano = run.nodes[clients.NANO]
    trained, full = last.fewer[nano]

    assert all(record.in_time for record in run.rounds[1:])
    assert 0 < trained < full == FULL
    assert run.told[-1][clients.NANO]["trained"] == trained
    level, line = run.lines[-1]
    assert level == "INFO"
    assert line.startswith(f"PowerTrain: round {ROUNDS} within {SHORT_S:g} s: fewer minibatches for ")
    assert f"node {nano}: {trained} of {FULL}" in line


def test_weights_stay_those_of_the_examples_where_a_client_trains_fewer_minibatches(runs):
    run = runs["short"]
    examples = {client: metrics["num-examples"] for client, metrics in run.told[-1].items()}
    mean = sum(client * count for client, count in examples.items()) / sum(examples.values())

    assert run.result.arrays.to_numpy_ndarrays()[0] == pytest.approx(np.full(3, mean))


def test_a_client_without_a_predictor_trains_as_it_is_and_gets_fewer_minibatches(runs):
    run = runs["short"]
    report = run.rounds[-1].reports[run.nodes[clients.UNPREDICTED]]

    assert report.mode == ""
    assert 0 < report.minibatches < FULL
    assert run.told[0][clients.UNPREDICTED]["trained"] == FULL  # not known before the first round


def test_a_client_whose_board_cannot_be_opened_trains_and_says_why(runs):
    run = runs["deadline"]
    node = run.nodes[clients.NO_BOARD]

    assert any(f"node {node}" in line and "sim:none" in line for _, line in run.lines)
    assert [told[clients.NO_BOARD]["trained"] for told in run.told] == [FULL] * ROUNDS


def test_old_and_failing_clients_change_nothing_for_the_others(runs):
    run = runs["deadline"]

    assert [told[clients.OLD]["trained"] for told in run.told] == [FULL] * ROUNDS
    assert [clients.FAILS in told for told in run.told] == [True] + [False] * (ROUNDS - 1)
    assert [record.answered for record in run.rounds] == [6, 5, 5, 5]


def test_the_metrics_of_a_round_tell_its_time_and_energy(runs):
    run = runs["deadline"]
    metrics, record = run.result.train_metrics_clientapp[ROUNDS], run.rounds[-1]

    assert metrics["powertrain-round-s"] == record.round_s
    assert metrics["powertrain-energy-j"] == record.energy_j


def test_a_deadline_that_nobody_can_meet_is_one_clear_line_and_no_round(runs):
    run = runs["hopeless"]
    warnings = [line for level, line in run.lines if level == "WARNING"]

    assert len(warnings) == ROUNDS - 1  # from when the server knows the boards
    assert all("no client can train 1 minibatch (the fastest needs about" in line for line in warnings)
    assert run.rounds[-1].left_out


def test_an_energy_budget_that_nobody_can_keep_is_told_in_joules(runs):
    warnings = [line for level, line in runs["poor"].lines if level == "WARNING"]

    assert warnings
    assert all("within 1e-06 J: no client can train 1 minibatch" in line for line in warnings)
    assert all(" J): raise the limit" in line for line in warnings)


def message(kind: str = "train", *records: str) -> SimpleNamespace:
    content = RecordDict({name: ConfigRecord({"wants-front": True}) for name in records})
    metadata = SimpleNamespace(message_type=kind)
    return SimpleNamespace(metadata=metadata, content=content, has_content=lambda: True)


def client(state: RecordDict | None = None) -> SimpleNamespace:
    return SimpleNamespace(state=state or RecordDict())


def test_a_reply_tells_a_few_numbers_and_the_board_is_restored_when_a_training_fails():
    board = clients.board_of(clients.NANO)
    mod = PowerTrainMod(lambda _: board, lambda _: clients.predictor_of(clients.NANO))
    state = RecordDict()

    def trains(sent, context):
        job = board.job(clients.WORKLOAD)
        for _ in minibatches(range(5)):
            job.step()
        return message()

    content = mod(message("train", "powertrain"), client(state), trains).content
    values = dict(content["powertrain"])
    assert values["minibatches"] == 5
    assert values["time-ms"] > 0
    numbers = sum(len(value) for value in values.values() if isinstance(value, list))
    assert numbers <= 32 * 8 + 4
    assert {type(value) for value in values.values()} <= {int, float, str, list}

    def fails(sent, context):
        assert this_round().device is board
        raise RuntimeError("out of memory")

    before = board.mode
    with pytest.raises(RuntimeError, match="out of memory"):
        mod(message("train", "powertrain"), client(state), fails)
    assert board.mode == before
    assert this_round() is None


def test_a_board_that_does_not_take_the_mode_trains_all_the_same_and_says_why():
    board, sent = clients.board_of(clients.NANO), message("train", "powertrain")
    sent.content["powertrain"] = ConfigRecord({"decided": True, "mode": "gpu_mhz=1", "minibatches": 3})

    def trains(sent, context):
        assert this_round().minibatches == 3
        assert len(list(minibatches(range(5)))) == 3
        return message()

    values = PowerTrainMod(lambda _: board)(sent, client(), trains).content["powertrain"]
    assert (values["minibatches"], values["mode"]) == (3, "")
    assert "the mode has the knobs gpu_mhz" in values["problem"]


@pytest.mark.parametrize(
    ("predictor", "says"),
    [
        ("none.ptm", "its modes cannot be predicted, so none is chosen: "),
        (lambda _: clients.predictor_of(clients.AGX), "its predictor is of Jetson AGX Orin"),
    ],
)
def test_a_predictor_that_is_not_there_or_of_another_board_is_told_to_the_server(predictor, says):
    board = clients.board_of(clients.NANO)

    def trains(sent, context):
        job = board.job(clients.WORKLOAD)
        for _ in minibatches(range(3)):
            job.step()
        return message()

    mod = PowerTrainMod(lambda _: board, predictor)
    values = mod(message("train", "powertrain"), client(), trains).content["powertrain"]
    assert says in values["problem"]
    assert values["minibatches"] == 3


def test_a_first_round_in_which_every_client_leaves_itself_out_is_told(caplog):
    board = clients.board_of(clients.NANO)

    def trains(sent, context):
        job = board.job(clients.WORKLOAD)
        for _ in minibatches(range(3)):
            job.step()
        return message()

    mod = PowerTrainMod(lambda _: board, lambda _: clients.predictor_of(clients.NANO))
    values = dict(mod(message("train", "powertrain"), client(), trains).content["powertrain"])
    reply = message()
    reply.content["powertrain"] = ConfigRecord({**values, "minibatches": 0})
    reply.metadata.src_node_id = 7
    logger = logging.getLogger("flwr")
    logger.addHandler(caplog.handler)
    try:
        PowerTrainStrategy(FedAvg(), deadline_s=HOPELESS_S).aggregate_train(1, [reply])
    finally:
        logger.removeHandler(caplog.handler)
    assert "round 1 within 1e-06 s: no client can train 1 minibatch" in caplog.text


@pytest.mark.parametrize("sent", [message("evaluate", "powertrain"), message("train"), message("query.x")])
def test_messages_that_ask_for_no_planned_training_pass_the_mod_unchanged(sent):
    records, seen = list(sent.content), []

    assert PowerTrainMod("sim:none")(sent, client(), lambda *given: seen.append(given) or "reply") == "reply"
    assert seen[0][0] is sent
    assert list(sent.content) == records


def test_outside_of_a_round_all_minibatches_are_trained():
    assert list(minibatches([1, 2], epochs=2)) == [1, 2, 1, 2]
    with pytest.raises(ValueError, match="epochs=0"):
        list(minibatches([1], epochs=0))


def test_the_example_runs_as_its_first_lines_say():
    command = [sys.executable, EXAMPLE, "--rounds", "2", "--clients", "2"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    rounds = [line for line in ran.stdout.splitlines() if line.startswith("round ")]

    assert len(rounds) == 2
    assert "2 clients with fewer minibatches" in rounds[-1]


@pytest.mark.parametrize("wrong", [{"deadline_s": 0}, {"max_energy_j": -1}, {"risk": 1}])
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="give"):
        PowerTrainStrategy(FedAvg(), **wrong)
