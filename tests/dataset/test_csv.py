from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from powertrain.dataset import read_csv, write_csv
from powertrain.errors import CsvError, DataError, MissingKnobError
from powertrain.records import PowerMode, Profile
from powertrain.space import KNOWN_KNOBS
from powertrain.testing import example_profiles

HEADER = "device,workload,gpu_mhz,time_ms,power_w\n"
ROW = "Orin,resnet18,1300.5,12.5,30.25\n"
SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "profiles.csv"


def reading(path: Path, text: str | bytes, **options):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_csv(path, **options)


def knobs_of(path: Path, header: str, row: str, **options):
    return reading(path, f"{header}\n{row}\n", **options).knobs


# What is read


def test_a_row_becomes_a_profile(path):
    file = reading(path, HEADER + ROW)
    mode = PowerMode(gpu_mhz=1300.5)
    expected = Profile(device="Orin", workload="resnet18", mode=mode, time_ms=12.5, power_w=30.25)
    assert (file.profiles, file.knobs, file.warnings) == ([expected], ("gpu_mhz",), ())


def test_an_empty_time_or_power_is_not_measured(path):
    time_only, power_only = reading(path, HEADER + "D,w,1000,5,\nD,w,1100, ,9\n").profiles
    assert (time_only.time_ms, power_only.power_w) == (5.0, 9.0)
    assert math.isnan(time_only.power_w)
    assert math.isnan(power_only.time_ms)


@pytest.mark.parametrize(("kept", "lost"), [("time_ms", "power_w"), ("power_w", "time_ms")])
def test_the_column_of_time_or_of_power_may_be_missing(path, kept, lost):
    (profile,) = reading(path, f"device,workload,gpu_mhz,{kept}\nD,w,1000,5\n").profiles
    assert getattr(profile, kept) == 5.0
    assert math.isnan(getattr(profile, lost))


def test_a_row_with_neither_is_skipped_and_counted(path):
    file = reading(path, HEADER + ROW + "Orin,resnet18,624,,\n" + "Orin,resnet18,306,nan,\n")
    assert len(file.profiles) == 1
    assert file.warnings == (f"{path}: 2 of 3 rows have neither time nor power and were skipped",)


@pytest.mark.parametrize(
    ("column", "cell", "field", "value"),
    [
        ("time_s", "0.5", "time_ms", 500.0),
        ("time_us", "250", "time_ms", 0.25),
        ("power_mw", "8500", "power_w", 8.5),
    ],
)
def test_time_and_power_in_other_units_are_converted_with_a_remark(path, column, cell, field, value):
    file = reading(path, f"device,workload,gpu_mhz,{column}\nD,w,1000,{cell}\n")
    assert getattr(file.profiles[0], field) == value
    assert file.warnings == (f"{path}: {column} was converted to {field}",)


@pytest.mark.parametrize(
    ("column", "cell", "knob", "value"),
    [
        ("gpu_khz", "1300500", "gpu_mhz", 1300.5),
        ("cpu_hz", "2201600000", "cpu_mhz", 2201.6),
        ("mem_ghz", "3.199", "mem_mhz", 3199.0),
        ("gpu_khz_max", "624750", "gpu_mhz_max", 624.75),
        ("power_limit_mw", "15000", "power_limit_w", 15.0),
    ],
)
def test_knobs_in_other_units_are_converted_with_a_remark(path, column, cell, knob, value):
    file = reading(path, f"device,workload,{column},time_ms\nD,w,{cell},5\n")
    assert file.profiles[0].mode == PowerMode({knob: value})
    assert file.warnings == (f"{path}: {column} was converted to {knob}",)


def test_known_knobs_are_found_anywhere(path):
    assert knobs_of(path, "cpu_cores,time_ms,device,workload,power_limit_w,batch_size", "4,1,D,w,30,16") == (
        "cpu_cores",
        "power_limit_w",
        "batch_size",
    )


def test_numbers_under_an_unknown_name_are_asked_about_with_the_options_that_answer(path):
    text = "device,workload,prefetch,power_cap,gpu_clock,time_ms\nD,w,2,64,900,5\n"
    with pytest.raises(CsvError) as refusal:
        reading(path, text)
    line = '--map "prefetch=knob:prefetch" --map "power_cap=power_limit_w" --map "gpu_clock=gpu_mhz"'
    assert line in str(refusal.value)
    answers = {"prefetch": "knob:prefetch", "power_cap": "power_limit_w", "gpu_clock": "gpu_mhz"}
    assert reading(path, text, columns=answers).knobs == ("prefetch", "power_limit_w", "gpu_mhz")


def test_behind_the_measurements_only_names_like_a_knobs_are_knobs(path):
    header = "device,workload,time_ms,dla_mhz,gpu_mhz_seen,npu_cores,temperature_c,loss,cpu_hz_limit"
    file = reading(path, f"{header}\nD,w,5,1000,999,2,55.5,0.1,2000000000\n")
    assert file.knobs == ("dla_mhz", "npu_cores", "cpu_mhz_limit")
    assert file.profiles[0].extra == {"gpu_mhz_seen": "999", "temperature_c": "55.5", "loss": "0.1"}


@pytest.mark.parametrize(
    "column",
    ["run", "Unnamed: 0", "energy_j", "runtime_ms", "temp_c", "gpu_util", "cpu_mhz_mean", "peak gpu_mhz"],
)
def test_counters_and_measurements_before_the_time_are_no_knobs(path, column):
    file = reading(path, f"device,workload,gpu_mhz,{column},time_ms\nD,w,1000,3,5\n")
    assert file.knobs == ("gpu_mhz",)
    assert file.profiles[0].extra == {column: "3"}
    assert file.warnings == (f"{path}: kept with the profiles, but not as knobs: {column}",)


def test_text_columns_are_kept_aside_and_named_in_one_warning(path):
    file = reading(
        path, "device,workload,mode_name,gpu_mhz,time_ms,note\nD,w,MAXN,1000,5,\nD,w,15W,900,6,ok\n"
    )
    assert file.knobs == ("gpu_mhz",)
    assert [p.extra for p in file.profiles] == [{"mode_name": "MAXN"}, {"mode_name": "15W", "note": "ok"}]
    assert file.warnings == (f"{path}: kept with the profiles, but not as knobs: mode_name, note",)


def test_the_knobs_may_be_named_instead(path):
    text = "device,workload,gpu_mhz,cpu_khz,run,time_ms\nD,w,1000,2000000,3,5\n"
    file = reading(path, text, knobs=["run", "cpu_khz"])
    assert file.knobs == ("cpu_mhz", "run")
    assert file.profiles[0].mode == PowerMode(cpu_mhz=2000, run=3)
    assert file.profiles[0].extra == {"gpu_mhz": "1000"}


def test_a_prefix_settles_what_a_column_is(path):
    file = reading(path, "device,workload,extra:gpu_mhz,knob:time,time_ms\nD,w,fast,3,5\n")
    assert file.profiles[0].mode == PowerMode(time=3)
    assert file.profiles[0].extra == {"gpu_mhz": "fast"}
    assert file.warnings == ()


def test_a_knob_that_a_workload_never_fills_in_is_one_that_it_lacks(path):
    text = "device,workload,cpu_mhz,gpu_mhz,time_ms\nXavier,a,1000,900,5\nNano,a,,800,6\nNano,b,,700,7\n"
    file = reading(path, text)
    assert [p.mode for p in file.profiles[1:]] == [PowerMode(gpu_mhz=800), PowerMode(gpu_mhz=700)]
    assert file.knobs == ("cpu_mhz", "gpu_mhz")
    assert file.warnings == (
        f"{path}: cpu_mhz is always empty, and taken as no knob, for 'a' on 'Nano', 'b' on 'Nano'",
    )


def test_all_fields_of_a_profile_are_read(path):
    header = "device,workload,gpu_mhz,time_ms,power_w,time_rel_se,power_rel_se,duration_s,flags\n"
    (profile,) = reading(path, f"{header}D,w,1000,5,6,0.01,0,3.5,throttled; drift\n").profiles
    assert (profile.time_rel_se, profile.power_rel_se, profile.duration_s) == (0.01, 0.0, 3.5)
    assert profile.flags == ("throttled", "drift")


def test_a_clock_that_looks_like_gigahertz_is_remarked(path):
    assert reading(path, HEADER + "D,w,1.3,2,3\n").warnings == (
        f"{path}: gpu_mhz is below 10 MHz in every row: is it GHz?",
    )


@pytest.mark.parametrize(
    ("header", "cell"), [("cpu_khz", "1300"), ("cpu_hz", "1300000"), ("cpu_ghz", "0.0013")]
)
def test_a_converted_clock_that_comes_out_slow_is_asked_about_as_the_file_names_it(path, header, cell):
    assert reading(path, f"device,workload,{header},time_ms\nD,w,{cell},3\n").warnings == (
        f"{path}: {header} was converted to cpu_mhz",
        f"{path}: {header} is below 10 MHz in every row: is its unit right?",
    )


def test_repeats_are_kept_and_counted_with_the_exact_copies(path):
    file = reading(path, HEADER + ROW * 3 + ROW.replace("12.5", "13"))
    assert len(file.profiles) == 4
    assert file.warnings == (
        f"{path}: 3 of 4 rows repeat a mode, 2 of them as exact copies: all are kept, and averaged for fits",
    )


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: text.replace("\n", "\n\n").encode(),
        lambda text: ("\n" + text + ",,,,\n  \n").encode(),
        lambda text: text.replace(",", ", ").encode(),
        lambda text: text.replace("Orin", ' "Orin"').replace(",", ", ").encode(),
        lambda text: text.replace("Orin,resnet18", '"Orin","resnet18 "').encode(),
    ],
    ids=["mark", "crlf", "cr", "no end", "blank lines", "empty row", "padded", "padded quotes", "quotes"],
)
def test_the_usual_variants_of_the_format_read_alike(path, encode):
    assert reading(path, encode(HEADER + ROW)).profiles == reading(path, HEADER + ROW).profiles


def test_tables_hold_the_unflagged_profiles_of_each_workload_averaged(path):
    text = (
        HEADER.replace("power_w", "flags")
        + "D,w,900,2,\nD,v,900,5,\nD,w,900,4,\nD,w,800,9,drift\nE,w,1,1,drift\n"
    )
    tables = reading(path, text).tables()
    assert list(tables) == [("D", "w"), ("D", "v")]
    np.testing.assert_array_equal(tables["D", "w"].time_ms, [3.0])


@pytest.mark.parametrize(
    ("name", "rows", "workloads"),
    [
        ("jetson_tx2_grid", 3432, 3),
        ("zeus_training", 886, 13),
        ("jetson_two_boards", 416, 32),
        ("gpu_core_mem", 600, 30),
        ("llm_stages", 1920, 32),
        ("orin_training_modes", 5, 1),
    ],
)
def test_published_measurements_read_and_write_without_loss(path, name, rows, workloads):
    source = SHARED_DATA / f"{name}.csv"
    if not source.exists():
        pytest.skip(f"{name}.csv is not in {SHARED_DATA}")
    file = read_csv(source)
    assert (len(file.profiles), len(file.tables())) == (rows, workloads)
    assert write_csv(file.profiles, path) == rows
    assert read_csv(path).profiles == file.profiles


# What is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty: begin with a line device,workload,KNOBS,time_ms,power_w"),
        ("\n \n", "the file is empty"),
        (HEADER, "there is a header and no row: add one row per measured mode"),
        (HEADER.encode("utf-16"), "the text is UTF-16: save it as UTF-8"),
        (HEADER.encode() + b"Orin,r\xe9snet,1,2,3", "line 2: byte 0xe9 is not UTF-8: save it as UTF-8"),
        (HEADER + "Orin,w\0,1,2,3", "line 2: there is a NUL byte: give a text file"),
        ("workload,gpu_mhz,time_ms\nw,1,2", "line 1: no column 'device': it has workload, gpu_mhz, time_ms"),
        ("\ndevice,gpu_mhz,time_ms\nD,1,2", "line 2: no column 'workload'"),
        ("device,workload,gpu_mhz\nD,w,1", "line 1: neither time_ms nor power_w was measured"),
        ("device,workload,time_ms\nD,w,1", "no column is a knob: add one with its unit, such as gpu_mhz"),
        (HEADER.replace("power_w", "gpu_mhz") + ROW, "line 1: two columns are called 'gpu_mhz': keep one"),
        (
            "device,," + HEADER[7:] + "D,0," + ROW[5:],
            "line 1: column 2 has no name: name it, or leave it out",
        ),
        (HEADER.replace(",", ";") + ROW, "line 2: the row has 1 cells, the header 5"),
        (HEADER.replace(",", "\t") + ROW, "line 2: the row has 1 cells, the header 5"),
        (HEADER + ROW + "\nOrin,w,1,2\n", "line 4: the row has 4 cells, the header 5"),
        (HEADER + ROW + "Orin,w,1,2,3,\n", "line 3: the row has 6 cells, the header 5"),
        (HEADER + ROW + 'Orin,"w,1,2,3\n' + ROW, "line 3: the quoting is broken"),
        (HEADER + ",w,1000,2,3", "line 2: the device is empty: fill it in"),
        (HEADER + ROW + "Orin, ,1000,2,3", "line 3: the workload is empty: fill it in"),
        (HEADER + ROW * 2 + "Orin,w,1000,2,3\nOrin,w,,2,3", "line 5: gpu_mhz is empty: fill it in or delete"),
        (HEADER + "Orin,w,,2,3", "line 2: every knob is empty"),
        (HEADER + ROW + "Orin,w,nan,2,3", "line 3: gpu_mhz is 'nan', and a knob needs a finite number"),
        (HEADER + "Orin,w,inf,2,3", "line 2: gpu_mhz is 'inf', and a knob needs a finite number"),
        (
            HEADER + "Orin,w,fast,2,3",
            "line 2: gpu_mhz is 'fast', which is not a number; if the column is not a knob",
        ),
        (HEADER + 'Orin,w,"1,5",2,3', "line 2: gpu_mhz is '1,5', which is not a number"),
        (HEADER + "Orin,w,0,2,3", "line 2: gpu_mhz is '0', and must be above zero"),
        (HEADER + "Orin,w,-5,2,3", "line 2: gpu_mhz is '-5', and must be above zero"),
        (HEADER + ROW + "Orin,w,1,2x,3", "line 3: time_ms is '2x', which is not a number"),
        (HEADER + "Orin,w,1000,1_0,3", "line 2: time_ms is '1_0', which is not a number"),
        (HEADER + "Orin,w,1000,no,3", "line 2: time_ms is 'no', which is not a number: leave the cell empty"),
        (HEADER + "Orin,w,1000,0,3", "line 2: time_ms is '0', which is zero: leave the cell empty"),
        (HEADER + "Orin,w,1000,2,-3", "line 2: power_w is '-3', which is negative: leave the cell empty"),
        (HEADER + "Orin,w,1000,inf,3", "line 2: time_ms is 'inf', which is infinite: leave the cell empty"),
        (
            HEADER.replace("time_ms", "time_rel_se") + "D,w,1000,-1,3",
            "line 2: time_rel_se is '-1', which is negat",
        ),
        (
            HEADER + "Orin,w,1300500,2,3",
            "line 2: gpu_mhz is '1300500', more than 100000 MHz: if it is kHz or Hz",
        ),
        (
            HEADER + "Orin,w,1000,2,30250",
            "line 2: power_w is '30250', more than 10000 W: if its unit is smaller, call it power_mw",
        ),
        (
            HEADER.replace("time_ms", "time") + ROW,
            "line 1: column 'time' has no unit that can be used: rename it",
        ),
        (HEADER.replace("power_w", "power") + ROW, "rename it power_w or power_mw"),
        (HEADER.replace("time_ms", "time_min") + ROW, "rename it time_s"),
        (HEADER.replace("power_w", "time_s") + ROW, "'time_ms' and 'time_s' both give time_ms: keep one"),
        (HEADER.replace("power_w", "gpu_khz") + ROW, "'gpu_mhz' and 'gpu_khz' both give gpu_mhz: keep one"),
        (
            "device,workload,knob:tile,time_ms\nD,w,8,1\nD,w,16,2\nD,w,x,3\n",
            "line 4: knob:tile is 'x', which is not a number",
        ),
    ],
)
def test_a_file_that_breaks_the_form_gets_one_line_with_the_place(path, text, message):
    with pytest.raises(CsvError) as refusal:
        reading(path, text)
    assert message in str(refusal.value)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


def test_the_line_of_an_error_counts_line_breaks_within_quotes(path):
    with pytest.raises(CsvError, match="line 5: time_ms"):
        reading(path, HEADER + 'Orin,"two\nlines",1000,2,3\n\nOrin,w,1000,x,3\n')


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(CsvError, match=r"cannot read .*none.csv: No such file"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(CsvError, match="it is a folder, not a file"):
        read_csv(tmp_path)


def test_knobs_that_the_file_lacks_or_that_are_measured_are_refused_with_their_names(path):
    with pytest.raises(MissingKnobError, match=r"line 1: no column 'cpu_mhz' or 'x': it has device"):
        reading(path, HEADER + ROW, knobs=["cpu_mhz", "gpu_mhz", "x"])
    with pytest.raises(CsvError, match="'time_ms' was asked for as a knob"):
        reading(path, HEADER + ROW, knobs=["time_ms"])


# What is written


def test_writing_gives_plain_numbers_and_empty_cells(path):
    profiles = reading(path, HEADER + "Orin,w,1000.0,0.1,\nOrin,w,1300.5,1e22,30.250\n").profiles
    write_csv(profiles, path)
    assert path.read_text() == HEADER + "Orin,w,1000,0.1,\nOrin,w,1300.5,1e+22,30.25\n"


def test_writing_loses_nothing(path):
    given = [replace(p, flags=p.flags[:1]) for p in example_profiles()]
    assert write_csv(given, path) == len(given)
    assert read_csv(path).profiles == given


def test_names_that_would_be_misread_are_written_with_their_role(path):
    mode = PowerMode({"time": 1, "run": 2, "cpu_khz": 3, "device": 4, "note": 5, "knob:x": 6})
    extra = {"note": "a", "gpu_mhz": "b", "flags": "c", "power_w": "f", "extra:y": "d", "power": "e"}
    given = [Profile(device="D", workload="w", mode=mode, time_ms=1.0, extra=extra)]
    write_csv(given, path)
    header = path.read_text().splitlines()[0]
    assert header == (
        "device,workload,knob:time,knob:run,knob:cpu_khz,knob:device,knob:note,knob:knob:x,"
        "time_ms,power_w,extra:note,extra:gpu_mhz,extra:flags,extra:power_w,extra:extra:y,extra:power"
    )
    assert read_csv(path).profiles == given


def test_workloads_with_different_knobs_fit_into_one_file(path):
    plain = example_profiles()[0]
    given = [plain, replace(plain, workload="other", mode=PowerMode(mem_mhz=204))]
    write_csv(given, path)
    assert read_csv(path).profiles == given


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": PowerMode(mem_mhz=204, cpu_mhz=1)}, "differ in the knob batch_size, gpu_mhz, mem_mhz"),
        ({"device": " Orin"}, "cannot keep the name ' Orin'"),
        ({"extra": {"": "x"}}, "cannot keep the name ''"),
        ({"flags": ("a;b",)}, "cannot keep the flag 'a;b'"),
        ({"extra": {"note": "a\0"}}, "holds a NUL"),
        ({"workload": "\udc80"}, "cannot be written as UTF-8"),
    ],
)
def test_what_a_csv_file_cannot_keep_is_refused_before_the_file_changes(path, change, message):
    path.write_text("before")
    plain = example_profiles()[0]
    with pytest.raises(DataError, match=message):
        write_csv([plain, replace(plain, **change)], path)
    assert path.read_text() == "before"


def test_no_profiles_are_refused(path):
    with pytest.raises(DataError, match="no profiles to write"):
        write_csv([], path)
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_named_and_keeps_the_old_file(unprivileged_folder):
    path = unprivileged_folder / "profiles.csv"
    path.write_text("before")
    unprivileged_folder.chmod(0o555)
    with pytest.raises(
        CsvError, match=r"cannot write .*profiles.csv: the folder .* is read-only; choose another"
    ):
        write_csv(example_profiles()[:1], path)
    assert path.read_text() == "before"
    assert list(unprivileged_folder.iterdir()) == [path]


def test_a_missing_folder_or_a_folder_is_no_file_to_write(tmp_path):
    for path in (tmp_path / "missing" / "p.csv", tmp_path):
        with pytest.raises(CsvError, match="cannot write"):
            write_csv(example_profiles()[:1], path)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_written_to_and_stays_a_pipe(path):
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_csv(example_profiles()[:1], path)
        assert os.read(reader, 1000).startswith(b"device,workload,")
    finally:
        os.close(reader)
    assert path.is_fifo()


def test_writing_through_a_link_keeps_the_link(tmp_path, path):
    (tmp_path / "link.csv").symlink_to(path)
    write_csv(example_profiles()[:1], tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert len(read_csv(path).profiles) == 1


@pytest.mark.parametrize("name", KNOWN_KNOBS)
def test_every_known_knob_comes_back_at_its_least_value(name, tmp_path):
    least = KNOWN_KNOBS[name].least
    profile = Profile(device="d", workload="w", mode=PowerMode({name: least, "gpu_mhz": 600}), time_ms=1.0)

    write_csv([profile], tmp_path / "p.csv")

    assert read_csv(tmp_path / "p.csv").profiles == [profile]
