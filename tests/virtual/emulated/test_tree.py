"""An emulated board as a tree of files that another process keeps."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from tests.processes import Process
from tests.virtual.emulated.kernels import CPU
from tests.waiting import PATIENCE_S, comes_true

from powertrain.devices import VirtualClock
from powertrain.devices._sysfs import RealSysfs
from powertrain.errors import UnknownNameError, WorkloadError
from powertrain.virtual.emulated import EmulatedSysfs, TreeJob

GPU = "/sys/devices/platform/17000000.gpu"
DEVFREQ = "/sys/class/devfreq/17000000.gpu"
EMC = "/sys/kernel/debug/bpmp/debug/clk/emc"
POLICY = f"{CPU}/cpufreq/policy0"
COMMAND = (sys.executable, "-m", "powertrain.virtual.emulated")


@pytest.fixture
def tree(tmp_path: Path) -> Generator[Path]:
    """An AGX Orin that is kept while the test lasts, and ends cleanly."""
    root = tmp_path / "tree"
    with keeping(root, "orin-agx", "--jetpack", "6") as keeper:
        try:
            yield root
            keeper.terminate()
            assert keeper.wait(PATIENCE_S) == 0
        finally:
            keeper.kill()


def keeping(root: Path, *arguments: str) -> Process:
    """Start a keeper, and wait until its tree is there."""
    keeper = Process((*COMMAND, str(root), *arguments), stdout=subprocess.PIPE, text=True)
    assert keeper.stdout is not None
    assert keeper.stdout.readline() == "ready\n"
    return keeper


def becomes(read: Callable[[], str], text: str) -> bool:
    """Wait until something is read, or too long."""
    return comes_true(lambda: read() == text)


def state(tree: Path) -> dict[str, str]:
    return json.loads((tree / "emulated/state.json").read_text(encoding="utf-8"))


def test_a_tree_shows_what_the_board_shows(tree: Path):
    real, board = RealSysfs(tree), EmulatedSysfs("orin-agx@jp6")
    assert state(tree) == board.state()
    moving = ("curr", "temp", "in4", "in5", "in6")
    for path, node in board.files.nodes.items():
        if not path.rpartition("/")[2].startswith((*moving, ".emulated")):
            expected = board.shown()[path]
            assert real.exists(path) == (expected is not None)
            if expected is None:
                continue
            assert real.read(path) == expected
            assert stat.S_IMODE((tree / path[1:]).stat().st_mode) == node.mode
    for path in board.files.links:
        assert real.resolve(path) == board.resolve(path)
    assert stat.S_IMODE((tree / "sys/kernel/debug").stat().st_mode) == 0o700


def test_what_is_written_is_taken_and_corrected(tree: Path):
    real = RealSysfs(tree)
    for path, text in (
        (f"{POLICY}/scaling_min_freq", "115200"),
        (f"{POLICY}/scaling_max_freq", "1036800"),
        (f"{POLICY}/scaling_min_freq", "1036800"),
        (f"{CPU}/cpu0/online", "0"),
        (f"{CPU}/cpu7/online", "0"),
        (f"{DEVFREQ}/governor", "nonsense"),
        (f"{EMC}/mrq_rate_locked", "1"),
        (f"{EMC}/rate", "1701500000"),
        (f"{GPU}/tpc_pg_mask", "0"),
    ):
        real.write(path, text)
    assert becomes(lambda: real.read(f"{CPU}/online"), "0-6")
    assert becomes(lambda: real.read(f"{EMC}/rate"), "2133000000")
    assert becomes(lambda: real.read(f"{CPU}/cpu0/online"), "1")
    assert becomes(lambda: real.read(f"{DEVFREQ}/governor"), "nvhost_podgov")
    assert becomes(lambda: real.read(f"{GPU}/tpc_pg_mask"), "240")
    assert real.read(f"{POLICY}/scaling_min_freq") == real.read(f"{POLICY}/scaling_cur_freq") == "1036800"


def test_a_mode_may_be_written_in_one_go_upwards_and_downwards_on_an_old_kernel(tmp_path: Path):
    with keeping(tmp_path / "tree", "xavier-agx@jp4") as keeper:
        real = RealSysfs(tmp_path / "tree")
        for khz in ("115200", "2265600", "1190400"):
            for end, value in (("min", "115200"), ("max", khz), ("min", khz)):
                real.write(f"{POLICY}/scaling_{end}_freq", value)
            assert becomes(lambda: real.read(f"{POLICY}/scaling_cur_freq"), khz)
            time.sleep(0.1)
            assert [real.read(f"{POLICY}/scaling_{end}_freq") for end in ("min", "max")] == [khz, khz]
        keeper.terminate()
        assert keeper.wait(PATIENCE_S) == 0


def test_a_cluster_that_comes_on_line_takes_what_is_written_right_after(tree: Path):
    real = RealSysfs(tree)
    for _ in range(5):
        for cpu in (8, 9, 10, 11):
            real.write(f"{CPU}/cpu{cpu}/online", "1")
        real.write(f"{CPU}/cpufreq/policy8/scaling_max_freq", "960000")
        assert becomes(lambda: state(tree)[f"{CPU}/cpufreq/policy8/scaling_max_freq"], "960000")
        real.write(f"{CPU}/cpufreq/policy8/scaling_max_freq", "1728000")
        for cpu in (11, 10, 9, 8):
            real.write(f"{CPU}/cpu{cpu}/online", "0")
        assert becomes(lambda: real.read(f"{CPU}/offline"), "8-11")
        assert becomes(lambda: state(tree)[f"{CPU}/cpufreq/policy8/scaling_max_freq"], "1728000")
    # Off line it refuses.
    real.write(f"{CPU}/cpufreq/policy8/scaling_max_freq", "960000")
    assert becomes(lambda: real.read(f"{CPU}/cpufreq/policy8/scaling_max_freq"), "1728000")


def test_shells_may_write_too_and_a_writer_that_dies_half_way_changes_nothing(tree: Path):
    file = tree / POLICY[1:] / "scaling_max_freq"
    file.write_text("1036800\n", encoding="ascii")
    assert becomes(lambda: state(tree)[f"{POLICY}/scaling_max_freq"], "1036800")
    os.truncate(file, 0)
    assert becomes(lambda: file.read_text(encoding="ascii").strip(), "1036800")
    assert state(tree)[f"{POLICY}/scaling_max_freq"] == "1036800"


def test_a_writer_may_take_its_time_after_truncating(tree: Path):
    file = tree / POLICY[1:] / "scaling_max_freq"
    for khz in ("1036800", "960000", "1190400"):
        with file.open("w", encoding="ascii") as opened:
            time.sleep(0.03)
            opened.write(khz)
        assert becomes(lambda khz=khz: state(tree)[f"{POLICY}/scaling_max_freq"], khz)
        assert becomes(lambda: file.read_text(encoding="ascii").strip(), khz)
        time.sleep(0.15)  # in which nothing changes it back
        assert file.read_text(encoding="ascii").strip() == khz


def test_no_write_is_lost_however_fast_they_come(tree: Path):
    real, path = RealSysfs(tree), f"{POLICY}/scaling_max_freq"
    file = tree / path[1:]
    table = real.read(f"{POLICY}/scaling_available_frequencies").split()[10:]
    for khz in table * 20:
        file.write_text(khz, encoding="ascii")
        time.sleep(0.001)
    assert becomes(lambda: state(tree)[path], table[-1])
    time.sleep(0.2)
    assert real.read(path) == state(tree)[path] == table[-1]


def test_training_follows_the_state_of_the_tree_and_draws_power(tree: Path):
    real = RealSysfs(tree)
    current = real.glob("/sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon*/curr1_input")[0]
    rest_ma = int(real.read(current))
    clock = VirtualClock()  # sleeps as long as it is told, however busy this machine is
    with TreeJob(tree, "resnet18", clock=clock) as job:
        job.prepare({})
        assert becomes(lambda: trained(tree), "resnet18")
        fast_s = timed(job, clock)
        assert fast_s == pytest.approx(EmulatedSysfs("orin-agx@jp6").step_s("resnet18"), rel=0.01)
        real.write(f"{DEVFREQ}/max_freq", "306000000")
        assert becomes(lambda: state(tree)[f"{GPU}/devfreq/17000000.gpu/max_freq"], "306000000")
        assert comes_true(lambda: timed(job, clock) > 1.3 * fast_s)
        assert comes_true(lambda: int(real.read(current)) > rest_ma)
    assert becomes(lambda: trained(tree), "")


def trained(tree: Path) -> str:
    """Return what the keeper takes to be in training."""
    return (tree / "emulated/step_ms").read_text(encoding="ascii").partition(" ")[0].strip()


def timed(job: TreeJob, clock: VirtualClock) -> float:
    """Return the time of one minibatch."""
    started_s = clock.now_s()
    job.step()
    return clock.now_s() - started_s


def test_training_ends_with_the_process_that_was_at_it(tree: Path):
    code = "import sys, pathlib; from powertrain.virtual.emulated import TreeJob\n"
    code += "job = TreeJob(pathlib.Path(sys.argv[1]), 'resnet18')\nwhile True: job.step()"
    with Process((sys.executable, "-c", code, str(tree))) as client:
        seen = becomes(lambda: trained(tree), "resnet18")
        client.send_signal(signal.SIGKILL)
        client.wait()
        assert seen
        assert becomes(lambda: trained(tree), "")


def test_what_was_written_is_on_record(tree: Path):
    RealSysfs(tree).write(f"{CPU}/cpu7/online", "0")
    record = tree / "emulated/writes.jsonl"
    assert becomes(lambda: record.read_text(encoding="utf-8").count("\n") and "some", "some")
    (entry,) = map(json.loads, record.read_text(encoding="utf-8").splitlines())
    assert entry == {"path": f"{CPU}/cpu7/online", "text": "0", "errno": 0}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_may_read_and_train_but_set_nothing():
    # Python itself may be out of his reach, so he is root until all is loaded.
    code = """
import os, sys, pathlib
from powertrain.devices._sysfs import RealSysfs
from powertrain.virtual.emulated import TreeJob
root = pathlib.Path(sys.argv[1])
job, sysfs = TreeJob(root, "resnet18"), RealSysfs(root)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
policy = "/sys/devices/system/cpu/cpufreq/policy0"
assert sysfs.read(policy + "/scaling_max_freq") == "1728000"
assert not sysfs.may_write(policy + "/scaling_max_freq")
assert not sysfs.exists("/sys/kernel/debug/bpmp/debug/clk/emc/rate")
with job:
    job.step()
try:
    sysfs.write(policy + "/scaling_max_freq", "1036800")
except PermissionError:
    print("refused")
"""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with keeping(Path(folder) / "tree", "orin-agx@jp6") as keeper:
            arguments = (sys.executable, "-c", code, f"{folder}/tree")
            done = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE_S)
            keeper.terminate()
    assert (done.stdout, done.returncode) == ("refused\n", 0), done.stderr


def test_without_a_keeper_nothing_is_trained(tmp_path: Path):
    with pytest.raises(UnknownNameError):
        TreeJob(tmp_path, "resnet19")
    with TreeJob(tmp_path, "resnet18") as job, pytest.raises(WorkloadError, match="keeper"):
        job.step()


def test_wrong_use_of_the_command_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("", encoding="ascii")
    for arguments in ((str(tmp_path), "orin-agx"), (str(tmp_path / "new"), "orin-agxx")):
        done = subprocess.run((*COMMAND, *arguments), capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_a_tree_may_have_faults(tmp_path: Path):
    faults = json.dumps({"overcurrent_at_s": [0.0], "gpu_hidden": True})
    with keeping(tmp_path / "tree", "orin-agx@jp6", "--faults", faults) as keeper:
        real = RealSysfs(tmp_path / "tree")
        assert real.listdir("/sys/class/devfreq") == ["15340000.vic"]
        real.write(f"{GPU}/railgate_enable", "0")
        assert becomes(lambda: real.read_or(f"{DEVFREQ}/governor"), "nvhost_podgov")
        (counter,) = real.glob("/sys/class/hwmon/hwmon*/oc3_event_cnt")
        assert real.read(counter) == "1"
        keeper.terminate()
