from __future__ import annotations

import json

import pytest


@pytest.fixture
def options(grid_csv):
    return (
        "race", grid_csv, "--target", "lstm", "--reference", "others", "--method", "random",
        "--method", "coordinate", "--trials", 4, "--limits", "auto:2", "--seeds", 2, "--jobs", 1,
    )  # fmt: skip


def test_everything_goes_to_the_file_and_a_table_to_the_screen(done, options, tmp_path):
    path = tmp_path / "race.json"
    ran = done(*options, "--json", path)

    document = json.loads(path.read_text())
    assert len(document["rows"]) == 2 * 2 * 2 * 4
    assert {line["method"] for line in document["summary"]} == {"random", "coordinate"}
    assert "median regret" in ran.out
    assert "Regret: how much slower the mode named is" in ran.out


def test_a_dash_prints_the_document_and_nothing_else(done, options):
    assert len(done(*options, "--json", "-").json["rows"]) == 32


def test_a_drawing_and_a_page_are_written(done, options, tmp_path):
    done(*options, "--plot", tmp_path / "race.svg", "--report", tmp_path / "race.html")
    assert (tmp_path / "race.svg").read_text().startswith("<?xml")
    page = (tmp_path / "race.html").read_text()
    assert "A race on" in page
    assert "<svg" in page
    assert "is made of formulas" in page


def test_a_simulated_board_needs_no_file(done):
    rows = done(
        "race", "sim:orin-nano", "--target", "lstm", "--method", "random", "--trials", 2, "--limits", "8",
        "--seeds", 1, "--json", "-",
    ).json["rows"]  # fmt: skip
    assert [row["limit_w"] for row in rows] == [8.0, 8.0]
    assert rows[0]["device"] == "Jetson Orin Nano 8GB (simulated)"


def test_a_file_without_power_is_refused_by_what_it_lacks(run, tmp_path):
    path = tmp_path / "times.csv"
    path.write_text("device,workload,gpu_mhz,time_ms,power_w\nboard,lstm,100,9,\nboard,lstm,200,5,\n")
    ran = run("race", path, "--target", "all")
    assert ran.code == 1
    assert "no workload of board has both time and power" in ran.err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("--method", "tunr"), "unknown racing method 'tunr': did you mean 'tuner' or 'tuner-front'?"),
        (("--limits", "many"), "neither LOW:HIGH:STEP"),
        (("--device", "Jetson TX9"), "unknown device 'Jetson TX9'"),
        (("--target", "bert"), "'bert'"),
    ],
)
def test_wrong_use_is_one_line(run, options, changed, message):
    ran = run(*options, *changed)
    assert ran.code == 2
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_boards_and_files_do_not_mix(run, grid_csv):
    ran = run("race", "sim:orin-nano", grid_csv, "--target", "all")
    assert ran.code == 1
    assert "not on both" in ran.error_line
