from __future__ import annotations

import gzip
import json
import re

import pandas as pd
import polars as pl
import pytest

from powertrain.dataset import read_profiles
from powertrain.errors import CsvError, MissingExtraError
from powertrain.records import PowerMode, ProfileTable

ONE_OF_EACH = {"device": "D", "workload": "w"}


@pytest.fixture
def reading(tmp_path):
    def read(text: str | bytes, name: str = "table.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_profiles(path, **{**ONE_OF_EACH, **options})

    return read


def test_semicolons_and_decimal_commas_are_read(reading):
    text = "GPU Freq (MHz);power(mW);time[s];throughput\n1300,5;30250,5;0,0125;80,1\n"
    (profile,) = reading(text).profiles
    assert profile.mode == PowerMode(gpu_mhz=1300.5)
    assert (profile.time_ms, profile.power_w) == (12.5, 30.2505)
    assert profile.extra == {"throughput": "80,1"}


@pytest.mark.parametrize("separator", ["\t", "|", ";"])
def test_other_separators_are_read(reading, separator):
    text = "gpu_mhz,time_ms,power_w\n1300.5,12.5,30\n".replace(",", separator)
    assert reading(text).profiles[0].mode == PowerMode(gpu_mhz=1300.5)


def test_a_comma_that_may_part_thousands_is_refused(reading):
    with pytest.raises(
        CsvError, match="line 2: gpu_mhz is '1,300', and the comma may part decimals or thousands"
    ):
        reading("gpu_mhz\ttime_ms\n1,300\t5\n")


def test_a_table_that_mixes_decimal_commas_and_points_is_refused(reading):
    with pytest.raises(
        CsvError, match=r"line 3: time_ms is '1.234', and other numbers have a comma or a point"
    ):
        reading("gpu_mhz;time_ms\n900;12,5\n800;1.234\n")


@pytest.mark.parametrize(
    ("column", "cell", "mode"),
    [
        ("GPU Freq (MHz)", "900", PowerMode(gpu_mhz=900)),
        ("cpu_MHz", "900", PowerMode(cpu_mhz=900)),
        ("gpu_kHz", "900000", PowerMode(gpu_mhz=900)),
        ("GPU clock [GHz]", "0.9", PowerMode(gpu_mhz=900)),
        ("EMC frequency / MHz", "2133", PowerMode(mem_mhz=2133)),
        ("batch size", "16", PowerMode(batch_size=16)),
        ("Number of CPU cores", "4", PowerMode(cpu_cores=4)),
        ("power.limit [W]", "40.00 W", PowerMode(power_limit_w=40)),
        ("Power limit (mW)", "40000", PowerMode(power_limit_w=40)),
        ("clocks.applications.graphics [MHz]", "900 MHz", PowerMode(gpu_mhz=900)),
    ],
)
def test_knobs_are_known_in_other_spellings(reading, column, cell, mode):
    assert reading(f"{column},time_ms\n{cell},5\n").profiles[0].mode == mode


@pytest.mark.parametrize(
    ("column", "cell", "field", "value"),
    [
        ("power(mW)", "8500", "power_w", 8.5),
        ("Average Power (Watts)", "8.5", "power_w", 8.5),
        ("power_mean_mW", "8500", "power_w", 8.5),
        ("power.draw [W]", "8.50 W", "power_w", 8.5),
        ("time[s]", "0.5", "time_ms", 500),
        ("step time (ms)", "5", "time_ms", 5),
        ("Time per iteration [us]", "5000", "time_ms", 5),
    ],
)
def test_time_and_power_are_known_in_other_spellings(reading, column, cell, field, value):
    assert getattr(reading(f"gpu_mhz,{column}\n900,{cell}\n").profiles[0], field) == value


@pytest.mark.parametrize(
    "column",
    [
        *("Throughput (img/s)", "time stamp", "peak power [W]", "power_max_w", "average GPU clock (MHz)"),
        *("gpu_mhz_peak", "utilization.gpu [%]", "temperature.gpu", "memory.used [MiB]", "power_std_w"),
    ],
)
def test_what_was_observed_beside_is_kept_aside(reading, column):
    file = reading(f"gpu_mhz,time_ms,power_w,{column}\n900,5,8,3\n")
    assert (file.knobs, file.profiles[0].extra) == (("gpu_mhz",), {column: "3"})
    assert file.warnings[0].endswith(f"not as knobs: {column}")


@pytest.mark.parametrize(
    ("column", "answer"),
    [
        *(("GPU Freq", "gpu_mhz"), ("gpu_clock", "gpu_mhz"), ("power_cap", "power_limit_w")),
        *(("Cores", "cpu_cores"), ("fan_pct", "knob:fan_pct"), ("max_gpu_mhz", "gpu_mhz")),
        *(("clocks.current.graphics [MHz]", "gpu_mhz"), ("latency_ms", "time_ms"), ("Seconds", "time_s")),
    ],
)
def test_a_column_that_says_too_little_is_asked_about_with_the_line_that_answers(reading, column, answer):
    text = f"batch_size,power_w,{column}\n16,8,3\n"
    with pytest.raises(CsvError) as refusal:
        reading(text)
    assert f'--map "{column}={answer}"' in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(reading(text, columns={column: answer}).profiles) == 1


@pytest.mark.parametrize("column", ["max power (W)", "GPU power [W]", "power(MW)"])
def test_a_power_that_may_not_be_the_mean_is_asked_about_where_it_is_the_only_one(reading, column):
    with pytest.raises(CsvError) as refusal:
        reading(f"gpu_mhz,time_ms,{column}\n900,5,8\n")
    assert f'--map "{column}=power_w"' in str(refusal.value)


def test_what_a_column_is_said_to_be_holds_in_the_unit_of_its_name(reading):
    text = "Freq (kHz),Seconds,fan,note 2\n900000,0.5,30,7\n"
    meant = {"Freq (kHz)": "gpu_mhz", "Seconds": "time_s", "fan": "knob:fan_pct", "note 2": "extra:note"}
    (profile,) = reading(text, columns=meant).profiles
    assert profile.mode == PowerMode(gpu_mhz=900, fan_pct=30)
    assert (profile.time_ms, profile.extra) == (500, {"note": "7"})


@pytest.mark.parametrize(
    ("meant", "message"),
    [
        ({"nothing": "gpu_mhz"}, "no column 'nothing' to map"),
        ({"power [mW]": "time_ms"}, "is in mw, and time_ms is not"),
        ({"GPU [kHz]": "gpu_ghz"}, "is in khz by its name and in ghz by --map"),
        ({"time_ns": "time_us"}, "has a unit that is not converted"),
    ],
)
def test_an_answer_that_cannot_be_is_refused(reading, meant, message):
    with pytest.raises(CsvError, match=message):
        reading("GPU [kHz],power [mW],time_ns\n900000,8,5\n", columns=meant)


def test_the_query_of_nvidia_smi_is_read_once_it_is_said_which_clock_was_set(reading):
    text = (
        "timestamp, name, clocks.current.graphics [MHz], power.draw [W], temperature.gpu\n"
        "2026/01/01 10:00:00.000, NVIDIA A2, 1590 MHz, 9.71 W, 40\n"
        "2026/01/01 10:00:01.000, NVIDIA A2, 1500 MHz, [N/A], 40\n"
    )
    with pytest.raises(CsvError, match=r"clocks\.current\.graphics"):
        reading(text)
    meant = {"clocks.current.graphics [MHz]": "gpu_mhz", "name": "device"}
    file = reading(text, columns=meant, device=None)
    assert [(p.device, p.mode["gpu_mhz"], p.power_w) for p in file.profiles] == [("NVIDIA A2", 1590, 9.71)]
    assert "1 of 2 rows has neither time nor power" in file.warnings[-1]


def test_a_cell_in_another_unit_than_its_column_is_refused(reading):
    with pytest.raises(CsvError, match="'9 mW', and the unit of the column is w: convert it"):
        reading("gpu_mhz,power [W]\n900,9 mW\n")


def test_a_device_or_workload_that_the_table_has_is_not_given_beside_it(reading):
    with pytest.raises(CsvError, match="the table has a column device: leave out the device"):
        reading("device,gpu_mhz,time_ms\nX,900,5\n")
    with pytest.raises(CsvError, match=r"no column 'device': .* with --device NAME"):
        reading("gpu_mhz,time_ms\n900,5\n", device=None)


def test_gzip_is_unpacked_and_a_damaged_one_refused(reading):
    packed = gzip.compress(b"\xef\xbb\xbfgpu_mhz,time_ms\n900,5\n")
    assert reading(packed).profiles[0].time_ms == 5
    with pytest.raises(CsvError, match="the gzip file is damaged"):
        reading(packed[:-9])


ROWS = [{"gpu_mhz": 900, "time_ms": 5.25, "note": "a"}, {"gpu_mhz": 800, "time_ms": 6, "power_w": None}]


@pytest.mark.parametrize("write", [json.dumps, lambda rows: "\n".join(map(json.dumps, rows)) + "\n"])
def test_json_is_read_as_lines_or_as_a_list(reading, write):
    first, second = reading(write(ROWS), "table.json").profiles
    assert (first.mode, first.time_ms, first.extra) == (PowerMode(gpu_mhz=900), 5.25, {"note": "a"})
    assert second.time_ms == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"gpu_mhz": 900, "time_ms": 5}\n{"gpu_mhz": \n', "line 2: the JSON is broken"),
        ('{"gpu_mhz": 900, "time_ms": 5}\n[1]\n', "line 2: each row must be an object"),
        ('{"gpu_mhz": [900], "time_ms": 5}\n', "line 1: gpu_mhz is not a single value"),
        ("[]", "there is a header and no row|neither time_ms nor power_w"),
    ],
)
def test_json_that_is_no_table_gets_one_line(reading, text, message):
    with pytest.raises(CsvError, match=message):
        reading(text, "table.json")


@pytest.mark.parametrize("kind", ["parquet", "excel"])
def test_parquet_and_excel_are_read(reading, tmp_path, kind):
    frame = pd.DataFrame({"GPU Freq (MHz)": [900, 800], "time[s]": [0.005, None], "power_w": [8.5, 9]})
    path = tmp_path / ("t.parquet" if kind == "parquet" else "t.xlsx")
    frame.to_parquet(path) if kind == "parquet" else frame.to_excel(path, index=False)
    first, second = reading(path.read_bytes(), path.name).profiles
    assert (first.mode, first.time_ms, first.power_w) == (PowerMode(gpu_mhz=900), 5, 8.5)
    assert (second.power_w, second.time_ms == second.time_ms) == (9, False)


def test_without_pandas_polars_reads_parquet_and_without_both_one_line_says_so(
    reading, tmp_path, monkeypatch
):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"gpu_mhz": [900], "time_ms": [5.0]}).write_parquet(path)
    content = path.read_bytes()
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    assert reading(content).profiles[0].time_ms == 5
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(
        MissingExtraError, match=r"reading Parquet files needs pandas or polars, .*\[tables\]"
    ):
        reading(content)


def test_a_damaged_parquet_file_is_refused_in_one_line(reading):
    with pytest.raises(CsvError, match="cannot read it") as refusal:
        reading(b"PAR1" + bytes(100))
    assert "\n" not in str(refusal.value)


def test_a_table_of_many_blocks_is_read_like_a_small_one(reading):
    n = 40_000  # more than one block
    rows = "".join(f"{100 + i % 7},{1 + i},{2 + i % 50}\n" for i in range(n))
    file = reading("gpu_mhz,time_ms,power_w\n" + rows)
    assert len(file.profiles) == n
    assert (file.profiles[n - 1].time_ms, file.profiles[-1].mode) == (n, PowerMode(gpu_mhz=100 + (n - 1) % 7))
    with pytest.raises(CsvError, match=f"line {n + 2}: time_ms is 'x'"):
        reading("gpu_mhz,time_ms,power_w\n" + rows + "100,x,2\n")


@pytest.mark.parametrize(
    "text",
    [
        "Measured on Monday\n\nGPU Freq (MHz),time_ms\n900,5\n",
        "Measured on Monday,,\n,,\nGPU Freq (MHz),time_ms,note\n900,5,\n",
        "# by hand, twice\n# on my desk\nGPU Freq (MHz);time_ms\n900;5\n",
        "# gpu_mhz,time_ms\n900,5\n",
        "gpu_freq,time\nMHz,ms\n900,5\n",
        "gpu_freq;time\n[MHz];[s]\n900;0,005\n",
        ",gpu_mhz,time_ms\n0,900,5\n",
        "gpu_mhz,it/s\n900,200\n",
        "gpu_mhz,sec/step\n900,0.005\n",
        "GPU_MHz,stepTime (ms),power_w\n900,5,N/A\n",
        "metrics.powertrain/mode/gpu_mhz,metrics.powertrain/time_ms\n900,5\n",
    ],
)
def test_tables_are_read_as_people_keep_them(reading, text):
    (profile,) = reading(text).profiles
    assert profile.mode == PowerMode(gpu_mhz=900)
    assert profile.time_ms == pytest.approx(5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",,time_ms,time_ms\n,,mean,std\n900,5,6,1\n", "line 1: the names of the columns take two rows"),
        ("gpu_mhz time_ms power_w\n900 5 9\n", "line 1: no comma, semicolon or tab parts the columns"),
        ("| gpu_mhz | time_ms |\n|--:|--:|\n| 900 | 5 |\n", "a table of Markdown: save it as CSV"),
        ("RAM 3000/7620MB CPU [1%@1510] VDD_IN 6900mW/6900mW\n", "give the log with --tegrastats"),
        (b"BZh91AY&SY", "compressed with bzip2: unpack it first"),
        ('gpu_mhz,power_mw\n900,"18,000"\n', "power_mw is '18,000', and its thousands are parted"),
        (
            "gpu_mhz,images/s\n900,80\n",
            "'images/s' counts samples, and no column has the time of a minibatch",
        ),
        ("gpu_mhz,time (h)\n900,1\n", "column 'time (h)' has a unit that is not converted"),
        ("nvpmodel,time_ms\nMAXN,5\n", "no column is a knob: add one with its unit"),
        ("GPU-Takt (MHz),Zeit (ms)\n900,5\n", '--map "GPU-Takt (MHz)=gpu_mhz" --map "Zeit (ms)=time_ms"'),
        ("gpu_mhz,step_time\n900,5\n", "extra:NAME is kept aside; time_s for seconds)"),
    ],
)
def test_a_table_that_cannot_be_read_says_what_to_do(reading, text, message):
    with pytest.raises(CsvError, match=re.escape(message)):
        reading(text)


def test_samples_a_second_are_never_taken_for_a_time(reading):
    with pytest.raises(CsvError, match="counts samples"):
        reading("gpu_mhz,images/s\n900,80\n", columns={"images/s": "time_ms"})
    (profile,) = reading("gpu_mhz,it/s\n900,80\n", columns={"it/s": "time_ms"}).profiles
    assert profile.time_ms == 12.5


@pytest.mark.parametrize(
    "text",
    [
        '{"config": {"gpu_mhz": 900}, "metrics": {"time_ms": 5.0}}\n',
        '{"gpu_mhz": [900], "time_ms": [5.0]}',
        '{"gpu_mhz": {"0": 900}, "time_ms": {"0": 5.0}}',
        '[{"gpu_mhz": 900, "result": {"time_ms": 5.0}}]',
    ],
)
def test_json_is_read_nested_and_by_column(reading, text):
    (profile,) = reading(text).profiles
    assert (profile.mode, profile.time_ms) == (PowerMode(gpu_mhz=900), 5)


def test_a_sheet_is_found_below_its_title_and_behind_a_sheet_of_notes(reading, tmp_path):
    with pd.ExcelWriter(tmp_path / "book.xlsx") as book:
        pd.DataFrame([["Read me"]]).to_excel(book, sheet_name="Notes", index=False, header=False)
        table = [["Measured in March", None], [None, None], ["GPU Freq (MHz)", "time (ms)"], [900, 5]]
        pd.DataFrame(table).to_excel(book, sheet_name="Data", index=False, header=False)
    (profile,) = read_profiles(tmp_path / "book.xlsx", **ONE_OF_EACH).profiles
    assert (profile.mode, profile.time_ms) == (PowerMode(gpu_mhz=900), 5)


def test_a_frame_is_read_with_its_groups_and_the_levels_of_its_columns(reading):
    frame = pd.DataFrame({"gpu_mhz": [900, 900], "time_ms": [4.0, 6.0]})
    grouped = frame.groupby("gpu_mhz").agg({"time_ms": ["mean", "std"]})
    table = ProfileTable.from_pandas(grouped, **ONE_OF_EACH)
    assert (table.modes[0], table.time_ms[0]) == (PowerMode(gpu_mhz=900), 5)
