"""A machine for a reader: a checkout to clone, a wheel, and nothing of this environment on PATH."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What a reader installs for himself; all else is lent, so that nothing is downloaded again.
OWN = ("powertrain", "__editable__", "_powertrain", "pip", "setuptools")

DEMO = """
from pathlib import Path
from powertrain.planning import paper_grid
from powertrain.virtual import BOARDS
from powertrain.workflow import run_demo
grid = paper_grid(BOARDS["sim:orin-agx"].space).thinned(cpu_cores=2, cpu_mhz=4, gpu_mhz=2, mem_mhz=2)
run_demo(Path("demo-output"), methods=("gp",), grid=grid)
"""

# A link would look for the standard library beside itself. A new environment takes seconds, most of them for
# a pip that is the same each time: it is linked from one that was made whole.
PYTHON = """#!/bin/sh
set -e
if [ "$1 $2 $#" = "-m venv 3" ]; then
    "PYTHON" -m venv --without-pip "$3"
    for part in "$READER"/pristine/lib/python*/site-packages/*; do
        ln -s "$part" "$3"/lib/python*/site-packages/
    done
    sed "1s|.*|#!$(cd "$3" && pwd)/bin/python|" "$READER/pristine/bin/pip" > "$3/bin/pip"
    chmod +x "$3/bin/pip"
else
    exec "PYTHON" "$@"
fi
"""

# What `make` does here: install, and for the demonstration the quick one; tests and checks run by themselves.
MAKE = """
make() {
    grep -q "^$1:" Makefile
    [ -d .venv ] || python3 -m venv .venv
    [ -e .venv/bin/powertrain ] || .venv/bin/python -m pip install --quiet .
    if [ "$1" = demo ]; then .venv/bin/python "$READER/demo.py"; fi
    if [ "$1" = dist ]; then mkdir -p dist && cp "$READER"/dist/*.whl dist; fi
}
"""


@dataclass(frozen=True)
class Reader:
    """Whoever follows the pages."""

    folder: Path
    checkout: Path
    wheel: Path
    environment: Mapping[str, str]

    def follow(
        self, script: str, *, at: Path, path: tuple[Path, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a script in a folder; `path` comes before the system's own."""
        # Root's journals and locks would be those of the whole machine, and pages are followed side by side.
        state = str(at.parent / "state")
        environment = {**self.environment, "HOME": str(at.parent), "XDG_STATE_HOME": state}
        environment["PATH"] = os.pathsep.join(map(str, (*path, self.folder / "bin", "/usr/bin", "/bin")))
        return subprocess.run(
            ["bash", "-c", script.replace("REPOSITORY", str(self.checkout))],
            cwd=at,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def ran(*command: object, at: Path) -> str:
    return subprocess.run([*map(str, command)], cwd=at, check=True, capture_output=True, text=True).stdout


def copy_of_the_checkout(to: Path) -> Path:
    """Return a repository whose only commit is the working tree as it is."""
    listing = ran("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", at=ROOT)
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file():  # not removed since
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            (to / name).write_bytes((ROOT / name).read_bytes())
    author = ("-c", "user.name=reader", "-c", "user.email=reader@localhost")
    ran("git", "init", "--quiet", at=to)
    ran("git", "add", "--all", at=to)
    ran("git", *author, "commit", "--quiet", "--message", "As it is", at=to)
    return to


def lend_packages(to: Path) -> Path:
    """Link the packages of this environment, all but those of a reader's own, into a folder."""
    to.mkdir()
    for site in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(site).iterdir():
            if not entry.name.startswith(OWN) and entry.suffix != ".pth":
                (to / entry.name).symlink_to(entry)
    return to
