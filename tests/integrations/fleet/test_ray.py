"""A sweep on a real cluster of Ray: raylets with simulated boards, one of them killed half-way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the group 'fleet'")

from click.testing import CliRunner
from tests.integrations.fleet.raylets import FEW_BYTES, MODEL, Raylets
from tests.pages.reading import blocks_of
from tests.processes import Process
from tests.waiting import until

from powertrain.cells import Processes
from powertrain.cli import powertrain
from powertrain.dataset import open_store
from powertrain.errors import WorkloadError
from powertrain.evaluation import EvaluationPlan, RaceLimits, RacePlan, evaluate
from powertrain.fleet import FleetOptions, Wanted, Work, profile_fleet
from powertrain.integrations.ray import RayCells, connected, tuned_loop
from powertrain.opening import open_device
from powertrain.planning import plan_modes
from powertrain.profiling import Procedure
from powertrain.study import Settings, run_study
from powertrain.workflow import run_race

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]  # those of Ray itself

QUICK = Procedure(stabilise_s=0.1, stabilise_limit_s=0.5, precision=0.3, limit_s=1.5)
ROOT = Path(__file__).parents[3]
BOARDS = ("orin-1", "orin-2", "orin-3")


def spec_of(folder, name):
    """A board in real time, whose mode is in a file, as hardware has it."""
    return f"sim:orin-nano?clock=real&off=settling&seed={name[-1]}&state={folder / name}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("boards")


@pytest.fixture(scope="module")
def raylets(folder):
    patched = pytest.MonkeyPatch()
    patched.setenv("XDG_STATE_HOME", str(folder / "state"))
    # For the workers, which load functions of this file.
    patched.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    started = Raylets()
    try:
        for name in BOARDS:
            started.board(name, spec_of(folder, name))
        started.board("impostor", "sim:xavier-agx")
        started.board("tx", "sim:xavier-agx?off=settling", model="xavier")
        started.ready()
        yield started
    finally:
        started.end()
        patched.undo()


def run(*arguments):
    return CliRunner().invoke(powertrain, ["fleet", *arguments])


@pytest.fixture
def database(tmp_path):
    return str(tmp_path / "profiles.db")


def test_status_shows_every_board_and_changes_nothing(raylets):
    ran = run("status", "--address", raylets.address, "--json")
    boards = json.loads(ran.stdout)["boards"]

    assert [(b["board"], b["model"]) for b in boards] == [
        *((name, MODEL) for name in ("impostor", *BOARDS)),
        ("tx", "xavier"),
    ]
    assert all(b["status"]["holds"] == [] for b in boards)
    assert "xavier" in run("status", "--address", raylets.address).stdout


def test_a_dry_run_measures_nothing(raylets, database):
    ran = run(
        *("profile", "lstm", "--address", raylets.address, "--board", MODEL, "--db", database),
        *("--modes", "30", "--dry-run", "--json"),
    )

    assert json.loads(ran.stdout)["boards"] == list(BOARDS)
    assert json.loads(ran.stdout)["measurements"] == 30 + 2 * 3
    assert "impostor is left out: it is Jetson AGX Xavier" in ran.stderr
    assert not Path(database).exists()


def test_a_server_that_is_not_ray_s_is_told_so(database):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def answer():
            link, _ = server.accept()
            with link:
                link.recv(100)
                link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        answering = threading.Thread(target=answer)
        answering.start()
        ran = run("profile", "lstm", "--address", address, "--db", database)
        answering.join()

    assert ran.exit_code == 1
    assert f"no Ray server answers at {address} (something else listens there)" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (
            ("lstm", "--address", "127.0.0.1:1"),
            1,
            "no Ray server answers at 127.0.0.1:1 (Connection",
        ),
        (("lstm", "--address", "ray://127.0.0.1:1"), 2, "is no address of a cluster: give HOST:PORT"),
        (("lstm", "--address", "127.0.0.1:99999"), 2, "is no address of a cluster: give HOST:PORT"),
        (("lstm", "--address", "local"), 2, "'local' is no cluster with boards"),
        (("lstm",), 1, "the cluster has boards of 2 models: name one of"),
        (("lstm", "--board", "nano"), 1, "the cluster has no board nano: there are jetson-orin-nano"),
        (("nothing", "--board", "xavier"), 2, "unknown workload"),
        (("lstm", "--board", "xavier", "--modes", "999999"), 1, "ask for fewer"),
        (("lstm", "--board", "xavier", "--modes", "0"), 2, "0 modes asked for"),
        (("none.py", "--board", "xavier"), 2, "there is no file none.py"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(raylets, database, arguments, code, line):
    where = () if "--address" in arguments else ("--address", raylets.address)
    ran = run("profile", *arguments, *where, "--db", database)

    assert ran.exit_code == code, ran.stderr
    assert line in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert not Path(database).exists()


RAY = """#!/bin/sh
# `ray stop` would end every cluster of this machine, so here it ends the one that this file has started.
if [ "$1" = stop ]; then kill "$(cat FOLDER/pid)"; touch FOLDER/told; exit; fi
env -u RAY_ADDRESS PYTHON -m ray.scripts.scripts "$@" --port=PORT --ray-client-server-port=OTHER \\
    --include-dashboard=false --disable-usage-stats --object-store-memory=MEMORY --block > FOLDER/log 2>&1 &
echo $! > FOLDER/pid
until grep -q "Ray runtime started" FOLDER/log; do kill -0 $! || exit 1; sleep 0.2; done
"""


def free_ports():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.timeout(600)  # Ray starts, and four commands join it, each in a process of its own
def test_the_first_steps_on_one_machine_work_as_they_are_written(tmp_path):
    (steps,) = [b.text for b in blocks_of(ROOT / "docs/how-to/fleet-sweep.md") if "--alone" in b.text]
    port, other = free_ports()
    values = {"FOLDER": tmp_path, "PYTHON": sys.executable, "PORT": port, "OTHER": other, "MEMORY": FEW_BYTES}
    scripts = {"ray": RAY, "powertrain": '#!/bin/sh\nexec PYTHON -m powertrain "$@"\n'}
    for name, text in scripts.items():
        for key, value in values.items():
            text = text.replace(key, str(value))
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    with tempfile.TemporaryDirectory(prefix="pt", dir="/tmp", ignore_cleanup_errors=True) as short:
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(tmp_path), os.environ["PATH"]]),
            "RAY_ADDRESS": f"127.0.0.1:{port}",
            "RAY_TMPDIR": short,  # sockets have short names
            "XDG_STATE_HOME": str(tmp_path / "state"),
        }
        try:
            ran = subprocess.run(
                ["bash", "-c", f"set -eo pipefail\n{steps}"],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            pid = int((tmp_path / "pid").read_text())
            if not (tmp_path / "told").exists():  # a second signal would break off the first one's work
                os.kill(pid, signal.SIGTERM)
            until(lambda: not is_running(pid))

    assert ran.returncode == 0, ran.stderr
    assert "jetson-orin-nano-8gb-simulated" in ran.stdout
    assert "12 profiles of lstm on 1 board of Jetson Orin Nano 8GB (simulated)" in ran.stdout
    assert "best mode of lstm" in ran.stdout


def test_the_command_that_joins_can_be_read_as_json_and_refuses_what_is_no_address():
    alone = json.loads(run("join", "--device", "sim:orin-nano", "--alone", "--name", "a b", "--json").stdout)
    assert alone["board"] == "a b"
    assert alone["model"] == MODEL
    assert alone["command"][:3] == ["ray", "start", "--head"]
    assert set(alone["environment"]) == {"POWERTRAIN_BOARD", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"}
    assert "--node-name='a b'" in run("join", "--device", "sim:orin-nano", "--name", "a b").stdout
    assert run("join", "--address", "nonsense").exit_code == 2
    assert run("join", "--address", "10.0.0.1:6379", "--alone").exit_code == 2


def test_boards_tune_together(raylets, database):
    ran = run(
        *("tune", "lstm", "--address", raylets.address, "--board", "xavier", "--max-power", "15"),
        *("--trials", "6", "--db", database, "--json"),
    )
    found = json.loads(ran.stdout)

    assert found["decision"]["values"]["power_w"] <= 15
    assert found["boards"] == {"tx": len(found["trials"])}

    none = run(
        *("tune", "lstm", "--address", raylets.address, "--board", "xavier", "--max-power", "0.5"),
        *("--trials", "6", "--db", database),
    )
    assert none.exit_code == 1
    assert none.stderr.count("keeps the limits") == 1


def test_a_script_is_measured_on_the_boards(raylets, database, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "import sys, time\nimport powertrain as pt\n"
        "for _ in pt.measured(range(100_000)):\n    time.sleep(float(sys.argv[1]))\n",
        encoding="utf-8",
    )
    ran = run(
        *("profile", str(script), "--address", raylets.address, "--board", "xavier", "--db", database),
        *("--modes", "2", "--mode-limit", "0.5", "--precision", "40", "--", "0.001"),
    )

    assert ran.exit_code == 0, ran.stderr
    with open_store(database) as store:
        assert [p.workload for p in store.profiles()] == ["train.py"] * 2


def states(folder):
    return {name: open_device(spec_of(folder, name)).state() for name in BOARDS}


def test_ctrl_c_keeps_what_is_finished_and_restores_the_boards(raylets, database, folder):
    before = states(folder)
    command = [
        *(sys.executable, "-m", "powertrain", "fleet", "profile", "lstm", "--address", raylets.address),
        *("--board", MODEL, "--db", database, "--modes", "60", "--precision", "5"),
    ]
    with Process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ran:
        until(
            lambda: (Path(database).exists() and kept(database) >= 3) or ran.poll() is not None, every_s=0.2
        )
        ran.send_signal(signal.SIGINT)
        _, said = ran.communicate(timeout=120)

    assert ran.returncode == 130, said
    assert "interrupted, and the boards are restored; what is finished is kept in" in said
    assert "Traceback" not in said
    assert 3 <= kept(database) < 60
    assert states(folder) == before


def kept(database):
    if not Path(database).exists():
        return 0
    with open_store(database) as store:
        return len(store.profiles())


@pytest.fixture
def handlers():
    """Put back what Ray Train and Ray Tune leave behind."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def train(config):
    """A loop that a worker of Ray Train runs; it leaves what became of the tuning in a file."""
    from ray.train import get_context

    import powertrain as pt

    for _ in pt.measured(range(config["minibatches"])):
        time.sleep(0.002)
    rank = get_context().get_world_rank()
    from powertrain.profiling import active_session

    said = type(active_session()).__name__
    Path(config["folder"], f"rank-{rank}").write_text(said, encoding="utf-8")


def test_of_the_workers_on_one_board_the_first_is_tuned_and_the_others_follow(raylets, handlers, tmp_path):
    pytest.importorskip("pyarrow", reason="Ray Train needs it")
    from ray.train import RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    store = tmp_path / "tuned.db"
    spec = f"sim:orin-nano?clock=real&off=settling&state={tmp_path / 'board'}"
    loop = tuned_loop(
        train, device=spec, max_power_w=30, trials=2, store=str(store), procedure=QUICK, name="mine"
    )
    with connected(raylets.address):
        DataParallelTrainer(
            loop,
            train_loop_config={"minibatches": 3000, "folder": str(tmp_path)},
            scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 0.5}),
            run_config=RunConfig(storage_path=str(tmp_path / "results"), name="test"),
        ).fit()

    assert (tmp_path / "rank-0").read_text() == "LoopSession"
    assert (tmp_path / "rank-1").read_text() == "FollowingSession"
    with open_store(store) as kept:
        assert {p.workload for p in kept.profiles()} == {"mine"}
    assert open_device(spec).state() == open_device("sim:orin-nano").state()


def try_out(config):
    """A trial of Ray Tune."""
    from ray import tune

    import powertrain as pt

    for _ in pt.measured(range(1500)):
        time.sleep(0.002)
    tune.report({"seen": config["rate"]})


def test_a_trial_of_ray_tune_is_tuned_on_its_board(raylets, handlers, tmp_path):
    pytest.importorskip("pyarrow", reason="Ray Tune needs it")
    from ray import tune

    store = tmp_path / "tuned.db"
    spec = f"sim:orin-nano?clock=real&off=settling&state={tmp_path / 'board'}"
    trial = tuned_loop(
        try_out, device=spec, max_power_w=30, trials=2, store=str(store), procedure=QUICK, name="trial"
    )
    with connected(raylets.address):
        results = tune.Tuner(
            tune.with_resources(trial, {"cpu": 1}),
            param_space={"rate": tune.grid_search([3])},
            run_config=tune.RunConfig(storage_path=str(tmp_path / "results"), verbose=0),
        ).fit()

    assert not results.errors
    assert [result.metrics["seen"] for result in results] == [3]
    with open_store(store) as kept:
        assert {p.workload for p in kept.profiles()} == {"trial"}
    assert open_device(spec).state() == open_device("sim:orin-nano").state()


def test_keywords_that_make_no_sense_are_refused_before_any_worker_starts():
    with pytest.raises(TypeError):
        tuned_loop(train, nothing=3)


def test_cells_give_the_same_figures_to_the_last_digit(raylets, tmp_path):
    plan = RacePlan(
        device="Jetson Orin Nano 8GB (simulated)",
        targets=("lstm",),
        references=("others",),
        methods=("tuner", "random"),
        trials=4,
        seeds=1,
        limits=RaceLimits(count=2),
    )
    cells = RayCells(address=raylets.address)
    races = [run_race(lambda _: plan, ["sim:orin-nano"], compute=how) for how in (None, cells)]
    board = open_device("sim:orin-nano")
    few = board.modes().take(plan_modes(board.modes(), 60))
    tables = {(board.name, name): board.measure(name, few) for name in ("lstm", "resnet18", "mobilenet_v3")}
    scores = EvaluationPlan(
        device=board.name, targets=("lstm", "resnet18"), references=("others",), profiles=(8,), seeds=2
    )
    found = [evaluate(scores, tables, compute=how) for how in (None, cells)]

    assert races[0].rows == races[1].rows
    assert [untimed(row) for row in found[0].rows] == [untimed(row) for row in found[1].rows]
    assert found[0].choices == found[1].choices
    assert {fit.workload for fit in found[0].reference_fits} == {
        fit.workload for fit in found[1].reference_fits
    }


def untimed(row):
    return replace(row, fit_s=0.0, predict_s=0.0)


def test_a_study_on_machines_without_common_files_gives_the_same_rows(raylets, tmp_path):
    small = Settings.quick(
        seeds=1, workloads=("resnet18", "lstm"), counts=(10,), few=8, many=10, parts=("workloads",)
    )
    here = run_study(tmp_path / "here", small, compute=Processes(1))
    there = run_study(tmp_path / "there", small, compute=RayCells(address=raylets.address))

    assert repr((here.errors, here.choices, here.costs)) == repr((there.errors, there.choices, there.costs))


def test_a_failure_of_a_cell_is_that_of_a_run_without_ray(raylets):
    with pytest.raises(WorkloadError, match="no such thing"):
        list(RayCells(address=raylets.address)(failing, (), [1]))


def failing():
    def compute(cell):
        raise WorkloadError("no such thing")

    return compute


def test_a_killed_raylet_costs_only_its_running_batch(raylets, database, folder):
    """Last in this file: afterwards a board is gone."""
    before, lines, killed = states(folder), [], []

    def kill(done, total, what):
        if done >= 7 and "orin-2" in what and not killed:
            killed.append(done)
            raylets.kill("orin-2")

    options = FleetOptions(procedure=QUICK, batch=4, shared=2, say=lines.append, progress=kill)
    with open_store(database) as store, connected(raylets.address) as cluster:
        done = profile_fleet(cluster.engine(MODEL), Work(workload="lstm"), Wanted(number=24), store, options)
        profiles = store.profiles()

    assert killed
    assert done.lost == ("orin-2",)
    assert len({p.mode for p in profiles}) == 24
    assert done.measured == len(profiles) <= 24 + 2 * 2 + options.batch
    gone = [line for line in lines if "is gone" in line]
    assert len(gone) == 1
    assert gone[0].startswith("orin-2 is gone")
    until(lambda: states(folder) == before)

    ran = run(
        "profile", "lstm", "--address", raylets.address, "--board", MODEL, "--db", database, "--modes", "24"
    )
    assert ran.exit_code == 0
    assert "nothing was left to measure of lstm" in ran.stdout
