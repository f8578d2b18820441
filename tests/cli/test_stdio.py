"""`-` is standard input where a text is read, and standard output where one is written."""

from __future__ import annotations

import pytest

from powertrain.dataset import open_store, read_csv

NANO = ("--device", "sim:orin-nano")


def test_an_export_goes_through_a_pipe_into_an_import(done, database, tmp_path):
    exported = done("export", "--db", database, "-").out
    report = done("import", "-", "--db", tmp_path / "copy.db", "--json", stdin=exported).json

    assert [line["profiles"] for line in report[0]["added"]] == [160, 160, 160]
    with open_store(database) as one, open_store(tmp_path / "copy.db") as other:
        assert one.profiles() == other.profiles()


def test_what_is_wrong_on_standard_input_is_told_with_its_line(run, tmp_path):
    text = "device,workload,gpu_mhz,time_ms,power_w\nb,w,100,5,6\nb,w,100,fast,6\n"
    ran = run("import", "-", "--db", tmp_path / "p.db", stdin=text)

    assert ran.code == 1
    assert "standard input, line 3: " in ran.error_line
    assert not (tmp_path / "p.db").exists()


def test_measurements_are_evaluated_from_standard_input(done, grid_csv, board_name):
    asked = ("--device", board_name, "--target", "lstm", "--profiles", 9, "--seeds", 1, "--method", "linear")
    from_file = done("evaluate", grid_csv, *asked, "--json", "-").json["rows"][0]
    from_pipe = done("evaluate", "-", *asked, "--json", "-", stdin=grid_csv.read_text()).json["rows"][0]

    assert from_pipe["time_mape"] == from_file["time_mape"]


def test_modes_go_through_a_pipe_into_every_command_that_takes_some(done, predictor_file, tmp_path):
    modes = done("modes", "sim:orin-agx", "--sample", 4, "--csv", "-").out
    assert len(modes.splitlines()) == 5

    for name in ("predict", "front", "choose"):
        told = done(name, predictor_file, "--modes", "-", "--json", stdin=modes).json
        assert told.get("modes", 4) == 4
    measured = ("--device", "sim:orin-agx", "--db", tmp_path / "p.db", "--modes", "-", "--json")
    assert done("profile", "lstm", *measured, stdin=modes).json["runs"][0]["measured"] == 4


@pytest.mark.parametrize("name", ["predict", "front"])
def test_predictions_written_to_standard_output_are_all_that_is_there(done, predictor_file, grid_csv, name):
    text = done(name, predictor_file, "--device", f"replay:{grid_csv}", "--csv", "-").out

    header, *rows = text.splitlines()
    assert header.startswith("cpu_cores,cpu_mhz,gpu_mhz,mem_mhz,time_ms,")
    assert rows
    assert all(row.count(",") == header.count(",") for row in rows)


def test_pages_and_sections_go_to_standard_output(done, database):
    assert done("report", "--db", database, "--out", "-").out.startswith("<!DOCTYPE html>")
    assert done("selftest", *NANO, "--report", "-").out.startswith("# ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "--db", "DB", "-", "--json"),
        ("predict", "PTM", "--device", "sim:orin-agx", "--csv", "-", "--json"),
        ("import", "-", "-", "--db", "DB"),
        ("fit", "--db", "DB", "--workload", "lstm", "--out", "-"),
        ("front", "PTM", "--device", "sim:orin-agx", "--plot", "-"),
    ],
)
def test_what_standard_input_and_output_cannot_do_is_wrong_use(run, database, predictor_file, arguments):
    named = {"DB": database, "PTM": predictor_file}
    ran = run(*(named.get(argument, argument) for argument in arguments), stdin="")

    assert ran.code == 2
    assert "name a file" in ran.err


def test_a_profile_of_a_training_survives_the_pipe_without_a_warning(done, tmp_path):
    done("profile", "lstm", "--device", "emulated:orin-nano@jp6", "--db", tmp_path / "p.db", "--modes", 3)
    exported = done("export", "--db", tmp_path / "p.db", "-").out
    assert "extra:" in exported

    assert done("import", "-", "--db", tmp_path / "q.db", "--json", stdin=exported).err == ""
    (tmp_path / "p.csv").write_text(exported)
    with open_store(tmp_path / "p.db") as store:
        assert read_csv(tmp_path / "p.csv").profiles == store.profiles()
