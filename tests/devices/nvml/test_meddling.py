"""A GPU whose sensors, clocks and neighbours make a measurement another one than was asked for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from powertrain.devices import Journal, VirtualClock
from powertrain.devices.nvml import NvmlDevice
from powertrain.errors import DeviceError
from powertrain.profiling import profile_modes
from powertrain.testing import MadeUpNvml, MadeUpProcessor
from powertrain.workloads import Job

OTHER, BUSY = 4711, 60


class Library:
    """The made-up library, some of whose functions a test replaces."""

    def __init__(self, now_s) -> None:
        self._usual = MadeUpNvml(now_s)
        self.NVMLError = self._usual.NVMLError
        self.instead: dict[str, object] = {}

    def __getattr__(self, name: str):
        return self.instead.get(name) or getattr(self._usual, name)


class Training(Job):
    workload = "training"

    def __init__(self, clock) -> None:
        self._clock = clock

    def prepare(self, mode) -> None:
        pass

    def step(self) -> None:
        self._clock.sleep_s(0.05)

    def close(self) -> None:
        pass

    def description(self):
        return {}


class Bench:
    def __init__(self, folder) -> None:
        self.clock = VirtualClock(1.0)
        self.library, self.files = Library(self.clock.now_s), MadeUpProcessor(self.clock.now_s)
        self.folder = folder

    def open(self, options: str = "cpu_cores=1&gpu_mhz=1200&mem_mhz=2600&power_limit_w=400") -> NvmlDevice:
        return NvmlDevice(
            0,
            options,
            nvml=self.library,
            sysfs=self.files,
            euid=lambda: 0,
            clock=self.clock,
            journal=Journal(self.folder),
        )

    def profile(self):
        device = self.open()
        (found,) = profile_modes(device, Training(self.clock), device.modes())
        return found


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_counter_and_sensor_that_agree_are_not_flagged(bench):
    found = bench.profile()
    assert found.flags == ()
    assert found.extra["energy_by"] == "counter"
    assert found.power_w == pytest.approx(60, rel=0.02)


@pytest.mark.parametrize("counter_w", [37.5, 90.0])
def test_counter_and_sensor_that_disagree_are_both_told_and_flagged(bench, counter_w):
    bench.library.instead["nvmlDeviceGetTotalEnergyConsumption"] = lambda _: round(
        counter_w * 1e3 * bench.clock.now_s()
    )
    found = bench.profile()
    assert found.flags == ("sensors_disagree",)
    assert f"the energy counter tells {counter_w:g} W" in found.extra["sensors"]
    assert "the power sensor 60 W" in found.extra["sensors"]


def test_a_counter_that_stands_still_while_the_sensor_shows_power_is_not_used(bench):
    bench.library.instead["nvmlDeviceGetTotalEnergyConsumption"] = lambda _: 5_000
    found = bench.profile()
    assert found.power_w == pytest.approx(60)
    assert found.extra["energy_by"] == "trapezoid"


def test_a_counter_that_falls_as_when_a_driver_is_loaded_anew_costs_one_step(bench):
    def counted(_) -> int:
        now_s = bench.clock.now_s()
        return round(60_000 * (now_s + 1e6 if now_s < 2.5 else now_s))

    bench.library.instead["nvmlDeviceGetTotalEnergyConsumption"] = counted
    found = bench.profile()
    assert found.power_w == pytest.approx(60, rel=0.02)
    assert found.flags == ()
    assert "fell" in found.extra["dropped_readings"]


@pytest.mark.parametrize("power_mw", [-5_000, 0, 4_294_967_295, None, "60000"])
def test_a_power_that_no_gpu_draws_is_no_reading(bench, power_mw):
    device = bench.open()
    bench.library.instead["nvmlDeviceGetPowerUsage"] = lambda _: power_mw
    if power_mw == 4_294_967_295:  # more than the board's greatest limit allows by far
        assert device.read_power().power_w > device.most_power_w
        assert "sensor_failed" in bench.profile().flags
    else:
        with pytest.raises(DeviceError):
            device.read_power()


def test_without_a_power_sensor_the_energy_counter_tells_the_power(bench):
    refusing(bench, "nvmlDeviceGetPowerUsage", 3)
    found = bench.profile()
    assert found.power_w == pytest.approx(60, rel=0.02)
    assert found.flags == ()
    assert found.extra["power_from"] == "NVML energy counter"
    assert any("so power is what the energy counter tells" in note for note in bench.open().notes())


def test_a_power_in_another_unit_is_no_reading(bench):
    device = bench.open()
    bench.library.instead["nvmlDeviceGetPowerUsage"] = lambda _: 60  # watts, where milliwatts are meant
    with pytest.raises(DeviceError, match=r"shows 0.06 W, and the least limit of the board is 100 W"):
        device.read_power()


def test_sensors_that_disagree_only_now_and_then_are_flagged_however_much_they_swing(bench):
    bench.library.instead["nvmlDeviceGetPowerUsage"] = lambda _: (
        60_000 if bench.clock.now_s() % 1 < 0.5 else 120_000
    )
    assert "sensors_disagree" in bench.profile().flags


@pytest.mark.parametrize("still_s", [0.3, 100.0])
def test_a_counter_that_stops_for_a_while_or_for_good_does_not_pull_the_mean_down(bench, still_s):
    def counted(_) -> int:
        now_s = bench.clock.now_s()
        return round(60_000 * (now_s if now_s < 2.3 else max(2.3, now_s - still_s)))

    bench.library.instead["nvmlDeviceGetTotalEnergyConsumption"] = counted
    found = bench.profile()
    assert found.power_w == pytest.approx(60, rel=0.02) or "sensors_disagree" in found.flags


def busy(bench, *, mhz: int, reasons: int = 0) -> None:
    bench.library.instead |= {
        "nvmlDeviceGetUtilizationRates": lambda _: SimpleNamespace(gpu=90),
        "nvmlDeviceGetClockInfo": lambda _, kind: mhz if kind == 0 else 2600,
        "nvmlDeviceGetCurrentClocksEventReasons": lambda _: reasons,
    }


def test_a_clock_that_runs_below_its_lock_is_flagged_and_not_where_the_power_limit_lowers_it(bench):
    busy(bench, mhz=900)
    found = bench.profile()
    assert "capped" in found.flags
    assert found.extra["capped"] == "gpu_mhz is locked at 1200 and runs at 900"
    busy(bench, mhz=900, reasons=0x04)
    assert "capped" not in bench.profile().flags


def test_a_clock_that_runs_above_its_lock_was_unlocked_by_somebody(bench):
    busy(bench, mhz=1500)
    found = bench.profile()
    assert "undone" in found.flags
    assert "runs at 1500: something else has taken the lock away" in found.extra["undone"]


def neighbour(bench, *, percent: int | None) -> None:
    bench.library.instead["nvmlDeviceGetComputeRunningProcesses"] = lambda _: [SimpleNamespace(pid=OTHER)]
    if percent is not None:
        sample = SimpleNamespace(pid=OTHER, smUtil=percent, memUtil=0, timeStamp=1)
        bench.library.instead["nvmlDeviceGetProcessUtilization"] = lambda *_: [sample]
    bench.files._put(f"/proc/{OTHER}/comm", "python3")
    bench.files._put(f"/proc/{OTHER}/stat", f"{OTHER} (py) thon) S 1 99 99 0")


@pytest.mark.parametrize(("percent", "flags"), [(None, ("shared",)), (BUSY, ("shared",)), (1, ())])
def test_another_process_that_uses_the_gpu_is_named_and_one_that_only_has_a_context_is_not(
    bench, percent, flags
):
    neighbour(bench, percent=percent)
    found = bench.profile()
    assert found.flags == flags
    if flags:
        assert found.extra["shared"] == f"process {OTHER} (python3) used the GPU meanwhile"


@pytest.mark.parametrize("code", [3, 13])
@pytest.mark.parametrize(
    ("knob", "function"),
    [
        ("gpu_mhz", "nvmlDeviceSetGpuLockedClocks"),
        ("mem_mhz", "nvmlDeviceSetMemoryLockedClocks"),
        ("power_limit_w", "nvmlDeviceSetPowerManagementLimit"),
    ],
)
def test_a_knob_that_the_driver_lets_nobody_set_is_none_and_the_others_are_held(bench, knob, function, code):
    def refuse(*_):
        raise bench.library.NVMLError(code)

    bench.library.instead[function] = refuse
    device = bench.open("cpu_cores=1")
    assert knob not in device.space.names
    assert any(note.startswith(f"No {knob}") and function in note for note in device.notes())
    with device.hold(device.modes()[0]):
        pass


def locks(bench) -> dict[str, int]:
    return dict(bench.library._usual.locked)


def refusing(bench, function: str, code: int) -> None:
    def refuse(*_):
        raise bench.library.NVMLError(code)

    bench.library.instead[function] = refuse


@pytest.mark.parametrize("code", [6, 18, 999])
def test_a_lock_that_is_refused_in_a_way_that_nobody_documents_is_tried_before_it_is_offered(bench, code):
    refusing(bench, "nvmlDeviceSetGpuLockedClocks", code)
    device = bench.open("cpu_cores=1")
    assert "gpu_mhz" not in device.space.names
    assert any(note.startswith("No gpu_mhz") for note in device.notes())
    usual, crossed = bench.library._usual._answer, []

    def odd(handle, least, greatest):
        if least > greatest:
            crossed.append(least)
            raise bench.library.NVMLError(code)
        return usual("nvmlDeviceSetGpuLockedClocks", handle, least, greatest)

    bench.library.instead["nvmlDeviceSetGpuLockedClocks"] = odd
    assert "gpu_mhz" in bench.open("cpu_cores=1").space.names
    assert crossed
    assert locks(bench) == {}


def test_a_limit_in_force_that_no_such_board_has_keeps_no_limit_from_being_held(bench):
    bench.library.instead["nvmlDeviceGetEnforcedPowerLimit"] = lambda _: 7
    device = bench.open("cpu_cores=1&power_limit_w=200&without=gpu_mhz,mem_mhz")
    with device.hold(device.modes()[0]):
        assert bench.library._usual.limit_mw == 200_000


def test_a_driver_that_takes_every_lock_is_left_without_one(bench):
    locked = bench.library._usual.locked
    bench.library.instead["nvmlDeviceSetGpuLockedClocks"] = lambda _, least, most: locked.update(
        graphics=most
    )
    assert "gpu_mhz" in bench.open("cpu_cores=1").space.names
    assert locks(bench) == {}


@pytest.mark.parametrize("code", [3, 13, 999])
def test_a_clock_that_cannot_be_unlocked_is_locked_to_its_whole_range_afterwards(bench, code, caplog):
    refusing(bench, "nvmlDeviceResetGpuLockedClocks", code)
    device = bench.open("cpu_cores=1&gpu_mhz=900")
    with device.hold(device.modes()[0]):
        assert locks(bench)["graphics"] == 900
    assert locks(bench) == {"graphics": 1500}
    assert "gpu_mhz is locked to the whole of its range instead" in caplog.text


def test_whoever_looks_at_the_state_while_a_mode_is_held_does_not_keep_it_from_being_restored(bench):
    device = bench.open("cpu_cores=1&gpu_mhz=900&power_limit_w=200")
    with device.hold(device.modes()[0]):
        device.state()
    assert locks(bench) == {}
    assert bench.library._usual.limit_mw == 400_000


def test_a_limit_that_somebody_sets_while_it_is_left_out_stays_theirs(bench):
    device = bench.open("cpu_cores=1&without=power_limit_w")
    with device.hold(device.modes()[0]):
        bench.library._usual.limit_mw = 200_000
    assert bench.library._usual.limit_mw == 200_000


def test_a_clock_that_the_binding_cannot_unlock_is_no_knob(bench):
    class Old(Library):
        def __getattr__(self, name: str):
            if name == "nvmlDeviceResetGpuLockedClocks":
                raise AttributeError(name)
            return super().__getattr__(name)

    bench.library = Old(bench.clock.now_s)
    device = bench.open("cpu_cores=1")
    assert "gpu_mhz" not in device.space.names
    assert any("has no nvmlDeviceResetGpuLockedClocks" in note for note in device.notes())


def test_a_clock_of_zero_is_none(bench):
    bench.library.instead |= {
        "nvmlDeviceGetSupportedMemoryClocks": lambda _: [2600, 0],
        "nvmlDeviceGetSupportedGraphicsClocks": lambda *_: [1500, 900, 900, 0],
    }
    device = bench.open("cpu_cores=1")
    assert device.space.knob("gpu_mhz").values == (900, 1500)
    assert "mem_mhz" not in device.space.names


@pytest.mark.parametrize(
    ("function", "options"),
    [
        ("nvmlDeviceGetEnforcedPowerLimit", "cpu_cores=1&gpu_mhz=1200&mem_mhz=2600&power_limit_w=400"),
        ("nvmlDeviceGetPowerManagementLimit", "cpu_cores=1&gpu_mhz=1200&mem_mhz=2600&without=power_limit_w"),
    ],
)
def test_a_limit_that_something_else_lowers_meanwhile_flags_the_profile(bench, function, options):
    bench.library.instead[function] = lambda _: 400_000 if bench.clock.now_s() < 2 else 200_000
    device = bench.open(options)
    (found,) = profile_modes(device, Training(bench.clock), device.modes())
    assert "undone" in found.flags
    assert "200 W" in found.extra["undone"]


def test_a_limit_that_nobody_can_set_may_be_named_where_it_is_in_force(bench):
    def refuse(*_):
        raise bench.library.NVMLError(3)

    bench.library.instead["nvmlDeviceSetPowerManagementLimit"] = refuse
    device = bench.open("cpu_cores=1&gpu_mhz=1200&mem_mhz=2600&power_limit_w=400")
    with device.hold(device.modes()[0]):
        assert device.in_force()["power_limit_w"] == (400, 400)
    with pytest.raises(DeviceError, match="no power_limit_w"):
        bench.open("power_limit_w=300")


def test_a_knob_can_be_left_out(bench):
    device = bench.open("cpu_cores=1&without=power_limit_w,mem_mhz")
    assert device.space.names == ("cpu_cores", "gpu_mhz")
    with device.hold(device.modes()[0]):
        assert bench.library._usual.limit_mw == 400_000
