"""The command as a process: what it loads, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest
from tests.processes import Process
from tests.waiting import PATIENCE_S

from powertrain.dataset import write_csv
from powertrain.records import PowerMode, Profile

COMMAND = (sys.executable, "-m", "powertrain")


def process(*args, **options):
    return subprocess.run(
        [*COMMAND, *map(str, args)], capture_output=True, text=True, timeout=120, check=False, **options
    )


def loaded_after(code):
    """Return the modules that are loaded after running `code` in a new interpreter."""
    listing = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in ran.stdout.splitlines()}


def test_importing_the_package_or_its_command_line_loads_neither_numpy_nor_torch():
    for code in ("import powertrain", "import powertrain.cli"):
        assert not loaded_after(code) & {"numpy", "scipy", "torch", "rich", "matplotlib"}


def test_help_loads_neither_numpy_nor_rich():
    code = "from click.testing import CliRunner\nfrom powertrain.cli import powertrain\n"
    code += "for args in (['--help'], ['evaluate', '--help']):\n"
    code += "    assert CliRunner().invoke(powertrain, args).exit_code == 0"

    assert not loaded_after(code) & {"numpy", "scipy", "torch", "rich", "matplotlib"}


def test_success_is_exit_0_and_a_failure_exit_1_with_one_line():
    fine = process("modes", "sim:orin-agx", "--count")
    assert (fine.returncode, fine.stdout, fine.stderr) == (0, "18096\n", "")

    failed = process("modes", "jetson")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: this is not a Jetson")
    assert failed.stderr.count("\n") == 1


def test_wrong_use_is_exit_2():
    assert process("modes").returncode == 2
    assert process("modes", "sim:nano").returncode == 2
    assert process("no-such-command").returncode == 2


def test_debug_shows_the_traceback_of_a_failure():
    failed = process("--debug", "modes", "jetson")

    assert failed.returncode == 1
    assert "Traceback" in failed.stderr


def test_a_reader_that_goes_away_is_no_error():
    with Process(
        [*COMMAND, "modes", "sim:orin-agx", "--sample", "300", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.read(10)
        child.stdout.close()
        complaint = child.stderr.read().decode()

    assert complaint == ""


@pytest.fixture
def endless(tmp_path):
    """Arguments of an evaluation that takes minutes."""
    path = tmp_path / "grid.csv"
    profiles = [
        Profile(
            device="b",
            workload=workload,
            mode=PowerMode(cpu_mhz=100 + 10 * i, gpu_mhz=100 + 10 * j),
            time_ms=1e5 / (100 + 10 * i) + k * 1e4 / (100 + 10 * j),
            power_w=5 + i / 10 + j / 20,
        )
        for k, workload in enumerate(("ref", "target"), start=1)
        for i in range(12)
        for j in range(12)
    ]
    write_csv(profiles, path)
    return (
        "evaluate", path, "--device", "b", "--target", "target", "--reference", "ref", "--profiles", "20",
        "--seeds", 100_000, "--json", tmp_path / "out.json",
    )  # fmt: skip


def read_until(sign, terminal):
    """Return what a terminal shows until `sign` appears or the other end is closed."""
    shown = b""
    with contextlib.suppress(OSError):
        while sign not in shown:
            shown += os.read(terminal, 4096)
    return shown


def test_ctrl_c_ends_an_evaluation_with_one_line_and_keeps_its_rows(endless, tmp_path):
    terminal, child_end = os.openpty()
    with Process([*COMMAND, *map(str, endless)], stderr=child_end, stdout=subprocess.PIPE) as child:
        os.close(child_end)
        shown = read_until(b"seed 3", terminal)
        child.send_signal(signal.SIGINT)
        shown += read_until(b"out.json", terminal)
        child.communicate(timeout=PATIENCE_S)
    os.close(terminal)

    assert child.returncode == 130
    assert b"Traceback" not in shown
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["interrupted"] is True
    assert len(document["rows"]) >= 3
    assert f"error: interrupted; the rows done, {len(document['rows'])}, are in" in shown.decode()
