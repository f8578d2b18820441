"""The helper as it is installed: a real systemd is booted for it on a throw-away copy of this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
BOOTED = HERE.parents[1] / "benchmarks/booted.sh"
pytestmark = pytest.mark.timeout(600)  # all of it happens in the fixture
NEEDED = ("systemctl", "unshare", "useradd", "groupadd", "runuser", "setpriv")


def why_not() -> str:
    if os.geteuid() != 0:
        return "only root can boot a copy of this machine"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or not Path("/lib/systemd/systemd").exists():
        return f"there is no {missing[0] if missing else 'systemd'} here"
    return ""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what was seen in setting the helper up, using it and removing it."""
    if why := why_not():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("booted")
    probe = subprocess.run(["sh", str(BOOTED), str(folder), "true"], timeout=60, check=False)
    if probe.returncode:
        pytest.skip("a copy of this machine cannot be booted here")
    command = ["sh", str(BOOTED), str(folder), sys.executable, str(HERE / "in_systemd.py")]
    done = subprocess.run(command, timeout=500, check=False, cwd=HERE.parents[1])
    output = (folder / "output").read_text()
    assert done.returncode == 0, output
    return json.loads(output[output.index("{") :])


def test_setting_up_works_twice_and_removing_leaves_nothing(seen: dict[str, Any]):
    assert seen["set up"] == seen["set up again"] == []
    assert seen["uninstall"] == []
    assert seen["left"] == []
    assert seen["group left"] == ""


def test_its_units_are_what_systemd_wants_and_expose_little(seen: dict[str, Any]):
    assert seen["what systemd says of the units"] == ""
    # systemd-analyze security: 0 is locked in, 10 is root with everything; below 2 counts as fine.
    assert seen["exposure"] < 2


def test_it_runs_once_somebody_asks_at_a_socket_of_the_group_s(seen: dict[str, Any]):
    assert seen["socket"] == ["root", "powertrain", "0o660"]
    assert (seen["runs before anybody asks"], seen["runs once somebody asked"]) == (False, True)


def test_a_member_of_the_group_holds_modes_of_the_board(seen: dict[str, Any]):
    assert seen["alice's knobs"] == ["cpu_cores", "cpu_mhz", "gpu_mhz", "mem_mhz"]
    code, changed, same_afterwards = seen["apply"]
    assert (code, changed, same_afterwards) == (0, True, True)


def test_another_user_is_told_what_to_do(seen: dict[str, Any]):
    code, said = seen["bob"]
    assert code == 1
    assert "not in the group powertrain: sudo usermod -aG powertrain" in said


def test_whoever_is_killed_the_board_is_as_before(seen: dict[str, Any]):
    assert seen["as before once its holder was killed"], seen["journal"]
    assert seen["as before once the helper was killed"], seen["journal"]
    assert seen["as before once the helper was stopped"] == [0, True], seen["journal"]
    assert seen["failed units"] == ""


def test_the_log_tells_all_of_it(seen: dict[str, Any]):
    held = seen["log"].count(["hold", "held"])
    given_back = seen["log"].count(["release", "given back"]) + seen["log"].count(["restore", "given back"])
    assert held == given_back >= 4, json.dumps(seen["log"])


def test_metrics_are_served_by_a_user_without_rights(seen: dict[str, Any]):
    uid, capabilities = seen["who serves metrics"]

    assert seen["what systemd says of the metrics' unit"] == ""
    assert int(uid) > 0
    assert int(capabilities, 16) == 0
    assert seen["exposure of the metrics"] < 2
    assert 'powertrain_power_watts{device="' in seen["metrics"], seen["log of the metrics"]
    assert 'powertrain_clock_hertz{bound="highest",device="' in seen["metrics"]
    assert seen["how serving ended"] == "success"
    assert "powertrain-metrics is not in the group" not in seen["journal"]
