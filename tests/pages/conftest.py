"""What the pages start from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.pages.machine import DEMO, Reader, copy_of_the_checkout, lend_packages, ran


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Build the wheel from a copy of the checkout, and lay out what the pages start from."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "checkout").mkdir()
    (folder / "bin").mkdir()
    checkout = copy_of_the_checkout(folder / "checkout")
    python = folder / "bin/python3"
    # A link would look for the standard library beside itself.
    python.write_text(f'#!/bin/sh\nexec "{sys._base_executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    (folder / "demo.py").write_text(DEMO, encoding="utf-8")
    ran(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", at=checkout)
    (wheel,) = (folder / "dist").glob("*.whl")
    environment = {
        "LANG": "C.UTF-8",
        "READER": str(folder),
        "PYTHONPATH": str(lend_packages(folder / "lent")),
        "PIP_NO_BUILD_ISOLATION": "false",  # pip's way to say that there is none
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    return Reader(folder=folder, checkout=checkout, wheel=wheel, environment=environment)


@pytest.fixture(scope="session")
def installed(reader: Reader) -> Path:
    """Install the wheel into an environment of its own; return the folder of its commands."""
    done = reader.follow(
        f"python3 -m venv venv && venv/bin/pip install --quiet {reader.wheel}", at=reader.folder
    )
    assert done.returncode == 0, done.stderr
    return reader.folder / "venv/bin"
