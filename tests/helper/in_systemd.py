"""Sets the helper up as root under a real systemd, uses it as other users do, and removes it.

Prints a JSON object of what was seen; `test_systemd.py` says what should have been. The board is emulated.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

BOARD = Path("/srv/board")
SPEC = f"emulated:{BOARD}"
POWERTRAIN = [sys.executable, "-m", "powertrain"]
seen: dict[str, Any] = {}


def run(*command: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command, as another user or as root."""
    by = ["runuser", "-u", user, "--"] if user else []
    return subprocess.run([*by, *command], capture_output=True, text=True, timeout=120, check=False)


def powertrain(*arguments: str, user: str | None = None) -> subprocess.CompletedProcess[str]:
    return run(*POWERTRAIN, *arguments, user=user)


def state() -> dict[str, str]:
    """Return what the keeper of the files has written down, which it does a moment after a change."""
    return json.loads((BOARD / "emulated/state.json").read_text())


def until(what: Callable[[], object], patience_s: float = 60.0) -> bool:
    """Wait for something to become true; tell whether it did."""
    end_s = time.monotonic() + patience_s
    while time.monotonic() < end_s:
        if what():
            return True
        time.sleep(0.05)
    return False


def helper_pid() -> int:
    return int(run("systemctl", "show", "-P", "MainPID", "powertrain-helper.service").stdout)


def log() -> list[list[str]]:
    """Return what the helper has noted: what was asked, and what came of it."""
    lines = Path("/var/log/powertrain/helper.jsonl").read_text().splitlines()
    return [[line["what"], line["outcome"]] for line in map(json.loads, lines)]


def hold_as_alice(before: dict[str, str]) -> subprocess.Popen[bytes]:
    """Hold a mode, and return once it is in force and the helper has noted that."""
    held = log().count(["hold", "held"])
    command = [*POWERTRAIN, "apply", "--device", SPEC, "MODE_15W", "--", "sleep", "60"]
    holder = subprocess.Popen(["setpriv", "--reuid", "alice", "--init-groups", "--regid", "alice", *command])
    assert until(lambda: state() != before), "the mode was not held"
    assert until(lambda: log().count(["hold", "held"]) > held), "the helper notes no hold"
    return holder


def set_up() -> None:
    for user in ("alice", "bob"):
        subprocess.run(["useradd", "--create-home", user], check=True)
    os.environ["SUDO_USER"] = "alice"
    installed = powertrain("setup-helper", "--device", SPEC, "--json")
    seen["set up"] = installed.stderr or json.loads(installed.stdout)["problems"]
    again = powertrain("setup-helper", "--device", SPEC, "--json")
    seen["set up again"] = again.stderr or json.loads(again.stdout)["problems"]
    socket = Path("/run/powertrain/helper.sock")
    seen["socket"] = [socket.owner(), socket.group(), oct(socket.stat().st_mode & 0o777)]
    verified = run("systemd-analyze", "verify", "/etc/systemd/system/powertrain-helper.service")
    seen["what systemd says of the units"] = verified.stdout + verified.stderr
    exposure = run("systemd-analyze", "security", "powertrain-helper.service").stdout.strip().splitlines()[-1]
    run("systemctl", "stop", "powertrain-helper.service")
    seen["runs before anybody asks"] = helper_pid() > 0
    seen["exposure"] = float(exposure.partition(":")[2].split()[0])


def use() -> None:
    knobs = json.loads(powertrain("devices", SPEC, "--json", user="alice").stdout)
    seen["alice's knobs"] = sorted(knobs["devices"][0]["knobs"])
    seen["runs once somebody asked"] = helper_pid() > 0
    refused = powertrain("apply", "--device", SPEC, "gpu_mhz=408", "--", "true", user="bob")
    seen["bob"] = [refused.returncode, refused.stderr]
    before = state()
    kept, now = "/home/alice/before.json", f"{BOARD}/emulated/state.json"
    run("cp", now, kept, user="alice")
    show = f"until ! cmp -s {kept} {now}; do sleep 0.05; done; cat {now}"
    applied = powertrain("apply", "--device", SPEC, "MODE_15W", "--", "sh", "-c", show, user="alice")
    seen["apply"] = [
        applied.returncode,
        json.loads(applied.stdout) != before,
        until(lambda: state() == before),
    ]

    holder = hold_as_alice(before)
    holder.kill()
    holder.wait()
    seen["as before once its holder was killed"] = until(lambda: state() == before)

    holder = hold_as_alice(before)
    os.kill(helper_pid(), 9)
    seen["as before once the helper was killed"] = until(lambda: state() == before)
    holder.terminate()
    holder.wait()

    holder = hold_as_alice(before)
    stopped = run("systemctl", "stop", "powertrain-helper.service")
    seen["as before once the helper was stopped"] = [stopped.returncode, until(lambda: state() == before)]
    holder.terminate()
    holder.wait()
    seen["failed units"] = run("systemctl", "--failed", "--plain", "--no-legend").stdout
    seen["log"] = log()


def metrics() -> str:
    try:
        with urlopen("http://127.0.0.1:10700/metrics", timeout=10) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def serve() -> None:
    """Serve metrics by the unit that the command prints."""
    unit = Path("/etc/systemd/system/powertrain-metrics.service")
    user = "powertrain-metrics"
    subprocess.run(["useradd", "--system", "--no-create-home", "--groups", "powertrain", user], check=True)
    unit.write_text(powertrain("metrics", "--device", SPEC, "--unit", "--user", user).stdout)
    verified = run("systemd-analyze", "verify", str(unit))
    seen["what systemd says of the metrics' unit"] = verified.stdout + verified.stderr
    run("systemctl", "daemon-reload")
    run("systemctl", "start", unit.name)
    until(metrics, 60.0)
    seen["metrics"] = metrics()
    pid = run("systemctl", "show", "-P", "MainPID", unit.name).stdout.strip()
    rights = Path(f"/proc/{pid}/status").read_text().splitlines()
    seen["who serves metrics"] = [line.split()[1] for line in rights if line.startswith(("Uid:", "CapEff:"))]
    exposure = run("systemd-analyze", "security", unit.name).stdout.strip().splitlines()[-1]
    seen["exposure of the metrics"] = float(exposure.partition(":")[2].split()[0])
    run("systemctl", "stop", unit.name)
    seen["how serving ended"] = run("systemctl", "show", "-P", "Result", unit.name).stdout.strip()
    seen["log of the metrics"] = run("journalctl", "-u", unit.name, "--no-pager", "-n", "20").stdout
    unit.unlink()


def remove() -> None:
    removed = powertrain("setup-helper", "--uninstall", "--json")
    seen["uninstall"] = removed.stderr or json.loads(removed.stdout)["problems"]
    left = [*Path("/etc/systemd/system").glob("powertrain*.s*"), *Path("/run/powertrain").glob("*")]
    seen["left"] = [str(path) for path in left if path.suffix != ".d"]
    seen["group left"] = run("getent", "group", "powertrain").stdout


def main() -> None:
    keeper = subprocess.Popen(
        [sys.executable, "-m", "powertrain.virtual.emulated", str(BOARD), "orin-agx", "--jetpack", "6"],
        stdout=subprocess.PIPE,
    )
    assert keeper.stdout is not None
    keeper.stdout.readline()
    try:
        for part in (set_up, use, serve, remove):
            part()
    finally:
        unit = "powertrain-helper.service"
        seen["journal"] = run("journalctl", "-u", unit, "--no-pager", "-n", "60").stdout
        sys.stdout.write(json.dumps(seen, indent=1))


if __name__ == "__main__":
    main()
