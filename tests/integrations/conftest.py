"""What the tests of the integrations share: everything stays on this machine, and in temporary folders.

Each file here tests one package, and is skipped as a whole where that is absent:

    lightning = pytest.importorskip("lightning", reason="needs the group 'integrations'")

`make test-integrations` installs them all and runs this folder.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Read when the packages are imported, which the test files do before any fixture runs.
os.environ["KERAS_BACKEND"] = "torch"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

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
