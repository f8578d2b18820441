"""An NVIDIA GPU as a device: the real binding, on an emulated driver library."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.devices.nvml.emulated import AT_REST, NOT_SUPPORTED, UNKNOWN
from typing_extensions import override

from powertrain.devices import VirtualClock, Why
from powertrain.devices._parts import SETTLE_S
from powertrain.devices.nvml import NvmlDevice
from powertrain.errors import (
    DeviceError,
    DevicePermissionError,
    UnknownNameError,
    UnreachableModeError,
    WorkloadError,
)
from powertrain.records import PowerMode
from powertrain.testing import LiveDeviceSuite

MODE = PowerMode(cpu_cores=1, gpu_mhz=900, mem_mhz=1600, power_limit_w=311)
UNSUPPORTED = "this GPU or its driver does not support it"
TRAINING = """
import time

def make():
    return lambda: time.sleep(0.002)
"""
HW_SLOWDOWN, HW_THERMAL, SW_THERMAL, POWER_BRAKE, SW_POWER_CAP = 0x08, 0x40, 0x20, 0x80, 0x04


class TestEmulatedGpu(LiveDeviceSuite):
    """Everything that a live device does, on an emulated GPU."""

    @pytest.fixture(autouse=True)
    def training(self, emulated, monkeypatch):
        monkeypatch.setattr("powertrain.devices.nvml._device.cuda_index", lambda uuid: None)
        self.file = emulated.folder / "train.py"
        self.file.write_text(TRAINING)
        self.emulated = emulated

    @override
    def open_device(self) -> NvmlDevice:
        return self.emulated.open()

    @override
    def workload(self, device: NvmlDevice) -> str:
        return f"{self.file}:make"

    @override
    def state(self, device: NvmlDevice) -> object:
        return self.emulated.settings(), self.emulated.kept()


# Modes


def test_its_knobs_are_what_the_emulated_driver_lets_be_set(emulated):
    space = emulated.open("").space
    assert space.names == ("cpu_cores", "gpu_mhz", "mem_mhz", "power_limit_w")
    assert space.knob("gpu_mhz").values == (600, 900, 1200, 1500, 1800)
    assert space.knob("mem_mhz").values == (1600, 2600)
    assert space.knob("power_limit_w").values[::9] == (200, 700)


def test_power_limits_are_whole_watts_from_end_to_end_with_the_default_among_them(emulated):
    emulated.set(least_mw=100_500, most_mw=349_700, default_mw=333_000)
    limits_w = emulated.open().space.knob("power_limit_w").values
    assert (limits_w[0], limits_w[-1]) == (101, 349)
    assert 333 in limits_w
    assert len(limits_w) == 11
    assert all(watts == round(watts) for watts in limits_w)


def test_its_modes_are_only_the_clocks_that_exist_together(emulated):
    device = emulated.open("cpu_cores=1&power_limit_w=200")
    pairs = {(mode["gpu_mhz"], mode["mem_mhz"]) for mode in device.modes()}
    assert len(device.modes()) == 8
    assert len(device.space) == 10
    assert pairs == {(g, 2600) for g in (600, 900, 1200, 1500, 1800)} | {(g, 1600) for g in (600, 900, 1200)}


def test_a_clock_that_does_not_exist_with_the_memory_clock_is_refused_with_the_nearest(emulated):
    with (
        pytest.raises(
            DeviceError, match="gpu_mhz=1800 does not exist with mem_mhz=1600: the nearest is 1200"
        ),
        emulated.open().hold(MODE.replace(gpu_mhz=1800)),
    ):
        pass
    assert emulated.get("writes") == 0


def test_options_leave_only_clocks_that_exist_with_one_another(emulated):
    assert emulated.open("mem_mhz=1600").space.knob("gpu_mhz").values == (600, 900, 1200)
    assert emulated.open("gpu_mhz=1500").space.knob("mem_mhz").values == (2600,)
    with pytest.raises(
        DeviceError, match="no gpu_mhz=1500 exists with mem_mhz=1600: with 1600 there are 600,900"
    ):
        emulated.open("mem_mhz=1600&gpu_mhz=1500")
    with pytest.raises(DeviceError, match="gpu_mhz has no value 1000: the nearest is 900"):
        emulated.open("gpu_mhz=1000")


def test_software_knobs_come_from_the_options(emulated):
    device = emulated.open("cpu_cores=1&gpu_mhz=900&power_limit_w=200&batch_size=8,16")
    assert device.spec == "nvml:0?cpu_cores=1&gpu_mhz=900&power_limit_w=200&batch_size=8,16"
    assert len(device.modes()) == 4
    with pytest.raises(UnknownNameError, match="unknown knob of nvml:0 'warp'"):
        emulated.open("warp=9")


def test_how_it_comes_is_a_mode_only_where_clocks_are_no_knobs(emulated):
    assert emulated.open().stock_modes() == {}
    emulated.set(no_clocks=1)
    stock = emulated.open("").stock_modes()["default"]
    assert stock["power_limit_w"] == 700


# Holding


def test_a_mode_that_is_held_is_set_on_the_emulated_gpu(emulated):
    emulated.set(limit_mw=650_123)
    device = emulated.open()
    with device.hold(MODE):
        assert emulated.settings() == {"limit_mw": 311_000, "graphics_lock": 900, "memory_lock": 1600}
        assert emulated.kept() == ["GPU-e0000000-0000-4000-8000-000000000001"]
    assert emulated.settings() == {**AT_REST, "limit_mw": 650_123}
    assert emulated.kept() == []
    assert emulated.settings(gpu=1) == AT_REST


@pytest.mark.parametrize("code", [UNKNOWN, NOT_SUPPORTED])
@pytest.mark.parametrize(
    "function",
    ["nvmlDeviceSetMemoryLockedClocks", "nvmlDeviceSetGpuLockedClocks", "nvmlDeviceSetPowerManagementLimit"],
)
def test_what_was_set_is_put_back_when_the_emulated_driver_fails_half_way(emulated, function, code):
    device = emulated.open()
    emulated.fail(function, code)
    with pytest.raises(DeviceError, match=function), device.hold(MODE):
        pass
    assert emulated.settings() == AT_REST
    assert emulated.kept() == []
    emulated.fail("", 0)
    with device.hold(MODE):
        assert emulated.get("graphics_lock") == 900


def test_a_limit_that_something_else_holds_lower_is_unreachable_and_put_back(emulated):
    emulated.set(out_of_band_mw=500_000)
    device = emulated.open()
    with device.hold(MODE):
        pass
    with (
        pytest.raises(UnreachableModeError, match="set to 700 W and something else holds it to 500 W"),
        device.hold(MODE.replace(power_limit_w=700)),
    ):
        pass
    assert emulated.settings() == AT_REST


def test_a_limit_that_is_read_back_as_another_is_unreachable_and_put_back(emulated):
    emulated.set(rounds_limit=1)
    with (
        pytest.raises(UnreachableModeError, match="set to 311 W and shows 310 W"),
        emulated.open().hold(MODE),
    ):
        pass
    assert emulated.settings() == AT_REST
    assert emulated.kept() == []


def test_what_cannot_be_given_back_is_kept_in_the_journal_until_it_can(emulated):
    device = emulated.open()
    with pytest.raises(DeviceError, match="nvmlDeviceResetGpuLockedClocks"), device.hold(MODE):
        emulated.fail("nvmlDeviceResetGpuLockedClocks", UNKNOWN)
    assert emulated.settings() == {**AT_REST, "graphics_lock": 900}
    assert len(emulated.kept()) == 1
    emulated.fail("", 0)
    assert emulated.open().restore()
    assert emulated.settings() == AT_REST
    assert not device.restore()


def test_a_gpu_that_is_lost_while_it_is_held_leaves_its_state_in_the_journal(emulated):
    device = emulated.open()
    with pytest.raises(DeviceError, match="the GPU is lost"), device.hold(MODE):
        emulated.set(lost=1)
    assert len(emulated.kept()) == 1


@pytest.mark.parametrize("busy", [0, 1000])
def test_a_clock_below_its_lock_is_no_failure_and_is_waited_for_only_on_a_busy_gpu(emulated, busy):
    emulated.set(busy_permille=busy)
    clock = VirtualClock()
    mode = PowerMode(cpu_cores=1, gpu_mhz=1800, mem_mhz=2600, power_limit_w=200)
    emulated.set(limit_mw=200_000)
    with emulated.open(clock=clock).hold(mode):
        assert clock.now_s() - SETTLE_S == pytest.approx(0.2 if busy else 0, abs=0.05)
        assert emulated.get("graphics_lock") == 1800


# Permission, and what a GPU lacks


def test_without_root_there_are_only_the_cores_and_the_notes_say_why(emulated):
    device = emulated.open(euid=lambda: 1000)
    assert device.space.names == ("cpu_cores",)
    notes = " ".join(device.notes())
    for knob in ("gpu_mhz", "mem_mhz", "power_limit_w"):
        assert f"No {knob}: changing it needs root; run sudo powertrain setup-helper --device nvml:0" in notes
    assert device.read_power().power_w > 0
    with device.hold(PowerMode(cpu_cores=1)):
        assert not list((emulated.folder / "journal").glob("*.json"))
    assert device.stock_modes().keys() <= {"default"}


def test_without_root_a_gpu_knob_is_refused_by_its_permission_before_anything_is_written(emulated):
    device = emulated.open(euid=lambda: 1000)
    with (
        pytest.raises(DevicePermissionError, match="no gpu_mhz: changing it needs root"),
        device.hold(MODE),
    ):
        pass
    with pytest.raises(DevicePermissionError, match="no power_limit_w: changing it needs root"):
        emulated.open("power_limit_w=200", euid=lambda: 1000)
    assert emulated.get("writes") == 0


@pytest.mark.parametrize(("effective", "may"), [("000001ffffffffff", True), ("00000000a80425fb", False)])
def test_root_of_a_container_needs_the_capability_that_the_driver_asks_for(emulated, effective, may):
    (emulated.root / "proc/self").mkdir(parents=True)
    (emulated.root / "proc/self/status").write_text(f"Name:\tpython\nCapEff:\t{effective}\nSeccomp:\t0\n")
    device = emulated.open()
    assert ("gpu_mhz" in device.space.names) == may
    assert any("--cap-add=SYS_ADMIN" in note for note in device.notes()) != may


def test_a_write_that_the_emulated_driver_refuses_all_the_same_leaves_everything_as_it_was(emulated):
    emulated.set(root=0)
    device = emulated.open()
    for _ in range(2):
        with pytest.raises(DevicePermissionError, match="needs root"), device.hold(MODE):
            pass
        assert (emulated.settings(), emulated.kept(), emulated.get("writes")) == (AT_REST, [], 0)


def test_a_state_that_may_not_be_given_back_is_kept(emulated):
    device = emulated.open()
    with pytest.raises(DevicePermissionError), device.hold(MODE):
        emulated.set(root=0)
    assert len(emulated.kept()) == 1
    with pytest.raises(DevicePermissionError):
        device.restore()
    emulated.set(root=1)
    assert device.restore()
    assert emulated.settings() == AT_REST


@pytest.mark.parametrize(
    ("lacks", "knobs", "note"),
    [
        (
            {"no_limit": 1},
            ("gpu_mhz", "mem_mhz"),
            f"No power_limit_w: {UNSUPPORTED}.",
        ),
        ({"no_clocks": 1}, ("power_limit_w",), f"No gpu_mhz: {UNSUPPORTED}."),
        (
            {"arch": 6},
            ("gpu_mhz", "power_limit_w"),
            f"No mem_mhz: {UNSUPPORTED}.",
        ),
        ({"arch": 4}, ("power_limit_w",), f"No gpu_mhz: {UNSUPPORTED}."),
        (
            {"one_memory_clock": 1},
            ("gpu_mhz", "power_limit_w"),
            "No mem_mhz: it has one value here, 2600 MHz.",
        ),
        ({"least_mw": 700_000}, ("gpu_mhz", "mem_mhz"), "No power_limit_w: it has one value here, 700 W."),
    ],
)
def test_what_an_emulated_gpu_lacks_is_no_knob_and_the_notes_say_so(emulated, lacks, knobs, note):
    emulated.set(**lacks)
    device = emulated.open()
    assert device.space.names == ("cpu_cores", *knobs)
    assert note in device.notes()
    assert {reason.why for reason in device.missing} <= {Why.ABSENT, Why.FIXED}
    knob = device.missing[0].what
    with pytest.raises(DeviceError, match=f"has no {knob}: ") as refused:
        emulated.open(f"{knob}=1")
    assert not isinstance(refused.value, DevicePermissionError)
    with device.hold(device.modes()[0]):
        pass
    assert emulated.settings() == AT_REST


def test_where_the_memory_clock_is_fixed_the_clocks_are_those_of_the_highest(emulated):
    emulated.set(arch=6)
    device = emulated.open("cpu_cores=1&power_limit_w=200")
    assert device.space.knob("gpu_mhz").values == (600, 900, 1200, 1500, 1800)
    assert len(device.modes()) == 5


def test_a_limit_that_is_no_knob_is_told_in_the_environment(emulated):
    assert "power_limit_w" not in emulated.open().environment()
    emulated.set(limit_mw=450_000)
    assert emulated.open(euid=lambda: 1000).environment()["power_limit_w"] == "450"


def test_what_it_says_of_the_machine_names_no_individual_gpu(emulated):
    said = emulated.open().environment()
    assert said["driver"] == "emulated-580.1"
    assert said["cuda_driver"] == "12.4"
    assert said["pcie"] == "gen 5 x16"
    assert "GPU-" not in " ".join(said.values())


# Power, energy, heat


def test_the_energy_counter_grows_by_power_times_time(emulated):
    clock = VirtualClock()
    device = emulated.open(clock=clock)
    emulated.set(clock_ns=1_000_000_000)
    readings = []
    for second in range(20):
        emulated.set(busy_permille=50 * second)
        readings.append(device.read_power())
        clock.sleep_s(1)
        emulated.set(clock_ns=(2 + second) * 1_000_000_000)
    readings.append(device.read_power())
    assert readings[0].rails_w == {"NVML board power": readings[0].power_w}
    passed_s = np.diff([reading.time_s for reading in readings])
    summed_j = np.cumsum(passed_s * [reading.power_w for reading in readings[:-1]])
    counted_j = np.array([reading.energy_j for reading in readings[1:]]) - readings[0].energy_j
    np.testing.assert_allclose(counted_j, summed_j, atol=0.01)


def test_a_lower_clock_and_a_lower_limit_draw_less(emulated):
    device = emulated.open()
    emulated.set(busy_permille=1000)

    def power_w(**knobs: float) -> float:
        with device.hold(MODE.replace(**knobs)):
            return device.read_power().power_w

    fast_w = power_w(gpu_mhz=1800, mem_mhz=2600, power_limit_w=700)
    assert power_w(gpu_mhz=1200, mem_mhz=2600, power_limit_w=700) < fast_w
    assert power_w(gpu_mhz=1800, mem_mhz=2600, power_limit_w=200) == 200


def test_without_a_power_sensor_it_has_no_rails_and_refuses_to_read(emulated):
    emulated.set(no_power=1, no_energy=1)
    device = emulated.open()
    assert device.rails == ()
    assert any(note.startswith("No power sensor") for note in device.notes())
    with pytest.raises(DeviceError, match="has no power sensor: this GPU or its driver does not support it"):
        device.read_power()


def test_without_an_energy_counter_the_energy_is_not_known(emulated):
    emulated.set(no_energy=1)
    device = emulated.open()
    assert math.isnan(device.read_power().energy_j)
    assert any(note.startswith("No energy counter: this GPU") for note in device.notes())


def test_without_a_thermometer_the_temperature_is_not_known(emulated):
    assert emulated.open().temperature_c() == 41
    emulated.set(no_temperature=1)
    assert math.isnan(emulated.open().temperature_c())


def test_a_sensor_that_fails_raises(emulated):
    device = emulated.open()
    emulated.fail("nvmlDeviceGetPowerUsage", UNKNOWN)
    with pytest.raises(DeviceError, match="nvmlDeviceGetPowerUsage"):
        device.read_power()


@pytest.mark.parametrize(
    "reason", [HW_SLOWDOWN, HW_THERMAL | HW_SLOWDOWN, SW_THERMAL, POWER_BRAKE | HW_SLOWDOWN]
)
def test_a_cut_of_the_clocks_is_counted_once_when_power_is_read(emulated, reason):
    device = emulated.open()
    for _ in range(2):
        emulated.set(reasons=reason)
        device.read_power()
        device.read_power()
        emulated.set(reasons=0)
        device.read_power()
    assert device.throttle_count() == 2


def test_a_cut_that_lasts_is_counted_anew_after_each_question(emulated):
    device = emulated.open()
    emulated.set(reasons=SW_THERMAL)
    assert [device.throttle_count() for _ in range(3)] == [1, 2, 3]
    emulated.set(reasons=0)
    assert device.throttle_count() == 3


def test_a_power_limit_is_no_throttling(emulated):
    emulated.set(busy_permille=1000)
    device = emulated.open()
    with device.hold(PowerMode(cpu_cores=1, gpu_mhz=1800, mem_mhz=2600, power_limit_w=200)):
        assert device.read_power().power_w == 200
        assert device.throttle_count() == 0
    emulated.set(reasons=SW_POWER_CAP)
    assert emulated.open(euid=lambda: 1000).throttle_count() == 0


def test_where_the_driver_tells_no_reasons_throttling_is_not_noticed(emulated):
    emulated.set(no_reasons=1, reasons=HW_SLOWDOWN)
    device = emulated.open()
    assert device.throttle_count() == 0
    assert any("so throttling is not noticed: " in note for note in device.notes())


# Trainings


@pytest.mark.parametrize(("known", "target"), [(3, "cuda:3"), (None, "cuda:1")])
def test_a_training_runs_on_the_gpu_that_has_the_same_uuid_in_pytorch(emulated, monkeypatch, known, target):
    asked: dict[str, object] = {}
    monkeypatch.setattr(
        "powertrain.devices.nvml._device.cuda_index", lambda uuid: asked.update(uuid=uuid) or known
    )
    monkeypatch.setattr(
        "powertrain.devices.nvml._device.open_job", lambda name, **how: asked.update(name=name, **how)
    )
    emulated.open(index=1).job("bert")
    assert asked == {
        "uuid": "GPU-e0000000-0000-4000-8000-000000000002",
        "name": "bert",
        "target": target,
        "data": None,
        "usual_workers": 2,
    }


def test_a_pytorch_without_cuda_is_told_in_one_line(emulated):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this PyTorch has CUDA")
    with pytest.raises(WorkloadError, match="CUDA") as refused:
        emulated.open().job("lstm")
    assert "\n" not in str(refused.value)


def test_an_unknown_workload_is_refused_with_the_nearest(emulated):
    with pytest.raises(UnknownNameError, match="did you mean 'bert'"):
        emulated.open().job("bertx")
    with pytest.raises(UnknownNameError):
        emulated.open().modes(workload="bertx")
