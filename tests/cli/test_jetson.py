from __future__ import annotations

import os
import sys

import pytest
from tests.devices.jetson.confs import orin_like
from tests.processes import Process

from powertrain.devices.jetson.nvpmodel import parse_conf

MODE = "cpu_cores=6 cpu_mhz=1651.2 gpu_mhz=624.75 mem_mhz=2133"


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "nvpmodel.conf"
    path.write_text(orin_like())
    return path


def test_selftest_only_looks_when_nobody_can_agree(done):
    ran = done("selftest", "--device", "sim:orin-nano")

    assert "They are readable and steady." in ran.out
    assert "Nothing was set." in ran.out
    assert "Modes that were held" not in ran.out


def test_selftest_sets_modes_when_told_to(done, tmp_path):
    report = tmp_path / "report.md"
    ran = done("selftest", "--device", "sim:orin-nano", "--write", "--report", report)

    assert "8 of 8 held and were restored." in ran.out
    assert "| modes held | ok |" in report.read_text()


def test_selftest_speaks_json(done):
    told = done("selftest", "--device", "sim:orin-nano", "--write", "--json").json

    assert told["ok"] is True
    assert len(told["trials"]) == 8
    assert told["simulated"] is True


def test_selftest_works_on_this_machine(done, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    assert done("selftest", "--device", "cpu", "--write", "--json").json["ok"] is True


def test_selftest_that_fails_is_exit_1_with_the_names_of_the_checks(run, monkeypatch):
    monkeypatch.setattr("powertrain.selftest._look.SLOW_READING_MS", 0.0)
    ran = run("selftest", "--device", "sim:orin-nano")

    assert ran.code == 1
    assert ran.error_line == "error: 1 of 6 checks failed: a reading's cost"


def test_selftest_of_a_file_is_refused(run, grid_csv):
    ran = run("selftest", "--device", f"replay:{grid_csv}")

    assert ran.code == 1
    assert ran.error_line


@pytest.mark.parametrize(("answer", "sign"), [("y", b"Modes that were held"), ("n", b"Nothing was set.")])
def test_selftest_asks_at_a_terminal(answer, sign):
    terminal, child_end = os.openpty()
    command = (sys.executable, "-m", "powertrain", "selftest", "--device", "sim:orin-nano")
    with Process(command, stdin=child_end, stdout=child_end, stderr=child_end) as child:
        os.close(child_end)
        shown = until(b"[y/N]", terminal)
        os.write(terminal, f"{answer}\n".encode())
        shown += until(b"no such text", terminal)
        assert child.wait(timeout=60) == 0
    os.close(terminal)

    assert sign in shown


def until(sign: bytes, terminal: int) -> bytes:
    """Return what a terminal shows until `sign` appears or the other end is closed."""
    shown = b""
    while sign not in shown:
        try:
            shown += os.read(terminal, 4096)
        except OSError:
            break
    return shown


def test_export_writes_a_section_and_tells_what_to_do_with_it(done, conf):
    ran = done("export-nvpmodel", MODE, "--conf", conf)

    assert "< POWER_MODEL ID=10 NAME=POWERTRAIN >" in ran.out
    assert "sudo nvpmodel -f /etc/nvpmodel.conf -m 10 < /dev/null" in ran.err
    assert "back: sudo nvpmodel -f /etc/nvpmodel.conf -m 2 < /dev/null" in ran.err
    assert "a cap, not a pin" in ran.err


def test_export_writes_a_whole_conf_to_a_file(done, conf, tmp_path):
    out = tmp_path / "my.conf"
    ran = done("export-nvpmodel", MODE, "--conf", conf, "--whole", "--out", out, "--name", "FAST_30W")

    assert [mode.name for mode in parse_conf(out.read_text()).modes][-1] == "FAST_30W"
    assert f"1. sudo cp {out} /etc/nvpmodel/powertrain.conf" in ran.out
    assert "2. sudo nvpmodel -f /etc/nvpmodel/powertrain.conf -m 10 < /dev/null" in ran.out
    assert ran.err == ""


def test_export_speaks_json(done, conf):
    told = done("export-nvpmodel", MODE, "--conf", conf, "--like", "MAXN", "--json").json

    assert (told["id"], told["name"], told["like"]) == (10, "POWERTRAIN", "MAXN")
    assert "TPC_POWER_GATING TPC_PG_MASK 0" in told["text"]
    assert len(told["steps"]) == 3


def test_a_second_export_gets_another_id_and_name(done, conf, tmp_path):
    done("export-nvpmodel", MODE, "--conf", conf, "--whole", "--out", tmp_path / "one.conf")
    told = done("export-nvpmodel", MODE, "--conf", tmp_path / "one.conf", "--json").json

    assert (told["id"], told["name"]) == (11, "POWERTRAIN_2")


def test_export_needs_to_know_for_which_board(run):
    ran = run("export-nvpmodel", MODE)

    assert ran.code == 2
    assert "--device jetson, or --conf FILE" in ran.err


def test_export_takes_what_choose_prints(done, conf, predictor_file):
    chosen = done("choose", predictor_file, "--device", "sim:orin-agx", "--max-power", 30, "--json").json
    mode = " ".join(f"{knob}={value}" for knob, value in chosen["choice"]["mode"].items())

    assert "< POWER_MODEL ID=10" in done("export-nvpmodel", mode, "--conf", conf).out


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (("gpu_mhz=fast",), 2, "is not KNOB=NUMBER"),
        (("power_limit_w=30",), 2, "nvpmodel has no power_limit_w"),
        ((MODE, "--name", "my mode"), 2, "as in MY_MODE"),
        ((MODE, "--name", "MAXN"), 2, "has a mode called MAXN already"),
        ((MODE, "--like", "MAXX"), 2, "did you mean 'MAXN'"),
        (("gpu_mhz=600", "--device", "sim:orin-agx"), 2, "the nearest is 624.75"),
    ],
)
def test_export_refuses_in_one_line(run, conf, args, code, says):
    ran = run("export-nvpmodel", *args, "--conf", conf)

    assert ran.code == code
    assert says in ran.error_line


def test_export_from_a_device_without_a_conf_says_what_to_give(run):
    ran = run("export-nvpmodel", MODE, "--device", "sim:orin-agx")

    assert ran.code == 1
    assert "has no conf of nvpmodel: give one with --conf" in ran.error_line


def test_export_names_the_line_that_breaks_a_conf(run, conf):
    conf.write_text(conf.read_text().replace("GPU MIN_FREQ 0", "GPU MIN_FREQ"))
    ran = run("export-nvpmodel", MODE, "--conf", conf)

    assert ran.code == 1
    assert "nvpmodel.conf, line " in ran.error_line
