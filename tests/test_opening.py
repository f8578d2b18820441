"""From a spec to a device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from powertrain import devices
from powertrain.devices.jetson import JetsonDevice
from powertrain.errors import DataError, DeviceError, UnknownNameError
from powertrain.opening import open_device
from powertrain.records import ModeTable, ProfileTable
from powertrain.virtual import BOARDS, Disturbances, SimulatedBoard


def reader(*names: str):
    """Return a reader that finds one profile of each device, and keeps the paths it was asked for."""

    def read(path: Path) -> list[ProfileTable]:
        read.paths.append(path)
        modes = ModeTable(knobs=("gpu_mhz",), values=np.array([[600.0]]))
        return [
            ProfileTable(device=name, workload="bert", modes=modes, time_ms=np.ones(1), power_w=np.ones(1))
            for name in names
        ]

    read.paths = []
    return read


def test_the_exports_of_the_floor_of_devices_are_these():
    assert devices.__all__ == [
        "SIMULATED_SUFFIX",
        "AbstractDevice",
        "AbstractLiveDevice",
        "AbstractTabulatedDevice",
        "Clock",
        "DeviceKind",
        "DeviceSpec",
        "Holder",
        "Journal",
        "MonotonicClock",
        "Opening",
        "PowerReading",
        "Reason",
        "ServiceNeeds",
        "Settings",
        "Terminated",
        "VirtualClock",
        "Why",
        "is_simulated",
        "live",
        "restore_held",
    ]


@pytest.mark.parametrize("spec", BOARDS)
def test_each_simulated_board_opens_under_its_own_spec(spec):
    device = open_device(spec)
    assert isinstance(device, SimulatedBoard)
    assert (open_device(device.spec).name, device.spec) == (device.name, spec)
    assert device.name.endswith(" (simulated)")
    assert device.simulated


def test_options_of_a_board_follow_a_question_mark():
    device = open_device("sim:orin-nano?seed=3&off=noise,heat")
    given = device.disturbances
    assert (given.step_noise_rel_sd, given.visit_power_rel_sd, given.heat) == (0, 0, False)
    assert given.quantised
    assert device.spec == "sim:orin-nano?seed=3&off=noise,heat"
    assert open_device("sim:orin-nano?off=all").disturbances == Disturbances.none()


@pytest.mark.parametrize(
    ("options", "remark"),
    [
        ("sede=3", "did you mean 'seed'"),
        ("seed=three", "a seed is a whole number"),
        ("off=noize", "did you mean 'noise'"),
        ("clock=virtula", "did you mean 'virtual'"),
    ],
)
def test_a_wrong_option_of_a_board_is_one_line_that_says_what_to_do(options, remark):
    with pytest.raises((UnknownNameError, DeviceError), match=remark):
        open_device(f"sim:orin-agx?{options}")


def test_a_file_of_one_device_needs_no_device():
    read = reader("Jetson TX2")
    device = open_device("replay:data/tx2.csv", read_tables=read)
    assert (device.name, device.spec) == ("Jetson TX2", "replay:data/tx2.csv")
    assert read.paths == [Path("data/tx2.csv")]


def test_a_device_is_named_after_a_hash():
    read = reader("Nano", "Jetson AGX Xavier")
    device = open_device("replay:two.csv#Jetson AGX Xavier", read_tables=read)
    assert device.name == "Jetson AGX Xavier"
    assert device.workloads() == ("bert",)
    assert read.paths == [Path("two.csv")]


def test_a_file_whose_name_holds_a_hash_is_found(tmp_path):
    file = tmp_path / "run#3.csv"
    file.touch()
    read = reader("Nano")
    open_device(f"replay:{file}", read_tables=read)
    open_device(f"replay:{file}#Nano", read_tables=read)
    assert read.paths == [file, file]


def test_a_file_of_several_devices_needs_one_named():
    with pytest.raises(DeviceError, match=r"2 devices, A, B: add one, as in #A"):
        open_device("replay:two.csv", read_tables=reader("B", "A"))


def test_a_device_that_the_file_lacks_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'Nano'"):
        open_device("replay:two.csv#Nanno", read_tables=reader("Nano", "TX2"))


def test_a_file_without_profiles_is_refused():
    with pytest.raises(DataError, match="no profiles"):
        open_device("replay:empty.csv", read_tables=reader())


def test_a_replay_without_a_reader_says_what_to_pass():
    with pytest.raises(DeviceError, match="read_tables"):
        open_device("replay:two.csv")


def test_a_machine_that_is_no_jetson_says_so_in_one_line():
    with pytest.raises(DeviceError, match="Jetson") as error:
        open_device("jetson")
    assert "\n" not in str(error.value)


def test_an_emulated_jetson_is_the_real_device_on_emulated_files():
    device = open_device("emulated:orin-agx@jp6?batch_size=8,16")
    assert isinstance(device, JetsonDevice)
    assert device.name == "Jetson AGX Orin 64GB (simulated)"
    assert device.space.shape[-1] == 2
    assert open_device(device.spec).name == device.name
    with pytest.raises(UnknownNameError, match="orin-agx@jp6"):
        open_device("emulated:orin-agx@jp66")


@pytest.mark.parametrize(
    ("spec", "near"),
    [
        ("sim:orin", "sim:orin-agx"),
        ("orin-agx", "sim:orin-agx"),
        ("replay:", "replay:FILE.csv"),
        ("", "'auto' or 'cpu'"),
    ],
)
def test_an_unknown_spec_is_refused_with_the_nearest(spec, near):
    with pytest.raises(UnknownNameError, match=near):
        open_device(spec)


@pytest.mark.parametrize("spec", ["/data/tx2.csv", "TX2.CSV", "data/two.csv#Jetson TX2"])
def test_a_csv_file_given_as_a_device_is_refused_with_the_spec_that_replays_it(spec):
    with pytest.raises(UnknownNameError) as error:
        open_device(spec)
    assert str(error.value) == f"unknown device {spec!r}: did you mean 'replay:{spec}'?"


def test_a_misspelt_kind_of_device_is_not_taken_for_a_csv_file():
    with pytest.raises(UnknownNameError, match=r"did you mean 'replay:FILE\.csv'"):
        open_device("reply:FILE.csv")
