"""Run the commands of docs/how-to/jetson.md on an emulated board, and keep what they print for that page.

python benchmarks/walkthrough.py
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from _harness import RESULTS, machine, today

SPEC = "emulated:orin-agx@jp6"
PAGE = "walkthrough.md"
MODE = "cpu_cores=8 cpu_mhz=1728 gpu_mhz=816 mem_mhz=2133"
STEPS = {
    "devices": "powertrain devices SPEC",
    "selftest": "powertrain selftest --device SPEC",
    "write": "powertrain selftest --device SPEC --write",
    "profile": "powertrain profile mobilenet_v3 --device SPEC --db profiles.db --modes 15",
    "reference": "powertrain profile resnet18 --device SPEC --db profiles.db --modes 100",
    "fit": "powertrain fit --db profiles.db --workload resnet18 --out reference.ptm",
    "transfer": "powertrain transfer --db profiles.db --workload mobilenet_v3 --reference reference.ptm "
    "--out mine.ptm",
    "choose": "powertrain choose mine.ptm --device SPEC --max-power 30",
    "apply": f'powertrain apply "{MODE}" --device SPEC -- echo training',
    "export": f'powertrain export-nvpmodel "{MODE}" --device SPEC --whole --out powertrain.conf',
    "restore": "powertrain restore",
}
"""What is run, by the name of its part of the page."""


def printed(command: str, folder: Path) -> str:
    """Return what a command prints on a terminal of 100 columns; it must succeed."""
    words = shlex.split(command.replace("SPEC", SPEC))[1:]
    environment = {**os.environ, "COLUMNS": "100", "XDG_STATE_HOME": str(folder / "state")}
    done = subprocess.run(
        [sys.executable, "-m", "powertrain", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stdout}")
    text = re.sub(r"[^\n]*\r", "", done.stdout).replace(str(folder), "~")
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def main() -> None:
    lines = ["# What the commands of the how-to print", "", "    python benchmarks/walkthrough.py", ""]
    lines += [f"{machine()}; {today()}. The board is emulated: Jetson AGX Orin 64GB, JetPack 6.", ""]
    with tempfile.TemporaryDirectory() as name:
        for part, command in STEPS.items():
            output = printed(command, Path(name))
            lines += [f"<!-- --8<-- [start:{part}] -->", "```text", f"$ {command.replace('SPEC', SPEC)}"]
            lines += [output, "```", f"<!-- --8<-- [end:{part}] -->", ""]
    (RESULTS / PAGE).write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
