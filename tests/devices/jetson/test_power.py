"""The power of a Jetson: which rails are its sum, over which time they are averaged, who reads them."""

from __future__ import annotations

import errno
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.devices.jetson.boards import Changed, board_of, device_on, every_board

from powertrain.devices.jetson import TegrastatsReader
from powertrain.devices.jetson._power import summed_rails
from powertrain.errors import DeviceError
from powertrain.profiling import profile_modes
from powertrain.virtual.emulated import EMULATED

AGX = "orin-agx@jp6"


def test_the_window_of_a_reading_sets_how_long_to_settle(tmp_path):
    device = device_on(board_of(AGX), tmp_path)
    assert device.power_window_s == pytest.approx(0.43)
    assert device.settle_s == 2.0
    slow = {f"/sys/class/hwmon/hwmon{n}/update_interval": "1500" for n in range(8)}
    board = board_of(AGX)
    assert device_on(board, tmp_path, sysfs=Changed(board, slow)).settle_s == 4.5
    assert device_on(board_of("nano@jp4"), tmp_path).settle_s == 2.0


RULES = {
    "orin-agx": ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    "orin-nx": ("VDD_IN",),
    "orin-nano": ("VDD_IN",),
    "xavier-agx": ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
    "xavier-nx": ("VDD_IN",),
    "tx2": ("VDD_IN",),
    "nano": ("POM_5V_IN",),
    "thor": ("VIN",),
}


@every_board
def test_power_follows_the_rule_of_the_board(name, tmp_path):
    device = device_on(board_of(name), tmp_path)
    assert device.rails == next(rails for board, rails in RULES.items() if name.startswith(board))
    reading = device.read_power()
    assert reading.power_w == pytest.approx(sum(reading.rails_w[rail] for rail in device.rails))
    assert "NC" not in reading.rails_w
    assert set(reading.rails_w) >= set(device.rails)


@pytest.mark.parametrize(
    "name", [name for name in EMULATED if not name.startswith(("orin-agx", "xavier-agx", "thor"))]
)
def test_without_the_rail_that_carries_all_there_is_no_power(name, tmp_path):
    board = board_of(name)
    labels = [f"{chip}/in{n}_label" for chip in board.glob("/sys/class/hwmon/hwmon*") for n in (1, 2, 3)]
    labels += [f"{chip}/rail_name_{k}" for chip in board.glob("/sys/bus/i2c/*/*/*/iio*") for k in range(3)]
    gone = {path: "NC" for path in labels if board.read_or(path) in ("VDD_IN", "POM_5V_IN")}
    chips = board.glob("/sys/class/hwmon/hwmon*")
    gone |= {f"{chip}/name": "other" for chip in chips if board.read_or(f"{chip}/name") == "ina238"}
    device = device_on(board, tmp_path, sysfs=Changed(board, gone))
    assert gone
    assert device.rails == ()
    assert any("are not the whole board's" in note for note in device.notes())


@every_board
def test_a_rail_of_somebodys_carrier_board_is_recorded_and_not_added(name, tmp_path):
    board = board_of(name)
    more = {"name": "ina3221", "in1_label": "CAMERA", "in1_input": "5000", "curr1_input": "100"}
    chip = "/sys/class/hwmon/hwmon99"
    changed = Changed(board, {chip: "", **{f"{chip}/{file}": text for file, text in more.items()}})
    device, usual = device_on(board, tmp_path, sysfs=changed), device_on(board, tmp_path)
    assert device.rails == usual.rails
    assert device.read_power().rails_w["CAMERA"] == pytest.approx(0.5)
    assert any("CAMERA" in note and "recorded and not added" in note for note in device.notes())


NESTED = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO")


@every_board
def test_a_rail_that_another_one_feeds_is_recorded_beside_and_not_added(name, tmp_path):
    device = device_on(board_of(name), tmp_path)
    reading = device.read_power()
    assert not any(outer in device.rails and inner in device.rails for outer, inner in device.nested_rails)
    if name.startswith("orin-agx"):
        assert device.nested_rails == (("VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"),)
        assert reading.rails_w["VDDQ_VDD2_1V8AO"] > 0
        assert any("VDDQ_VDD2_1V8AO is recorded and not added" in note for note in device.notes())


def test_an_option_chooses_which_rails_are_added_and_says_what_is_counted_twice(tmp_path):
    board = board_of(AGX)
    device = device_on(board, tmp_path, f"rails={'+'.join(NESTED)}&gpu_mhz=612")
    assert device.rails == NESTED
    assert device.read_power().power_w > device_on(board, tmp_path).read_power().power_w
    assert any("both are added: if so, the second is counted twice" in note for note in device.notes())
    assert device.space.knob("gpu_mhz").values == (612,)
    with pytest.raises(
        DeviceError, match=r"rails=VDD_IN: there is no rail VDD_IN; the board has VDD_GPU_SOC"
    ):
        device_on(board, tmp_path, "rails=VDD_IN")
    with pytest.raises(DeviceError, match="name each rail that is to be added, once"):
        device_on(board, tmp_path, "rails=VDD_CPU_CV,VDD_CPU_CV")


def test_a_thor_whose_carrier_does_not_measure_the_input_sums_its_modules_rails_and_says_so(tmp_path):
    board = board_of("thor@jp7")
    chips = board.glob("/sys/class/hwmon/hwmon*")
    gone = {f"{chip}/name": "other" for chip in chips if board.read_or(f"{chip}/name") == "ina238"}
    device = device_on(board, tmp_path, sysfs=Changed(board, gone))
    assert device.rails == ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0")
    assert any("the module's" in note and "UNCONFIRMED" in note for note in device.notes())


def test_parts_that_draw_more_than_the_whole_are_told_beside_it(tmp_path):
    device = device_on(board_of("orin-nano@jp6"), tmp_path)
    reading = device.read_power()
    assert reading.least_w == pytest.approx(reading.rails_w["VDD_CPU_GPU_CV"] + reading.rails_w["VDD_SOC"])
    assert reading.least_w < reading.power_w


@pytest.mark.parametrize("name", ["orin-nano@jp6", "nano@jp4", "thor@jp7"])
def test_a_whole_that_reads_below_zero_is_no_power_from_hwmon_iio_or_an_ina238(name, tmp_path):
    board = board_of(name)
    files = [f"{chip}/curr1_input" for chip in board.glob("/sys/class/hwmon/hwmon*")]
    files += [f"{chip}/power1_input" for chip in board.glob("/sys/class/hwmon/hwmon*")]
    files += board.glob("/sys/bus/i2c/drivers/ina3221x/*/iio:device*/in_power0_input")
    wrong = {board.resolve(path): "-900000000" for path in files if board.exists(path)}
    device = device_on(board, tmp_path, sysfs=Changed(board, wrong))
    with pytest.raises(DeviceError, match="a power below zero is not believed"):
        device.read_power()


def channel_of(board, label: str) -> str:
    """Return the file of a channel's label, without its ending."""
    files = [f"{chip}/in{n}_label" for chip in board.glob("/sys/class/hwmon/hwmon*") for n in (1, 2, 3)]
    return next(path.removesuffix("_label") for path in files if board.read_or(path) == label)


def test_two_channels_of_one_label_are_told_apart_and_none_is_taken_for_the_whole(tmp_path):
    board = board_of("orin-nano@jp6")
    twice = Changed(board, {f"{channel_of(board, 'VDD_SOC')}_label": "VDD_IN"})
    device = device_on(board, tmp_path, sysfs=twice)
    assert device.rails == ()
    assert any(
        "VDD_IN (1-0040 channel 1)" in note and "two channels have one label" in note
        for note in device.notes()
    )
    asked = device_on(board, tmp_path, "rails=VDD_IN (1-0040 channel 1)", sysfs=twice)
    assert asked.read_power().power_w == pytest.approx(5, rel=0.2)


def test_a_label_is_told_without_what_a_terminal_obeys(tmp_path):
    board = board_of("orin-nano@jp6")
    label = {f"{channel_of(board, 'VDD_SOC')}_label": "VDD\x1b[2J_SOC"}
    assert "\x1b" not in "".join(device_on(board, tmp_path, sysfs=Changed(board, label)).notes())


def profiled(board, folder, changed):
    device = device_on(board, folder, sysfs=Changed(board, changed))
    modes = device.modes()
    (found,) = profile_modes(device, board.job("resnet18"), modes.take([len(modes) - 1]))
    return found


def test_a_summed_rail_that_shows_less_than_what_it_feeds_flags_the_profile(tmp_path):
    board = board_of(AGX)
    current = board.resolve(channel_of(board, "VIN_SYS_5V0").replace("/in", "/curr") + "_input")
    found = profiled(board, tmp_path, {current: "0"})
    assert "sensors_disagree" in found.flags
    assert "parts of it as" in found.extra["sensors"]


def test_a_carriers_monitor_that_is_called_as_a_modules_input_is_compared_with_the_modules_rails(tmp_path):
    board, chip = board_of(AGX), "/sys/class/hwmon/hwmon99"
    more = {"name": "ina3221", "in1_label": "VDD_IN", "in1_input": "5000", "curr1_input": "100"}
    reading = device_on(
        board,
        tmp_path,
        sysfs=Changed(board, {chip: "", **{f"{chip}/{file}": text for file, text in more.items()}}),
    ).read_power()
    assert reading.power_w == pytest.approx(0.5)
    assert reading.least_w > 3


def test_a_monitor_that_is_saturated_gives_no_power(tmp_path):
    board = board_of("orin-nano@jp6")
    current = board.resolve(channel_of(board, "VDD_IN").replace("/in", "/curr") + "_input")
    found = profiled(board, tmp_path, {current: "163800"})
    assert "sensor_failed" in found.flags
    assert "draws 150 W at most" in found.extra["failed_readings"]


@given(st.lists(st.sampled_from(["VDD_IN", "POM_5V_IN", "VIN", "GPU", "VDD_SOC", "NC", ""]), unique=True))
def test_a_rail_that_carries_all_is_never_added_to_others(labels):
    summed = summed_rails(labels)
    assert "NC" not in summed
    assert "" not in summed
    assert len(summed) == 1 or not {"VDD_IN", "POM_5V_IN", "VIN"} & set(summed)


def test_tegrastats_is_read_where_the_monitors_are_roots(tmp_path):
    line = "RAM 1/2MB VDD_GPU_SOC 2390mW/2390mW VDD_CPU_CV 796mW/796mW VIN_SYS_5V0 3522mW/3522mW"
    # Its first line may lack what the others have.
    first = "print('RAM 1/2MB VDD_GPU_SOC 2390mW/2390mW', flush=True)"
    program = f"import time\n{first}\nwhile True:\n    time.sleep(0.02)\n    print({line!r}, flush=True)"
    started: list[TegrastatsReader] = []

    def start() -> TegrastatsReader:
        started.append(TegrastatsReader((sys.executable, "-c", program)))
        return started[-1]

    board = board_of("orin-agx@jp5", sensors_root_only=True)
    device = device_on(board, tmp_path, sysfs=board.seen_by("nobody"), tegrastats=start)
    with started[0]:
        assert device.rails == ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
        assert device.read_power().power_w == pytest.approx(6.708)
        assert any("from tegrastats" in note for note in device.notes())
    device_on(board, tmp_path, tegrastats=start)
    assert len(started) == 1


def test_tegrastats_that_is_not_there_is_one_more_reason(tmp_path):
    board = board_of("orin-agx@jp5", sensors_root_only=True)
    device = device_on(
        board,
        tmp_path,
        sysfs=board.seen_by("nobody"),
        tegrastats=lambda: TegrastatsReader(("no-such-program",)),
    )
    assert device.rails == ()
    assert any("no-such-program: it cannot be run" in note for note in device.notes())


def test_power_monitors_that_are_roots_are_named_and_not_guessed(tmp_path):
    board = board_of("orin-agx@jp5", sensors_root_only=True)
    assert device_on(board, tmp_path).read_power().power_w > 1
    device = device_on(board, tmp_path, sysfs=board.seen_by("nobody"))
    assert device.rails == ()
    assert any(note.startswith("No power sensor") and "root" in note for note in device.notes())
    with pytest.raises(DeviceError, match="no power sensor"):
        device.read_power()


def test_a_monitor_that_is_busy_is_asked_again_and_one_that_is_dead_is_an_error(tmp_path):
    board = board_of("orin-nano@jp6", sensor_errors={"VDD_IN": errno.EAGAIN}, sensor_errors_last=3)
    device = device_on(board, tmp_path)  # the first three are those of looking at it
    assert device.read_power().power_w > 1
    board = board_of("orin-nano@jp6", sensor_errors={"VDD_IN": errno.EIO})
    with pytest.raises(OSError, match="Input/output"):
        device_on(board, tmp_path).read_power()


def test_a_rail_that_is_not_summed_may_fail(tmp_path):
    board = board_of("orin-nano@jp6", sensor_errors={"VDD_SOC": errno.EIO})
    reading = device_on(board, tmp_path).read_power()
    assert set(reading.rails_w) == {"VDD_IN", "VDD_CPU_GPU_CV"}
    assert reading.power_w == reading.rails_w["VDD_IN"]
