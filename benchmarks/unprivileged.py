"""The whole way on an emulated Jetson AGX Orin by a user who may write nothing, through powertrain-helper.

    sudo python benchmarks/unprivileged.py [--workload mobilenet_v3] [--modes 15] [--max-power 30]

A real systemd is booted on a throw-away copy of this machine (see booted.sh); there root installs the
helper, and a user without any rights but the group's profiles some modes of a workload in real time,
transfers from a reference that was profiled in virtual time, chooses the fastest mode under a limit,
applies it while a program runs, and has it measured. The program is the command line, as a person would
type it. The board boots in MAXN, so that all its clocks are within nvpmodel's caps.

Ends with 1 if the measured power exceeds the limit, or the board is not as before after any command.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _harness import RESULTS, machine, table, today

BOARD, HOME, GROUP = Path("/srv/board"), Path("/home/alice"), "powertrain"
SPEC, REFERENCE = f"emulated:{BOARD}", "resnet18"
PAGE = "unprivileged.md"


class Alice:
    """A user whose only right is her group; notes what she did and how long it took."""

    def __init__(self) -> None:
        self.rows: list[list[str]] = []
        self.before = state()

    def __call__(self, *arguments: str) -> Any:
        """Run a command that must succeed and leave the board as it was; return what it prints."""
        started_s = time.monotonic()
        by = ["setpriv", "--reuid", "alice", "--regid", "alice", "--init-groups", "--reset-env"]
        command = [*by, sys.executable, "-m", "powertrain", *arguments]
        done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
        took_s = time.monotonic() - started_s
        shown = " ".join(f"'{word}'" if " " in word else word for word in arguments if word != "--json")
        same = state() == self.before
        self.rows.append([f"`powertrain {shown}`", f"{took_s:.1f}", "yes" if same else "NO"])
        if done.returncode or not same:
            raise SystemExit(f"{shown}: exit code {done.returncode}, same state: {same}\n{done.stderr}")
        return json.loads(done.stdout) if "--json" in arguments else done.stdout


def state() -> dict[str, str]:
    """Return all that a run may change of the board."""
    time.sleep(0.15)  # the keeper of the files writes it down a moment later
    return json.loads((BOARD / "emulated/state.json").read_text())


def set_up() -> None:
    """Make the user, the board and the helper."""
    subprocess.run(["useradd", "--create-home", "alice"], check=True)
    keep = [sys.executable, "-m", "powertrain.virtual.emulated", str(BOARD), "orin-agx"]
    keeper = subprocess.Popen(
        [*keep, "--jetpack", "6", "--power-model", "MAXN"], stdout=subprocess.PIPE, text=True
    )
    assert keeper.stdout is not None
    assert keeper.stdout.readline() == "ready\n"
    install = [sys.executable, "-m", "powertrain", "setup-helper", "--device", SPEC]
    subprocess.run(["env", "SUDO_USER=alice", *install], check=True)


def go_the_way(workload: str, modes: int, max_power_w: float) -> tuple[list[str], bool]:
    """Return the lines of the page, and whether the limit was kept."""
    alice = Alice()
    reference = ("--device", "emulated:orin-agx@jp6", "--db", "reference.db")
    alice("profile", REFERENCE, *reference, "--modes", "100", "--json")
    alice("fit", "--db", "reference.db", "--workload", REFERENCE, "--out", "reference.ptm")
    alice("profile", workload, "--device", SPEC, "--db", "mine.db", "--modes", str(modes), "--json")
    learnt = ("--db", "mine.db", "--workload", workload, "--reference", "reference.ptm")
    alice("transfer", *learnt, "--out", "mine.ptm")
    limit = ("--max-power", f"{max_power_w:g}")
    chosen = alice("choose", "mine.ptm", "--device", SPEC, *limit, "--json")["choice"]
    mode = chosen["mode"]
    words = " ".join(f"{knob}={value:.10g}" for knob, value in mode.items())
    # What the program sees while the mode is held is another state than before.
    seen = alice(
        "apply", words, "--device", SPEC, "--", "sh", "-c", f"sleep 1; cat {BOARD}/emulated/state.json"
    )
    (HOME / "chosen.csv").write_text(f"{','.join(mode)}\n{','.join(map(repr, mode.values()))}\n")
    alice("profile", workload, "--device", SPEC, "--db", "check.db", "--modes", "chosen.csv", "--json")
    alice("export", "check.csv", "--db", "check.db")
    names, values = ((HOME / "check.csv").read_text().splitlines()[line].split(",") for line in (0, 1))
    measured = dict(zip(names, values, strict=True))
    alice("restore")
    power_w = float(measured["power_w"])
    lines = [
        f"{machine()}; {today()}. The board is emulated: Jetson AGX Orin 64GB, JetPack 6, in real time.",
        "",
    ]
    lines += table(["command, by an unprivileged user", "took s", "board as before"], alice.rows)
    lines += [
        "",
        f"Chosen under {max_power_w:g} W: {words}. Predicted {shown(chosen['time_ms'])} ms and "
        f"{shown(chosen['power_w'])} W (with 90 % intervals);",
        f"measured {float(measured['time_ms']):.1f} ms and {power_w:.1f} W.",
    ]
    return lines, power_w <= max_power_w and json.loads(seen) != alice.before


def shown(interval: dict[str, float]) -> str:
    """Return a prediction with its interval."""
    return f"{interval['value']:.1f} ({interval['low']:.1f} to {interval['high']:.1f})"


def inside(given: argparse.Namespace) -> int:
    """Do it, as root of a machine that is thrown away."""
    set_up()
    lines, well = go_the_way(given.workload, given.modes, given.max_power)
    command = f"sudo python benchmarks/{Path(__file__).name} --workload {given.workload}"
    command += f" --modes {given.modes} --max-power {given.max_power:g}"
    page = ["# An unprivileged user's way through the helper", "", f"    {command}", "", *lines, ""]
    given.inside.write_text("\n".join(page), encoding="utf-8")
    return 0 if well else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workload", default="mobilenet_v3")
    parser.add_argument("--modes", type=int, default=15)
    parser.add_argument("--max-power", type=float, default=30.0, metavar="W")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside is not None:
        return inside(given)
    with tempfile.TemporaryDirectory() as folder:
        booted = ["sh", str(Path(__file__).with_name("booted.sh")), folder]
        again = [sys.executable, *sys.argv, "--inside", f"{folder}/{PAGE}"]
        code = subprocess.run([*booted, *again], check=False).returncode
        output, page = Path(folder) / "output", Path(folder) / PAGE
        if output.exists():
            print(output.read_text())
        if page.exists():
            print(page.read_text())
            (RESULTS / PAGE).write_text(page.read_text())
        return code


if __name__ == "__main__":
    sys.exit(main())
