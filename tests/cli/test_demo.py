from __future__ import annotations

import functools

import pytest

from powertrain import workflow
from powertrain.opening import open_device


@pytest.fixture
def small_demo(monkeypatch):
    """Make the demonstration quick: a small grid and the default method alone."""
    grid = open_device("sim:orin-agx").space.thinned(cpu_cores=4, cpu_mhz=6, gpu_mhz=3)
    monkeypatch.setattr(
        workflow, "run_demo", functools.partial(workflow.run_demo, grid=grid, methods=("gp",))
    )


@pytest.mark.usefixtures("small_demo")
def test_the_demonstration_says_first_that_the_board_is_simulated_and_can_be_repeated_and_gone_on_with(
    done, tmp_path
):
    shown = done("demo", "--out", tmp_path).out
    learned = (tmp_path / "mobilenet_v3.ptm").read_bytes()
    facts = done("demo", "--out", tmp_path, "--json").json

    assert "simulated" in shown.splitlines()[0]
    for expected in ("gp, 15 profiles", "true best", "MAXN", "time MAPE"):
        assert expected in shown
    assert "Simulated." in (tmp_path / "report.html").read_text()
    assert facts["simulated"] is True
    assert (tmp_path / "mobilenet_v3.ptm").read_bytes() == learned
    done("choose", tmp_path / "mobilenet_v3.ptm", "--device", "sim:orin-agx", "--max-power", 25)
    exported = done("export", "--db", tmp_path / "profiles.db", tmp_path / "out.csv", "--json").json
    assert exported["profiles"] == facts["grid_modes"] + 15


@pytest.mark.usefixtures("small_demo")
def test_a_folder_that_cannot_be_made_is_one_line(run, tmp_path):
    (tmp_path / "file").write_text("")
    ran = run("demo", "--out", tmp_path / "file" / "demo")

    assert ran.code == 1
    assert str(tmp_path / "file") in ran.error_line
