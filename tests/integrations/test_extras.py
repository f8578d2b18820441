"""An integration without its package names the extra that brings it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from powertrain import integrations

tomllib = pytest.importorskip("tomllib", reason="from Python 3.11")

NEEDS_NOTHING = {"kubernetes"}
"""Modules that speak a protocol with Python's own libraries."""
MODULES = sorted({p.stem for p in Path(integrations.__file__).parent.glob("[!_]*.py")} - NEEDS_NOTHING)
PACKAGES = {
    "flower": "flwr",
    "huggingface": "transformers",
    "metrics": "prometheus_client",
    "serve": "starlette",
}
SETTINGS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_without_its_package_names_the_extra(name):
    code = (
        "import sys\n"
        f"for gone in ({PACKAGES.get(name, name)!r}, 'pytorch_lightning'): sys.modules[gone] = None\n"
        "from powertrain.errors import MissingExtraError\n"
        "try:\n"
        f"    import powertrain.integrations.{name}\n"
        "except MissingExtraError as error:\n"
        "    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"pip install 'powertrain[{name}]'" in ran.stdout


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_an_extra_of_its_name(name):
    assert SETTINGS["project"]["optional-dependencies"][name]


def test_the_package_itself_loads_none_of_them():
    code = "import sys, powertrain.integrations; print({*sys.modules} & {'torch', 'keras', 'lightning'})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
