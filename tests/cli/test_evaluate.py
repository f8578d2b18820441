from __future__ import annotations

import json

import pytest

from powertrain.evaluation import _run


@pytest.fixture
def options(grid_csv, board_name):
    return (
        "evaluate", grid_csv, "--device", board_name, "--target", "lstm", "--reference", "others",
        "--profiles", "6,12", "--seeds", 2, "--method", "linear", "--method", "gp",
    )  # fmt: skip


def test_everything_goes_to_the_file_and_a_table_to_the_screen(done, options, tmp_path):
    path = tmp_path / "out.json"
    ran = done(*options, "--limits", "auto:4", "--risk", "0.05,0.5", "--json", path)

    document = json.loads(path.read_text())
    assert len(document["rows"]) == 8
    assert len(document["choices"]) == (4 + 2) * 2 * 2 * 4
    assert "time MAPE" in ran.out
    assert "median time penalty" in ran.out
    assert "±" in ran.out
    assert "observed takes the best of the profiled modes by their measurements" in ran.out
    assert "maximum every knob at its largest" in ran.out


def test_the_file_has_a_row_on_each_line(done, options, tmp_path):
    path = tmp_path / "out.json"
    done(*options, "--json", path)

    assert sum('"time_mape": ' in line and '"seed": ' in line for line in path.read_text().splitlines()) == 8


def test_a_dash_prints_the_document_and_nothing_else(done, options):
    assert len(done(*options, "--json", "-").json["rows"]) == 8


def test_several_files_are_read_together(done, grid_csv, tmp_path, board_name):
    header, *rows = grid_csv.read_text().splitlines()
    parts = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for part, workloads in zip(parts, (("lstm",), ("resnet18", "mobilenet_v3")), strict=True):
        part.write_text("\n".join([header, *(r for r in rows if r.split(",")[1] in workloads)]))
    common = (
        "--device",
        board_name,
        "--target",
        "lstm",
        "--reference",
        "others",
        "--profiles",
        "9",
        "--seeds",
        1,
    )
    together = done("evaluate", grid_csv, *common, "--json", "-").json["rows"][0]
    apart = done("evaluate", *parts, *common, "--json", "-").json["rows"][0]

    assert {**together, "fit_s": 0, "predict_s": 0} == {**apart, "fit_s": 0, "predict_s": 0}


def test_one_workload_in_two_files_is_put_together(done, grid_csv, tmp_path, board_name):
    header, *rows = grid_csv.read_text().splitlines()
    parts = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for i, part in enumerate(parts):
        part.write_text("\n".join([header, *rows[i::2]]))
    common = ("--device", board_name, "--target", "lstm", "--profiles", "159", "--seeds", 1)

    (row,) = done("evaluate", *parts, *common, "--method", "linear", "--json", "-").json["rows"]
    assert row["profiles"] == 159  # neither file has as many modes


def test_all_targets_take_turns(done, grid_csv, board_name):
    document = done(
        "evaluate", grid_csv, "--device", board_name, "--target", "all", "--reference", "others",
        "--profiles", 8, "--seeds", 1, "--json", "-",
    ).json  # fmt: skip

    assert [row["target"] for row in document["rows"]] == ["resnet18", "mobilenet_v3", "lstm"]


def test_errors_are_drawn(done, options, tmp_path):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    done(*options, "--plot", tmp_path / "errors.svg")

    assert (tmp_path / "errors.svg").read_text().startswith("<?xml")


def test_files_whose_knobs_differ_for_one_workload_are_refused_with_the_name(
    run, grid_csv, tmp_path, board_name
):
    other = tmp_path / "other.csv"
    other.write_text(f"device,workload,gpu_mhz,time_ms,power_w\n{board_name},lstm,100,5,6\n")
    ran = run("evaluate", grid_csv, other, "--device", board_name, "--target", "lstm")

    assert ran.code == 1
    assert f"{other} lacks the knob cpu_cores, cpu_mhz, mem_mhz" in ran.error_line


def test_a_reference_in_another_file_that_lacks_a_knob_is_refused_with_the_name(
    run, grid_csv, tmp_path, board_name
):
    other = tmp_path / "other.csv"
    rows = "".join(f"{board_name},bert,{100 * i},5,6\n" for i in range(1, 6))
    other.write_text(f"device,workload,gpu_mhz,time_ms,power_w\n{rows}")
    ran = run(
        "evaluate", grid_csv, other, "--device", board_name, "--target", "lstm", "--reference", "bert",
        "--profiles", 8,
    )  # fmt: skip

    assert ran.code == 1
    assert "bert on" in ran.error_line
    assert "lacks the knob cpu_cores, cpu_mhz, mem_mhz" in ran.error_line


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--profiles", "160"), 1, "ask for at most 159"),
        (("--target", "lstn"), 2, "did you mean 'lstm'"),
        (("--device", "Jetson AGX Xavier"), 2, "unknown device"),
        (("--knobs", "gpu_mhz,voltage"), 2, "voltage"),
        (("--limits", "1:2:1"), 1, "least power"),
    ],
)
def test_what_cannot_be_scored_is_one_line(run, options, arguments, code, message):
    ran = run(*options, *arguments)

    assert ran.code == code
    assert message in ran.error_line


@pytest.mark.parametrize(
    "arguments",
    [
        ("--profiles", "ten"),
        ("--profiles", "0"),
        ("--seeds", "0"),
        ("--method", "magic"),
        ("--sampling", "sobol"),
        ("--limits", "30:17:1"),
        ("--risk", "1.5"),
        ("--risk", "low"),
    ],
)
def test_wrong_use_is_exit_2(run, options, arguments):
    ran = run(*options, *arguments)

    assert ran.code == 2
    assert "Traceback" not in ran.err


@pytest.fixture
def interrupted_after(monkeypatch):
    """Let Ctrl-C arrive once this many methods have been scored."""

    def at(rows):
        score = _run._Trial.score
        left = iter(range(rows))

        def scored(*args):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return score(*args)

        monkeypatch.setattr(_run._Trial, "score", scored)

    return at


def test_ctrl_c_prints_the_rows_that_are_done(run, options, interrupted_after):
    interrupted_after(3)
    ran = run(*options, "--limits", "auto:4")

    assert ran.code == 130
    assert ran.error_line == "error: interrupted; the rows done, 3, are on stdout"
    assert "time MAPE" in ran.out
    assert "over up to 8 power limits" in ran.out


def test_ctrl_c_writes_the_rows_that_are_done(run, options, interrupted_after, tmp_path):
    path = tmp_path / "out.json"
    interrupted_after(3)
    ran = run(*options, "--json", path)

    assert ran.code == 130
    assert ran.error_line == f"error: interrupted; the rows done, 3, are in {path}"
    assert len(json.loads(path.read_text())["rows"]) == 3
    assert "time MAPE" in ran.out


def test_ctrl_c_before_the_first_row_prints_no_table(run, options, interrupted_after):
    interrupted_after(0)
    ran = run(*options)

    assert ran.code == 130
    assert ran.error_line == "error: interrupted before the first row"
    assert not ran.out


def test_a_place_that_cannot_be_written_is_refused_before_the_work(run, options, tmp_path):
    ran = run(*options, "--json", tmp_path / "no" / "out.json")

    assert ran.code == 1
    assert "no folder" in ran.error_line
