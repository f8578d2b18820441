"""What the pages start from."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.pages.machine import DEMO, PYTHON, Reader, copy_of_the_checkout, lend_packages, ran

# One thread for each process: the others of the run need the other cores.
SINGLE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Build the wheel from a copy of the checkout, and lay out what the pages start from, once in a run."""
    folder = folder_of_the_run(tmp_path_factory) / "reader"
    with once(folder) as first:
        if first:
            lay_out(folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    environment = {
        **SINGLE,
        "LANG": "C.UTF-8",
        "READER": str(folder),
        "PYTHONPATH": str(folder / "lent"),
        "PIP_NO_BUILD_ISOLATION": "false",  # pip's way to say that there is none
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    return Reader(folder=folder, checkout=folder / "checkout", wheel=wheel, environment=environment)


@pytest.fixture(scope="session")
def installed(reader: Reader) -> Path:
    """Install the wheel into an environment of its own; return the folder of its commands."""
    with once(reader.folder / "installed") as first:
        if first:
            done = reader.follow(
                f"python3 -m venv venv && venv/bin/pip install --quiet {reader.wheel}", at=reader.folder
            )
            assert done.returncode == 0, done.stderr
    return reader.folder / "venv/bin"


def folder_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all workers of pytest-xdist share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextmanager
def once(folder: Path) -> Generator[bool]:
    """Make a folder, and tell whether this is the first process that gets here; the others wait for it."""
    with folder.with_name(f"{folder.name}.lock").open("a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(exist_ok=True)
        finished = folder / "finished"
        yield not finished.exists()
        finished.touch()


def lay_out(folder: Path) -> None:
    """Make a checkout, a wheel, packages to lend, and a Python that makes environments quickly."""
    for name in ("checkout", "bin"):
        (folder / name).mkdir()
    checkout = copy_of_the_checkout(folder / "checkout")
    python = folder / "bin/python3"
    python.write_text(PYTHON.replace("PYTHON", sys._base_executable), encoding="utf-8")
    python.chmod(0o755)
    ran(sys._base_executable, "-m", "venv", "pristine", at=folder)
    (folder / "demo.py").write_text(DEMO, encoding="utf-8")
    ran(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", at=checkout)
    lend_packages(folder / "lent")
