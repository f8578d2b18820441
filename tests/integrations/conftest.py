"""What the tests of the integrations share: everything stays on this machine, and in temporary folders.

Each file here tests one package, and is skipped as a whole where that is absent:

    lightning = pytest.importorskip("lightning", reason="needs the group 'integrations'")

`make test-integrations` installs them all and runs this folder.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

import powertrain as pt
from powertrain.devices import AbstractLiveDevice, live
from powertrain.opening import open_device
from powertrain.profiling import Procedure
from powertrain.records import Profile

# Read when the packages are imported, which the test files do before any fixture runs.
os.environ["KERAS_BACKEND"] = "torch"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["OMP_NUM_THREADS"] = "1"  # more of them wait for each other where others compute as well
os.environ["TOKENIZERS_PARALLELISM"] = "false"

QUICK = Procedure(
    stabilise_s=0.0,
    stabilise_limit_s=0.0,
    time_tolerance=math.inf,
    power_tolerance=math.inf,
    drift_tolerance=math.inf,
    most_minibatches=5,
)

HERE = Path(__file__).parent
# Their warnings are theirs to mend; ours are still errors.
WARNINGS = ("default", "error:::powertrain")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what this folder holds; pytest hands over the items of all folders."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("integration")
            for warning in WARNINGS:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(autouse=True, scope="session")
def tracking_store(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Have MLflow keep its runs in a database of this session; it takes seconds to make one."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test in its own folder: trainers and loggers write where they are started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))


@pytest.fixture
def board() -> Generator[AbstractLiveDevice]:
    """A simulated board with a mode of its own, which it has to be in again afterwards."""
    board = live(open_device("sim:orin-nano"))
    before = board.mode
    yield board
    assert board.mode == before


@pytest.fixture
def measuring(board: AbstractLiveDevice) -> Callable[..., AbstractContextManager[list[Profile]]]:
    """What measures a few modes, each within five steps of an optimiser and one to warm up."""

    def measuring(modes: int = 3, device: str | None = None) -> AbstractContextManager[list[Profile]]:
        chosen = board if device is None else live(open_device(device))
        table = board.space.table(range(0, 30 * modes, 30)) if device is None else chosen.modes()
        return pt.measuring(chosen, "mine", table, pt.open_store(), procedure=QUICK, order="given")

    return measuring


@pytest.fixture
def goal(board: AbstractLiveDevice) -> dict[str, Any]:
    """What a training is tuned for by a callback, in a few steps for each trial."""
    return {"max_power_w": 30.0, "device": board, "trials": 3, "procedure": QUICK}
