"""The packages that a fleet runs on are the pinned ones, in an environment of their own.

Each file of this folder is skipped as a whole where its package is absent. `make test-integrations` runs it
in `.venv-fleet`, because Flower wants other versions than the rest of the development environment.
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("package", ["flwr", "ray"])
def test_a_package_of_the_group_is_the_pinned_one(package):
    module = pytest.importorskip(package, reason="needs the group 'fleet'")
    text = (ROOT / "constraints-fleet.txt").read_text(encoding="utf-8").lower()
    pins = dict(re.findall(r"(?m)^([\w.-]+)==([^;\s]+)", text))

    assert module
    assert importlib.metadata.version(package) == pins[package]
