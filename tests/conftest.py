"""What every test shares."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.fixture(autouse=True, scope="session")
def journals_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Keep journals of devices away from those of the machine."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before
