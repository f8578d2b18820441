"""What the Jetson device finds out about a board, and whom it asks to change it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.devices.jetson.boards import (
    ALLOWED,
    CPU,
    Changed,
    board_of,
    device_on,
    every_board,
    gpu_folder,
    middle,
)
from typing_extensions import override

from powertrain.devices import Journal, VirtualClock
from powertrain.devices.jetson import JetsonDevice, jetson_here
from powertrain.devices.remote import RemotePart
from powertrain.errors import DeviceError, PowerTrainError, UnknownNameError
from powertrain.records import PowerMode
from powertrain.virtual.emulated import EMULATED, EmulatedSysfs

AGX = "orin-agx@jp6"
MODEL, COMPATIBLE = "/proc/device-tree/model", "/proc/device-tree/compatible"


@every_board
def test_every_board_is_recognised(name, tmp_path):
    board = board_of(name)
    device = device_on(board, tmp_path)
    assert jetson_here(board)
    assert device.identity.soc == EMULATED[name].soc
    assert device.identity.jetpack == name[-1]
    assert device.identity.l4t in " ".join(device.notes())
    unnamed = JetsonDevice(sysfs=board, clock=board.clock, journal=Journal(tmp_path / "journal"))
    assert unnamed.name == EMULATED[name].title
    assert not unnamed.simulated


def test_the_module_counts_and_not_the_carrier_board(tmp_path):
    board = board_of(AGX)
    changed = Changed(board, {COMPATIBLE: "acme,robot+p3701-0005\0nvidia,tegra234\0", MODEL: "ACME Robot\0"})
    device = JetsonDevice(sysfs=changed, clock=board.clock, journal=Journal(tmp_path))
    assert (device.name, device.identity.module) == ("Jetson AGX Orin 64GB", "p3701-0005")


def test_a_module_that_is_not_known_is_called_what_it_calls_itself(tmp_path):
    board = board_of(AGX)
    changed = Changed(board, {COMPATIBLE: "nvidia,tegra999\0", MODEL: "NVIDIA Jetson \x1b[2JZeta\0"})
    device = JetsonDevice(sysfs=changed, clock=board.clock, journal=Journal(tmp_path))
    assert (device.name, device.identity.soc) == (r"Jetson \x1b[2JZeta", "tegra999")
    assert len(device.space) == 15_312


@pytest.mark.parametrize("no_clock", ["0", "1", "-5", "abc"])
def test_an_entry_of_a_table_that_is_no_clock_takes_no_other_with_it(no_clock, tmp_path):
    board = board_of(AGX)
    tables = [f"{gpu_folder(board)}/available_frequencies"]
    tables += board.glob(f"{CPU}/cpufreq/policy*/scaling_available_frequencies")
    listed = {board.resolve(path): board.read_or(path) for path in tables}
    odd = {path: f"{text} {no_clock}" for path, text in listed.items() if text}
    device, usual = device_on(board, tmp_path, sysfs=Changed(board, odd)), device_on(board, tmp_path)
    assert device.space == usual.space


@pytest.mark.parametrize("compatible", ["raspberrypi,5-model-b\0brcm,bcm2712\0", None])
def test_another_machine_is_refused_in_one_line(compatible):
    other = Changed(board_of(AGX), {COMPATIBLE: compatible})
    assert not jetson_here(other)
    with pytest.raises(DeviceError, match=r"^this is not a Jetson: [^\n]+$"):
        JetsonDevice(sysfs=other)


def test_processors_that_share_one_policy_are_set_once(tmp_path):
    board = board_of("xavier-agx@jp4")
    policies = {f"{CPU}/cpufreq/policy{n}": None for n in (2, 4, 6)}
    files = {f"{path}/related_cpus": None for path in policies}
    changed = Changed(board, {**policies, **files, f"{CPU}/cpufreq/policy0/related_cpus": "0 1 2 3 4 5 6 7"})
    device, start = device_on(board, tmp_path, sysfs=changed), len(board.writes)
    with device.hold(middle(device)):
        pass
    touched = {write.path.split("/")[6] for write in board.writes[start:] if "/cpufreq/" in write.path}
    assert touched == {"policy0"}
    assert any(note == "cpu_mhz sets 1 cpufreq policy, each once." for note in device.notes())


def test_a_cluster_that_is_off_line_at_first_is_found_by_its_links_and_set(tmp_path):
    board = board_of(AGX, power_model="MODE_15W")  # 4 of 12 processors
    device = device_on(board, tmp_path)
    with device.hold(middle(device).replace(cpu_cores=12, cpu_mhz=345.6)):
        for policy in (0, 4, 8):
            assert board.read(f"{CPU}/cpufreq/policy{policy}/scaling_max_freq") == "345600"


def test_on_tx2_the_denver_cores_come_last(tmp_path):
    board = board_of("tx2@jp4")
    device = device_on(board, tmp_path)
    with device.hold(middle(device).replace(cpu_cores=4)):
        assert board.read(f"{CPU}/online") == "0,3-5"
    assert any("0,3,4,5,1,2" in note for note in device.notes())


@every_board
def test_stock_modes_are_those_of_the_conf(name, tmp_path):
    device = device_on(board_of(name), tmp_path)
    assert list(device.stock_modes()) == [model.name for model in EMULATED[name].power_models]
    assert all(mode in device.space for mode in device.stock_modes().values())


def test_stock_modes_carry_the_usual_software_knobs_and_follow_the_options(tmp_path):
    device = device_on(board_of(AGX), tmp_path, "batch_size=8,16&gpu_mhz=408,612")
    assert device.space.names == ("cpu_cores", "cpu_mhz", "gpu_mhz", "mem_mhz", "batch_size")
    assert set(device.stock_modes()) == {"MODE_15W", "MODE_30W"}
    assert device.stock_modes()["MODE_15W"]["batch_size"] == 8
    with pytest.raises(UnknownNameError, match="warp"):
        device_on(board_of(AGX), tmp_path, "warp=9")


def test_the_environment_tells_what_is_no_knob(tmp_path):
    said = device_on(board_of(AGX), tmp_path).environment()
    assert said["nvpmodel_mode"] == "MODE_30W"
    assert (said["module"], said["l4t"], said["jetpack"]) == ("p3701-0005", "36.4.3", "6")
    assert (said["power_samples"], said["tpc_pg_mask"]) == ("512", "240")
    assert all(re.fullmatch("[a-z0-9_]+", key) for key in said)
    assert device_on(board_of("thor@jp7"), tmp_path).environment()["gpu_pg_mask"] == "512"


def test_a_container_is_told(tmp_path):
    board = board_of(AGX)
    device = device_on(board, tmp_path, sysfs=Changed(board, {"/.dockerenv": ""}))
    assert any("container" in note for note in device.notes())


def test_a_workload_trains_on_what_opens_jobs_and_an_unknown_one_is_refused_before(tmp_path):
    asked: list[Any] = []
    board = board_of(AGX)
    device = JetsonDevice(
        sysfs=board,
        clock=board.clock,
        journal=Journal(tmp_path),
        jobs=lambda workload, data: asked.append((workload, data)) or board.job(workload),
    )
    with device.job("resnet18", data=tmp_path) as job:
        assert job.workload == "resnet18"
    with pytest.raises(UnknownNameError):
        device.job("resnet1")
    assert asked == [("resnet18", tmp_path)]


class Helper(RemotePart):
    """Somebody who may change a board, for the tests."""

    name = "a helper"

    def __init__(self, device: JetsonDevice) -> None:
        self._device, self._settings = device, device._holder.settings
        self.rails = device.rails
        self.knobs = {knob.name: knob.values for knob in device.space.knobs}

    @override
    def save(self) -> Mapping[str, Any]:
        return self._settings.save()

    @override
    def write(self, mode: PowerMode) -> None:
        self._settings.write(mode)

    @override
    def lost(self, mode: PowerMode) -> str:
        return self._settings.lost(mode)

    @override
    def put_back(self, saved: Mapping[str, Any]) -> None:
        self._settings.put_back(saved)

    @override
    def notes(self) -> tuple[str, ...]:
        return ("A helper sets the clocks.",)

    @override
    def read_w(self) -> Mapping[str, float]:
        return self._device.read_power().rails_w

    @override
    def throttle_count(self) -> int:
        return self._device.throttle_count()


def test_who_may_not_change_the_board_asks_the_helper(tmp_path):
    board = board_of(AGX)
    root = device_on(board, tmp_path / "root")
    before = board.state()
    device = device_on(board, tmp_path, sysfs=board.seen_by("nobody"), helper=lambda key: Helper(root))
    assert device.space == root.space
    assert device.stock_modes() == root.stock_modes()
    assert "A helper sets the clocks." in device.notes()
    with device.hold(middle(device)):
        assert board.mode == pytest.approx(dict(middle(device)))
        assert device.still_holds() == ""
    assert board.state() == before


def test_root_needs_no_helper_and_without_one_a_user_has_affinity_alone(tmp_path):
    board = board_of(AGX)

    def never(key: str) -> None:
        raise AssertionError("asked")

    assert len(device_on(board, tmp_path, helper=never).space) == 15_312
    device = device_on(board, tmp_path, sysfs=board.seen_by("nobody"), helper=lambda key: None)
    assert device.space.names == ("cpu_cores",)
    assert device.stock_modes() == {}


PATHS = [
    *(MODEL, COMPATIBLE, "/etc/nv_tegra_release", "/etc/nvpmodel/nvpmodel_p3701_0000.conf"),
    *("/var/lib/nvpmodel/status", f"{CPU}/cpu3/online", f"{CPU}/cpufreq/policy0/related_cpus"),
    *(f"{CPU}/cpufreq/policy4/scaling_{name}" for name in ("min_freq", "max_freq", "governor")),
    f"{CPU}/cpufreq/policy0/scaling_available_frequencies",
    f"{CPU}/cpufreq/policy0/cpuinfo_min_freq",
    *(
        f"/sys/devices/platform/17000000.gpu/devfreq/17000000.gpu/{name}"
        for name in ("available_frequencies", "min_freq", "max_freq", "cur_freq")
    ),
    "/sys/devices/platform/17000000.gpu/railgate_enable",
    *(
        f"/sys/kernel/debug/bpmp/debug/clk/emc/{name}"
        for name in ("rate", "min_rate", "max_rate", "dvfs_table")
    ),
    "/sys/kernel/debug/bpmp/debug/clk/emc/mrq_rate_locked",
    "/sys/kernel/nvpmodel_clk_cap/emc",
    *(
        f"/sys/class/hwmon/hwmon6/{name}"
        for name in ("name", "in1_label", "in1_input", "curr2_input", "samples")
    ),
    *(f"/sys/class/thermal/thermal_zone0/{name}" for name in ("type", "temp", "trip_point_0_temp")),
    "/sys/class/thermal/cooling_device0/cur_state",
]
GARBAGE = st.one_of(
    st.none(),
    st.text(max_size=40),
    st.integers(-(10**30), 10**30).map(str),
    st.lists(st.integers(0, 10**10).map(str), max_size=9).map(" ".join),
    st.sampled_from(["", "0", "9" * 5000, "nan", "-1", "1e9", "0 0 0", "\0", "²³", "nvidia,tegra234"]),
)


@given(st.dictionaries(st.sampled_from(PATHS), GARBAGE, min_size=1, max_size=5))
@settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_files_say_there_is_a_device_or_one_line_and_no_other_file_is_written(tmp_path, texts):
    board = EmulatedSysfs(AGX, clock=VirtualClock())
    changed = Changed(board, texts)
    try:
        device = device_on(board, tmp_path, sysfs=changed)
        assert all("\n" not in note and note.endswith(".") for note in device.notes())
        device.environment(), device.stock_modes(), device.throttle_count(), device.temperature_c()
        with device.hold(device.space[len(device.space) // 2]):
            device.read_power()
    except PowerTrainError as error:
        assert re.fullmatch(r"[^\n]+", str(error))  # noqa: PT017
    except OSError:
        assert any("hwmon" in path for path in texts)  # a monitor that does not answer
    assert all(ALLOWED.fullmatch(write.path) for write in board.writes)
    for journal in (tmp_path / "journal").glob("*.json"):
        journal.unlink()  # of what such a board did not take back
