from __future__ import annotations

import re

import pytest

from powertrain.dataset import open_store
from powertrain.devices.jetson import PowerLog
from powertrain.errors import DataError


def test_the_simulated_boards_are_always_here_and_say_that_they_are_simulated(done):
    found = {device["spec"]: device for device in done("devices", "--json").json["devices"]}
    boards = {spec: device for spec, device in found.items() if spec.startswith("sim:")}

    assert all(board["simulated"] for board in boards.values())
    assert boards["sim:orin-agx"]["modes"] == 18096
    assert "resnet18" in boards["sim:xavier-agx"]["workloads"]
    assert done("devices").out.count("(simulated)") == len(boards)


def test_what_a_device_lacks_is_told_as_a_record_and_as_a_sentence(done):
    (device,) = done("devices", "emulated:orin-agx@jp6", "--json").json["devices"]
    assert device["missing"] == []
    (processor,) = done("devices", "cpu", "--json").json["devices"]
    kinds = {"absent", "forbidden", "broken", "fixed", "untried"}
    for reason in processor["missing"]:
        assert reason["why"] in kinds
        assert any(note.startswith(f"No {reason['what']}") for note in processor["notes"])


def test_a_device_asked_for_by_name_shows_its_stock_modes_and_remarks(done):
    shown = done("devices", "sim:orin-nano").out

    assert re.search(r"stock modes +15W, 7W", shown)
    assert "- Simulated" in shown


def test_a_replay_shows_what_the_file_has(done, grid_csv):
    (device,) = done("devices", f"replay:{grid_csv}", "--json").json["devices"]

    assert device["modes"] == 160
    assert device["workloads"] == ["resnet18", "mobilenet_v3", "lstm"]


def test_an_unknown_device_is_answered_with_those_there_are(run):
    ran = run("devices", "sim:orin-agz")

    assert ran.code == 2
    assert "did you mean 'sim:orin-agx'" in ran.error_line


def test_modes_counts(done):
    assert done("modes", "sim:orin-agx", "--count").out == "18096\n"
    assert done("modes", "sim:orin-agx", "--count", "--json").json["count"] == 18096


def test_modes_shows_the_knobs(done):
    shown = done("modes", "sim:orin-agx").out

    assert "cpu_cores: 12 values, 1 to 12" in shown


def test_a_sample_is_drawn_by_its_seed(done):
    drawn = [
        done("modes", "sim:orin-agx", "--sample", 10, "--sampling", "random", "--seed", seed, "--json").json
        for seed in (0, 0, 1)
    ]

    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]["modes"]) == 10


def test_a_sample_goes_to_a_file_that_predict_reads(done, tmp_path, predictor_file):
    path = tmp_path / "modes.csv"
    sampled = done("modes", "sim:orin-agx", "--sample", 7, "--csv", path, "--json").json["modes"]
    predicted = done("predict", predictor_file, "--modes", path, "--json").json["predictions"]

    assert [row["mode"] for row in predicted] == sampled


def test_a_long_sample_is_cut_short_on_the_screen_and_says_so(done):
    shown = done("modes", "sim:orin-agx", "--sample", 12, "--limit", 10).out

    assert "2 more; --limit shows them" in shown


def test_more_modes_than_there_are_is_one_line(run, grid_csv):
    ran = run("modes", f"replay:{grid_csv}", "--sample", 161)

    assert ran.code == 1
    assert "there are 160" in ran.error_line


def test_counting_a_sample_is_wrong_use(run):
    assert run("modes", "sim:orin-agx", "--count", "--sample", 5).code == 2


COUNTS = ",".join(map(str, range(1, 4001)))
VAST = f"cpu?batch_size={COUNTS}&loader_workers={COUNTS}"


def test_a_space_too_large_to_list_is_counted_and_sampled(done):
    count = int(done("modes", VAST, "--count").out)
    sample = done("modes", VAST, "--sample", 7, "--json").json

    assert count % 16_000_000 == 0
    assert sample["count"] == len({str(mode) for mode in sample["modes"]}) == 7
    assert f"{count:,}" in done("modes", VAST).out


def test_listing_a_space_that_is_too_large_is_one_line(run, tmp_path):
    ran = run("modes", VAST, "--csv", tmp_path / "all.csv")

    assert ran.code == 1
    assert "too large to list" in ran.error_line


def test_import_reports_what_it_added(done, grid_csv, tmp_path, board_name):
    (report,) = done("import", grid_csv, "--db", tmp_path / "p.db", "--json").json

    assert report["added"] == [
        {"device": board_name, "workload": w, "profiles": 160} for w in ("resnet18", "mobilenet_v3", "lstm")
    ]
    assert report["knobs"] == ["cpu_cores", "cpu_mhz", "gpu_mhz", "mem_mhz"]


def test_importing_a_file_twice_adds_nothing(done, grid_csv, tmp_path):
    database = tmp_path / "p.db"
    done("import", grid_csv, "--db", database)
    again = done("import", grid_csv, "--db", database)

    assert "480 profiles" in again.out
    assert "--again adds them" in again.out
    with open_store(database) as store:
        assert len(store.profiles()) == 480


def test_a_column_that_is_not_known_is_asked_about_and_the_line_that_is_proposed_works(run, done, tmp_path):
    path, database = tmp_path / "board.csv", tmp_path / "p.db"
    path.write_text("GPU Freq;power(mW);time[s]\n1300,5;30250;0,0125\n")
    owner = ("--device", "My board", "--workload", "mine")
    refused = run("import", path, "--db", database, *owner)
    assert refused.code == 1
    assert '--map "GPU Freq=gpu_mhz"' in refused.err
    assert not database.exists()

    added = done("import", path, "--db", database, *owner, "--map", "GPU Freq=gpu_mhz", "--json").json
    assert added[0]["added"] == [{"device": "My board", "workload": "mine", "profiles": 1}]
    with open_store(database) as store:
        (profile,) = store.profiles()
    assert (str(profile.mode), profile.time_ms, profile.power_w) == ("gpu_mhz=1300.5", 12.5, 30.25)


@pytest.mark.parametrize("mapped", ["gpu_mhz", "=gpu_mhz", "GPU Freq="])
def test_a_map_without_a_column_or_an_answer_is_wrong_use(run, tmp_path, mapped):
    path = tmp_path / "a.csv"
    path.write_text("gpu_mhz,time_ms\n900,5\n")
    refused = run("import", path, "--db", tmp_path / "p.db", "--map", mapped)
    assert refused.code == 2
    assert "is not COLUMN=WHAT" in refused.err


LOG = """\
11-26-2026 14:03:20 RAM 3000/7620MB CPU [1%@1510,off] VDD_IN 5000mW/5000mW VDD_SOC 1400mW/1400mW
11-26-2026 14:03:21 RAM 3000/7620MB CPU [1%@1510,off] VDD_IN 7000mW/6000mW VDD_SOC 1400mW/1400mW
11-26-2026 14:03:22 RAM 3000/7620MB CPU [1%@1510,off] VDD_IN 9000mW/7000mW VDD_SOC 1400mW/1400mW
"""


@pytest.mark.parametrize(
    ("log", "begin"),
    [(LOG, "2026-11-26 14:03:20"), (LOG.replace("11-26-2026 ", ""), "0"), (LOG, "11-26-2026 14:03:20")],
    ids=["times", "no times", "as the log has them"],
)
def test_a_log_of_tegrastats_gives_each_row_its_mean_power(done, tmp_path, log, begin):
    if begin == "0":
        log = "".join(line[9:] + "\n" for line in log.splitlines())
    (tmp_path / "tegra.log").write_text(log)
    end = begin.replace("20", "21").replace("2126", "2026") if begin != "0" else "1"
    (tmp_path / "steps.csv").write_text(f"gpu_mhz,start,end,time_ms\n600,{begin},{end},20\n900,1.5,2.5,15\n")
    database = tmp_path / "p.db"
    owner = ("--device", "Nano", "--workload", "w", "--tegrastats", tmp_path / "tegra.log")
    done("import", tmp_path / "steps.csv", "--db", database, *owner)
    with open_store(database) as store:
        profiles = store.profiles()
    assert [p.power_w for p in profiles] == [6, 9]
    assert profiles[0].extra["power_from"] == "VDD_IN"


def test_lines_of_a_log_that_show_no_power_that_can_be_enter_no_mean():
    log = PowerLog.read(LOG.replace("VDD_IN 7000mW", "VDD_IN -7000mW"))
    assert log.mean_w("0", "2") == 7
    with pytest.raises(DataError, match="go back after 2026-11-26 14:03:22: the clock was set"):
        PowerLog.read(LOG + LOG)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("gpu_mhz,start,end,time_ms\n600,100,101,20\n", "the log has no line from 100 to 101"),
        ("gpu_mhz,start,end,time_ms\n600,2,1,20\n", "end '1' is not after start '2'"),
        ("gpu_mhz,start,end,time_ms\n600,now,1,20\n", "'now' is not a time"),
        ("gpu_mhz,time_ms\n600,20\n", "no column 'start' or 'end'"),
        ("gpu_mhz,start,end,time_ms,power_w\n600,0,1,20,5\n", "has a power of its own"),
    ],
)
def test_steps_that_do_not_go_with_the_log_are_refused(run, tmp_path, steps, message):
    (tmp_path / "tegra.log").write_text(LOG)
    (tmp_path / "steps.csv").write_text(steps)
    owner = ("--device", "Nano", "--workload", "w", "--tegrastats", tmp_path / "tegra.log")
    refused = run("import", tmp_path / "steps.csv", "--db", tmp_path / "p.db", *owner)
    assert refused.code == 1
    assert message in refused.err


def test_again_adds_repeated_measurements(done, grid_csv, tmp_path):
    database = tmp_path / "p.db"
    done("import", grid_csv, "--db", database)
    done("import", grid_csv, "--db", database, "--again")

    with open_store(database) as store:
        assert len(store.profiles()) == 960


def test_remarks_about_a_file_are_warnings_on_stderr(done, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("device,workload,gpu_mhz,time_ms,power_w,note\nb,w,100,5,6,hot\nb,w,100,5,6,hot\n")
    ran = done("import", path, "--db", tmp_path / "p.db")

    assert "warning: " in ran.err
    assert "note" in ran.err


def test_an_export_is_what_was_imported(done, grid_csv, database, tmp_path):
    path = tmp_path / "out.csv"
    assert done("export", "--db", database, path, "--json").json["profiles"] == 480

    assert sorted(path.read_text().splitlines()) == sorted(grid_csv.read_text().splitlines())


def test_an_export_may_be_of_one_workload(done, database, tmp_path):
    path = tmp_path / "out.csv"
    done("export", "--db", database, path, "--workload", "lstm")

    assert len(path.read_text().splitlines()) == 161


def test_exporting_an_unknown_workload_is_one_line_and_writes_nothing(run, database, tmp_path):
    ran = run("export", "--db", database, tmp_path / "out.csv", "--workload", "lstn")

    assert ran.code == 2
    assert "did you mean 'lstm'" in ran.error_line
    assert not (tmp_path / "out.csv").exists()
