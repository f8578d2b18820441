"""The agent on a node of a cluster whose API server is a stand-in, with an emulated board's simulation."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import pytest
from tests.api_server import Cluster, api_server
from tests.processes import Process
from tests.waiting import PATIENCE_S, until

import powertrain as pt
from powertrain.errors import DeviceBusyError
from powertrain.fleet import NodeModes
from powertrain.integrations.kubernetes import Agent, ApiServer, Pace, ServerError, manifest

QUICK = Pace(watch_s=20, least_wait_s=0.01, most_wait_s=0.05, away_s=3600)


@pytest.fixture
def cluster() -> Generator[Cluster]:
    with api_server() as found:
        yield found


class Board:
    """A simulated board, whose state is in a file, and what is known of three of its modes."""

    def __init__(self, folder) -> None:
        self.device = pt.open_device(f"sim:orin-agx?state={folder / 'board.json'}")
        every = self.device.modes()
        rows = [0, len(every) // 2, len(every) - 1]
        self.known = NodeModes(
            board=self.device.name,
            modes=every.take(rows),
            power_w=np.array([11.2, 25.0, 41.7]),
            slowness=np.array([2.0, 1.0, 0.0]),
            basis="made up",
        )

    def holds(self) -> int | None:
        """Return which of the modes the board is in, None if it is as it was found."""
        now = {name: low for name, (low, _) in self.device.in_force().items()}
        return next((row for row, mode in enumerate(self.known.modes) if dict(mode) == now), None)


@pytest.fixture
def board(tmp_path) -> Board:
    return Board(tmp_path)


@contextmanager
def running(cluster, board, *, pace=QUICK, name="agent-1") -> Generator[list[str]]:
    """Run an agent on a thread; yield what it tells, with the error that ended it."""
    told: list[str] = []
    stop = threading.Event()
    agent = Agent(
        ApiServer(cluster.url, "node-7"), board.device, board.known, name=name, pace=pace, tell=told.append
    )

    def run() -> None:
        try:
            agent.run(stop)
        except Exception as error:
            told.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield told
    finally:
        stop.set()
        until(lambda: cluster.cut_watches() or not thread.is_alive())


def test_a_node_is_labelled_with_its_board_and_the_range_of_its_watts(cluster, board):
    with running(cluster, board):
        cluster.status_is("no budget")
        assert cluster.labels() == {
            "board": "Jetson-AGX-Orin-64GB-simulated",
            "lowest-w": "12",
            "highest-w": "42",
        }
        details = json.loads(cluster.annotation("range"))
        assert (details["lowest_w"], details["highest_w"], details["modes"]) == (11.2, 41.7, 3)
        assert board.holds() is None


def test_a_budget_is_kept_changed_and_taken_away(cluster, board):
    cluster.annotate("power-budget-w", "30")
    with running(cluster, board):
        cluster.status_is("keeps 30 W with at most 25.0 W")
        assert board.holds() == 1
        assert cluster.annotation("mode") == str(board.known.modes[1])
        assert cluster.annotation("power-w") == "25.0"
        cluster.annotate("power-budget-w", "50 W")
        cluster.status_is("keeps 50 W")
        assert board.holds() == 2
        cluster.annotate("power-budget-w", None)
        cluster.status_is("no budget")
        assert board.holds() is None
        assert cluster.annotation("mode") is None


def test_the_end_restores_the_board_and_takes_back_what_the_agent_said(cluster, board):
    cluster.annotate("power-budget-w", "30")
    with running(cluster, board):
        cluster.status_is("keeps")
    assert board.holds() is None
    assert [cluster.annotation(name) for name in ("agent", "status", "mode", "power-w")] == [None] * 4
    assert cluster.annotation("power-budget-w") == "30"
    assert cluster.labels()["board"].startswith("Jetson")


@pytest.mark.parametrize("budget", ["a lot", "-3", "nan", "1e400", "", "30000000000"])
def test_a_budget_that_is_no_number_leaves_the_mode_that_is_held(cluster, board, budget):
    cluster.annotate("power-budget-w", "30")
    with running(cluster, board) as told:
        cluster.status_is("keeps 30 W")
        cluster.annotate("power-budget-w", budget)
        cluster.status_is("the budget ")
        assert f"the board holds {board.known.modes[1]}" in cluster.annotation("status")
        assert board.holds() == 1
        until(lambda: cluster.annotation("status") in told)


def test_a_budget_below_all_modes_holds_the_thriftiest_and_says_so(cluster, board):
    cluster.annotate("power-budget-w", "5")
    with running(cluster, board):
        cluster.status_is("a budget of 5 W is below the lowest, 11.2 W: the thriftiest mode is held")
        assert board.holds() == 0


def test_a_board_of_another_kind_than_the_label_is_left_alone_until_the_label_goes(cluster, board):
    cluster.label("board", "Jetson-Xavier-NX")
    cluster.annotate("power-budget-w", "30")
    with running(cluster, board):
        cluster.status_is("the label says that the board is Jetson-Xavier-NX, and it is Jetson-AGX-Orin")
        assert board.holds() is None
        assert cluster.labels() == {"board": "Jetson-Xavier-NX"}
        cluster.label("board", None)
        cluster.status_is("keeps 30 W")
        assert board.holds() == 1


@pytest.mark.parametrize("fault", ["cut", "gone", "both", "busy"])
def test_a_change_is_seen_after_whatever_breaks_a_watch(cluster, board, fault):
    with running(cluster, board):
        cluster.status_is("no budget")
        until(lambda: "WATCH" in cluster.requests)
        if fault in ("gone", "both"):
            cluster.forget_history()
        if fault == "busy":
            cluster.refusals += [500, 429, 503]
        cluster.cut_watches()
        cluster.annotate("power-budget-w", "30")
        cluster.status_is("keeps 30 W")
        assert board.holds() == 1


def test_somebody_who_changes_the_node_meanwhile_is_not_overwritten(cluster, board):
    cluster.conflicts = 2
    with running(cluster, board):
        cluster.status_is("no budget")
        assert cluster.annotation("somebody") == "0"


def test_a_server_that_stays_away_has_the_board_restored_and_comes_back_to_a_budget_that_is_kept(
    cluster, board
):
    cluster.annotate("power-budget-w", "30")
    with running(
        cluster, board, pace=Pace(watch_s=20, least_wait_s=0.01, most_wait_s=0.02, away_s=0.05)
    ) as told:
        cluster.status_is("keeps")
        cluster.is_away = True
        cluster.cut_watches()
        until(lambda: board.holds() is None)
        until(lambda: any("the board is restored" in line for line in told))
        cluster.is_away = False
        until(lambda: board.holds() == 1)
    assert board.holds() is None


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (403, "needs get, list, watch and patch of nodes"),
        (401, "does not accept the token"),
        (404, "no node"),
    ],
)
def test_a_refusal_at_the_start_is_one_line_and_changes_nothing(cluster, board, code, says):
    cluster.annotate("power-budget-w", "30")
    cluster.refusals += [code] * 3
    with pytest.raises(ServerError, match=says) as refused:
        Agent(ApiServer(cluster.url, "node-7"), board.device, board.known, name="a").run(threading.Event())
    assert "\n" not in str(refused.value)
    assert board.holds() is None
    assert cluster.annotation("agent") is None


def test_a_second_agent_of_the_same_board_is_refused_and_the_first_goes_on(cluster, board, tmp_path):
    cluster.annotate("power-budget-w", "30")
    with running(cluster, board):
        cluster.status_is("keeps")
        second = Agent(ApiServer(cluster.url, "node-7"), Board(tmp_path).device, board.known, name="agent-2")
        with pytest.raises(DeviceBusyError):
            second.run(threading.Event())
        assert cluster.annotation("agent") == "agent-1"
        assert board.holds() == 1


def test_what_a_killed_agent_said_of_its_mode_goes_even_where_the_budget_is_no_number(cluster, board):
    for name, value in {"mode": "gpu_mhz=1", "power-w": "7.7", "power-budget-w": "a lot"}.items():
        cluster.annotate(name, value)
    with running(cluster, board):
        cluster.status_is("the budget 'a lot' is no number of watts")
        assert [cluster.annotation(name) for name in ("mode", "power-w")] == [None, None]


def test_a_server_that_goes_away_between_two_watches_is_told_once_and_its_return_too(cluster, board):
    cluster.annotate("power-budget-w", "30")
    with running(cluster, board) as told:
        cluster.status_is("keeps")
        cluster.is_away = True
        cluster.forget_history()
        cluster.annotate("nothing", "new")  # ends the watch with an event, and the next one finds nobody
        cluster.cut_watches()
        until(lambda: told[-1].endswith("; trying again"))
        lines = len(told)
        asked = len(cluster.requests)
        until(lambda: len(cluster.requests) > asked + 3)
        assert len(told) == lines
        cluster.is_away = False
        until(lambda: told[-1].startswith("keeps 30 W"))


def test_an_agent_whose_node_another_one_claims_restores_its_board_and_ends(cluster, board):
    cluster.annotate("power-budget-w", "30")
    with running(cluster, board) as told:
        cluster.status_is("keeps")
        cluster.annotate("agent", "agent-2")
        until(lambda: any("agent agent-2 has taken node node-7: this one ends" in line for line in told))
        assert board.holds() is None
    assert cluster.annotation("agent") == "agent-2"


def test_a_token_is_not_sent_unencrypted_over_a_network(tmp_path):
    token = tmp_path / "token"
    token.write_text("secret")
    with pytest.raises(ValueError, match=r"unencrypted to 10\.0\.0\.1: give an https address"):
        ApiServer("http://10.0.0.1:8080", "node-7", token=token)
    with pytest.raises(ValueError, match="is no address of an API server"):
        ApiServer("10.0.0.1", "node-7")


def test_the_command_ends_by_sigterm_with_the_board_restored(cluster, board, tmp_path):
    predictor = tmp_path / "lstm.ptm"
    profiles = board.device.measure("lstm", pt.plan(board.device, 40))
    pt.fit(profiles, method="linear").save(predictor)
    cluster.annotate("power-budget-w", "30")

    def in_force():
        return dict(pt.open_device(board.device.spec).in_force())

    found = in_force()
    command = ["kubernetes", "--device", board.device.spec, "--predictor", str(predictor)]
    where = ["--server", cluster.url, "--node", "node-7"]
    agent = Process([sys.executable, "-m", "powertrain", *command, *where], stderr=subprocess.PIPE)
    try:
        cluster.status_is("keeps 30 W")
        assert in_force() != found
        agent.send_signal(signal.SIGTERM)
        told = agent.communicate(timeout=PATIENCE_S)[1].decode()
    finally:
        agent.kill()
        agent.wait()
    assert agent.returncode == 0
    assert told.splitlines()[0].startswith("powertrain: keeps 30 W with at most ")
    assert "the agent has ended, and the board is as found" in told
    assert "Traceback" not in told
    assert in_force() == found
    assert cluster.annotation("agent") is None


@pytest.mark.parametrize("user", [None, 1500])
def test_the_manifest_is_valid_to_the_last_field(user):
    validating = pytest.importorskip("kubernetes_validate")
    yaml = pytest.importorskip("yaml")
    text = manifest("registry.example/powertrain:0.4", arguments=["--device", 'say "hi"'], user=user)
    objects = list(yaml.safe_load_all(text))
    assert [one["kind"] for one in objects] == [
        "Namespace",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "DaemonSet",
    ]
    for one in objects:
        validating.validate(one, "1.37", strict=True)
    rules = objects[2]["rules"]
    assert rules == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch", "patch"]}]
    container = objects[4]["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == ["--device", 'say "hi"']
    assert container["securityContext"].get("privileged", False) == (user is None)
