from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from powertrain.cli import powertrain
from powertrain.dataset import write_csv
from powertrain.opening import open_device
from powertrain.planning import paper_grid
from powertrain.records import Profile
from powertrain.study import Settings

BOARD = open_device("sim:orin-agx")
WORKLOADS = ("resnet18", "mobilenet_v3", "lstm")


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error_line(self) -> str:
        """The one line of a failure; more than one, or a traceback, fails the test."""
        lines = [line for line in self.err.splitlines() if not line.startswith("warning: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


Run = Callable[..., Ran]


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a command in this process."""

    def runner(*args: object, stdin: str | None = None) -> Ran:
        result = CliRunner().invoke(powertrain, [str(arg) for arg in args], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(code=result.exit_code, out=result.stdout, err=result.stderr)

    return runner


@pytest.fixture(scope="session")
def done(run: Run) -> Run:
    """Run a command that must succeed."""

    def runner(*args: object, stdin: str | None = None) -> Ran:
        ran = run(*args, stdin=stdin)
        assert ran.code == 0, ran.err or ran.out
        return ran

    return runner


@pytest.fixture(scope="session")
def grid_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three workloads on the simulated board, over the same 160 modes."""
    modes = BOARD.space.thinned(cpu_cores=6, cpu_mhz=7, gpu_mhz=4).table()
    profiles = []
    for workload in WORKLOADS:
        table = BOARD.measure(workload, modes)
        profiles += [
            Profile(device=table.device, workload=workload, mode=mode, time_ms=time_ms, power_w=power_w)
            for mode, time_ms, power_w in zip(modes, table.time_ms, table.power_w, strict=True)
        ]
    path = tmp_path_factory.mktemp("data") / "grid.csv"
    write_csv(profiles, path)
    return path


@pytest.fixture(scope="session")
def database(grid_csv: Path, done: Run) -> Path:
    path = grid_csv.with_name("profiles.db")
    done("import", grid_csv, "--db", path)
    return path


@pytest.fixture(scope="session")
def reference_file(database: Path, done: Run) -> Path:
    path = database.with_name("resnet18.ptm")
    done("fit", "--db", database, "--workload", "resnet18", "--out", path)
    return path


@pytest.fixture(scope="session")
def predictor_file(database: Path, reference_file: Path, done: Run) -> Path:
    path = database.with_name("lstm.ptm")
    done("transfer", "--db", database, "--workload", "lstm", "--reference", reference_file, "--out", path)
    return path


SMALL_STUDY = ("reproduce", "--quick", "--seeds", 1, "--only", "minibatches", "--jobs", 1)


@pytest.fixture(scope="session")
def finished_study(done: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that is finished."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:  # its reference is profiled in a quarter of the modes
        patch.setattr(Settings, "grid", lambda _, space: paper_grid(space).thinned(cpu_mhz=6, gpu_mhz=4))
        done(*SMALL_STUDY, "--out", folder)
    return folder


@pytest.fixture(scope="session")
def board_name() -> str:
    return BOARD.name
