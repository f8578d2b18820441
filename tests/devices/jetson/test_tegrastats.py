"""Reading tegrastats: lines as public logs have them, and a script that prints such lines in its place."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.waiting import PATIENCE_S, comes_true, until

from powertrain.devices import VirtualClock
from powertrain.devices.jetson import TegrastatsReader
from powertrain.devices.jetson._tegrastats import parse_tegrastats
from powertrain.errors import DeviceError

# Shapes as in public logs of the boards named; the numbers are of this test.
TX2_32 = (
    "RAM 1101/7850MB (lfb 451x4MB) SWAP 0/512MB (cached 0MB) CPU [1%@1833,off,off,0%@1971,0%@1971,0%@1971] "
    "EMC_FREQ 0%@1062 GR3D_FREQ 0%@114 APE 150 MTS fg 0% bg 0% BCPU@35C GPU@36.5C PMIC@100C "
    "VDD_SYS_GPU 152/152 VDD_SYS_SOC 533/533 VDD_4V0_WIFI 0/0 VDD_IN 1983/1990"
)
XAVIER_32 = (
    "RAM 900/15823MB (lfb 1x4MB) CPU [2%@1190,0%@1190,off,off] EMC_FREQ 0%@2133 GR3D_FREQ 7%@1377 GPU@28C "
    "CPU@29C GPU 1155/1155 CPU 385/385 SOC 2502/2502 CV 0/0 VDDRQ 192/192 SYS5V 2692/2692"
)
ORIN_35_ROOT = (
    "01-03-2023 16:07:54 RAM 2257/30536MB CPU [0%@729,off] EMC_FREQ 0%@204 GR3D_FREQ 14%@[407,408] "
    "GR3D2_FREQ 0%@0 VIC_FREQ 729 CV0@-256C SOC0@44.2C VDD_GPU_SOC 2390mW/2391mW VDD_CPU_CV 796mW/796mW "
    "VIN_SYS_5V0 3522mW/3522mW NC 0mW/0mW VDDQ_VDD2_1V8AO 301mW/301mW NC 0mW/0mW"
)
NANO_32 = "RAM 613/3964MB IRAM 0/252kB(lfb 252kB) CPU [2%@102] GR3D_FREQ 0% POM_5V_IN 933/943 POM_5V_GPU 0/0"
ORIN_39 = (
    "09-04-2026 19:40:47 CPU [64%@729,0%@729] EMC_FREQ 5%@665 GR3D_FREQ 12%@[306] NVDEC0 off VIC off APE 200 "
    "cpu@47.562C/48C VDD_IN 4093mW/4463mW/4832mW VDD_SOC 1243mW/1340mW/1437mW"
)
THOR_38 = (
    "CPU [0%,5%,off]@2601 EMC_FREQ @2750 GR3D_FREQ @[314,314,314] NVENC0_FREQ @1691 tj@51.218C/51.218C "
    "VDD_GPU 1962mW/1962mW VIN_SYS_5V0 5635mW/5635mW VIN 19780mW/19780mW FUTURE_TOKEN value"
)


@pytest.mark.parametrize(
    ("line", "rails_w"),
    [
        (TX2_32, {"VDD_SYS_GPU": 0.152, "VDD_SYS_SOC": 0.533, "VDD_4V0_WIFI": 0.0, "VDD_IN": 1.983}),
        (XAVIER_32, {"GPU": 1.155, "CPU": 0.385, "SOC": 2.502, "CV": 0.0, "VDDRQ": 0.192, "SYS5V": 2.692}),
        (
            ORIN_35_ROOT,
            {"VDD_GPU_SOC": 2.39, "VDD_CPU_CV": 0.796, "VIN_SYS_5V0": 3.522, "VDDQ_VDD2_1V8AO": 0.301},
        ),
        (NANO_32, {"POM_5V_IN": 0.933, "POM_5V_GPU": 0.0}),
        (ORIN_39, {"VDD_IN": 4.093, "VDD_SOC": 1.243}),
        (THOR_38, {"VDD_GPU": 1.962, "VIN_SYS_5V0": 5.635, "VIN": 19.78}),
        ("POM_5V_IN 1234mW", {"POM_5V_IN": 1.234}),
    ],
    ids=["tx2", "xavier", "orin-root", "nano", "orin-39", "thor", "one-number"],
)
def test_the_power_now_is_read_from_every_documented_form(line, rails_w):
    assert parse_tegrastats(line).rails_w == rails_w


def test_temperatures_are_told_from_rails_of_the_same_name():
    reading = parse_tegrastats(XAVIER_32)

    assert reading.temperatures_c == {"GPU": 28.0, "CPU": 29.0}


def test_a_sensor_that_is_off_has_no_temperature():
    assert parse_tegrastats(ORIN_35_ROOT).temperatures_c == {"SOC0": 44.2}


def test_clocks_are_read_in_every_documented_form():
    assert parse_tegrastats(TX2_32).clocks_mhz["GR3D"] == (114.0,)
    assert parse_tegrastats(ORIN_35_ROOT).clocks_mhz["GR3D"] == (407.0, 408.0)
    assert parse_tegrastats(THOR_38).clocks_mhz["GR3D"] == (314.0, 314.0, 314.0)
    assert parse_tegrastats(THOR_38).clocks_mhz["EMC"] == (2750.0,)
    assert "GR3D" not in parse_tegrastats(NANO_32).clocks_mhz


def test_a_core_that_is_off_has_no_clock():
    own, shared = parse_tegrastats(TX2_32).clocks_mhz["CPU"], parse_tegrastats(THOR_38).clocks_mhz["CPU"]

    assert own[0] == 1833.0
    assert [math.isnan(clock) for clock in own] == [False, True, True, False, False, False]
    assert shared[:2] == (2601.0, 2601.0)
    assert math.isnan(shared[2])


@given(st.text(max_size=400) | st.text(alphabet="VDD_INCPU@[]%/0123456789mWC .,-off", max_size=400))
def test_no_line_whatever_it_holds_is_an_error(line):
    reading = parse_tegrastats(line)

    assert all(0 <= watts < math.inf for watts in reading.rails_w.values())
    assert all(math.isfinite(celsius) for celsius in reading.temperatures_c.values())


@given(st.sets(st.integers(1, 6)), st.sampled_from([TX2_32, ORIN_35_ROOT, ORIN_39, THOR_38]))
def test_what_a_line_lacks_takes_nothing_else_away(drop, line):
    head, *rails = line.split(" VDD_")
    kept = [f" VDD_{rail}" for i, rail in enumerate(rails, start=1) if i not in drop]
    whole = parse_tegrastats(line)
    less = parse_tegrastats(head + "".join(kept))

    assert less.rails_w.items() <= whole.rails_w.items()
    assert {rail.split()[0] for rail in kept} <= {*less.rails_w}
    assert less.temperatures_c == whole.temperatures_c


@pytest.fixture
def script(tmp_path):
    """Write a program that stands for tegrastats."""

    def write(body: str) -> tuple[str, ...]:
        path = tmp_path / "tegrastats"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return (str(path), "--interval", "100")

    return write


def printing(line: str) -> str:
    return f"while :; do echo '{line}'; sleep 0.05; done"


def test_the_latest_line_is_given_with_its_time(script):
    with TegrastatsReader(script(printing(ORIN_39)), stale_s=PATIENCE_S) as reader:
        first = reader.latest(wait_s=PATIENCE_S)
        until(lambda: reader.latest().time_s > first.time_s)

    assert first.rails_w["VDD_IN"] == 4.093


def test_lines_without_power_in_between_do_not_matter(script):
    body = f"echo starting; echo '{NANO_32}'; while :; do echo 'junk %%% \\377'; sleep 0.05; done"
    with TegrastatsReader(script(body)) as reader:
        assert reader.latest(wait_s=PATIENCE_S).rails_w["POM_5V_IN"] == 0.933


def test_a_line_that_is_too_old_is_no_answer(script):
    clock = VirtualClock()
    with TegrastatsReader(script(f"echo '{NANO_32}'; sleep 60"), stale_s=0.1, clock=clock) as reader:
        reader.latest(wait_s=PATIENCE_S)
        clock.sleep_s(0.3)
        with pytest.raises(DeviceError, match=r"its latest line is \d+\.\d s old"):
            reader.latest()


def test_lines_without_any_power_are_told(script):
    def told() -> str:
        with pytest.raises(DeviceError) as error:
            reader.latest()
        return str(error.value)

    with TegrastatsReader(script("echo 'RAM 1/2MB'; exec sleep 60")) as reader:
        until(lambda: "none of its 1 lines has a power in it" in told())


def test_a_program_that_ends_is_told_with_its_code(script):
    with (
        TegrastatsReader(script("exit 3")) as reader,
        pytest.raises(DeviceError, match="printed nothing yet, and it ended with code 3"),
    ):
        reader.latest(wait_s=PATIENCE_S)


def test_its_standard_input_is_empty(script):
    with TegrastatsReader(script(f"read answer || echo '{NANO_32}'; sleep 60")) as reader:
        assert reader.latest(wait_s=PATIENCE_S).rails_w


def test_closing_ends_the_program_and_what_it_started(script, tmp_path):
    pids = tmp_path / "pids"
    reader = TegrastatsReader(script(f"sleep 60 & echo $$ $! > {pids}; echo '{NANO_32}'; wait"))
    reader.latest(wait_s=PATIENCE_S)
    reader.close()
    reader.close()

    for pid in pids.read_text().split():
        assert comes_true(lambda pid=int(pid): not is_alive(pid))


def test_a_program_that_ignores_being_asked_is_killed(script, tmp_path):
    pid = tmp_path / "pid"
    reader = TegrastatsReader(
        script(f"trap '' TERM; echo $$ > {pid}; echo '{NANO_32}'; while :; do sleep 0.1; done")
    )
    reader.latest(wait_s=PATIENCE_S)
    reader.close()

    assert comes_true(lambda: not is_alive(int(pid.read_text())))


def test_where_there_is_no_tegrastats_one_line_says_so(tmp_path):
    with pytest.raises(
        DeviceError, match=r"cannot be run \(No such file or directory\); it belongs to JetPack"
    ):
        TegrastatsReader((str(tmp_path / "tegrastats"),))


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and is waited for by nobody does not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
